"""Counters that roll over, restart or are replaced: how much was really counted between two moments.

A counter that falls is one of three things, told apart by rule and always reported: a *rollover* (the register's
modulus is known and the step across it is plausible), a *restart* (a part counter set to zero at its target), or a
*break* (a meter replaced, a counter corrected downwards): then nothing is counted and a new epoch begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from math import lcm
from typing import Final, Literal

import numpy as np

from edge_agent.metrics.readings import Longs, Number, Readings, integers, weighed

EventKind = Literal["rollover", "restart", "break", "jump"]

#: Windows that cut steps of more different lengths than this are told to a millionth of a millionth.
_LENGTHS: Final = 4
_PICO: Final = 10**12

#: The counters of parts, by what they count.
PARTS: Final = ("produced", "good", "scrap")

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
class Event:
    """A reading that did not simply continue the one before."""

    t: int
    kind: EventKind
    before: Number
    after: Number


class Count:
    """What one counter counted, exactly. Between two readings it is straight, outside all of them it is level.

    A total is the last reading less the first, plus what the few steps that do not simply rise differ by: so a window
    costs the readings at its edges, however many lie inside.
    """

    def __init__(self, readings: Readings, odd: Mapping[int, Fraction], ratio: Fraction, events: Sequence[Event]):
        """`readings` at rising times; `odd`: place of a reading -> what the step after it counts, not its rise."""
        self.readings, self.events = readings, tuple(events)
        self._ratio = ratio
        self._odd = dict(odd)
        self._falls = np.array(sorted(odd), np.int64)
        """Places of the odd steps; most of them are falls."""
        rows = ((readings[place][1], readings[place + 1][1], odd[place]) for place in self._falls.tolist())
        excess = (amount - (after - before) for before, after, amount in rows)
        self._excess = list(accumulate(excess, initial=Fraction(0)))

    @property
    def total(self) -> Fraction:
        """All that was counted."""
        t = self.readings.t
        return self.between(int(t[0]), int(t[-1])) if len(t) else Fraction(0)

    def between(self, start: int, end: int) -> Fraction:
        """What was counted in `start..end`; a step that straddles an edge is shared by time, so windows add up."""
        return self.over([(start, end)]) if start < end else Fraction(0)

    def over(self, windows: Sequence[tuple[int, int]]) -> Fraction:
        """What was counted in all these windows together."""
        if len(self.readings) < 2 or not len(windows):
            return Fraction(0)
        edges = np.array(windows, np.int64).reshape(-1, 2)
        return self._at(edges.ravel(), np.tile(np.array([-1, 1], np.int64), len(edges))) * self._ratio

    def profile(self, edges: Longs) -> list[Fraction]:
        """What was counted between each of these moments and the next."""
        return profile([self], edges)

    def _at(self, moments: Longs, weights: Longs) -> Fraction:
        """The exact sum of weight x count up to a moment, over all moments; before `ratio`. The weights add up to 0."""
        place, inside = self._places(moments)
        places, sums = _together(place, weights)
        found = weighed(self.readings.value[places], sums)
        if len(self._falls):
            before, sums = _together(np.searchsorted(self._falls, place, "left"), weights)
            weighted = (self._excess[k] * w for k, w in zip(before.tolist(), sums.tolist(), strict=True))
            found += sum(weighted, Fraction(0))
        gone = (moments[inside] - self.readings.t[place[inside]]) * weights[inside]
        return found + _summed(self._shares(place[inside], gone))

    def levels(self, moments: Longs) -> tuple[list[int], int, list[tuple[int, int, int]]]:
        """What was read up to each of these moments, as integers and their unit, and where a moment lies inside a step
        its place, and the share that comes on top, as numerator and denominator."""
        if len(self.readings) < 2:
            return [0] * len(moments), 1, []
        place, inside = self._places(moments)
        whole, unit = integers(self.readings.value[place])
        if len(self._falls):
            scale = lcm(unit, *{number.denominator for number in self._excess})
            excess = [int(number * scale) for number in self._excess]
            before = np.searchsorted(self._falls, place, "left").tolist()
            whole = [number * (scale // unit) + excess[k] for number, k in zip(whole, before, strict=True)]
            unit = scale
        begun, t = place[inside], self.readings.t
        rises, step = self._rises(begun)
        gone, lengths = (moments[inside] - t[begun]).tolist(), (t[begun + 1] - t[begun]).tolist()
        ratio, below = self._ratio.numerator, self._ratio.denominator
        shares = [
            (i, ratio * rise * past, below * step * length)
            for i, rise, past, length in zip(inside.tolist(), rises, gone, lengths, strict=True)
        ]
        return [number * ratio for number in whole], unit * below, shares

    def _places(self, moments: Longs) -> tuple[Longs, Longs]:
        """The reading each moment comes after, and which moments lie inside a step."""
        t = self.readings.t
        place = np.clip(np.searchsorted(t, moments, "right") - 1, 0, len(t) - 1)
        return place, np.flatnonzero((moments > t[place]) & (place < len(t) - 1))

    def _shares(self, place: Longs, gone: Longs) -> list[Fraction]:
        """Of the steps from these places what was counted in so many ns; those of one length together."""
        parts: dict[int, int] = {}
        rises, unit = self._rises(place)
        lengths = (self.readings.t[place + 1] - self.readings.t[place]).tolist()
        for rise, past, length in zip(rises, gone.tolist(), lengths, strict=True):
            parts[length] = parts.get(length, 0) + rise * past
        return [Fraction(part, length * unit) for length, part in parts.items()]

    def _rises(self, place: Longs) -> tuple[list[int], int]:
        """What the steps from these places count, as integers and their unit."""
        value = self.readings.value
        odd = [self._odd.get(each) for each in place.tolist()] if self._odd else []
        whole, unit = integers(np.concatenate([value[place], value[place + 1]]))
        rises = [after - before for before, after in zip(whole[: len(place)], whole[len(place) :], strict=True)]
        scale = lcm(unit, *(amount.denominator for amount in odd if amount is not None))
        rises = [rise * (scale // unit) for rise in rises]
        for i, amount in enumerate(odd):
            if amount is not None:
                rises[i] = int(amount * scale)
        return rises, scale

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Count):
            return NotImplemented
        return (self.readings, self.events, self._ratio) == (other.readings, other.events, other._ratio)

    __hash__ = None  # type: ignore[assignment]


def profile(counts: Sequence[Count], edges: Longs) -> list[Fraction]:
    """What all these counted between each of the moments and the next."""
    moments = np.asarray(edges, np.int64)
    found = [each.levels(moments) for each in counts]
    unit = lcm(*(own for _, own, _ in found))
    scaled = [[number * (unit // own) for number in whole] for whole, own, _ in found]
    whole = [sum(numbers) for numbers in zip(*scaled, strict=True)] or [0] * len(moments)
    shares: list[dict[int, int]] = [{} for _ in moments]
    for _, _, parts in found:
        for i, part, length in parts:
            shares[i][length] = shares[i].get(length, 0) + part
    steps = zip(pairwise(whole), pairwise(shares), strict=True)
    return [Fraction(b - a, unit) + _difference(after, before) for (a, b), (before, after) in steps]


def _difference(after: dict[int, int], before: dict[int, int]) -> Fraction:
    lengths = after.keys() | before.keys()
    parts = [Fraction(after.get(length, 0) - before.get(length, 0), length) for length in lengths]
    return sum(parts, Fraction(0))


def _together(place: Longs, weights: Longs) -> tuple[Longs, Longs]:
    """Each place once, with the sum of its weights; those that cancel are left out."""
    places, which = np.unique(place, return_inverse=True)
    sums = np.zeros(len(places), np.int64)
    np.add.at(sums, which, weights)
    return places[sums != 0], sums[sums != 0]


def _summed(parts: Sequence[Fraction]) -> Fraction:
    """Exactly, but for the shares of steps of many lengths: their common denominator would grow with every one."""
    if len(parts) > _LENGTHS:
        return Fraction(sum(round(part * _PICO) for part in parts), _PICO)
    return sum(parts, Fraction(0))


def count(readings: Sequence[tuple[int, Number]], rule: Rule | None = None) -> Count:
    """Good readings (t in ns, value), sorted by t. A reading at the same time as the one before (a replayed
    duplicate) is ignored; a gap makes one long step. Raises ValueError when times run backwards."""
    rule = rule or Rule()
    column = (readings if isinstance(readings, Readings) else Readings.of(readings)).unique()
    odd: dict[int, Fraction] = {}
    events: list[Event] = []
    for place in _suspects(column, rule).tolist():
        (_, before), (t, after) = column[place], column[place + 1]
        amount, kind = _amount(before, after, rule)
        if kind:
            odd[place] = amount
            events.append(Event(t, kind, before, after))
    return Count(column, odd, rule.ratio, events)


def made_in(
    counts: Mapping[str, Count | None], when: Sequence[tuple[int, int]]
) -> tuple[Fraction | None, Fraction | None]:
    """(produced, good) in all these spans together, from the counters `PARTS`; None = not counted. Without a counter of
    good parts they are the produced ones less the scrap."""
    produced, good, scrap = (None if each is None else each.over(when) for each in map(counts.get, PARTS))
    if good is None and produced is not None and scrap is not None:
        good = produced - scrap
    return produced, good


def _suspects(column: Readings, rule: Rule) -> Longs:
    """Places of the readings after which the counter did not simply rise, or perhaps did not."""
    value = column.value
    odd = value[1:] < value[:-1]
    if rule.max_step is not None:
        odd |= (value[1:] - value[:-1]).astype(np.float64) > 0.999 * float(rule.max_step)
    return np.flatnonzero(odd)


def _amount(before: Fraction, after: Fraction, rule: Rule) -> tuple[Fraction, EventKind | None]:
    rise = after - before
    if rise >= 0:
        too_much = rule.max_step is not None and rise > rule.max_step
        return (Fraction(0), "jump") if too_much else (rise, None)
    if rule.modulus is not None and 0 < rise + rule.modulus <= rule.rollover_step:
        return rise + rule.modulus, "rollover"
    if rule.restarts and 0 <= after <= before / 2:
        return after, "restart"
    return Fraction(0), "break"
