"""Windows add up across silences, epochs and midnights, through payloads and store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.metrics.calendar import Calendar
from edge_agent.register.model import Register
from tests.support.count_plant import (
    DAY,
    DEVICES,
    HOUR,
    MACHINE,
    METER,
    MINUTE,
    REGISTER,
    CountPlant,
    S,
    each_minute,
)
from tests.support.exploration import examples

pytestmark = pytest.mark.slow


@contextmanager
def counting(folder: Path, **about: Any) -> Iterator[CountPlant]:
    made = CountPlant(folder, **about)
    try:
        yield made
    finally:
        made.store.close()


def hourly(
    since: int, until: int, per_hour: float = 10.0, origin: int = 0
) -> list[tuple[int, float]]:
    """A meter at a steady rate, read each hour."""
    return [(t, 1000.0 + per_hour * (t - origin) / HOUR) for t in range(since, until + 1, HOUR)]


# --- B: silences across the edge of a window ------------------------------------------------------

#: Of October and November 2026, seen from T0, which is 12 October.
OCTOBER, NOVEMBER, DECEMBER = -11 * DAY, 20 * DAY, 50 * DAY


@pytest.mark.parametrize(
    "silent", [5 * DAY, 4 * HOUR, 12 * DAY], ids=["5 days", "4 hours", "12 days"]
)
def test_b1_a_meter_that_is_silent_over_the_months_end(tmp_path: Path, silent: int) -> None:
    """10 kWh/h all along; nothing was read for as long on both sides of the month's end."""
    with counting(tmp_path) as made:
        made.born(OCTOBER)
        made.write("meter", "import", hourly(OCTOBER, NOVEMBER - silent, origin=OCTOBER))
        before = made.figures(OCTOBER, NOVEMBER)["M-19@line:L1"]
        assert before.details["kwh"] == 7440 - 10 * silent / HOUR
        assert before.provisional, "the next reading has not come"
        assert before.details["unknown_since"] is not None
        assert any("no reading since" in note.en for note in before.notes)
        made.write("meter", "import", hourly(NOVEMBER + silent, DECEMBER, origin=OCTOBER))
        after = made.figures(OCTOBER, NOVEMBER)["M-19@line:L1"]
        assert (after.details["kwh"], after.provisional) == (7440, False), "a re-issue heals"
        assert made.kwh(NOVEMBER, DECEMBER) == 7200
        assert made.kwh(OCTOBER, DECEMBER) == 7440 + 7200
        assert made.kwh(NOVEMBER - HOUR, NOVEMBER + HOUR) == 20, "inside the silence too"


def test_b2_a_machine_that_is_silent_over_the_shifts_end(tmp_path: Path) -> None:
    """60 parts an hour from 8:00 to 20:00; nothing was read between 11:00 and 17:00."""
    eight, eleven, fourteen, seventeen, twenty = (hour * HOUR for hour in (8, 11, 14, 17, 20))
    with counting(tmp_path) as made:
        made.born()
        made.working(eight, eleven)
        made.write("m1", "parts_total", each_minute(eight, range(181)))
        made.working(seventeen, twenty, seen_before=0)
        made.write("m1", "parts_total", each_minute(seventeen, range(540, 721)))
        halves = made.produced(eight, fourteen), made.produced(fourteen, twenty)
        assert halves == (360, 360)
        assert made.produced(eight, twenty) == 720


readings = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 1, 7, 60, 400, 3000, 20_000]),
        st.sampled_from([0, 1, 1, 2, 3, 40, -50, 9000]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=examples(5), deadline=None)
@given(
    st.tuples(readings, readings, readings),
    st.lists(st.integers(-3 * 24 * 60, 12 * 24 * 60), min_size=1, max_size=5, unique=True).map(
        sorted
    ),
    st.randoms(use_true_random=False),
)
def test_any_split_of_any_history_adds_up(
    histories: tuple[Sequence[tuple[int, int]], ...], cuts: list[int], chance: Any
) -> None:
    """Several devices, silences of minutes to weeks, falls and jumps, late arrivals and
    duplicates."""
    counters = [("m1", "parts_total"), ("m1", "parts_ng"), ("meter", "import")]
    with TemporaryDirectory() as folder, counting(Path(folder)) as made:
        made.born(-3 * DAY)
        batches: list[tuple[str, str, list[tuple[int, int]]]] = []
        for (device, tag), history in zip(counters, histories, strict=True):
            times = accumulate(step * MINUTE for step, _ in history)
            values = [
                max(0, value) for value in accumulate((step for _, step in history), initial=100)
            ][1:]
            rows = list(zip(times, values, strict=True))
            rows += chance.choices(rows, k=2)
            chance.shuffle(rows)
            batches += [
                (device, tag, rows[: len(rows) // 2]),
                (device, tag, rows[len(rows) // 2 :]),
            ]
        chance.shuffle(batches)
        for batch in batches:
            made.write(*batch)
        made.working(0, 3 * HOUR)
        edges = [-3 * DAY, *(minute * MINUTE + 7 for minute in cuts), 60 * DAY]
        whole, parts = (
            _counted(made, edges[0], edges[-1]),
            [_counted(made, *pair) for pair in pairwise(edges)],
        )
        for name, amount in whole.items():
            assert sum(part.get(name, Fraction(0)) for part in parts) == amount, name


def _counted(made: CountPlant, start: int, end: int) -> dict[str, Fraction]:
    """What each counter counted in a window; one that says nothing is missing."""
    plant = made.plant(start, end)
    found = {}
    for counter in plant.facts.counters:
        counted = plant.counted(counter.device, counter.role)
        if counted is None:
            assert counter.unknown_since is not None, "silent since before the window"
            continue
        found[f"{counter.device}/{counter.tag}"] = counted.between(
            plant.facts.start, plant.facts.end
        )
    return found


# --- C: epochs ------------------------------------------------------------------------------------


def test_c1_a_ct_ratio_that_is_corrected_at_noon(tmp_path: Path) -> None:
    """The raw count goes from 1000 to 1012 in a day; until noon it was multiplied by 40, since then
    by 60."""
    with counting(tmp_path, meter=", scale: 40") as made:
        made.born()
        made.write(
            "meter",
            "import",
            [(t, 40 * (1000 + t / (2 * HOUR))) for t in range(0, 12 * HOUR, HOUR)],
        )
        made.meter = ", scale: 60"
        made.born(12 * HOUR - S)
        made.write(
            "meter",
            "import",
            [(t, 60 * (1000 + t / (2 * HOUR))) for t in range(12 * HOUR, DAY + 1, HOUR)],
        )
        used = made.kwh(0, DAY)
        assert used is not None
        assert abs(used - 600) <= 10, "and not 20 720"
        assert used == 5.5 * 40 + 0.5 * 60 + 6 * 60, (
            "the step across is the raw count's, in the new scaling"
        )
        assert [(kind, t) for kind, t, _ in made.events(0, DAY)] == [("epoch", 12 * HOUR - S)]
        morning, rest = made.kwh(0, 11 * HOUR), made.kwh(11 * HOUR, DAY)
        assert None not in (morning, rest)
        assert morning + rest == used  # type: ignore[operator]


def test_c1_another_address_is_another_counter(tmp_path: Path) -> None:
    with counting(tmp_path) as made:
        made.born()
        made.write("meter", "import", [(t, 1000.0 + t / HOUR) for t in range(0, 12 * HOUR, HOUR)])
        made.devices = DEVICES.replace(
            "address: holding/0, type: float64", "address: holding/8, type: float64"
        )
        made.born(12 * HOUR - S)
        made.write(
            "meter", "import", [(t, 70_000.0 + t / HOUR) for t in range(12 * HOUR, DAY + 1, HOUR)]
        )
        assert made.kwh(0, DAY) == 11 + 12
        ((_, event),) = made.plant(0, DAY).counter_events
        assert (event.kind, event.basis) == ("epoch", "address")


def test_c1_a_restart_of_the_agent_with_the_same_definition_is_no_epoch(tmp_path: Path) -> None:
    with counting(tmp_path) as made:
        made.born()
        made.write("meter", "import", hourly(0, 12 * HOUR))
        made.born(12 * HOUR + S)
        made.write("meter", "import", hourly(13 * HOUR, DAY))
        assert made.kwh(0, DAY) == 240
        assert made.events(0, DAY) == []


def test_c2_an_exchanged_meter_that_a_person_wrote_down(tmp_path: Path) -> None:
    """12 345.6 was the last reading of the old one, 88 000.0 the first of the new one, at noon."""
    with counting(tmp_path) as made:
        made.born()
        made.write(
            "meter",
            "import",
            [(t, 12_345.6 - 5 + 0.5 * t / HOUR) for t in range(0, 10 * HOUR, HOUR)],
        )
        made.write(
            "meter",
            "import",
            [(t, 88_000 + 0.5 * (t - 12 * HOUR) / HOUR) for t in range(14 * HOUR, DAY + 1, HOUR)],
        )
        rows = "meter,,2026-10-12 12:00,12345.6,88000.0,王工\n"
        made.files = {"meters": "采集设备,变量,换表时间,旧表末次读数,新表首次读数,记录人\n" + rows}
        assert made.kwh(0, DAY) == 5 + 6
        assert made.kwh(0, 12 * HOUR) == 5
        assert [(kind, t) for kind, t, _ in made.events(0, DAY)] == [("exchange", 12 * HOUR)]
        assert not made.figures(0, DAY)["M-19@line:L1"].provisional
        made.files = {"meters": "device,time\nmeter,2026-10-12 12:00:00\n"}
        assert made.kwh(0, DAY) == Fraction("4.5") + 5, (
            "without the readings nothing is known of the hours between"
        )


def test_c3_the_modulus_comes_from_the_connector_through_the_birth(tmp_path: Path) -> None:
    devices = DEVICES.replace(
        "address: holding/0, type: uint32%", "address: holding/0, type: bcd16%"
    )
    with counting(tmp_path, devices=devices) as made:
        made.born()
        made.working(8 * HOUR, 10 * HOUR)
        made.write(
            "m1",
            "parts_total",
            each_minute(8 * HOUR, [(9900 + 2 * i) % 10_000 for i in range(121)]),
        )
        assert made.produced(8 * HOUR, 10 * HOUR) == 240
        assert [kind for kind, *_ in made.events(8 * HOUR, 10 * HOUR)] == ["rollover"]


def test_c3_a_counter_of_16_bits_in_tenths_rolls_over_in_its_own_unit(tmp_path: Path) -> None:
    devices = DEVICES.replace("type: float64, unit: kWh", "type: uint16, scale: 0.1, unit: kWh")
    with counting(tmp_path, devices=devices) as made:
        made.born()
        made.write(
            "meter",
            "import",
            each_minute(0, [round((65_500 + i) % 65_536 / 10, 1) for i in range(121)]),
        )
        assert made.kwh(0, 2 * HOUR) == 12
        assert [kind for kind, *_ in made.events(0, 2 * HOUR)] == ["rollover"]


def test_a_device_that_takes_the_place_of_another_begins_an_epoch(tmp_path: Path) -> None:
    with counting(tmp_path) as made:
        made.born()
        made.write("meter", "import", hourly(0, 12 * HOUR))
        made.devices = DEVICES.replace("  - id: meter\n", "  - id: meter-2\n    was: meter\n")
        made.register = Register((MACHINE, replace(METER, gateway_device="meter-2")))
        made.born(13 * HOUR)
        made.write(
            "meter-2",
            "import",
            [(t, 5000.0 + 10 * t / HOUR) for t in range(14 * HOUR, DAY + 1, HOUR)],
        )
        used = made.plant(0, DAY).metered("meter-2")
        assert used is not None
        assert used.total == 120 + 100, "what its predecessor counted, and it; nothing in between"
        ((_, event),) = made.plant(0, DAY).counter_events
        assert (event.kind, event.basis) == ("epoch", "device")


def test_a_renamed_tag_of_the_same_address_goes_on_counting(tmp_path: Path) -> None:
    with counting(tmp_path) as made:
        made.born()
        made.write("meter", "import", hourly(0, 12 * HOUR))
        made.devices = DEVICES.replace("      import: {", "      energy: {was: import, ")
        made.born(12 * HOUR + S)
        made.write("meter", "energy", hourly(13 * HOUR, DAY))
        assert made.kwh(0, DAY) == 240
        assert made.events(0, DAY) == []


def test_a_change_of_kind_is_an_epoch_of_the_same_counter(tmp_path: Path) -> None:
    """int until noon, float with decimals since then."""
    devices = DEVICES.replace("type: float64, unit: kWh", "type: uint32, unit: kWh")
    with counting(tmp_path, devices=devices) as made:
        made.born()
        made.write("meter", "import", [(t, 1000 + t // HOUR) for t in range(0, 12 * HOUR, HOUR)])
        made.devices = DEVICES
        made.born(12 * HOUR - S)
        made.write(
            "meter", "import", [(t, 1000.5 + t / HOUR) for t in range(12 * HOUR, DAY + 1, HOUR)]
        )
        assert made.kwh(0, DAY) == 11 + 12
        ((_, event),) = made.plant(0, DAY).counter_events
        assert (event.kind, set(event.basis.split(","))) == ("epoch", {"kind", "address"})


# --- E2: a failure over midnight ------------------------------------------------------------------


def test_e2_a_failure_over_midnight_is_one_failure_of_the_day_it_began(tmp_path: Path) -> None:
    """23:00 to 01:00: two hours of repair, and all of them the first day's."""
    with counting(tmp_path, register=REGISTER) as made:
        made.born()
        made.alive("m1", -HOUR, 36 * HOUR)
        made.write("m1", "machine_state", [(12 * HOUR, 3), (23 * HOUR, 1), (25 * HOUR, 3)])
        made.write("m1", "operation_mode", [(12 * HOUR, 3)])
        first, second = (
            made.figures(0, DAY)["M-17-mttr@EQ-1"],
            made.figures(DAY, 36 * HOUR)["M-17-mttr@EQ-1"],
        )
        assert (first.value, first.numerator, first.denominator) == (7200, 7200, 1)
        assert not first.provisional
        assert (second.value, second.numerator, second.denominator) == (None, 0, 0)
        whole = made.figures(0, 36 * HOUR)["M-17-mttr@EQ-1"]
        assert (whole.numerator, whole.denominator) == (7200, 1)


def test_e2_a_failure_that_is_not_over_is_provisional(tmp_path: Path) -> None:
    with counting(tmp_path, register=REGISTER) as made:
        made.born()
        made.alive("m1", -HOUR, DAY)
        made.write("m1", "machine_state", [(12 * HOUR, 3), (23 * HOUR, 1)])
        made.write("m1", "operation_mode", [(12 * HOUR, 3)])
        mttr = made.figures(0, DAY)["M-17-mttr@EQ-1"]
        assert (mttr.value, mttr.provisional) == (3600, True)


def test_what_is_read_no_more_after_the_shift_leaves_oee_as_it_is(tmp_path: Path) -> None:
    """Switched off at 20:00 and not read since: of the planned time everything is known."""
    calendar = Calendar.model_validate(
        {"schedules": {"default": {"shifts": [{"start": "8:00", "end": "20:00"}]}}}
    )
    with counting(tmp_path) as made:
        made.born()
        made.working(8 * HOUR, 20 * HOUR)
        made.write("m1", "parts_total", each_minute(8 * HOUR, range(721)))
        machine = made.document(0, DAY, calendar)["machines"]["EQ-1"]
        assert machine["results"]["M-13"]["provisional"] is False
        assert machine["parts"]["produced"] == 720
        before = made.document(0, 21 * HOUR)["machines"]["EQ-1"]
        assert before["results"]["M-13"]["provisional"], "without a calendar all time is planned"


def test_long_after_a_change_the_new_definition_holds(tmp_path: Path) -> None:
    with counting(tmp_path) as made:
        made.born()
        made.write("meter", "import", hourly(0, 12 * HOUR))
        made.devices = DEVICES.replace(
            "type: float64, unit: kWh", "type: uint16, scale: 0.1, unit: kWh"
        )
        made.born(13 * HOUR)
        made.write(
            "meter",
            "import",
            each_minute(3 * DAY, [round((65_500 + i) % 65_536 / 10, 1) for i in range(121)]),
        )
        assert made.kwh(3 * DAY, 3 * DAY + 2 * HOUR) == 12
        assert [kind for kind, *_ in made.events(3 * DAY, 3 * DAY + 2 * HOUR)] == ["rollover"]
