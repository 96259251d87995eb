"""A cumulative quantity: what a counter of parts or of energy counted between any two moments,
exactly.

`CountedQuantity` is the only type for it. It is made by `count` from readings and epochs. Inside an
epoch a counter that falls is one of three things, by rule and always reported: a *rollover* (the
register's modulus is known and the step across it is plausible), a *restart* (a part counter set to
zero at its target), or a *break* (a meter replaced, a counter corrected downwards): then nothing is
counted. Nothing is counted across the beginning of an epoch.

Which readings are possible at all is judged before, by `plausibility`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from math import lcm
from typing import Final, Literal

import numpy as np

from edge_agent.metrics.readings import Longs, Number, Readings, integers

EventKind = Literal[
    "rollover",
    "restart",
    "break",
    "epoch",
    "exchange",
    "unit",
    "jump",
    "glitch",
    "false_zero",
    "out_of_range",
]
"""What a counter did besides counting. `unit`: it was read in a unit that is none of its quantity,
and nothing is known of its count. The last four are set aside: their readings count nothing."""

#: Kinds that make a figure provisional until a person has decided.
SET_ASIDE: Final = frozenset({"jump", "glitch", "false_zero", "out_of_range"})

#: What is counted up to a moment between two readings is rounded to so many parts of the counter's
#: unit: per moment and not per sum, so that every split of a window adds up exactly, and the digits
#: stay few.
_PICO: Final = 10**12

#: The counters of parts, by what they count.
PARTS: Final = ("produced", "good", "scrap")

U16: Final = 1 << 16
U32: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class CounterRule:
    """How a counter behaves. Numbers are in the counter's own unit, before `ratio`."""

    modulus: Number | None = None
    """Where it rolls over to 0: 2**16, 2**32, 10**8; None = not known to roll over."""
    max_step: Number | None = None
    """More between two readings is not plausible; default for a rollover: a sixteenth of the
    modulus."""
    restarts: bool = False
    """It may be set to zero on purpose: what it shows after falling has been counted since."""
    ratio: Fraction = Fraction(1)
    """CT x PT ratio or pulses per unit, applied once, here."""


@dataclass(frozen=True, slots=True)
class CounterEvent:
    """A reading that did not simply continue the one before."""

    t: int
    """Of the reading, ns; of several in a row the first."""
    kind: EventKind
    before: Number
    """The reading that counted last."""
    after: Number
    """The reading."""
    amount: Number = 0
    """What is set aside, in the counter's own unit: it would have been counted."""
    readings: int = 1
    """How many readings in a row it speaks of."""
    basis: str = ""
    """By which bound it is not possible: `cycle`, `power`, `max_rate`, `learned`, `range`, `shape`;
    of an epoch: what changed."""
    counted: bool | None = None
    """What a person decided: count it, or leave it aside; None: nobody has decided."""

    @property
    def is_undecided(self) -> bool:
        """Whether figures over it are provisional."""
        return self.kind in SET_ASIDE and self.counted is None


class CountedQuantity:
    """What one counter counted, exactly. Between two readings it is straight, outside all of them
    it is level.

    A total is the last reading less the first, plus what the few steps that do not simply rise
    differ by: so a window costs the readings at its edges, however many lie inside.
    """

    def __init__(
        self,
        readings: Readings,
        odd: Mapping[int, Fraction],
        ratio: Fraction,
        events: Sequence[CounterEvent],
    ):
        """`readings` at rising times; `odd`: place of a reading -> what the step after it counts,
        not its rise."""
        self.readings, self.events = readings, tuple(events)
        self._ratio = ratio
        self._span: tuple[int, int] | None = None
        self._odd = dict(odd)
        self._odd_places = np.array(sorted(odd), np.int64)
        rows = (
            (readings[place][1], readings[place + 1][1], odd[place])
            for place in self._odd_places.tolist()
        )
        excess = (amount - (after - before) for before, after, amount in rows)
        self._excess = list(accumulate(excess, initial=Fraction(0)))

    @property
    def total(self) -> Fraction:
        """All that was counted."""
        t = self.readings.t
        return self.between(int(t[0]), int(t[-1])) if len(t) else Fraction(0)

    def within(self, start: int, end: int) -> CountedQuantity:
        """The same count, level outside `start..end` (ns): what came before and after is
        another's."""
        found = copy(self)
        found._span = (start, end)
        return found

    def between(self, start: int, end: int) -> Fraction:
        """What was counted in `start..end`; a step that straddles an edge is shared by time, so
        windows add up."""
        return self.over([(start, end)]) if start < end else Fraction(0)

    def over(self, windows: Sequence[tuple[int, int]]) -> Fraction:
        """What was counted in all these windows together."""
        if len(self.readings) < 2 or not len(windows):
            return Fraction(0)
        edges = np.array(windows, np.int64).reshape(-1, 2)
        moments, weights = _weighted(
            edges.ravel(), np.tile(np.array([-1, 1], np.int64), len(edges))
        )
        levels, unit = self.levels(moments)
        return Fraction(
            sum(level * weight for level, weight in zip(levels, weights.tolist(), strict=True)),
            unit,
        )

    def profile(self, edges: Longs) -> list[Fraction]:
        """What was counted between each of these moments and the next."""
        return profile([self], edges)

    def levels(self, moments: Longs) -> tuple[list[int], int]:
        """What was counted up to each of these moments, less the same number for all: as integers,
        and their unit."""
        if len(self.readings) < 2:
            return [0] * len(moments), 1
        if self._span is not None:
            moments = np.clip(moments, *self._span)
        place, inside = self._places(moments)
        whole, unit = integers(self.readings.value[place])
        scale = lcm(unit, _PICO, *(number.denominator for number in self._excess))
        whole = [number * (scale // unit) for number in whole]
        if len(self._odd_places):
            excess = [int(number * scale) for number in self._excess]
            before = np.searchsorted(self._odd_places, place, "left").tolist()
            whole = [number + excess[k] for number, k in zip(whole, before, strict=True)]
        for at, share in zip(
            inside.tolist(), self._shares(place[inside], moments[inside], scale), strict=True
        ):
            whole[at] += share
        ratio = self._ratio.numerator
        below = self._ratio.denominator
        return [number * ratio for number in whole], scale * below

    def _places(self, moments: Longs) -> tuple[Longs, Longs]:
        """The reading each moment comes after, and which moments lie inside a step."""
        t = self.readings.t
        place = np.clip(np.searchsorted(t, moments, "right") - 1, 0, len(t) - 1)
        return place, np.flatnonzero((moments > t[place]) & (place < len(t) - 1))

    def _shares(self, place: Longs, moments: Longs, scale: int) -> list[int]:
        """Of the steps from these places what was counted up to each moment, in parts of `scale`,
        half up."""
        t = self.readings.t
        rises, unit = self._rises(place)
        gone = (moments - t[place]).tolist()
        lengths = (t[place + 1] - t[place]).tolist()
        return [
            (2 * rise * past * scale + unit * length) // (2 * unit * length)
            for rise, past, length in zip(rises, gone, lengths, strict=True)
        ]

    def _rises(self, place: Longs) -> tuple[list[int], int]:
        """What the steps from these places count, as integers and their unit."""
        value = self.readings.value
        odd = [self._odd.get(each) for each in place.tolist()] if self._odd else []
        whole, unit = integers(np.concatenate([value[place], value[place + 1]]))
        rises = [
            after - before
            for before, after in zip(whole[: len(place)], whole[len(place) :], strict=True)
        ]
        scale = lcm(unit, *(amount.denominator for amount in odd if amount is not None))
        rises = [rise * (scale // unit) for rise in rises]
        for i, amount in enumerate(odd):
            if amount is not None:
                rises[i] = int(amount * scale)
        return rises, scale

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CountedQuantity):
            return NotImplemented
        return (self.readings, self.events, self._ratio, self._span) == (
            other.readings,
            other.events,
            other._ratio,
            other._span,
        )

    __hash__ = None  # type: ignore[assignment]


def profile(counts: Sequence[CountedQuantity], edges: Longs) -> list[Fraction]:
    """What all these counted between each of the moments and the next."""
    moments = np.asarray(edges, np.int64)
    found = [each.levels(moments) for each in counts]
    unit = lcm(*(own for _, own in found))
    scaled = [[number * (unit // own) for number in levels] for levels, own in found]
    levels = [sum(numbers) for numbers in zip(*scaled, strict=True)] or [0] * len(moments)
    return [Fraction(after - before, unit) for before, after in pairwise(levels)]


def _weighted(moments: Longs, weights: Longs) -> tuple[Longs, Longs]:
    """Each moment once, with the sum of its weights; those that cancel are left out."""
    once, which = np.unique(moments, return_inverse=True)
    sums = np.zeros(len(once), np.int64)
    np.add.at(sums, which, weights)
    return once[sums != 0], sums[sums != 0]


def count(
    readings: Sequence[tuple[int, Number]],
    rule: CounterRule | None = None,
    epochs: Sequence[tuple[int, Number | None]] = (),
    events: Sequence[CounterEvent] = (),
) -> CountedQuantity:
    """Good readings (t in ns, value), sorted by t. A reading at the same time as the one before (a
    replayed duplicate) is ignored; a gap makes one long step. Raises ValueError when times run
    backwards.

    `epochs`: from `t` on a new epoch with this modulus; `events`: what was judged of the readings
    before.
    """
    rule = rule or CounterRule()
    column = (readings if isinstance(readings, Readings) else Readings.of(readings)).unique()
    odd: dict[int, Fraction] = {}
    found: list[CounterEvent] = list(events)
    begins = np.array([t for t, _ in epochs], np.int64)
    joints = {
        int(place) - 1
        for place in np.searchsorted(column.t, begins).tolist()
        if 0 < place < len(column)
    }
    for place in sorted(joints.union(_suspect_places(column, rule).tolist())):
        (_, before), (t, after) = column[place], column[place + 1]
        if place in joints:
            odd[place] = Fraction(0)
            continue
        epoch = int(np.searchsorted(begins, t, "right"))
        modulus = epochs[epoch - 1][1] if epoch else rule.modulus
        amount, kind = step_amount(before, after, rule, modulus)
        if kind:
            odd[place] = amount
            found.append(CounterEvent(t, kind, before, after))
    return CountedQuantity(column, odd, rule.ratio, sorted(found, key=lambda event: event.t))


def made_in(
    counts: Mapping[str, CountedQuantity | None], when: Sequence[tuple[int, int]]
) -> tuple[Fraction | None, Fraction | None]:
    """(produced, good) in all these spans together, from the counters `PARTS`; None = not counted.
    Without a counter of good parts they are the produced ones less the scrap."""
    produced, good, scrap = (
        None if each is None else each.over(when) for each in map(counts.get, PARTS)
    )
    if good is None and produced is not None and scrap is not None:
        good = produced - scrap
    return produced, good


def _suspect_places(column: Readings, rule: CounterRule) -> Longs:
    """Places of the readings after which the counter did not simply rise, or perhaps did not."""
    value = column.value
    odd = value[1:] < value[:-1]
    if rule.max_step is not None:
        odd |= (value[1:] - value[:-1]).astype(np.float64) > 0.999 * float(rule.max_step)
    return np.flatnonzero(odd)


def step_amount(
    before: Fraction, after: Fraction, rule: CounterRule, modulus: Number | None
) -> tuple[Fraction, EventKind | None]:
    """What a step inside one epoch counts, and what it was if it did not simply rise."""
    rise = after - before
    if rise >= 0:
        too_much = rule.max_step is not None and rise > rule.max_step
        return (Fraction(0), "jump") if too_much else (rise, None)
    if modulus is not None:
        most = rule.max_step if rule.max_step is not None else Fraction(modulus) / 16
        if 0 < rise + Fraction(modulus) <= most:
            return rise + Fraction(modulus), "rollover"
    if rule.restarts and 0 <= after <= before / 2:
        return after, "restart"
    return Fraction(0), "break"
