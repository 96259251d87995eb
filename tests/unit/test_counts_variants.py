"""Neighbours of the known histories that came out wrong: other widths, other edges, two faults at
once.

Each answer is computed by hand in the comment or the docstring beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.metrics.counters import U16, CounterRule, count
from edge_agent.metrics.epochs import judged
from edge_agent.metrics.plausibility import Bounds, CounterRuns, by_cycle, by_power
from edge_agent.metrics.readings import Readings
from edge_agent.register.model import Register
from edge_agent.stores import SampleRuns
from tests.support.count_plant import DAY, DEVICES, HOUR, MACHINE, METER, MINUTE, each_minute
from tests.unit.test_counts_possible import PARTS, RULES, SHIFT, counted, counting

# --- A: the first reading, three false zeros, glitches after which the counter is lower -----------


@pytest.mark.parametrize("zeros", [1, 3])
def test_a_meter_whose_first_readings_are_zero(tmp_path: Path, zeros: int) -> None:
    """Zero until the device has read its memory, then 30 000 kWh and 1 kWh a minute: 480 less what
    was not seen, and not 30 480; in one window and in two."""
    values = [0.0] * zeros + [30_000.0 + i for i in range(zeros, 481)]
    with counting(tmp_path) as made:
        made.born()
        made.write("meter", "import", each_minute(SHIFT[0], values))
        assert made.kwh(*SHIFT) == 480 - zeros
        assert made.events(*SHIFT) == [("jump", SHIFT[0] + zeros * MINUTE, 30_000 + zeros)]
        assert made.figures(*SHIFT)["M-19@line:L1"].provisional
        early, late = made.kwh(SHIFT[0], SHIFT[0] + HOUR), made.kwh(SHIFT[0] + HOUR, SHIFT[1])
        assert (early, late) == (60 - zeros, 420)


def test_a_meter_read_once_an_hour_whose_first_reading_is_zero() -> None:
    """30 001, then 10 kWh an hour: 20 kWh, although hardly anything is there to compare with."""
    made = counted([0.0, 30_001.0, 30_011.0, 30_021.0], CounterRule(), Bounds(), HOUR)
    assert (made.total, [event.kind for event in made.events]) == (20, ["jump"])


def test_a_new_meter_that_begins_at_zero_counts_from_there() -> None:
    assert counted([0.0, 3.0, 5.0, 9.0, 10.0], CounterRule(), Bounds(), HOUR).total == 10


def test_a_first_reading_before_a_long_silence_counts() -> None:
    """1000, 10 hours without a reading at 10 kWh/h, then idle at 0.01 kWh a minute: 100 + 1.2."""
    rows = [1000.0] + [None] * 600 + [1100 + i / 100 for i in range(121)]
    made = counted_at(
        [(place * MINUTE, value) for place, value in enumerate(rows) if value is not None]
    )
    assert float(made.total) == pytest.approx(101.2)
    assert made.events == ()


@pytest.mark.parametrize(("rule", "bounds"), RULES.values(), ids=RULES)
@pytest.mark.parametrize("low", [0, 1])
def test_three_false_zeros_of_a_low_count(rule: CounterRule, bounds: Bounds, low: int) -> None:
    """From 58 to 0, 0, 0 and to 63: a machine of 40 s makes 63 parts in 42 minutes, not in one."""
    wrong = dict.fromkeys(range(40, 43), low)
    made = counted([wrong.get(place, value) for place, value in enumerate(PARTS)], rule, bounds)
    assert (made.total, [event.kind for event in made.events]) == (720, ["false_zero"])


def test_a_fast_counter_that_restarts_keeps_its_parts() -> None:
    """A press of 1 s: 60 a minute, set to zero at 60, three minutes of pause: each 60 was made."""
    made = counted(
        [60, 0, 0, 0] * 10 + [60],
        CounterRule(U16, restarts=True),
        Bounds(physical=(by_cycle(1.0),)),
    )
    assert made.total == 10 * 60
    assert {event.kind for event in made.events} == {"restart"}


#: From the reading at 200 on: (how many readings are nonsense, what the counter begins again with,
#: what it lost).
FALLS = {
    "one reading, then what it had kept": ([65_535], lambda value: value - 5),
    "two readings, then what it had kept": ([65_535, 65_534], lambda value: value - 5),
    "one reading, then zero": ([65_535], lambda value: value - 301),
    "two equal readings, then zero": ([65_535, 65_535], lambda value: value - 303),
}


@pytest.mark.parametrize("case", FALLS.values(), ids=FALLS)
@pytest.mark.parametrize(("rule", "bounds"), RULES.values(), ids=RULES)
def test_a_glitch_after_which_the_counter_is_lower(
    rule: CounterRule, bounds: Bounds, case: tuple[list[int], Any]
) -> None:
    """PARTS is 298 at place 199 and 720 at the end. After the glitch at 200 (and 201) the counter
    goes on from place 201 (or 202), where PARTS is 301 (303), lower: what is counted is 298, and
    720 - 301 (720 - 303); two less where the last of them still repeats what is counted before.
    Never the 65 535."""
    glitch, lower = case
    values = [*PARTS[:200], *glitch, *(lower(value) for value in PARTS[200 + len(glitch) :])]
    made = counted(values, rule, bounds)
    assert 720 - 5 <= made.total <= 720 - 3
    kinds = {event.kind for event in made.events}
    assert "glitch" in kinds
    assert kinds <= {"glitch", "restart", "break"}


def test_a_batch_counter_read_after_a_silence_and_set_to_zero_is_no_glitch() -> None:
    """1.5 parts a minute; one hour without a reading, 90 parts more, then set to zero."""
    rows = [(place * MINUTE, float(value)) for place, value in enumerate(PARTS[:200])]
    rows += [
        (260 * MINUTE, 390.0),
        *((place * MINUTE, (place - 261) * 1.0) for place in range(261, 300)),
    ]
    made = counted_at(rows, CounterRule(restarts=True))
    assert made.total == 390 + 38


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(physical=(by_power(100.0),))])
def test_readings_at_the_ends_of_what_a_double_holds(bounds: Bounds) -> None:
    """A torn float64: +-1.7e308 between 1049 and 1053; 1000 to 1099 is 99."""
    values = [1000.0 + i for i in range(100)]
    values[50:53] = [1.7e308, -1.7e308, 1.7e308]
    made = counted(values, CounterRule(), bounds)
    assert made.total == 99
    assert {event.kind for event in made.events} <= {"glitch", "false_zero"}


def counted_at(rows: Sequence[tuple[int, float]], rule: CounterRule | None = None) -> Any:
    """As `counted`, at given times."""
    times = np.array([t for t, _ in rows], np.int64)
    runs = SampleRuns.of(
        times, np.array([value for _, value in rows]), np.zeros(len(rows), np.uint32)
    )
    rule = rule or CounterRule()
    found = judged(CounterRuns(runs.first, runs.last, runs.num), rule, Bounds())
    return count(Readings(found.runs.first, found.runs.value), rule, found.epochs, found.events)


# --- C: epochs without a reading between, and exchanges noted by an inexact clock -----------------

NOON = 12 * HOUR


def raw(
    since: int, until: int, scale: int, origin: int = 0, at: int = 0
) -> list[tuple[int, float]]:
    """A raw count that rises by 1 in two hours from `at` on, times its scale, read each hour."""
    return [(t, scale * (origin + (t - at) / (2 * HOUR))) for t in range(since, until + 1, HOUR)]


def test_a_scale_that_is_corrected_twice_before_the_next_reading(tmp_path: Path) -> None:
    """40, and at noon 60 and at once 50. Raw 1000 to 1012: 5.5 x 40 until 11:00, then 6.5 x 50 =
    545."""
    with counting(tmp_path, meter=", scale: 40") as made:
        made.born()
        made.write("meter", "import", raw(0, 11 * HOUR, 40, 1000))
        for scale, t in ((60, NOON - 2 * MINUTE), (50, NOON - MINUTE)):
            made.meter = f", scale: {scale}"
            made.born(t)
        made.write("meter", "import", raw(NOON, DAY, 50, 1000))
        assert made.kwh(0, DAY) == 545
        assert [kind for kind, *_ in made.events(0, DAY)] == ["epoch", "epoch"]
        assert (made.kwh(0, NOON), made.kwh(NOON, DAY)) == (5.5 * 40 + 0.5 * 50, 300)


def test_another_address_whose_scale_is_corrected_before_its_first_reading(tmp_path: Path) -> None:
    """5.5 x 40 at the old address, 6 x 50 at the new one; nothing across, and not 50 x 7000 - 40 x
    1005."""
    with counting(tmp_path, meter=", scale: 40") as made:
        made.born()
        made.write("meter", "import", raw(0, 11 * HOUR, 40, 1000))
        made.devices = DEVICES.replace(
            "address: holding/0, type: float64", "address: holding/8, type: float64"
        )
        made.born(NOON - 2 * MINUTE)
        made.meter = ", scale: 50"
        made.born(NOON - MINUTE)
        made.write("meter", "import", raw(NOON, DAY, 50, 7000))
        assert made.kwh(0, DAY) == 220 + 300


@pytest.mark.parametrize("corrected", [11 * HOUR, 13 * HOUR], ids=["before", "after"])
def test_a_meter_exchanged_in_an_outage_in_which_its_scale_is_corrected(
    tmp_path: Path, corrected: int
) -> None:
    """Read until 10:00 (raw 1005) and from 14:00 on; exchanged at noon at raw 1006, the new one at
    raw 5000; 40 until the correction and 60 since. 5 x 40, the hours to noon 1 raw, from noon 6 raw
    x 60."""
    at_noon = 60 if corrected < NOON else 40
    with counting(tmp_path, meter=", scale: 40") as made:
        made.born()
        made.write("meter", "import", raw(0, 10 * HOUR, 40, 1000))
        made.meter = ", scale: 60"
        made.born(corrected)
        made.write("meter", "import", raw(14 * HOUR, DAY, 60, 5000, NOON))
        rows = f"meter,,2026-10-12 12:00,{1006 * at_noon},{5000 * at_noon}\n"
        made.files = {"meters": f"device,tag,time,last_old,first_new\n{rows}"}
        assert made.kwh(0, DAY) == 200 + at_noon + 360
        parts = [made.kwh(start, start + 3 * HOUR) for start in range(0, DAY, 3 * HOUR)]
        assert None not in parts
        assert sum(part for part in parts if part is not None) == 200 + at_noon + 360
        made.files = {"meters": "device,tag,time\nmeter,,2026-10-12 12:00\n"}
        assert made.kwh(0, DAY) == 200 + 300, "of the hours between nothing is known"


@pytest.mark.parametrize("new", [88_000, 0, 12_340], ids=["higher", "from zero", "a little lower"])
def test_an_exchange_written_down_by_an_inexact_clock(tmp_path: Path, new: int) -> None:
    """The old meter is read until 10:00 (5 kWh), the new one from 11:00 on (6.75 kWh since 10:30):
    its readings show where it happened. 12 345.85 - 12 345.6 more of the old one: 12."""
    with counting(tmp_path) as made:
        made.born()
        made.write(
            "meter",
            "import",
            [(t, 12_340.6 + 0.5 * t / HOUR) for t in range(0, 10 * HOUR + 1, HOUR)],
        )
        new_ones = [(t, new + 0.5 * (t / HOUR - 10.5)) for t in range(11 * HOUR, DAY + 1, HOUR)]
        made.write("meter", "import", new_ones)
        for written in ("09:10", "10:20", "11:30", "15:00"):
            made.files = {
                "meters": f"device,time,last_old,first_new\nmeter,2026-10-12 {written},12345.85,{new}\n"
            }
            assert made.kwh(0, DAY) == 12, written
            assert [kind for kind, *_ in made.events(0, DAY)] == ["exchange"]
            halves = made.kwh(0, 10 * HOUR + 30 * MINUTE), made.kwh(10 * HOUR + 30 * MINUTE, DAY)
            assert None not in halves
            assert halves[0] + halves[1] == 12  # type: ignore[operator]


# --- F: one machine follows another ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"), [(2, 400), (400, 2)], ids=["a fast one first", "a slow one first"]
)
def test_a_row_that_is_retired_in_the_window_and_another_machine_at_the_same_device(
    tmp_path: Path, old: int, new: int
) -> None:
    """The first day at 2 s a part 25 a minute (36 000 in 1440 minutes, one of which lies in the
    next day), the second day at 400 s one in seven minutes (205), or the other way round: what is
    possible of the counter is the same in all windows."""
    steps = {2: 25.0, 400: 1 / 7}
    until = date(2026, 10, 13)
    first = replace(MACHINE, equipment_id="EQ-1", nominal_cycle_s=Decimal(old), retired_on=until)
    second = replace(MACHINE, equipment_id="EQ-2", nominal_cycle_s=Decimal(new), commissioned=until)
    with counting(tmp_path, register=Register((first, second, METER))) as made:
        made.born()
        made.write("m1", "parts_total", each_minute(0, [int(steps[old] * i) for i in range(1440)]))
        made.write(
            "m1", "parts_total", each_minute(DAY, [int(steps[new] * i) for i in range(1441)])
        )
        counts = made.produced(0, DAY), made.produced(DAY, 2 * DAY), made.produced(0, 2 * DAY)
        assert None not in counts
        assert counts[0] + counts[1] == counts[2]  # type: ignore[operator]
        amounts = {2: 36_000, 400: 205}
        assert counts[2] is not None
        assert abs(counts[2] - sum(amounts.values())) <= 25, (
            "less the minute in which it was set to zero"
        )


def test_two_machines_one_after_the_other_with_one_meter(tmp_path: Path) -> None:
    """EQ-1 until midnight, EQ-2 since; one meter of 10 kWh/h in `meter_id` of both: 240 and 240,
    each its own."""
    until = date(2026, 10, 13)
    first = replace(MACHINE, meter_id="meter", retired_on=until)
    second = replace(MACHINE, equipment_id="EQ-2", meter_id="meter", commissioned=until)
    with counting(tmp_path, register=Register((first, second, METER))) as made:
        made.born()
        made.write(
            "meter", "import", [(t, 1000 + 10 * t / HOUR) for t in range(0, 2 * DAY + 1, HOUR)]
        )
        machines = {each.id: each for each in made.plant(0, 2 * DAY).working}
        for key in ("EQ-1", "EQ-2"):
            used = machines[key].energy
            assert used is not None
            assert used.between(*machines[key].span) == 240
        for window, kwh in (((0, DAY), 240), ((DAY, 2 * DAY), 240), ((0, 2 * DAY), 480)):
            coal = made.figures(*window)["M-19@line:L1"]
            assert coal.details["kwh"] == kwh
            assert "EQ-9" not in coal.details["measured_by"], (
                "the machines' meter is not the line's"
            )


# --- B: several meters, one of them silent --------------------------------------------------------

_MORE = """\
  - id: meter-2
    connector: modbus
    url: tcp://127.0.0.1:3
    every: 1m
    tags:
      import: {address: holding/0, type: float64, unit: kWh}
"""


def test_of_two_meters_one_is_silent(tmp_path: Path) -> None:
    """10 kWh/h each; the second is read until 7:00. 8:00 to 16:00: 80 kWh of one, and said since
    when the other is not known; when it is read again at 16:00 there are 160."""
    second = replace(METER, equipment_id="EQ-8", gateway_device="meter-2")
    with counting(
        tmp_path, devices=DEVICES + _MORE, register=Register((MACHINE, METER, second))
    ) as made:
        made.born()
        made.write("meter", "import", [(t, 10.0 * t / HOUR) for t in range(0, DAY + 1, HOUR)])
        made.write(
            "meter-2", "import", [(t, 10.0 * t / HOUR) for t in range(0, 7 * HOUR + 1, HOUR)]
        )
        for key in ("M-19@line:L1", "M-19"):
            before, after, whole = (
                made.figures(*hours)[key]
                for hours in ((0, 8 * HOUR), (8 * HOUR, 16 * HOUR), (0, 16 * HOUR))
            )
            assert (before.details["kwh"], after.details["kwh"], whole.details["kwh"]) == (
                150,
                80,
                230,
            )
            assert before.provisional
            assert after.provisional
            assert any("no reading since 2026-10-12 07:00:00" in note.en for note in after.notes)
        made.write("meter-2", "import", [(16 * HOUR, 160.0)])
        healed = made.figures(8 * HOUR, 16 * HOUR)["M-19@line:L1"]
        assert (healed.details["kwh"], healed.provisional) == (160, False)


def test_the_machines_are_no_stand_in_for_their_lines_silent_meter(tmp_path: Path) -> None:
    """The line 10 kWh/h until 7:00, its machine 3 kWh/h all along: the 70 are 70 + nothing known,
    not 70 + 24."""
    machine = replace(MACHINE, meter_id="meter-2")
    with counting(tmp_path, devices=DEVICES + _MORE, register=Register((machine, METER))) as made:
        made.born()
        made.write("meter", "import", [(t, 10.0 * t / HOUR) for t in range(0, 7 * HOUR + 1, HOUR)])
        made.write("meter-2", "import", [(t, 3.0 * t / HOUR) for t in range(0, DAY + 1, HOUR)])
        after, whole = (
            made.figures(*hours)["M-19@line:L1"]
            for hours in ((8 * HOUR, 16 * HOUR), (0, 16 * HOUR))
        )
        assert (after.value, after.provisional) == (None, True)
        assert after.reason is not None
        assert whole.details["kwh"] == 70
        (machine_used,) = (each.energy for each in made.plant(8 * HOUR, 16 * HOUR).working)
        assert machine_used is not None
        assert machine_used.total >= 24
