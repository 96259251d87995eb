"""The states of one machine as facts: what was read, and where nothing was known."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final

from edge_agent.metrics.timemodel import Item, Mode, Track, item_of, mode_of
from edge_agent.report.facts import State

Rows = Sequence[Sequence[Any]]
"""`[t, number or None, status name]` at every change."""

#: No health row vouches for the values of this time.
SILENT: Final = "no-coverage"


def states(
    items: Rows, modes: Rows, orders: Rows | None, known: Sequence[Sequence[int]], start: int, end: int
) -> tuple[State, ...]:
    """States in `start..end` from the changes of item, mode and (None: there is no such signal) order, inside the
    `known` spans (disjoint, sorted). Before the first reading, and outside these spans, item and mode are 0."""
    item, mode = (Track([row[0] for row in rows], [row[1] for row in rows]) for rows in (items, modes))
    why = Track([row[0] for row in items], [row[2] for row in items])
    told = [row for row in orders or () if row[1] is not None]
    order = Track([row[0] for row in told], [bool(row[1]) for row in told])
    edges = {start, *(t for track in (item, mode, order) for t in track.times if start < t < end)}
    edges.update(t for span in known for t in span if start < t < end)
    begins = [span[0] for span in known]
    rows: list[State] = []
    for t in sorted(edges):
        place = bisect_right(begins, t) - 1
        current = place >= 0 and t < known[place][1]
        now = item_of(item.at(t, None)) if current else Item.NOT_AVAILABLE
        how = mode_of(mode.at(t, None)) if current else Mode.NONE
        reason = "" if now else SILENT if not current else why.at(t, SILENT) or "unknown-state"
        row = State(t, int(now), int(how), None if orders is None else order.at(t, False), reason)
        if not rows or _said(rows[-1]) != _said(row):
            rows.append(row)
    return tuple(rows)


def _said(row: State) -> tuple[int, int, bool | None]:
    return row.item, row.mode, row.order
