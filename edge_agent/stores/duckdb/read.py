"""The embedded store's questions as SQL. Each takes a cursor of its own, so reading never waits for
a write.

Devices stand here by their keys, which the views `NAME_keyed` make of agent and device.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import orjson

from edge_agent.identity import DeviceKeys
from edge_agent.model import NOT_THERE, STATUS
from edge_agent.stores.base import SKEWS, HealthSummary, TagCounts
from edge_agent.stores.catalogue import Catalogue, Series, stored_catalogue
from edge_agent.stores.columns import NO_TIME, Rows, Samples
from edge_agent.stores.definitions import DefinitionChange
from edge_agent.stores.forgotten import Forgotten

Cursor = duckdb.DuckDBPyConnection


def plain(column: Any, fill: float) -> npt.NDArray[Any]:
    """A fetched column without its mask."""
    return (
        np.ma.filled(column, fill) if isinstance(column, np.ma.MaskedArray) else np.asarray(column)
    )


def _texts(column: Any) -> list[str | None]:
    """A fetched column of texts; where it is masked, None."""
    return list(column.tolist())


def samples(cursor: Cursor, sids: Sequence[int], from_ns: int, to_ns: int) -> Samples:
    """One series, or several that are one, in `from <= t < to`."""
    which = "sid = ?" if len(sids) == 1 else "sid in (select unnest(?))"
    got = cursor.execute(
        "select t, num, kind, txt, status, source, stored from samples"  # noqa: S608 - ours
        f" where {which} and t >= ? and t < ? order by t",
        [sids[0] if len(sids) == 1 else list(sids), from_ns, to_ns],
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


_DEFINITIONS = "select sid, t, before, after from definitions"


def catalogue(cursor: Cursor, keys: DeviceKeys) -> Catalogue:
    """As it was last written."""
    rows = cursor.execute("select sid, agent, device, tag, meta from series").fetchall()
    series = [
        Series(sid, keys.key(agent, device), tag, meta, bool(agent))
        for sid, agent, device, tag, meta in rows
    ]
    births = cursor.execute(
        "select null, device, birth from devices union all select * from births"
    ).fetchall()
    forgotten = cursor.execute("select agent, device, tag, t from forgotten").fetchall()
    changes = [DefinitionChange(*row) for row in cursor.execute(_DEFINITIONS).fetchall()]
    entries = {(agent, device, tag): t for agent, device, tag, t in forgotten}
    causes = cursor.execute("select agent, device, reason, zh, en from causes").fetchall()
    return stored_catalogue(keys, series, births, Forgotten(entries), causes, changes)


def first_good(cursor: Cursor, keys: DeviceKeys) -> dict[str, int]:
    """Key -> first good reading of all time."""
    found: dict[str, int] = {}
    for agent, device, t in cursor.execute(
        "select agent, device, t from first_good order by t desc"
    ).fetchall():
        found[keys.key(agent, device)] = t
    return found


_SEEN = """
select sid, count(*), count(*) filter (status & 3221225472 <> 0 or kind = 0),
    count(*) filter (status & 4294901760 = $range),
    count(num) filter (status & 2147483648 = 0), min(num) filter (status & 2147483648 = 0),
    max(num) filter (status & 2147483648 = 0), arg_min(t - source, t,
    $skews) filter (source is not null),
    count(*) filter (list_contains($absent, status & 4294901760)),
    min(txt) filter (status & 2147483648 = 0), max(txt) filter (status & 2147483648 = 0)
from samples where t >= $from and t < $to and sid in (select unnest($sids)) group by sid"""


def seen(cursor: Cursor, sids: Sequence[int], from_ns: int, to_ns: int) -> dict[int, TagCounts]:
    """The readings of these series, counted."""
    code = STATUS["UncertainEngineeringUnitsExceeded"]
    values = {"from": from_ns, "to": to_ns, "sids": list(sids), "range": code, "skews": SKEWS}
    values["absent"] = sorted(NOT_THERE)
    rows = cursor.execute(_SEEN, values).fetchall() if sids else []
    found = {}
    for (
        sid,
        readings,
        not_good,
        out_of_range,
        numbers,
        low,
        high,
        skews,
        absent,
        least,
        most,
    ) in rows:
        texts = None if least is None else (least, most)
        found[sid] = TagCounts(
            readings, not_good, out_of_range, numbers, low, high, tuple(skews or ()), absent, texts
        )
    return found


def last_before(cursor: Cursor, sids: Sequence[int], from_ns: int, to_ns: int) -> int | None:
    """Time of the newest sample of these series in `from <= t < to`."""
    query = "select max(t) from samples where sid in (select unnest(?)) and t >= ? and t < ?"
    row = cursor.execute(query, [list(sids), from_ns, to_ns]).fetchone()
    return None if row is None or row[0] is None else int(row[0])


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
    num = plain(got["num"], np.nan)
    kind = plain(got["kind"], 0)
    status = plain(got["status"], 0)
    return Rows(sid, plain(got["t"], 0), num, kind, status, source, texts)


_BY_STEP = """
select key, (t + $step - 1) // $step * $step step_end, coalesce(sum(scheduled_s), 0),
    coalesce(sum(covered_s), 0),
    coalesce(sum(due), 0)::bigint, coalesce(sum(done), 0)::bigint, coalesce(sum(good), 0)::bigint,
    coalesce(sum(bad), 0)::bigint, coalesce(sum("values"), 0)::bigint, coalesce(sum(overruns),
    0)::bigint,
    min(t), max(t), max(last_good_t), arg_max(state, t), arg_max(reason, t), arg_max(latency_ms, t)
from health_keyed where t > $from and t <= $to group by key, step_end order by key, step_end"""


def health_by(
    cursor: Cursor, from_ns: int, to_ns: int, step_ns: int
) -> dict[str, list[tuple[int, HealthSummary]]]:
    """Sums per device and step."""
    found: dict[str, list[tuple[int, HealthSummary]]] = defaultdict(list)
    values = {"from": from_ns, "to": to_ns, "step": step_ns}
    for device, end, *rest in cursor.execute(_BY_STEP, values).fetchall():
        found[device].append((end, HealthSummary(*rest)))
    return dict(found)


def dicts(cursor: Cursor, query: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows as dicts by column name: for the small tables."""
    rows = cursor.execute(query, values).fetchall()
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in rows]


_TRANSITIONS = """
select t, key as device, "from", "to", reason, zh, en, tag from transitions_keyed
where t > ? and t <= ? order by t"""


def transitions(cursor: Cursor, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
    """State changes of devices and tags; without `tag` if of a device."""
    rows = dicts(cursor, _TRANSITIONS, [from_ns, to_ns])
    return [row if row["tag"] else {key: row[key] for key in row if key != "tag"} for row in rows]


def metrics(cursor: Cursor, from_ns: int | None, to_ns: int | None) -> list[dict[str, Any]]:
    """Metric documents: the newest of each, or all of a window."""
    if from_ns is None:
        query, values = (
            "select arg_max(document, t) from metrics group by metric order by metric",
            [],
        )
    else:
        query = "select document from metrics where t >= ? and t < ? order by t, metric"
        values = [from_ns, to_ns if to_ns is not None else np.iinfo(np.int64).max]
    return [
        orjson.loads(document)
        for (document,) in cursor.execute(query, [int(v) for v in values]).fetchall()
    ]
