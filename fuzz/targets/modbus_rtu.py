"""Modbus answers in RTU frames: none is taken that the stream does not hold whole, with a right
check sum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from connectors.modbus.framing import RtuFraming
from fuzz.target import FuzzInput, FuzzTarget, demand
from fuzz.targets._modbus import REQUESTS, fed, said


def _cuts(feed: FuzzInput, size: int) -> list[int]:
    return sorted(feed.number(size + 1) for _ in range(feed.number(4)))


def rtu(data: bytes) -> None:
    """No answer is taken that is not in the stream as a whole frame of its request with a right
    check sum."""
    feed = FuzzInput(data)
    request = REQUESTS[feed.number(len(REQUESTS))]
    stream = _rtu_stream(feed)
    framing = RtuFraming()
    framing.encode(5, request)
    got, refused = fed(framing, stream, _cuts(FuzzInput(data[::-1]), len(stream)))
    last = None if refused else framing.end_wait()
    if isinstance(last, bytes | int):  # where more bytes were waited for
        got.append((5, last))
    demand(len(got) <= 1, len(got), "answers to one request")
    for slot, found in got:
        if found is None:
            demand(False, "a frame that is wrong inside was taken for an answer")
            continue
        if isinstance(found, int):
            frame = bytes((request.unit, request.function | 0x80, found))
        else:
            frame = bytes((request.unit, request.function, len(found))) + found
        demand(slot == 5 and said(request, frame) == found, found, "does not answer", request)
        demand(frame + _crc(frame) in stream, found, "is not in the stream")
    demand(framing.end_wait() is None, "something is left after the end")


def _rtu_stream(feed: FuzzInput) -> bytes:
    """Frames of any content, most with their right check sum: no fuzzer would guess one."""
    parts = []
    while feed:
        form = feed.number(256)
        part = feed.take(form & 0x3F)
        parts.append(part + _crc(part) if form & 0x40 else part)
    return b"".join(parts)


def _crc(data: bytes) -> bytes:
    """CRC-16/MODBUS (serial line V1.02, 6.2.2), apart from the table of the connector."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC_OF[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def _crc_of(byte: int) -> int:
    """One byte, bit by bit as the specification has it."""
    for _ in range(8):
        byte = (byte >> 1) ^ 0xA001 if byte & 1 else byte >> 1
    return byte


_CRC_OF: Final = tuple(map(_crc_of, range(256)))


def _rtu_seeds() -> Iterable[bytes]:
    yield b""
    for n, request in enumerate(REQUESTS[:2]):
        body = bytes((request.unit, request.function, request.size)) + bytes(request.size)
        late = bytes((9, 3, 2, 0, 1))
        yield bytes((n, 0x40 | len(body))) + body
        yield bytes((n, 0x40 | len(late))) + late + bytes((0x40 | len(body),)) + body
        yield bytes((n, 0x43, request.unit, request.function | 0x80, 6))
        yield bytes((n, 0x46)) + request.adu + bytes((0x40 | len(body),)) + body
        yield bytes((n, 3, 0, request.unit, request.function, 0x40 | len(body))) + body + b"\1\0"


TARGETS = (FuzzTarget("modbus-rtu", rtu, _rtu_seeds, 800_000, longest=256),)
