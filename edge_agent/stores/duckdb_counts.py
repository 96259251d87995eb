"""Counters of past hours, kept as the few readings that tell what was counted; all others are read from the samples.

They stand among the `runs`, with a mark of their own: who asks for all the runs of such a tag reads its samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from edge_agent.stores import duckdb_runs as runs
from edge_agent.stores.base import NEXT_NS
from edge_agent.stores.columns import Changes, Longs
from edge_agent.stores.duckdb_loads import Load, mark
from edge_agent.stores.duckdb_read import Cursor, plain
from edge_agent.stores.duckdb_write import append
from edge_agent.stores.telling import counted, in_order
from edge_agent.stores.touched import HOUR_NS

#: Samples read at a time: sixty hours of one series each second, or three of twenty.
_AT_ONCE: Final = 20
_STRETCH_NS: Final = 6 * HOUR_NS

_READ: Final = """
select sid, t, num, status from samples where t >= $from and t < $to and sid in (select unnest($sids))"""


def keep(
    connection: Cursor, counters: Sequence[Load], hour: int, cuts: Mapping[int, Longs], edges: Mapping[str, Longs]
) -> None:
    """Keep one hour, in the transaction that is open: `runs.compact` has made room for it."""
    none = np.zeros(0, np.int64)
    at = {each.sid: np.concatenate([none, *each.moments(cuts, edges)]) for each in counters}
    found = list(_told(connection, at, hour, hour + HOUR_NS))
    if found:
        sizes = [len(told) for _, told in found]
        together = Changes.join([told for _, told in found], merged=False)
        append(connection, "runs", {
            "t": np.full(sum(sizes), hour, np.int64),
            "sid": np.repeat(np.array([sid for sid, _ in found], np.int32), sizes),
            "first": together.first,
            "last": together.last,
            "num": np.ma.masked_array(together.num, np.isnan(together.num)),
            "status": together.status,
        })  # fmt: skip


def changes(cursor: Cursor, moments: Mapping[int, Longs], from_ns: int, to_ns: int) -> dict[int, Changes]:
    """Series -> the runs that tell, led by the last reading before and followed by those of the hour after."""
    sids, found = list(moments), dict[int, Changes]()
    for places in runs.alike(cursor, [mark(sid) for sid in sids], from_ns, to_ns):
        found |= _changes(cursor, {sids[place]: moments[sids[place]] for place in places}, from_ns, to_ns)
    return found


def _changes(cursor: Cursor, moments: Mapping[int, Longs], from_ns: int, to_ns: int) -> dict[int, Changes]:
    sids = list(moments)
    marks = [mark(sid) for sid in sids]
    at = {sid: np.append(asked, to_ns) for sid, asked in moments.items()}
    hours = runs.compacted(cursor, marks, from_ns, to_ns)
    found: dict[int, list[Changes]] = {sid: [] for sid in sids}
    for sid, told in runs.by_series([runs.lead(cursor, sids, from_ns, marks)]).items():
        found[sid].append(counted(told.last, told.num, told.status, told.last))
    if hours:
        for sid, told in runs.by_series([runs.kept(cursor, sids, hours)]).items():
            found[sid].append(told)
    for first, last in runs.rest(hours, from_ns, to_ns + NEXT_NS):
        for sid, told in _told(cursor, at, first, last):
            found[sid].append(told)
    return {sid: in_order(parts) for sid, parts in found.items() if parts}


def _told(cursor: Cursor, at: Mapping[int, Longs], first: int, last: int) -> Iterator[tuple[int, Changes]]:
    """From the samples of a stretch, which is read some hours and some series at a time."""
    sids = list(at)
    for start in range(first - first % HOUR_NS, last, _STRETCH_NS):
        for place in range(0, len(sids), _AT_ONCE):
            yield from _read(
                cursor, at, sids[place : place + _AT_ONCE], max(start, first), min(start + _STRETCH_NS, last)
            )


def _read(
    cursor: Cursor, at: Mapping[int, Longs], sids: Sequence[int], first: int, last: int
) -> Iterator[tuple[int, Changes]]:
    got = runs.fetched(cursor, _READ, **{"from": first, "to": last, "sids": list(sids)})
    sid, t = plain(got["sid"], 0), plain(got["t"], 0)
    order = np.lexsort((t, sid))
    number, status = plain(got["num"], np.nan)[order], plain(got["status"], 0)[order].astype(np.uint32)
    sid, t = sid[order], t[order]
    for each, places in runs.split(sid, np.arange(len(sid))).items():
        inside = at[each][(at[each] >= first) & (at[each] < last)]
        yield each, counted(t[places], number[places], status[places], inside)
