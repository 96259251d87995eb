"""Health of planned working time alone: the sums that coverage and acquisition rest on where the
calendar has pauses.

Each span of planned time is asked for once and kept: an hour when it is young (data may come late),
a day when it is old. A plant that works around the clock is never asked this way at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from edge_agent.metrics.calendar import Calendar
from edge_agent.metrics.live import HealthSums
from edge_agent.metrics.planned import PlannedTime, planned
from edge_agent.stores.columns import Longs
from edge_agent.stores.protocols import HealthStore

_HOUR_NS: Final = 3_600_000_000_000
_DAY_NS: Final = 24 * _HOUR_NS
#: So long after its end a span is looked at again every hour.
_YOUNG_NS: Final = 2 * _DAY_NS

_NOTHING: Final = HealthSums(0.0, 0.0, 0, 0)
_COLUMNS: Final = ("scheduled_ms", "covered_ms", "good", "bad")
_NONE: Final = np.zeros((0, len(_COLUMNS)), np.int64)


class ScheduledHealth:
    """Of one site; belongs to the thread that computes."""

    def __init__(self, calendar: Calendar, schedules: Mapping[str, str]) -> None:
        """`schedules`: device -> the schedule of its machine; the time of other devices is all
        scheduled."""
        self._calendar = calendar
        self._schedules = schedules
        self._plans: dict[str, tuple[int, int, PlannedTime]] = {}
        self._spans: dict[tuple[int, int], tuple[int, Longs]] = {}
        self._summed: dict[tuple[int, int, int], tuple[PlannedTime, Longs]] = {}
        self._places: dict[str, int] = {}
        """Key of a device -> its row in what is kept of each span."""

    def follow(self, schedules: Mapping[str, str]) -> None:
        """A computation begins: machines may have come to speak through other devices."""
        self._schedules = schedules
        self._summed = {}

    def planned(self, device: str, start: int, end: int) -> PlannedTime | None:
        """The planned time of a device; None where all of `start..end` counts: no schedule, no
        pause, or no work."""
        schedule = self._schedules.get(device)
        if schedule is None:
            return None
        hours = self._plan(schedule, start, end)
        return hours if 0 < hours.within(start, end) < end - start else None

    def calendar(self, device: str, start: int, end: int) -> PlannedTime | None:
        """The planned working time of a device, also where it is none of `start..end`; None without
        a schedule."""
        schedule = self._schedules.get(device)
        return None if schedule is None else self._plan(schedule, start, end)

    def _plan(self, schedule: str, start: int, end: int) -> PlannedTime:
        """Resolved for a day more than asked, on both sides, and kept while that lasts."""
        kept = self._plans.get(schedule)
        if kept is None or not kept[0] <= start <= end <= kept[1]:
            before = start - _DAY_NS
            after = end + _DAY_NS
            track = self._calendar.plan(schedule, before, after)
            kept = before, after, planned(zip(track.times, track.values, strict=True), after)
            self._plans[schedule] = kept
        return kept[2]

    def sums(
        self, store: HealthStore, device: str, hours: PlannedTime, start: int, end: int
    ) -> HealthSums:
        """What the health rows of planned time in `start..end` add up to."""
        totals = self._totals(store, hours, start, end)
        place = self._places.get(device)
        if place is None or place >= len(totals):
            return _NOTHING
        scheduled_ms, covered_ms, good, bad = totals[place].tolist()
        return HealthSums(scheduled_ms / 1000, covered_ms / 1000, good, bad)

    def _totals(self, store: HealthStore, hours: PlannedTime, start: int, end: int) -> Longs:
        """Of every device, by its place; once for all machines of a schedule."""
        asked = (id(hours), start, end)
        if asked not in self._summed:
            parts = [self._span(store, *span, end) for span in hours.clipped(start, end)]
            total = np.zeros((len(self._places), len(_COLUMNS)), np.int64)
            for part in parts:
                total[: len(part)] += part
            self._summed[asked] = hours, total
        return self._summed[asked][1]

    def _span(self, store: HealthStore, start: int, end: int, now: int) -> Longs:
        until, found = self._spans.get((start, end), (-1, _NONE))
        if now > until:
            totals = store.health_totals(start, end)
            for key in totals:
                self._places.setdefault(key, len(self._places))
            found = np.zeros((len(self._places), len(_COLUMNS)), np.int64)
            for key, row in totals.items():
                seconds = round(1000 * row.scheduled_s), round(1000 * row.covered_s)
                found[self._places[key]] = (*seconds, row.good, row.bad)
            self._spans = {key: kept for key, kept in self._spans.items() if kept[0] >= now}
            self._spans[start, end] = _kept_until(end, now), found
        return found


def _kept_until(end: int, now: int) -> int:
    """A span that runs changes at once; others when late data comes."""
    if end >= now:
        return now
    return now + (_HOUR_NS if end > now - _YOUNG_NS else _DAY_NS)
