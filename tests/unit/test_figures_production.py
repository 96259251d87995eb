"""Figures of a window from a store: what a small story says, and what bad input does to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from edge_agent.config.models import DeviceCommon, Site, TagCommon
from edge_agent.config.plugins import InstalledPlugins, tag_model
from edge_agent.ingest import decode
from edge_agent.metrics.calendar import Calendar
from edge_agent.production.figures import FigureOptions, plant_of
from edge_agent.production.gather import gather
from edge_agent.production.live_rates import LiveRates
from edge_agent.production.schedule import Period, ProductionFigures
from edge_agent.production.signals import PlantSignals
from edge_agent.production.store_source import StoreFacts
from edge_agent.production.window_document import production
from edge_agent.register.model import Equipment, Register
from edge_agent.stores import Rows, WriteBatch
from edge_agent.stores.duckdb.store import DuckDbStore

pytestmark = pytest.mark.slow

S = 1_000_000_000
MINUTE, HOUR, DAY = 60 * S, 3600 * S, 86_400 * S
#: 2026-10-12 08:00 in Shanghai, a Monday.
T0 = 1_791_763_200 * S
RULES = {"item": [{"gives": "Executing"}], "mode": [{"gives": "Processing"}]}


#: A tag whose connector says how wide its register is.
UINT16 = tag_model(InstalledPlugins()["modbus"]).model_validate(
    {"address": "holding/0", "type": "uint16"}
)

TAGS = {
    "parts_total": UINT16,
    "parts_scrap": TagCommon(),
    "power": TagCommon(unit="kW"),
    "order_active": TagCommon(),
}


def site(folder: Path, **register: Any) -> Site:
    devices = [
        {"id": "m1", "line": "L1", "connector": "modbus", "state": RULES, "tags": dict(TAGS)},
        {"id": "m2", "line": "L1", "connector": "modbus", "state": RULES, "tags": dict(TAGS)},
        {
            "id": "meter",
            "line": "L1",
            "connector": "modbus",
            "tags": {"import": TagCommon(unit="Wh")},
        },
    ]
    return Site.model_validate(
        {
            "agent": {"id": "a"},
            "mqtt": {"url": "mqtt://127.0.0.1:1"},
            "store": {"path": folder / "s.duckdb"},
            "register": register,
            "devices": [DeviceCommon.model_validate(device) for device in devices],
        }
    )


REGISTER = Register(
    (
        Equipment(
            "EQ-1", line="L1", gateway_device="m1", nominal_cycle_s=Decimal(50), meter_id="meter"
        ),
        Equipment("EQ-2", line="L1", gateway_device="m2", category="inspection", meter_id="meter"),
        Equipment("EQ-3", line="L1"),
        Equipment("EQ-9", line="L1", category="meter", in_scope=False, gateway_device="meter"),
    )
)
CALENDAR = Calendar.model_validate(
    {"schedules": {"default": {"shifts": [{"name": "day", "start": "8:00", "end": "10:00"}]}}}
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDbStore]:
    with closing(DuckDbStore(tmp_path / "s.duckdb")) as opened:
        yield opened


def write(
    store: DuckDbStore,
    device: str,
    readings: Sequence[tuple[int, dict[str, Any]]],
    known: Sequence[tuple[int, int]],
) -> None:
    """Readings at minutes after T0, and health rows (one a minute) for the spans `known`, in
    minutes too."""
    documents = [
        orjson.loads(
            orjson.dumps(
                {"v": 1, "device": device, "t": T0 + int(minute * MINUTE), "values": values}
            )
        )
        for minute, values in readings
    ]
    health = [
        {
            "device": device,
            "t": T0 + end * MINUTE,
            "period_s": 60.0,
            "scheduled_s": 60.0,
            "covered_s": 60.0,
            "due": 60,
            "done": 60,
            "good": 60,
            "bad": 0,
            "values": 60,
            "overruns": 0,
            "state": "online",
            "reason": "",
            "last_good_t": T0 + end * MINUTE,
        }
        for first, last in known
        for end in range(first + 1, last + 1)
    ]
    rows = Rows.of([decode.data(document, store.catalogue) for document in documents])
    store.write(WriteBatch(rows, T0 + DAY, health=health))


def state(item: int, mode: int = 3) -> dict[str, int]:
    return {"machine_state": item, "operation_mode": mode}


def figures(store: DuckDbStore, tmp_path: Path, start: int = 0, end: int = 120) -> dict[str, Any]:
    return production(
        store, site(tmp_path), REGISTER, CALENDAR, T0 + start * MINUTE, T0 + end * MINUTE
    )


SHIFT = [
    (0, state(2, 2) | {"parts_total": 65530, "parts_scrap": 7, "power": 1.0}),
    (10, state(3) | {"power": 6.0}),
    (60, state(1) | {"power": 1.0}),
    (70, state(3) | {"power": 6.0, "parts_total": 14, "parts_scrap": 9}),
    (110, state(2) | {"power": 1.0, "parts_total": 54}),
]


def test_a_shift_by_hand(store: DuckDbStore, tmp_path: Path) -> None:
    """A subscription sent each change once; the health rows say that it held in between."""
    write(store, "m1", SHIFT, [(0, 120)])
    machine = figures(store, tmp_path)["machines"]["EQ-1"]
    seconds, results = machine["seconds"], machine["results"]
    assert (seconds["ASUT"], seconds["APT"], seconds["ADET"], seconds["PBT"]) == (
        600,
        5400,
        1200,
        7200,
    )
    assert machine["failures"] == 1
    assert [(loss["loss"], loss["seconds"]) for loss in machine["losses"]] == [
        ("failure", 600), ("setup", 600), ("standing", 600),
    ]  # fmt: skip
    assert machine["parts"]["produced"] == 60  # over the top of its 16 bits
    assert [event["kind"] for event in machine["parts"]["events"]["produced"]] == ["rollover"]
    assert machine["parts"]["good"] == 58
    assert results["M-11"]["value_exact"] == "3/4"
    assert results["M-14"]["value"] == pytest.approx(50 * 58 / 7200)
    assert results["M-14"]["details"]["identity_holds"]
    assert results["M-17-mttr"]["value"] == 600
    # 10 min, 10 min and 10 min at 1 kW, 90 min at 6 kW; it stood still in the first and the last of
    # them.
    assert machine["energy"]["kwh"] == pytest.approx(9.5)
    assert results["M-20"]["value"] == pytest.approx((1 / 6 + 1 / 6) / 9.5)
    assert results["M-18"]["value"] == pytest.approx(9.5 / 58)
    assert results["M-11"]["grade"] == "E3"


@pytest.mark.parametrize(
    "current", [[(0, 125)], [(0, 33), (35, 64), (66, 125)]], ids=["always", "with gaps"]
)
def test_parts_of_a_subscription_are_counted_when_they_came_and_not_over_a_break(
    store: DuckDbStore, tmp_path: Path, current: list[tuple[int, int]]
) -> None:
    """The part that was finished after the break is no part of the break: live and in a report."""
    paused = Calendar.model_validate(
        {"schedules": {"default": {"shifts": [{"name": "day", "start": "8:00", "end": "10:00"}],
                                   "breaks": [{"start": "8:30", "end": "9:00"}]}}}
    )  # fmt: skip
    counts = [(10, 1), (29, 2), (61, 3), (80, 4), (119, 5)]
    write(store, "m1", [(0, state(3)), (0, {"parts_total": 0, "parts_scrap": 0})]
          + [(minute, {"parts_total": count}) for minute, count in counts], current)  # fmt: skip
    about, window = site(tmp_path), (T0, T0 + 2 * HOUR)
    live = production(store, about, REGISTER, paused, *window)["machines"]["EQ-1"]["parts"]
    facts = gather(about, StoreFacts(store), REGISTER, paused, *window)
    told = next(
        each.production
        for each in plant_of(facts, REGISTER, FigureOptions()).machines
        if each.id == "EQ-1"
    )
    assert told is not None
    assert (live["produced"], live["produced_outside_planned"], live["good"]) == (5, 0, 5)
    assert (told.pq, told.whole_pq, told.gq) == (5, 5, 5)


def test_powers_asked_for_a_few_at_a_time_are_the_same(store: DuckDbStore, tmp_path: Path) -> None:
    write(store, "m1", SHIFT, [(0, 120)])
    write(store, "m2", SHIFT, [(0, 120)])
    with patch("edge_agent.production.store_source._MOMENTS", 10):
        apart = figures(store, tmp_path)
    assert apart == figures(store, tmp_path)
    assert apart["machines"]["EQ-2"]["energy"]["kwh"] == pytest.approx(9.5)


def test_with_the_calendar_as_order_source_what_rests_on_orders_is_null(
    store: DuckDbStore, tmp_path: Path
) -> None:
    write(store, "m1", SHIFT, [(0, 120)])
    machine = figures(store, tmp_path)["machines"]["EQ-1"]
    assert machine["order_source"] == "calendar"
    assert machine["seconds"]["ADOT"] == 0
    for metric in ("M-16-allocation", "M-16-utilisation"):
        assert machine["results"][metric]["value"] is None
        assert "order_source" in machine["results"][metric]["reason"]["en"]


def test_an_order_tag_makes_standing_without_an_order_adot(
    store: DuckDbStore, tmp_path: Path
) -> None:
    tagged = Calendar.model_validate(
        {
            "schedules": {
                "default": {**CALENDAR.schedules["default"].model_dump(), "order_source": "tag"}
            }
        }
    )
    write(store, "m1", [*SHIFT, (105, {"order_active": 0}), (0, {"order_active": 1})], [(0, 120)])
    found = production(store, site(tmp_path), REGISTER, tagged, T0, T0 + 2 * HOUR)["machines"][
        "EQ-1"
    ]
    assert found["order_source"] == "tag"
    assert found["seconds"]["ADOT"] == 600
    assert found["results"]["M-16-allocation"]["value_exact"] == "11/12"


def test_no_data_is_null_with_a_reason_and_the_rest_stands(
    store: DuckDbStore, tmp_path: Path
) -> None:
    write(store, "m1", SHIFT, [(0, 120)])
    found = figures(store, tmp_path)
    dark = found["machines"]["EQ-2"]
    assert dark["unknown_share"] == 1
    for metric in ("M-11", "M-14", "M-16-technical", "M-17-mtbf"):
        assert dark["results"][metric]["value"] is None
    assert "data coverage is 0" in dark["results"]["M-11"]["reason"]["en"]
    assert dark["results"]["M-12"]["reason"]["en"].startswith("there is no count of produced parts")
    assert dark["results"]["M-18"]["reason"]["en"].startswith("there is no meter")
    line = found["lines"]["L1"]["results"]["M-11"]
    assert line["value_exact"] == "3/4"
    assert line["details"]["members"] == {"EQ-1": 0.75, "EQ-2": None}
    assert "data coverage" in line["details"]["left_out"]["EQ-2"]["en"]
    assert found["without"]["EQ-3"]["en"] == "no device speaks for this machine alone"


def test_an_empty_store_gives_nulls(store: DuckDbStore, tmp_path: Path) -> None:
    found = figures(store, tmp_path)
    results = found["site"]["results"]
    assert results["M-11"]["value"] is None
    assert results["M-21-p95"]["reason"]["en"] == "no data with a source time in the window"
    assert found["lines"]["L1"]["energy"]["kwh"] is None


def test_a_gap_of_three_days_is_unknown_and_not_a_failure(
    store: DuckDbStore, tmp_path: Path
) -> None:
    three = 3 * 24 * 60
    write(
        store,
        "m1",
        [(0, state(3) | {"parts_total": 10}), (three + 60, state(3) | {"parts_total": 20})],
        [(0, 60), (three + 60, three + 120)],
    )
    inside = figures(store, tmp_path, 24 * 60, 26 * 60)["machines"]["EQ-1"]
    assert inside["results"]["M-11"]["value"] is None
    assert inside["parts"]["produced"] is None
    whole = figures(store, tmp_path, 0, three + 120)["machines"]["EQ-1"]
    assert (whole["seconds"]["APT"], whole["seconds"]["unknown"]) == (2 * 3600, 6 * 3600)
    assert (whole["seconds"]["ADET"], whole["failures"]) == (6 * 3600, 0)
    # what was made in the three days is shared by time: six of their hours are shifts
    parts = whole["parts"]
    assert parts["produced"] == pytest.approx(10 * 6 / 72)
    assert parts["produced"] + parts["produced_outside_planned"] == pytest.approx(10)


def test_parts_of_overtime_are_no_part_of_oee(store: DuckDbStore, tmp_path: Path) -> None:
    """The shift ends after two hours; the machine works on for one more, and its energy goes over
    all parts."""
    made = [
        (minute, state(3) | {"parts_total": minute, "power": 6.0}) for minute in range(0, 181, 10)
    ]
    write(store, "m1", made, [(0, 180)])
    machine = figures(store, tmp_path, 0, 180)["machines"]["EQ-1"]
    assert machine["seconds"]["overtime"] == 3600
    assert (machine["parts"]["produced"], machine["parts"]["produced_outside_planned"]) == (120, 60)
    assert machine["results"]["M-13"]["value_exact"] == "5/6"  # 50 s a part, of one each minute
    write(store, "m1", [(minute, {"parts_scrap": 0}) for minute in (0, 90, 180)], [])
    results = figures(store, tmp_path, 0, 180)["machines"]["EQ-1"]["results"]
    assert results["M-14"]["value_exact"] == "5/6"
    assert results["M-18"]["value"] == pytest.approx(18 / 180)


def test_two_shifts_of_a_window_count_their_own_parts(store: DuckDbStore, tmp_path: Path) -> None:
    """A counter that tells more than its edges need: what stands between the shifts is kept apart
    exactly."""
    two = Calendar.model_validate(
        {
            "schedules": {
                "default": {
                    "shifts": [
                        {"name": "a", "start": "8:00", "end": "9:00"},
                        {"name": "b", "start": "10:00", "end": "11:00"},
                    ]
                }
            }
        }
    )
    made = [
        (
            minute,
            state(3)
            | {
                "parts_total": minute
                if minute <= 60
                else 3 * minute - 120
                if minute <= 120
                else minute + 120
            },
        )
        for minute in range(0, 181, 5)
    ]
    write(store, "m1", made, [(0, 180)])
    parts = production(store, site(tmp_path), REGISTER, two, T0, T0 + 3 * HOUR)["machines"]["EQ-1"][
        "parts"
    ]
    assert (parts["produced"], parts["produced_outside_planned"]) == (120, 180)


def test_numbers_outside_the_map_are_no_state(store: DuckDbStore, tmp_path: Path) -> None:
    write(store, "m1", [(0, state(3)), (60, state(9, 7)), (90, state(3))], [(0, 120)])
    machine = figures(store, tmp_path)["machines"]["EQ-1"]
    assert (machine["seconds"]["APT"], machine["seconds"]["unknown"]) == (5400, 1800)


def test_a_counter_that_runs_backwards_counts_nothing_there(
    store: DuckDbStore, tmp_path: Path
) -> None:
    write(
        store,
        "m1",
        [
            (0, state(3) | {"parts_scrap": 0, "parts_total": 100}),
            (30, {"parts_total": 104}),
            (60, {"parts_total": 99}),
            (90, {"parts_total": 101}),
        ],
        [(0, 120)],
    )
    parts = figures(store, tmp_path)["machines"]["EQ-1"]["parts"]
    assert parts["produced"] == 6
    assert [
        (event["kind"], event["before"], event["after"]) for event in parts["events"]["produced"]
    ] == [("break", 104, 99)]


def test_a_failure_that_goes_on_across_the_edge_began_in_the_window_before(
    store: DuckDbStore, tmp_path: Path
) -> None:
    write(store, "m1", [(0, state(3)), (50, state(1)), (70, state(3))], [(0, 120)])
    halves = [figures(store, tmp_path, 0, 60), figures(store, tmp_path, 60, 120)]
    assert [half["machines"]["EQ-1"]["failures"] for half in halves] == [1, 0]
    assert [half["machines"]["EQ-1"]["reasons"]["failure"] for half in halves] == [600, 600]


def test_a_line_takes_its_energy_from_its_meter_and_its_parts_from_its_last_station(
    store: DuckDbStore, tmp_path: Path
) -> None:
    write(store, "m2", [(0, state(3) | {"parts_total": 0, "parts_scrap": 0}),
                        (119, {"parts_total": 40, "parts_scrap": 1})], [(0, 120)])  # fmt: skip
    write(
        store, "meter", [(minute, {"import": 1000.0 * minute}) for minute in range(121)], [(0, 120)]
    )
    line = figures(store, tmp_path)["lines"]["L1"]
    assert line["energy"]["kwh"] == pytest.approx(120)
    assert line["energy"]["peak"] == {"t": T0, "kw": pytest.approx(60)}
    assert len(line["energy"]["demand"]) == 8
    assert line["results"]["M-18"]["value"] == pytest.approx(120 / 39)
    assert line["results"]["M-19"]["value"] == pytest.approx(120 * 0.1229 / 1000)


def test_a_quarter_that_the_window_cuts_is_no_peak(store: DuckDbStore, tmp_path: Path) -> None:
    """12 kW for 75 minutes, then 60 kW: the window ends ten minutes into that quarter."""
    used = [
        (minute, 200.0 * min(minute, 75) + 1000.0 * max(0, minute - 75)) for minute in range(121)
    ]
    write(store, "meter", [(minute, {"import": wh}) for minute, wh in used], [(0, 120)])
    energy = figures(store, tmp_path, 0, 85)["lines"]["L1"]["energy"]
    assert energy["peak"] == {"t": T0, "kw": pytest.approx(12)}
    assert [kw for _, kw in energy["demand"]][:5] == pytest.approx([12, 12, 12, 12, 12])
    assert energy["kwh"] == pytest.approx(25)


def test_late_data_corrects_its_window_as_a_revision(store: DuckDbStore, tmp_path: Path) -> None:
    calendar = tmp_path / "calendar.yaml"
    calendar.write_text(
        "schedules: {default: {shifts: [{name: day, start: '8:00', end: '10:00'}]}}"
    )
    plan = ProductionFigures(site(tmp_path, calendar=calendar), REGISTER)
    write(store, "m1", SHIFT[:2], [(0, 60)])
    now = T0 + 3 * HOUR
    shift = Period(T0, T0 + 2 * HOUR, "shift", "day")

    def round_(now: int) -> dict[Period, list[dict[str, Any]]]:
        done = {}
        for period in plan.due(now, store.take_touched()):
            documents = plan.compute(store, period, now)
            if documents and documents[0]["complete"]:
                documents = plan.keep(store, period, documents)
            done[period] = documents
        return done

    first = {document["id"]: document for document in round_(now)[shift]}
    assert first["M-11/shift/L1"]["value"] == pytest.approx(50 / 120)
    assert first["M-11/shift/L1"]["revision"] == 0
    assert first["M-11/shift/L1"]["details"]["losses"]
    assert shift not in round_(now + MINUTE)
    write(store, "m1", SHIFT[2:], [(60, 120)])
    again = {document["id"]: document for document in round_(now + 2 * MINUTE)[shift]}
    assert again["M-11/shift/L1"]["value"] == pytest.approx(0.75)
    assert again["M-11/shift/L1"]["revision"] == 1
    kept = [row for row in store.metrics(shift.end, shift.end + 1) if row["id"] == "M-11/shift/L1"]
    assert sorted(row["revision"] for row in kept) == [0, 1]
    assert "M-11/day/L1" in plan.running


def test_a_window_whose_readings_are_gone_keeps_its_figures(
    store: DuckDbStore, tmp_path: Path
) -> None:
    """A row that comes after 400 days, for a shift whose other readings were deleted, changes no
    figure."""
    plan = ProductionFigures(site(tmp_path), REGISTER)
    write(store, "m1", SHIFT, [(0, 120)])
    today = next(period for period in plan.due(T0 + 30 * HOUR, []) if period.end <= T0 + 28 * HOUR)
    before = plan.keep(store, today, plan.compute(store, today, T0 + 30 * HOUR))
    assert {document["id"]: document["value"] for document in before}["M-11/day/L1"] is not None
    later = T0 + 401 * 24 * HOUR
    with closing(
        DuckDbStore(tmp_path / "copy.duckdb")
    ) as empty:  # as the store is when all of it is gone
        write(empty, "m1", SHIFT[-1:], [(119, 120)])
        for document in before:
            empty.put_metric(document["id"], today.end, document)
        assert plan.compute(empty, today, later) == []
        kept = empty.metrics(today.end, today.end + 1)
        assert {row["id"]: row["value"] for row in kept} == {
            row["id"]: row["value"] for row in before
        }


def test_windows_before_the_first_data_are_not_invented(store: DuckDbStore, tmp_path: Path) -> None:
    plan = ProductionFigures(site(tmp_path), REGISTER)
    write(store, "m1", SHIFT, [(0, 120)])
    now = T0 + 3 * HOUR
    days = {period: plan.compute(store, period, now) for period in plan.due(now, [])}
    assert [bool(documents) for _, documents in sorted(days.items())] == [False, False, True]


def test_a_device_that_never_connected_is_scheduled_while_the_agent_tries(
    store: DuckDbStore, tmp_path: Path
) -> None:
    health = [
        {
            "device": "m1",
            "t": T0 + i * MINUTE,
            "period_s": 60.0,
            "scheduled_s": 60.0,
            "covered_s": 0.0,
            "due": 60,
            "done": 0,
            "good": 0,
            "bad": 60,
            "values": 0,
            "overruns": 0,
            "state": "offline",
            "reason": "BadTimeout",
            "last_good_t": None,
        }
        for i in range(1, 11)
    ]
    store.write(WriteBatch(Rows.empty(), T0, health=health))
    facts = LiveRates(site(tmp_path)).live(store, T0 + 10 * MINUTE).devices["m1"]
    assert (facts.online_s, facts.scheduled_s, facts.expected) == (0, 600, 600)


def nights_off(tmp_path: Path, hours: str = "{start: 8:00, end: 20:00}") -> Site:
    """A site whose machines work by day, with its files."""
    (tmp_path / "equipment.csv").write_text(
        "equipment_id,in_scope,status,control_class,digital,interface,networked_declared,gateway_device,is_robot\n"
        "EQ-1,Y,in_use,cnc,Y,modbus_tcp,Y,m1,N\nEQ-2,Y,in_use,cnc,Y,modbus_tcp,Y,m2,N\n"
    )
    (tmp_path / "calendar.yaml").write_text(f"schedules: {{default: {{shifts: [{hours}]}}}}\n")
    return site(tmp_path, equipment=tmp_path / "equipment.csv", calendar=tmp_path / "calendar.yaml")


def test_a_machine_that_is_switched_off_at_night_is_networked(
    store: DuckDbStore, tmp_path: Path
) -> None:
    """m1 works two shifts and is off between them; m2 misses half of its first shift as well."""
    day = 24 * 60
    made = [{**state(3), "parts_total": parts} for parts in (7, 8)]
    write(store, "m1", [(0, made[0]), (day + 400, made[1])], [(0, 720), (day, day + 720)])
    write(store, "m2", [(0, made[0]), (day + 400, made[1])], [(0, 360), (day, day + 720)])
    at = T0 + (day + 720) * MINUTE
    figures_of = LiveRates(nights_off(tmp_path))
    live = figures_of.live(store, at).devices
    # Health rows of a minute: the first good value is known from the end of the first minute on.
    assert (live["m1"].coverage, live["m2"].coverage) == (1, Fraction(18 * 60, 24 * 60 - 1))
    assert (live["m1"].online_s, live["m1"].scheduled_s) == (12 * 3600, 12 * 3600)
    assert live["m1"].good == live["m1"].expected
    results = {result["id"]: result for result in figures_of.compute(store, at)}
    assert results["M-04a-effective"]["numerator_ids"] == ["EQ-1"]
    assert results["M-05"]["value"] == 1.0  # of the last day: its night was not planned
    without = (
        LiveRates(site(tmp_path, equipment=tmp_path / "equipment.csv")).live(store, at).devices
    )
    # without a calendar all time counts
    assert without["m1"].coverage == Fraction(24 * 60, 36 * 60 - 1)


def test_late_data_of_a_shift_is_seen_within_the_hour(store: DuckDbStore, tmp_path: Path) -> None:
    day = 24 * 60
    write(store, "m1", [(0, state(3)), (day, state(3))], [(0, 360), (day, day + 60)])
    figures_of = LiveRates(nights_off(tmp_path))
    assert figures_of.live(store, T0 + (day + 60) * MINUTE).devices["m1"].coverage == Fraction(
        7 * 60, 13 * 60 - 1
    )
    write(store, "m1", [(400, state(3)), (day + 61, state(3))], [(360, 720), (day + 60, day + 180)])
    assert figures_of.live(store, T0 + (day + 180) * MINUTE).devices["m1"].coverage == 1


def test_where_nothing_was_planned_yet_all_time_counts(store: DuckDbStore, tmp_path: Path) -> None:
    write(store, "m1", [(0, state(3))], [(0, 60)])
    figures_of = LiveRates(nights_off(tmp_path, "{start: 20:00, end: 22:00}"))
    assert figures_of.live(store, T0 + 60 * MINUTE).devices["m1"].coverage == 1


def test_a_calendar_that_cannot_be_used_does_not_stop_the_rates(
    store: DuckDbStore, tmp_path: Path
) -> None:
    write(store, "m1", [(0, state(3))], [(0, 60)])
    broken = nights_off(tmp_path, "{start: noon}")
    assert LiveRates(broken).live(store, T0 + 60 * MINUTE).devices["m1"].coverage == 1


def test_a_meter_of_one_machine_is_told_at_the_machines_states_kept_or_not(
    store: DuckDbStore, tmp_path: Path
) -> None:
    """It counts 1 Wh a second while the machine runs and one in ten seconds while it stands, in no
    full minutes."""
    runs = [(s // 100) % 2 for s in range(7200)]
    used, readings = 0, []
    for s, running in enumerate(runs):
        used += 10 if running else 1
        readings.append((s / 60, {"import": used / 10}))
    states = [
        (s / 60, state(3 if running else 2)) for s, running in enumerate(runs) if s % 100 == 0
    ]
    write(store, "m1", states, [(0, 120)])
    write(store, "meter", readings, [(0, 120)])
    mine = Register((REGISTER.equipment[0], REGISTER.equipment[3]))
    where, window = site(tmp_path), (T0 - HOUR, T0 + 2 * HOUR)
    idle = sum(
        b[1]["import"] - a[1]["import"]
        for a, b, on in zip(readings, readings[1:], runs, strict=False)
        if not on
    )

    def told() -> Any:
        return production(store, where, mine, CALENDAR, *window)["machines"]["EQ-1"]

    raw = told()
    links = PlantSignals(where, mine)
    store.watch(links.steady, links.powers, links.counters)
    assert store.compact(T0 + DAY, 10) == 2
    assert told() == raw
    assert raw["energy"]["source"] == "meter"
    kwh = raw["energy"]["kwh"]
    assert raw["results"]["M-20"]["value"] * kwh == pytest.approx(idle / 1000, abs=1e-6)


def every_figure(
    store: DuckDbStore, where: Site, register: Register, start: int, end: int
) -> list[Any]:
    """All that is computed of a window: production, the rates now, and a report's."""
    facts = gather(where, StoreFacts(store), register, CALENDAR, start, end)
    plant = plant_of(facts, register, FigureOptions())
    live = LiveRates(where).live(store, end)
    windows = ProductionFigures(where, register).compute(
        store, Period(start, end, "shift"), end + HOUR
    )
    minutes = {name: rows.rows.tolist() for name, rows in facts.minutes.items()}
    told = replace(facts, minutes={})
    made = production(store, where, register, CALENDAR, start, end)
    return [made, live, told, minutes, plant.assessment.evidence, windows]


@pytest.mark.slow
def test_a_guest_changes_no_figure(tmp_path: Path) -> None:
    """A device of the same id, of an agent that stands nowhere in the file: earlier, later, faulty,
    and with gaps."""
    window = T0, T0 + 2 * HOUR
    found = []
    for name in ("alone", "with guest"):
        with closing(DuckDbStore(tmp_path / f"{name}.duckdb", agent="a")) as store:
            write(store, "m1", SHIFT, [(0, 120)])
            write(store, "m2", [(0, state(3))], [(0, 90)])
            if name == "with guest":
                guest = [
                    (-60, state(0)),
                    *((minute, state(1) | {"power": 99.0}) for minute in range(0, 200, 7)),
                ]
                write(store, "b:m1", guest, [(-600, -500), (0, 300)])
                write(store, "b:unknown", guest, [(0, 300)])
                gap = {
                    "stream": "b/0/1",
                    "from_seq": 3,
                    "to_seq": 9,
                    "from_t": T0,
                    "to_t": T0 + HOUR,
                    "values": 7,
                }
                agents = [{"device": "b", "t": T0 + HOUR, "gap": gap}]
                store.write(WriteBatch(Rows.empty(), T0, agents=agents))
                store.catalogue.born({"device": "m3", "agent": "b", "tags": {"machine_state": {}}})
            found.append(every_figure(store, site(tmp_path), REGISTER, *window))
    for alone, beside in zip(*found, strict=True):
        assert re.sub(r" at 0x\w+", "", repr(alone)) == re.sub(r" at 0x\w+", "", repr(beside))


def test_a_device_of_another_agent_of_the_plant_is_in_the_figures(
    store: DuckDbStore, tmp_path: Path
) -> None:
    """It is known by its birth document, and registers call it `agent:device`, or by its id
    alone."""
    where = site(tmp_path).model_copy(update={"agents": ("b",)})
    store.catalogue.born(
        {
            "device": "m3",
            "agent": "b",
            "name": "third",
            "line": "L1",
            "connector": "opcua",
            "tags": {
                "machine_state": {"type": "int"},
                "operation_mode": {},
                "parts_total": {"unit": ""},
                "x": {"map": 5},
            },
        }
    )
    store.catalogue.born(
        {"device": "m1", "agent": "b", "line": "L1", "tags": {"machine_state": {}}}
    )
    write(store, "m1", SHIFT, [(0, 120)])
    write(store, "b:m1", [(0, state(1))], [(0, 120)])
    window = T0, T0 + 2 * HOUR
    for written, other in (("b:m1", "m1"), ("b:m1", "a:m1")):
        register = Register(
            (
                Equipment("EQ-1", line="L1", gateway_device=other),
                Equipment("EQ-2", line="L1", gateway_device=written),
            )
        )
        machines = production(store, where, register, CALENDAR, *window)["machines"]
        assert machines["EQ-1"]["seconds"]["APT"] == 5400
        assert machines["EQ-2"]["seconds"]["APT"] == 0
        assert (machines["EQ-1"]["device"], machines["EQ-2"]["device"]) == ("a:m1", "b:m1")
    live = LiveRates(where).live(store, window[1]).devices
    assert sorted(live) == ["a:m1", "b:m1", "m2", "m3", "meter"], (
        "an odd key of a birth is left out, the device stays"
    )
