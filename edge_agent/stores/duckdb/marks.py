"""Marks of the embedded store: intervals appended with each commit, and joined for the streams that
changed.

What a commit costs depends on what it brings, never on how many streams the store has ever known. A
stream that is over and complete is one row: its name, 1, its highest number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final

import duckdb

from edge_agent.intervals import IntervalSet
from edge_agent.stores.base import StreamMark, merged
from edge_agent.stores.duckdb import write

Connection = duckdb.DuckDBPyConnection

#: Rows appended before the streams that they belong to are rewritten as few intervals.
JOIN_ROWS: Final = 5_000

_JOINED: Final = """
select stream, min(first), max(last), sum("values")::bigint from (
    select *, sum(fresh) over (partition by stream order by first,
    last rows unbounded preceding) island from (
        select *, (first > max(last) over (partition by stream order by first, last
            rows between unbounded preceding and 1 preceding) + 1) is distinct from false fresh
        from marks where stream in (select unnest($streams))))
group by stream, island order by stream, min(first)"""

#: Of marks that a salvage had to leave out their number of values is kept.
_STORED: Final = """select (select coalesce(sum("values"), 0) from marks)::bigint
    + (select coalesce(sum(stored), 0) from salvages)::bigint"""


class MarkTable:
    """Belongs to the thread that writes, but for what takes a cursor."""

    def __init__(self, connection: Connection) -> None:
        row = connection.execute(_STORED).fetchone()
        self.stored = int(row[0]) if row else 0
        """Values over the life of the store."""
        several = "select stream from marks group by stream having count(*) > 1"
        self._unjoined = {stream for (stream,) in connection.execute(several).fetchall()}
        self._appended = 0
        self._limit = 0
        self._next = (self._unjoined, 0, self._limit)

    def write(self, connection: Connection, marks: Sequence[StreamMark]) -> None:
        """Append, in the transaction that is open; `committed` follows."""
        rows = merged(marks)
        write.marks(connection, rows)
        streams = self._unjoined.union(row[0] for row in rows)
        self._next = (streams, self._appended + len(rows), self._limit)
        if self._next[1] > max(JOIN_ROWS, self._limit):
            left = _join(connection, streams)
            # A stream full of holes is rewritten after as many new rows as it has old ones, so that
            # this stays cheap.
            self._next = (set(), 0, left)

    def committed(self, marks: Sequence[StreamMark]) -> None:
        """The transaction is in the file."""
        self._unjoined, self._appended, self._limit = self._next
        self.stored += sum(mark.values for mark in marks)


def _join(connection: Connection, streams: Collection[str]) -> int:
    """Rewrite these streams as few rows; returns how many."""
    names = {"streams": list(streams)}
    rows = connection.execute(_JOINED, names).fetchall()
    connection.execute("delete from marks where stream in (select unnest($streams))", names)
    write.marks(connection, rows)
    return len(rows)


def read_marks(
    cursor: Connection, streams: Collection[str] | None = None
) -> dict[str, IntervalSet]:
    """Stream -> what is dealt with; `streams`: of these only."""
    if streams is None:
        rows = cursor.execute("select stream, first, last from marks").fetchall()
    else:
        query = "select stream, first, last from marks where stream in (select unnest(?))"
        rows = cursor.execute(query, [list(streams)]).fetchall()
    return _sets(rows)


def read_incomplete(cursor: Connection) -> dict[str, IntervalSet]:
    """The same of the streams that are not known to be complete from 1 on."""
    query = """select stream, first, last from marks where stream in (
        select stream from marks group by stream having count(*) > 1 or min(first) > 1)"""
    return _sets(cursor.execute(query).fetchall())


def _sets(rows: Sequence[tuple[str, int, int]]) -> dict[str, IntervalSet]:
    found: dict[str, IntervalSet] = defaultdict(IntervalSet)
    for stream, first, last in rows:
        found[stream].add(first, last)
    return dict(found)
