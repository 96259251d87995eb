"""How likely chance makes a tag read between two numbers: what such a reading is worth as evidence.
Pure."""

from __future__ import annotations

import math
from typing import Final

from connectors.modbus.address import locate
from connectors.modbus.invalid import InvalidError
from connectors.modbus.options import tag_options
from connectors.modbus.point import data_type

_BITS: Final = {
    "int8": 8,
    "uint8": 8,
    "int16": 16,
    "uint16": 16,
    "int32": 32,
    "uint32": 32,
    "int64": 64,
    "uint64": 64,
    "bcd16": 14,
    "bcd32": 27,
}
_EXPONENTS: Final = {"float32": 256, "float64": 2048}
_SMALLEST: Final = 1e-6
"""A float that is nearer to zero than this is no measurement."""
_TEXT: Final = 0.01
_SMALL_HIGH_WORD: Final = 0.1
"""Of two registers with small numbers of their own, the first is often small enough for a sound
32-bit integer."""
_RUN: Final = 128
"""Registers that are there or not together."""


def chance(where: object, low: float, high: float) -> float:
    """See `discovery.Discovery.chance`: of all patterns of its registers, those that read between
    two raw numbers."""
    tag = tag_options(where)
    type_ = data_type(tag, {})
    if type_ == "bool":
        return 0.5
    if type_ == "string":
        return _TEXT
    if type_ in _EXPONENTS:
        return (_octaves(low, high) + _octaves(-high, -low)) / _EXPONENTS[type_] / 2
    bits = _BITS[type_]
    least, most = (
        (0.0, 2.0**bits - 1) if type_[0] in "ub" else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
    )
    share = max(0.0, min(high, most) - max(low, least) + 1) / (most - least + 1)
    return share if bits <= 16 else max(share, _SMALL_HIGH_WORD)


def place(where: object) -> tuple[str, float]:
    """See `discovery.Discovery.place`: most devices begin at 0, few have anything at 8192."""
    tag = tag_options(where)
    try:
        location = locate(tag.address, tag.base or 0, {})
    except InvalidError:  # an area of the vendor's: anywhere
        return "", 1.0
    at = location.address
    likely = 0.5 if at < 100 else 0.25 if at < 1000 else 0.1 if at < 5000 else 0.05
    return f"{location.object}/{at // _RUN}", likely


def _octaves(low: float, high: float) -> float:
    """The powers of two that a range covers on the positive side."""
    if high <= _SMALLEST:
        return 0.0
    return math.log2(high / max(low, _SMALLEST))
