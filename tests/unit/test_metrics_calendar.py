"""The shift calendar: midnight, changes of the clock, breaks, holidays, and files that are
wrong."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from edge_agent.errors import ConfigError
from edge_agent.metrics.calendar import Calendar, load_calendar
from edge_agent.metrics.timemodel import Plan

S = 1_000_000_000
SHANGHAI, BERLIN = "Asia/Shanghai", "Europe/Berlin"


def at(text: str, zone: str = SHANGHAI) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * S


def calendar(shifts: list[dict[str, object]], zone: str = SHANGHAI, **rest: object) -> Calendar:
    return Calendar.model_validate(
        {"timezone": zone, "schedules": {"default": {"shifts": shifts, **rest}}}
    )


def hours(plan_of: Calendar, start: int, end: int, kind: Plan = Plan.SHIFT) -> float:
    track = plan_of.plan("", start, end)
    edges = [*track.times, end]
    return sum(
        (b - a) / S / 3600
        for a, b, value in zip(edges, edges[1:], track.values, strict=False)
        if value is kind
    )


DAY = {"start": "08:00", "end": "20:00"}
NIGHT = {"start": "20:00", "end": "06:00", "days": ["mon", "tue", "wed", "thu", "fri"]}


def test_a_shift_over_midnight_belongs_to_the_day_it_began() -> None:
    plan = calendar([NIGHT])
    friday, saturday, sunday = (
        at("2026-05-08T12:00"),
        at("2026-05-09T12:00"),
        at("2026-05-10T12:00"),
    )
    assert hours(plan, friday, saturday) == 10
    assert hours(plan, saturday, sunday) == 0
    assert plan.plan("", friday, saturday).at(at("2026-05-09T05:59"), Plan.OFF) is Plan.SHIFT


def test_a_window_that_begins_inside_a_shift_over_midnight() -> None:
    assert hours(calendar([NIGHT]), at("2026-05-09T03:00"), at("2026-05-09T12:00")) == 3


@pytest.mark.parametrize(
    ("night", "length"), [("2026-03-28", 9), ("2026-10-24", 11), ("2026-05-09", 10)]
)
def test_a_shift_over_a_change_of_the_clock(night: str, length: int) -> None:
    plan = calendar([{"start": "20:00", "end": "06:00"}], BERLIN)
    start = at(f"{night}T12:00", BERLIN)
    assert hours(plan, start, start + 24 * 3600 * S) == length


def test_shifts_that_meet_in_the_changed_hour_do_not_overlap() -> None:
    plan = calendar(
        [{"start": "14:30", "end": "02:30"}, {"start": "02:30", "end": "14:30"}], BERLIN
    )
    for day in ("2026-03-28", "2026-10-24"):
        start = at(f"{day}T00:00", BERLIN)
        assert hours(plan, start, start + 48 * 3600 * S) == 48


def test_breaks_and_stops_reduce_the_shift_only_inside_it() -> None:
    plan = calendar(
        [DAY],
        breaks=[{"start": "12:00", "end": "13:00"}, {"start": "22:00", "end": "23:00"}],
        stops=[{"start": "2026-05-08T18:00", "end": "2026-05-08T22:00", "kind": "maintenance"}],
    )
    start, end = at("2026-05-08T00:00"), at("2026-05-09T00:00")
    assert hours(plan, start, end, Plan.SHIFT) == 9
    assert hours(plan, start, end, Plan.STOP) == 1
    assert hours(plan, start, end, Plan.MAINTENANCE) == 2
    assert hours(plan, start, end, Plan.OFF) == 12


def test_holidays_and_moved_workdays() -> None:
    weekdays = {"start": "08:00", "end": "16:00", "days": ["mon", "tue", "wed", "thu", "fri"]}
    plan = calendar([weekdays], holidays=["2026-05-01"], workdays=["2026-05-09"])
    assert hours(plan, at("2026-05-01T00:00"), at("2026-05-02T00:00")) == 0
    assert hours(plan, at("2026-05-09T00:00"), at("2026-05-10T00:00")) == 8


def test_a_machine_without_a_schedule_has_no_planned_time() -> None:
    plan = Calendar.model_validate({"schedules": {"two-shift": {"shifts": [DAY]}}})
    assert plan.plan("unknown", 0, 10 * S).values == (Plan.OFF,)
    assert plan.schedule("two-shift") is not None


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "calendar.yaml"
    path.write_text(
        "timezone: Asia/Shanghai\n"
        "schedules:\n"
        "  default:\n"
        "    order_source: tag\n"
        "    shifts:\n"
        "      - {name: 白班, start: 08:00, end: 20:00}\n"
        "      - {name: 夜班, start: 20:00, end: '24:00'}\n",
        encoding="utf-8",
    )
    plan = load_calendar(path)
    assert hours(plan, at("2026-05-08T00:00"), at("2026-05-09T00:00")) == 16
    assert plan.schedules["default"].order_source == "tag"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("timezone: Mars/Olympus\nschedules: {a: {shifts: []}}", "calendar.yaml:timezone"),
        (
            "schedules: {a: {shifts: [{start: '25:00', end: '08:00'}]}}",
            "calendar.yaml:schedules.a.shifts.0.start",
        ),
        ("schedules: {a: {shift: []}}", "calendar.yaml:schedules.a.shift"),
        ("schedules: {}", "calendar.yaml:schedules"),
        ("[", "calendar.yaml"),
        ("7", "calendar.yaml"),
    ],
)
def test_bad_files_are_refused_by_key(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "calendar.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_calendar(path)
    assert any(where in finding.where for finding in caught.value.findings)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_calendar(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "shift",
    [
        "{start: 25:00, end: 8:00}",
        "{start: 8:00:00, end: 17:00:00}",
        '{start: "08:00Z", end: "17:00Z"}',
    ],
)
def test_what_yaml_makes_of_a_time_is_not_taken_for_another(tmp_path: Path, shift: str) -> None:
    """25:00 is 1500 to YAML, which was 00:25 of Greenwich."""
    path = tmp_path / "calendar.yaml"
    path.write_text(f"schedules: {{default: {{shifts: [{shift}]}}}}\n")
    with pytest.raises(ConfigError, match="time of day"):
        load_calendar(path)


def test_a_stop_that_ends_before_it_begins_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "calendar.yaml"
    stop = "{start: 2026-05-02T12:00:00, end: 2026-05-02T08:00:00}"
    path.write_text(
        f"schedules: {{default: {{shifts: [{{start: 8:00, end: 17:00}}], stops: [{stop}]}}}}\n"
    )
    with pytest.raises(ConfigError, match="ends before it begins"):
        load_calendar(path)
