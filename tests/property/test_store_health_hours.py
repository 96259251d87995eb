"""Health by hour says what its rows say: in every window, whatever is rolled up, comes late, or is
gone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.stores import Rows, WriteBatch
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.stores.minutes import MINUTE_NS, MinuteRows, packed, unpacked
from edge_agent.stores.rollups import HOUR_NS, LATE_NS, RAW_DAYS, SUMMED
from tests.support.exploration import examples

S = 1_000_000_000
T0 = 1_763_899_200 * S  # a full hour
DAY = 24 * HOUR_NS
MS = 1_000_000

TIMES = st.integers(0, 5 * HOUR_NS // MS).map(lambda ms: ms * MS)
ROWS = st.builds(
    lambda **fields: fields,
    device=st.sampled_from(["m1", "other:m1", "m:2"]),
    t=st.one_of(
        TIMES,
        TIMES.map(lambda t: t // MINUTE_NS * MINUTE_NS),
        TIMES.map(lambda t: t // HOUR_NS * HOUR_NS),
    ),
    last_good_t=st.integers(0, 7 * S),
    scheduled_s=st.integers(0, 6000).map(lambda ms: ms / 1000),
    covered_s=st.integers(0, 6000).map(lambda ms: ms / 1000),
    due=st.integers(0, 9),
    done=st.integers(0, 9),
    good=st.integers(0, 90),
    bad=st.integers(0, 90),
    values=st.integers(0, 90),
    overruns=st.integers(0, 3),
    latency_ms=st.none() | st.floats(0, 9),
    state=st.sampled_from(["online", "offline", "degraded"]),
    reason=st.sampled_from(["", "BadTimeout"]),
)
"""`t` counts from a beginning that each example has for itself, `last_good_t` back from `t`."""
HISTORIES = st.lists(st.lists(ROWS, max_size=8), min_size=1, max_size=5)
WINDOWS = st.lists(st.tuples(TIMES, TIMES).map(sorted), max_size=3)
Stores = tuple[DuckDbStore, DuckDbStore]

few = settings(max_examples=examples(6), deadline=None)
begins = itertools.count(T0, 30 * DAY)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """One whose health is never rolled up, and one where it is."""
    folder = tmp_path_factory.mktemp("health")
    with (
        closing(DuckDbStore(folder / "raw.duckdb")) as raw,
        closing(DuckDbStore(folder / "s.duckdb")) as store,
    ):
        yield raw, store


def write(store: DuckDbStore, rows: Sequence[dict[str, Any]], begin: int, stored: int) -> None:
    placed = [
        row | {"t": begin + row["t"], "last_good_t": begin + row["t"] - row["last_good_t"]}
        for row in rows
    ]
    store.write(WriteBatch(Rows.empty(), stored, health=placed))


def answers(store: DuckDbStore, start: int, end: int) -> list[Any]:
    """Everything that is asked about health in a window."""
    sums = {key: rows.tolist() for key, rows in store.health_sums(start, end, MINUTE_NS).items()}
    facts = {key: replace(row, first_ns=None) for key, row in store.live_facts(start, end).items()}
    return [
        store.health(start, end), store.health_totals(start, end), sums, facts,
        store.evidence(start, end), store.silences(start, end, 60 * S),
    ]  # fmt: skip


@few
@given(
    batches=HISTORIES, rolled=st.lists(st.integers(0, 6), min_size=5, max_size=5), windows=WINDOWS
)
def test_what_is_rolled_up_says_what_the_rows_say(
    stores: Stores,
    batches: list[list[dict[str, Any]]],
    rolled: list[int],
    windows: list[tuple[int, int]],
) -> None:
    """Some hours are rolled up after each batch, so rows come late for what is kept already."""
    raw, store = stores
    begin = next(begins)
    for place, (batch, hours) in enumerate(zip(batches, rolled, strict=False)):
        now = begin + 6 * HOUR_NS + place * HOUR_NS
        write(raw, batch, begin, now)
        write(store, batch, begin, now)
        store.keep_hours(store.read_open_hours(now + LATE_NS, hours))
    for start, end in [(-1, 5 * HOUR_NS), (0, 2 * HOUR_NS), *windows]:
        assert answers(store, begin + start, begin + end) == answers(
            raw, begin + start, begin + end
        )


@few
@given(
    batches=HISTORIES,
    windows=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)).map(sorted), max_size=3),
)
def test_when_the_rows_are_gone_full_minutes_still_add_up_and_late_rows_count(
    stores: Stores, batches: list[list[dict[str, Any]]], windows: list[tuple[int, int]]
) -> None:
    raw, store = stores
    begin = next(begins)
    for place, batch in enumerate(batches):
        now = begin + 9 * DAY + place * HOUR_NS
        # none comes twice
        once = [row | {"t": row["t"] + place} for row in batch if row["t"] % HOUR_NS]
        write(raw, once, begin, now)
        write(store, once, begin, now)
        if place % 2 == 0:
            store.keep_hours(store.read_open_hours(now + LATE_NS, 99))
            store.retain(now)
            assert (
                store._count(f"select count(*) from health where t <= {store._health.raw_from}")
                == 0
            )
    for start, end in [(0, 300), *windows]:
        window = begin + start * MINUTE_NS, begin + end * MINUTE_NS
        whole = start % 60 == end % 60 == 0
        assert of_minutes(store, *window, exact=whole) == of_minutes(raw, *window, exact=whole)


def of_minutes(store: DuckDbStore, start: int, end: int, *, exact: bool) -> list[Any]:
    """What full minutes tell; `exact`: of whole hours the last good reading to the nanosecond, and
    the newest state."""
    sums = ("scheduled_s", "covered_s", "due", "done", "good", "bad", "values", "overruns")
    found = store.health(start, end)
    minutes = store.health_sums(start, end, MINUTE_NS)
    told: list[Any] = [
        {key: [getattr(row, name) for name in sums] for key, row in found.items()},
        {key: rows[:, :9].tolist() for key, rows in minutes.items()},
    ]
    if exact:
        # it may be that of another row
        newest = {key: replace(row, latency_ms=None) for key, row in found.items()}
        told += [
            newest,
            {key: int(rows[:, 9].max()) for key, rows in minutes.items()},
            store.evidence(start, end),
        ]
    return told


@few
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 5), st.integers(0, 59),
            st.lists(st.integers(0, 2**40), min_size=len(SUMMED), max_size=len(SUMMED)),
            st.one_of(st.just(-1), st.integers(0, 2**62)),
        ),
        max_size=40, unique_by=lambda row: row[:2],
    )
)  # fmt: skip
def test_minutes_unpack_to_what_was_packed(rows: list[tuple[int, int, list[int], int]]) -> None:
    rows = sorted(rows)
    did = np.array([row[0] for row in rows], np.int64)
    end = np.array([T0 - row[1] * MINUTE_NS for row in rows], np.int64)
    sums = np.array([row[2] for row in rows], np.int64).reshape(-1, len(SUMMED))
    last_good = np.array([row[3] for row in rows], np.int64)
    before = MinuteRows.of([MinuteRows(did, end, sums, last_good)])
    after = unpacked(T0, packed(T0, before))
    assert after.did.tolist() == before.did.tolist()
    assert after.end.tolist() == before.end.tolist()
    assert after.sums.tolist() == before.sums.tolist()
    assert ((before.last_good < 0) == (after.last_good == -1)).all()
    known = before.last_good >= 0
    assert (after.last_good[known] <= before.last_good[known]).all(), "never later than it was"
    assert (before.last_good[known] - after.last_good[known] < S).all()


def test_an_hour_is_rolled_up_once_it_is_over_and_quiet(tmp_path: Path) -> None:
    with closing(DuckDbStore(tmp_path / "s.duckdb")) as store:
        hour = T0 + HOUR_NS
        write(store, [{"device": "m1", "t": HOUR_NS - S, "last_good_t": 0}], T0, hour)
        assert store.read_open_hours(hour + LATE_NS - 1, 9) == []
        (read,) = store.read_open_hours(hour + LATE_NS, 9)
        write(store, [{"device": "m1", "t": HOUR_NS - 2 * S, "last_good_t": 0}], T0, hour + LATE_NS)
        assert store.keep_hours([read]) == 0, "written into since it was read"
        assert store.read_open_hours(hour + 2 * LATE_NS - 1, 9) == []
        assert store.keep_hours(store.read_open_hours(hour + 2 * LATE_NS, 9)) == 1
        assert store.read_open_hours(hour + 3 * LATE_NS, 9) == []
        store.retain(hour + int(RAW_DAYS * DAY) + HOUR_NS)
        assert store._count("select count(*) from health") == 0
    with closing(DuckDbStore(tmp_path / "s.duckdb", health_days=30)) as store:
        assert store.read_open_hours(hour + DAY, 9) == []
        assert store.health(0, 2 * T0)["m1"].last_t == hour - S
        store.retain(hour + 29 * DAY)
        assert list(store.health(0, 2 * T0)) == ["m1"]
        store.retain(hour + 31 * DAY)
        assert store.health(0, 2 * T0) == {}
