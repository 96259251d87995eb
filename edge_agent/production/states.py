"""The states of one machine as facts: what was read, and where nothing was known.

In: the changes of its item, mode and order tags, and the spans in which health rows show its values
to be current. Out: `facts.States`, rows of (t ns, item, mode, order, why).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_agent.metrics.timemodel import ItemState, OperationMode
from edge_agent.production.facts import StateColumns

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: No health row vouches for the values of this time.
SILENT: Final = "no-coverage"


@dataclass(frozen=True, slots=True, eq=False)
class TagChanges:
    """A tag at its changes: times, numbers (NaN where the reading was bad) and the status' name of
    a bad one."""

    t: Longs
    number: Floats
    why: Sequence[str]

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]]) -> TagChanges:
        """From rows `[t, number or None, status name]`."""
        number = [np.nan if row[1] is None else row[1] for row in rows]
        return cls(
            np.array([row[0] for row in rows], np.int64),
            np.array(number, np.float64),
            [row[2] for row in rows],
        )

    def at(self, moments: Longs) -> Longs:
        """The place of the last change at each moment; -1 before the first."""
        place: Longs = np.searchsorted(self.t, moments, "right") - 1
        return place


def states(
    items: TagChanges,
    modes: TagChanges,
    orders: TagChanges | None,
    known: Sequence[Sequence[int]],
    start: int,
    end: int,
) -> StateColumns:
    """States in `start..end` from the changes of item, mode and (None: there is no such signal)
    order, inside the `known` spans (disjoint, sorted). Before the first reading, and outside these
    spans, item and mode are 0."""
    spans = np.array(known, np.int64).reshape(-1, 2)
    edges = np.concatenate(
        [*(each.t for each in (items, modes, orders) if each is not None), spans.ravel()]
    )
    t = np.unique(np.append(edges[(edges > start) & (edges < end)], start))
    current = _inside(t, spans)
    item, mode = (
        _word(each, t, current, len(words))
        for each, words in ((items, ItemState), (modes, OperationMode))
    )
    order = np.zeros(len(t), np.int64) if orders is None else _flag(orders, t)
    said = (item * len(OperationMode) + mode) * 2 + order
    new = np.flatnonzero(np.append(True, said[1:] != said[:-1]))
    places = items.at(t)[new].tolist()
    seen = current[new].tolist()
    why = [
        "" if known_item else _why(items, inside, place)
        for known_item, inside, place in zip(item[new].tolist(), seen, places, strict=True)
    ]
    return StateColumns(
        t[new], item[new], mode[new], None if orders is None else order[new] != 0, why
    )


def _inside(t: Longs, spans: Longs) -> npt.NDArray[np.bool_]:
    place = np.searchsorted(spans[:, 0], t, "right") - 1
    inside = place >= 0
    inside[inside] = t[inside] < spans[place[inside], 1]
    return inside


def _word(changes: TagChanges, t: Longs, current: npt.NDArray[np.bool_], words: int) -> Longs:
    """The number of a state at each moment; what is none of its words is 0."""
    number = np.append(np.nan_to_num(changes.number), 0.0)  # the last one holds before the first
    number = np.where((number >= 0) & (number < words) & (number == np.floor(number)), number, 0.0)
    word: Longs = np.where(current, number[changes.at(t)], 0.0).astype(np.int64)
    return word


def _flag(changes: TagChanges, t: Longs) -> Longs:
    """Whether there was an order, by the last good reading."""
    good = ~np.isnan(changes.number)
    number = np.append(changes.number[good], 0.0)
    flag: Longs = (number[np.searchsorted(changes.t[good], t, "right") - 1] != 0).astype(np.int64)
    return flag


def _why(items: TagChanges, seen: bool, place: int) -> str:
    if not seen or place < 0:
        return SILENT
    return items.why[place] or "unknown-state"
