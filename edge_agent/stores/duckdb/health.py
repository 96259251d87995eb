"""Health in the embedded store: rows as they came for some days, for years their sums by hour and
by minute.

What a window adds up to is read from the hours that are rolled up and lie in it, and from the rows
of the rest. Who writes a row into a rolled-up hour removes its roll-up in the same transaction, so
the two never disagree; once the rows of an hour are gone, rows that come late for it stand beside
its roll-up until they are added to it. Seconds are whole milliseconds, so every way of adding gives
the same sums.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np

from edge_agent.stores.base import HealthSummary, Silence
from edge_agent.stores.columns import Longs
from edge_agent.stores.duckdb.read import plain
from edge_agent.stores.duckdb.write import append
from edge_agent.stores.evidence import REACH_NS, SEAM_NS, clipped, joined
from edge_agent.stores.minutes import MINUTE_NS, MinuteRows, packed, unpacked
from edge_agent.stores.rollups import HOUR_NS, SUMMED, HealthTotals, Span, hour_of, split_window

Connection = duckdb.DuckDBPyConnection
Key = Callable[[str, str], str]
"""(agent, device) as stored -> what the device is called now."""

_SUMS: Final = """
    coalesce(sum(round(scheduled_s * 1000)), 0)::bigint scheduled_ms,
    coalesce(sum(round(covered_s * 1000)), 0)::bigint covered_ms,
    coalesce(sum(due), 0)::bigint due, coalesce(sum(done), 0)::bigint done, coalesce(sum(good),
    0)::bigint good,
    coalesce(sum(bad), 0)::bigint bad, coalesce(sum("values"), 0)::bigint "values",
    coalesce(sum(overruns), 0)::bigint overruns"""
_NEWEST: Final = """min(t) first_t, max(t) last_t, max(last_good_t) last_good_t,
    arg_max(coalesce(state, ''), t) state,
    arg_max(coalesce(reason, ''), t) reason, arg_max(latency_ms, t) latency_ms"""
_OF_ROWS: Final = "from health where t > $from and t <= $to group by all"
_WHO: Final = "coalesce(agent, '') agent, device"

_ROWS: Final = f"select {_WHO}, {_SUMS}, {_NEWEST} {_OF_ROWS}"
_ROW_TOTALS: Final = f"""
select {_WHO}, coalesce(sum(round(scheduled_s * 1000)), 0)::bigint,
    coalesce(sum(round(covered_s * 1000)), 0)::bigint,
    coalesce(sum(good), 0)::bigint, coalesce(sum(bad), 0)::bigint, max(last_good_t) {_OF_ROWS}"""
_ROW_STEPS: Final = f"""
select {_WHO}, (t + $step - 1) // $step * $step step_end, {_SUMS}, coalesce(max(last_good_t),
    -1) last_good
{_OF_ROWS}"""

_HOURS: Final = """
select did, sum(scheduled_ms)::bigint, sum(covered_ms)::bigint, sum(due)::bigint,
    sum(done)::bigint, sum(good)::bigint,
    sum(bad)::bigint, sum("values")::bigint, sum(overruns)::bigint, min(first_t), max(last_t),
    max(last_good_t),
    arg_max(state, last_t), arg_max(reason, last_t), arg_max(latency_ms, last_t)
from health_hours where t > $from and t <= $to group by did"""
_HOUR_TOTALS: Final = """
select did, sum(scheduled_ms)::bigint, sum(covered_ms)::bigint, sum(good)::bigint,
    sum(bad)::bigint, max(last_good_t)
from health_hours where t > $from and t <= $to group by did"""

_EVIDENCE: Final = f"""
select agent, device, min(since) first, max(until) last from (
    select *, sum(fresh) over (partition by agent, device
    order by t rows unbounded preceding) run from (
        select {_WHO}, t, last_good_t - (round(covered_s * 1000) * 1000000)::bigint since,
        last_good_t until,
            (since > lag(last_good_t) over w + $seam) is distinct from false fresh
        from health where t > $from and t <= $to and covered_s > 0 and last_good_t is not null
        window w as (partition by coalesce(agent, ''), device order by t)))
group by agent, device, run"""  # noqa: S608 - parts of ours

# Two rows further apart than a step are in different steps, so the few steps are put in order and
# not all the rows.
_SILENCES: Final = """
with steps as (select key, min(t) first, max(t) last, (arg_min(coalesce(covered_s, 0),
    t) * 1e9)::bigint covered,
        arg_min(coalesce(state, ''), t) state, arg_max(coalesce(state, ''), t) last_state
        from health_keyed where t > $from and t <= $to group by key, t // $longest),
    pairs as (select *, lag(last) over w before, lag(last_state) over w state_before,
        lead(first) over w is null ends from steps
        window w as (partition by key order by first))
select key, first, before, last, covered, state, state_before, last_state from pairs
where before is null or ends or first - before - covered > $longest order by first"""

#: Rows are put in order so much at a time.
_PART_NS: Final = 6 * HOUR_NS
#: Rows go a day at a time at the most; spans that end so long before are over.
_JOINED_NS: Final = 26 * HOUR_NS

_SPANS: Final = (
    "select did, first, last from health_spans where t > $from and t <= $to order by did, first"
)
#: Where the rows are gone a span is as long as it lasts, and stands at the hour of its end.
_OLD_SPANS: Final = """
select did, first, last from health_spans where t <= $until and last > $from
    and first < $to order by did, first"""

_ROLLED: Final = ("health_hours", "health_minutes", "health_spans", "health_kept")


@dataclass(frozen=True, slots=True, eq=False)
class HourContent:
    """The health rows of one hour, read for being kept."""

    devices: list[tuple[str, str]]
    """(agent or nothing, device); what follows names them by their place here."""
    hours: list[tuple[Any, ...]]
    """Place, sums, first and last time, last good time, state, reason, latency."""
    minutes: MinuteRows
    spans: list[tuple[int, int, int]]
    """Place, from, to: when evidence lasted."""


class HealthTables:
    """What stands in the tables of one file. `key` may change its mind: a device gets another
    name."""

    def __init__(self, connection: Connection, key: Key) -> None:
        self._key = key
        rows = connection.execute("select did, agent, device from health_devices").fetchall()
        self._dids = {(agent, device): did for did, agent, device in rows}
        self._names = {did: who for who, did in self._dids.items()}
        self.kept = {int(t) for (t,) in connection.execute("select t from health_kept").fetchall()}
        self.raw_from = _raw_from(connection)
        """No row older than this is here but for those that came late."""

    # --- writing: in the store's thread, in a transaction that is open ----------------------------

    def written_into(self, connection: Connection, hours: Collection[int]) -> set[int]:
        """Rows of these hours are being written: those that can be read again from their rows are
        kept no more. Returns them; `forgotten` follows when it is committed."""
        stale = {hour for hour in hours if hour in self.kept and hour > self.raw_from}
        for table in _ROLLED if stale else ():
            connection.execute(f"delete from {table} where t in (select unnest(?))", [list(stale)])  # noqa: S608 - ours
        return stale

    def keep(self, connection: Connection, hour: int, content: HourContent) -> None:
        """Keep an hour. `kept_now` follows when it is committed."""
        dids = [self._did(connection, who) for who in content.devices]
        places = np.array(dids, np.int64)
        rows = [(dids[place], *rest) for place, *rest in content.hours]
        minutes = content.minutes
        minutes = MinuteRows(places[minutes.did], minutes.end, minutes.sums, minutes.last_good)
        if hour <= self.raw_from:
            rows = _merge_rows([*rows, *connection.execute(_KEPT_ROWS, {"t": hour}).fetchall()])
            minutes = MinuteRows.of([minutes, self._minutes(connection, hour)])
            connection.execute("delete from health where t > ? and t <= ?", [hour - HOUR_NS, hour])
        for table in (
            _ROLLED if hour > self.raw_from else ("health_hours", "health_minutes", "health_kept")
        ):
            connection.execute(f"delete from {table} where t = ?", [hour])  # noqa: S608 - tables of ours
        _insert_rows(connection, "health_hours", _HOUR_COLUMNS, hour, sorted(rows))
        if len(minutes):
            data = packed(hour, MinuteRows.of([minutes]))
            connection.execute("insert into health_minutes values (?, ?)", [hour, data])
        spans = [(dids[place], *span) for place, *span in content.spans]
        _insert_rows(connection, "health_spans", ("did", "first", "last"), hour, spans)
        connection.execute("insert into health_kept values (?)", [hour])

    def _did(self, connection: Connection, who: tuple[str, str]) -> int:
        did = self._dids.get(who)
        if did is None:
            did = len(self._dids)
            connection.execute("insert or ignore into health_devices values (?, ?, ?)", [did, *who])
            self._dids[who] = (
                did  # also if the transaction fails: the next one to keep an hour enters it again
            )
            self._names[did] = who
        return did

    def retain(
        self,
        connection: Connection,
        transaction: Callable[[], AbstractContextManager[None]],
        cutoff: int,
        rounds: int,
    ) -> None:
        """Delete rows up to `cutoff`, an hour's end, all of which are rolled up: so many days of
        them at the most."""
        for _ in range(rounds):
            until = self.next_to_drop(connection, cutoff)
            if until is None:
                break
            with transaction():
                self.drop_rows(connection, until)
            self.raw_from = until

    def next_to_drop(self, connection: Connection, cutoff: int) -> int | None:
        """Up to where rows go next, a day of them at the most; None: there are none up to
        `cutoff`."""
        row = connection.execute("select min(t) from health").fetchone()
        if row is None or row[0] is None or row[0] > cutoff:
            return None
        return min(cutoff, max(self.raw_from, hour_of(int(row[0])) + 24 * HOUR_NS))

    def drop_rows(self, connection: Connection, until: int) -> int:
        """Delete rows up to `until`, an hour's end; all of them are rolled up. `raw_from` is to
        follow."""
        row = connection.execute("delete from health where t <= ?", [until]).fetchone()
        connection.execute("delete from health_raw_from")
        connection.execute("insert into health_raw_from values (?)", [until])
        _join_spans(connection, until)
        return int(row[0]) if row else 0

    def age(self, connection: Connection, cutoff: int) -> None:
        """Delete what is kept of hours before that."""
        for table in _ROLLED:
            connection.execute(f"delete from {table} where t < ?", [cutoff])  # noqa: S608 - tables of ours
        self.kept = {hour for hour in self.kept if hour >= cutoff}

    # --- reading: each with a cursor in a transaction of its own ----------------------------------

    def read_hour(self, cursor: Connection, hour: int) -> HourContent:
        """The rows of an hour as what is kept of it."""
        bounds = {"from": hour - HOUR_NS, "to": hour}
        with _snapshot(cursor):
            hours = cursor.execute(_ROWS, bounds).fetchall()
            steps = cursor.execute(_ROW_STEPS, bounds | {"step": MINUTE_NS}).fetchnumpy()
            spans = cursor.execute(_EVIDENCE, bounds | {"seam": SEAM_NS}).fetchall()
        devices = sorted({(row[0], row[1]) for row in hours})
        place = {who: number for number, who in enumerate(devices)}
        did = np.array([place[who] for who in _who(steps)], np.int64)
        return HourContent(
            devices,
            [(place[agent, device], *rest) for agent, device, *rest in hours],
            MinuteRows.of([_minute_rows(did, steps)]),
            [(place[agent, device], *span) for agent, device, *span in spans],
        )

    def hours_not_rolled_up(self, cursor: Connection) -> set[int]:
        """Hours with rows that are not rolled up, or not wholly; reads all of the rows' times."""
        query = "select distinct (t + $hour - 1) // $hour * $hour from health"
        found = {int(t) for (t,) in cursor.execute(query, {"hour": HOUR_NS}).fetchall()}
        return {hour for hour in found if hour not in self.kept or hour <= self.raw_from}

    def summaries(self, cursor: Connection, from_ns: int, to_ns: int) -> dict[str, HealthSummary]:
        """Device -> summary. Of an hour whose rows are gone and that lies only in part in the
        window, the minutes that end in it."""
        parts: dict[str, list[HealthSummary]] = defaultdict(list)
        with _snapshot(cursor):
            raw_from = _raw_from(cursor)
            hours, rest = split_window(_kept_in(cursor, from_ns, to_ns), from_ns, to_ns)
            for span in hours:
                for did, *row in cursor.execute(_HOURS, _bounds(span)).fetchall():
                    parts[self._now(did)].append(_summary(row))
            for span in _with_late_rows(hours, rest, raw_from):
                for agent, device, *row in cursor.execute(_ROWS, _bounds(span)).fetchall():
                    parts[self._key(agent, device)].append(_summary(row))
            for did, each in _minute_summaries(self._minutes_of(cursor, rest, raw_from)):
                parts[self._now(did)].append(each)
        return {key: HealthSummary.of(parts[key]) for key in sorted(parts)}

    def totals(self, cursor: Connection, from_ns: int, to_ns: int) -> dict[str, HealthTotals]:
        """The sums alone, which are cheaper."""
        found: dict[str, list[int]] = {}
        with _snapshot(cursor):
            raw_from = _raw_from(cursor)
            hours, rest = split_window(_kept_in(cursor, from_ns, to_ns), from_ns, to_ns)
            for span in hours:
                for did, *row in cursor.execute(_HOUR_TOTALS, _bounds(span)).fetchall():
                    _add_total(found, self._now(did), row)
            for span in _with_late_rows(hours, rest, raw_from):
                for agent, device, *row in cursor.execute(_ROW_TOTALS, _bounds(span)).fetchall():
                    _add_total(found, self._key(agent, device), row)
            for did, rows in _apart(self._minutes_of(cursor, rest, raw_from)):
                sums = dict(zip(SUMMED, rows.sums.sum(axis=0).tolist(), strict=True))
                row = [sums[name] for name in ("scheduled_ms", "covered_ms", "good", "bad")]
                _add_total(found, self._now(did), [*row, int(rows.last_good.max())])
        return {key: _totals(*found[key]) for key in sorted(found)}

    def steps(self, cursor: Connection, from_ns: int, to_ns: int, step_ns: int) -> dict[str, Longs]:
        """Device -> rows of integers, as `HealthStore.health_sums`; steps are whole minutes."""
        found: dict[str, list[MinuteRows]] = defaultdict(list)
        with _snapshot(cursor):
            raw_from = _raw_from(cursor)
            for hour in _kept_overlapping(cursor, from_ns, min(to_ns, raw_from)):
                minutes = self._minutes(cursor, hour).inside(from_ns, to_ns).by_step(step_ns)
                for did, rows in _apart(minutes):
                    found[self._now(did)].append(rows)
            values = {"from": from_ns, "to": to_ns, "step": step_ns}
            got = cursor.execute(_ROW_STEPS, values).fetchnumpy()
        who = _who(got)
        names = sorted(set(who))
        place = {name: number for number, name in enumerate(names)}
        late = _minute_rows(np.array([place[name] for name in who], np.int64), got)
        for number, rows in _apart(MinuteRows.of([late])):
            found[self._key(*names[number])].append(rows)
        return {key: _as_rows(found[key]) for key in sorted(found)}

    def evidence(self, cursor: Connection, from_ns: int, to_ns: int) -> dict[str, list[Span]]:
        """Device -> spans inside the window; the rows that speak of its end come after it, and what
        ended a seam before it is one with what begins a seam behind: a window that is divided
        anywhere adds up."""
        since: dict[str, list[Longs]] = defaultdict(list)
        until: dict[str, list[Longs]] = defaultdict(list)
        begin = from_ns - SEAM_NS
        reach = to_ns + REACH_NS
        with _snapshot(cursor):
            raw_from = _raw_from(cursor)
            hours, rest = split_window(_kept_in(cursor, begin, reach), begin, reach)
            old = {"until": raw_from, "from": begin, "to": to_ns + SEAM_NS}
            pieces = [cursor.execute(_OLD_SPANS, old).fetchnumpy()]
            for start, end in hours:
                pieces.append(
                    cursor.execute(_SPANS, {"from": max(start, raw_from), "to": end}).fetchnumpy()
                )
            for got in pieces:
                for did, places in _places(plain(got["did"], 0)):
                    since[self._now(did)].append(plain(got["first"], 0)[places])
                    until[self._now(did)].append(plain(got["last"], 0)[places])
            for start, end in _with_late_rows(hours, rest, raw_from):
                values = {"from": start, "to": end, "seam": SEAM_NS}
                for agent, device, first, last in cursor.execute(_EVIDENCE, values).fetchall():
                    since[self._key(agent, device)].append(np.array([first], np.int64))
                    until[self._key(agent, device)].append(np.array([last], np.int64))
        found = {}
        for key in sorted(since):
            if spans := clipped(
                joined(np.concatenate(since[key]), np.concatenate(until[key])), from_ns, to_ns
            ):
                found[key] = spans
        return found

    def silences(
        self, cursor: Connection, from_ns: int, to_ns: int, longest_ns: int
    ) -> dict[str, list[Silence]]:
        """Holes between the health rows of each device; where the rows are gone, between the
        minutes."""
        found: dict[str, list[Silence]] = defaultdict(list)
        last: dict[str, tuple[int, str]] = {}
        with _snapshot(cursor):
            for part in self._stretches(cursor, from_ns, to_ns, longest_ns):
                key, first, before, until, covered, state, state_before, state_after = part
                if before is None:
                    before, state_before = last.get(key, (None, None))
                if before is not None and first - before - covered > longest_ns:
                    found[key] += (
                        [Silence(before, first, state)]
                        if {state, state_before} != {"offline"}
                        else []
                    )
                last[key] = until, state_after
        return {key: found[key] for key in sorted(found)}

    def _stretches(
        self, cursor: Connection, from_ns: int, to_ns: int, longest_ns: int
    ) -> Iterator[tuple[str, int, int | None, int, int, str, str | None, str]]:
        """(device, a row, the one before it, the last row that follows without a hole, ns that the
        first speaks of, its state, that of the one before, that of the last) in order of time: at
        least what stands beside holes, and the first and last row of each part."""
        raw_from = _raw_from(cursor)
        for hour in _kept_overlapping(cursor, from_ns, min(to_ns, raw_from)):
            minutes = self._minutes(cursor, hour).inside(from_ns, to_ns)
            covered = minutes.sums[:, SUMMED.index("covered_ms")] * 1_000_000
            for did, end, before, covered_ns in _beside_holes(
                minutes.did, minutes.end, covered, longest_ns
            ):
                yield self._now(did), end, before, end, covered_ns, "", None, ""
        ends = cursor.execute("select min(t), max(t) from health").fetchone()
        if ends is None or ends[0] is None:
            return
        at = max(from_ns, raw_from, int(ends[0]) - 1)
        to_ns = min(to_ns, int(ends[1]))
        while at < to_ns:
            end = min(to_ns, at + _PART_NS)
            yield from cursor.execute(
                _SILENCES, {"from": at, "to": end, "longest": longest_ns}
            ).fetchall()
            at = end

    # --- parts ------------------------------------------------------------------------------------

    def _now(self, did: int) -> str:
        return self._key(*self._names[did])

    def _minutes_of(self, cursor: Connection, spans: Sequence[Span], raw_from: int) -> MinuteRows:
        """Of stretches that are no whole hours, and whose rows are gone."""
        parts = [
            self._minutes(cursor, hour).inside(start, end)
            for start, end in spans
            for hour in _kept_overlapping(cursor, start, min(end, raw_from))
        ]
        return MinuteRows.of(parts) if parts else MinuteRows.empty()

    def _minutes(self, cursor: Connection, hour: int) -> MinuteRows:
        row = cursor.execute("select minutes from health_minutes where t = ?", [hour]).fetchone()
        if row is None:
            return MinuteRows.empty()
        exact = cursor.execute(
            "select did, last_good_t from health_hours where t = ?", [hour]
        ).fetchall()
        return unpacked(hour, row[0], {did: t for did, t in exact if t is not None})


_HOUR_COLUMNS: Final = (
    "did",
    *SUMMED,
    "first_t",
    "last_t",
    "last_good_t",
    "state",
    "reason",
    "latency_ms",
)
_KEPT_ROWS: Final = f"""
select {", ".join(f'"{name}"' for name in _HOUR_COLUMNS)} from health_hours where t = $t"""  # noqa: S608 - ours


@contextlib.contextmanager
def _snapshot(cursor: Connection) -> Iterator[None]:
    """What is read inside is of one moment: an hour is not rolled up between two questions."""
    cursor.begin()
    try:
        yield
    finally:
        cursor.rollback()


def _raw_from(cursor: Connection) -> int:
    row = cursor.execute("select max(t) from health_raw_from").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _kept_in(cursor: Connection, from_ns: int, to_ns: int) -> list[int]:
    query = "select t from health_kept where t > ? and t <= ?"
    return [int(t) for (t,) in cursor.execute(query, [from_ns, to_ns]).fetchall()]


def _kept_overlapping(cursor: Connection, from_ns: int, to_ns: int) -> list[int]:
    """Hours of which something lies in `from < t <= to`."""
    return sorted(_kept_in(cursor, from_ns, hour_of(to_ns))) if from_ns < to_ns else []


def _bounds(span: Span) -> dict[str, int]:
    return {"from": span[0], "to": span[1]}


def _with_late_rows(hours: Sequence[Span], rest: Sequence[Span], raw_from: int) -> list[Span]:
    """Where rows are to be read: all that is not kept by hour, and where they may have come
    late."""
    return [*((start, min(end, raw_from)) for start, end in hours if start < raw_from), *rest]


def _who(got: Mapping[str, Any]) -> list[tuple[str, str]]:
    agents = plain(got["agent"], 0).tolist()
    devices = plain(got["device"], 0).tolist()
    return list(zip(agents, devices, strict=True))


def _minute_rows(did: Longs, got: Mapping[str, Any]) -> MinuteRows:
    sums = np.stack([plain(got[name], 0).astype(np.int64) for name in SUMMED], axis=1)
    return MinuteRows(
        did, plain(got["step_end"], 0), sums, np.maximum(plain(got["last_good"], -1), -1)
    )


def _summary(row: Sequence[Any]) -> HealthSummary:
    scheduled, covered, *rest = row
    return HealthSummary(scheduled / 1000, covered / 1000, *rest)


def _add_total(found: dict[str, list[int]], key: str, row: Sequence[Any]) -> None:
    """`row`: four sums, and the last good reading (ns; None or negative: none)."""
    last = -1 if row[4] is None else row[4]
    known = found.get(key)
    if known is None:
        found[key] = [*row[:4], last]
        return
    for place in range(4):
        known[place] += row[place]
    known[4] = max(known[4], last)


def _totals(scheduled: int, covered: int, good: int, bad: int, last_good: int) -> HealthTotals:
    return HealthTotals(
        scheduled / 1000, covered / 1000, good, bad, None if last_good < 0 else last_good
    )


def _minute_summaries(minutes: MinuteRows) -> Iterator[tuple[int, HealthSummary]]:
    """Device -> what its minutes add up to. They know no state."""
    for did, rows in _apart(minutes):
        sums = rows.sums.sum(axis=0).tolist()
        last = int(rows.last_good.max())
        ends = int(rows.end[0]), int(rows.end[-1])
        yield did, _summary([*sums, *ends, None if last < 0 else last, "", "", None])


def _places(did: Longs) -> Iterator[tuple[int, slice]]:
    """Each device of a sorted column, and where it stands."""
    if len(did):
        starts = np.flatnonzero(np.append(True, did[1:] != did[:-1])).tolist()
        for start, end in zip(starts, [*starts[1:], len(did)], strict=True):
            yield int(did[start]), slice(start, end)


def _apart(rows: MinuteRows) -> Iterator[tuple[int, MinuteRows]]:
    for did, where in _places(rows.did):
        yield (
            did,
            MinuteRows(rows.did[where], rows.end[where], rows.sums[where], rows.last_good[where]),
        )


def _beside_holes(
    did: Longs, end: Longs, covered: Longs, longest_ns: int
) -> Iterator[tuple[int, int, int | None, int]]:
    """Of minutes sorted by device and time those beside holes, and each device's first and last
    one: (device, end, the end before it, ns covered), aligned columns in."""
    if not len(did):
        return
    other = did[1:] != did[:-1]
    first = np.append(True, other)
    last = np.append(other, True)
    before = np.append(0, end[:-1])
    chosen = np.flatnonzero(first | last | (end - before - covered > longest_ns))
    columns = (column[chosen].tolist() for column in (did, end, first, before, covered))
    for device, t, begins, t_before, covered_ns in zip(*columns, strict=True):
        yield device, t, None if begins else t_before, covered_ns


def _as_rows(parts: Sequence[MinuteRows]) -> Longs:
    """Rows of one device, whatever numbers it had."""
    rows = parts[0]
    if len(parts) > 1:
        rows = MinuteRows.of(
            [
                MinuteRows(np.zeros_like(part.did), part.end, part.sums, part.last_good)
                for part in parts
            ]
        )
    return np.column_stack([rows.end, rows.sums, rows.last_good])


def _merge_rows(rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Rows of `health_hours`, those of one device as one."""
    apart: dict[int, list[HealthSummary]] = defaultdict(list)
    for did, *row in rows:
        apart[did].append(_summary(row))
    found: list[tuple[Any, ...]] = []
    for did, parts in apart.items():
        each = HealthSummary.of(parts)
        found.append(
            (
                did,
                round(1000 * each.scheduled_s),
                round(1000 * each.covered_s),
                each.due,
                each.done,
                each.good,
                each.bad,
                each.values,
                each.overruns,
                each.first_t,
                each.last_t,
                each.last_good_t,
                each.state,
                each.reason,
                each.latency_ms,
            )
        )
    return found


def _join_spans(connection: Connection, until: int) -> None:
    """Spans of the hours whose rows have gone now, together with those that they go on."""
    values = {"from": until - _JOINED_NS, "to": until}
    got = connection.execute(_SPANS, values).fetchnumpy()
    first = plain(got["first"], 0)
    last = plain(got["last"], 0)
    rows = [
        (hour_of(b), did, a, b)
        for did, places in _places(plain(got["did"], 0))
        for a, b in joined(first[places], last[places])
    ]
    connection.execute("delete from health_spans where t > $from and t <= $to", values)
    if rows:
        columns: dict[str, Any] = dict(
            zip(("t", "did", "first", "last"), zip(*rows, strict=True), strict=True)
        )
        append(connection, "health_spans", columns)


def _insert_rows(
    connection: Connection,
    table: str,
    names: Sequence[str],
    hour: int,
    rows: Sequence[Sequence[Any]],
) -> None:
    if rows:
        columns: dict[str, Any] = dict(zip(names, zip(*rows, strict=True), strict=True))
        append(connection, table, {"t": np.full(len(rows), hour, np.int64), **columns})
