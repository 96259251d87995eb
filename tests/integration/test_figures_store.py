"""The questions that figures ask, put to every kind of store: runs of readings, evidence, lateness;
one answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import orjson
import pytest

from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.ingest import decode
from edge_agent.metrics.counters import U16, CounterRule, count
from edge_agent.metrics.readings import Readings
from edge_agent.model import STATUS
from edge_agent.production import thinning
from edge_agent.stores import Rows, SampleRuns, Silence, Store, WriteBatch, open_store
from edge_agent.stores.base import TagCounts
from edge_agent.stores.columns import FLOAT, NO_TIME, NONE
from edge_agent.stores.line.store import LineStore
from tests.support import servers

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
#: A full hour, so that the embedded store may keep the hours before it as runs.
T0 = (time.time_ns() // HOUR - 4) * HOUR
STATE, PARTS, POWER = ("m1", "machine_state"), ("m1", "parts_total"), ("m1", "power")
PULSES = ("m1", "pulses")
BAD = 0x800A0000


@pytest.fixture(scope="module", params=["duckdb", "influxdb1", "line"])
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Store]]:
    """One store of each kind with the same story in it, written twice (a replay)."""
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        config: dict[str, Any] = {"kind": request.param, "path": folder / "store", "bucket": "edge"}
        if request.param != "duckdb":
            start = servers.influxdb1 if request.param == "influxdb1" else servers.victoria_metrics
            port = stack.enter_context(start(folder)).port
            config["url"] = f"http://127.0.0.1:{port}"
        store = stack.enter_context(closing(open_store(StoreConfig.model_validate(config))))
        for batch in story(store):
            store.write(batch)
        server_has_it(store)
        yield request.param, store


def server_has_it(store: Store) -> None:
    """VictoriaMetrics shows what it took a moment later, or at once when it is asked to."""
    if isinstance(store, LineStore):
        store._endpoint.request("GET", "/internal/force_flush", {})


def document(t: int, state: int | None, parts: float) -> dict[str, Any]:
    values = {"parts_total": parts}
    values |= {} if state is None else {"machine_state": state, "power": power((t - T0) // SECOND)}
    quality = {"machine_state": "BadTimeout", "power": "BadTimeout"} if state is None else {}
    return {"v": 1, "device": "m1", "t": t, "values": values, "quality": quality}


def power(second: int) -> float:
    """Never the same twice."""
    return 5 + (second * 7919 % 1000) / 1000


def row(t: int, covered: float, good: int | None) -> dict[str, Any]:
    return {
        "device": "m1",
        "t": t,
        "period_s": 5.0,
        "scheduled_s": 5.0,
        "covered_s": covered,
        "due": 5,
        "done": 5,
        "good": 5,
        "bad": 0,
        "values": 5,
        "latency_ms": 1.0,
        "latency_max_ms": 1.0,
        "overruns": 0,
        "state": "online",
        "reason": "",
        "last_good_t": good,
    }


#: Seconds after T0, state, parts: a run, a bad spell, the same state again, and a stretch after an
#: hour of silence.
READINGS = (
    [(s, 3, 10) for s in range(0, 20)]
    + [(s, None, 10) for s in range(20, 25)]
    + [(s, 3, 11) for s in range(25, 30)]
    + [(s, 2, 11) for s in range(30, 40)]
    + [(s, 3, 12.5) for s in range(4000, 4010)]
)
HEALTH = [
    *(row(T0 + s * SECOND, 5.0, T0 + (s - 1) * SECOND) for s in range(5, 25, 5)),
    row(T0 + 25 * SECOND, 0.0, T0 + 19 * SECOND),
    row(T0 + 30 * SECOND, 4.0, T0 + 29 * SECOND),
    row(T0 + 35 * SECOND, 5.0, T0 + 34 * SECOND),
    row(T0 + 4005 * SECOND, 5.0, T0 + 4005 * SECOND),
    # A device that stays offline has few rows; behind them is a hole all the same.
    *(
        row(T0 + s * SECOND, 0.0, None) | {"device": "m2", "state": "offline"}
        for s in (50, 85, 120, 155)
    ),
    row(T0 + 200 * SECOND, 0.0, None) | {"device": "m2"},
]


def story(store: Store) -> list[WriteBatch]:
    documents = [
        orjson.loads(orjson.dumps(document(T0 + s * SECOND, state, parts)))
        for s, state, parts in READINGS
    ]
    half = [documents[:30], documents[30:]]
    return [
        WriteBatch(
            Rows.of([decode.data(item, store.catalogue) for item in part]),
            T0 + 4020 * SECOND,
            health=HEALTH,
        )
        for part in half
    ]


def told(runs: SampleRuns) -> list[tuple[float, float, float | None, int]]:
    """Runs as (first, last, value, status) in seconds after T0."""
    columns = zip(
        runs.first.tolist(),
        runs.last.tolist(),
        runs.num.tolist(),
        runs.status.tolist(),
        strict=True,
    )
    return [
        ((first - T0) / SECOND, (last - T0) / SECOND, None if np.isnan(num) else num, status)
        for first, last, num, status in columns
    ]


def test_runs_of_equal_readings(opened: tuple[str, Store]) -> None:
    _, store = opened
    found = store.changes(
        [STATE, PARTS, ("m1", "nothing"), ("m9", "machine_state")], T0, T0 + 2 * HOUR
    )
    assert told(found[STATE]) == [
        (0, 19, 3, 0), (20, 24, None, BAD), (25, 29, 3, 0), (30, 39, 2, 0), (4000, 4009, 3, 0),
    ]  # fmt: skip
    assert told(found[PARTS]) == [(0, 24, 10, 0), (25, 39, 11, 0), (4000, 4009, 12.5, 0)]
    assert set(found) == {STATE, PARTS}
    assert found[STATE].good.tolist() == [True, False, True, True, True]


def test_readings_are_counted_by_their_status(opened: tuple[str, Store]) -> None:
    _, store = opened
    stamped = ("m1", "stamped")
    sid, t = store.catalogue.sid(*stamped), T0 + np.arange(3) * SECOND
    out_of_range = STATUS["UncertainEngineeringUnitsExceeded"]
    status = np.array([0, STATUS["BadNodeIdUnknown"] | 0x0400, out_of_range | 0x0400], np.uint32)
    source = np.array([t[0] - 2 * SECOND, NO_TIME, t[2] + 70 * SECOND])
    num = np.array([5.0, np.nan, -1.0])
    kind = np.array([FLOAT, NONE, FLOAT], np.uint8)
    store.write(WriteBatch(Rows(np.full(3, sid, np.int32), t, num, kind, status, source, {}), T0))
    server_has_it(store)
    found = store.seen([STATE, PARTS, stamped, ("m1", "nothing")], T0, T0 + HOUR)
    assert found.keys() == {STATE, PARTS, stamped}
    assert found[STATE] == TagCounts(40, 5, 0, 35, 2.0, 3.0, ())
    assert found[PARTS] == TagCounts(40, 0, 0, 40, 10.0, 11.0, ())
    skews = found[stamped].skews
    assert found[stamped] == TagCounts(3, 2, 1, 2, -1.0, 5.0, skews, not_there=1)
    assert [round(skew / 1e6) for skew in skews] == [2000, -70_000]


def test_the_last_reading_before_the_window_leads_it(opened: tuple[str, Store]) -> None:
    _, store = opened
    found = store.changes([STATE, PARTS], T0 + 27 * SECOND, T0 + 35 * SECOND)
    assert told(found[STATE]) == [(26, 29, 3, 0), (30, 34, 2, 0)]
    assert told(store.changes([STATE], T0 + HOUR, T0 + HOUR + SECOND)[STATE]) == [(39, 39, 2, 0)]
    assert told(store.changes([STATE], T0 + 22 * SECOND, T0 + 24 * SECOND)[STATE]) == [
        (21, 23, None, BAD)
    ]
    assert store.changes([STATE], T0 - 9 * HOUR, T0) == {}


def test_evidence_is_where_the_health_rows_say_so(opened: tuple[str, Store]) -> None:
    _, store = opened
    spans = [
        ((a - T0) / SECOND, (b - T0) / SECOND) for a, b in store.evidence(T0, T0 + 2 * HOUR)["m1"]
    ]
    assert spans == [(0, 19), (25, 34), (4000, 4005)]
    inside = store.evidence(T0 + 10 * SECOND, T0 + 27 * SECOND)["m1"]
    assert [((a - T0) / SECOND, (b - T0) / SECOND) for a, b in inside] == [(10, 19), (25, 27)]
    assert "m1" not in store.evidence(T0 + 100 * SECOND, T0 + 200 * SECOND)


def test_holes_between_health_rows_are_found_whatever_their_days(opened: tuple[str, Store]) -> None:
    _, store = opened
    hole = Silence(T0 + 35 * SECOND, T0 + 4005 * SECOND, "online")
    other = Silence(T0 + 155 * SECOND, T0 + 200 * SECOND, "online")
    assert store.silences(T0 - 30 * HOUR, T0 + 2 * HOUR, 30 * SECOND) == {
        "m1": [hole],
        "m2": [other],
    }
    assert store.silences(T0, T0 + 2 * HOUR, 3966 * SECOND) == {}, (
        "the row at its end speaks of 5 s of it"
    )
    assert store.silences(T0, T0 + HOUR, 60 * SECOND) == {}
    begun = T0 + 100 * SECOND - 24 * HOUR
    found = {"m1": [hole], "m2": [other]}
    assert store.silences(begun, T0 + 2 * HOUR, 30 * SECOND) == found, (
        "remote stores are read by the day"
    )


def by_hand(moments: list[int], readings: dict[int, float]) -> list[float]:
    """Unit-hours from the first moment (seconds after T0) to each."""
    rate, found, total = 0.0, [], 0.0
    for second in range(moments[0], moments[-1] + 1):
        if second in moments:
            found.append(total / 3600)
        rate = readings.get(second, rate)
        total += rate
    return found


def test_a_power_adds_up_kept_or_not(opened: tuple[str, Store]) -> None:
    kind, store = opened
    read = {s: 0.0 if state is None else power(s) for s, state, _ in READINGS}
    # Every moment of a kind that is exact: minutes, changes of state, edges of evidence.
    moments = [0, 19, 20, 25, 30, 34, 60, 600, 3600, 4000, 4005, 4020, 7200]
    windows = [(moments, read), ([m for m in moments if m >= 25], read), ([4003, 4007, 4010], read)]

    def agree() -> None:
        for asked, readings in windows:
            at = T0 + np.array(asked) * SECOND
            found = store.energy({POWER: at, ("m1", "nothing"): at})
            before = {s: value for s, value in readings.items() if s <= asked[0]}
            expected = by_hand(
                asked, {asked[0]: list(before.values())[-1] if before else 0.0} | readings
            )
            assert found.keys() == {POWER}
            assert found[POWER] == pytest.approx(expected, abs=1e-12)

    agree()
    store.watch([STATE], {POWER: [STATE]})
    assert store.compact(T0 + 3 * HOUR, 10) == (2 if kind == "duckdb" else 0)
    agree()
    assert store.energy({POWER: np.array([T0 - 9 * HOUR, T0 - 8 * HOUR])}) == {}
    late = {"v": 1, "device": "m1", "t": T0 + 300 * SECOND, "values": {"power": 2.0}}
    store.write(WriteBatch(Rows.of([decode.data(late, store.catalogue)]), T0 + 5000 * SECOND))
    server_has_it(store)
    windows[:] = [(asked, dict(sorted((read | {300: 2.0}).items()))) for asked, _ in windows]
    agree()
    assert store.compact(T0 + 3 * HOUR, 10) == (1 if kind == "duckdb" else 0)
    agree()


def test_a_health_row_of_the_next_hour_speaks_of_the_end_of_this_one(
    opened: tuple[str, Store],
) -> None:
    kind, store = opened
    store.watch([STATE], {POWER: [STATE]})
    store.compact(T0 + 3 * HOUR, 10)
    since = 3590
    late = row(T0 + (3600 + 10) * SECOND, 20.0, T0 + (since + 20) * SECOND)
    store.write(WriteBatch(Rows.empty(), T0 + 5000 * SECOND, health=[late]))
    assert store.compact(T0 + 3 * HOUR, 10) == (2 if kind == "duckdb" else 0), (
        "both hours are made again"
    )
    at = T0 + np.array([3540, since, 3600]) * SECOND
    assert store.energy({POWER: at})[POWER] == pytest.approx([0, 2.0 * 50 / 3600, 2.0 * 60 / 3600])


def test_lateness_counts_by_millisecond(opened: tuple[str, Store]) -> None:
    _, store = opened
    found = store.lateness([PARTS], T0 + 4000 * SECOND, T0 + 4010 * SECOND)
    assert found == {"m1": {1000 * (4020 - s): 1 for s in range(4000, 4010)}}
    assert store.lateness([PARTS], T0 + 100 * SECOND, T0 + 200 * SECOND) == {}


def test_hours_written_to_are_told_once(opened: tuple[str, Store]) -> None:
    _, store = opened
    assert store.take_touched() == {T0, T0 + HOUR}
    assert store.take_touched() == set()


def test_kept_hours_answer_as_the_samples_do(
    opened: tuple[str, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, store = opened
    monkeypatch.setattr("edge_agent.stores.duckdb.runs._AT_ONCE", 1)
    windows = [
        (T0, T0 + 2 * HOUR),
        (T0 + 27 * SECOND, T0 + HOUR + 405 * SECOND),
        (T0 + HOUR, T0 + 3 * HOUR),
    ]
    before = [answers(store, *window) for window in windows]
    store.watch([STATE, PARTS])
    assert store.compact(T0 + 3 * HOUR, 10) == (2 if kind == "duckdb" else 0)
    assert store.compact(T0 + 3 * HOUR, 10) == 0
    assert [answers(store, *window) for window in windows] == before
    late = orjson.loads(orjson.dumps(document(T0 + 50 * SECOND, 1, 11)))
    store.write(WriteBatch(Rows.of([decode.data(late, store.catalogue)]), T0 + 5000 * SECOND))
    if kind == "duckdb":
        assert told(store.changes([STATE], T0, T0 + HOUR)[STATE])[-1] == (50, 50, 1, 0)
        assert store.compact(T0 + 3 * HOUR, 10) == 1
        assert told(store.changes([STATE], T0, T0 + HOUR)[STATE])[-1] == (50, 50, 1, 0)


def answers(store: Store, start: int, end: int) -> tuple[Any, ...]:
    found = store.changes([STATE, PARTS], start, end)
    return {name: told(runs) for name, runs in found.items()}, store.evidence(start, end)


#: Where the machine changed its state, in seconds after BUSY.
CHANGED = (0, 700, 1234, 3599, 3605, 4100)
BUSY = T0 + 2 * HOUR


def busy(store: Store, seconds: Iterator[int] | range, more: int = 0) -> WriteBatch:
    """A counter that changes each second and rolls over once."""
    rows = []
    for s in seconds:
        values = {"pulses": (60_000 + 3 * s + s % 2 + more) % U16}
        values |= {"machine_state": 2 + CHANGED.index(s) % 2} if s in CHANGED else {}
        rows.append(
            decode.data(
                {"v": 1, "device": "m1", "t": BUSY + s * SECOND, "values": values}, store.catalogue
            )
        )
    return WriteBatch(Rows.of(rows), BUSY + 6000 * SECOND)


def test_a_counter_that_changes_each_second_counts_the_same_kept_or_not(
    opened: tuple[str, Store],
) -> None:
    kind, store = opened
    store.write(busy(store, (s for s in range(4500) if not 2000 <= s < 2100)))
    server_has_it(store)
    at = BUSY + np.array(CHANGED) * SECOND
    quarters = [BUSY + minute * 60 * SECOND for minute in (0, 15, 30, 45, 60, 75)]
    #: The first and the last begin or end inside an hour.
    windows = [
        (BUSY, BUSY + 2 * HOUR),
        (BUSY + 83 * SECOND, BUSY + 4000 * SECOND),
        (T0, BUSY + 1200 * SECOND),
    ]
    sizes = []

    def agree() -> None:
        for start, end in windows:
            edges = np.unique(
                [start, *(t for t in (*quarters, *at.tolist()) if start < t < end), end]
            )
            told = store.counted({PULSES: at}, start, end)[PULSES]
            whole = store.changes([PULSES], start, end + HOUR)[PULSES]
            thin, full = (
                count(Readings(*thinning.counter_readings(runs)), CounterRule(U16))
                for runs in (told, whole)
            )
            assert thin.profile(edges) == full.profile(edges)
            assert [event.kind for event in thin.events] == [event.kind for event in full.events]
            assert len(told) < len(whole) / 4
            sizes.append(len(told))

    agree()
    store.watch([STATE], None, {PULSES: [STATE]})
    assert (store.compact(T0 + 5 * HOUR, 10) > 0) == (kind == "duckdb")
    agree()
    store.write(busy(store, range(2000, 2100), 1))
    server_has_it(store)
    agree()
    assert store.compact(T0 + 5 * HOUR, 10) == (1 if kind == "duckdb" else 0), (
        "the one hour that was written into"
    )
    agree()
    assert store.counted({("m1", "nothing"): at}, BUSY, BUSY + HOUR) == {}
    assert max(sizes) < 400
