"""Long series cut down to what says something: of a counter the first and the last change of a minute, and falls."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_agent.report.facts import MINUTE_NS
from edge_agent.stores import Changes

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def readings(runs: Changes) -> tuple[Longs, Floats]:
    """The good readings of a counter: each run by its first and its last."""
    usable = runs.good
    t = np.stack([runs.first[usable], runs.last[usable]], axis=1).ravel()
    value = np.repeat(runs.num[usable], 2)
    new = np.append(True, t[1:] > t[:-1])[: len(t)]
    return t[new], value[new]


def after(t: Longs, end: int) -> int:
    """The time of the first reading after `end`, which says what the last step inside was; else `end`."""
    later = t[t > end]
    return int(later[0]) if len(later) else end


def steps(t: Longs, value: Floats, at: Longs | None = None) -> Mask:
    """The first reading of all, of the changes the first and the last of each minute, and both sides of every fall.

    A reading is also kept when it is the last before such a change (it tells when the step began), and when it is the
    last or the first around one of the moments `at` (the machine's state changed there: its energy is told apart).
    """
    keep = np.zeros(len(t), bool)
    if len(t) == 0:
        return keep
    changed = np.append(True, value[1:] != value[:-1])
    index = np.flatnonzero(changed)
    minute = t[index] // MINUTE_NS
    edge = np.ones(len(index) + 1, bool)
    edge[1:-1] = minute[1:] != minute[:-1]
    falls = np.zeros(len(index) + 1, bool)
    falls[1:-1] = value[index][1:] < value[index][:-1]
    told = index[edge[:-1] | edge[1:] | falls[:-1] | falls[1:]]
    keep[told] = True
    keep[np.maximum(told - 1, 0)] = True
    if at is not None:
        place = np.searchsorted(t, at)
        keep[np.clip(place, 0, len(t) - 1)] = keep[np.clip(place - 1, 0, len(t) - 1)] = True
    return keep


def numbers(values: Floats) -> list[Any]:
    """As JSON has them: whole ones as integers, none (NaN) as None."""
    return [None if np.isnan(x) else int(x) if float(x).is_integer() else float(x) for x in values]
