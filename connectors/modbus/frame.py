"""Requests and answers of the Modbus application protocol, V1.1b3: pure functions of bytes.

Every answer is held against its request: function code, byte count and length must be what was asked for. What
is anything else raises ProtocolError, and is never taken for a value.
"""

from __future__ import annotations

import struct
from typing import Final

from connectors.modbus.options import ObjectName

#: Read Coils, Read Discrete Inputs, Read Holding Registers, Read Input Registers (6.1-6.4).
FUNCTION: Final[dict[ObjectName, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
GATEWAY_PATH_UNAVAILABLE: Final = 0x0A
GATEWAY_TARGET_SILENT: Final = 0x0B

#: Exception codes and their names (7).
EXCEPTIONS: Final[dict[int, str]] = {
    1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "server device failure",
    5: "acknowledge", 6: "server device busy", 8: "memory parity error", 0x0A: "gateway path unavailable",
    0x0B: "gateway target device failed to respond",
}  # fmt: skip

#: Encapsulated interface transport with MEI type 14, Read Device Identification (6.19, 6.21).
IDENTIFICATION: Final = 0x2B
_DEVICE_IDENTIFICATION: Final = 0x0E
_BASIC_OBJECTS: Final = 1

Answer = bytes | int
"""The data bytes of an answer, or the exception code of a refusal."""


class ProtocolError(Exception):
    """The bytes are no answer to the request that is under way."""


class Request:
    """One read, encoded once: `adu` is unit and PDU, `size` the data bytes its answer must have."""

    __slots__ = ("address", "adu", "count", "function", "mbap", "promise", "size", "table", "unit")

    def __init__(self, unit: int, table: ObjectName, address: int, count: int) -> None:
        self.unit = unit
        self.table = table
        self.function = FUNCTION[table]
        self.address = address
        self.count = count
        self.size = (count + 7) // 8 if self.function <= 2 else 2 * count
        self.adu = struct.pack(">BBHH", unit, self.function, address, count)
        self.mbap = struct.pack(">HH", 0, len(self.adu)) + self.adu
        """All of a Modbus TCP frame behind the transaction id."""
        self.promise = struct.pack(">HHBBB", 0, 3 + self.size, unit, self.function, self.size)
        """What stands between transaction id and data in the answer that is hoped for: every check of it at once."""

    def __repr__(self) -> str:
        return f"unit {self.unit} {self.table}/{self.address} x {self.count}"


def answer(request: Request, adu: bytes) -> Answer:
    """What an answer (unit and PDU, without MBAP header or check sum) says. Raises ProtocolError."""
    size = request.size
    if len(adu) == 3 + size and adu[0] == request.unit and adu[1] == request.function and adu[2] == size:
        return adu[3:]
    if len(adu) < 3:
        raise ProtocolError(f"an answer of {len(adu)} bytes to {request}")
    if adu[0] != request.unit:
        raise ProtocolError(f"unit {adu[0]} answered {request}")
    if adu[1] == request.function | 0x80 and len(adu) == 3:
        return adu[2]
    if adu[1] != request.function:
        raise ProtocolError(f"function code {adu[1]} answers {request}")
    if request.function == IDENTIFICATION and adu[2] == _DEVICE_IDENTIFICATION and identification_size(adu) == len(adu):
        return adu[3:]
    raise ProtocolError(f"{len(adu) - 3} data bytes, byte count {adu[2]}, instead of {size} for {request}")


def describe_exception(code: int) -> str:
    """An exception code with its name."""
    return f"exception {code} ({EXCEPTIONS.get(code, 'not in the standard')})"


class IdentificationRequest(Request):
    """Read Device Identification: vendor, product code and revision, as one stream from the object `address` on.

    The answer is as long as the texts are: `identification_objects` says what its data mean.
    """

    __slots__ = ()

    def __init__(self, unit: int, first: int = 0) -> None:
        super().__init__(unit, "holding", first, 1)
        self.function = IDENTIFICATION
        self.size = 0
        self.adu = bytes((unit, IDENTIFICATION, _DEVICE_IDENTIFICATION, _BASIC_OBJECTS, first))
        self.mbap = struct.pack(">HH", 0, len(self.adu)) + self.adu
        self.promise = b""

    def __repr__(self) -> str:
        return f"unit {self.unit} identification (function 43/14)"


def identification_size(adu: bytes) -> int:
    """The size of an identification answer, unit and PDU, that begins `adu`; of one that is not complete, at least so
    many bytes, and more than there are."""
    if len(adu) < 8:
        return 8
    end = 8
    for _ in range(adu[7]):
        if len(adu) < end + 2:
            return end + 2
        end += 2 + adu[end + 1]
    return end


def identification_objects(data: bytes) -> tuple[dict[int, bytes], int | None]:
    """The objects of an identification answer by their id, and the id to go on with when there are more."""
    objects: dict[int, bytes] = {}
    at = 5
    for _ in range(data[4]):
        size = data[at + 1]
        objects[data[at]] = data[at + 2 : at + 2 + size]
        at += 2 + size
    return objects, data[3] if data[2] == 0xFF else None
