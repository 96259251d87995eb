"""The embedded store gives back what its engine gathers, and nobody who reads or writes notices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge_agent.errors import FindingsError, StoreError
from edge_agent.stores import Rows, StreamMark, WriteBatch
from edge_agent.stores.columns import FLOAT, NO_TIME
from edge_agent.stores.duckdb import store as module
from edge_agent.stores.duckdb.store import DuckDbStore

pytestmark = pytest.mark.slow

SECOND = 1_000_000_000
T0 = 1_763_900_000 * SECOND
MANY = 200_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDbStore]:
    with closing(DuckDbStore(tmp_path / "s.duckdb")) as opened:
        yield opened


def batch(store: DuckDbStore, seq: int, count: int) -> WriteBatch:
    """`count` samples of one tag that do not compress, a microsecond apart."""
    sid = int(store.catalogue.ids("m1", ("x",))[0])
    t = T0 + seq * SECOND + np.arange(count, dtype=np.int64) * 1000
    numbers = np.random.default_rng(seq).random(count)
    rows = Rows(
        np.full(count, sid, np.int32),
        t,
        numbers,
        np.full(count, FLOAT, np.uint8),
        np.zeros(count, np.uint32),
        np.full(count, NO_TIME, np.int64),
        {},
    )
    return WriteBatch(rows, T0 + seq * SECOND, marks=[StreamMark("a/0/1", seq, count)])


def gathered(store: DuckDbStore) -> int:
    """Bytes of the engine's own account of its memory."""
    with store._cursor() as cursor:
        row = cursor.execute(
            "select sum(memory_usage_bytes)::bigint from duckdb_memory()"
        ).fetchone()
    return int(row[0]) if row else 0


def test_what_the_engine_gathers_is_bounded_by_samples_not_by_the_file(store: DuckDbStore) -> None:
    most = 0
    for seq in range(1, 11):
        store.write(batch(store, seq, MANY))
        most = max(most, gathered(store))
    size = store.size()
    assert size > 15_000_000, "else this shows nothing"
    store.retain(T0)
    assert gathered(store) < 3_000_000
    assert most < size
    assert len(store.samples("m1", "x", 0, 2 * T0)) == 10 * MANY
    store.retain(T0)
    assert gathered(store) < 3_000_000, "what was read is given back too"


def test_an_afresh_opened_file_goes_on_where_it_was(
    store: DuckDbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REFRESH_ROWS", 10)
    before = store._connection
    for seq in range(1, 6):
        store.write(batch(store, seq, 10))
    assert store._connection is not before
    assert store.marks()["a/0/1"].pairs() == [(1, 5)]
    assert store.counts().stored == len(store.samples("m1", "x", 0, 2 * T0)) == 50
    newest = store.latest()["m1"]["x"]
    store.close()
    with closing(DuckDbStore(store._path)) as again:
        assert again.latest()["m1"]["x"] == newest
        assert again.counts().stored == 50


def test_a_reader_is_left_in_peace(store: DuckDbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REFRESH_ROWS", 10)
    before = store._connection
    with store._cursor() as cursor:
        store.write(batch(store, 1, 10))
        assert store._connection is before
        assert cursor.execute("select count(*) from samples").fetchone() == (10,)
    store.write(batch(store, 2, 1))
    assert store._connection is not before, "as soon as nobody reads"


def test_a_file_that_cannot_be_opened_afresh_costs_no_data(
    store: DuckDbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REFRESH_ROWS", 10)

    def refuse(_: Path) -> None:
        raise FindingsError.one("store-locked", "占用", "in use", "s.duckdb")

    with monkeypatch.context() as patch:
        patch.setattr(module, "connect", refuse)
        # committed: what follows must not look like a failed write
        store.write(batch(store, 1, 10))
        with pytest.raises(StoreError):
            store.write(batch(store, 2, 10))
        with pytest.raises(StoreError):
            store.marks()
    store.write(batch(store, 2, 10))
    assert store.marks()["a/0/1"].pairs() == [(1, 2)]
    assert store.counts().stored == len(store.samples("m1", "x", 0, 2 * T0)) == 20


def test_reading_from_another_thread_never_meets_a_closed_file(
    store: DuckDbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REFRESH_ROWS", 1)
    ended, errors, readings = threading.Event(), list[BaseException](), list[int]()

    def read() -> None:
        while not ended.is_set():
            try:
                readings.append(len(store.samples("m1", "x", 0, 2 * T0)))
            except BaseException as error:  # noqa: BLE001 - any is a finding
                errors.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for seq in range(1, 41):
        store.write(batch(store, seq, 5))
    ended.set()
    for reader in readers:
        reader.join()
    assert errors == []
    assert readings
    assert len(store.samples("m1", "x", 0, 2 * T0)) == 200
