"""What the outbox targets share: damage as media and power cuts do it."""

from __future__ import annotations

from typing import Final

from fuzz.target import Feed

STREAM: Final = "agent/0/9f86d081"


def damaged(sound: bytes, feed: Feed) -> tuple[bytes, set[int]]:
    """Bytes overwritten, zeroed or cut off at the end, as media and power cuts do it; and which of them changed."""
    raw = bytearray(sound)
    while feed and raw:
        at, kind = feed.number(1024) % len(raw), feed.number(8)
        if kind == 7:
            del raw[at:]
        else:
            new = bytes(8 << kind) if kind >= 4 else feed.take(1 + kind)
            raw[at : at + len(new)] = new[: len(raw) - at]
    return bytes(raw), {n for n, (a, b) in enumerate(zip(raw, sound, strict=False)) if a != b}
