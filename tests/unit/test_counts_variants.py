"""Neighbours of the known histories that came out wrong: other widths, other edges, two faults at once.

Each answer is computed by hand in the comment or the docstring beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.metrics.counters import U16, Rule, count
from edge_agent.metrics.epochs import judged
from edge_agent.metrics.plausibility import Bounds, Runs, by_cycle, by_power
from edge_agent.metrics.readings import Readings
from edge_agent.stores import Changes
from tests.support.count_plant import HOUR, MINUTE, each_minute
from tests.unit.test_counts_possible import PARTS, RULES, SHIFT, counted, counting

# --- A: the first reading, three false zeros, glitches after which the counter is lower -------------------------------


@pytest.mark.parametrize("zeros", [1, 3])
def test_a_meter_whose_first_readings_are_zero(tmp_path: Path, zeros: int) -> None:
    """Zero until the device has read its memory, then 30 000 kWh and 1 kWh a minute: 480 less what was not seen, and
    not 30 480; in one window and in two."""
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
    made = counted([0.0, 30_001.0, 30_011.0, 30_021.0], Rule(), Bounds(), HOUR)
    assert (made.total, [event.kind for event in made.events]) == (20, ["jump"])


def test_a_new_meter_that_begins_at_zero_counts_from_there() -> None:
    assert counted([0.0, 3.0, 5.0, 9.0, 10.0], Rule(), Bounds(), HOUR).total == 10


def test_a_first_reading_before_a_long_silence_counts() -> None:
    """1000, 10 hours without a reading at 10 kWh/h, then idle at 0.01 kWh a minute: 100 + 1.2."""
    rows = [1000.0] + [None] * 600 + [1100 + i / 100 for i in range(121)]
    made = counted_at([(place * MINUTE, value) for place, value in enumerate(rows) if value is not None])
    assert float(made.total) == pytest.approx(101.2)
    assert made.events == ()


@pytest.mark.parametrize(("rule", "bounds"), RULES.values(), ids=RULES)
@pytest.mark.parametrize("low", [0, 1])
def test_three_false_zeros_of_a_low_count(rule: Rule, bounds: Bounds, low: int) -> None:
    """From 58 to 0, 0, 0 and to 63: a machine of 40 s makes 63 parts in 42 minutes, not in one."""
    wrong = dict.fromkeys(range(40, 43), low)
    made = counted([wrong.get(place, value) for place, value in enumerate(PARTS)], rule, bounds)
    assert (made.total, [event.kind for event in made.events]) == (720, ["false_zero"])


def test_a_fast_counter_that_restarts_keeps_its_parts() -> None:
    """A press of 1 s: 60 a minute, set to zero at 60, three minutes of pause: each 60 was made."""
    made = counted([60, 0, 0, 0] * 10 + [60], Rule(U16, restarts=True), Bounds(physical=(by_cycle(1.0),)))
    assert made.total == 10 * 60
    assert {event.kind for event in made.events} == {"restart"}


#: From the reading at 200 on: (how many readings are nonsense, what the counter begins again with, what it lost).
FALLS = {
    "one reading, then what it had kept": ([65_535], lambda value: value - 5),
    "two readings, then what it had kept": ([65_535, 65_534], lambda value: value - 5),
    "one reading, then zero": ([65_535], lambda value: value - 301),
    "two equal readings, then zero": ([65_535, 65_535], lambda value: value - 303),
}


@pytest.mark.parametrize("case", FALLS.values(), ids=FALLS)
@pytest.mark.parametrize(("rule", "bounds"), RULES.values(), ids=RULES)
def test_a_glitch_after_which_the_counter_is_lower(rule: Rule, bounds: Bounds, case: tuple[list[int], Any]) -> None:
    """PARTS is 298 at place 199 and 720 at the end. After the glitch at 200 (and 201) the counter goes on from
    place 201 (or 202), where PARTS is 301 (303), lower: what is counted is 298, and 720 - 301 (720 - 303); two less
    where the last of them still repeats what is counted before. Never the 65 535."""
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
    rows += [(260 * MINUTE, 390.0), *((place * MINUTE, (place - 261) * 1.0) for place in range(261, 300))]
    made = counted_at(rows, Rule(restarts=True))
    assert made.total == 390 + 38


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(physical=(by_power(100.0),))])
def test_readings_at_the_ends_of_what_a_double_holds(bounds: Bounds) -> None:
    """A torn float64: +-1.7e308 between 1049 and 1053; 1000 to 1099 is 99."""
    values = [1000.0 + i for i in range(100)]
    values[50:53] = [1.7e308, -1.7e308, 1.7e308]
    made = counted(values, Rule(), bounds)
    assert made.total == 99
    assert {event.kind for event in made.events} <= {"glitch", "false_zero"}


def counted_at(rows: Sequence[tuple[int, float]], rule: Rule | None = None) -> Any:
    """As `counted`, at given times."""
    times = np.array([t for t, _ in rows], np.int64)
    runs = Changes.of(times, np.array([value for _, value in rows]), np.zeros(len(rows), np.uint32))
    rule = rule or Rule()
    found = judged(Runs(runs.first, runs.last, runs.num), rule, Bounds())
    return count(Readings(found.runs.first, found.runs.value), rule, found.epochs, found.events)
