"""How requests and answers are packed on a TCP connection: MBAP, or RTU frames. State machines without I/O.

The caller gives each request a slot and gets (slot, answer) pairs out of the bytes that came. After a
ProtocolError the caller decides whether the line can be trusted again, and calls `reset`.
"""

from __future__ import annotations

from typing import Final, Protocol

from connectors.modbus.frame import IDENTIFICATION, Answer, ProtocolError, Request, answer, identification_size

_MAX_LENGTH: Final = 254  # unit and PDU of at most 253 bytes (Messaging on TCP/IP guide V1.0b, 3.1.3)


class Framing(Protocol):
    """One line's framing, with the requests that are under way on it."""

    def encode(self, slot: int, request: Request) -> bytes:
        """The bytes to send; from now on the request is under way."""

    def feed(self, data: bytes) -> list[tuple[int, Answer]]:
        """The answers that `data` completes. Raises ProtocolError for bytes that answer nothing under way."""

    def reset(self) -> None:
        """Forget what is under way and what came in part."""


class MbapFraming:
    """Modbus TCP: each frame has a transaction id, so several requests may be under way."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, tuple[int, Request]] = {}
        """By the two bytes of the transaction id."""
        self._buffer = b""
        self._last = 0

    def encode(self, slot: int, request: Request) -> bytes:
        # 0 is never used: devices that do not fill in the id answer with 0, and that must not fit anything.
        self._last = self._last % 0xFFFF + 1
        number = self._last.to_bytes(2, "big")
        self._waiting[number] = slot, request
        return number + request.mbap

    def feed(self, data: bytes) -> list[tuple[int, Answer]]:
        buffer = self._buffer + data if self._buffer else data
        answers: list[tuple[int, Answer]] = []
        waiting, at, size = self._waiting, 0, len(buffer)
        while size - at >= 6:
            number, asked = buffer[at : at + 2], waiting.get(buffer[at : at + 2])
            if asked is not None and buffer[at + 2 : at + 9] == asked[1].promise:
                end = at + 9 + asked[1].size
                if size < end:
                    break
                answers.append((asked[0], buffer[at + 9 : end]))
            else:  # a refusal, a frame that is not here yet, or no answer at all
                end = at + 6 + _mbap_length(buffer[at : at + 6])
                slot, request = self._under_way(number)
                if size < end:
                    break
                answers.append((slot, answer(request, buffer[at + 6 : end])))
            del waiting[number]
            at = end
        if at < size and not waiting:
            raise ProtocolError(f"{size - at} bytes that nobody asked for")
        self._buffer = buffer[at:]
        return answers

    def _under_way(self, number: bytes) -> tuple[int, Request]:
        try:
            return self._waiting[number]
        except KeyError:
            raise ProtocolError(f"transaction id {int.from_bytes(number, 'big')} was not asked for") from None

    def reset(self) -> None:
        self._waiting.clear()
        self._buffer = b""


def _mbap_length(frame: bytes) -> int:
    """The length field of an MBAP header. Raises ProtocolError for one that no answer can have."""
    length = frame[4] << 8 | frame[5]
    if frame[2] or frame[3]:
        raise ProtocolError(f"protocol id {frame[2] << 8 | frame[3]} is not Modbus")
    if not 3 <= length <= _MAX_LENGTH:
        raise ProtocolError(f"length {length} in the header; an answer has 3 to {_MAX_LENGTH}")
    return length


def _crc_table() -> tuple[int, ...]:
    """CRC-16 of each byte: polynomial 0xA001 (0x8005 reflected), serial line V1.02, 6.2.2."""
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC: Final = _crc_table()


def crc16(data: bytes) -> int:
    """The CRC of an RTU frame, sent low byte first; over a frame with its CRC it is 0."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


class RtuFraming:
    """RTU over TCP: one request under way, found again by unit, function, size and CRC."""

    def __init__(self) -> None:
        self._waiting: tuple[int, Request] | None = None
        self._buffer = b""

    def encode(self, slot: int, request: Request) -> bytes:
        self._waiting = slot, request
        self._buffer = b""
        return request.adu + crc16(request.adu).to_bytes(2, "little")

    def feed(self, data: bytes) -> list[tuple[int, Answer]]:
        self._buffer += data
        while self._waiting is not None and len(self._buffer) >= 3:
            slot, request = self._waiting
            end = _rtu_length(request, self._buffer)
            if len(self._buffer) < end:
                break
            frame, self._buffer = self._buffer[:end], self._buffer[end:]
            if crc16(frame):
                raise ProtocolError(f"wrong check sum in what should answer {request}")
            if frame[0] == request.unit:  # else another unit's late answer, whole and valid: passed over
                found = [(slot, answer(request, frame[:-2]))]
                self.reset()
                return found
        if self._waiting is None:
            self._buffer = b""
        return []

    def reset(self) -> None:
        self._waiting = None
        self._buffer = b""


def _rtu_length(request: Request, buffer: bytes) -> int:
    """The length of the frame that begins the buffer (3 bytes at least), by its function code and byte count."""
    unit, function, size = buffer[:3]
    if function == IDENTIFICATION:
        return identification_size(buffer) + 2
    if unit == request.unit and (function & 0x7F != request.function or (function < 0x80 and size != request.size)):
        raise ProtocolError(f"function code {function}, byte count {size}, instead of {request.size} for {request}")
    if function & 0x7F not in (1, 2, 3, 4, IDENTIFICATION):
        raise ProtocolError(f"noise instead of an answer to {request}")
    return 5 if function & 0x80 else 5 + size
