"""Of a counter's readings those that tell what it counted, where figures ask: a month of a counter
that changes each second is two and a half million readings, and a figure needs a few.

A counter only rises between two of its falls, so what it counted is known at a moment from the
readings beside it. Kept are the readings beside every full quarter of an hour, some on both sides
of every fall and of every rise far steeper than the others of its hour (they may not be possible),
and those beside the moments at which a machine's state or its evidence changed; of a quiet hour,
all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_agent.stores.changed_series import HOUR_NS
from edge_agent.stores.columns import Codes, Floats, Longs, SampleRuns

QUARTER_NS: Final = 900_000_000_000
#: Readings kept on each side of a fall or a steep rise.
BESIDE: Final = 3
#: A rise is steep that is so many times the usual one of its hour.
STEEP: Final = 16
#: An hour with no more runs than this is kept as it is: two a minute.
QUIET: Final = 120

_BAD: Final = np.uint32(0x80000000)


def counted(t: Longs, num: Floats, status: Codes, at: Longs) -> SampleRuns:
    """From samples sorted by `t` the runs that tell, no run longer than its full hour. A run is
    good or bad; a bad one is told where it follows a good one that is, or stands at an edge of an
    hour: there the count no longer held."""
    if not len(t):
        return SampleRuns.empty()
    good = ((status & _BAD) == 0) & ~np.isnan(num)
    number = np.where(good, num, np.nan)
    hour = t // HOUR_NS
    new = np.ones(len(t), bool)
    same = (number[1:] == number[:-1]) | ~(good[1:] | good[:-1])
    new[1:] = ~same | (hour[1:] != hour[:-1])
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(t)) - 1
    runs = SampleRuns(
        t[starts], t[ends], number[starts], np.where(good[starts], np.uint32(0), _BAD)
    )
    keep = _decisive_readings(runs, good[starts], at)
    return SampleRuns(runs.first[keep], runs.last[keep], runs.num[keep], runs.status[keep])


def in_order(parts: Sequence[SampleRuns]) -> SampleRuns:
    """The runs of several stretches as one."""
    together = SampleRuns.join(parts, merged=False)
    order = np.argsort(together.first, kind="stable")
    first = together.first[order]
    last = together.last[order]
    return SampleRuns(first, last, together.num[order], together.status[order]).merged()


def _decisive_readings(runs: SampleRuns, good: npt.NDArray[np.bool_], at: Longs) -> Longs:
    _, which, size = np.unique(runs.first // HOUR_NS, return_inverse=True, return_counts=True)
    edge = np.ones(len(runs) + 1, bool)
    edge[1:-1] = which[1:] != which[:-1]
    keep = (size <= QUIET)[which] | edge[:-1] | edge[1:]
    chosen = np.flatnonzero(good)
    keep[chosen[_beside_quarters(runs.first[chosen])]] = True
    keep[chosen[_beside_odd_steps(runs.first[chosen], runs.num[chosen])]] = True
    keep[chosen[_beside(runs.first[chosen], runs.last[chosen], at)]] = True
    keep[1:] |= keep[:-1] & ~good[1:]
    return np.flatnonzero(keep)


def _beside_quarters(first: Longs) -> Longs:
    other = np.ones(len(first) + 1, bool)
    quarter = first // QUARTER_NS
    other[1:-1] = quarter[1:] != quarter[:-1]
    return np.flatnonzero(other[:-1] | other[1:])


def _beside_odd_steps(first: Longs, num: Floats) -> Longs:
    """The readings beside falls, and beside rises far above the median of their hour."""
    if len(num) < 2:
        return np.zeros(0, np.int64)
    rise = np.diff(num)
    odd = rise < 0
    hour = first[1:] // HOUR_NS
    for edge in np.split(np.arange(len(rise)), np.flatnonzero(np.diff(hour)) + 1):
        rising = rise[edge][rise[edge] > 0]
        if len(rising):
            odd[edge] |= rise[edge] > STEEP * np.median(rising)
    places = np.flatnonzero(odd)[:, None] + np.arange(1 - BESIDE, 1 + BESIDE)
    found: Longs = np.unique(places.clip(0, len(num) - 1))
    return found


def _beside(first: Longs, last: Longs, at: Longs) -> Longs:
    """The run a moment lies in or comes after, and the next one where it lies between the two."""
    place = np.searchsorted(first, at, "right") - 1
    at = at[place >= 0]
    place = place[place >= 0]
    following = place[at > last[place]] + 1
    return np.concatenate([place, following[following < len(first)]])
