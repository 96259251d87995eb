"""The embedded store's questions as SQL. Each takes a cursor of its own, so reading never waits for a write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import orjson

from edge_agent.intervals import IntervalSet
from edge_agent.model import STATUS
from edge_agent.stores.base import SKEWS, HealthSummary, LiveFacts, Seen, Silence
from edge_agent.stores.columns import NO_TIME, Rows, Samples

Cursor = duckdb.DuckDBPyConnection


def plain(column: Any, fill: float) -> npt.NDArray[Any]:
    """A fetched column without its mask."""
    return np.ma.filled(column, fill) if isinstance(column, np.ma.MaskedArray) else np.asarray(column)


def _texts(column: Any) -> list[str | None]:
    """A fetched column of texts; where it is masked, None."""
    return list(column.tolist())


def samples(cursor: Cursor, sid: int, from_ns: int, to_ns: int) -> Samples:
    """One series in `from <= t < to`."""
    got = cursor.execute(
        "select t, num, kind, txt, status, source, stored from samples where sid = ? and t >= ? and t < ? order by t",
        [sid, from_ns, to_ns],
    ).fetchnumpy()
    return Samples(
        plain(got["t"], 0),
        plain(got["num"], np.nan),
        plain(got["kind"], 0),
        plain(got["status"], 0),
        plain(got["source"], NO_TIME),
        plain(got["stored"], NO_TIME),
        _texts(got["txt"]),
    )


_SEEN = """
select sid, count(*), count(*) filter (status & 3221225472 <> 0 or kind = 0),
    count(*) filter (status & 4294901760 = $range),
    count(num) filter (status & 2147483648 = 0), min(num) filter (status & 2147483648 = 0),
    max(num) filter (status & 2147483648 = 0), arg_min(t - source, t, $skews) filter (source is not null)
from samples where t >= $from and t < $to and sid in (select unnest($sids)) group by sid"""


def seen(cursor: Cursor, sids: Sequence[int], from_ns: int, to_ns: int) -> dict[int, Seen]:
    """The readings of these series, counted."""
    code = STATUS["UncertainEngineeringUnitsExceeded"]
    values = {"from": from_ns, "to": to_ns, "sids": list(sids), "range": code, "skews": SKEWS}
    rows = cursor.execute(_SEEN, values).fetchall() if sids else []
    return {
        sid: Seen(n, bad, out, good, low, high, tuple(skews or ())) for sid, n, bad, out, good, low, high, skews in rows
    }


_SINCE = """
select sid, t, s.num, s.kind, s.txt, s.status from (
    select sid, max(t) t, arg_max({num: num, kind: kind, txt: txt, status: status}, t) s
    from samples where stored >= ? group by sid)"""


def newest(cursor: Cursor) -> list[Rows]:
    """The last snapshot of newest samples, and per series the newest of what was stored since."""
    saved = cursor.execute("select coalesce(max(saved), 0) from newest").fetchone()
    snapshot = cursor.execute("select sid, t, num, kind, txt, status from newest").fetchnumpy()
    since = cursor.execute(_SINCE, [saved[0] if saved else 0]).fetchnumpy()
    return [_newest_rows(snapshot), _newest_rows(since)]


def _newest_rows(got: dict[str, Any]) -> Rows:
    texts = {i: text for i, text in enumerate(_texts(got["txt"])) if text is not None}
    sid = plain(got["sid"], 0)
    source = np.full(len(sid), NO_TIME, np.int64)
    num, kind, status = plain(got["num"], np.nan), plain(got["kind"], 0), plain(got["status"], 0)
    return Rows(sid, plain(got["t"], 0), num, kind, status, source, texts)


def marks(cursor: Cursor) -> dict[str, IntervalSet]:
    """Stream -> what is dealt with."""
    found: dict[str, IntervalSet] = defaultdict(IntervalSet)
    for stream, first, last in cursor.execute("select stream, first, last from marks").fetchall():
        found[stream].add(first, last)
    return dict(found)


_SUMMARY = """
select device, coalesce(sum(scheduled_s), 0), coalesce(sum(covered_s), 0), coalesce(sum(due), 0)::bigint,
    coalesce(sum(done), 0)::bigint, coalesce(sum(good), 0)::bigint, coalesce(sum(bad), 0)::bigint,
    coalesce(sum("values"), 0)::bigint, coalesce(sum(overruns), 0)::bigint, min(t), max(t), max(last_good_t),
    arg_max(state, t), arg_max(reason, t), arg_max(latency_ms, t)
from health where t > ? and t <= ? group by device order by device"""


def health(cursor: Cursor, from_ns: int, to_ns: int) -> dict[str, HealthSummary]:
    """Sums per device, and the newest row's state."""
    rows = cursor.execute(_SUMMARY, [from_ns, to_ns]).fetchall()
    return {device: HealthSummary(*rest) for device, *rest in rows}


_BY_STEP = """
select device, (t + $step - 1) // $step * $step step_end, coalesce(sum(scheduled_s), 0), coalesce(sum(covered_s), 0),
    coalesce(sum(due), 0)::bigint, coalesce(sum(done), 0)::bigint, coalesce(sum(good), 0)::bigint,
    coalesce(sum(bad), 0)::bigint, coalesce(sum("values"), 0)::bigint, coalesce(sum(overruns), 0)::bigint,
    min(t), max(t), max(last_good_t), arg_max(state, t), arg_max(reason, t), arg_max(latency_ms, t)
from health where t > $from and t <= $to group by device, step_end order by device, step_end"""


def health_by(cursor: Cursor, from_ns: int, to_ns: int, step_ns: int) -> dict[str, list[tuple[int, HealthSummary]]]:
    """Sums per device and step."""
    found: dict[str, list[tuple[int, HealthSummary]]] = defaultdict(list)
    values = {"from": from_ns, "to": to_ns, "step": step_ns}
    for device, end, *rest in cursor.execute(_BY_STEP, values).fetchall():
        found[device].append((end, HealthSummary(*rest)))
    return dict(found)


# Two rows further apart than a step are in different steps, so the few steps are put in order and not all the rows.
_SILENCES = """
with steps as (select device, min(t) first, max(t) last, arg_min(coalesce(covered_s, 0), t) covered,
        arg_min(state, t) state from health where t > $from and t <= $to group by device, t // $longest),
    pairs as (select *, lag(last) over (partition by device order by first) before from steps)
select device, before, first, state from pairs where first - before - covered * 1e9 > $longest order by device, first"""


def silences(cursor: Cursor, from_ns: int, to_ns: int, longest_ns: int) -> dict[str, list[Silence]]:
    """Holes between the health rows of each device."""
    found: dict[str, list[Silence]] = defaultdict(list)
    values = {"from": from_ns, "to": to_ns, "longest": longest_ns}
    for device, *rest in cursor.execute(_SILENCES, values).fetchall():
        found[device].append(Silence(*rest))
    return dict(found)


_SUMS = """
select device, (t + $step - 1) // $step * $step step_end, coalesce(sum(scheduled_s), 0) scheduled,
    coalesce(sum(covered_s), 0) covered, coalesce(sum(due), 0)::bigint due, coalesce(sum(done), 0)::bigint done,
    coalesce(sum(good), 0)::bigint good, coalesce(sum(bad), 0)::bigint bad, coalesce(sum("values"), 0)::bigint n,
    coalesce(sum(overruns), 0)::bigint overruns, coalesce(max(last_good_t), -1) last_good
from health where t > $from and t <= $to group by device, step_end order by device, step_end"""


def health_sums(cursor: Cursor, from_ns: int, to_ns: int, step_ns: int) -> dict[str, npt.NDArray[np.int64]]:
    """Sums per device and step, as rows of integers; seconds in milliseconds."""
    got = cursor.execute(_SUMS, {"from": from_ns, "to": to_ns, "step": step_ns}).fetchnumpy()
    seconds = [np.rint(1000 * plain(got[name], 0)).astype(np.int64) for name in ("scheduled", "covered")]
    counts = [plain(got[name], 0) for name in ("due", "done", "good", "bad", "n", "overruns", "last_good")]
    rows = np.stack([plain(got["step_end"], 0), *seconds, *counts], axis=1)
    device = plain(got["device"], 0)
    names, starts = np.unique(device, return_index=True)
    return dict(zip(names.tolist(), np.split(rows, starts[1:]), strict=True)) if len(rows) else {}


_FACTS = """
with seen as (select device, min(t) first from first_good where t <= $to group by device),
    sums as (select device, sum(scheduled_s) scheduled, sum(covered_s) covered, sum(good)::bigint good,
        sum(bad)::bigint bad, max(last_good_t) last from health where t > $from and t <= $to group by device),
    known as (select device from devices union select device from seen union select device from sums)
select device, first, last, coalesce(scheduled, 0), coalesce(covered, 0), coalesce(good, 0), coalesce(bad, 0)
from known left join seen using (device) left join sums using (device) order by device"""


def live_facts(cursor: Cursor, from_ns: int, to_ns: int) -> dict[str, LiveFacts]:
    """Every device with a birth document, a good reading ever, or a health row in the window."""
    rows = cursor.execute(_FACTS, {"from": from_ns, "to": to_ns}).fetchall()
    return {device: LiveFacts(*rest) for device, *rest in rows}


def dicts(cursor: Cursor, query: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows as dicts by column name: for the small tables."""
    rows = cursor.execute(query, values).fetchall()
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in rows]


def metrics(cursor: Cursor, from_ns: int | None, to_ns: int | None) -> list[dict[str, Any]]:
    """Metric documents: the newest of each, or all of a window."""
    if from_ns is None:
        query, values = "select arg_max(document, t) from metrics group by metric order by metric", []
    else:
        query = "select document from metrics where t >= ? and t < ? order by t, metric"
        values = [from_ns, to_ns if to_ns is not None else np.iinfo(np.int64).max]
    return [orjson.loads(document) for (document,) in cursor.execute(query, [int(v) for v in values]).fetchall()]
