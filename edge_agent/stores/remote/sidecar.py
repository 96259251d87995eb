"""What a remote store cannot keep for us, in a small sqlite file beside: marks, series,
transitions, gaps, results.

It is written after the server took the batch. A crash between the two brings the batch again, and
the same points written twice are one point: InfluxDB by itself, VictoriaMetrics with a dedup
interval.

Marks belong to the store they speak of, by its id: another server beside the same file begins with
none.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from edge_agent.errors import FindingsError, StoreError, newer_format
from edge_agent.identity import DeviceKeys
from edge_agent.intervals import IntervalSet
from edge_agent.reasons import cause
from edge_agent.stores import formats
from edge_agent.stores.base import StreamMark, WriteBatch, merged, transitions
from edge_agent.stores.catalogue import Catalogue, Series, stored_catalogue
from edge_agent.stores.columns import NO_TIME, Rows
from edge_agent.stores.definitions import DefinitionChange
from edge_agent.stores.forgotten import Entry, Forgotten
from edge_agent.stores.registers import RegisterVersion
from edge_agent.stores.rollups import HealthTotals, hour_of

log = logging.getLogger(__name__)

#: Kept as the file's `user_version`, which is 0 in format 1. 3: health by hour, and
#: versions of the equipment register.
VERSION: Final = 3

#: `devices`, `first_good`, `marks` and `totals` are what format 1 kept: of the service's own agent,
#: and of the store that was served then. Their successors have agent and store.
_TABLES: Final = """
create table if not exists series(sid integer primary key, device text, tag text, meta text,
    agent text);
create table if not exists devices(device text primary key, birth text);
create table if not exists births(agent text, device text, birth text, primary key(agent, device));
create table if not exists marks(stream text, first integer, last integer, primary key(stream,
    first));
create table if not exists store_marks(
    store text, stream text, first integer, last integer, primary key(store, stream, first));
create table if not exists stores(address text primary key, id text);
create table if not exists totals(name text primary key, count integer);
create table if not exists store_totals(store text, name text, count integer, primary key(store,
    name));
create table if not exists first_good(device text primary key, t integer);
create table if not exists agent_first_good(agent text, device text, t integer,
    primary key(agent, device));
create table if not exists definitions(sid integer, t integer, before text, after text);
create table if not exists forgotten(
    agent text, device text, tag text, t integer, primary key(agent, device, tag));
create table if not exists causes(
    agent text, device text, reason text, zh text, en text, primary key(agent, device));
create table if not exists newest(sid integer primary key, t integer, num real, kind integer,
    txt text, status integer);
create table if not exists transitions(t integer, device text, document text, agent text);
create table if not exists gaps(t integer, agent text, document text);
create table if not exists agents(t integer, agent text, document text);
create table if not exists metrics(metric text, t integer, document text);
create table if not exists registers(version text, valid_from integer, kept_at integer,
    document text);
create table if not exists health_hours(
    store text, t integer, agent text, device text, scheduled_ms integer, covered_ms integer,
    good integer, bad integer,
    last_good_t integer, primary key(store, t, agent, device)) without rowid;
create table if not exists health_kept(store text, t integer, primary key(store, t)) without rowid;
"""
#: From format 1 to 2, before `_TABLES`.
_TO_2: Final = (
    "alter table series add column agent text",
    "alter table transitions add column agent text",
)
#: Rows of a stream that an interval may touch: the last one that begins before it, and all that
#: begin inside it.
_TOUCHING: Final = """
select * from (
    select first, last from store_marks where store = ? and stream = ? and first < ?
    order by first desc limit 1)
union all select first, last from store_marks where store = ? and stream = ?
    and first between ? and ? + 1"""
_HOUR_TOTALS: Final = """
select agent, device, sum(scheduled_ms), sum(covered_ms), sum(good), sum(bad),
    max(last_good_t) from health_hours
where store = ? and t > ? and t <= ? group by agent, device"""
_AGEING: Final = ("transitions", "gaps", "agents", "metrics")


class Sidecar:
    """One connection behind a lock: the store's thread writes, others read now and then."""

    def __init__(self, path: Path, keys: DeviceKeys | None = None) -> None:
        """Raises FindingsError for a file that is damaged, out of reach, of a newer format, or
        another program's; such a file is left as it was."""
        self._lock = threading.RLock()
        self._keys = keys or DeviceKeys()
        self._store = ""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = _version(path) if path.exists() else VERSION
            if found < VERSION:
                copy = formats.keep_copy(path, found, [path.with_name(path.name + "-wal")])
                log.warning(
                    "sidecar-migrated from_format=%d to_format=%d copy=%s", found, VERSION, copy
                )
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            path.chmod(0o600)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            with self._transaction() as db:
                for statement in (
                    *(_TO_2 if found < 2 else ()),
                    *filter(str.strip, _TABLES.split(";")),
                ):
                    db.execute(statement)
                db.execute(f"pragma user_version = {VERSION}")
        except (sqlite3.Error, OSError, StoreError) as error:
            raise FindingsError.one(
                "store-unreachable",
                f"无法打开入库状态文件（{error}）：请检查 store.path、目录权限和磁盘空间；"
                "若已损坏请移走留存。",
                f"The file of the ingest's marks cannot be opened ({error}): check store.path, "
                "permissions and disk "
                "space; move it aside if it is damaged.",
                str(path),
            ) from error

    # --- whose marks ------------------------------------------------------------------------------

    def store_at(self, address: str) -> str:
        """The id of the store that was last met at an address; empty for none."""
        rows = self.query("select id from stores where address = ?", (address,))
        return str(rows[0][0]) if rows else ""

    @property
    def has_former_marks(self) -> bool:
        """Whether there are marks of format 1, which do not say of which store they are."""
        return bool(self.query("select 1 from marks limit 1"))

    def use(self, store: str, address: str, *, adopt: bool) -> None:
        """From now on speak of this store, met at this address. `adopt`: the marks of format 1 are
        its own."""
        with self._transaction() as db:
            db.execute("insert or replace into stores values (?, ?)", (address, store))
            if adopt:
                db.execute(
                    "insert or ignore into store_marks select ?, stream, first, last from marks",
                    (store,),
                )
                db.execute(
                    "insert or ignore into store_totals select ?, name, count from totals", (store,)
                )
                db.execute("delete from marks")
                db.execute("delete from totals")
        self._store = store

    def recall(self, address: str) -> None:
        """Until the store can be asked: speak of the one that was last met at this address."""
        self._store = self.store_at(address)

    def counts(self) -> dict[str, int]:
        """Name -> values counted over the life of the store."""
        if not self._store:
            return dict(self.query("select name, count from totals"))
        return dict(
            self.query("select name, count from store_totals where store = ?", (self._store,))
        )

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
        key = self._keys.key
        rows = self.query("select sid, agent, device, tag, meta from series")
        series = [
            Series(sid, key(agent, device), tag, meta, bool(agent))
            for sid, agent, device, tag, meta in rows
        ]
        births = self.query(
            "select null, device, birth from devices union all select agent, device, birth from "
            "births"
        )
        forgotten = self.query("select agent, device, tag, t from forgotten")
        entries = {(agent, device, tag): t for agent, device, tag, t in forgotten}
        changes = [
            DefinitionChange(*row)
            for row in self.query("select sid, t, before, after from definitions")
        ]
        causes = self.query("select agent, device, reason, zh, en from causes")
        return stored_catalogue(self._keys, series, births, Forgotten(entries), causes, changes)

    def first_good(self) -> dict[str, int]:
        """Key -> first good reading of all time."""
        found: dict[str, int] = {}
        rows = self.query(
            "select null, device, t from first_good union all select * from agent_first_good"
        )
        for agent, device, t in rows:
            key = self._keys.key(agent, device)
            found[key] = min(t, found.get(key, t))
        return found

    def save(self, batch: WriteBatch, catalogue: Catalogue, first_good: Mapping[str, int]) -> None:
        """What belongs to a batch the server has taken: one transaction, synced. Raises
        StoreError."""
        catalogue.causes.take_rows(batch.health)
        changes = catalogue.take_changes()
        returned = catalogue.forgotten.take_restored()
        split = self._keys.split
        agent_of = self._keys.agent
        device_of = self._keys.device
        try:
            with self._transaction() as db:
                rows = [
                    (
                        s.sid,
                        device_of(s.device),
                        s.tag,
                        s.meta,
                        agent_of(s.device) if s.agent_kept else None,
                    )
                    for s in changes.series
                ]
                db.executemany(
                    "insert or replace into series(sid, device, tag, meta, agent) values (?, ?, "
                    "?, ?, ?)",
                    rows,
                )
                births = [(*split(key), birth) for key, birth in changes.births.items()]
                db.executemany("insert or replace into births values (?, ?, ?)", births)
                db.executemany("insert into definitions values (?, ?, ?, ?)", changes.definitions)
                db.executemany(
                    "delete from causes where agent = ? and device = ?",
                    [split(key) for key in changes.causes],
                )
                causes = [
                    (*split(key), *found)
                    for key, found in changes.causes.items()
                    if found is not None
                ]
                db.executemany("insert into causes values (?, ?, ?, ?, ?)", causes)
                firsts = [(*split(key), t) for key, t in first_good.items()]
                db.executemany("insert or replace into agent_first_good values (?, ?, ?)", firsts)
                db.executemany(
                    "delete from forgotten where agent = ? and device = ? and tag = ?", returned
                )
                self._forget_hours(db, {hour_of(row["t"]) for row in batch.health})
                self._write_marks(db, batch.marks)
                _write_documents(db, batch, self._keys)
                self._add(db, "stored", sum(mark.values for mark in batch.marks))
                self._add(db, "quarantined", sum(batch.quarantined.values()))
        except BaseException:
            catalogue.put_back(changes)
            catalogue.forgotten.put_back(returned)
            raise

    def _write_marks(self, db: sqlite3.Connection, marks: Sequence[StreamMark]) -> None:
        """Join each new interval with the rows that it touches; the others are neither read nor
        written."""
        for stream, first, last, _ in merged(marks):
            touching = db.execute(
                _TOUCHING, (self._store, stream, first, self._store, stream, first, last)
            ).fetchall()
            touching = [pair for pair in touching if pair[1] >= first - 1]
            keys = [(self._store, stream, pair[0]) for pair in touching]
            db.executemany(
                "delete from store_marks where store = ? and stream = ? and first = ?", keys
            )
            joined = (
                min([first, *(pair[0] for pair in touching)]),
                max([last, *(pair[1] for pair in touching)]),
            )
            db.execute(
                "insert into store_marks values (?, ?, ?, ?)", (self._store, stream, *joined)
            )

    def _add(self, db: sqlite3.Connection, name: str, count: int) -> None:
        if count:
            sql = (
                "insert into store_totals values (?, ?, ?)"
                " on conflict(store, name) do update set count = count + excluded.count"
            )
            db.execute(sql, (self._store, name, count))

    def forget(self, entries: Sequence[Entry], t: int) -> None:
        """What is not listed any more, from `t` on."""
        with self._transaction() as db:
            db.executemany(
                "insert or replace into forgotten values (?, ?, ?, ?)",
                [(*entry, t) for entry in entries],
            )

    def save_newest(self, rows: Rows) -> None:
        """The newest sample of each series."""
        columns = zip(
            rows.sid.tolist(),
            rows.t.tolist(),
            rows.num.tolist(),
            rows.kind.tolist(),
            rows.status.tolist(),
            strict=True,
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

    def marks(self, streams: Collection[str] | None = None) -> dict[str, IntervalSet]:
        """Read from the file; `streams`: of these only."""
        table, values = self._mark_rows()
        if streams is None:
            return _sets(self.query(f"select stream, first, last from {table}", values))  # noqa: S608 - ours
        one = f"select stream, first, last from {table} where stream = ?"  # noqa: S608 - ours
        return _sets([row for stream in streams for row in self.query(one, (*values, stream))])

    def incomplete_marks(self) -> dict[str, IntervalSet]:
        """Of the streams that are more than one row, or do not begin with 1."""
        table, values = self._mark_rows()
        rows = (
            f"select stream, first, last from {table} where stream in (select stream from {table}"  # noqa: S608 - ours
        )
        return _sets(
            self.query(f"{rows} group by stream having count(*) > 1 or min(first) > 1)", values * 2)
        )

    def _mark_rows(self) -> tuple[str, tuple[str, ...]]:
        """What to select marks from, and its values."""
        if not self._store:
            return "(select stream, first, last from marks)", ()
        return "(select stream, first, last from store_marks where store = ?)", (self._store,)

    def transitions(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """Those in `from < t <= to`, sorted, each once; devices by key."""
        sql = (
            "select distinct t, agent, device, document from transitions where t > ? and t <= ? "
            "order by t"
        )
        return [
            orjson.loads(document) | {"device": self._keys.key(agent, device)}
            for _, agent, device, document in self.query(sql, (from_ns, to_ns))
        ]

    def gaps(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """Gap records told in `from < t <= to`, sorted, each once: stores that share this file are
        sent the same."""
        sql = "select distinct t, document from gaps where t > ? and t <= ? order by t"
        return [orjson.loads(document) for _, document in self.query(sql, (from_ns, to_ns))]

    # --- health by hour ---------------------------------------------------------------------------

    def _forget_hours(self, db: sqlite3.Connection, hours: Collection[int]) -> None:
        for table in ("health_hours", "health_kept"):
            query = f"delete from {table} where store = ? and t = ?"  # noqa: S608 - tables of ours
            db.executemany(query, [(self._store, hour) for hour in hours])

    def keep_hour(self, hour: int, totals: Mapping[str, HealthTotals]) -> None:
        """What the server's health rows of an hour add up to, by key."""
        rows = [
            (
                self._store,
                hour,
                *self._keys.split(key),
                round(1000 * row.scheduled_s),
                round(1000 * row.covered_s),
                row.good,
                row.bad,
                row.last_good_t,
            )
            for key, row in totals.items()
        ]
        with self._transaction() as db:
            self._forget_hours(db, [hour])
            db.executemany("insert into health_hours values (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            db.execute("insert into health_kept values (?, ?)", (self._store, hour))

    def kept_hours(self, from_ns: int, to_ns: int) -> set[int]:
        """Hours that are kept, in `from < t <= to`."""
        sql = "select t from health_kept where store = ? and t > ? and t <= ?"
        return {int(t) for (t,) in self.query(sql, (self._store, from_ns, to_ns))}

    def hour_totals(self, from_ns: int, to_ns: int) -> dict[str, HealthTotals]:
        """Key -> what the hours that are kept add up to."""
        rows = self.query(_HOUR_TOTALS, (self._store, from_ns, to_ns))
        return {
            self._keys.key(agent, device): HealthTotals(
                scheduled / 1000, covered / 1000, good, bad, last_good
            )
            for agent, device, scheduled, covered, good, bad, last_good in rows
        }

    def age_health(self, before: int) -> None:
        """Delete hours before that."""
        with self._transaction() as db:
            for table in ("health_hours", "health_kept"):
                db.execute(f"delete from {table} where t < ?", (before,))  # noqa: S608 - tables of ours

    def put_metric(self, metric: str, t: int, document: Mapping[str, Any]) -> None:
        """Keep one result."""
        with self._transaction() as db:
            db.execute(
                "insert into metrics values (?, ?, ?)", (metric, t, orjson.dumps(document).decode())
            )

    def keep_register(self, version: RegisterVersion, document: str) -> None:
        """Append one version of the register."""
        row = (version.version, version.valid_from, version.kept_at, document)
        with self._transaction() as db:
            db.execute("insert into registers values (?, ?, ?, ?)", row)

    def register_versions(self) -> list[RegisterVersion]:
        """By the time from which they are valid."""
        sql = "select version, valid_from, kept_at from registers order by valid_from, kept_at"
        return [RegisterVersion(*row) for row in self.query(sql)]

    def register_document(self, version: str) -> str | None:
        """Of the version as it was first kept."""
        rows = self.query(
            "select document from registers where version = ? order by kept_at limit 1", (version,)
        )
        return str(rows[0][0]) if rows else None

    def age(self, before: int) -> None:
        """Delete documents older than that."""
        with self._transaction() as db:
            for table in _AGEING:
                db.execute(f"delete from {table} where t < ?", (before,))  # noqa: S608 - a table of ours

    def close(self) -> None:
        """Safe to call twice."""
        with self._lock:
            self._db.close()


def _sets(rows: Sequence[tuple[str, int, int]]) -> dict[str, IntervalSet]:
    found: dict[str, IntervalSet] = defaultdict(IntervalSet)
    for stream, first, last in rows:
        found[stream].add(first, last)
    return dict(found)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(cause("marks_file_failed", why=error)) from error


def _write_documents(db: sqlite3.Connection, batch: WriteBatch, keys: DeviceKeys) -> None:
    for move in transitions(batch.health):
        agent, device = keys.split(move["device"])
        values = (move["t"], device, orjson.dumps(move | {"device": device}).decode(), agent)
        db.execute(
            "insert into transitions(t, device, document, agent) values (?, ?, ?, ?)", values
        )
    for row in batch.agents:
        db.execute(
            "insert into agents values (?, ?, ?)",
            (row["t"], row["device"], orjson.dumps(row).decode()),
        )
        if row.get("gap"):
            document = orjson.dumps({"t": row["t"], "agent": row["device"], **row["gap"]}).decode()
            db.execute("insert into gaps values (?, ?, ?)", (row["t"], row["device"], document))


def _version(path: Path) -> int:
    """The format of a file that exists, which is only read. Raises FindingsError, sqlite3.Error."""
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        (found,) = db.execute("pragma user_version").fetchone()
        tables = {
            name for (name,) in db.execute("select name from sqlite_master where type = 'table'")
        }
    if not tables and not found:
        return VERSION
    if not {"series", "marks"} <= tables:
        raise formats.foreign(path, sorted(tables))
    if found > VERSION:
        raise newer_format(path, found, VERSION)
    return int(found) or 1
