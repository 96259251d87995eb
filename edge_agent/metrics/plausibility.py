"""Which readings of a counter are possible, and which are set aside: a pure function of the
readings around each.

Three things are judged, in this order. A reading outside the tag's `range` is set aside. An
*excursion* leaves the count and comes back to where it was: upwards a glitch, downwards a false
zero; what lies between is set aside. A step beyond what is possible that stays (a *jump*) counts
nothing and begins a new epoch. A counter that falls and stays low is no business of this module: it
rolled over, was restarted or replaced (`counters`).

Every decision looks at the readings within HORIZON_NS (and at least three of them) before and
after, never at the window a figure is asked for: so figures of adjoining windows rest on the same
decisions and add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from edge_agent.metrics.counters import CounterEvent, CounterRule, EventKind, step_amount
from edge_agent.metrics.readings import Longs, Number, exact

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Basis = Literal["cycle", "power", "max_rate", "learned"]

HOUR_NS: Final = 3_600_000_000_000
#: An excursion that is not over after this (nor after three more readings) is taken for what it
#: looks like.
HORIZON_NS: Final = 6 * HOUR_NS
#: Readings looked at on both sides at least, however far away they are.
AROUND: Final = 3
#: Parts per nominal cycle, and kWh per rated kWh: a nominal cycle or a rated power may be wrong by
#: so much.
MARGIN: Final = 10
#: A burst: so much may have been counted at once, over what the time since the last reading allows.
_BURST_NS: Final = 300_000_000_000
_RATE_BURST_NS: Final = 60_000_000_000
#: Without any bound: an excursion is steep when it rises so many times faster than the count beside
#: it.
_STEEP: Final = 20
_STEEP_ALONE: Final = 2
#: A first or a last reading is left for others to confirm when there are so many steps to compare
#: it with.
_ENOUGH_STEPS: Final = 10


@dataclass(frozen=True, slots=True)
class StepLimit:
    """A step over `dt` may count `burst + per_hour x dt` at the most, in the counter's own unit."""

    basis: Basis
    per_hour: float
    burst: float
    since: int | None = None
    """A learned limit holds from here (ns) until the next one."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is possible of one counter in one epoch."""

    low: float | None = None
    high: float | None = None
    physical: tuple[StepLimit, ...] = ()
    """All of them hold."""
    learned: tuple[StepLimit, ...] = ()
    """Used where there is no physical one; sorted by `since`."""

    def allowed(self, t: Longs, dt: Longs) -> tuple[Floats, list[str]]:
        """The most that steps into readings at `t` over `dt` may count (inf: nothing is known), and
        by which bound."""
        if self.physical:
            most = np.stack(
                [limit.burst + limit.per_hour * (dt / HOUR_NS) for limit in self.physical]
            )
            which = np.argmin(most, axis=0)
            return most.min(axis=0), [self.physical[at].basis for at in which.tolist()]
        begins = np.array([limit.since or 0 for limit in self.learned], np.int64)
        place = np.searchsorted(begins, t, "right") - 1
        per_hour = np.array([*(limit.per_hour for limit in self.learned), 0.0])
        burst = np.array([*(limit.burst for limit in self.learned), np.inf])
        return burst[place] + per_hour[place] * (dt / HOUR_NS), ["learned"] * len(t)


def by_cycle(cycle_s: float, ratio: Fraction = Fraction(1)) -> StepLimit:
    """Of a counter of parts: `MARGIN` times what its nominal cycle makes, and a burst of five
    minutes."""
    return _limit("cycle", MARGIN * 3600.0 / cycle_s / float(ratio), _BURST_NS)


def by_power(rated_kw: float, ratio: Fraction = Fraction(1)) -> StepLimit:
    """Of an energy counter (`ratio`: kWh of a unit): the same of its machine's rated power."""
    return _limit("power", MARGIN * rated_kw / float(ratio), _BURST_NS)


def by_rate(per_hour: float) -> StepLimit:
    """The tag's own `max_rate`, per hour, for a minute more."""
    return _limit("max_rate", per_hour, _RATE_BURST_NS)


def _limit(basis: Basis, per_hour: float, burst_ns: int) -> StepLimit:
    return StepLimit(basis, per_hour, per_hour * burst_ns / HOUR_NS)


@dataclass(frozen=True, slots=True)
class Decision:
    """A person decided of the readings at `since <= t < until` (ns): they count after all, or they
    do not."""

    since: int
    until: int
    counted: bool


@dataclass(frozen=True, slots=True, eq=False)
class CounterRuns:
    """Good readings of a counter as runs of equal ones: all from `first[i]` to `last[i]` (ns) were
    `value[i]`."""

    first: Longs
    last: Longs
    value: Floats

    def __len__(self) -> int:
        return len(self.first)

    def only(self, keep: Mask) -> CounterRuns:
        return CounterRuns(self.first[keep], self.last[keep], self.value[keep])


@dataclass(frozen=True, slots=True, eq=False)
class JudgedRuns:
    """Of each run whether it counts, where new epochs begin (ns), and what was seen."""

    keep: Mask
    epochs: tuple[int, ...] = ()
    events: tuple[CounterEvent, ...] = ()


def judge(
    runs: CounterRuns, bounds: Bounds, rule: CounterRule, decisions: Sequence[Decision] = ()
) -> JudgedRuns:
    """Which of these readings count, and what was seen of the others."""
    judging = _Judging(runs, bounds, rule, decisions)
    judging.out_of_range()
    judging.excursions()
    judging.jumps()
    return JudgedRuns(
        judging.keep,
        tuple(sorted(judging.epochs)),
        tuple(sorted(judging.events, key=lambda e: e.t)),
    )


@dataclass(eq=False)
class _Judging:
    runs: CounterRuns
    bounds: Bounds
    rule: CounterRule
    decisions: Sequence[Decision]
    keep: Mask = field(init=False)
    epochs: set[int] = field(default_factory=set)
    events: list[CounterEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keep = np.ones(len(self.runs), bool)

    # --- readings outside the range ---------------------------------------------------------------

    def out_of_range(self) -> None:
        value = self.runs.value
        low = self.bounds.low
        high = self.bounds.high
        outside = np.zeros(len(value), bool)
        if low is not None:
            outside |= value < low
        if high is not None:
            outside |= value > high
        for start, end in _stretches(outside):
            if not self._decided(start):
                before = start - 1 if start else start
                self._set_aside("out_of_range", before, list(range(start, end)), "range")

    def _decision(self, place: int) -> bool | None:
        t = int(self.runs.first[place])
        return next((each.counted for each in self.decisions if each.since <= t < each.until), None)

    def _decided(self, place: int) -> bool:
        """Whether a person had this reading counted."""
        return self._decision(place) is True

    def _set_aside(self, kind: EventKind, before: int, places: Sequence[int], basis: str) -> None:
        runs = self.runs
        at = places[0]
        readings = sum(1 + int(runs.first[place] < runs.last[place]) for place in places)
        self.keep[list(places)] = False
        self._note(
            kind,
            before,
            at,
            abs(exact(runs.value[at]) - exact(runs.value[before])),
            readings,
            basis,
        )

    def _note(
        self, kind: EventKind, before: int, at: int, amount: Number, readings: int, basis: str
    ) -> None:
        runs = self.runs
        values = exact(runs.value[before]), exact(runs.value[at])
        decided = self._decision(at)
        self.events.append(
            CounterEvent(int(runs.first[at]), kind, *values, amount, readings, basis, decided)
        )

    # --- excursions -------------------------------------------------------------------------------

    def excursions(self) -> None:
        """Each fall is the end of a glitch, or the beginning of a false zero, or neither."""
        alive = np.flatnonzero(self.keep)
        value = self.runs.value[alive]
        for place in np.flatnonzero(value[1:] < value[:-1]).tolist():
            top = int(alive[place])
            low = int(alive[place + 1])
            if not (self.keep[top] and self.keep[low]):
                top, low = self._neighbours(top, low)
                if low < 0 or top < 0 or self.runs.value[low] >= self.runs.value[top]:
                    continue
            self._excursion(top, low)

    def _neighbours(self, top: int, low: int) -> tuple[int, int]:
        """The nearest readings that still count: at or before `top`, at or after `low`; -1 for
        none."""
        before = np.flatnonzero(self.keep[: top + 1])
        after = np.flatnonzero(self.keep[low:])
        return (int(before[-1]) if len(before) else -1), (low + int(after[0]) if len(after) else -1)

    def _excursion(self, top: int, low: int) -> None:
        glitch = (
            self._glitch(top, low)
            or self._glitch_and_zero(top, low)
            or self._glitch_and_fall(top, low)
        )
        if glitch:
            base = self._before(glitch[0], 1)[-1]
            if not self._decided(glitch[0]):
                self._set_aside("glitch", base, glitch, self._basis(base, glitch[0]))
            return
        zeros = self._false_zero(top, low)
        if zeros and not self._decided(zeros[0]) and not self._top_of_glitch(top, zeros):
            self._set_aside("false_zero", top, zeros, "shape")

    def _basis(self, before: int, at: int) -> str:
        most, basis = self._allowed([before], [at])
        over = _difference(self.runs.value[at], self.runs.value[before]) > most[0]
        return basis[0] if over else "shape"

    def _before(self, place: int, number: int) -> list[int]:
        """So many readings that count before a place, in order."""
        found: list[int] = []
        at = place - 1
        while at >= 0 and len(found) < number:
            if self.keep[at]:
                found.append(at)
            at -= 1
        return found[::-1]

    def _after(self, place: int, number: int) -> list[int]:
        found: list[int] = []
        at = place + 1
        while at < len(self.runs) and len(found) < number:
            if self.keep[at]:
                found.append(at)
            at += 1
        return found

    def _glitch(self, top: int, low: int) -> list[int]:
        """The readings from after the last one that `low` continues up to `top`, if they left the
        count steeply."""
        runs, start = (
            self.runs,
            int(np.searchsorted(self.runs.first, self.runs.first[low] - HORIZON_NS)),
        )
        near = self._before(low, AROUND + 1)
        start = min(start, near[0] if near else start)
        below = np.flatnonzero(self.keep[start:top] & (runs.value[start:top] <= runs.value[low]))
        if not len(below):
            return []
        base = start + int(below[-1])
        between = [base + 1 + int(at) for at in np.flatnonzero(self.keep[base + 1 : top + 1])]
        alone = self._alone(between)
        explained = self.rule.restarts and runs.value[low] <= runs.value[top] / 2
        steep = (alone and not explained) or self._steep(base, between[0], base, low, alone)
        return between if steep and self._continues(base, low) else []

    def _glitch_and_zero(self, top: int, low: int) -> list[int]:
        """The readings from one that left the count steeply up to one that comes back to it from
        below."""
        runs = self.runs
        before = self._before(top, AROUND)
        base = next((at for at in reversed(before) if runs.value[at] < runs.value[top]), -1)
        if base < 0 or runs.value[base] <= runs.value[low]:
            return []
        reach = int(np.searchsorted(runs.first, runs.last[base] + HORIZON_NS, "right"))
        back = np.flatnonzero(
            self.keep[low + 1 : reach] & (runs.value[low + 1 : reach] >= runs.value[base])
        )
        if not len(back):
            return []
        over = low + 1 + int(back[0])
        between = [base + 1 + int(at) for at in np.flatnonzero(self.keep[base + 1 : over])]
        steep = self._steep(base, between[0], base, over, alone=False) and self._steep(
            between[-1], over, base, over, alone=False
        )
        return between if steep and self._continues(base, over) else []

    def _glitch_and_fall(self, top: int, low: int) -> list[int]:
        """The readings from after one that the count left steeply up to `top`, where `low` is below
        it: a counter that loses power shows nonsense, and then what it had kept, or zero. Nothing
        comes back here to show what was true, so it must be over soon, and the rise far beyond all
        of the steps around."""
        runs = self.runs
        for base in reversed(
            [at for at in self._before(top, AROUND) if runs.value[at] >= runs.value[low]]
        ):
            following = self._following(base)
            between = following[: following.index(low)] if low in following else []
            if not between or runs.value[between].min() <= runs.value[base]:
                return []
            dt = max(1, int(runs.first[between[0]] - runs.last[base]))
            beside = (
                [*self._before(base, AROUND - 1), base],
                following[len(between) :][: AROUND + 1],
            )
            steps = [
                self._rise(*pair, dt, whole=True) for side in beside for pair in pairwise(side)
            ]
            rise = _difference(runs.value[between[0]], runs.value[base])
            known = [step for step in steps if step > 0]
            if (
                known
                and rise > _STEEP * max(known)
                and not self._possible_parts(between[0], rise, dt)
            ):
                return between
        return []

    def _following(self, place: int) -> list[int]:
        """The readings that count after a place, as far as a decision looks."""
        near = self._after(place, AROUND)
        reach = int(np.searchsorted(self.runs.first, self.runs.last[place] + HORIZON_NS, "right"))
        reach = max(reach, near[-1] + 1 if near else reach)
        return (place + 1 + np.flatnonzero(self.keep[place + 1 : reach])).tolist()

    def _possible_parts(self, at: int, rise: float, dt: int) -> bool:
        """Whether a counter of parts can have risen so far by what is known of its machine."""
        most, _ = self.bounds.allowed(self.runs.first[[at]], np.array([dt]))
        return bool(self.rule.restarts and np.isfinite(most[0]) and rise <= most[0])

    def _false_zero(self, top: int, low: int) -> list[int]:
        """The readings from `low` up to the one that comes back to `top` in one steep step."""
        runs, reach = (
            self.runs,
            int(np.searchsorted(self.runs.first, self.runs.last[top] + HORIZON_NS, "right")),
        )
        near = self._after(low, AROUND)
        reach = max(reach, near[-1] + 1 if near else reach)
        back = np.flatnonzero(
            self.keep[low + 1 : reach] & (runs.value[low + 1 : reach] >= runs.value[top])
        )
        if not len(back):
            return []
        over = low + 1 + int(back[0])
        between = [low + int(at) for at in np.flatnonzero(self.keep[low:over])]
        alone = self._alone(between)
        steep = (alone and not self.rule.restarts) or self._steep(
            between[-1], over, top, over, alone
        )
        return between if steep and self._continues(top, over) else []

    def _top_of_glitch(self, top: int, zeros: Sequence[int]) -> bool:
        """Whether `top` is itself part of a glitch that is over soon after, by another fall: two
        high readings of which the second is a little lower, and hours later a third one as high,
        are two glitches and no false zero between them. Of the two the shorter one is believed."""
        for low in zeros[1 : 1 + AROUND]:
            before = self._before(low, 1)[-1]
            if self.runs.value[low] >= self.runs.value[before]:
                continue
            glitch = self._glitch(before, low)
            if top in glitch and len(glitch) < len(zeros):
                return True
        return False

    def _alone(self, places: Sequence[int]) -> bool:
        return len(places) == 1 and self.runs.first[places[0]] == self.runs.last[places[0]]

    def _continues(self, before: int, after: int) -> bool:
        most, _ = self._allowed([before], [after])
        return bool(_difference(self.runs.value[after], self.runs.value[before]) <= most[0])

    def _steep(self, before: int, after: int, left: int, right: int, alone: bool) -> bool:
        """Whether the step rises beyond what is possible; without a bound, or of one reading alone,
        beyond what the count does beside the excursion: between `left` and `right`, and in the
        steps before and after these."""
        runs = self.runs
        rise = _difference(runs.value[after], runs.value[before])
        dt = max(1, int(runs.first[after] - runs.last[before]))
        t = runs.first[[after]]
        (most,), _ = self.bounds.allowed(t, np.array([dt]))
        if rise > most:
            return True
        if np.isfinite(most) and not alone and self.rule.restarts:
            # A burst is left to steps that stay: what comes back to the count made no parts at
            # once.
            (burst,), _ = self.bounds.allowed(t, np.array([0]))
            if rise <= most - burst:
                return False
        beside = self._rise(left, right, dt, whole=False)
        steps = [self._rise(at, left, dt, whole=True) for at in self._before(left, 1)]
        steps += [self._rise(right, at, dt, whole=True) for at in self._after(right, 1)]
        # a fall says nothing, and one of the two may be odd itself
        known = [step for step in steps if step >= 0]
        if not known:
            return False
        return rise > (_STEEP_ALONE if alone else _STEEP) * max(beside, min(known, default=0.0))

    def _rise(self, before: int, after: int, dt: int, *, whole: bool) -> float:
        """What the count rises in `dt` as fast as between two readings; `whole`: at least as much
        as between them."""
        amount = _difference(self.runs.value[after], self.runs.value[before])
        scaled = amount * dt / max(1, int(self.runs.first[after] - self.runs.last[before]))
        return max(amount, scaled) if whole else scaled

    # --- steps that are not possible --------------------------------------------------------------

    def _allowed(self, before: Sequence[int], after: Sequence[int]) -> tuple[Floats, list[str]]:
        """The most that steps between these runs may count. Energy may have gathered unseen since
        the count last changed, in a meter that shows whole units; a part is counted when it is
        made."""
        runs = self.runs
        since = runs.last if self.rule.restarts else runs.first
        t = runs.first[list(after)]
        return self.bounds.allowed(t, t - since[list(before)])

    def jumps(self) -> None:
        alive = np.flatnonzero(self.keep)
        if len(alive) < 2:
            return
        before = alive[:-1]
        after = alive[1:]
        runs = self.runs
        with np.errstate(over="ignore"):
            rise = runs.value[after] - runs.value[before]
        most, basis = self._allowed(before.tolist(), after.tolist())
        for place in np.flatnonzero((rise > most) | (rise < 0)).tolist():
            following = int(after[place + 1]) if place + 1 < len(after) else None
            if self.keep[before[place]]:
                self._step(
                    int(before[place]),
                    int(after[place]),
                    following,
                    float(most[place]),
                    basis[place],
                )
        self._first(int(before[0]), int(after[0]), bool(np.isfinite(most[0])))
        self._last(int(before[-1]), int(after[-1]), bool(np.isfinite(most[-1])))

    def _step(
        self, before: int, after: int, following: int | None, most: float, basis: str
    ) -> None:
        values = exact(self.runs.value[before]), exact(self.runs.value[after])
        amount, _ = step_amount(*values, self.rule, self.rule.modulus)
        if amount <= most or self._decided(after):
            return
        if (
            following is not None
            and self._alone([after])
            and self.runs.value[following] < self.runs.value[after]
        ):
            # The counter was set to zero, or replaced, right after a glitch: what it fell from is
            # the reading before.
            self._set_aside("glitch", before, [after], basis)
            return
        self.epochs.add(int(self.runs.first[after]))
        self._note("jump", before, after, amount, 1, basis)

    def _first(self, before: int, after: int, bounded: bool) -> None:
        """The oldest reading, of a counter without any bound: many devices show zero until they
        have read their own memory. Far below all that follows, at the usual distance in time, it is
        no count to begin at."""
        runs = self.runs
        rise = _difference(runs.value[after], runs.value[before])
        if bounded or rise <= 0 or self._decided(after):
            return
        near = np.array(self._following(before), np.int64)
        if len(near) < AROUND:
            return
        with np.errstate(over="ignore"):
            steps = np.diff(runs.value[near])
        pauses = runs.first[near[1:]] - runs.last[near[:-1]]
        rising = steps[steps > 0]
        needed = AROUND - 1 if runs.value[before] == 0 else _ENOUGH_STEPS
        dt = int(runs.first[after] - runs.last[before])
        if (
            len(rising) >= needed
            and dt <= 2 * int(pauses.max())
            and rise > _STEEP * float(rising.max())
        ):
            self.epochs.add(int(runs.first[after]))
            self._note(
                "jump",
                before,
                after,
                exact(runs.value[after]) - exact(runs.value[before]),
                1,
                "shape",
            )

    def _last(self, before: int, after: int, bounded: bool) -> None:
        """The newest reading, of a counter without any bound: far beyond all steps of the last
        hours it waits for the next one."""
        runs = self.runs
        rise = _difference(runs.value[after], runs.value[before])
        if (
            bounded
            or rise <= 0
            or after != len(runs) - 1
            or not self._alone([after])
            or self._decided(after)
        ):
            return
        start = int(np.searchsorted(runs.last, runs.last[before] - HORIZON_NS))
        near = start + np.flatnonzero(self.keep[start : before + 1])
        with np.errstate(over="ignore"):
            steps = np.diff(runs.value[near])
        steps = steps[steps > 0]
        if len(steps) < _ENOUGH_STEPS:
            return
        span = max(1, int(runs.first[near[-1]] - runs.first[near[0]]))
        rate = float(steps.sum()) / span
        if rise > _STEEP * max(
            float(steps.max()), rate * int(runs.first[after] - runs.last[before])
        ):
            self.epochs.add(int(runs.first[after]))
            self._note(
                "jump",
                before,
                after,
                exact(runs.value[after]) - exact(runs.value[before]),
                1,
                "shape",
            )


def _difference(after: float, before: float) -> float:
    """Beyond all numbers a double has: infinite, and no warning."""
    return float(after) - float(before)


def _stretches(mask: Mask) -> list[tuple[int, int]]:
    """Where it is True, as (start, end) places."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
