"""Long series as runs of equal readings, by SQL; past hours are kept as runs, so a month is read in
seconds.

The runs of an hour are made once, after it is over, by the store's thread, and marked in
`compacted`. Whoever writes samples or health rows into such an hour removes its mark in the same
transaction: a marked hour always agrees with the samples. What is not marked is read from the
samples themselves; both ways give the same answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from edge_agent.stores.base import LOOKBACK_NS
from edge_agent.stores.changed_series import HOUR_NS
from edge_agent.stores.columns import Longs, SampleRuns
from edge_agent.stores.duckdb.read import Cursor, plain
from edge_agent.stores.evidence import Span

#: Series whose kept runs are read at a time: a month of a counter is some hundred thousand rows,
#: copied while sorted.
_AT_ONCE: Final = 16

_RUNS: Final = """
select sid, min(t) first, max(t) last, any_value(num) num, any_value(status) status from (
    select sid, t, num, status, sum(fresh) over (partition by sid
    order by t rows unbounded preceding) run from (
        select sid, t, num, status,
            (num is distinct from lag(num) over w or status is distinct
            from lag(status) over w)::int fresh
        from samples where t >= $from and t < $to and sid in (select unnest($sids))
        window w as (partition by sid order by t)))
group by sid, run"""

_KEPT: Final = """
select sid, first, last, num, status from runs
where t >= $from and t < $to and t in (select unnest($hours)) and sid in (select unnest($sids))"""

LAST: Final = """
select sid, max(t) last, arg_max({num: num, status: status}, t) s from samples
where t >= $from and t < $to and sid in (select unnest($sids)) group by sid"""

_LAST_KEPT: Final = """
select sid, max(last) last, arg_max({num: num, status: status}, last) s from runs
where t >= $from and t < $to and t in (select unnest($hours))
    and sid in (select unnest($sids)) group by sid"""


def fetched(cursor: Cursor, query: str, **values: Any) -> dict[str, Any]:
    """A query's columns."""
    return cursor.execute(query, values).fetchnumpy()


def compacted(cursor: Cursor, sids: Sequence[int], from_ns: int, to_ns: int) -> list[int]:
    """Hours wholly inside the window of which all these series are kept as runs."""
    query = """select t from compacted where t >= $from and t + $hour <= $to
    and sid in (select unnest($sids))
        group by t having count(*) = $count order by t"""
    values = {
        "from": from_ns,
        "to": to_ns,
        "hour": HOUR_NS,
        "sids": list(sids),
        "count": len(set(sids)),
    }
    return [int(t) for (t,) in cursor.execute(query, values).fetchall()]


def group_by_kept_hours(
    cursor: Cursor, marks: Sequence[int], from_ns: int, to_ns: int
) -> list[list[int]]:
    """Series (their places among `marks`) by how many hours are kept of them: one that is not
    watched, or new, must not have all others read from the samples."""
    query = """select sid, count(*) from compacted where t >= $from and t + $hour <= $to
        and sid in (select unnest($sids)) group by sid"""
    values = {"from": from_ns, "to": to_ns, "hour": HOUR_NS, "sids": list(marks)}
    read_kept_runs = dict(cursor.execute(query, values).fetchall())
    together: defaultdict[int, list[int]] = defaultdict(list)
    for place, mark in enumerate(marks):
        together[read_kept_runs.get(mark, 0)].append(place)
    return list(together.values())


def uncovered_spans(hours: Sequence[int], from_ns: int, to_ns: int) -> list[Span]:
    """The window without these hours."""
    spans: list[Span] = []
    start = from_ns
    for hour in hours:
        if start < hour:
            spans.append((start, hour))
        start = hour + HOUR_NS
    return [*spans, (start, to_ns)] if start < to_ns else spans


def changes(cursor: Cursor, sids: Sequence[int], from_ns: int, to_ns: int) -> dict[int, SampleRuns]:
    """Series -> runs in `from <= t < to`, led by the last reading before."""
    found: dict[int, SampleRuns] = {}
    for places in group_by_kept_hours(cursor, sids, from_ns, to_ns):
        found |= _changes(cursor, [sids[place] for place in places], from_ns, to_ns)
    return found


def _changes(
    cursor: Cursor, sids: Sequence[int], from_ns: int, to_ns: int
) -> dict[int, SampleRuns]:
    hours = compacted(cursor, sids, from_ns, to_ns)
    pieces = [lead(cursor, sids, from_ns, sids)]
    for first, last in uncovered_spans(hours, from_ns, to_ns):
        pieces.append(fetched(cursor, _RUNS, **{"from": first, "to": last, "sids": list(sids)}))
    if not hours:
        return by_series(pieces)
    found: dict[int, SampleRuns] = {}
    for start in range(0, len(sids), _AT_ONCE):
        chosen = list(sids[start : start + _AT_ONCE])
        found |= by_series(
            [*(_only(each, chosen) for each in pieces), read_kept_runs(cursor, chosen, hours)]
        )
    return found


def _only(piece: Mapping[str, Any], sids: Sequence[int]) -> dict[str, Any]:
    own = np.isin(plain(piece["sid"], 0), sids)
    return {name: column[own] for name, column in piece.items()}


def read_kept_runs(cursor: Cursor, sids: Sequence[int], hours: Sequence[int]) -> dict[str, Any]:
    """The runs of these hours."""
    return fetched(
        cursor,
        _KEPT,
        **{"from": hours[0], "to": hours[-1] + 1, "hours": list(hours), "sids": list(sids)},
    )


def lead(cursor: Cursor, sids: Sequence[int], from_ns: int, marks: Sequence[int]) -> dict[str, Any]:
    """The last reading of each series before `from_ns`, from the nearest stretch that has one.

    `marks` say which hours are kept.
    """
    start = from_ns - LOOKBACK_NS
    hours = compacted(cursor, marks, start, from_ns)
    stretches: list[tuple[Span, str, dict[str, Any]]] = [
        (span, LAST, {}) for span in uncovered_spans(hours, start, from_ns)
    ]
    if hours:
        stretches.append(((hours[0], hours[-1] + HOUR_NS), _LAST_KEPT, {"hours": hours}))
    missing = set(sids)
    found = []
    # Latest end first; kept and not kept hours may interleave, so all stretches of a series still
    # missing are asked.
    for (first, last), query, more in sorted(stretches, key=lambda stretch: -stretch[0][1]):
        if not missing:
            break
        got = fetched(cursor, query, **{"from": first, "to": last, "sids": sorted(missing), **more})
        found.append(got)
        if query is LAST and last == from_ns:
            missing -= set(plain(got["sid"], 0).tolist())
    return _latest(found)


def _latest(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of several candidates per series the latest, as runs of one reading."""
    best: dict[int, tuple[int, float, int]] = {}
    for got in found:
        for sid, t, s in zip(
            plain(got["sid"], 0).tolist(), plain(got["last"], 0).tolist(), got["s"], strict=True
        ):
            if sid not in best or t > best[sid][0]:
                best[sid] = (t, np.nan if s["num"] is None else s["num"], s["status"])
    times = np.array([row[0] for row in best.values()], np.int64)
    return {
        "sid": np.array(list(best), np.int32),
        "first": times,
        "last": times,
        "num": np.array([row[1] for row in best.values()], np.float64),
        "status": np.array([row[2] for row in best.values()], np.uint32),
    }


def by_series(pieces: Sequence[Mapping[str, Any]]) -> dict[int, SampleRuns]:
    """Series -> its runs, sorted."""
    sid = np.concatenate([plain(piece["sid"], 0) for piece in pieces])
    first = np.concatenate([plain(piece["first"], 0) for piece in pieces])
    order = np.lexsort((first, sid))
    sid = sid[order]
    first = first[order]
    last = np.concatenate([plain(piece["last"], 0) for piece in pieces])[order]
    num = np.concatenate([plain(piece["num"], np.nan) for piece in pieces])[order]
    status = np.concatenate([plain(piece["status"], 0) for piece in pieces]).astype(np.uint32)[
        order
    ]
    edges = np.flatnonzero(np.diff(sid)) + 1
    bounds = [0, *edges.tolist(), len(sid)] if len(sid) else [0]
    return {
        int(sid[a]): SampleRuns(first[a:b], last[a:b], num[a:b], status[a:b]).merged()
        for a, b in pairwise(bounds)
    }


def split(sid: Any, column: Longs) -> dict[int, Longs]:
    """Parts of a column by series; `sid` is sorted."""
    names, starts = np.unique(sid, return_index=True)
    return (
        dict(zip(names.tolist(), np.split(column, starts[1:]), strict=True)) if len(names) else {}
    )


def lateness(
    cursor: Cursor, sids: Sequence[int], from_ns: int, to_ns: int
) -> list[tuple[int, int, int]]:
    """(series, milliseconds, samples)."""
    query = """select sid, floor((stored - coalesce(source, t)) / 1e6 + 0.5)::bigint ms,
    count(*) from samples
        where t >= ? and t < ? and sid in (select unnest(?)) group by sid, ms order by sid, ms"""
    return cursor.execute(query, [from_ns, to_ns, list(sids)]).fetchall()


def hours_not_kept(cursor: Cursor, marks: Sequence[int], oldest_ns: int) -> set[int]:
    """All hours from the first sample (or `oldest_ns`) to the last that have not all these
    marks."""
    row = cursor.execute("select min(t), max(t) from samples").fetchone()
    if row is None or row[0] is None:
        return set()
    first = max(int(row[0]), oldest_ns) // HOUR_NS * HOUR_NS
    last = int(row[1])
    return set(range(first, last + 1, HOUR_NS)).difference(
        compacted(cursor, marks, first, last + HOUR_NS)
    )


def compact(connection: Cursor, sids: Sequence[int], hour: int) -> None:
    """Keep one hour as runs, in the transaction that is open; `marked` follows when all is kept."""
    bounds = {"from": hour, "to": hour + HOUR_NS, "hour": hour, "sids": list(sids)}
    for table in ("runs", "compacted"):
        connection.execute(f"delete from {table} where t = ?", [hour])  # noqa: S608 - tables of ours
    connection.execute(f"insert into runs select $hour, * from ({_RUNS})", bounds)  # noqa: S608 - a query of ours


def marked(connection: Cursor, marks: Sequence[int], hour: int) -> None:
    """The hour is kept: these are its marks."""
    connection.execute("insert into compacted select ?, unnest(?)", [hour, sorted(set(marks))])


def forget(connection: Cursor, hours: Sequence[int]) -> None:
    """Something is written into these hours: their runs no longer hold."""
    connection.execute("delete from compacted where t in (select unnest(?))", [list(hours)])
