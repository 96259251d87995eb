"""What a broker says when it says no: CONNACK and DISCONNECT, read before paho, which knows not
every code."""

from __future__ import annotations

from typing import Final

from edge_agent.mqtt import reasons

CONNACK: Final = 0x20
DISCONNECT: Final = 0xE0

_REASON_STRING: Final = 0x1F
_SERVER_REFERENCE: Final = 0x1C
_FIXED: Final = {
    0x11: 4, 0x13: 2, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip
_STRINGS: Final = {0x12: 1, 0x15: 1, 0x16: 1, 0x1A: 1, 0x1C: 1, 0x1F: 1, 0x26: 2}
"""Properties of CONNACK and DISCONNECT: bytes of a number, or how many strings [MQTT 5,
2.2.2.2]."""
_LONGEST_TEXT: Final = 200


def refusal(kind: int, body: bytes, *, five: bool) -> tuple[str, str] | None:
    """(MQTT's name for the reason, the broker's own words or "") of a CONNACK that says no or a
    DISCONNECT.

    None for everything else, and for what is too short to be one: paho refuses that.
    """
    if kind == CONNACK and len(body) >= 2:
        code = body[1]
        if code == 0:
            return None
        if not five or len(body) == 2:  # a broker that knows no MQTT 5 answers in the older form
            return reasons.name_of(reasons.OF_3_1_1.get(code, code)), ""
        return reasons.name_of(code), _words(body[2:])
    if kind == DISCONNECT and five:
        code = body[0] if body else 0
        return (reasons.name_of(code), _words(body[1:])) if code else (reasons.NORMAL_END, "")
    return None


def _words(properties: bytes) -> str:
    """Reason String and Server Reference, as far as the properties can be read."""
    found: dict[int, str] = {}
    try:
        length, at = _number(properties, 0)
        end = min(len(properties), at + length)
        while at < end:
            kind = properties[at]
            at = at + 1
            if kind in _FIXED:
                at += _FIXED[kind]
                continue
            for _ in range(_STRINGS[kind]):
                size = int.from_bytes(properties[at : at + 2], "big")
                found[kind] = properties[at + 2 : at + 2 + size].decode(errors="replace")
                at += 2 + size
    except (IndexError, KeyError):
        pass  # what comes after cannot be read
    words = [found[kind] for kind in (_REASON_STRING, _SERVER_REFERENCE) if found.get(kind)]
    return "".join(char if char.isprintable() else " " for char in "; ".join(words))[:_LONGEST_TEXT]


def _number(data: bytes, at: int) -> tuple[int, int]:
    """(value, place after it) of a variable byte integer. Raises IndexError when it does not
    end."""
    value = shift = 0
    while True:
        digit = data[at]
        value |= (digit & 0x7F) << shift
        at += 1
        shift += 7
        if digit < 0x80 or shift > 21:
            return value, at
