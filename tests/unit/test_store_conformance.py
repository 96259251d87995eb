"""The suite for stores, run against the embedded store and the example of the guide."""

from __future__ import annotations

from pathlib import Path

from docs.examples.sqlite_store import PLUGIN
from edge_agent.stores import Store
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.stores.sdk import StoreEngine
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
