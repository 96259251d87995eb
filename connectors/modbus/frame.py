"""Requests and answers of the Modbus application protocol, V1.1b3: pure functions of bytes.

Every answer is compared with its request: unit, function code, byte count and length must be what was asked for.
Anything else raises ProtocolError, and is never taken for a value.
"""

from __future__ import annotations

import struct
from typing import Final

from connectors.modbus.options import ObjectName
from edge_agent.sdk import Cause, cause, status_of_cause

#: Read Coils, Read Discrete Inputs, Read Holding Registers, Read Input Registers (6.1-6.4).
FUNCTION: Final[dict[ObjectName, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
GATEWAY_PATH_UNAVAILABLE: Final = 0x0A
GATEWAY_TARGET_SILENT: Final = 0x0B

Answer = bytes | int
"""The data bytes of an answer, or the exception code of a refusal."""


#: Exception codes that have a sentence of their own (7, and 7 and 9 of older devices).
_KNOWN_EXCEPTIONS: Final = range(1, 12)


class ProtocolError(Exception):
    """The bytes are no answer to the request that is under way; `cause` says in what way.

    `status` is the name of the quality its tags get; `answered`: a whole frame came for the request, and only its
    content is wrong, so the next request may follow at once.
    """

    def __init__(self, why: Cause | str, status: str = "BadCommunicationError", *, answered: bool = False) -> None:
        """`why` as a text is one for which there is no cause in the table of reasons."""
        self.cause = cause("modbus_foreign", why=why) if isinstance(why, str) else why
        self.status = status
        self.answered = answered
        super().__init__(self.cause.en)

    @classmethod
    def of(cls, name: str, *, answered: bool = False, **facts: object) -> ProtocolError:
        """The error for a cause of the table of reasons."""
        return cls(cause(name, **facts), status_of_cause(name), answered=answered)


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
        raise ProtocolError.of("modbus_wrong_unit", answered=True, unit=request.unit, found=adu[0], request=request)
    if len(adu) == 3 + size and adu[1] == function and adu[2] == size:
        return adu[3:]
    if len(adu) < 3:
        raise ProtocolError.of("modbus_wrong_length", answered=True, found=0, size=size, request=request)
    if adu[1] == function | 0x80 and len(adu) == 3:
        return adu[2]
    if adu[1] != function:
        raise ProtocolError.of("modbus_wrong_function", answered=True, found=adu[1], request=request)
    raise ProtocolError.of("modbus_wrong_length", answered=True, found=len(adu) - 3, size=size, request=request)


def exception_cause(code: int, request: Request) -> Cause:
    """Why a device refused a request, by its exception code."""
    name = f"modbus_exception_{code if code in _KNOWN_EXCEPTIONS else 'other'}"
    return cause(name, code=code, unit=request.unit, request=request)
