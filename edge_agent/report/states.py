"""The states of one machine as facts: what was read, and where nothing was known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_agent.metrics.timemodel import Item, Mode
from edge_agent.report.facts import State

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: No health row vouches for the values of this time.
SILENT: Final = "no-coverage"


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A tag at its changes: times, numbers (NaN where the reading was bad) and the status' name of a bad one."""

    t: Longs
    number: Floats
    why: Sequence[str]

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]]) -> Told:
        """From rows `[t, number or None, status name]`."""
        number = [np.nan if row[1] is None else row[1] for row in rows]
        return cls(np.array([row[0] for row in rows], np.int64), np.array(number, np.float64), [row[2] for row in rows])

    def at(self, moments: Longs) -> Longs:
        """The place of what held at each moment; -1 before the first."""
        place: Longs = np.searchsorted(self.t, moments, "right") - 1
        return place


def states(
    items: Told, modes: Told, orders: Told | None, known: Sequence[Sequence[int]], start: int, end: int
) -> tuple[State, ...]:
    """States in `start..end` from the changes of item, mode and (None: there is no such signal) order, inside the
    `known` spans (disjoint, sorted). Before the first reading, and outside these spans, item and mode are 0."""
    spans = np.array(known, np.int64).reshape(-1, 2)
    edges = np.concatenate([*(each.t for each in (items, modes, orders) if each is not None), spans.ravel()])
    t = np.unique(np.append(edges[(edges > start) & (edges < end)], start))
    current = _inside(t, spans)
    item, mode = (_word(each, t, current, len(words)) for each, words in ((items, Item), (modes, Mode)))
    order = np.zeros(len(t), np.int64) if orders is None else _flag(orders, t)
    said = (item * len(Mode) + mode) * 2 + order
    new = np.flatnonzero(np.append(True, said[1:] != said[:-1]))
    told = zip(*(column[new].tolist() for column in (t, item, mode, order, current, items.at(t))), strict=True)
    return tuple(
        State(when, what, how, None if orders is None else bool(job), "" if what else _why(items, seen, place))
        for when, what, how, job, seen, place in told
    )


def _inside(t: Longs, spans: Longs) -> npt.NDArray[np.bool_]:
    place = np.searchsorted(spans[:, 0], t, "right") - 1
    inside = place >= 0
    inside[inside] = t[inside] < spans[place[inside], 1]
    return inside


def _word(told: Told, t: Longs, current: npt.NDArray[np.bool_], words: int) -> Longs:
    """The number of a state at each moment; what is none of its words is 0."""
    number = np.append(np.nan_to_num(told.number), 0.0)  # the last one holds before the first
    number = np.where((number >= 0) & (number < words) & (number == np.floor(number)), number, 0.0)
    word: Longs = np.where(current, number[told.at(t)], 0.0).astype(np.int64)
    return word


def _flag(told: Told, t: Longs) -> Longs:
    """Whether there was an order, as last told by a good reading."""
    good = ~np.isnan(told.number)
    number = np.append(told.number[good], 0.0)
    flag: Longs = (number[np.searchsorted(told.t[good], t, "right") - 1] != 0).astype(np.int64)
    return flag


def _why(items: Told, seen: bool, place: int) -> str:
    if not seen or place < 0:
        return SILENT
    return items.why[place] or "unknown-state"
