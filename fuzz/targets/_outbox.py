"""What the outbox targets share: damage as media and power cuts do it."""

from __future__ import annotations

from typing import Final

from fuzz.target import FuzzInput

STREAM: Final = "agent/0/9f86d081"


def damaged(sound: bytes, feed: FuzzInput) -> tuple[bytes, frozenset[int]]:
    """Bytes overwritten, zeroed or cut off at the end, as media and power cuts do it; and which of
    them changed."""
    raw = bytearray(sound)
    while feed and raw:
        at, kind = feed.number(1024) % len(raw), feed.number(8)
        if kind == 7:
            del raw[at:]
        else:
            new = bytes(8 << kind) if kind >= 4 else feed.take(1 + kind)
            raw[at : at + len(new)] = new[: len(raw) - at]
    if raw == sound:
        return sound, frozenset()
    # Most bytes are equal: their exclusive or as one number finds the others faster than a walk.
    size = len(raw)
    unequal = int.from_bytes(raw, "big") ^ int.from_bytes(sound[:size], "big")
    return bytes(raw), frozenset(n for n, byte in enumerate(unequal.to_bytes(size, "big")) if byte)
