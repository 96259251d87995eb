"""Counters of past hours, kept as the few readings that tell what was counted; all others are read
from the samples.

They stand among the `runs`, with a mark of their own: who asks for all the runs of such a tag reads
its samples.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np

from edge_agent.stores.base import AROUND, AROUND_NS
from edge_agent.stores.changed_series import HOUR_NS
from edge_agent.stores.columns import Longs, SampleRuns
from edge_agent.stores.decisive_readings import counted, in_order
from edge_agent.stores.duckdb import runs
from edge_agent.stores.duckdb.loads import IntegratedSeries, mark
from edge_agent.stores.duckdb.read import Cursor, plain
from edge_agent.stores.duckdb.steps import StepDays
from edge_agent.stores.duckdb.write import append
from edge_agent.stores.from_samples import good_readings

#: Samples read at a time: sixty hours of one series each second, or three of twenty.
_AT_ONCE: Final = 20
_STRETCH_NS: Final = 6 * HOUR_NS
_ROWS: Final = 500_000
#: So much is read around a neighbour of a window.
_MINUTES_NS: Final = 600_000_000_000
#: How far from a window its neighbours are looked for, step by step.
_FURTHER: Final = (0, 24 * HOUR_NS, 7 * 24 * HOUR_NS, 62 * 24 * HOUR_NS, 400 * 24 * HOUR_NS)

_READ: Final = """
select sid, t, num, status from samples where t >= $from and t < $to
    and sid in (select unnest($sids))"""


def keep(
    connection: Cursor,
    counters: Sequence[IntegratedSeries],
    hour: int,
    cuts: Mapping[int, Longs],
    edges: Mapping[str, Longs],
) -> None:
    """Keep one hour, in the transaction that is open: `runs.compact` has made room for it."""
    none = np.zeros(0, np.int64)
    at = {each.sid: np.concatenate([none, *each.moments(cuts, edges)]) for each in counters}
    found = list(_read_decisive(connection, at, hour, hour + HOUR_NS))
    if found:
        sizes = [len(told) for _, told in found]
        together = SampleRuns.join([told for _, told in found], merged=False)
        append(connection, "runs", {
            "t": np.full(sum(sizes), hour, np.int64),
            "sid": np.repeat(np.array([sid for sid, _ in found], np.int32), sizes),
            "first": together.first,
            "last": together.last,
            "num": np.ma.masked_array(together.num, np.isnan(together.num)),
            "status": together.status,
        })  # fmt: skip


class Beginnings:
    """Of series that had no reading yet before some moment: that it need not be looked for
    again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._none_before: dict[int, int] = {}

    def known(self, sid: int, t: int) -> bool:
        """Whether there is no good reading of a series before `t` (ns)."""
        with self._lock:
            return t <= self._none_before.get(sid, t - 1)

    def learn(self, sids: Iterable[int], t: int) -> None:
        """Nothing was found before `t`."""
        with self._lock:
            self._none_before.update((sid, max(t, self._none_before.get(sid, t))) for sid in sids)

    def written(self, hours: Iterable[int]) -> None:
        """Something was written into these hours, and may be older than what was the first."""
        with self._lock:
            if self._none_before and min(hours, default=2**63) < max(self._none_before.values()):
                self._none_before.clear()


@dataclass(frozen=True, slots=True)
class SeriesCounts:
    """What a store knows of series beside its tables."""

    newest: Callable[[int], int | None]
    """Time of the newest sample of a series."""
    beginnings: Beginnings
    days: StepDays = field(default_factory=StepDays)

    def written(self, hours: Collection[int]) -> None:
        """Something was written into these hours."""
        self.beginnings.written(hours)
        self.days.written(hours)


def changes(
    cursor: Cursor, moments: Mapping[int, Longs], from_ns: int, to_ns: int, counting: SeriesCounts
) -> dict[int, SampleRuns]:
    """Series -> the runs that tell, and the readings around the window."""
    sids = list(moments)
    found = dict[int, SampleRuns]()
    for places in runs.group_by_kept_hours(cursor, [mark(sid) for sid in sids], from_ns, to_ns):
        some = {sids[place]: moments[sids[place]] for place in places}
        found |= _changes(cursor, some, from_ns, to_ns, counting)
    return found


def _changes(
    cursor: Cursor, moments: Mapping[int, Longs], from_ns: int, to_ns: int, counting: SeriesCounts
) -> dict[int, SampleRuns]:
    at = {sid: np.append(asked, [from_ns, to_ns]) for sid, asked in moments.items()}
    start = from_ns - AROUND_NS
    end = to_ns + AROUND_NS
    found: dict[int, list[SampleRuns]] = {sid: [] for sid in moments}
    _read_into(found, cursor, at, start, end, (from_ns, to_ns))
    _neighbours_before(found, cursor, at, start, from_ns, counting.beginnings)
    _neighbours_after(found, cursor, at, end, to_ns, counting.newest)
    return {sid: in_order(parts) for sid, parts in found.items() if parts}


def _neighbours_before(
    found: Mapping[int, list[SampleRuns]],
    cursor: Cursor,
    at: Mapping[int, Longs],
    start: int,
    from_ns: int,
    beginnings: Beginnings,
) -> None:
    """The last readings before `start`, of what has too few before the window."""
    reached = dict.fromkeys(at, start)
    for near, far in pairwise(_FURTHER):
        for _ in range(AROUND):
            few = [sid for sid in at if good_readings(found[sid], to_ns=from_ns) < AROUND]
            few = [sid for sid in few if not beginnings.known(sid, reached[sid])]
            last = _nearest(cursor, few, start - far, start - near, reached, back=True)
            for first, end, sids in _clusters(last):
                _read_into(
                    found, cursor, {sid: at[sid] for sid in sids}, first - _MINUTES_NS, end + 1
                )
            reached.update((sid, t - _MINUTES_NS) for sid, t in last.items())
            if not last:
                break
    few = [sid for sid in at if good_readings(found[sid], to_ns=from_ns) < AROUND]
    beginnings.learn((sid for sid in few if reached[sid] == start), start)


def _neighbours_after(
    found: Mapping[int, list[SampleRuns]],
    cursor: Cursor,
    at: Mapping[int, Longs],
    end: int,
    to_ns: int,
    newest: Callable[[int], int | None],
) -> None:
    """The first readings from `end` on, of what has too few after the window and goes on at all."""
    reached = dict.fromkeys(at, end)
    times = {sid: newest(sid) for sid in at}
    for near, far in pairwise(_FURTHER):
        for _ in range(AROUND):
            few = [
                sid
                for sid, t in times.items()
                if t is not None
                and t >= reached[sid]
                and good_readings(found[sid], from_ns=to_ns) < AROUND
            ]
            first = _nearest(cursor, few, end + near, end + far, reached, back=False)
            for start, last, sids in _clusters(first):
                _read_into(found, cursor, {sid: at[sid] for sid in sids}, start, last + _MINUTES_NS)
            reached.update((sid, t + _MINUTES_NS) for sid, t in first.items())
            if not first:
                break


_LATEST: Final = """
select sid, max(t) t from samples where t >= $from and t < $to and sid in (select unnest($sids))
    and num is not null and status < 2147483648 group by sid"""
_EARLIEST: Final = _LATEST.replace("max(t)", "min(t)")
_LATEST_KEPT: Final = """
select sid, max(last) t from runs where t in (select unnest($hours)) and t >= $from and t < $to
    and sid in (select unnest($sids)) and num is not null and status < 2147483648 group by sid"""
_EARLIEST_KEPT: Final = _LATEST_KEPT.replace("max(last)", "min(first)")


def _nearest(
    cursor: Cursor,
    sids: Sequence[int],
    first: int,
    last: int,
    reached: Mapping[int, int],
    *,
    back: bool,
) -> dict[int, int]:
    """Series -> its good reading nearest to the window in a stretch, beyond what was reached."""
    if not sids:
        return {}
    if back:
        last = min(last, max(reached[sid] for sid in sids))
    else:
        first = max(first, min(reached[sid] for sid in sids))
    hours = runs.compacted(cursor, [mark(sid) for sid in sids], first, last)
    times: dict[int, int] = {}
    choose = max if back else min
    pieces: list[tuple[tuple[int, int], str, dict[str, Any]]] = [
        ((a, b), _LATEST if back else _EARLIEST, {})
        for a, b in runs.uncovered_spans(hours, first, last)
        if a < b
    ]
    if hours:
        pieces.append(
            ((hours[0], hours[-1] + 1), _LATEST_KEPT if back else _EARLIEST_KEPT, {"hours": hours})
        )
    for (a, b), query, more in pieces:
        got = runs.fetched(cursor, query, **{"from": a, "to": b, "sids": list(sids), **more})
        for sid, t in zip(plain(got["sid"], 0).tolist(), plain(got["t"], 0).tolist(), strict=True):
            if (t < reached[sid]) if back else (t >= reached[sid]):
                times[sid] = choose(t, times.get(sid, t))
    return times


def _clusters(times: Mapping[int, int]) -> Iterator[tuple[int, int, list[int]]]:
    """Series whose moments lie close together, to be read in one go."""
    ordered = sorted(times, key=times.__getitem__)
    start = 0
    for place, sid in enumerate(ordered):
        if place + 1 == len(ordered) or times[ordered[place + 1]] - times[ordered[start]] > HOUR_NS:
            yield times[ordered[start]], times[sid], ordered[start : place + 1]
            start = place + 1


def _read_into(
    found: Mapping[int, list[SampleRuns]],
    cursor: Cursor,
    at: Mapping[int, Longs],
    first: int,
    last: int,
    edges: Sequence[int] = (),
) -> None:
    """The runs that tell of one stretch, from the kept hours and from the samples: the hours that
    `edges` (ns) cut are read from these."""
    sids = list(at)
    hours = runs.compacted(cursor, [mark(sid) for sid in sids], first, last)
    hours = [hour for hour in hours if not any(hour < edge < hour + HOUR_NS for edge in edges)]
    if hours:
        for sid, told in runs.by_series([runs.read_kept_runs(cursor, sids, hours)]).items():
            found[sid].append(told)
    for start, end in runs.uncovered_spans(hours, first, last):
        for sid, told in _read_decisive(cursor, at, start, end):
            found[sid].append(told)


_BUSY: Final = """
select t - t % $stretch start, count(*) from samples where t >= $from and t < $to
    and sid in (select unnest($sids))
group by 1 order by 1"""


def _read_decisive(
    cursor: Cursor, at: Mapping[int, Longs], first: int, last: int
) -> Iterator[tuple[int, SampleRuns]]:
    """From the samples of a stretch, which is read some series at a time and as many hours as
    memory has room for."""
    for place in range(0, len(at), _AT_ONCE):
        sids = list(at)[place : place + _AT_ONCE]
        for start, end in _portions(cursor, sids, first, last):
            yield from _read(cursor, at, sids, max(start, first), min(end, last))


def _portions(
    cursor: Cursor, sids: Sequence[int], first: int, last: int
) -> Iterator[tuple[int, int]]:
    """Stretches that hold samples of these series, sparse ones together."""
    values = {"stretch": _STRETCH_NS, "from": first, "to": last, "sids": list(sids)}
    begin = first
    rows = 0
    end = first
    for start, count in cursor.execute(_BUSY, values).fetchall():
        if rows and rows + count > _ROWS:
            yield begin, end
            begin = start
            rows = 0
        elif not rows:
            begin = start
        rows += count
        end = start + _STRETCH_NS
    if rows:
        yield begin, end


def _read(
    cursor: Cursor, at: Mapping[int, Longs], sids: Sequence[int], first: int, last: int
) -> Iterator[tuple[int, SampleRuns]]:
    got = runs.fetched(cursor, _READ, **{"from": first, "to": last, "sids": list(sids)})
    sid = plain(got["sid"], 0)
    t = plain(got["t"], 0)
    order = np.lexsort((t, sid))
    number, status = (
        plain(got["num"], np.nan)[order],
        plain(got["status"], 0)[order].astype(np.uint32),
    )
    sid = sid[order]
    t = t[order]
    for each, places in runs.split(sid, np.arange(len(sid))).items():
        inside = at[each][(at[each] >= first) & (at[each] < last)]
        yield each, counted(t[places], number[places], status[places], inside)
