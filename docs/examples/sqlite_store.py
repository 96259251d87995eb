"""A store in one SQLite file: `store: {kind: sqlite, path: data/plant.sqlite}`."""

import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from edge_agent.stores.sdk import (
    ANY_TIME,
    FindingsError,
    SampleRow,
    Samples,
    StoreChanges,
    StoredDocument,
    StoreEngine,
    StoreOptions,
    StorePlugin,
    columns_of,
)

TABLES = """
create table if not exists samples(sid integer, t integer, num real, kind integer, status integer,
    source integer, stored integer, text text);
create index if not exists samples_by_time on samples(sid, t);
create table if not exists documents(name text, key text, t integer, text text,
    primary key(name, key, t)) without rowid;
create index if not exists documents_by_time on documents(name, t, key);
"""


class SqliteOptions(StoreOptions):
    """Keys of `store:` with `kind: sqlite`."""

    synchronous: Literal["full", "extra"] = "full"
    """`extra`: a commit outlives the power cut that follows at once, also on odd file systems."""


class SqliteEngine(StoreEngine):
    """One connection behind a lock."""

    errors = (sqlite3.Error, OSError)

    def __init__(self, options: SqliteOptions, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False)
        try:
            self._db.execute("pragma journal_mode = wal")
            self._db.execute(f"pragma synchronous = {options.synchronous}")
            self._db.executescript(TABLES)
        except sqlite3.Error:
            self._db.close()
            raise

    def commit(self, changes: StoreChanges) -> None:
        with self._lock, self._db:  # `with` on a connection: all of it, or nothing
            self._db.executemany(
                "delete from documents where name = ? and key = ? and t = ?", changes.removed
            )
            self._db.executemany(
                "insert or replace into documents values (?, ?, ?, ?)", changes.put
            )
            self._db.executemany(
                "insert into samples values (?, ?, ?, ?, ?, ?, ?, ?)", changes.sample_rows()
            )

    def samples(self, sid: int, from_ns: int, to_ns: int) -> Samples:
        sql = "select * from samples where sid = ? and t >= ? and t < ? order by t, rowid"
        with self._lock:
            rows = self._db.execute(sql, (sid, from_ns, to_ns)).fetchall()
        return columns_of(SampleRow(*row) for row in rows)

    def last_before(self, sid: int, from_ns: int, to_ns: int) -> int | None:
        sql = "select max(t) from samples where sid = ? and t >= ? and t < ?"
        with self._lock:
            newest: int | None = self._db.execute(sql, (sid, from_ns, to_ns)).fetchone()[0]
        return newest

    def documents(
        self, table: str, from_ns: int = ANY_TIME[0], to_ns: int = ANY_TIME[1]
    ) -> list[StoredDocument]:
        sql = "select * from documents where name = ? and t >= ? and t < ? order by t, key"
        with self._lock:
            rows = self._db.execute(sql, (table, from_ns, to_ns)).fetchall()
        return [StoredDocument(*row) for row in rows]

    def delete_before(self, samples: int, documents: Mapping[str, int]) -> int:
        with self._lock, self._db:
            gone = self._db.execute("delete from samples where t < ?", (samples,)).rowcount
            self._db.executemany(
                "delete from documents where name = ? and t < ?", documents.items()
            )
        return gone

    def close(self) -> None:
        with self._lock:
            self._db.close()


def open_sqlite(options: SqliteOptions, path: Path) -> SqliteEngine:
    try:
        return SqliteEngine(options, path)
    except SqliteEngine.errors as error:
        raise FindingsError.one(
            "store-unreachable",
            f"无法打开 SQLite 文件（{error}）：请检查 store.path、目录权限和磁盘空间。",
            f"The SQLite file cannot be opened ({error}): check store.path, permissions and disk.",
            str(path),
        ) from error


PLUGIN = StorePlugin(name="sqlite", options=SqliteOptions, open=open_sqlite, sdk_version=1)
