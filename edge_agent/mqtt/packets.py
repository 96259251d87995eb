"""The two packets that a value costs, PUBLISH with QoS 1 and its PUBACK: pure functions between
fields and bytes.

Everything else is left to paho, and so are these two when `EDGE_AGENT_STOCK=1`: paho makes five
objects, two of them with locks, per message sent and two per message acknowledged, which is several
times what the bytes take. Sections in brackets are those of MQTT 3.1.1 and 5.0, which agree on
them.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct, unpack
from typing import Final

PUBACK: Final = 0x40
DISCONNECT: Final = b"\xe0\x00"
"""A clean end (MQTT 5: reason 0, by leaving it out), after which the last will is not published
[3.14]."""

_PUBLISH_QOS1: Final = 0x32
_PUBACK_SHORT: Final = 0x4002
_LONGEST: Final = 268_435_455
_SHORT: Final = Struct(">H")

Buffer = bytes | bytearray


def publish(topic: str, payload: int, mid: int, *, retained: bool, five: bool) -> bytes:
    """All of a PUBLISH but its `payload` bytes, which follow it [3.3]. ValueError for what MQTT
    cannot carry."""
    name = _topic(topic)
    length = _length(len(name) + (3 if five else 2) + payload)
    return b"%c%b%b%b%b" % (
        _PUBLISH_QOS1 | retained,
        length,
        name,
        _SHORT.pack(mid),
        b"\0" if five else b"",
    )


@lru_cache(maxsize=4096)
def _topic(topic: str) -> bytes:
    """A topic as it is sent; the same few are sent again and again."""
    name = topic.encode()
    if not name or len(name) > 0xFFFF or b"+" in name or b"#" in name:
        raise ValueError(f"no topic to publish to: {topic!r}")
    return _SHORT.pack(len(name)) + name


def _length(number: int) -> bytes:
    """The remaining length: seven bits a byte, the lowest first [2.2.3]."""
    if number > _LONGEST:
        raise ValueError(f"a packet of {number} bytes is too long")
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def span(data: Buffer, at: int) -> tuple[int, int]:
    """(begin of the body, end) of the packet at `data[at]`; (0, 0) while not all of it is here.

    A length that is none ends with the data: paho refuses such a packet.
    """
    length = 0
    shift = 0
    for start in range(at + 1, min(at + 5, len(data))):
        digit = data[start]
        length |= (digit & 0x7F) << shift
        if digit < 0x80:
            end = start + 1 + length
            return (start + 1, end) if end <= len(data) else (0, 0)
        shift += 7
    return (at, len(data)) if len(data) >= at + 5 else (0, 0)


def acknowledged(data: Buffer) -> tuple[int, ...]:
    """The message ids, when `data` is nothing but PUBACKs that say yes in the shortest way, as it
    nearly always is."""
    count, rest = divmod(len(data), 4)
    if rest or not count or data[0] != PUBACK:
        return ()
    words = unpack(f">{2 * count}H", data)
    return words[1::2] if words[::2].count(_PUBACK_SHORT) == count else ()


def puback(data: Buffer, start: int, end: int, *, five: bool) -> tuple[int, int]:
    """(message id, reason code) of a PUBACK's body [3.4]. ValueError when it is none."""
    size = end - start
    if size < 2 or (size > 2 and not five):
        raise ValueError(f"a PUBACK of {size} bytes")
    return _SHORT.unpack_from(data, start)[0], data[start + 2] if size > 2 else 0
