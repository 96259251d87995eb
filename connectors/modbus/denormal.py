"""Floats so small that no sensor measures them: what a wrong word order makes of an ordinary
number.

A float whose exponent bits are all zero and whose value is not 0 is denormal (IEEE 754). Its first
byte is 00 or 80, so one look at the first bytes of all floats of an answer, at C speed, tells
whether any can be one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from operator import itemgetter
from typing import Final

from connectors.modbus.options import ByteOrder
from connectors.modbus.point import WORDS, Point
from edge_agent.sdk import Value

FLOATS: Final = ("float32", "float64")
_SMALLEST_NORMAL: Final = {"float32": 2.0**-126, "float64": 2.0**-1022}
#: First bytes of floats that are neither 0 nor denormal.
LARGE: Final = bytes(byte for byte in range(256) if byte not in (0x00, 0x80))

#: What a plant measures lies within these, whatever its unit; only such readings are offered as a
#: hint.
_PLAUSIBLE: Final = (1e-3, 1e9)

_FORMATS: Final = {"float32": ">f", "float64": ">d"}
_ORDERS: Final[tuple[ByteOrder, ...]] = ("ABCD", "CDAB", "BADC", "DCBA")


def arrange(data: bytes, order: ByteOrder) -> bytes:
    """The bytes of one value, most significant first, in the order they come on the wire; and back
    again."""
    if order in ("CDAB", "DCBA"):
        registers = [data[i : i + 2] for i in range(0, len(data), 2)]
        data = b"".join(reversed(registers))
    if order in ("BADC", "DCBA"):
        swapped = bytearray(data)
        swapped[0::2] = data[1::2]
        swapped[1::2] = data[0::2]
        data = bytes(swapped)
    return data


def _most_significant(point: Point) -> int:
    """The byte of a value's wire bytes that holds its sign and the first bits of its exponent."""
    size = 2 * WORDS[point.type]
    return {"ABCD": 0, "BADC": 1, "CDAB": size - 2, "DCBA": size - 1}[point.order]


class DenormalInArrayError(ValueError):
    """A number of an array is denormal; `numbers` are all of it."""

    def __init__(self, numbers: list[float]) -> None:
        super().__init__("a denormal number")
        self.numbers = numbers


@dataclass(frozen=True, slots=True)
class Floats:
    """The single floats of a block, for a look at all of them at once."""

    places: tuple[tuple[int, float], ...]
    """Column, and the smallest normal number of its type."""
    first_bytes: Callable[[bytes], bytes]
    """From the block's bytes to the most significant byte of each; those of 0 and of denormals are
    not in `LARGE`."""
    column: Callable[[list[Value]], Sequence[Value]]
    """From the table's values to theirs."""

    @classmethod
    def of(cls, start: int, points: Sequence[tuple[int, Point]]) -> Floats | None:
        """Of the points of a block that begins at register `start`; None without floats."""
        floats = [
            (place, point) for place, point in points if point.type in FLOATS and point.count == 1
        ]
        if not floats:
            return None
        offsets = [2 * (point.address - start) + _most_significant(point) for _, point in floats]
        places = tuple((place, _SMALLEST_NORMAL[point.type]) for place, point in floats)
        return cls(places, _bytes_at(offsets), _items_at([place for place, _ in floats]))


def _bytes_at(offsets: Sequence[int]) -> Callable[[bytes], bytes]:
    """The bytes at these offsets; by one slice where they are equally far apart, as in a block of
    floats."""
    even = _even(offsets)
    if even is not None:
        return itemgetter(even)
    scattered = itemgetter(*offsets)
    return lambda data: bytes(scattered(data))


def _items_at(places: Sequence[int]) -> Callable[[list[Value]], Sequence[Value]]:
    even = _even(places)
    return itemgetter(*places) if even is None else itemgetter(even)


def _even(numbers: Sequence[int]) -> slice | None:
    """The slice that takes these numbers, if there is one."""
    first = numbers[0]
    if len(numbers) == 1:
        return slice(first, first + 1)
    step = numbers[1] - first
    if step <= 0 or list(numbers) != list(range(first, first + step * len(numbers), step)):
        return None
    return slice(first, numbers[-1] + 1, step)


def denormals(places: Sequence[tuple[int, float]], values: Sequence[Value]) -> list[int]:
    """Those of the columns whose value is denormal."""
    found = []
    for place, smallest in places:
        value = values[place]
        if isinstance(value, float) and -smallest < value < smallest and value != 0.0:
            found.append(place)
    return found


def denormal_of(value: object, point: Point) -> float | None:
    """The value of a float that is denormal, or the first such number of an array; None without
    one."""
    smallest = _SMALLEST_NORMAL[point.type]
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, float) and -smallest < number < smallest and number != 0.0:
            return number
    return None


def other_readings(value: float, point: Point) -> list[tuple[ByteOrder, float]]:
    """What the other word orders make of the same bytes, where that is a number a plant may
    measure."""
    code = _FORMATS[point.type]
    wire = arrange(struct.pack(code, value), point.order)
    found = []
    for order in _ORDERS:
        (other,) = struct.unpack(code, arrange(wire, order))
        if order != point.order and isfinite(other) and _PLAUSIBLE[0] <= abs(other) < _PLAUSIBLE[1]:
            found.append((order, other))
    return found
