"""Numbers as people wrote them: the shortest decimal that reads back, and scaled integers without
binary noise.

A single-precision 230.7 is 230.69999694824219 as a double, and 2307 x 0.1 is 230.70000000000002.
Neither digit was measured, and every one of them costs bytes on the wire and on disk.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any, Final

import orjson

_FEW: Final = 8
"""Below so many numbers the way through numpy costs more than it saves."""
_MOST_PLACES: Final = 22
"""10**22 is the largest power of ten that a double holds exactly."""
_EXACT: Final = 2**53
_SINGLE: Final = struct.Struct("f")
_ALL_WHOLE: Final = 2.0**24
"""From here on single precision has whole numbers only: they are kept to the last digit, as
counters need it ..."""
_PLAIN: Final = 2.0**53
"""... up to here, where a double is no longer written out in full either."""
_NORMAL: Final = 2.0**-126
"""Below it fewer than six digits may tell a number from its neighbours."""
_FIRST_BYTE: Final = 3 if sys.byteorder == "little" else 0
_FRACTIONAL: Final = bytes(byte for byte in range(256) if byte & 0x7F < 0x4B)
"""First bytes (sign and exponent) of numbers below 2**23: neither large whole ones nor infinite."""
_LARGEST: Final = 3.40282356e38
"""Above it a decimal rounds to no number of single precision."""


def shortest_single(value: float) -> float:
    """A single-precision number as the double of the shortest decimal that is still that
    single-precision number.

    Whole numbers up to 2**53 stay as they are: the shortest decimal of 71687208 would be 71687210,
    and save nothing.
    """
    if not isfinite(value) or _ALL_WHOLE <= abs(value) < _PLAIN:
        return value
    for digits in range(6 if abs(value) >= _NORMAL else 1, 9):
        found = float(f"{value:.{digits}g}")
        if abs(found) <= _LARGEST and _SINGLE.unpack(_SINGLE.pack(found))[0] == value:
            return found
    return float(f"{value:.9g}")


def prepare_singles() -> None:
    """Load what `shortest_singles` needs, which takes a moment that no read should be late by.

    Not done on import: it is 10 MB that an agent without such numbers does not need."""
    import numpy  # noqa: F401


def shortest_singles(values: Sequence[float]) -> list[float]:
    """The same for a column, with a cost for each number about that of encoding it."""
    if len(values) < _FEW:
        return [shortest_single(value) for value in values]
    import numpy as np  # see `prepare_singles`

    # orjson writes single precision with the shortest decimal, and reads it as a double: both
    # without a Python call.
    column = array("f", values).tobytes()
    encoded = orjson.dumps(np.frombuffer(column, np.float32), option=orjson.OPT_SERIALIZE_NUMPY)
    found: list[Any] = orjson.loads(encoded)
    # Reductions of numpy would take as long as all the rest: code that is cold at every read.
    if not column[_FIRST_BYTE::4].translate(None, _FRACTIONAL):
        return found
    return [_kept(value, short) for value, short in zip(values, found, strict=True)]


def _kept(value: float, short: float | None) -> float:
    """What is no number has no decimal, and whole numbers stay as they are."""
    return value if short is None or _ALL_WHOLE <= abs(value) < _PLAIN else short


def integer_scale(scale: float, offset: float) -> Callable[[int], float] | None:
    """`raw * scale + offset` of integers, rounded once: the double nearest to the exact decimal.

    None where the scale is no decimal of a few places, and a product of doubles is all that can be
    had.
    """
    ratio = Decimal(repr(scale))
    shift = Decimal(repr(offset))
    if not (ratio.is_finite() and shift.is_finite()):
        return None
    places = max(0, *(-int(number.as_tuple().exponent) for number in (ratio, shift)))
    if places > _MOST_PLACES:
        return None
    multiplier = int(ratio.scaleb(places))
    addend = int(shift.scaleb(places))
    divisor = 10**places
    if abs(multiplier) > _EXACT or abs(addend) > _EXACT:
        return None

    def scaled(raw: int) -> float:
        value: float = (raw * multiplier + addend) / divisor
        return value

    return scaled
