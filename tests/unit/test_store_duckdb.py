"""The embedded store: one transaction per commit, retention, restarts, and plain sentences for a
bad file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.errors import FindingsError, PoisonError, StoreError
from edge_agent.stores import Chunk, Rows, StoreCounts, StreamMark, WriteBatch, open_store
from edge_agent.stores.catalogue import CatalogueChanges
from edge_agent.stores.columns import FLOAT, NO_TIME
from edge_agent.stores.duckdb.store import DuckDbStore

pytestmark = pytest.mark.slow

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
T0 = 1_763_900_000 * SECOND


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDbStore]:
    with closing(DuckDbStore(tmp_path / "s.duckdb")) as opened:
        yield opened


def rows(store: DuckDbStore, t: int, count: int = 1, tag: str = "x") -> Rows:
    sid = store.catalogue.ids("m1", (tag,))
    kind = np.full(1, FLOAT, np.uint8)
    return Rows.of([Chunk(sid, t + i, np.array([float(i)]), kind) for i in range(count)])


def health(t: int, device: str = "m1", **fields: Any) -> dict[str, Any]:
    row = {
        "device": device,
        "t": t,
        "scheduled_s": 5.0,
        "covered_s": 5.0,
        "due": 5,
        "done": 5,
        "good": 10,
        "bad": 0,
        "values": 10,
        "overruns": 0,
        "state": "online",
        "reason": "",
        "last_good_t": t,
    }
    return row | fields


def test_a_failing_batch_leaves_nothing_behind(
    store: DuckDbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = WriteBatch(rows(store, T0), T0, health=[health(T0)], marks=[StreamMark("a/0/1", 1, 1)])

    def refuse(*_: object) -> None:
        raise duckdb.ConversionException("no")

    with monkeypatch.context() as patch:
        patch.setattr("edge_agent.stores.duckdb.write.agents", refuse)
        with pytest.raises(PoisonError):
            store.write(batch)
    assert len(store.samples("m1", "x", 0, 2 * T0)) == 0
    assert (
        store.marks(),
        store.latest(),
        store.health(0, 2 * T0),
        store.live_facts(0, 2 * T0),
    ) == ({}, {}, {}, {})
    assert store.counts().stored == 0
    store.write(batch)
    assert store.marks()["a/0/1"].pairs() == [(1, 1)]
    assert store.live_facts(0, 2 * T0)["m1"].first_ns == T0


def test_a_store_that_failed_for_good_is_opened_again(
    store: DuckDbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise duckdb.FatalException("database has been invalidated")

    with monkeypatch.context() as patch:
        patch.setattr("edge_agent.stores.duckdb.write.agents", fail)
        with pytest.raises(StoreError):
            store.write(WriteBatch(rows(store, T0), T0))
    store.write(WriteBatch(rows(store, T0), T0, marks=[StreamMark("a/0/1", 1, 1)]))
    assert store.samples("m1", "x", 0, 2 * T0).values() == [0.0]


def test_marks_are_merged_and_their_values_kept(
    store: DuckDbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.stores.duckdb.marks.JOIN_ROWS", 3)
    for seq in (1, 2, 5, 3, 9, 4):
        store.write(
            WriteBatch(
                Rows.empty(), T0, marks=[StreamMark("a/0/1", seq, 10), StreamMark("b/0/1", seq, 1)]
            )
        )
    assert {stream: marks.pairs() for stream, marks in store.marks().items()} == {
        "a/0/1": [(1, 5), (9, 9)],
        "b/0/1": [(1, 5), (9, 9)],
    }
    assert store._connection.execute(
        'select count(*) <= 8, sum("values") from marks'
    ).fetchall() == [(True, 66)]
    assert store.counts().stored == 66


def test_health_counts_a_row_once_per_device_and_time(store: DuckDbStore) -> None:
    late = health(T0 - 5 * SECOND, last_good_t=None)
    moved = {"from": "online", "to": "offline", "reason": "BadTimeout", "zh": "断", "en": "off"}
    for batch in (
        [health(T0), health(T0)],
        [health(T0), health(T0 + 5 * SECOND, state="offline", transition=moved)],
        [late],
    ):
        store.write(WriteBatch(Rows.empty(), T0, health=batch))
    summary = store.health(T0 - 10 * SECOND, T0 + 5 * SECOND)["m1"]
    assert (summary.scheduled_s, summary.good, summary.state) == (15.0, 30, "offline")
    assert (summary.first_t, summary.last_t, summary.last_good_t) == (
        T0 - 5 * SECOND,
        T0 + 5 * SECOND,
        T0 + 5 * SECOND,
    )
    # A row speaks of the interval that ends at `t`, so windows that follow one another share no
    # row.
    assert store.health(T0 - 10 * SECOND, T0)["m1"].scheduled_s == 10.0
    assert store.health(T0, T0 + 5 * SECOND)["m1"].scheduled_s == 5.0
    assert store.live_facts(0, T0)["m1"].first_ns == T0 - 5 * SECOND, (
        "late rows may bring an earlier first connection"
    )
    assert store.transitions(T0, T0 + 5 * SECOND) == [
        {"t": T0 + 5 * SECOND, "device": "m1", **moved}
    ]
    assert store.transitions(T0 + 5 * SECOND, T0 + 9 * SECOND) == []


def test_a_device_without_rows_in_the_window_is_still_listed(store: DuckDbStore) -> None:
    store.catalogue.born({"v": 1, "device": "never", "tags": {}})
    store.write(WriteBatch(Rows.empty(), T0, health=[health(T0)]))
    facts = store.live_facts(T0 + DAY, T0 + 2 * DAY)
    assert (facts["m1"].first_ns, facts["m1"].scheduled_s, facts["m1"].last_good_ns) == (
        T0,
        0.0,
        None,
    )
    assert facts["never"].first_ns is None


def test_gaps_and_metrics(store: DuckDbStore) -> None:
    gap = {
        "stream": "a/0/1",
        "from_seq": 1,
        "to_seq": 5,
        "from_t": T0,
        "to_t": T0 + 9,
        "values": 50,
        "acknowledged": 2,
    }
    gap["reason"] = "full"
    store.write(
        WriteBatch(
            Rows.empty(),
            T0,
            agents=[{"device": "ipc-01", "t": T0, "gap": gap}, {"device": "x", "t": T0}],
        )
    )
    assert store.gaps(0, T0) == [{"t": T0, "agent": "ipc-01", **gap}]
    store.put_metric("M-01", 5, {"id": "M-01", "value": None})
    store.put_metric("M-01", 9, {"id": "M-01", "value": 0.5})
    store.put_metric("M-02", 7, {"id": "M-02"})
    assert store.metrics() == [{"id": "M-01", "value": 0.5}, {"id": "M-02"}]
    assert store.metrics(5, 9) == [{"id": "M-01", "value": None}, {"id": "M-02"}]
    assert len(store.metrics(5)) == 3
    assert [store.newest_metric(*window) for window in ((5, 9), (5, 10), (10, 99))] == [7, 9, None]


def test_birth_documents_are_kept_and_only_changes_are_written(
    store: DuckDbStore, tmp_path: Path
) -> None:
    birth = {"v": 1, "device": "m1", "name": "铣床", "tags": {"主轴": {"unit": "rpm"}, "x": {}}}
    store.catalogue.born(birth)
    store.write(WriteBatch(Rows.empty(), T0))
    store.catalogue.born(birth)
    assert store.catalogue.take_changes() == CatalogueChanges()
    store.close()
    with closing(DuckDbStore(tmp_path / "s.duckdb")) as again:
        assert [(s.sid, s.tag, s.meta) for s in again.catalogue.series] == [
            (0, "主轴", '{"unit":"rpm"}'),
            (1, "x", "{}"),
        ]
        assert again.catalogue.devices == {"m1": '{"device":"m1","name":"铣床"}'}


def test_retention_by_age_takes_the_oldest_only(tmp_path: Path) -> None:
    with closing(DuckDbStore(tmp_path / "s.duckdb", days=2)) as store:
        for day in range(5):
            t = T0 + day * DAY
            store.write(
                WriteBatch(
                    rows(store, t, 10), t, health=[health(t)], marks=[StreamMark("a/0/1", day, 10)]
                )
            )
        assert store.retain(T0 + 4 * DAY) == 20
        assert len(store.samples("m1", "x", 0, 2 * T0)) == 30
        assert store.health(0, 2 * T0)["m1"].scheduled_s == 25.0, "health outlives the samples"
        assert store.retain(T0 + 4 * DAY) == 0
        assert store.counts().stored == 50, "what was stored stays counted"
        assert store.marks()["a/0/1"].pairs() == [(0, 4)], (
            "a mark outlives its data, so nothing comes back"
        )
        assert store.live_facts(0, 2 * T0)["m1"].first_ns == T0


def test_retention_by_size(tmp_path: Path) -> None:
    with closing(DuckDbStore(tmp_path / "s.duckdb", max_bytes=4_000_000)) as store:
        kind, sid = (
            np.full(200_000, FLOAT, np.uint8),
            np.repeat(store.catalogue.ids("m1", ("x",)), 200_000),
        )
        noise = np.random.default_rng(1).random(200_000)
        for part in range(5):
            store.write(WriteBatch(Rows.of([Chunk(sid, T0 + part * SECOND, noise, kind)]), T0))
        store._checkpoint()
        assert store.size() > 4_000_000
        assert store.retain(T0) > 0
        assert store.size() <= 4_000_000
        left = store.samples("m1", "x", 0, 2 * T0).t
        assert left.min() > T0
        assert left.max() == T0 + 4 * SECOND


def test_a_store_at_its_size_takes_on_and_keeps_the_newest(tmp_path: Path) -> None:
    """The file itself is bounded too: by `max_bytes`, and what comes between two calls."""
    path, most, count = tmp_path / "s.duckdb", 8_000_000, 100_000
    with closing(DuckDbStore(path, max_bytes=most)) as store:
        kind, sid = (
            np.full(count, FLOAT, np.uint8),
            np.repeat(store.catalogue.ids("m1", ("x",)), count),
        )
        random = np.random.default_rng(1)
        store.watch([("m1", "x")])
        for part in range(30):
            t = T0 + part * count * 1_000_000 + np.arange(count) * 1_000_000
            status, source = np.zeros(count, np.uint32), np.full(count, NO_TIME, np.int64)
            store.write(
                WriteBatch(Rows(sid, t, random.random(count), kind, status, source, {}), T0)
            )
            if part % 3 == 2:
                store.retain(T0)
                assert store.size() <= most
                assert path.stat().st_size < most + 3 * 2_000_000
        left = store.samples("m1", "x", 0, 2 * T0).t
        assert left[-1] == t[-1]
        assert (np.diff(left) == 1_000_000).all(), "only the oldest went"
        assert len(left) > 2 * count
        assert store.counts() == StoreCounts(0, 0)


def test_reading_goes_on_while_a_batch_is_being_written(store: DuckDbStore) -> None:
    store.write(WriteBatch(rows(store, T0), T0))
    with store._transaction():
        store._connection.execute("delete from samples")
        assert len(store.samples("m1", "x", 0, 2 * T0)) == 1
    assert len(store.samples("m1", "x", 0, 2 * T0)) == 0


def test_files_are_private(store: DuckDbStore, tmp_path: Path) -> None:
    assert (tmp_path / "s.duckdb").stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_is_refused_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "s.duckdb").write_bytes(b"x" * 10_000)
    with pytest.raises(FindingsError) as caught:
        open_store(StoreConfig(path=tmp_path / "s.duckdb"))
    assert caught.value.findings[0].code == "store-foreign"
    assert (tmp_path / "s.duckdb").read_bytes() == b"x" * 10_000


def test_a_file_in_use_is_refused_with_the_next_step(store: DuckDbStore, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom edge_agent.stores.duckdb.store import DuckDbStore\n"
        "from edge_agent.errors import FindingsError\n"
        "try: DuckDbStore(Path(sys.argv[1]))\nexcept FindingsError as e: "
        "print(e.findings[0].code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "s.duckdb")], capture_output=True, text=True
    )
    assert done.stdout.strip() == "store-locked", done.stderr


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FindingsError) as caught:
        DuckDbStore(tmp_path / "file" / "s.duckdb")
    assert caught.value.findings[0].code == "store-unreachable"


@pytest.mark.parametrize("kind", ["influxdb", "influxdb1", "line"])
def test_a_remote_store_needs_its_url(kind: str, tmp_path: Path) -> None:
    with pytest.raises(FindingsError) as caught:
        open_store(StoreConfig.model_validate({"kind": kind, "path": tmp_path / "s"}))
    assert caught.value.findings[0].where == "store.url"
