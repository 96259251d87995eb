"""What is kept up to date of the last day says what the store says when it is asked afresh."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.app.status.missing import recent_report, report
from edge_agent.app.status.recent_health import RecentHealth
from edge_agent.stores import Rows, WriteBatch
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.stores.rollups import HOUR_NS, LATE_NS
from tests.support.exploration import examples

S = 1_000_000_000
T0 = 1_763_899_200 * S
DAY = 24 * HOUR_NS

#: What a device does next: how many rows come every 5 s, in which state, whether the agent started
#: anew before them, for how long nothing was read before them, and whether they arrive late.
STEPS = st.tuples(
    st.integers(1, 30),
    st.sampled_from(["online", "degraded", "offline"]),
    st.booleans(),
    st.sampled_from([0, 0, 0, 8, 11, 40, 400, 4000]),
    st.booleans(),
)
PAST = st.lists(STEPS, min_size=1, max_size=12)
begins = itertools.count(T0, 40 * DAY)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDbStore]:
    path: Path = tmp_path_factory.mktemp("recent") / "s.duckdb"
    with closing(DuckDbStore(path)) as opened:
        yield opened


def rows_of(steps: list[Any], begin: int) -> tuple[list[list[dict[str, Any]]], int]:
    """The rows of one device in batches as they arrive, and the time after the last of them."""
    t, state = begin, "starting"
    now, late = [], []
    for count, after, anew, silence, is_late in steps:
        t += silence * S
        part = []
        before = "starting" if anew or state == "starting" else state
        for place in range(count):
            t += 5 * S
            reason = "BadTimeout" if after == "offline" else ""
            covered = 0.0 if after == "offline" or (place == 0 and before != after) else 5.0
            row = {
                "device": "m1",
                "t": t,
                "state": after,
                "reason": reason,
                "covered_s": covered,
                "scheduled_s": 5.0,
                "values": 10,
                "good": 9,
                "bad": 1,
                "last_good_t": t - S,
            }
            if place == 0 and before != after:
                row["transition"] = {
                    "from": before,
                    "to": after,
                    "reason": reason,
                    "zh": "因",
                    "en": "why",
                }
            part.append(row)
        state = after
        (late if is_late else now).append(part)
    return [*now, *late], t


def told(found: dict[str, Any]) -> Any:
    outages = [(row["from_t"], row["to_t"], row["reason"], row["en"]) for row in found["outages"]]
    return outages, found["covered"], found["tags"], found["gaps"]


@settings(max_examples=examples(6), deadline=None)
@given(steps=PAST, asked=st.integers(1, 200), later=st.integers(0, 60))
def test_the_last_day_is_the_same_from_memory_and_from_the_store(
    store: DuckDbStore, steps: list[Any], asked: int, later: int
) -> None:
    begin = next(begins)
    batches, end = rows_of(steps, begin)
    fed, now = RecentHealth(15 * S), end + later * S
    for _ in fed.read_past(store, begin - HOUR_NS):
        assert not fed.complete
    for batch in batches:
        store.write(WriteBatch(Rows.empty(), now, health=batch))
        fed.take(batch, now)
    read = RecentHealth(15 * S)
    for _ in read.read_past(store, now):
        assert not read.complete
    for start in (begin - 60 * S, (end - asked * 60 * S) // (60 * S) * 60 * S):
        wanted = told(report(store, start, now))
        assert told(recent_report(store, fed, start, now, ["m1"])) == wanted
    start = begin - 60 * S
    assert told(recent_report(store, read, start, now, ["m1"])) == told(report(store, start, now))
    counts = [
        (row.state, row.values, row.good, row.bad, row.last_good_t) for row in fed.now(now).values()
    ]
    assert counts == [
        (row.state, row.values, row.good, row.bad, row.last_good_t)
        for row in read.now(now).values()
    ]
    store.keep_hours(store.read_open_hours(now + LATE_NS + HOUR_NS, 9))
