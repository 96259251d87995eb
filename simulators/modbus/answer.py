"""What a unit answers to a request PDU: function codes 1-4; everything else is refused, writes
above all."""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping
from typing import Final

from simulators.faults import LINK
from simulators.modbus.image import RegisterImage, is_bits

_LOG = logging.getLogger(__name__)

_TABLES: Final = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_LIMITS: Final = {"coil": 2000, "discrete": 2000, "holding": 125, "input": 125}
ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
GATEWAY_NO_RESPONSE: Final = 0x0B


def refuse(pdu: bytes, code: int) -> bytes:
    """An exception response."""
    return bytes((pdu[0] | 0x80 if pdu else 0x80, code))


class UnitBus:
    """The units behind one port or serial line."""

    def __init__(self, units: Mapping[int, RegisterImage], gateway: bool) -> None:
        self.units = dict(units)
        self.gateway = gateway
        """TCP: an unknown unit is answered by exception 0x0B, as a gateway does; a serial line
        stays silent."""
        self.requests = 0

    def answer(self, unit: int, pdu: bytes) -> bytes | None:
        """The response PDU, or None for silence."""
        self.requests += 1
        image = self.units.get(unit)
        if image is None:
            if self.gateway and len(self.units) == 1 and unit in (0, 255):
                image = next(iter(self.units.values()))
            else:
                return refuse(pdu, GATEWAY_NO_RESPONSE) if self.gateway else None
        board = image.device.board
        if board.any_active(LINK):
            return None
        if board.active("slave_timeout"):
            return refuse(pdu, GATEWAY_NO_RESPONSE)
        return read(image, pdu)


def read(image: RegisterImage, pdu: bytes) -> bytes:
    """Serve one read request."""
    table = _TABLES.get(pdu[0]) if pdu else None
    if table is None:
        _LOG.info("modbus-refused device=%s function=%s", image.device.spec.id, pdu[:1].hex())
        return refuse(pdu, ILLEGAL_FUNCTION)
    if len(pdu) != 5:
        return refuse(pdu, ILLEGAL_VALUE)
    address, count = struct.unpack_from(">HH", pdu, 1)
    if not 1 <= count <= _LIMITS[table]:
        return refuse(pdu, ILLEGAL_VALUE)
    data = image.read(table, address, count)
    if data is None:
        return refuse(pdu, ILLEGAL_ADDRESS)
    payload = pack_bits(data) if is_bits(table) else data
    return bytes((pdu[0], len(payload))) + payload


def pack_bits(data: memoryview) -> bytes:
    """Bits (one byte each) eight to a byte, the first in the least significant place."""
    out = bytearray((len(data) + 7) // 8)
    for i, bit in enumerate(data):
        if bit:
            out[i >> 3] |= 1 << (i & 7)
    return bytes(out)
