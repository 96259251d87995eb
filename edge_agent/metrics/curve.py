"""Energy over time as a curve: what was used since its first point, known at some points and straight in between.

For long series of meter readings and of power, as columns; a `counters.Count` says the same of short ones. Numbers
are doubles, taken to the microwatt-hour: finer than any meter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_agent.metrics.counters import Event, Rule, count
from edge_agent.metrics.readings import Number

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Of a kWh: energies are told in so many parts.
NANO: Final = 10**9


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """`kwh[i]` were used from `t[0]` to `t[i]` (ns); outside its points it is level: nothing is known of it there."""

    t: Longs
    kwh: Floats
    events: tuple[Event, ...] = ()

    def between(self, start: int, end: int) -> Fraction:
        """kWh used in `start..end`; windows add up."""
        return self.over([(start, end)])

    def over(self, windows: Sequence[tuple[int, int]]) -> Fraction:
        """kWh used in all these windows together."""
        if not len(self.t) or not windows:
            return Fraction(0)
        edges = self._at(np.array(windows, np.int64))
        return _told(float((edges[:, 1] - edges[:, 0]).sum()))

    def profile(self, edges: Longs) -> list[Fraction]:
        """kWh used between each of these moments and the next."""
        return [Fraction(used, NANO) for used in self.nano(edges).tolist()]

    def nano(self, edges: Longs) -> Longs:
        """The same in integers of 10^-9 kWh: what many curves add up to is a sum of columns."""
        if not len(self.t):
            return np.zeros(len(edges) - 1, np.int64)
        used: Longs = np.rint(np.diff(self._at(edges)) * NANO).astype(np.int64)
        return used

    def _at(self, moments: Longs) -> Floats:
        # From the first point on, because a double holds nanoseconds since 1970 to 256 ns only.
        kwh: Floats = np.interp(moments - self.t[0], self.t - self.t[0], self.kwh)
        return kwh

    @property
    def resolution(self) -> Fraction:
        """The smallest step the counter ever made, kWh; 0 without any."""
        steps = np.diff(self.kwh)
        steps = steps[steps > 0]
        return _told(float(steps.min())) if len(steps) else Fraction(0)

    def seen(self, start: int, end: int) -> bool:
        """Whether a reading lies in the window: without one there is nothing to say about it."""
        return bool(np.any((self.t >= start) & (self.t <= end)))


class Curves:
    """Several meters as one."""

    def __init__(self, curves: Sequence[Curve]) -> None:
        self.curves = curves

    def between(self, start: int, end: int) -> Fraction:
        """kWh used in `start..end`."""
        return self.over([(start, end)])

    def over(self, windows: Sequence[tuple[int, int]]) -> Fraction:
        """kWh used in all these windows together."""
        return sum((curve.over(windows) for curve in self.curves), Fraction(0))

    def profile(self, edges: Longs) -> list[Fraction]:
        """kWh used between each of these moments and the next."""
        used = sum((curve.nano(edges) for curve in self.curves), np.zeros(len(edges) - 1, np.int64))
        return [Fraction(each, NANO) for each in used.tolist()]


def _told(kwh: float) -> Fraction:
    return Fraction(round(kwh * NANO), NANO)


def metered(t: Longs, reading: Floats, rule: Rule) -> Curve:
    """From the readings of an energy counter, sorted by strictly rising `t`; falls and jumps after `rule`."""
    if not len(t):
        return Curve(t, reading)
    rise = np.diff(reading)
    odd = rise < 0 if rule.max_step is None else (rise < 0) | (rise > float(rule.max_step))
    events: list[Event] = []
    for i in np.flatnonzero(odd).tolist():
        step = count([(int(t[i]), plain(reading[i])), (int(t[i + 1]), plain(reading[i + 1]))], _bare(rule))
        rise[i] = float(step.total)
        events += step.events
    return Curve(t, np.concatenate([[0.0], np.cumsum(rise)]) * float(rule.ratio), tuple(events))


def _bare(rule: Rule) -> Rule:
    return Rule(rule.modulus, rule.max_step, rule.restarts)


def plain(number: float) -> Number:
    """A stored number as it was read: whole ones as integers, others by their decimal digits."""
    return int(number) if float(number).is_integer() else Fraction(repr(float(number)))


def moments(start: int, end: int, step: int, changes: Sequence[Longs], known: Sequence[tuple[int, int]]) -> Longs:
    """When a power's energy must be known in `start..end`: at every full step, at these changes, where `known` ends."""
    steps = np.arange(start - start % step, end + step, step)
    points = distinct([np.array([start, end]), steps, *changes, np.array(known, np.int64).ravel()])
    return points[(points >= start) & (points <= end)]


def distinct(columns: Sequence[Longs]) -> Longs:
    """All their values once, rising; of columns that are sorted, faster than numpy's own."""
    values = np.sort(np.concatenate(columns), kind="stable")
    once: Longs = values[np.append(True, values[1:] != values[:-1])[: len(values)]]
    return once


def inside(t: Longs, kwh: Floats, known: Sequence[tuple[int, int]]) -> Curve:
    """From what a power adds up to at moments (the edges of `known` among them): what of it was used inside `known`.

    A reading that was held while nothing was known of the machine is no energy. `known` are disjoint and sorted.
    """
    edges = np.array(known, np.int64).reshape(-1, 2)
    if not np.any((edges[:, 0] < t[-1]) & (edges[:, 1] > t[0])):
        return Curve(t[:0], kwh[:0])
    span = np.searchsorted(edges[:, 0], t[:-1], "right") - 1
    current = (span >= 0) & (t[:-1] < edges[span, 1])
    return Curve(t, np.concatenate([[0.0], np.cumsum(np.where(current, np.diff(kwh), 0.0))]))
