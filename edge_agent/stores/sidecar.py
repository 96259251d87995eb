"""What a remote store cannot keep for us, in a small sqlite file beside: marks, series, transitions, gaps, results.

It is written after the server took the batch. A crash between the two brings the batch again, and the same points
written twice are one point: InfluxDB by itself, VictoriaMetrics with a dedup interval.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from edge_agent.errors import FindingsError, StoreError
from edge_agent.intervals import IntervalSet
from edge_agent.stores.base import WriteBatch, merged, transitions
from edge_agent.stores.catalogue import Catalogue, Series
from edge_agent.stores.columns import NO_TIME, Rows

_TABLES: Final = """
create table if not exists series(sid integer primary key, device text, tag text, meta text);
create table if not exists devices(device text primary key, birth text);
create table if not exists marks(stream text, first integer, last integer, primary key(stream, first));
create table if not exists totals(name text primary key, count integer);
create table if not exists first_good(device text primary key, t integer);
create table if not exists newest(sid integer primary key, t integer, num real, kind integer, txt text, status integer);
create table if not exists transitions(t integer, device text, document text);
create table if not exists gaps(t integer, agent text, document text);
create table if not exists agents(t integer, agent text, document text);
create table if not exists metrics(metric text, t integer, document text);
"""
_AGEING: Final = ("transitions", "gaps", "agents", "metrics")


class Sidecar:
    """One connection behind a lock: the store's thread writes, others read now and then."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            path.chmod(0o600)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._db.executescript(_TABLES)
        except (sqlite3.Error, OSError) as error:
            raise FindingsError.one(
                "store-unreachable",
                f"无法打开入库状态文件（{error}）：请检查 store.path、目录权限和磁盘空间；若已损坏请移走留存。",
                f"The file of the ingest's marks cannot be opened ({error}): check store.path, permissions and disk "
                "space; move it aside if it is damaged.",
                str(path),
            ) from error
        self._marks = self._read_marks()

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a select. Raises StoreError."""
        with self._lock, _translated():
            return self._db.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated():
            self._db.execute("begin immediate")
            try:
                yield self._db
                self._db.execute("commit")
            except BaseException:
                self._db.execute("rollback")
                raise

    def catalogue(self) -> Catalogue:
        """As it was last written."""
        series = [Series(*row) for row in self.query("select sid, device, tag, meta from series")]
        return Catalogue(series, dict(self.query("select device, birth from devices")))

    def save(self, batch: WriteBatch, catalogue: Catalogue, first_good: Mapping[str, int]) -> None:
        """What belongs to a batch the server has taken: one transaction, synced. Raises StoreError."""
        series, devices = catalogue.take_changes()
        marks = {stream: IntervalSet(self._marks[stream].pairs()) for stream in {mark.stream for mark in batch.marks}}
        for stream, first, last, _ in merged(batch.marks):
            marks[stream].add(first, last)
        try:
            with self._transaction() as db:
                rows = [(s.sid, s.device, s.tag, s.meta) for s in series]
                db.executemany("insert or replace into series values (?, ?, ?, ?)", rows)
                db.executemany("insert or replace into devices values (?, ?)", devices.items())
                db.executemany("insert or replace into first_good values (?, ?)", first_good.items())
                _write_marks(db, marks)
                _write_documents(db, batch)
                _add(db, "stored", sum(mark.values for mark in batch.marks))
                _add(db, "quarantined", sum(batch.quarantined.values()))
        except BaseException:
            catalogue.put_back(series, devices)
            raise
        self._marks.update(marks)

    def save_newest(self, rows: Rows) -> None:
        """The newest sample of each series."""
        columns = zip(
            rows.sid.tolist(), rows.t.tolist(), rows.num.tolist(), rows.kind.tolist(), rows.status.tolist(), strict=True
        )
        saved = [
            (sid, t, None if num != num else num, kind, rows.texts.get(i), status)
            for i, (sid, t, num, kind, status) in enumerate(columns)
        ]
        with self._transaction() as db:
            db.executemany("insert or replace into newest values (?, ?, ?, ?, ?, ?)", saved)

    def newest(self) -> Rows:
        """What `save_newest` last saved."""
        got = self.query("select sid, t, num, kind, txt, status from newest")
        if not got:
            return Rows.empty()
        sid, t, num, kind, txt, status = zip(*got, strict=True)
        return Rows(
            np.array(sid, np.int32),
            np.array(t, np.int64),
            np.array(num, np.float64),
            np.array(kind, np.uint8),
            np.array(status, np.uint32),
            np.full(len(got), NO_TIME, np.int64),
            {row: text for row, text in enumerate(txt) if text is not None},
        )

    def _read_marks(self) -> defaultdict[str, IntervalSet]:
        marks: defaultdict[str, IntervalSet] = defaultdict(IntervalSet)
        for stream, first, last in self.query("select stream, first, last from marks"):
            marks[stream].add(first, last)
        return marks

    def marks(self) -> dict[str, IntervalSet]:
        """Read from the file."""
        return dict(self._read_marks())

    def put_metric(self, metric: str, t: int, document: Mapping[str, Any]) -> None:
        """Keep one result."""
        with self._transaction() as db:
            db.execute("insert into metrics values (?, ?, ?)", (metric, t, orjson.dumps(document).decode()))

    def forget(self, before: int) -> None:
        """Delete documents older than that."""
        with self._transaction() as db:
            for table in _AGEING:
                db.execute(f"delete from {table} where t < ?", (before,))  # noqa: S608 - a table of ours

    def close(self) -> None:
        """Safe to call twice."""
        with self._lock:
            self._db.close()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"marks file: {error}") from error


def _write_marks(db: sqlite3.Connection, marks: Mapping[str, IntervalSet]) -> None:
    for stream, intervals in marks.items():
        db.execute("delete from marks where stream = ?", (stream,))
        db.executemany("insert into marks values (?, ?, ?)", [(stream, *pair) for pair in intervals.pairs()])


def _write_documents(db: sqlite3.Connection, batch: WriteBatch) -> None:
    for move in transitions(batch.health):
        db.execute("insert into transitions values (?, ?, ?)", (move["t"], move["device"], orjson.dumps(move).decode()))
    for row in batch.agents:
        db.execute("insert into agents values (?, ?, ?)", (row["t"], row["device"], orjson.dumps(row).decode()))
        if row.get("gap"):
            document = orjson.dumps({"t": row["t"], "agent": row["device"], **row["gap"]}).decode()
            db.execute("insert into gaps values (?, ?, ?)", (row["t"], row["device"], document))


def _add(db: sqlite3.Connection, name: str, count: int) -> None:
    if count:
        sql = "insert into totals values (?, ?) on conflict(name) do update set count = count + excluded.count"
        db.execute(sql, (name, count))
