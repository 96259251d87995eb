"""The suite for stores, run against the embedded store and the example of the guide."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from docs.examples.sqlite_store import PLUGIN, SqliteEngine, SqliteOptions
from edge_agent.stores import Store
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.stores.sdk import Samples, StoreChanges, StoredDocument, StoreEngine
from edge_agent.stores.testing import (
    AGENT,
    DAYS,
    EngineConformance,
    StoreConformance,
    opened_engine,
)


class TestDuckDb(StoreConformance):
    def open_store(self, folder: Path) -> Store:
        return DuckDbStore(folder / "store.duckdb", agent=AGENT, days=DAYS)


class TestSqlite(EngineConformance):
    def open_engine(self, folder: Path) -> StoreEngine:
        return opened_engine(PLUGIN, {}, folder / "store.sqlite")


class CommitsInTwoParts(SqliteEngine):
    def commit(self, changes: StoreChanges) -> None:
        super().commit(StoreChanges(changes.rows, changes.stored))
        super().commit(StoreChanges(changes.rows.without(range(len(changes.rows))), 0,
                                    changes.removed, changes.put))  # fmt: skip


class EndIsInTheWindow(SqliteEngine):
    def samples(self, sid: int, from_ns: int, to_ns: int) -> Samples:
        return super().samples(sid, from_ns, to_ns + 1)


class NewestFirst(SqliteEngine):
    def samples(self, sid: int, from_ns: int, to_ns: int) -> Samples:
        found = super().samples(sid, from_ns, to_ns)
        found.t = found.t[::-1].copy()
        return found


class LosesTheStatus(SqliteEngine):
    def samples(self, sid: int, from_ns: int, to_ns: int) -> Samples:
        found = super().samples(sid, from_ns, to_ns)
        found.status[:] = 0
        return found


class KeepsTheFormerDocument(SqliteEngine):
    def commit(self, changes: StoreChanges) -> None:
        gone = {tuple(key) for key in changes.removed}
        there = {row[:3] for put in changes.put for row in self.documents(put.table)} - gone
        put = [each for each in changes.put if each[:3] not in there]
        super().commit(StoreChanges(changes.rows, changes.stored, changes.removed, put))


class RemovesAfterPutting(SqliteEngine):
    def commit(self, changes: StoreChanges) -> None:
        super().commit(StoreChanges(changes.rows, changes.stored, (), changes.put))
        super().commit(StoreChanges(changes.rows.empty(), 0, changes.removed))


class ForgetsMarks(SqliteEngine):
    def documents(self, table: str, *window: int) -> list[StoredDocument]:
        return [] if table == "marks" else super().documents(table, *window)


class DeletesNothing(SqliteEngine):
    def delete_before(self, samples: int, documents: Mapping[str, int]) -> int:
        return 0


@pytest.mark.parametrize(
    ("engine", "check"),
    [
        (CommitsInTwoParts, "a_commit_that_fails_leaves_nothing"),
        (EndIsInTheWindow, "samples_are_sorted_and_the_end_of_a_window_is_not_in_it"),
        (NewestFirst, "samples_are_sorted_and_the_end_of_a_window_is_not_in_it"),
        (LosesTheStatus, "status_source_and_store_time_read_back"),
        (KeepsTheFormerDocument, "a_document_takes_the_place_of_the_former"),
        (RemovesAfterPutting, "a_document_may_go_and_come_in_one_commit"),
        (ForgetsMarks, "marks_stand_beside_their_data_and_join"),
        (DeletesNothing, "rows_older_than_the_retention_are_deleted"),
    ],
)
def test_a_planted_fault_fails_the_check_that_is_named_after_it(
    engine: type[SqliteEngine], check: str, tmp_path: Path
) -> None:
    class Suite(EngineConformance):
        def open_engine(self, folder: Path) -> StoreEngine:
            return engine(SqliteOptions(), folder / "store.sqlite")

    with pytest.raises(AssertionError):
        getattr(Suite(), f"test_{check}")(tmp_path)
