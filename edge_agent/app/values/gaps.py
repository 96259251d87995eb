"""For how long each reading holds, and where nothing is known: between two readings that are too
far apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from edge_agent.app.values.source import ReadingsPage
from edge_agent.stores.columns import Codes, Floats, Longs

#: Gaps that are named one by one; the others are counted.
MOST_GAPS: Final = 1000

Vouched = Callable[[int, int], bool]
"""Whether the values of a device are known to have been current between two times although nothing
came."""


class UnknownSpan(NamedTuple):
    """Nothing is known between two times, ns."""

    start: int
    end: int
    status: int | None
    """Of the reading before it; None when there is none in the window."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadingSpans:
    """Readings with the time until which each holds; `end == start` where what follows is a gap."""

    start: Longs
    end: Longs
    num: Floats
    status: Codes


@dataclass(slots=True)
class GapFinder:
    """Takes readings in order of time. `limit`: ns after which a reading that nobody confirmed
    holds no longer."""

    begin: int
    limit: int
    vouched: Vouched
    gaps: list[UnknownSpan] = field(default_factory=list)
    more: int = 0
    """Gaps beyond those kept."""
    _last: tuple[int, float, int] | None = None

    def feed(self, page: ReadingsPage) -> ReadingSpans:
        """The readings that a later one has followed."""
        t = page.t
        num = page.num
        status = page.status
        if self._last is None:
            if (
                len(t)
                and int(t[0]) - self.begin > self.limit
                and not self.vouched(self.begin, int(t[0]))
            ):
                self._note(UnknownSpan(self.begin, int(t[0]), None))
        else:
            at, number, code = self._last
            t = np.concatenate([np.array([at], np.int64), t])
            num = np.concatenate([np.array([number]), num])
            status = np.concatenate([np.array([code], np.uint32), status])
        if len(t):
            self._last = (int(t[-1]), float(num[-1]), int(status[-1]))
        return self._spans(t[:-1], t[1:].copy(), num[:-1], status[:-1])

    def finish(self, until: int) -> ReadingSpans:
        """The last reading, which holds until the window's end unless that is too far away."""
        if self._last is None:
            none = np.zeros(0, np.int64)
            return ReadingSpans(none, none, np.zeros(0), np.zeros(0, np.uint32))
        at, number, code = self._last
        ends = np.array([until], np.int64)
        return self._spans(
            np.array([at], np.int64), ends, np.array([number]), np.array([code], np.uint32)
        )

    def _spans(self, start: Longs, end: Longs, num: Floats, status: Codes) -> ReadingSpans:
        for place in np.flatnonzero(end - start > self.limit).tolist():
            first = int(start[place])
            last = int(end[place])
            if not self.vouched(first, last):
                self._note(UnknownSpan(first, last, int(status[place])))
                end[place] = first
        return ReadingSpans(start, end, num, status)

    def _note(self, gap: UnknownSpan) -> None:
        if len(self.gaps) < MOST_GAPS:
            self.gaps.append(gap)
        else:
            self.more += 1
