"""Counters that roll over, restart or are replaced: how much was really counted between two moments.

A counter that falls is one of three things, told apart by rule and always reported: a *rollover* (the register's
modulus is known and the step across it is plausible), a *restart* (a part counter set to zero at its target), or a
*break* (a meter replaced, a counter corrected downwards): then nothing is counted and a new epoch begins.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Number = int | float | Fraction
Longs = npt.NDArray[np.int64]
EventKind = Literal["rollover", "restart", "break", "jump"]

U16: Final = 1 << 16
U32: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Rule:
    """How a counter behaves. Numbers are in the counter's own unit, before `ratio`."""

    modulus: int | None = None
    """Where it rolls over to 0: 2**16, 2**32, 10**8; None = not known to roll over."""
    max_step: Number | None = None
    """More between two readings is not plausible; default for a rollover: a sixteenth of the modulus."""
    restarts: bool = False
    """It may be set to zero on purpose: what it shows after falling has been counted since."""
    ratio: Fraction = Fraction(1)
    """CT x PT ratio or pulses per unit, applied once, here."""

    @property
    def rollover_step(self) -> Number:
        return self.max_step if self.max_step is not None else (self.modulus or 0) // 16


@dataclass(frozen=True, slots=True)
class Step:
    """What was counted between two readings, `start < t <= end` (ns)."""

    start: int
    end: int
    amount: Fraction


@dataclass(frozen=True, slots=True)
class Event:
    """A reading that did not simply continue the one before."""

    t: int
    kind: EventKind
    before: Number
    after: Number


@dataclass(frozen=True, slots=True)
class Count:
    """Steps and events of one counter; `total` is exact."""

    steps: tuple[Step, ...]
    events: tuple[Event, ...]

    @property
    def total(self) -> Fraction:
        return sum((step.amount for step in self.steps), Fraction(0))

    def between(self, start: int, end: int) -> Fraction:
        """What was counted in `start..end`; a step that straddles an edge is shared by time, so windows add up."""
        first = bisect_right(self.steps, start, key=lambda step: step.end)
        last = bisect_left(self.steps, end, lo=first, key=lambda step: step.start)
        return sum((_overlap(step, start, end) for step in self.steps[first:last]), Fraction(0))

    def over(self, windows: Sequence[tuple[int, int]]) -> Fraction:
        """What was counted in all these windows together."""
        return sum((self.between(start, end) for start, end in windows), Fraction(0))

    def profile(self, edges: Longs) -> list[Fraction]:
        """What was counted between each of these moments and the next."""
        return [self.between(a, b) for a, b in pairwise(edges.tolist())]


def _overlap(step: Step, start: int, end: int) -> Fraction:
    inside = min(end, step.end) - max(start, step.start)
    return step.amount * Fraction(inside, step.end - step.start)


def count(readings: Sequence[tuple[int, Number]], rule: Rule | None = None) -> Count:
    """Good readings (t in ns, value), sorted by t. A reading at the same time as the one before (a replayed
    duplicate) is ignored; a gap makes one long step. Raises ValueError when times run backwards."""
    rule = rule or Rule()
    steps: list[Step] = []
    events: list[Event] = []
    for (t0, before), (t1, after) in zip(unique := _unique(readings), unique[1:], strict=False):
        amount, kind = _amount(before, after, rule)
        if kind:
            events.append(Event(t1, kind, before, after))
        if amount:
            steps.append(Step(t0, t1, amount * rule.ratio))
    return Count(tuple(steps), tuple(events))


def _unique(readings: Sequence[tuple[int, Number]]) -> list[tuple[int, Number]]:
    kept: list[tuple[int, Number]] = []
    for reading in readings:
        if kept and reading[0] < kept[-1][0]:
            raise ValueError("readings must be sorted by time")
        if not kept or reading[0] > kept[-1][0]:
            kept.append(reading)
    return kept


def _amount(before: Number, after: Number, rule: Rule) -> tuple[Fraction, EventKind | None]:
    rise = Fraction(after) - Fraction(before)
    if rise >= 0:
        too_much = rule.max_step is not None and rise > rule.max_step
        return (Fraction(0), "jump") if too_much else (rise, None)
    if rule.modulus is not None and 0 < rise + rule.modulus <= rule.rollover_step:
        return rise + rule.modulus, "rollover"
    if rule.restarts and 0 <= after <= Fraction(before) / 2:
        return Fraction(after), "restart"
    return Fraction(0), "break"
