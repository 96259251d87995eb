"""Readings of a counter as two columns: a month of a counter that changes each second has millions
of them.

A double stands for the decimal digits it is written with, so `0.3` is three tenths. Exact fractions
are made of the few readings a figure asks for, never of the whole column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]
Number = int | float | Fraction
Column = npt.NDArray[Any]
"""float64, read by its decimal digits, or objects: fractions as they are."""

#: Beyond so many places digits are taken from the text of each number.
_PLACES: Final = 9
#: Decimals of at most fifteen digits come back from a double unchanged.
_SAFE: Final = 1e15


class Readings(Sequence[tuple[int, Fraction]]):
    """(t in ns, value), sorted by `t`; as a sequence it gives exact pairs."""

    __slots__ = ("t", "value")

    def __init__(self, t: Longs, value: Column) -> None:
        self.t = t
        self.value = value

    @classmethod
    def of(cls, rows: Iterable[tuple[int, Number]]) -> Readings:
        """From pairs; numbers are taken for what they are, a double for its binary fraction."""
        pairs = list(rows)
        value = np.empty(len(pairs), object)
        value[:] = [Fraction(number) for _, number in pairs]
        return cls(np.array([t for t, _ in pairs], np.int64), value)

    @classmethod
    def written(cls, t: Sequence[int], numbers: Sequence[Fraction]) -> Readings:
        """From exact numbers, as they stand in a file: as doubles where doubles are written the
        same."""
        value, column = (
            np.empty(len(numbers), object),
            np.array([_nearest(number) for number in numbers], np.float64),
        )
        value[:] = numbers
        same = all(map(_same, column.tolist(), numbers))
        return cls(np.array(t, np.int64), column if same else value)

    def texts(self) -> Iterator[tuple[int, str]] | None:
        """(t, decimal digits); None where a reading is no decimal of a double."""
        if self.value.dtype == object:
            return None
        digits = (text.removesuffix(".0") for text in map(_plain, (self.value + 0.0).tolist()))
        return zip(self.t.tolist(), digits, strict=True)

    def __len__(self) -> int:
        return len(self.t)

    @overload
    def __getitem__(self, place: int) -> tuple[int, Fraction]: ...
    @overload
    def __getitem__(self, place: slice) -> Readings: ...
    def __getitem__(self, place: int | slice) -> tuple[int, Fraction] | Readings:
        if isinstance(place, slice):
            return Readings(self.t[place], self.value[place])
        return int(self.t[place]), exact(self.value[place])

    def __iter__(self) -> Iterator[tuple[int, Fraction]]:
        return zip(self.t.tolist(), map(exact, self.value.tolist()), strict=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def unique(self) -> Readings:
        """Of several readings at one time the first. Raises ValueError when times run backwards."""
        steps = np.diff(self.t)
        if np.any(steps < 0):
            raise ValueError("readings must be sorted by time")
        if np.all(steps > 0):
            return self
        new = np.append(True, steps > 0)
        return Readings(self.t[new], self.value[new])


def exact(number: float | Fraction) -> Fraction:
    """A double as the decimal digits it is written with; a fraction as it is."""
    return number if isinstance(number, Fraction) else Fraction(repr(float(number)))


def integers(value: Column) -> tuple[list[int], int]:
    """All as integers of one common unit: value = integer / unit; of doubles their digits, and a
    power of ten."""
    if value.dtype == object:
        unit = lcm(*(number.denominator for number in value))
        return [number.numerator * (unit // number.denominator) for number in value], unit
    for places in range(_PLACES + 1):
        unit = 10**places
        whole = np.rint(value * unit)
        if np.any(np.abs(whole) >= _SAFE):
            break
        if np.array_equal(whole / unit, value):
            return [int(each) for each in whole.tolist()], unit
    texts = [_plain(number) for number in value.tolist()]
    places = max((len(text.partition(".")[2]) for text in texts), default=0)
    parts = (text.partition(".") for text in texts)
    return [int(head + tail.ljust(places, "0")) for head, _, tail in parts], 10**places


def _plain(number: float) -> str:
    """The digits of a number, without an exponent."""
    text = repr(number)
    return format(Decimal(text), "f") if "e" in text else text


def _nearest(number: Fraction) -> float:
    """The nearest double; NaN where there is none."""
    try:
        return float(number)
    except OverflowError:
        return np.nan


def _same(number: float, digits: Fraction) -> bool:
    return not np.isnan(number) and exact(number) == digits
