"""Live facts of a report's window from its health by minute: networking, coverage and acquisition
rest on them.

In: `WindowFacts` (30 days of minutes). Out: `metrics.live.Live`, one `DeviceFacts` per configured
device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edge_agent.metrics.live import DeviceFacts, LiveEvidence, from_health
from edge_agent.metrics.planned import PlannedTime as Hours
from edge_agent.metrics.planned import planned
from edge_agent.metrics.timemodel import Plan
from edge_agent.production.facts import HISTORY_NS, MINUTE_NS, WindowFacts

#: A device that was covered in the last minute of a window was online at its end.
ONLINE_NS: Final = MINUTE_NS
_S: Final = 1_000_000_000
_NO_SCHEDULE: Final = "\0"


def live(facts: WindowFacts, schedules: Mapping[str, str] | None = None) -> LiveEvidence:
    """The live facts of the register's metrics; the recent window of M-04d and M-05 is the report's
    own.

    `schedules`: device -> the schedule of its machine; of the others all time is scheduled.
    """
    hours = {schedule: _hours_of(facts, schedule) for schedule in {*(schedules or {}).values()}}
    devices = {
        device: _device(facts, device, hours.get((schedules or {}).get(device, _NO_SCHEDULE)))
        for device in facts.devices
    }
    length = (facts.end - facts.start) // _S
    return LiveEvidence(devices, facts.end, length if length > 0 else None)


def _hours_of(facts: WindowFacts, schedule: str) -> Hours:
    rows = [(row.t, Plan(row.plan)) for row in facts.plan if row.schedule == schedule]
    return planned(rows, facts.end)


def _device(facts: WindowFacts, device: str, hours: Hours | None) -> DeviceFacts:
    about = facts.devices[device]
    long = facts.end - HISTORY_NS
    history = facts.minutes_of(device).inside(long, facts.end)
    recent = facts.minutes_of(device).inside(facts.start, facts.end)
    first = facts.first_good.get(device)
    if first is not None and first > facts.end:
        first = None  # an earlier window than its first connection, reported on later
    calendar = hours if facts.plan else None
    if hours is not None and not hours.within(max(long, first or long), facts.end):
        hours = (
            None  # no calendar, or nothing was planned since it was connected: then all time counts
        )
    return from_health(
        facts.end,
        first,
        history.last_good,
        (long, history.planned(hours).sums()),
        (facts.start, recent.planned(hours).sums()),
        planned=hours,
        controller=about.controller,
        normalised=about.normalised,
        business_links=frozenset(about.business_links),
        collected=len(facts.minutes_of(device).inside(facts.history_start, facts.end)) > 0,
        calendar=calendar,
        online=facts.minutes_of(device).inside(facts.end - ONLINE_NS, facts.end).total("covered_ms")
        > 0,
        stored=facts.stored.get(device),
    )
