"""Readings by steps of equal length: least, greatest, mean by time, last, count and worst quality.
Columns, no I/O."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from edge_agent.app.values.gaps import GapFinder, ReadingSpans, UnknownSpan, Vouched
from edge_agent.app.values.source import ReadingsPage
from edge_agent.stores.columns import Codes, Longs

_SECOND: Final = 1_000_000_000
_BAD: Final = 0x80000000

#: Lengths that people think in, seconds.
_PLAIN: Final = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
)  # fmt: skip


class HistoryStep(NamedTuple):
    """One step. The numbers are None where it has none (texts, nothing but bad readings)."""

    t: int
    low: float | None
    high: float | None
    mean: float | None
    """By time: each reading weighs as long as it was valid. For words and truth values it means
    nothing; see `last`."""
    last: Any
    """The last reading's value; the value valid when the step began if it has no reading of its
    own."""
    readings: int
    """How many; 0: an earlier one holds."""
    status: int
    """The worst of its readings."""


def plain_step(shortest: int) -> int:
    """The first length that people think in, not shorter than so many ns."""
    for seconds in _PLAIN:
        if seconds * _SECOND >= shortest:
            return seconds * _SECOND
    day = _PLAIN[-1] * _SECOND
    return -(-shortest // day) * day


class HistorySteps:
    """All steps of a window, filled page by page. Takes about 60 bytes a step, whatever the number
    of readings."""

    def __init__(
        self, begin: int, until: int, step: int, *, origin: int, limit: int, vouched: Vouched
    ) -> None:
        """`origin`: where a step begins, not later than `begin`; the others as in `GapFinder`. All
        ns."""
        self.origin = origin
        self.step = step
        self._until = until
        self.size = size = max(1, -(-(until - origin) // step))
        self.low, self.high = np.full(size, np.inf), np.full(size, -np.inf)
        self.count = np.zeros(size, np.int64)
        self.worst: Codes = np.zeros(size, np.uint32)
        self.known = np.zeros(size, bool)
        """Steps in which something is known: a reading, or one that holds."""
        self._area, self._seconds = np.zeros(size), np.zeros(size)
        self._total, self._numbers = np.zeros(size), np.zeros(size)
        self._last: list[Any] = [None] * size
        self._finder = GapFinder(begin, limit, vouched)

    @property
    def gaps(self) -> list[UnknownSpan]:
        """Where nothing is known."""
        return self._finder.gaps

    @property
    def more_gaps(self) -> int:
        """Gaps beyond those in `gaps`."""
        return self._finder.more

    def feed(self, page: ReadingsPage) -> None:
        """Readings behind those fed so far."""
        if not len(page):
            return
        places = self._places(page.t)
        usable = ((page.status & np.uint32(_BAD)) == 0) & ~np.isnan(page.num)
        np.add.at(self.count, places, 1)
        np.maximum.at(self.worst, places, page.status)
        self.known[places] = True
        at = places[usable]
        numbers = page.num[usable]
        np.minimum.at(self.low, at, numbers)
        np.maximum.at(self.high, at, numbers)
        np.add.at(self._total, at, numbers)
        np.add.at(self._numbers, at, 1)
        for end in np.flatnonzero(np.append(places[1:] != places[:-1], True)).tolist():
            self._last[int(places[end])] = page.values[end]
        self._hold(self._finder.feed(page))

    def finish(self) -> list[HistoryStep]:
        """Every step in which something is known."""
        self._hold(self._finder.finish(self._until))
        seconds = np.maximum(self._seconds, 1e-300)
        numbers = np.maximum(self._numbers, 1)
        mean = np.where(self._seconds > 0, self._area / seconds, self._total / numbers)
        mean = np.clip(mean, self.low, self.high)
        found: list[HistoryStep] = []
        for place in np.flatnonzero(self.known).tolist():
            low = float(self.low[place])
            numeric = low != np.inf
            found.append(
                HistoryStep(
                    self.origin + place * self.step,
                    low if numeric else None,
                    float(self.high[place]) if numeric else None,
                    float(mean[place]) if numeric else None,
                    self._last[place],
                    int(self.count[place]),
                    int(self.worst[place]),
                )
            )
        return found

    def _places(self, t: Longs) -> Longs:
        places: Longs = np.clip((t - self.origin) // self.step, 0, self.size - 1)
        return places

    def _hold(self, spans: ReadingSpans) -> None:
        """Enter for how long readings were valid. Their values are entered already."""
        if not len(spans.start):
            return
        first, last = (
            self._places(spans.start),
            self._places(np.maximum(spans.end - 1, spans.start)),
        )
        usable = ((spans.status & np.uint32(_BAD)) == 0) & ~np.isnan(spans.num)
        border = self.origin + (first + 1) * self.step
        inside = (np.minimum(spans.end, border) - spans.start) / _SECOND
        inside = np.where(usable, inside, 0.0)
        np.add.at(self._area, first, np.where(usable, spans.num, 0.0) * inside)
        np.add.at(self._seconds, first, inside)
        for place in np.flatnonzero(last > first).tolist():
            number = float(spans.num[place]) if usable[place] else None
            self._fill(
                int(first[place]),
                int(last[place]),
                int(spans.end[place]),
                number,
                int(spans.status[place]),
            )

    def _fill(self, first: int, last: int, end: int, number: float | None, status: int) -> None:
        """A reading of step `first` that holds into steps up to `last`."""
        later = slice(first + 1, last + 1)
        self.known[later] = True
        self.worst[later] = np.maximum(self.worst[later], np.uint32(status))
        for step in range(first + 1, last + 1):
            if not self.count[step]:
                self._last[step] = self._last[first]
        if number is None:
            return
        seconds = np.full(last - first, self.step / _SECOND)
        seconds[-1] = (end - (self.origin + last * self.step)) / _SECOND
        self.low[later] = np.minimum(self.low[later], number)
        self.high[later] = np.maximum(self.high[later], number)
        self._area[later] += number * seconds
        self._seconds[later] += seconds
