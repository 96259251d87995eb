"""The MQTT packets we cut and read ourselves, against the specification's lengths read byte by
byte."""

from __future__ import annotations

from collections.abc import Iterable

from edge_agent.mqtt import packets
from fuzz.target import FuzzInput, FuzzTarget, demand


def stream(data: bytes) -> None:
    """However a stream comes in pieces, the same packets come out; each PUBACK says what its bytes
    say."""
    feed = FuzzInput(data)
    five, cuts = bool(feed.number(2)), [feed.number(256) for _ in range(2)]
    sent = feed.rest()
    cuts = sorted(min(cut, len(sent)) for cut in cuts)
    expected, left = _reference(sent)
    got: list[bytes] = []
    inbox, at = b"", 0
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        inbox += sent[start:end]
        at = 0
        while (span := packets.span(inbox, at))[1]:
            begin, stop = span
            demand(at <= begin <= stop <= len(inbox) and stop > at, "span", span, "at", at)
            got.append(inbox[at:stop])
            if inbox[at] == packets.PUBACK:
                _puback(inbox, begin, stop, five=five)
            at = stop
        inbox = inbox[at:]
    if expected is None:
        # a length that is none: what is cut off it depends on the pieces, and paho refuses all of
        # it
        return
    demand(
        got == expected and inbox == left, "cut", got, inbox, ", the lengths say", expected, left
    )


def _reference(sent: bytes) -> tuple[list[bytes] | None, bytes]:
    """Whole packets and what is left; None when a length has more than four bytes (2.2.3)."""
    found: list[bytes] = []
    while len(sent) > 1:
        digits = sent[1:5]
        ends = [n for n, digit in enumerate(digits) if digit < 128]
        if not ends:
            return (None, b"") if len(sent) > 5 or len(digits) == 4 else (found, sent)
        size = (
            sum((digit % 128) * 128**n for n, digit in enumerate(digits[: ends[0] + 1]))
            + 2
            + ends[0]
        )
        if len(sent) < size:
            break
        found.append(sent[:size])
        sent = sent[size:]
    return found, sent


def _puback(inbox: bytes, begin: int, stop: int, *, five: bool) -> None:
    body = inbox[begin:stop]
    try:
        found: tuple[int, int] | None = packets.puback(inbox, begin, stop, five=five)
    except ValueError:
        found = None
    if len(body) < 2 or (len(body) > 2 and not five):
        demand(found is None, "acknowledged by", body)
    else:
        demand(
            found == (256 * body[0] + body[1], body[2] if len(body) > 2 else 0), found, "of", body
        )


def publish(data: bytes) -> None:
    """What we send reads back as what was meant, or is refused."""
    feed = FuzzInput(data)
    flags, mid, size = feed.number(4), 1 + feed.number(65535), feed.number(65536)
    size = size << 12 if flags == 3 and size % 2 else size
    topic = feed.rest().decode("utf-8", "replace")
    retained, five = bool(flags & 1), bool(flags & 2)
    try:
        head = packets.publish(topic, size, mid, retained=retained, five=five)
    except ValueError:
        length = len(topic.encode())
        # The longest packet, less what the topic and the fixed fields take.
        too_long = 2 + length + 2 + five + size >= 128**4
        demand(
            not topic or "+" in topic or "#" in topic or length > 0xFFFF or too_long,
            "refused",
            topic,
            size,
        )
        return
    ends = next(n for n in range(1, 5) if head[n] < 128)
    remaining = sum((head[n] % 128) * 128 ** (n - 1) for n in range(1, ends + 1))
    width = int.from_bytes(head[ends + 1 : ends + 3], "big")
    name = head[ends + 3 : ends + 3 + width]
    rest = mid.to_bytes(2, "big") + (b"\0" if five else b"")
    demand(head[0] == 0x32 | retained and name.decode() == topic, "head", head, "of", topic)
    demand(head[ends + 3 + width :] == rest, "id and properties", head, "of", mid)
    demand(remaining == len(head) - ends - 1 + size, "length", remaining, "of", head, "and", size)


def packet(data: bytes) -> None:
    """The first byte says which way."""
    (publish if data and data[0] % 4 == 3 else stream)(data[1:])


def _seeds() -> Iterable[bytes]:
    ack = b"\x40\x02\x04\x00"
    yield b"\0\0\5\7" + ack * 3 + b"\xd0\x00"
    yield b"\0\1\3\xff" + b"\x40\x03\x04\x01\x10" + b"\x40\x04\x04\x02\x87\x00" + ack
    yield b"\0\0\2\4" + b"\x30\x83\x01\x00\x01t" + bytes(128) + ack
    yield b"\0\1\0\0" + b"\x40\xff\xff\xff\xff\x7f" + ack
    yield b"\0\0\0\0" + b"\x40\x80\x80\x80\x00" + b"\x40\x01\x04" + ack
    yield b"\3\0\4\0\0\x64edge/e/s/a/l/m1/data"
    yield b"\3\3\4\0\xff\xffedge/\xe4\xb8\x9c\xe8\x8e\x9e/data"
    yield b"\3\1\4\0\0\x01a/+/b"


TARGETS = (FuzzTarget("mqtt-packets", packet, _seeds, 1_000_000, longest=256),)
