"""Requests and answers of the Modbus application protocol, V1.1b3: pure functions of bytes.

Every answer is compared with its request: unit, function code, byte count and length must be what was asked for.
Anything else raises ProtocolError, and is never taken for a value.
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

Answer = bytes | int
"""The data bytes of an answer, or the exception code of a refusal."""


class ProtocolError(Exception):
    """The bytes are no answer to the request that is under way.

    `status` is the quality its tags get; `answered`: a whole frame came for the request, and only its content is wrong,
    so the next request may follow at once.
    """

    def __init__(self, detail: str, status: str = "BadCommunicationError", *, answered: bool = False) -> None:
        super().__init__(detail)
        self.status = status
        self.answered = answered


class Request:
    """One read, encoded once: `adu` is unit and PDU, `size` the data bytes its answer must have."""

    __slots__ = ("accepted", "address", "adu", "count", "function", "mbap", "promise", "size", "table", "unit")

    def __init__(
        self, unit: int, table: ObjectName, address: int, count: int, accepted: frozenset[int] = frozenset()
    ) -> None:
        """`accepted`: other units whose answer counts as this one's."""
        self.unit = unit
        self.accepted = accepted
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
    size, function = request.size, request.function
    if len(adu) >= 1 and adu[0] != request.unit and adu[0] not in request.accepted:
        raise ProtocolError(
            f"unit {adu[0]} answered {request}; if that is this device, write accept_unit: {adu[0]}", answered=True
        )
    if len(adu) == 3 + size and adu[1] == function and adu[2] == size:
        return adu[3:]
    if len(adu) < 3:
        raise ProtocolError(f"an answer of {len(adu)} bytes to {request}", "BadDecodingError", answered=True)
    if adu[1] == function | 0x80 and len(adu) == 3:
        return adu[2]
    if adu[1] != function:
        raise ProtocolError(f"function code {adu[1]} answers {request}", answered=True)
    raise ProtocolError(
        f"{len(adu) - 3} data bytes, byte count {adu[2]}, instead of {size} for {request}",
        "BadDecodingError",
        answered=True,
    )


def describe_exception(code: int) -> str:
    """An exception code with its name."""
    return f"exception {code} ({EXCEPTIONS.get(code, 'not in the standard')})"
