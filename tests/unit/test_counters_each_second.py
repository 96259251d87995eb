"""Counters that change each second: a month's figure costs a few readings, rows and questions, and
counts the same."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import month
from edge_agent.app.reports.command import subject
from edge_agent.metrics import counters
from edge_agent.metrics.counters import U16, CountedQuantity, CounterRule, count
from edge_agent.metrics.readings import Readings, exact, integers
from edge_agent.production.gather import gather
from edge_agent.production.store_source import StoreFacts
from edge_agent.production.thinning import counter_readings
from edge_agent.stores import Rows, SampleRuns, WriteBatch
from edge_agent.stores.columns import INT, NO_TIME
from edge_agent.stores.decisive_readings import QUARTER_NS, counted, in_order
from edge_agent.stores.duckdb import runs
from edge_agent.stores.duckdb.store import DuckDbStore

pytestmark = pytest.mark.slow

SECOND = 1_000_000_000
HOUR = 3600 * SECOND


@pytest.mark.parametrize("step", [1.0, 0.1, 0.3 / 0.7], ids=["whole", "tenths", "any digits"])
def test_a_month_of_readings_makes_the_few_exact_that_a_figure_asks_for(step: float) -> None:
    column = Readings(
        np.arange(31 * 86_400, dtype=np.int64) * SECOND, np.arange(31 * 86_400) * step
    )
    made: list[int] = []

    def seen(value: Any) -> tuple[list[int], int]:
        made.append(len(value))
        return integers(value)

    counted = count(column, CounterRule(restarts=True))
    with patch.object(counters, "integers", seen):
        edges = np.arange(0, 31 * 96 + 1) * QUARTER_NS + 7
        profile = counted.profile(edges)
        assert sum(made) <= 3 * len(edges)
        made.clear()
        assert (
            counted.between(0, int(edges[-1])) + counted.between(int(edges[-1]), int(column.t[-1]))
            == counted.total
        )
        assert counted.over([(a * HOUR, a * HOUR + 9) for a in range(0, 744, 2)]) > 0
        assert sum(made) <= 2 * 2 * 372 + 8
    assert sum(profile) == counted.between(7, int(edges[-1]))
    assert counted.total == exact(float(column.value[-1]))


@given(
    st.lists(
        st.floats(0, 1e9) | st.decimals(0, 10**6, places=3).map(float), min_size=1, max_size=30
    )
)
def test_doubles_are_the_digits_they_are_written_with(values: list[float]) -> None:
    whole, unit = integers(np.array(values))
    assert [Fraction(number, unit) for number in whole] == [
        Fraction(repr(value)) for value in values
    ]


@given(
    st.lists(
        st.fractions(0, 1000, max_denominator=1000) | st.integers(0, 10**20).map(Fraction),
        max_size=20,
    )
)
def test_readings_from_a_file_are_what_is_written_there(values: list[Fraction]) -> None:
    column = Readings.written(range(len(values)), values)
    assert list(column) == list(enumerate(values))


def test_energy_of_many_spans_that_cut_steps_of_all_lengths_has_a_value_that_can_be_written() -> (
    None
):
    rng = np.random.default_rng(1)
    t = np.cumsum(rng.integers(900_000_000, 1_100_000_000, 40_000))
    used = count(Readings(t, np.arange(40_000) / 1000))
    spans = [(int(a), int(a) + 9 * SECOND + 1) for a in t[10:-20:40]]
    assert float(str(used.over(spans)).partition("/")[0]) > 0


samples = st.lists(
    st.tuples(st.integers(1, 120), st.none() | st.integers(0, 9), st.booleans()),
    min_size=1,
    max_size=400,
)


@given(samples, st.lists(st.integers(0, 20_000), max_size=6), st.sampled_from([None, U16]))
def test_what_is_left_out_changes_no_figure(
    rows: list[tuple[int, int | None, bool]], at: list[int], modulus: int | None
) -> None:
    """Several readings a minute over hours; some bad, some falls; told hour by hour or all at
    once."""
    t = np.cumsum([gap for gap, _, _ in rows]) * SECOND
    number = np.cumsum([rise or 0 for _, rise, _ in rows]).astype(np.float64)
    number[[fall and i % 50 == 7 for i, (_, _, fall) in enumerate(rows)]] = 1.0
    status = np.array([0x80000000 if rise is None else 0 for _, rise, _ in rows], np.uint32)
    moments = np.array(sorted({second * SECOND for second in at}), np.int64)
    with patch("edge_agent.stores.decisive_readings.QUIET", 3):
        told = counted(t, number, status, moments)
        hours = [t // HOUR == hour for hour in np.unique(t // HOUR)]
        apart = in_order([counted(t[own], number[own], status[own], moments) for own in hours])
    whole, thin, by_hour = (
        _count(runs, modulus) for runs in (SampleRuns.of(t, number, status), told, apart)
    )
    edges = np.unique(
        np.concatenate([t[[0, -1]], moments, np.arange(0, t[-1] + QUARTER_NS, QUARTER_NS)])
    )
    assert thin.profile(edges) == by_hour.profile(edges) == whole.profile(edges)
    assert [event.t for event in thin.events] == [event.t for event in by_hour.events]
    assert len(thin.events) == len(whole.events)


def _count(found: SampleRuns, modulus: int | None) -> CountedQuantity:
    return count(Readings(*counter_readings(found)), CounterRule(modulus, restarts=True))


def test_a_report_reads_a_few_rows_and_asks_few_questions_however_many_machines(
    tmp_path: Path,
) -> None:
    about, plant = (
        subject(month.configuration(tmp_path, "counters")),
        month.MonthOfMachines("counters"),
    )
    start, end = month.START, month.START + 2 * HOUR
    with closing(month.open_duckdb(about)) as store:
        sids = {
            tag: np.array(
                [store.catalogue.sid(month.name(i), tag) for i in range(month.MACHINES)], np.int32
            )
            for tag in plant.tags
        }
        for hour in (start, start + HOUR):
            store.write(WriteBatch(month._rows(plant.hour(), sids, hour), hour + HOUR))
            month._health(store, hour)
        raw, read, _ = _gathered(about, store, start, end)
        assert read > 2 * month.MACHINES * 3600
        store.watch(*month.watched(about))
        assert store.compact(end + HOUR, 10) == 2
        kept, read, asked = _gathered(about, store, start, end)
    assert kept.counters == raw.counters
    assert kept.states == raw.states
    readings_of_counters = sum(len(counter.readings) for counter in kept.counters)
    assert readings_of_counters < 2 * month.MACHINES * 2 * 120, "of 7200 a counter"
    assert read < 4 * month.MACHINES * 2 * 120
    assert asked == {"changes": 1, "counters": 1}


def test_a_series_that_is_not_kept_leaves_the_others_theirs(tmp_path: Path) -> None:
    kept, other, state = ("m1", "pulses"), ("m2", "pulses"), ("m1", "machine_state")
    t = np.arange(3600, dtype=np.int64) * SECOND + month.START
    with closing(DuckDbStore(tmp_path / "store.duckdb", days=100_000.0)) as store:
        for name in (kept, other, state):
            rows = len(t)
            store.write(
                WriteBatch(
                    Rows(
                        np.full(rows, store.catalogue.sid(*name), np.int32),
                        t,
                        t / SECOND % 3600,
                        np.full(rows, INT, np.uint8),
                        np.zeros(rows, np.uint32),
                        np.full(rows, NO_TIME, np.int64),
                        {},
                    ),
                    month.START + HOUR,
                )
            )
        store.watch([state], None, {kept: [state]})
        assert store.compact(month.START + 3 * HOUR, 1) == 1
        none = np.zeros(0, np.int64)
        for ask in (lambda: store.counted({kept: none, other: none}, month.START, month.START + HOUR),
                    lambda: store.changes([state, other], month.START, month.START + HOUR)):  # fmt: skip
            with patch.object(runs, "read_kept_runs", side_effect=runs.read_kept_runs) as read:
                assert len(ask()) == 2
            assert read.call_count == 1


def _gathered(
    about: Any, store: DuckDbStore, start: int, end: int
) -> tuple[Any, int, dict[str, int]]:
    """The facts, how many rows of runs and samples were read for them, and how often each question
    was asked."""
    asked, rows = dict[str, int](), 0
    fetched = runs.fetched

    def seen(*args: Any, **values: Any) -> dict[str, Any]:
        nonlocal rows
        got = fetched(*args, **values)
        rows += len(next(iter(got.values())))
        return got

    class Counting(StoreFacts):
        def changes(self, *args: Any) -> Any:
            asked["changes"] = asked.get("changes", 0) + 1
            return super().changes(*args)

        def counters(self, *args: Any) -> Any:
            asked["counters"] = asked.get("counters", 0) + 1
            return super().counters(*args)

    with patch.object(runs, "fetched", seen):
        facts = gather(about.site, Counting(store), about.register, about.calendar, start, end)
    return facts, rows, asked
