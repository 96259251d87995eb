"""A store made of an engine, where its database is emptied or replaced while `serve` runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from docs.examples.sqlite_store import PLUGIN
from edge_agent.config.models import Retention
from edge_agent.errors import StoreError
from edge_agent.stores import Rows, StreamMark, WriteBatch
from edge_agent.stores.engine.store import EngineStore
from edge_agent.stores.testing import AGENT, STREAM, T0, health_row, opened_engine, samples_at

BIRTH = {"device": "m1", "t": T0, "tags": {"x": {"type": "float", "unit": "rpm"}}}


def opened(path: Path) -> EngineStore:
    return EngineStore(opened_engine(PLUGIN, {}, path), Retention(), AGENT)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "plant.sqlite"


@pytest.fixture
def store(file: Path) -> Iterator[EngineStore]:
    with closing(opened(file)) as made:
        made.catalogue.born(BIRTH)
        write(made, 1)
        yield made


def write(store: EngineStore, number: int) -> None:
    t = T0 + number
    rows = Rows.of([samples_at(store, t, {"x": float(number)})])
    marks = [StreamMark(STREAM, number, 1)]
    store.write(WriteBatch(rows, T0, health=[health_row(t)], marks=marks))


def execute(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        for statement in statements:
            db.execute(statement)


def test_one_that_was_emptied_begins_anew(store: EngineStore, file: Path) -> None:
    before = store.store_id
    execute(file, "delete from samples", "delete from documents")
    assert store.recheck()
    assert store.store_id != before
    assert (store.marks(), store.counts().stored) == ({}, 0)
    write(store, 2)
    with closing(opened(file)) as again:
        assert again.store_id == store.store_id
        assert again.catalogue.find("m1", "x") == 0
        assert again.catalogue.devices.keys() == {"m1"}
        assert list(again.marks()[STREAM].pairs()) == [(2, 2)]
        assert again.samples("m1", "x", T0, T0 + 10).values() == [2.0]
        assert again.live_facts(T0 - 1, T0 + 10)["m1"].first_ns == T0 + 2


def test_another_one_in_its_place_is_not_written_to(store: EngineStore, file: Path) -> None:
    execute(file, "update documents set text = 'other' where name = 'store'")
    assert not store.recheck()
    lost = store.misplaced()
    assert lost is not None
    assert lost.name == "store_other"
    with pytest.raises(StoreError, match="Another database"):
        write(store, 2)
    assert list(store.marks()[STREAM].pairs()) == [(1, 1)]
    execute(file, f"update documents set text = '{store.store_id}' where name = 'store'")
    assert not store.recheck()
    write(store, 2)
    assert list(store.marks()[STREAM].pairs()) == [(1, 2)]


def test_a_commit_that_failed_is_repeated_completely(
    store: EngineStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    store.catalogue.born(BIRTH | {"t": T0 + 1, "tags": {"x": {"type": "float", "unit": "Hz"}}})
    with monkeypatch.context() as patch:
        patch.setattr(store._engine, "commit", full)
        with pytest.raises(StoreError, match="disk is full"):
            write(store, 2)
    assert list(store.marks()[STREAM].pairs()) == [(1, 1)]
    assert store.counts().stored == 1
    write(store, 2)
    with closing(opened(file)) as again:
        assert list(again.marks()[STREAM].pairs()) == [(1, 2)]
        assert again.catalogue.definitions.former_units() == {0: ["rpm"]}


def test_two_revisions_of_one_window_are_both_kept(store: EngineStore) -> None:
    for value in (1, 2):
        store.put_metric("production", T0, {"id": "production", "revision": value})
    assert [each["revision"] for each in store.metrics(T0, T0 + 1)] == [1, 2]
    assert [each["revision"] for each in store.metrics()] == [2]
