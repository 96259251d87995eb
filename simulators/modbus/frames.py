"""Framings of Modbus on a byte stream: MBAP (TCP), RTU with its CRC, ASCII with its LRC."""

from __future__ import annotations

import struct
from typing import Final, Protocol

_MAX_PDU: Final = 253


class IncomingRequest:
    """One request as it came: the unit, the PDU, and what the framing needs to answer it."""

    __slots__ = ("pdu", "tag", "unit")

    def __init__(self, unit: int, pdu: bytes, tag: int = 0) -> None:
        self.unit = unit
        self.pdu = pdu
        self.tag = tag
        """MBAP: the transaction id."""


class ServerFraming(Protocol):
    """Cuts requests out of a stream and frames the answers."""

    def split(self, buffer: bytearray) -> list[IncomingRequest]:
        """Complete requests, removed from the buffer."""

    def wrap(self, request: IncomingRequest, pdu: bytes) -> bytes:
        """The frame of an answer."""


class MbapServerFraming:
    """Modbus TCP: transaction id, protocol 0, length, unit."""

    def split(self, buffer: bytearray) -> list[IncomingRequest]:
        found = []
        while len(buffer) >= 8:
            transaction, protocol, length, unit = struct.unpack_from(">HHHB", buffer)
            if protocol != 0 or not 2 <= length <= _MAX_PDU + 1:
                buffer.clear()
                break
            if len(buffer) < 6 + length:
                break
            found.append(IncomingRequest(unit, bytes(buffer[7 : 6 + length]), transaction))
            del buffer[: 6 + length]
        return found

    def wrap(self, request: IncomingRequest, pdu: bytes) -> bytes:
        return struct.pack(">HHHB", request.tag, 0, len(pdu) + 1, request.unit) + pdu


class RtuServerFraming:
    """Modbus RTU: unit, PDU, CRC-16 with the low byte first. The length of a request follows from
    its function."""

    def split(self, buffer: bytearray) -> list[IncomingRequest]:
        found = []
        while len(buffer) >= 4:
            size = _rtu_size(buffer)
            if size is None or len(buffer) < size:
                break
            body = bytes(buffer[: size - 2])
            if crc16(body) == int.from_bytes(buffer[size - 2 : size], "little"):
                found.append(IncomingRequest(body[0], body[1:]))
                del buffer[:size]
            else:
                del buffer[0]  # noise on the line: look for a frame one byte further on
        return found

    def wrap(self, request: IncomingRequest, pdu: bytes) -> bytes:
        body = bytes((request.unit,)) + pdu
        return body + crc16(body).to_bytes(2, "little")


class AsciiServerFraming:
    """Modbus ASCII: colon, hex digits, LRC, CR LF."""

    def split(self, buffer: bytearray) -> list[IncomingRequest]:
        found = []
        while (end := buffer.find(b"\r\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 2]
            try:
                body = bytes.fromhex(line[line.rindex(b":") + 1 :].decode("ascii"))
            except ValueError:
                continue  # noise on the line
            if len(body) >= 3 and sum(body) & 0xFF == 0:
                found.append(IncomingRequest(body[0], body[1:-1]))
        return found

    def wrap(self, request: IncomingRequest, pdu: bytes) -> bytes:
        body = bytes((request.unit,)) + pdu
        return b":" + (body + bytes((-sum(body) & 0xFF,))).hex().upper().encode() + b"\r\n"


def _rtu_size(buffer: bytearray) -> int | None:
    """Length of the request at the beginning of the buffer, None while that cannot be told."""
    if buffer[1] in (15, 16):
        return 9 + buffer[6] if len(buffer) >= 7 else None
    return 8


def _table() -> tuple[int, ...]:
    out = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
        out.append(value)
    return tuple(out)


_CRC: Final = _table()


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS (polynomial 0xA001 reflected, initial 0xFFFF)."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc
