"""Health rows by hour: which hours are to be rolled up, and of which hours a window is made.

A row belongs to the hour its end `t` lies in, `start < t <= end`, as it counts in a window. An hour
is named by its end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

Span = tuple[int, int]
"""`from < t <= to`, ns."""

HOUR_NS: Final = 3_600_000_000_000

#: After its end an hour waits so long for its last rows, and after a late row for those that follow
#: it.
LATE_NS: Final = 120_000_000_000
#: Health rows are kept as they came for so long; after that their hours and minutes are. Status and
#: outages look back a day.
RAW_DAYS: Final = 2.0

#: What rows add up to.
SUMMED: Final = ("scheduled_ms", "covered_ms", "due", "done", "good", "bad", "values", "overruns")


def hour_of(t: int) -> int:
    """The hour (its end, ns) that a row of this time belongs to."""
    return -(-t // HOUR_NS) * HOUR_NS


@dataclass(frozen=True, slots=True)
class HealthTotals:
    """What the health rows of one device add up to in a window."""

    scheduled_s: float
    covered_s: float
    good: int
    bad: int
    last_good_t: int | None

    @classmethod
    def of(cls, parts: Sequence[HealthTotals]) -> HealthTotals:
        """Several parts of one device; at least one. Seconds are whole milliseconds, so no order
        matters."""
        if len(parts) == 1:
            return parts[0]
        good = [part.last_good_t for part in parts if part.last_good_t is not None]
        return replace(
            parts[0],
            scheduled_s=sum(round(1000 * part.scheduled_s) for part in parts) / 1000,
            covered_s=sum(round(1000 * part.covered_s) for part in parts) / 1000,
            good=sum(part.good for part in parts),
            bad=sum(part.bad for part in parts),
            last_good_t=max(good, default=None),
        )


def split_window(kept: Iterable[int], from_ns: int, to_ns: int) -> tuple[list[Span], list[Span]]:
    """A window as (stretches of kept hours, the rest), both sorted; `kept`: the hours that may be
    read by hour."""
    hours: list[Span] = []
    rest: list[Span] = []
    at = from_ns
    for end in sorted(kept):
        if end - HOUR_NS < at or end > to_ns:
            continue
        if end - HOUR_NS > at:
            rest.append((at, end - HOUR_NS))
        if hours and hours[-1][1] == end - HOUR_NS:
            hours[-1] = (hours[-1][0], end)
        else:
            hours.append((end - HOUR_NS, end))
        at = end
    if at < to_ns:
        rest.append((at, to_ns))
    return hours, rest


class OpenHours:
    """Hours with health rows that are not rolled up yet. Fed by the thread that writes, asked by
    any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written: dict[int, tuple[int, int]] = {}
        """Hour -> (number of the write that last touched it, store time of that write)."""
        self._writes = 0

    def touched(self, hours: Iterable[int], now_ns: int) -> None:
        """Rows of these hours were written at this store time."""
        with self._lock:
            self._writes += 1
            self._written.update(dict.fromkeys(hours, (self._writes, now_ns)))

    def found(self, hours: Iterable[int]) -> None:
        """Hours that an earlier life of the service left open."""
        with self._lock:
            for hour in hours:
                self._written.setdefault(hour, (0, 0))

    def due(self, now_ns: int, most: int) -> dict[int, int]:
        """Hours that are over and quiet, newest first: figures ask for those most. Hour -> number
        of its last write."""
        with self._lock:
            over = [
                (hour, write)
                for hour, (write, stored) in self._written.items()
                if hour + LATE_NS <= now_ns and not 0 <= now_ns - stored < LATE_NS
            ]
        return dict(sorted(over, reverse=True)[:most])

    def unchanged(self, hour: int, write: int) -> bool:
        """Whether nothing was written into the hour since `due` gave it out."""
        with self._lock:
            return self._written.get(hour, (None,))[0] == write

    def rolled_up(self, hour: int) -> None:
        """The hour is kept."""
        with self._lock:
            self._written.pop(hour, None)

    def earliest(self) -> int | None:
        """The first of them."""
        with self._lock:
            return min(self._written, default=None)


@dataclass(frozen=True, slots=True)
class RolledHour:
    """One hour, read and ready to be kept."""

    hour: int
    write: int
    """What `OpenHours.due` gave."""
    content: Any
    """Of the store that made it."""
