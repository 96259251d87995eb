"""Health of planned working time alone: the sums that coverage and acquisition rest on where the calendar has pauses.

Each span of planned time is asked for once and kept: an hour when it is young (data may come late), a day when it is
old. A plant that works around the clock is never asked this way at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edge_agent.metrics.calendar import Calendar
from edge_agent.metrics.live import Sums
from edge_agent.metrics.planned import Planned, planned
from edge_agent.stores import Store

_HOUR_NS: Final = 3_600_000_000_000
_DAY_NS: Final = 24 * _HOUR_NS
#: So long after its end a span is looked at again every hour.
_YOUNG_NS: Final = 2 * _DAY_NS

_NOTHING: Final = Sums(0.0, 0.0, 0, 0)


class ScheduledHealth:
    """Of one site; belongs to the thread that computes."""

    def __init__(self, calendar: Calendar, schedules: Mapping[str, str]) -> None:
        """`schedules`: device -> the schedule of its machine; the time of other devices is all scheduled."""
        self._calendar, self._schedules = calendar, schedules
        self._plans: dict[str, tuple[int, int, Planned]] = {}
        self._spans: dict[tuple[int, int], tuple[int, dict[str, Sums]]] = {}

    def follow(self, schedules: Mapping[str, str]) -> None:
        """Machines may have come to speak through other devices."""
        self._schedules = schedules

    def planned(self, device: str, start: int, end: int) -> Planned | None:
        """The planned time of a device; None where all of `start..end` counts: no schedule, no pause, or no work."""
        schedule = self._schedules.get(device)
        if schedule is None:
            return None
        hours = self._plan(schedule, start, end)
        return hours if 0 < hours.within(start, end) < end - start else None

    def calendar(self, device: str, start: int, end: int) -> Planned | None:
        """The planned working time of a device, also where it is none of `start..end`; None without a schedule."""
        schedule = self._schedules.get(device)
        return None if schedule is None else self._plan(schedule, start, end)

    def _plan(self, schedule: str, start: int, end: int) -> Planned:
        """Resolved for a day more than asked, on both sides, and kept while that lasts."""
        kept = self._plans.get(schedule)
        if kept is None or not kept[0] <= start <= end <= kept[1]:
            before, after = start - _DAY_NS, end + _DAY_NS
            track = self._calendar.plan(schedule, before, after)
            kept = before, after, planned(zip(track.times, track.values, strict=True), after)
            self._plans[schedule] = kept
        return kept[2]

    def sums(self, store: Store, device: str, hours: Planned, start: int, end: int) -> Sums:
        """What the health rows of planned time in `start..end` add up to."""
        parts = [self._span(store, *span, end).get(device, _NOTHING) for span in hours.clipped(start, end)]
        return Sums(
            sum(part.scheduled_s for part in parts),
            sum(part.covered_s for part in parts),
            sum(part.good for part in parts),
            sum(part.bad for part in parts),
        )

    def _span(self, store: Store, start: int, end: int, now: int) -> dict[str, Sums]:
        until, found = self._spans.get((start, end), (-1, {}))
        if now > until:
            rows = store.health(start, end)
            found = {key: Sums(row.scheduled_s, row.covered_s, row.good, row.bad) for key, row in rows.items()}
            self._spans = {key: kept for key, kept in self._spans.items() if kept[0] >= now}
            self._spans[start, end] = _kept_until(end, now), found
        return found


def _kept_until(end: int, now: int) -> int:
    """A span that runs changes at once; others when late data comes."""
    if end >= now:
        return now
    return now + (_HOUR_NS if end > now - _YOUNG_NS else _DAY_NS)
