"""One bad reading becomes no figure: glitches, false zeros and impossible steps, through payloads
and store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.errors import RegisterError
from edge_agent.metrics.counters import U16, CountedQuantity, CounterRule, count
from edge_agent.metrics.epochs import judged
from edge_agent.metrics.learning import limits
from edge_agent.metrics.plausibility import Bounds, CounterRuns, by_cycle, by_power
from edge_agent.metrics.readings import Readings
from edge_agent.production.figures import FigureOptions, figures
from edge_agent.register.model import Register
from edge_agent.report.parts.production import production
from edge_agent.stores import SampleRuns
from edge_agent.stores.base import DaySteps, step_below
from tests.support.count_plant import (
    DAY,
    DEVICES,
    HOUR,
    MACHINE,
    METER,
    MINUTE,
    T0,
    CountPlant,
    each_minute,
)

pytestmark = pytest.mark.slow


@contextmanager
def counting(folder: Path, **about: Any) -> Iterator[CountPlant]:
    made = CountPlant(folder, **about)
    try:
        yield made
    finally:
        made.store.close()


#: A shift of eight hours from 08:00 with 90 parts an hour: 0 to 720.
SHIFT = (8 * HOUR, 16 * HOUR)
PARTS = [count * 720 // 480 for count in range(481)]


def shift(
    made: CountPlant,
    values: list[Any],
    tag: str = "parts_total",
    quality: dict[int, str] | None = None,
) -> None:
    made.born()
    made.working(*SHIFT)
    made.write("m1", tag, each_minute(SHIFT[0], values), quality)


@pytest.mark.parametrize("in_range", [False, True], ids=["no range", "outside its range"])
def test_a1_a_part_counter_with_one_reading_of_65535(tmp_path: Path, in_range: bool) -> None:
    values: list[Any] = [*PARTS]
    values[200] = 65535
    keys = {"parts": ", range: [0, 10000]"} if in_range else {}
    with counting(tmp_path, **keys) as made:
        shift(
            made, values, quality={200: "UncertainEngineeringUnitsExceeded"} if in_range else None
        )
        assert made.produced(*SHIFT) == 720
        kind = "out_of_range" if in_range else "glitch"
        assert made.events(*SHIFT) == [(kind, SHIFT[0] + 200 * MINUTE, 65535)]
        found = made.figures(*SHIFT)
        result = found["M-13@EQ-1"]
        assert result.value == 1
        assert result.provisional, "until a person has decided"
        assert any(
            "65535" in note.zh and "65535" in note.en and "11:20:00" in note.zh
            for note in result.notes
        )
        assert found["M-13@line:L1"].provisional
        assert result.details["set_aside"][0]["amount"] == 65535 - PARTS[199]


def test_a2_a_meter_with_one_reading_of_4294967(tmp_path: Path) -> None:
    values: list[Any] = [1000.0 + i * 1.5 for i in range(481)]
    values[100] = 4_294_967.0
    with counting(tmp_path) as made:
        made.born()
        made.write("meter", "import", each_minute(SHIFT[0], values))
        assert made.kwh(*SHIFT) == 720
        assert made.events(*SHIFT) == [("glitch", SHIFT[0] + 100 * MINUTE, 4_294_967)]
        coal = made.figures(*SHIFT)["M-19@line:L1"]
        assert coal.details["kwh"] == 720
        assert coal.provisional


def test_a3_a_meter_in_wh_that_reads_zero_once(tmp_path: Path) -> None:
    values: list[Any] = [30_000_000 + 1000 * i for i in range(121)]
    values[60] = 0
    with counting(tmp_path, devices=DEVICES.replace("unit: kWh", "unit: Wh")) as made:
        made.born()
        made.write("meter", "import", each_minute(SHIFT[0], values))
        window = SHIFT[0], SHIFT[0] + 120 * MINUTE
        assert made.kwh(*window) == 120
        assert made.events(*window) == [("false_zero", SHIFT[0] + 60 * MINUTE, 0)]
        used, _ = made.plant(*window).line_energy("L1")
        assert used is not None
        quarters = [
            made.kwh(window[0] + i * 15 * MINUTE, window[0] + (i + 1) * 15 * MINUTE)
            for i in range(8)
        ]
        assert quarters == [15] * 8, "60 kW in every quarter"


def test_a3_a_meter_that_falls_to_zero_and_stays_low_was_replaced(tmp_path: Path) -> None:
    values = [30_000.0 + i for i in range(60)] + [float(i) for i in range(421)]
    with counting(tmp_path) as made:
        made.born()
        made.write("meter", "import", each_minute(SHIFT[0], values))
        assert made.kwh(*SHIFT) == 59 + 420
        assert made.events(*SHIFT) == [("break", SHIFT[0] + 60 * MINUTE, 0)]


def test_a4_scrap_that_jumps_once_is_no_quality_below_zero(tmp_path: Path) -> None:
    scrap: list[Any] = [i // 40 for i in range(481)]
    scrap[300] = 7200
    with counting(tmp_path) as made:
        shift(made, PARTS)
        made.write("m1", "parts_ng", each_minute(SHIFT[0], scrap))
        found = made.figures(*SHIFT)
        assert found["M-12@EQ-1"].numerator == 720 - 12
        assert found["M-12@EQ-1"].provisional
        assert found["M-14@EQ-1"].provisional


def test_a4_a_cycle_time_five_times_too_long_never_stands_bare(tmp_path: Path) -> None:
    machine = replace(MACHINE, nominal_cycle_s=Decimal(200))
    with counting(tmp_path, register=Register((machine, METER))) as made:
        shift(made, PARTS)
        made.write("m1", "parts_ng", each_minute(SHIFT[0], [0] * 481))
        found = made.figures(*SHIFT)
        for key in ("M-13@EQ-1", "M-14@EQ-1", "M-15@EQ-1", "M-14@line:L1", "M-14"):
            assert found[key].value == 5, key
            assert any("not possible" in note.en for note in found[key].notes), key


# --- variants: the judgement alone ----------------------------------------------------------------

GLITCHES = {
    "two in a row": {200: 65535, 201: 65535},
    "two apart": {200: 65535, 202: 65534},
    "five at zero": dict.fromkeys(range(200, 205), 0),
    "an hour at zero": dict.fromkeys(range(200, 260), 0),
    "negative": {200: -1},
    "the second reading": {1: 65535},
    "the last reading but one": {479: 65535},
    "small": {200: 700},
    "high, then zero": {200: 65535, 201: 0},
    "two in a row, and as high again": {200: 65535, 201: 65534, 400: 65535},
    "three that fall, and as high again": {200: 65535, 201: 65534, 202: 65530, 400: 65535},
    "zero at both ends of an hour": {200: 0, 260: 0},
}
PARTS_RULE, METER_RULE = CounterRule(U16, restarts=True), CounterRule()
RULES = {
    "parts with a cycle": (PARTS_RULE, Bounds(physical=(by_cycle(40.0),))),
    "parts": (PARTS_RULE, Bounds()),
    "a meter with a rated power": (METER_RULE, Bounds(physical=(by_power(100.0),))),
    "a meter": (METER_RULE, Bounds()),
}


def counted(
    values: Sequence[float], rule: CounterRule, bounds: Bounds, step: int = MINUTE
) -> CountedQuantity:
    """One reading a step, judged and counted."""
    t = np.arange(len(values), dtype=np.int64) * step
    runs = SampleRuns.of(t, np.array(values, np.float64), np.zeros(len(t), np.uint32))
    found = judged(CounterRuns(runs.first, runs.last, runs.num), rule, bounds)
    times = np.stack([found.runs.first, found.runs.last], axis=1).ravel()
    new = np.append(True, np.diff(times) > 0)
    return count(
        Readings(times[new], np.repeat(found.runs.value, 2)[new]), rule, found.epochs, found.events
    )


@pytest.mark.parametrize("wrong", GLITCHES.values(), ids=GLITCHES)
@pytest.mark.parametrize(("rule", "bounds"), RULES.values(), ids=RULES)
def test_other_glitches(rule: CounterRule, bounds: Bounds, wrong: dict[int, int]) -> None:
    made = counted([wrong.get(place, value) for place, value in enumerate(PARTS)], rule, bounds)
    assert made.total == 720
    assert made.between(0, 200 * MINUTE + 7) + made.between(200 * MINUTE + 7, 480 * MINUTE) == 720
    assert {event.kind for event in made.events} <= {"glitch", "false_zero"}
    assert sum(event.readings for event in made.events) >= 1


@pytest.mark.parametrize(("rule", "bounds"), RULES.values(), ids=RULES)
def test_what_a_counter_really_does_stays(rule: CounterRule, bounds: Bounds) -> None:
    rolled = counted([(U16 - 300 + value) % U16 for value in PARTS], rule, bounds)
    restarted = counted([value % 90 for value in PARTS], rule, bounds)
    if rule.restarts:
        assert rolled.total == 720
        assert [event.kind for event in rolled.events] == ["rollover"]
        assert restarted.total >= 720 - 2 * len(restarted.events)
        assert {event.kind for event in restarted.events} == {"restart"}
    else:
        assert {event.kind for event in (*rolled.events, *restarted.events)} == {"break"}
    idle = counted([5] * 100 + [6] * 100 + [0] * 100 + [3] * 100, rule, bounds)
    assert {event.kind for event in idle.events} == {"restart" if rule.restarts else "break"}


def test_a_counter_read_once_an_hour_that_is_set_to_zero_each_shift() -> None:
    """So sparse that each reading looks alone: nothing here is steeper than the rest."""
    values = [45, 2, 47, 1, 44, 3, 46, 2, 45]
    made = counted(values, PARTS_RULE, Bounds(), HOUR)
    assert {event.kind for event in made.events} == {"restart"}
    assert made.total == 47 - 2 + 2 + 44 - 1 + 1 + 46 - 3 + 3 + 45 - 2 + 2


def test_a_false_zero_near_the_top_of_16_bits_is_no_roll_over() -> None:
    values = [64_000 + value for value in PARTS]
    values[400] = 0
    made = counted(values, PARTS_RULE, Bounds())
    assert (made.total, [event.kind for event in made.events]) == (720, ["false_zero"])


def test_a_glitch_as_the_first_reading_counts_nothing_by_itself() -> None:
    assert counted([65535, *PARTS[1:]], PARTS_RULE, Bounds()).total in (719, 720, 721)
    assert counted([4_294_967.0, *PARTS[1:]], METER_RULE, Bounds()).total == 719


@pytest.mark.parametrize(("rule", "bounds"), RULES.values(), ids=RULES)
def test_a_glitch_as_the_last_reading_waits_for_the_next(rule: CounterRule, bounds: Bounds) -> None:
    made = counted([*PARTS[:-1], 65535], rule, bounds)
    assert made.total == PARTS[-2]
    assert [(event.kind, event.is_undecided) for event in made.events] == [("jump", True)]
    made = counted([*PARTS[:-1], 65535, 722], rule, bounds)
    assert (made.total, [event.kind for event in made.events]) == (722, ["glitch"])


def test_a_replaced_meter_may_end_above_the_old_one() -> None:
    """It falls, stays low, and counts past the old reading within hours, step by step."""
    made = counted([500 + i for i in range(10)] + [5 * i for i in range(200)], METER_RULE, Bounds())
    assert made.total == 9 + 5 * 199
    assert [event.kind for event in made.events] == ["break"]


# --- steps that stay ------------------------------------------------------------------------------


def test_a_step_beyond_the_cycle_counts_nothing_and_a_person_can_accept_it(tmp_path: Path) -> None:
    values = [value if place < 240 else value + 5000 for place, value in enumerate(PARTS)]
    with counting(tmp_path) as made:
        shift(made, values)
        lost = PARTS[240] - PARTS[239]
        assert made.produced(*SHIFT) == 720 - lost
        assert made.events(*SHIFT) == [("jump", SHIFT[0] + 240 * MINUTE, values[240])]
        assert made.figures(*SHIFT)["M-13@EQ-1"].provisional
        rows = "m1,parts_total,2026-10-12 12:00,计入,王工,换线\n"
        made.files = {"events": "采集设备,变量,读数时间,判定,判定人,理由\n" + rows}
        assert made.produced(*SHIFT) == 720 + 5000
        assert not made.figures(*SHIFT)["M-13@EQ-1"].provisional
        made.files = {
            "events": "device,tag,time,decision\n"
            "m1,parts_total,2026-10-12T12:00:00.000+08:00,set_aside\n"
        }
        assert made.produced(*SHIFT) == 720 - lost
        result = made.figures(*SHIFT)["M-13@EQ-1"]
        assert not result.provisional
        assert any("decided" in note.en for note in result.notes), "and still said"


def test_max_rate_is_a_bound_of_its_own(tmp_path: Path) -> None:
    values = [100.0 + i + (500 if i >= 240 else 0) for i in range(481)]
    with counting(tmp_path, meter=", max_rate: 90/h") as made:
        made.born()
        made.write("meter", "import", each_minute(SHIFT[0], values))
        assert made.kwh(*SHIFT) == 479
        (event,) = (event for _, event in made.plant(*SHIFT).counter_events)
        assert (event.kind, event.basis, event.amount) == ("jump", "max_rate", 501)


def test_rated_power_is_a_bound_of_the_machines_meter(tmp_path: Path) -> None:
    machine = replace(MACHINE, rated_power_kw=Decimal(10), meter_id="meter")
    values = [100 + i / 10 + (500 if i >= 240 else 0) for i in range(481)]
    with counting(tmp_path, register=Register((machine,))) as made:
        shift(made, PARTS)
        made.write("meter", "import", each_minute(SHIFT[0], values))
        result = made.figures(*SHIFT)["M-18@EQ-1"]
        assert result.numerator == Fraction("47.9")
        assert result.provisional
        (event,) = (event for _, event in made.plant(*SHIFT).counter_events)
        assert (event.kind, event.basis) == ("jump", "power")


# --- learned --------------------------------------------------------------------------------------


def days_of(numbers: Sequence[int], size: int = 8, busiest: int = 60) -> dict[int, DaySteps]:
    """Days with so many steps below `step_below(size)`."""
    return {day * DAY: DaySteps({size: number}, busiest) for day, number in enumerate(numbers, 28)}


def test_a_limit_is_learned_from_a_thousand_steps_on_three_days() -> None:
    assert limits(days_of([999, 0, 0]), step_below, 28 * DAY, 35 * DAY) == ()
    assert limits(days_of([600, 600]), step_below, 28 * DAY, 35 * DAY) == ()
    found = limits(days_of([400, 400, 400]), step_below, 28 * DAY, 35 * DAY)
    assert [limit.since // DAY for limit in found if limit.since] == [31, 32, 33, 34, 35]
    assert (found[0].burst, found[0].per_hour) == (20 * step_below(8), 60 * 20 * step_below(8))


def test_what_was_set_aside_teaches_nothing() -> None:
    """From the fourth day on nine of ten steps are a thousand times as large."""
    days = days_of([400] * 20)
    for day in range(31, 48):
        days[day * DAY] = DaySteps({8: 400, 88: 3600}, 60)
    found = limits(days, step_below, 28 * DAY, 47 * DAY)
    assert {limit.burst for limit in found} == {20 * step_below(8)}


def test_limits_of_a_day_do_not_depend_on_the_window() -> None:
    days = {day * DAY: DaySteps({day % 5: 300 + day}, 60) for day in range(120)}
    whole = limits(days, step_below, 30 * DAY, 110 * DAY)
    for start, end in ((30, 50), (51, 83), (84, 110)):
        assert limits(days, step_below, start * DAY, end * DAY) == tuple(
            limit for limit in whole if start * DAY <= (limit.since or 0) <= end * DAY
        )


def test_a_meter_that_was_read_for_days_knows_what_it_can_do(tmp_path: Path) -> None:
    """Read each minute in three mornings; on the fourth 5000 kWh more come at once: no bound but
    its own past."""
    mornings = [8 * HOUR + day * DAY for day in range(3)]
    fourth = 8 * HOUR + 3 * DAY
    with counting(tmp_path) as made:
        made.born()
        for place, morning in enumerate(mornings):
            values = [1000.0 + 200 * place + i * 0.5 for i in range(350)]
            made.write("meter", "import", each_minute(morning, values))
        jumped = [1600.0 + i * 0.5 + (5000 if i >= 60 else 0) for i in range(121)]
        made.write("meter", "import", each_minute(fourth, jumped))
        for kept in (False, True):
            (event,) = (event for _, event in made.plant(fourth, fourth + 2 * HOUR).counter_events)
            assert (event.kind, event.basis, float(event.amount)) == ("jump", "learned", 5000.5), (
                kept
            )
            assert made.kwh(fourth, fourth + 2 * HOUR) == Fraction("59.5")
            if not kept:
                made.store.watch([], None, {("meter", "import"): []})
                assert made.store.compact(T0 + 6 * DAY, 20) == 20


# --- what people see ------------------------------------------------------------------------------


def test_the_report_lists_the_event_and_says_so_in_the_same_row(tmp_path: Path) -> None:
    values: list[Any] = [*PARTS]
    values[200] = 65535
    machine = replace(MACHINE, nominal_cycle_s=Decimal(200))
    with counting(tmp_path, register=Register((machine, METER))) as made:
        shift(made, values)
        plant = made.plant(*SHIFT)
        part = production(plant, figures(plant, FigureOptions()))
        tables = {block["name"]: block for block in part["blocks"] if block["kind"] == "table"}
        (row,) = tables["counter_events"]["rows"]
        assert row[:3] == ["EQ-1", "L1", "m1/parts_total"]
        assert row[3] == "2026-10-12T03:20:00+00:00", "shown by the plant's clock"
        assert (row[5], row[6], row[7]) == (PARTS[199], 65535, 65535 - PARTS[199])
        assert row[9]["zh"] == "待判定（暂定）"
        for name in ("oee", "oee_lines"):
            assert all(
                "超出可能范围" in told[-1]["zh"] and "暂定" in told[-1]["zh"]
                for told in tables[name]["rows"]
            ), name
        document = made.document(*SHIFT)
        (event,) = document["lines"]["L1"]["events"]
        assert (event["kind"], event["after"], event["counted"]) == ("glitch", 65535, None)
        assert document["machines"]["EQ-1"]["parts"]["events"]["produced"][0]["kind"] == "glitch"
        assert document["lines"]["L1"]["results"]["M-13"]["provisional"]


def test_a_faulty_file_of_decisions_is_refused_by_row_and_column(tmp_path: Path) -> None:
    with counting(tmp_path) as made:
        rows = "m1,parts_total,yesterday,count\nm1,parts_total,2026-10-12 12:00,maybe\n"
        made.files = {"events": f"device,tag,time,decision\n{rows}"}
        with pytest.raises(RegisterError) as caught:
            made.plant(*SHIFT)
        assert [finding.where for finding in caught.value.findings] == [
            "events.csv:3:decision",
            "events.csv:2:time",
        ]
