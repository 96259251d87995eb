"""Modbus answers in MBAP and RTU frames, against a reader of the same frames written apart."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from connectors.modbus.frame import Answer, ProtocolError, Request
from connectors.modbus.framing import Framing, MbapFraming, RtuFraming
from fuzz.target import Feed, Target, demand

_REQUESTS: Final = (
    Request(1, "holding", 100, 4), Request(1, "coil", 0, 11), Request(2, "input", 7, 125),
    Request(3, "discrete", 9, 1), Request(255, "holding", 0, 1),
)  # fmt: skip

Answers = list[tuple[int, Answer]]


def _fed(framing: Framing, stream: bytes, cuts: list[int]) -> tuple[Answers, bool]:
    """The answers taken from a stream cut into pieces, and whether it was refused in the end."""
    answers: Answers = []
    for start, end in pairwise([0, *cuts, len(stream)]):
        try:
            answers += framing.feed(stream[start:end])
        except ProtocolError:
            return answers, True
    return answers, False


def _cuts(feed: Feed, size: int) -> list[int]:
    return sorted(feed.number(size + 1) for _ in range(feed.number(4)))


def _said(request: Request, adu: bytes) -> Answer | None:
    """What the specification (V1.1b3, 6.1-6.4 and 7) makes of an answer; None when it answers something else."""
    if adu[:2] == bytes((request.unit, request.function)) and adu[2:3] == bytes((request.size,)):
        return adu[3:] if len(adu) == 3 + request.size else None
    if adu[:2] == bytes((request.unit, request.function | 0x80)) and len(adu) == 3:
        return adu[2]
    return None


def mbap(data: bytes) -> None:
    """Any cutting of a stream gives the same answers, and those are exactly what the frames say."""
    feed = Feed(data)
    under_way = [_REQUESTS[feed.number(len(_REQUESTS))] for _ in range(1 + feed.number(4))]
    cuts, stream = [feed.number(256) for _ in range(3)], feed.rest()
    framing = MbapFraming()
    sent = [framing.encode(slot, request) for slot, request in enumerate(under_way)]
    got, refused = _fed(framing, stream, sorted(min(cut, len(stream)) for cut in cuts))
    ids = {int.from_bytes(frame[:2], "big"): slot for slot, frame in enumerate(sent)}
    expected, wrong = _mbap_reference(stream, under_way, ids)
    demand(got == expected[: len(got)], "taken", got, ", the frames say", expected)
    demand(wrong == refused, "refused", refused, ", expected", wrong)
    demand(refused or got == expected, "only", got, "of", expected)


def _mbap_reference(stream: bytes, under_way: list[Request], ids: dict[int, int]) -> tuple[Answers, bool]:
    answers: Answers = []
    waiting = dict(ids)
    while len(stream) >= 6:
        number, protocol, size = struct.unpack_from(">HHH", stream)
        if protocol or not 3 <= size <= 254 or number not in waiting:
            return answers, True
        if len(stream) < 6 + size:
            break
        slot = waiting.pop(number)
        said = _said(under_way[slot], stream[6 : 6 + size])
        if said is None:
            return answers, True
        answers.append((slot, said))
        stream = stream[6 + size :]
    return answers, bool(stream) and not waiting


def rtu(data: bytes) -> None:
    """No answer is taken that is not in the stream as a whole frame of its request with a right check sum."""
    feed = Feed(data)
    request = _REQUESTS[feed.number(len(_REQUESTS))]
    stream = _rtu_stream(feed)
    framing = RtuFraming()
    framing.encode(5, request)
    got, _ = _fed(framing, stream, _cuts(Feed(data[::-1]), len(stream)))
    demand(len(got) <= 1, len(got), "answers to one request")
    for slot, said in got:
        if isinstance(said, int):
            frame = bytes((request.unit, request.function | 0x80, said))
        else:
            frame = bytes((request.unit, request.function, len(said))) + said
        demand(slot == 5 and _said(request, frame) == said, said, "does not answer", request)
        demand(frame + _crc(frame) in stream, said, "is not in the stream")
    framing.reset()


def _rtu_stream(feed: Feed) -> bytes:
    """Frames of any content, most with their right check sum: no fuzzer would guess one."""
    parts = []
    while feed:
        form = feed.number(256)
        part = feed.take(form & 0x3F)
        parts.append(part + _crc(part) if form & 0x40 else part)
    return b"".join(parts)


def _crc(data: bytes) -> bytes:
    """CRC-16/MODBUS bit by bit (serial line V1.02, 6.2.2), apart from the table of the connector."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


def _mbap_seeds() -> Iterable[bytes]:
    yield b""
    for n, request in enumerate(_REQUESTS):
        body = bytes((request.unit, request.function, request.size)) + bytes(request.size)
        frame = b"\x00\x01\x00\x00" + len(body).to_bytes(2, "big") + body
        refusal = b"\x00\x02\x00\x00\x00\x03" + bytes((request.unit, request.function | 0x80, 2))
        yield bytes((0, n, 0, 0, 0)) + frame
        yield bytes((1, n, n, 3, 9, 12)) + frame + refusal


def _rtu_seeds() -> Iterable[bytes]:
    yield b""
    for n, request in enumerate(_REQUESTS[:2]):
        body = bytes((request.unit, request.function, request.size)) + bytes(request.size)
        late = bytes((9, 3, 2, 0, 1))
        yield bytes((n, 0x40 | len(body))) + body
        yield bytes((n, 0x40 | len(late))) + late + bytes((0x40 | len(body),)) + body
        yield bytes((n, 0x43, request.unit, request.function | 0x80, 6))


TARGETS = (
    Target("modbus-mbap", mbap, _mbap_seeds, 2_000_000),
    Target("modbus-rtu", rtu, _rtu_seeds, 800_000, longest=256),
)
