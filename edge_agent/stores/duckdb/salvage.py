"""Salvage of the embedded store: all that reads goes into a new file, what does not becomes gap
records.

What one changed byte did is put right, and costs nothing. Else each table is read in ever smaller
parts, so that a damaged block costs its own rows. The damaged file is kept beside the new one. The
new one has a new id, so that agents send again what they still have; where rows were lost the marks
are left out too, and what is sent again is told from what is there by series and time
(`write`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb

from edge_agent.errors import FindingsError
from edge_agent.stores import formats
from edge_agent.stores.duckdb import refusals, schema, write
from edge_agent.stores.duckdb.blocks import read_log
from edge_agent.stores.duckdb.check import NO_NETWORK, mended_copy
from edge_agent.stores.duckdb.log import aside, log_path, owned

log = logging.getLogger(__name__)

Connection = duckdb.DuckDBPyConnection
Rows = tuple[int, int]
"""Rows of a table by their place, first and last."""

#: Can be made again from the others: left out when any of them is damaged.
_DERIVED: Final = frozenset({"newest", "runs", "steps", "loads", "compacted"})
#: Say nothing that a stream brought: without them the marks still stand.
_BESIDE: Final = _DERIVED | {
    "schema_version",
    "store_id",
    "salvages",
    "metrics",
    "registers",
    "forgotten",
    "quarantined",
}
#: Tables whose rows belong to an entry of `series`.
_OF_SERIES: Final = ("samples", "newest", "runs", "steps", "loads")
#: Rows that one attempt reads at the least.
_SMALLEST: Final = 2_048

DAMAGED_STORE: Final = "store_damaged"
"""The reason of gap records of a damaged store."""


@dataclass(frozen=True, slots=True)
class LostRows:
    """Rows of one table that could not be read, and the times they lay between (ns; None: nobody
    knows)."""

    table: str
    first: int
    last: int
    from_t: int | None
    to_t: int | None


@dataclass(slots=True)
class Salvaged:
    """What a salvage did."""

    path: str
    kept: str
    """The damaged file as it was."""
    store_id: str
    rows: dict[str, int] = field(default_factory=dict)
    """Table -> rows in the new file."""
    lost: list[LostRows] = field(default_factory=list)
    mended: bool = False
    """Every damaged byte was put right: nothing is lost."""
    log_lost: int = 0
    """Bytes of the log that were cut off behind its last commit that is whole."""
    marks_kept: bool = True


def salvage(path: Path, agent: str = "") -> Salvaged:
    """Make a store that opens of a damaged one, in its place. `agent`: the service's own, for the
    gap records.

    Raises FindingsError: somebody has it open, it is another program's, there is no room, or
    nothing of it reads. Then the file is as it was.
    """
    refusals.refuse_foreign(path)
    work = path.with_name(path.name + ".salvage")
    fresh = path.with_name(path.name + ".salvaged")
    until = max(file.stat().st_mtime_ns for file in (path, log_path(path)) if file.exists())
    try:
        with owned(path):
            _remove(work, fresh)
            log_lost, damaged = _copied(path, work)
            found = Salvaged(str(path), "", "", log_lost=log_lost)
            if damaged or not _opens(work):
                _collect(work, fresh, found)
            else:
                os.replace(work, fresh)
                if log_path(work).exists():
                    os.replace(log_path(work), log_path(fresh))
                found.mended = not log_lost
            _finish(fresh, found, agent, until)
            found.kept = str(_exchange(path, fresh))
    except (duckdb.Error, OSError) as error:
        raise refusals.refusal(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            _remove(work, fresh)
    log.warning("store-salvaged id=%s kept=%s lost=%d", found.store_id, found.kept, len(found.lost))
    return found


def _opens(work: Path) -> bool:
    """Whether the engine takes the copy as it is, log and all; without a checkpoint, which might
    meet more damage."""
    try:
        duckdb.connect(str(work), read_only=True, config=NO_NETWORK).close()
    except duckdb.Error:
        return False
    return True


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
        log_path(path).unlink(missing_ok=True)


def _copied(path: Path, work: Path) -> tuple[int, list[int]]:
    """A copy to work on, its bytes put right as far as they can be; returns what its log lost, in
    bytes, and the blocks that stay damaged."""
    formats.copy(path, work)
    damaged = mended_copy(path, work)
    state = read_log(log_path(path))
    if state is None:
        return 0, damaged
    if state.whole:
        log_path(work).write_bytes(state.content)
    return (state.size - state.whole if state.damaged else 0), damaged


def _collect(work: Path, fresh: Path, found: Salvaged) -> None:
    """Copy what reads into a new file."""
    with contextlib.closing(schema.open_file(fresh)) as connection:
        _attach(connection, work, found)
        readable = {name for (name,) in connection.execute(_TABLES.format("'damaged'")).fetchall()}
        for (table,) in connection.execute(_TABLES.format("current_database()")).fetchall():
            if table in readable and table not in ("schema_version", "store_id"):
                _copy_table(connection, table, found)
        connection.execute("detach damaged")
        _drop_unnamed(connection, found)
        connection.execute("checkpoint")


_TABLES: Final = (
    "select table_name from duckdb_tables() where database_name = {} and not internal order by 1"
)


def _attach(connection: Connection, work: Path, found: Salvaged) -> None:
    """Open the damaged file beside the new one, without its log where that is not to be read."""
    attach = f"attach {_quoted(str(work))} as damaged (read_only)"
    try:
        connection.execute(attach)
    except duckdb.Error as error:
        beside = log_path(work)
        if not beside.exists():
            raise _nothing_reads(work, error) from error
        found.log_lost += beside.stat().st_size
        beside.unlink()
        try:
            connection.execute(attach)
        except duckdb.Error:
            raise _nothing_reads(work, error) from error


def _nothing_reads(path: Path, error: BaseException) -> FindingsError:
    detail = (str(error).splitlines() or [""])[0]
    name = path.name.removesuffix(".salvage")
    return FindingsError.one(
        "store-unreadable",
        f"这个数据库文件里已没有能读出的内容（{detail}），文件未被改动：有副本时请放回副本；"
        "没有时请把文件移到别处保存，再启动 serve 建立新库，采集代理会把还留着的数据重新送来。",
        f"Nothing in the store's file reads any more ({detail}); it was left as it is: put a "
        "copy back where you have"
        " one. Else move the file elsewhere and keep it, then start `serve`, which begins a new "
        "store: the agents send"
        " again what they still have.",
        str(path.with_name(name)),
    )


def _copy_table(connection: Connection, table: str, found: Salvaged) -> None:
    """All rows that read; what does not is noted."""
    before = len(found.lost)
    count = _count(connection, table)
    if count is None:
        found.lost.append(LostRows(table, 0, 0, None, None))
        return
    for first, last in _unreadable(connection, table, 0, max(0, count - 1)):
        found.lost.append(LostRows(table, first, last, *_times(connection, table, first, last)))
    if table in _DERIVED and len(found.lost) > before:
        connection.execute(f"delete from {table}")  # noqa: S608 - table of ours
    found.rows[table] = int(_one(connection, f"select count(*) from {table}"))  # noqa: S608 - table of ours


def _count(connection: Connection, table: str) -> int | None:
    """Rows a table has by its description, deleted ones included; None where that does not read."""
    try:
        with contextlib.closing(
            connection.cursor()
        ) as cursor:  # after an error it is of no more use
            row = cursor.execute(
                f"select coalesce(max(rowid), -1) + 1 from damaged.{table}"  # noqa: S608
            ).fetchone()
    except duckdb.Error as error:
        if not refusals.is_damage(error):
            raise
        return None
    return int(row[0]) if row else 0


def _unreadable(connection: Connection, table: str, first: int, last: int) -> Iterator[Rows]:
    """Copy rows `first..last`; where that fails, each half of them. Yields what cannot be read,
    joined."""
    lost: list[Rows] = []
    waiting = [(first, last)]
    while waiting:
        low, high = waiting.pop()
        try:
            with contextlib.closing(connection.cursor()) as cursor:
                cursor.execute(
                    f"insert into {table} by name"  # noqa: S608 - a table of ours
                    f" select * from damaged.{table} where rowid between ? and ?",
                    [low, high],
                ).fetchall()
        except duckdb.Error as error:
            if not refusals.is_damage(error):
                raise
            middle = (low + high + 1) // 2 // _SMALLEST * _SMALLEST
            if low < middle <= high:
                waiting += [(middle, high), (low, middle - 1)]
            elif lost and lost[-1][1] == low - 1:
                lost[-1] = (lost[-1][0], high)
            else:
                lost.append((low, high))
    yield from lost


def _times(
    connection: Connection, table: str, first: int, last: int
) -> tuple[int | None, int | None]:
    """Between which times rows lie that cannot be read: their own, which the description of the
    table has, else those of the rows beside them."""
    for read in (_described_times, _neighbour_times):
        with contextlib.suppress(duckdb.Error):
            found = read(connection, table, first, last)
            if found != (None, None):
                return found
    return None, None


def _described_times(
    connection: Connection, table: str, first: int, last: int
) -> tuple[int | None, int | None]:
    rows = connection.execute(
        "select row_group_id, start, count, stats from pragma_storage_info(?) "
        "where column_name = 't' and segment_type = 'BIGINT' order by row_group_id, start",
        [f"damaged.{table}"],
    ).fetchall()
    begin = 0
    group = None
    times = []
    offset = 0
    for group_id, start, count, stats in rows:
        if group is not None and group_id != group:
            begin += offset
        group = group_id
        offset = start + count
        if begin + start <= last and begin + start + count > first:
            times += [_bound(stats, "min"), _bound(stats, "max")]
    known = [t for t in times if t is not None]
    return (min(known), max(known)) if known else (None, None)


def _bound(stats: Any, name: str) -> int | None:
    value = stats.get(name) if isinstance(stats, Mapping) else None
    return int(value) if value is not None else None


def _neighbour_times(
    connection: Connection, table: str, first: int, last: int
) -> tuple[int | None, int | None]:
    query = f"select max(t) filter (rowid < {first}), min(t) filter (rowid > {last}) from {table}"  # noqa: S608
    row = connection.execute(query).fetchone()
    return (row[0], row[1]) if row else (None, None)


def _drop_unnamed(connection: Connection, found: Salvaged) -> None:
    """Values whose series cannot be read belong to nobody, and must not become another tag's: its
    number is given anew. They stay in the damaged file."""
    if not any(lost.table == "series" for lost in found.lost):
        return
    unnamed = "sid not in (select sid from series)"
    row = connection.execute(
        f"select count(*), min(t), max(t) from samples where {unnamed}"  # noqa: S608
    ).fetchone()
    if row and row[0]:
        found.lost.append(LostRows("samples", 0, int(row[0]) - 1, row[1], row[2]))
    for table in _OF_SERIES:
        connection.execute(f"delete from {table} where {unnamed}")  # noqa: S608 - table of ours
    connection.execute("delete from compacted where abs(sid) not in (select sid from series)")


def _finish(fresh: Path, found: Salvaged, agent: str, until: int) -> None:
    """A new id, the gap records, and no marks where rows were lost that streams brought."""
    with contextlib.closing(schema.open_file(fresh)) as connection:
        found.marks_kept = all(lost.table in _BESIDE for lost in found.lost)
        found.store_id = secrets.token_hex(8)
        now = time.time_ns()
        former = _one(connection, "select id from store_id")
        stored = _one(connection, 'select coalesce(sum("values"), 0)::bigint from marks')
        newest = _one(connection, "select max(stored) from health")
        connection.begin()
        connection.execute("delete from store_id")
        connection.execute("insert into store_id values (?, ?)", [found.store_id, now])
        if not found.marks_kept:
            connection.execute("delete from marks")
        told = None if found.marks_kept else now
        kept = 0 if found.marks_kept else stored
        connection.execute("insert into salvages values (?, ?, ?, ?)", [now, former, told, kept])
        for gap in _gaps(found, agent, now, until, newest):
            write.append(connection, "gaps", {name: [value] for name, value in gap.items()})
        connection.commit()
        connection.execute("checkpoint")


def _one(connection: Connection, query: str) -> Any:
    """The one value that a query answers; read to its end, else the connection waits for the
    rest."""
    rows = connection.execute(query).fetchall()
    return rows[0][0] if rows else None


def _gaps(
    found: Salvaged, agent: str, now: int, until: int, newest: int | None
) -> Iterator[dict[str, Any]]:
    for lost in found.lost:
        if lost.table not in _BESIDE:
            yield gap_record(agent, lost.table, lost, now, until)
    if found.log_lost:
        yield gap_record(agent, "log", LostRows("log", 0, 0, newest, until), now, until)


def gap_record(agent: str, part: str, lost: LostRows, now: int, until: int) -> dict[str, Any]:
    """A row of `gaps` for rows that a damaged store lost; what nobody knows of their times is up to
    `until` (ns)."""
    count = lost.last - lost.first + 1 if part == "samples" else 0
    return {
        "t": now,
        "agent": agent,
        "stream": f"store:{part}",
        "from_seq": lost.first,
        "to_seq": lost.last,
        "from_t": lost.from_t if lost.from_t is not None else until,
        "to_t": lost.to_t if lost.to_t is not None else until,
        "values": count,
        "acknowledged": count,
        "reason": DAMAGED_STORE,
    }


def _exchange(path: Path, fresh: Path) -> Path:
    """The new file in the place of the damaged one, which gets another name; returns that."""
    kept = aside(path)
    beside = log_path(path)
    kept_log = log_path(kept)
    pairs: Sequence[tuple[Path, Path]] = [
        (path, kept),
        *([(beside, kept_log)] if beside.exists() else []),
    ]
    for source, target in pairs:
        try:
            os.link(source, target)
        except OSError:  # a file system without links
            formats.copy(source, target)
    # never without a file in its place; the log of another file is told by the engine
    os.replace(fresh, path)
    beside.unlink(missing_ok=True)
    if log_path(fresh).exists():
        os.replace(log_path(fresh), beside)
    formats.sync_folder(path.parent)
    return kept


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
