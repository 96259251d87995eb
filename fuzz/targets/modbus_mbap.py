"""Modbus answers in MBAP frames, against a reader of the same frames written apart."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from connectors.modbus.frame import ReadRequest
from connectors.modbus.framing import MbapFraming
from fuzz.target import FuzzInput, FuzzTarget, demand
from fuzz.targets._modbus import REQUESTS, Answers, fed, said


def mbap(data: bytes) -> None:
    """Any cutting of a stream gives the same answers, and those are exactly what the frames say."""
    feed = FuzzInput(data)
    under_way = [REQUESTS[feed.number(len(REQUESTS))] for _ in range(1 + feed.number(4))]
    cuts, stream = [feed.number(256) for _ in range(3)], feed.rest()
    framing = MbapFraming()
    sent = [framing.encode(slot, request) for slot, request in enumerate(under_way)]
    got, refused = fed(framing, stream, sorted(min(cut, len(stream)) for cut in cuts))
    ids = {int.from_bytes(frame[:2], "big"): slot for slot, frame in enumerate(sent)}
    expected, wrong = _mbap_reference(stream, under_way, ids)
    demand(got == expected, "taken", got, ", the frames say", expected)
    demand(wrong or not refused, "refused although all are frames")


def _mbap_reference(
    stream: bytes, under_way: list[ReadRequest], ids: dict[int, int]
) -> tuple[Answers, bool]:
    """The answers up to the first bytes that are no frame, and whether there are any."""
    answers: Answers = []
    waiting = dict(ids)
    while len(stream) >= 6:
        number, protocol, size = struct.unpack_from(">HHH", stream)
        if protocol or not 2 <= size <= 254:
            return answers, True
        if len(stream) < 6 + size:
            break
        if number in waiting:
            slot = waiting.pop(number)
            answers.append((slot, said(under_way[slot], stream[6 : 6 + size])))
        stream = stream[6 + size :]
    return answers, False


def _mbap_seeds() -> Iterable[bytes]:
    yield b""
    for n, request in enumerate(REQUESTS):
        body = bytes((request.unit, request.function, request.size)) + bytes(request.size)
        frame = b"\x00\x01\x00\x00" + len(body).to_bytes(2, "big") + body
        refusal = b"\x00\x02\x00\x00\x00\x03" + bytes((request.unit, request.function | 0x80, 2))
        yield bytes((0, n, 0, 0, 0)) + frame
        yield bytes((1, n, n, 3, 9, 12)) + frame + refusal
        yield bytes((0, n, 0, 0, 0)) + b"\x00\x09" + frame[2:] + frame + frame
        yield bytes((0, n, 0, 0, 0)) + b"\x00\x01\x00\x00\x00\x04\xc0\x60\x60\x00" + frame


TARGETS = (FuzzTarget("modbus-mbap", mbap, _mbap_seeds, 2_000_000),)
