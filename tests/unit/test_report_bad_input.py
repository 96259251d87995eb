"""Bad input, one case each, up to the report: a listed finding or a null with a reason, and the
rest stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pytest

from edge_agent.errors import Finding
from edge_agent.metrics.calendar import Calendar, check_schedules
from edge_agent.production.facts import CounterReadings, MinuteHealth, PlannedChange, StateChange
from edge_agent.production.plant import Plant
from edge_agent.production.windows import instant
from edge_agent.register.exporting import to_xlsx
from edge_agent.register.importing import load
from edge_agent.register.model import Register
from edge_agent.report import html, tables
from edge_agent.report.document import ReportSetting, build
from tests.support import report_plant as golden
from tests.support.report_plant import DAY, END, MINUTE, START

pytestmark = pytest.mark.slow

HOUR = 60 * MINUTE


def reported(plant: Plant, noted: Sequence[Finding] = ()) -> dict[str, Any]:
    """The whole report in every form; whatever was fed in, it stands, and no null is without its
    reason."""
    document = build(
        plant, ReportSetting("health-check", "test", "测试厂", "dongguan", "ipc-01", noted=noted)
    )
    assert [part["number"] for part in document["parts"]] == list(range(1, 13))
    for figure in document["figures"]:
        assert (figure["value"] is None) == (figure["reason"] is not None), figure["key"]
    assert "</html>" in html.render(document, "both")
    assert tables.workbook(document, "zh")
    return document


def figure(document: dict[str, Any], key: str) -> dict[str, Any]:
    return next(figure for figure in document["figures"] if figure["key"] == key)


def rows(document: dict[str, Any], name: str) -> list[list[Any]]:
    return next(b["rows"] for p in document["parts"] for b in p["blocks"] if b.get("name") == name)


def remarks(document: dict[str, Any]) -> list[str]:
    """What part 3 lists, register and data."""
    found = [f"{where} {text['en']}" for where, text in rows(document, "register_remarks")]
    return found + [f"{where} {text['en']}" for where, _, text in rows(document, "data_remarks")]


def test_an_ordinary_factory_has_one_remark_on_its_data() -> None:
    seen = rows(reported(golden.plant()), "data_remarks")
    # the machine whose last good value is ten days old
    assert [row[0] for row in seen] == ["cmm01"]


def imported(
    tmp_path: Path, register: Register, merge: str = ""
) -> tuple[Register, tuple[Finding, ...]]:
    """The register through a workbook, as a user hands it in."""
    path = tmp_path / "台账.xlsx"
    path.write_bytes(to_xlsx(register))
    if merge:
        book = openpyxl.load_workbook(path)
        book.worksheets[0].merge_cells(merge)
        book.save(path)
    return load(path, None, list(golden.facts().devices))


def test_a_workbook_with_merged_cells(tmp_path: Path) -> None:
    # Column I is the workshop: three rows share one merged cell.
    register, noted = imported(tmp_path, golden.register(), "I2:I4")
    document = reported(golden.plant(register), noted)
    assert any("I2:I4" in each and "merged" in each for each in remarks(document))
    assert figure(document, "M-03")["value"] == pytest.approx(16 / 19)


def test_a_process_that_does_not_exist(tmp_path: Path) -> None:
    register, noted = imported(
        tmp_path, golden.with_row(golden.register(), "EQ-001", process_id="P99")
    )
    document = reported(golden.plant(register), noted)
    assert any("P99" in each for each in remarks(document))
    assert figure(document, "M-01-prorata")["value"] is not None
    assert "EQ-001" in figure(document, "M-03")["numerator_ids"]


def test_a_machine_linked_to_two_devices(tmp_path: Path) -> None:
    linked = golden.with_row(golden.register(), "EQ-001", gateway_device="lathe01;vmc01")
    register, noted = imported(tmp_path, linked)
    document = reported(golden.plant(register), noted)
    assert not any("several devices" in each for each in remarks(document)), (
        "the first speaks for the machine"
    )
    of_one = reported(golden.plant(imported(tmp_path, golden.register())[0]))
    for key in ("M-14@EQ-001", "M-04a-effective"):
        assert figure(document, key)["value_exact"] == figure(of_one, key)["value_exact"]


def test_a_counter_that_runs_backwards() -> None:
    made = [(START, 1000), (START + HOUR, 1060), (START + 2 * HOUR, 900), (START + 7 * HOUR, 950)]
    counter = CounterReadings(
        "lathe01", "produced", "parts", Fraction(1), None, tuple((t, Fraction(n)) for t, n in made)
    )
    document = reported(golden.plant(counters=[counter, *golden.shift_counters()[1:]]))
    assert any(
        each.startswith("lathe01.parts The counter ran backwards 1 time ")
        for each in remarks(document)
    )
    # the fall itself counts nothing
    assert figure(document, "M-12@EQ-001")["denominator"] == 60 + 50


def test_a_restart_at_the_target_is_no_remark() -> None:
    assert not any("backwards" in each for each in remarks(reported(golden.plant())))


def metered(integral: int) -> list[str]:
    """Remarks on a meter that counted 120 kWh by single ones, and whose power adds up to
    `integral`."""
    counted = tuple((START + i * 4 * MINUTE, Fraction(i)) for i in range(121))
    power = ((START, Fraction(0)), (END, Fraction(integral)))
    counters = [
        CounterReadings("lathe01", "energy", "import", Fraction(1), None, counted),
        CounterReadings("lathe01", "integrated_power", "power", Fraction(1), None, power),
    ]
    found = remarks(reported(golden.plant(counters=[*golden.shift_counters()[:2], *counters])))
    return [each for each in found if each.startswith("lathe01.import")]


def test_a_meter_that_disagrees_with_its_own_power() -> None:
    (remark,) = metered(96)
    assert "counted 120.0 kWh, its power adds up to 96.0 kWh: 20.00 % apart (coverage " in remark
    assert metered(108) == []  # ten percent are not above ten percent


BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Calendar.model_validate(
    {
        "timezone": "Europe/Berlin",
        "schedules": {"default": {"shifts": [{"start": "22:00", "end": "6:00"}]}},
    }
)


@pytest.mark.parametrize(("day", "hours"), [(28, 7), (27, 8)])
def test_a_shift_over_midnight_and_a_change_of_clock(day: int, hours: int) -> None:
    """In the night to 2026-03-29 the clock in Berlin is put forward: that shift has seven hours,
    and no second less."""
    start, end = (
        instant(datetime(2026, 3, day, 12), BERLIN),
        instant(datetime(2026, 3, day + 1, 12), BERLIN),
    )
    track = NIGHT.plan("", start, end)
    plan = [
        PlannedChange("", t, str(what)) for t, what in zip(track.times, track.values, strict=True)
    ]
    plant = golden.plant(
        start=start,
        end=end,
        states={"lathe01": (StateChange(start, 3, 3),)},
        counters=(),
        plan=plan,
    )
    document = reported(plant)
    assert figure(document, "M-11@EQ-001")["denominator"] == hours * 3600
    assert figure(document, "M-11@EQ-001")["value"] == 1
    assert {row[0]: row[1] for row in rows(document, "time")}["EQ-001"] == hours


def test_the_night_in_which_the_clock_is_put_back_has_nine_hours() -> None:
    start, end = (
        instant(datetime(2026, 10, 24, 12), BERLIN),
        instant(datetime(2026, 10, 25, 12), BERLIN),
    )
    [(_, begins, ends)] = NIGHT.shifts("", start, end)
    assert ends - begins == 9 * HOUR


def test_a_schedule_the_calendar_does_not_have() -> None:
    register = golden.with_row(golden.register(), "EQ-001", schedule_id="nights")
    noted = check_schedules(register, NIGHT, "台账.csv")
    assert [finding.where for finding in noted] == ["台账.csv:EQ-001:schedule_id"]
    assert any(
        "it follows `default`" in each for each in remarks(reported(golden.plant(register), noted))
    )


def test_a_month_without_data() -> None:
    start = END - 30 * DAY
    document = reported(
        golden.plant(start=start, minutes={}, first_good={}, states={}, counters=(), lateness={})
    )
    for key in ("M-05", "M-11", "M-14", "M-17-mtbf", "M-18", "M-19", "M-20", "M-21-p95"):
        assert figure(document, key)["value"] is None, key
    assert figure(document, "M-04a-effective")["value"] is None  # there is nothing to tell it from
    assert figure(document, "M-03")["value"] == pytest.approx(16 / 19)


def test_all_machines_scrapped() -> None:
    scrapped = [replace(row, status="scrapped") for row in golden.register().equipment]
    document = reported(golden.plant(golden.only(golden.register(), *scrapped)))
    for key in (
        "M-02",
        "M-03",
        "M-04a-effective",
        "M-04b-effective",
        "M-08-count",
        "M-09",
        "M-11",
        "M-14",
        "M-19",
    ):
        assert figure(document, key)["value"] is None, key
    # key processes without a machine count as manual
    assert figure(document, "M-01-prorata")["value"] == 0


def test_a_key_process_without_machines(tmp_path: Path) -> None:
    register, noted = imported(tmp_path, golden.register())
    document = reported(golden.plant(register), noted)
    assert any("key process P65 has no machine in use" in each for each in remarks(document))
    assert {row[0]: row[2:5] for row in rows(document, "gap_key_processes")}["P65"] == [0, 0, 0]
    assert any("P65" in item["zh"] for item in document["summary"][1]["items"])


def minutes_of(device: str, spans: Sequence[tuple[int, int]]) -> dict[str, MinuteHealth]:
    """Fully covered minutes inside these spans."""
    ends = [t for start, end in spans for t in range(start + MINUTE, end + MINUTE, MINUTE)]
    return {device: MinuteHealth([[t, 60_000, 60_000, 60, 60, 600, 0, 600, 0, t] for t in ends])}


def test_a_gap_of_three_days_from_an_outage() -> None:
    start = END - 5 * DAY
    down = (start + DAY, start + 4 * DAY)
    states = (
        StateChange(start, 3, 3),
        StateChange(down[0], 0, 0, None, "no-coverage"),
        StateChange(down[1], 3, 3),
    )
    plant = golden.plant(
        start=start,
        states={"lathe01": states},
        counters=(),
        plan=(),
        first_good={"lathe01": start},
        minutes=minutes_of("lathe01", [(start, down[0]), (down[1], END)]),
    )
    document = reported(plant)
    [(where, span, text)] = rows(document, "data_remarks")
    assert where == "lathe01"
    assert "72.0 h" in text["en"]
    assert span == {"from": "2026-04-30T08:00:00+00:00", "to": "2026-05-03T08:00:00+00:00"}
    assert figure(document, "M-11@EQ-001")["value"] == pytest.approx(2 / 5)
    assert figure(document, "M-11@EQ-001")["details"]["data_coverage"] == pytest.approx(2 / 5)
    # lost communication is no failure
    assert figure(document, "M-17-mtbf@EQ-001")["denominator"] == 0
    assert figure(document, "M-05")["value"] == pytest.approx(2 / 5)


def test_an_outage_outside_the_shifts_is_no_remark() -> None:
    plan = [
        PlannedChange("", START - DAY, "off"),
        PlannedChange("", START, "shift"),
        PlannedChange("", START + 2 * HOUR, "off"),
    ]
    minutes = minutes_of("lathe01", [(START, START + 2 * HOUR)])
    plant = golden.plant(plan=plan, minutes=minutes, first_good={"lathe01": START})
    assert rows(reported(plant), "data_remarks") == []


def test_a_device_first_connected_after_the_window_was_scheduled_in_its_shifts_only() -> None:
    """A past window is reported on later: its minutes without data, outside the shifts, were never
    due."""
    plan = [
        PlannedChange("", END - 30 * DAY, "off"),
        PlannedChange("", START, "shift"),
        PlannedChange("", START + HOUR, "off"),
    ]
    minutes = minutes_of("lathe01", [(START, START + 3 * HOUR)])
    document = reported(
        golden.plant(plan=plan, minutes=minutes, first_good={"lathe01": END + HOUR})
    )
    assert figure(document, "M-04d")["denominator"] == 3600


def test_state_numbers_outside_the_map() -> None:
    states = (
        StateChange(START - DAY, 3, 3),
        StateChange(START + 4 * HOUR, 0, 3, None, "unknown-state"),
    )
    document = reported(golden.plant(states={"lathe01": states}, plan=()))
    assert any(
        each.startswith("lathe01 The device told a state outside its map")
        for each in remarks(document)
    )
    assert any("240.0 min" in each for each in remarks(document))
    # four hours of eight are known, nothing is guessed
    assert figure(document, "M-11@EQ-001")["value"] == 0.5
    assert figure(document, "M-12@EQ-001")["value"] is not None


def test_a_machine_that_is_switched_off_outside_its_shifts_is_networked() -> None:
    """Off by night, it was covered for all of its planned time; in a planned stop nothing is due
    either."""
    day, stop = START + 2 * HOUR, START + 3 * HOUR
    plan = [
        PlannedChange("", END - 30 * DAY, "off"),
        PlannedChange("", START, "shift"),
        PlannedChange("", day, "stop"),
        PlannedChange("", stop, "shift"),
        PlannedChange("", START + 5 * HOUR, "off"),
    ]
    minutes = minutes_of("lathe01", [(START, day), (stop, START + 5 * HOUR)])
    document = reported(
        golden.plant(plan=plan, minutes=minutes, first_good={"lathe01": START - DAY})
    )
    assert "EQ-001" in figure(document, "M-04a-effective")["numerator_ids"]
    assert figure(document, "M-05")["value"] == 1
    assert figure(document, "M-04d")["denominator"] == 4 * 3600
    around_the_clock = reported(
        golden.plant(plan=(), minutes=minutes, first_good={"lathe01": START - DAY})
    )
    assert "EQ-001" not in figure(around_the_clock, "M-04a-effective")["numerator_ids"]
