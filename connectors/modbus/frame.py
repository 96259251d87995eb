"""Requests and answers of the Modbus application protocol, V1.1b3: pure functions of bytes.

Every answer is compared with its request: unit, function code, byte count and length must be what
was asked for. Anything else raises ProtocolError, and is never taken for a value.
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

#: Encapsulated interface transport with MEI type 14, Read Device Identification (6.19, 6.21).
IDENTIFICATION: Final = 0x2B
_DEVICE_IDENTIFICATION: Final = 0x0E
_BASIC_OBJECTS: Final = 1

Answer = bytes | int
"""The data bytes of an answer, or the exception code of a refusal."""


#: Exception codes that have a sentence of their own (7, and 7 and 9 of older devices).
_KNOWN_EXCEPTIONS: Final = range(1, 12)


class ProtocolError(Exception):
    """The bytes are no answer to the request that is under way; `cause` says in what way.

    `status` is the name of the quality its tags get; `answered`: a whole frame came for the
    request, and only its content is wrong, so the next request may follow at once.
    """

    def __init__(
        self, why: Cause, status: str = "BadCommunicationError", *, answered: bool = False
    ) -> None:
        self.cause = why
        self.status = status
        self.answered = answered
        super().__init__(self.cause.en)

    @classmethod
    def of(cls, name: str, *, answered: bool = False, **facts: object) -> ProtocolError:
        """The error for a cause of the table of reasons."""
        return cls(cause(name, **facts), status_of_cause(name), answered=answered)


class ReadRequest:
    """One read, encoded once: `adu` is unit and PDU, `size` the data bytes its answer must have."""

    __slots__ = (
        "accepted",
        "address",
        "adu",
        "count",
        "function",
        "mbap",
        "promise",
        "size",
        "table",
        "unit",
    )

    def __init__(
        self,
        unit: int,
        table: ObjectName,
        address: int,
        count: int,
        accepted: frozenset[int] = frozenset(),
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
        """What stands between transaction id and data in the answer that is hoped for: every check
        of it at once."""

    def __repr__(self) -> str:
        return f"unit {self.unit} {self.table}/{self.address} x {self.count}"


def answer(request: ReadRequest, adu: bytes) -> Answer:
    """What an answer (unit and PDU, without MBAP header or check sum) says. Raises
    ProtocolError."""
    size = request.size
    function = request.function
    if len(adu) >= 1 and adu[0] != request.unit and adu[0] not in request.accepted:
        raise ProtocolError.of(
            "modbus_wrong_unit", answered=True, unit=request.unit, found=adu[0], request=request
        )
    if size and len(adu) == 3 + size and adu[1] == function and adu[2] == size:
        return adu[3:]
    if len(adu) < 3:
        raise ProtocolError.of(
            "modbus_short_answer", answered=True, found=len(adu), request=request
        )
    if adu[1] == function | 0x80 and len(adu) == 3:
        return adu[2]
    if adu[1] != function:
        raise ProtocolError.of(
            "modbus_wrong_function", answered=True, found=adu[1], request=request
        )
    if function == IDENTIFICATION:
        if adu[2] == _DEVICE_IDENTIFICATION and identification_size(adu) == len(adu):
            return adu[3:]
        raise ProtocolError.of(
            "modbus_identification", answered=True, found=len(adu), request=request
        )
    # as many as there are, or as the frame says there are
    found = len(adu) - 3 if len(adu) - 3 != size else adu[2]
    raise ProtocolError.of(
        "modbus_wrong_length", answered=True, found=found, size=size, request=request
    )


def exception_cause(code: int, request: ReadRequest) -> Cause:
    """Why a device refused a request, by its exception code."""
    name = f"modbus_exception_{code if code in _KNOWN_EXCEPTIONS else 'other'}"
    return cause(name, code=code, unit=request.unit, request=request)


class IdentificationRequest(ReadRequest):
    """Read Device Identification: vendor, product code and revision, as one stream from the object
    `address` on.

    The answer is as long as the texts are: `identification_objects` says what its data mean.
    """

    __slots__ = ()

    def __init__(self, unit: int, first: int = 0, accepted: frozenset[int] = frozenset()) -> None:
        super().__init__(unit, "holding", first, 1, accepted)
        self.function = IDENTIFICATION
        self.size = 0
        self.adu = bytes((unit, IDENTIFICATION, _DEVICE_IDENTIFICATION, _BASIC_OBJECTS, first))
        self.mbap = struct.pack(">HH", 0, len(self.adu)) + self.adu
        self.promise = b""

    def __repr__(self) -> str:
        return f"unit {self.unit} identification (function 43/14)"


def identification_size(adu: bytes) -> int:
    """The size of an identification answer, unit and PDU, that begins `adu`; of one that is not
    complete, at least so many bytes, and more than there are."""
    if len(adu) < 8:
        return 8
    end = 8
    for _ in range(adu[7]):
        if len(adu) < end + 2:
            return end + 2
        end += 2 + adu[end + 1]
    return end


def identification_objects(data: bytes) -> tuple[dict[int, bytes], int | None]:
    """The objects of an identification answer by their id, and the id to go on with when there are
    more."""
    objects: dict[int, bytes] = {}
    at = 5
    for _ in range(data[4]):
        size = data[at + 1]
        objects[data[at]] = data[at + 2 : at + 2 + size]
        at += 2 + size
    return objects, data[3] if data[2] == 0xFF else None
