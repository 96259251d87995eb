"""The shift calendar: YAML in, the plan of every moment out, over midnight and over changes of the
clock.

Shifts are wall-clock times of the site's zone; a shift that ends at or before its start ends on the
next day and belongs to the day it began. Every time is converted to UTC on its own, so a shift over
the night in which the clock changes has one hour more or less, as it has for the people who work
it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from edge_agent.config.models import Model
from edge_agent.errors import ConfigError, Finding
from edge_agent.metrics.timemodel import Plan, Track
from edge_agent.register.model import Register

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NS: Final = 1_000_000_000
_DAY: Final = timedelta(days=1)

Span = tuple[int, int]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _clock(text: object) -> object:
    """`8:00`, `20:00`; YAML 1.1 reads 20:00 as the number 1200 (base 60), which is turned back;
    24:00 is 00:00."""
    if isinstance(text, int | float):
        if not isinstance(text, bool) and 0 <= text <= 24 * 60 and text == int(text):
            return time(int(text) // 60 % 24, int(text) % 60)
        # 8:00:00 is 28800 there, 25:00 is 1500
        raise ValueError("不是时刻，请写成 '8:00' no time of day, write it as '8:00'")
    if (
        isinstance(text, str)
        and (match := re.fullmatch(r"(\d{1,2}):(\d{2})", text))
        and int(match[1]) <= 24
    ):
        return time(int(match[1]) % 24, int(match[2])) if int(match[2]) < 60 else text
    return text


def _local_time(moment: time) -> time:
    if moment.tzinfo is not None:
        raise ValueError("不带时区，请写成 '8:00' a time of day has no zone, write it as '8:00'")
    return moment


Clock = Annotated[time, BeforeValidator(_clock), AfterValidator(_local_time)]


class Recurring(Model):
    """A time of day on some days of the week. End at or before start = the next day."""

    name: str = ""
    days: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    start: Clock
    end: Clock


class Break(Recurring):
    """A planned stop that recurs."""

    kind: Literal["stop", "maintenance"] = "stop"


class PlannedStop(Model):
    """A planned stop once: local times of the calendar's zone."""

    name: str = ""
    start: datetime
    end: datetime
    kind: Literal["stop", "maintenance"] = "stop"

    @model_validator(mode="after")
    def _forward(self) -> PlannedStop:
        if (self.start.tzinfo is None) != (self.end.tzinfo is None):
            raise ValueError(
                "开始与结束须同为本地时间 start and end: both local times, or both with a zone"
            )
        if self.end <= self.start:
            raise ValueError("结束不晚于开始 it ends before it begins")
        return self


class ShiftSchedule(Model):
    """When one kind of machine is planned to work."""

    shifts: tuple[Recurring, ...]
    breaks: tuple[Break, ...] = ()
    stops: tuple[PlannedStop, ...] = ()
    holidays: tuple[date, ...] = ()
    """Days on which no shift begins."""
    workdays: tuple[date, ...] = ()
    """Days on which every shift begins, whatever the day of the week (调休)."""
    order_source: Literal["tag", "calendar"] = "calendar"


class Calendar(Model):
    """The calendar file. The register's `schedule_id` names a schedule; without one it is
    `default`."""

    timezone: str = "Asia/Shanghai"
    schedules: dict[str, ShiftSchedule] = Field(min_length=1)

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no such time zone: {name}") from error
        return name

    def schedule(self, name: str) -> ShiftSchedule | None:
        """The named schedule, else `default`, else None: such a machine has no planned time."""
        return self.schedules.get(name) or self.schedules.get("default")

    def shifts(self, name: str, start: int, end: int) -> list[tuple[str, int, int]]:
        """(name, start, end) in ns of every shift that overlaps `start..end`, by start; planned
        stops inside belong."""
        schedule = self.schedule(name)
        if schedule is None:
            return []
        zone = ZoneInfo(self.timezone)
        found = {
            (recurring.name, *_on(day, recurring, zone))
            for day, recurring in _begun(schedule, self._days(start, end))
        }
        return sorted(
            (each for each in found if each[1] < end and each[2] > start), key=lambda each: each[1:]
        )

    def day(self, t: int) -> Span:
        """The calendar day of a moment, from midnight to midnight of the zone (23 to 25 hours)."""
        zone = ZoneInfo(self.timezone)
        day = datetime.fromtimestamp(t // _NS, zone).date()
        midnight = time(0)
        return (
            _instant(datetime.combine(day, midnight), zone),
            _instant(datetime.combine(day + _DAY, midnight), zone),
        )

    def _days(self, start: int, end: int) -> list[date]:
        """Every day on which something that touches `start..end` may begin."""
        zone = ZoneInfo(self.timezone)
        first = datetime.fromtimestamp(start // _NS, zone).date() - 2 * _DAY
        last = datetime.fromtimestamp(end // _NS, zone).date() + _DAY
        return [first + number * _DAY for number in range((last - first).days + 1)]

    def plan(self, name: str, start: int, end: int) -> Track[Plan]:
        """What is planned at every moment of `start..end` (ns UTC), as a track."""
        schedule = self.schedule(name)
        if schedule is None:
            return Track((start,), (Plan.OFF,))
        zone = ZoneInfo(self.timezone)
        days = self._days(start, end)
        return _overlay(
            _merged(_shifts(schedule, days, zone)),
            _merged(_stops(schedule, days, zone, "stop")),
            _merged(_stops(schedule, days, zone, "maintenance")),
            start,
            end,
        )


def _instant(moment: datetime, zone: ZoneInfo) -> int:
    return int(moment.replace(tzinfo=moment.tzinfo or zone).timestamp()) * _NS


def _on(day: date, recurring: Recurring, zone: ZoneInfo) -> Span:
    until = day if recurring.end > recurring.start else day + _DAY
    return (
        _instant(datetime.combine(day, recurring.start), zone),
        _instant(datetime.combine(until, recurring.end), zone),
    )


def _shifts(schedule: ShiftSchedule, days: Iterable[date], zone: ZoneInfo) -> Iterator[Span]:
    return (_on(day, shift, zone) for day, shift in _begun(schedule, days))


def _begun(schedule: ShiftSchedule, days: Iterable[date]) -> Iterator[tuple[date, Recurring]]:
    """Which shifts begin on which day."""
    for day in days:
        for shift in schedule.shifts:
            regular = _DAYS[day.weekday()] in shift.days and day not in schedule.holidays
            if regular or day in schedule.workdays:
                yield day, shift


def _stops(
    schedule: ShiftSchedule, days: Iterable[date], zone: ZoneInfo, kind: str
) -> Iterator[Span]:
    days = list(days)
    for each in schedule.breaks:
        if each.kind == kind:
            yield from (_on(day, each, zone) for day in days if _DAYS[day.weekday()] in each.days)
    for stop in schedule.stops:
        if stop.kind == kind:
            yield _instant(stop.start, zone), _instant(stop.end, zone)


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Sorted and disjoint."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if end <= start:
            continue
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def _overlay(
    shifts: list[Span], stops: list[Span], upkeep: list[Span], start: int, end: int
) -> Track[Plan]:
    """Maintenance before stop before shift; a stop outside every shift is off: nothing was planned
    to be stopped."""
    cuts = sorted(
        {
            start,
            *(
                t
                for spans in (shifts, stops, upkeep)
                for span in spans
                for t in span
                if start < t < end
            ),
        }
    )
    times: list[int] = []
    values: list[Plan] = []
    for t in cuts:
        inside = (
            Plan.MAINTENANCE
            if _covers(upkeep, t)
            else Plan.STOP
            if _covers(stops, t)
            else Plan.SHIFT
        )
        value = inside if _covers(shifts, t) else Plan.OFF
        if not values or values[-1] is not value:
            times.append(t)
            values.append(value)
    return Track(tuple(times), tuple(values))


def _covers(spans: list[Span], t: int) -> bool:
    index = bisect_right(spans, t, key=lambda span: span[0]) - 1
    return index >= 0 and t < spans[index][1]


def check_schedules(register: Register, calendar: Calendar | None, name: str) -> list[Finding]:
    """Machines whose `schedule_id` the calendar does not have: they follow `default`, or have no
    planned time."""
    if calendar is None:
        return []
    zh = "没有计划时间"
    en = "it has no planned time"
    if "default" in calendar.schedules:
        zh = "按 default 班次"
        en = "it follows `default`"
    return [
        Finding(
            "unknown-schedule",
            f"{name}:{row.equipment_id}:schedule_id",
            f"班次日历中没有“{row.schedule_id}”，{row.equipment_id} {zh}；请改正台账或补日历。",
            f"the calendar has no schedule “{row.schedule_id}”, so for {row.equipment_id} {en}; "
            "correct either.",
        )
        for row in register.equipment
        if row.counted and row.schedule_id not in calendar.schedules
        if row.schedule_id or "default" not in calendar.schedules
    ]


def load_calendar(path: Path) -> Calendar:
    """Read a calendar file. Raises ConfigError with everything that is wrong."""
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError.one(
            "calendar-unreadable",
            f"班次日历读取失败：{error}；请检查文件。",
            f"the shift calendar cannot be read: {error}; check the file.",
            str(path),
        ) from error
    try:
        return Calendar.model_validate(document)
    except ValidationError as error:
        raise ConfigError([_finding(path, details) for details in error.errors()]) from error


def _finding(path: Path, details: Any) -> Finding:
    key = ".".join(map(str, details["loc"]))
    return Finding(
        "calendar",
        f"{path.name}:{key}",
        f"班次日历的“{key}”无效（{details['msg']}），请改正。",
        f"“{key}” of the shift calendar is not valid ({details['msg']}); correct it.",
    )
