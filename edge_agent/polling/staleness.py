"""When a value stops being good although nothing failed: nobody confirmed it within its limit.

A polled table is confirmed by its answer. A subscription is confirmed by its keep-alives (the
connector sees to that); what it cannot show is that a tag was never reported at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from edge_agent.model import TagTable

#: The limit where none is configured: so many periods, and not less than so many seconds.
PERIODS: Final = 3.0
AT_LEAST_S: Final = 3.0
#: A configured limit below this many periods would make every value stale before the next read.
FEWEST_PERIODS: Final = 1.5


class Staleness:
    """The last confirmation of each table of one device. All times are the caller's monotonic
    seconds."""

    def __init__(self, tables: Iterable[TagTable], limit: float | None) -> None:
        self._limits = {table: _limit(table, limit) for table in tables}
        self._started: float | None = None
        self._unheard: dict[TagTable, set[int]] = {}
        """Of a subscription, the tags that have not reported yet; see `_awaited`."""
        self.confirmed: dict[TagTable, float] = {}
        """When each polled table was last answered; set by the caller. What is absent is not
        awaited."""

    def begin(self, now: float) -> None:
        """The device is asked from now on: until its first answer, time counts from here."""
        self.confirmed = dict.fromkeys(self._limits, now)

    def forget(self) -> None:
        """The device failed, which was said: there is nothing to wait for until it answers
        again."""
        self.confirmed.clear()
        self._started = None
        self._unheard.clear()

    @property
    def awaits(self) -> bool:
        """Whether any value could be found too old."""
        return bool(self.confirmed) or self._started is not None

    def overdue(self, now: float) -> Iterator[tuple[TagTable, None]]:
        """Tables whose values, or whose first values, are older than their limit; each is told
        once."""
        for table, at in list(self.confirmed.items()):
            if now - at > self._limits[table]:
                del self.confirmed[table]
                yield table, None

    def listening(self, now: float) -> None:
        """A subscription lives: from its first sign of life on, its tags are expected to report."""
        if self._started is None:
            self._started = now
            self.confirmed.clear()

    def note_report(self, table: TagTable, columns: Sequence[int] | None, now: float) -> bool:
        """Tags of a subscription reported; True when one of the table's has not done so before
        this."""
        unheard = self._awaited(table)
        if not unheard:
            return False
        self.listening(now)
        unheard.difference_update(range(len(table)) if columns is None else columns)
        return True

    def overdue_tags(self, now: float) -> Iterator[tuple[TagTable, list[int]]]:
        """Tags of a living subscription that never reported within their limit; each is told
        once."""
        if self._started is None:
            return
        for table in self._limits:
            positions = self._awaited(table)
            if positions and now - self._started > self._limits[table]:
                told = sorted(positions)
                positions.clear()
                yield table, told

    def _awaited(self, table: TagTable) -> set[int]:
        """All tags to begin with. Made when it is asked for: a polled device needs no such set."""
        if table not in self._unheard:
            self._unheard[table] = set(range(len(table)))
        return self._unheard[table]


def _limit(table: TagTable, limit: float | None) -> float:
    if limit is None:
        return max(PERIODS * table.every, AT_LEAST_S)
    return max(limit, FEWEST_PERIODS * table.every)
