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

from edge_agent.metrics.counters import Event, Number, Rule, count

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_HOUR_NS: Final = 3.6e12
_DIGITS: Final = 9


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
        edges = np.interp(np.array(windows, np.int64), self.t, self.kwh)
        return Fraction(str(round(float((edges[:, 1] - edges[:, 0]).sum()), _DIGITS)))

    @property
    def resolution(self) -> Fraction:
        """The smallest step the counter ever made, kWh; 0 without any."""
        steps = np.diff(self.kwh)
        steps = steps[steps > 0]
        return Fraction(str(round(float(steps.min()), _DIGITS))) if len(steps) else Fraction(0)

    def seen(self, start: int, end: int) -> bool:
        """Whether a reading lies in the window: without one there is nothing to say about it."""
        return bool(np.any((self.t >= start) & (self.t <= end)))


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


def integrated(t: Longs, kw: Floats, known: Sequence[tuple[int, int]]) -> Curve:
    """From a power tag: a value (NaN = none) holds until the next one, inside the spans in which it was current.

    `t` rises strictly; `known` are disjoint and sorted.
    """
    edges = np.array(known, np.int64).reshape(-1, 2)
    if not len(t) or not len(edges):
        return Curve(t[:0], kw[:0])
    points = np.unique(np.concatenate([t, edges.ravel()]))
    place = np.searchsorted(t, points, "right") - 1
    span = np.searchsorted(edges[:, 0], points, "right") - 1
    current = (place >= 0) & (span >= 0) & (points < edges[span, 1])
    rate = np.where(current, np.nan_to_num(kw[place]), 0.0)
    used = rate[:-1] * np.diff(points) / _HOUR_NS
    return Curve(points, np.concatenate([[0.0], np.cumsum(used)]))
