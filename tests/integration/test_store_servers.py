"""Stores behind HTTP against real servers: what was written reads back equal."""

from __future__ import annotations

import math
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from edge_agent.app.values.source import StoreSource, pages
from edge_agent.app.values.steps import HistorySteps
from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.ingest import decode
from edge_agent.stores import Rows, Store, StreamMark, WriteBatch, open_store
from edge_agent.stores.columns import NO_TIME
from tests.support import servers

T0 = time.time_ns() // 1_000_000_000 * 1_000_000_000 - 60_000_000_000
SECOND = 1_000_000_000

VALUES: dict[str, list[Any]] = {
    "主轴转速 (rpm)": [8000.5, -0.25, 0.0],
    "count": [1, 2**31, -7],
    "running": [True, False, True],
    "program": ["O1000.NC", "", 'a "b" \\c, d=e f\n次'],
    "axes": [[1.5, 2.5], [1, 2], ["x", "y, z"]],
    "mixed": [1, 2.5, "three"],
    "a,b=c d": [1.0, 2.0, 3.0],
}


@pytest.fixture(scope="module", params=["influxdb1", "line"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    folder = tmp_path_factory.mktemp(request.param)
    start = servers.influxdb1 if request.param == "influxdb1" else servers.victoria_metrics
    with start(folder) as running:
        yield request.param, running.port


def config(kind: str, port: int, folder: Path) -> StoreConfig:
    return StoreConfig.model_validate(
        {
            "kind": kind,
            "url": f"http://127.0.0.1:{port}",
            "path": folder / "store",
            "bucket": "edge",
        }
    )


def flush(kind: str, port: int) -> None:
    if kind != "influxdb1":
        urllib.request.urlopen(f"http://127.0.0.1:{port}/internal/force_flush").read()


def document(device: str, index: int, **extra: Any) -> dict[str, Any]:
    values = {tag: column[index] for tag, column in VALUES.items()}
    return {
        "v": 1,
        "device": device,
        "t": T0 + index * SECOND + 123_456_789,
        "values": values,
        **extra,
    }


def rows_of(store: Store, *documents: dict[str, Any]) -> Rows:
    found = [orjson.loads(orjson.dumps(item)) for item in documents]
    return Rows.of([decode.data(item, store.catalogue) for item in found])


def test_all_kinds_read_back_equal(server: tuple[str, int], tmp_path: Path) -> None:
    kind, port = server
    with closing(open_store(config(kind, port, tmp_path))) as store:
        extra = {"quality": {"count": "UncertainLastUsableValue", "dead": "BadTimeout"},
                 "source": {"count": T0 // 1_000_000 - 5}}  # fmt: skip
        batch = WriteBatch(
            rows_of(store, *(document("m1", i, **extra) for i in range(3))),
            T0 + 5 * SECOND,
            marks=[StreamMark("a/0/b", i, len(VALUES) + 1) for i in range(3)],
        )
        assert store.check(batch) == []
        store.write(batch)
        store.write(batch)  # a crash before the marks were kept brings it again
        flush(kind, port)
        for tag, expected in VALUES.items():
            got = store.samples("m1", tag, T0, T0 + 10 * SECOND)
            assert got.values() == expected, tag
            assert [type(value) for value in got.values()] == [type(value) for value in expected]
            resolution = 1 if kind == "influxdb1" else 1_000_000
            assert (got.t // resolution).tolist() == [
                (T0 + i * SECOND + 123_456_789) // resolution for i in range(3)
            ]
            assert np.allclose(got.stored, T0 + 5 * SECOND, atol=1000)
        count = store.samples("m1", "count", T0, T0 + 10 * SECOND)
        assert count.status.tolist() == [0x40900000] * 3
        assert np.allclose(count.source, T0 - 5_000_000, atol=1000)
        assert (store.samples("m1", "running", T0, T0 + 10 * SECOND).source == NO_TIME).all()
        dead = store.samples("m1", "dead", T0, T0 + 10 * SECOND)
        assert dead.values() == [None] * 3
        assert dead.status.tolist() == [0x800A0000] * 3
        assert len(store.samples("m1", "count", T0, T0 + SECOND)) == 1
        assert len(store.samples("m1", "nothing", T0, T0 + SECOND)) == 0


def test_random_numbers_survive(server: tuple[str, int], tmp_path: Path) -> None:
    kind, port = server
    # VictoriaMetrics keeps decimal mantissas with one exponent per block, InfluxDB the double
    # itself.
    powers = range(-300, 300, 10) if kind == "influxdb1" else range(-2, 6)
    numbers = [math.pi * 10.0**power for power in powers]
    with closing(open_store(config(kind, port, tmp_path))) as store:
        documents = [
            {"v": 1, "device": "m2", "t": T0 + i * SECOND, "values": {"x": number}}
            for i, number in enumerate(numbers)
        ]
        store.write(WriteBatch(rows_of(store, *documents), T0))
        flush(kind, port)
        got = store.samples("m2", "x", T0, T0 + 100 * SECOND).num
        assert np.allclose(got, numbers, rtol=0 if kind == "influxdb1" else 1e-9, atol=0)


#: One tag that was a truth value, then a whole number, then a number: one series all along, 1.0 =
#: true.
CHANGING = [True, False, True, 2, 3, 3.5, 4.5]


def read_across_kinds(store: Store) -> None:
    end = T0 + 100 * SECOND
    got = store.samples("m3", "x", T0, end)
    assert got.values() == CHANGING
    assert [type(value) for value in got.values()] == [type(value) for value in CHANGING]
    numbers = [1.0, 0.0, 1.0, 2.0, 3.0, 3.5, 4.5]
    assert got.num.tolist() == numbers
    assert store.changes([("m3", "x")], T0, end)["m3", "x"].num.tolist() == numbers
    assert (
        store.counted({("m3", "x"): np.zeros(0, np.int64)}, T0, end)["m3", "x"].num.tolist()
        == numbers
    )
    source = StoreSource(store)
    steps = HistorySteps(
        T0,
        T0 + 7 * SECOND,
        7 * SECOND,
        origin=T0,
        limit=10 * SECOND,
        vouched=lambda begin, until: True,
    )
    for page in pages(source, "m3", "x", T0, end):
        steps.feed(page)
    (step,) = steps.finish()
    assert (step.low, step.high, step.last, step.readings) == (0.0, 4.5, 4.5, 7)
    assert step.mean is not None
    assert abs(step.mean - sum(numbers) / 7) < 0.01


def changing(store: Store) -> WriteBatch:
    documents = [
        {"v": 1, "device": "m3", "t": T0 + i * SECOND, "values": {"x": value}}
        for i, value in enumerate(CHANGING)
    ]
    return WriteBatch(rows_of(store, *documents), T0 + 5 * SECOND)


def test_a_tag_whose_kind_changes_is_one_series(server: tuple[str, int], tmp_path: Path) -> None:
    kind, port = server
    with closing(open_store(config(kind, port, tmp_path))) as store:
        store.write(changing(store))
        flush(kind, port)
        read_across_kinds(store)


def test_a_tag_whose_kind_changes_is_one_series_of_the_embedded_store(tmp_path: Path) -> None:
    with closing(open_store(StoreConfig(path=tmp_path / "store.duckdb"))) as store:
        store.write(changing(store))
        read_across_kinds(store)


def health_row(t: int, **fields: Any) -> dict[str, Any]:
    row = {
        "device": "vmc-02",
        "t": t,
        "period_s": 5.0,
        "scheduled_s": 5.0,
        "covered_s": 4.5,
        "due": 5,
        "done": 4,
        "good": 40,
        "bad": 10,
        "values": 50,
        "latency_ms": 2.5,
        "latency_max_ms": 9.0,
        "overruns": 1,
        "state": "online",
        "reason": "",
        "last_good_t": t - 1_000_000,
    }
    return row | fields


def test_health_sums_and_facts(server: tuple[str, int], tmp_path: Path) -> None:
    kind, port = server
    with closing(open_store(config(kind, port, tmp_path))) as store:
        rows = [health_row(T0 + i * 5 * SECOND) for i in range(1, 5)]
        move = {"from": "online", "to": "offline", "reason": "BadTimeout", "zh": "断", "en": "off"}
        rows[-1] |= {
            "state": "offline",
            "reason": "BadTimeout",
            "latency_ms": None,
            "transition": move,
        }
        rows[-1]["last_good_t"] = T0 + 16 * SECOND
        gap = {
            "device": "ipc-01",
            "t": T0,
            "gap": {"stream": "a/0/b", "from_seq": 1, "to_seq": 2, "values": 9},
        }
        for _ in range(2):
            store.write(
                WriteBatch(
                    Rows.empty(),
                    T0,
                    health=rows,
                    marks=[StreamMark("a/0/b", 1, 0)],
                    quarantined={"x": 2},
                )
            )
        store.write(WriteBatch(Rows.empty(), T0, agents=[gap]))
        flush(kind, port)
        found = store.health(T0 + 5 * SECOND, T0 + 20 * SECOND)["vmc-02"]
        assert (found.scheduled_s, found.covered_s, found.due, found.done) == (15.0, 13.5, 15, 12)
        assert (found.good, found.bad, found.values, found.overruns) == (120, 30, 150, 3)
        assert (found.first_t, found.last_t) == (T0 + 10 * SECOND, T0 + 20 * SECOND)
        assert (found.state, found.reason) == ("offline", "BadTimeout")
        assert found.last_good_t == pytest.approx(T0 + 16 * SECOND, abs=1000)
        facts = store.live_facts(T0, T0 + 20 * SECOND)["vmc-02"]
        assert (facts.first_ns, facts.scheduled_s, facts.good) == (T0 + 5 * SECOND, 20.0, 160)
        assert store.gaps(0, T0)[0]["values"] == 9
        assert store.transitions(0, T0 + 20 * SECOND)[0]["to"] == "offline"
        store.put_metric("M-01", T0, {"id": "M-01", "value": 0.5})
        store.put_metric("M-01", T0 + 1, {"id": "M-01", "value": 0.75})
        assert store.metrics() == [{"id": "M-01", "value": 0.75}]
        assert len(store.metrics(0, T0 + 1)) == 1
        assert [store.newest_metric(0, end) for end in (T0, T0 + 1, T0 + 9)] == [None, T0, T0 + 1]
    with closing(open_store(config(kind, port, tmp_path))) as store:
        assert store.marks()["a/0/b"].pairs() == [(1, 1)]
        assert store.counts().quarantined == 4


def test_what_a_server_would_drop_is_found_before(server: tuple[str, int], tmp_path: Path) -> None:
    kind, port = server
    with closing(open_store(config(kind, port, tmp_path))) as store:
        future = {"v": 1, "device": "m3", "t": T0 + 4 * 86_400 * SECOND, "values": {"x": 1.0}}
        for old in ("a\nb", "c\\"):  # series from before names were judged stay valid
            store.catalogue.sid("m3", old)
        names = {
            "v": 1,
            "device": "m3",
            "t": T0,
            "values": {"a\nb": 1, "c\\": 2, "ok": 3, "long": "x" * 70_000},
        }
        batch = WriteBatch(rows_of(store, future, names), T0)
        reasons = {(refusal.row, refusal.reason) for refusal in store.check(batch)}
        expected = {(1, "bad-name"), (2, "bad-name"), (4, "text-too-long")}
        assert reasons == expected | ({(0, "timestamp-out-of-bounds")} if kind == "line" else set())
        batch.rows = batch.rows.without({row for row, _ in reasons})
        store.write(batch)
        flush(kind, port)
        assert store.samples("m3", "ok", T0, T0 + SECOND).values() == [3]


def test_influxdb_client_writes_what_victoria_metrics_reads(tmp_path: Path) -> None:
    with servers.victoria_metrics(tmp_path / "vm") as running:
        with closing(open_store(config("influxdb", running.port, tmp_path / "a"))) as store:
            store.write(
                WriteBatch(rows_of(store, document("m1", 0)), T0, marks=[StreamMark("a/0/b", 1, 7)])
            )
            assert store.counts().stored == 7
        flush("line", running.port)
        with closing(open_store(config("line", running.port, tmp_path / "b"))) as reader:
            assert reader.samples("m1", "主轴转速 (rpm)", T0, T0 + SECOND).values() == [8000.5]
            assert reader.samples("m1", "running", T0, T0 + SECOND).values() == [True]
