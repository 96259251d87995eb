"""Planned working time as spans: the scheduled seconds that coverage and acquisition are measured
against.

A machine that is switched off outside its shifts, or in a planned stop, is as networked as it was:
only time in which it was planned to work counts. Where there is no calendar, or it plans nothing at
all, all time counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_agent.metrics.timemodel import Plan

Longs = npt.NDArray[np.int64]

_END: Final = 2**63 - 1
_REMEMBERED: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class PlannedTime:
    """Disjoint spans (ns), sorted: the shifts without their planned stops."""

    starts: Longs
    ends: Longs
    _within: dict[tuple[int, int], int] = field(default_factory=dict, repr=False)

    def within(self, start: int, end: int) -> int:
        """How much of `start..end` was planned working time, ns; of all devices of a schedule it is
        asked alike."""
        known = self._within.get((start, end))
        if known is None:
            if len(self._within) >= _REMEMBERED:
                self._within.clear()
            known = self._within[start, end] = self._measured(start, end)
        return known

    def _measured(self, start: int, end: int) -> int:
        first, last = (
            int(self.ends.searchsorted(start, "right")),
            int(self.starts.searchsorted(end, "left")),
        )
        if end <= start or first >= last:
            return 0
        inside = int((self.ends[first:last] - self.starts[first:last]).sum())
        before = start - int(self.starts[first])
        after = int(self.ends[last - 1]) - end
        return inside - max(0, before) - max(0, after)

    def before(self, end: int, length: int, earliest: int) -> int:
        """The moment from which on so much planned working time (ns) lies before `end`; `earliest`
        where it does not reach back so far."""
        left = length
        for start, stop in reversed(self.clipped(earliest, end)):
            if stop - start >= left:
                return stop - left
            left -= stop - start
        return earliest

    def clipped(self, start: int, end: int) -> list[tuple[int, int]]:
        """The spans of `start..end`."""
        spans = zip(
            np.maximum(self.starts, start).tolist(),
            np.minimum(self.ends, end).tolist(),
            strict=True,
        )
        return [(a, b) for a, b in spans if a < b]

    def holds(self, t: Longs) -> npt.NDArray[np.bool_]:
        """Whether these moments lie in planned working time."""
        if not len(self.starts):
            return np.zeros(len(t), np.bool_)
        place = np.searchsorted(self.starts, t, "right") - 1
        return (place >= 0) & (t < self.ends[place])


def planned(plan: Iterable[tuple[int, Plan]], end: int = _END) -> PlannedTime:
    """From what is planned from when on, sorted; the last entry holds until `end`."""
    rows: Sequence[tuple[int, Plan]] = list(plan)
    stops = [*(t for t, _ in rows[1:]), end]
    spans = [
        (t, stop)
        for (t, what), stop in zip(rows, stops, strict=False)
        if what is Plan.SHIFT and t < stop
    ]
    edges = np.array(spans, np.int64).reshape(-1, 2)
    return PlannedTime(edges[:, 0], edges[:, 1])
