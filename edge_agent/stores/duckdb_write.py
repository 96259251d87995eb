"""The embedded store's inserts: each table is appended to by one scan over columns, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import duckdb
import numpy as np
import orjson

from edge_agent.stores.base import transitions
from edge_agent.stores.catalogue import Series
from edge_agent.stores.columns import NO_TIME, Rows

Connection = duckdb.DuckDBPyConnection
Column = Sequence[Any] | np.ndarray[Any, Any]

_HEALTH_NUMBERS: Final = (
    "period_s", "scheduled_s", "covered_s", "due", "done", "good", "bad", "values",
    "latency_ms", "latency_max_ms", "overruns",
)  # fmt: skip
_GAP: Final = ("stream", "from_seq", "to_seq", "from_t", "to_t", "values", "acknowledged", "reason")
_TRANSITION: Final = ("t", "device", "from", "to", "reason", "zh", "en", "tag")


def append(connection: Connection, table: str, columns: Mapping[str, Column], where: str = "") -> None:
    """Insert aligned columns by one scan: row by row costs a thousand times more."""
    incoming = {
        name: column if isinstance(column, np.ndarray) else np.array(column, object) for name, column in columns.items()
    }
    names = ", ".join(f'"{name}"' for name in incoming)
    connection.register("incoming", incoming)
    try:
        connection.execute(f"insert into {table}({names}) select {names} from incoming {where}")  # noqa: S608 - names of ours
    finally:
        connection.unregister("incoming")


def series(connection: Connection, entries: Sequence[Series], devices: Mapping[str, str]) -> None:
    """New and changed entries of the catalogue."""
    if entries:
        sids = [entry.sid for entry in entries]
        connection.execute("delete from series where sid in (select unnest(?))", [sids])
        columns: dict[str, Column] = {
            "sid": sids,
            "device": [entry.device for entry in entries],
            "tag": [entry.tag for entry in entries],
            "meta": [entry.meta for entry in entries],
        }
        append(connection, "series", columns)
    for device, birth in devices.items():
        connection.execute("insert or replace into devices values (?, ?)", [device, birth])


def samples(connection: Connection, rows: Rows, stored: int) -> None:
    """Columns that are empty in the whole batch are left out, which makes them NULL for nothing."""
    if not len(rows):
        return
    columns: dict[str, Column] = {**_common(rows), "stored": np.full(len(rows), stored, np.int64)}
    absent = rows.source == NO_TIME
    if not absent.all():
        columns["source"] = np.ma.masked_array(rows.source, absent)
    append(connection, "samples", columns)


def newest(connection: Connection, rows: Rows, saved: int) -> None:
    """Replace the snapshot of newest samples."""
    connection.execute("delete from newest")
    if len(rows):
        append(connection, "newest", {**_common(rows), "saved": np.full(len(rows), saved, np.int64)})


def _common(rows: Rows) -> dict[str, Column]:
    columns: dict[str, Column] = {
        "sid": rows.sid,
        "t": rows.t,
        "num": np.ma.masked_array(rows.num, np.isnan(rows.num)),
        "kind": rows.kind,
        "status": rows.status,
    }
    if rows.texts:
        columns["txt"] = rows.text_column()
    return columns


def health(connection: Connection, documents: Sequence[Mapping[str, Any]], stored: int) -> None:
    """Rows and transitions of devices; a row counts once per (device, t)."""
    rows = list({(row["device"], row["t"]): row for row in documents}.values())
    if not rows:
        return
    columns: dict[str, Column] = {name: [row.get(name) for row in rows] for name in _HEALTH_NUMBERS}
    times = [int(row["t"]) for row in rows]
    columns |= {
        "device": [row["device"] for row in rows],
        "t": times,
        "state": [row.get("state", "") for row in rows],
        "reason": [row.get("reason", "") for row in rows],
        "last_good_t": [row.get("last_good_t") for row in rows],
        "stored": [stored] * len(rows),
    }
    # The bounds let the scan skip all row groups of other times.
    known = f"(select device, t from health where t between {min(times)} and {max(times)})"  # noqa: S608 - two integers
    append(connection, "health", columns, f"anti join {known} as known using (device, t)")
    moves = transitions(rows)
    if moves:
        append(connection, "transitions", {name: [move.get(name, "") for move in moves] for name in _TRANSITION})


def agents(connection: Connection, documents: Sequence[Mapping[str, Any]]) -> None:
    """What agents say of themselves, and the gaps their outboxes left."""
    if not documents:
        return
    text = [orjson.dumps(row).decode() for row in documents]
    append(connection, "agents", {**_who(documents), "document": text})
    gaps = [row for row in documents if row.get("gap")]
    if gaps:
        told: dict[str, Column] = {name: [row["gap"].get(name) for row in gaps] for name in _GAP}
        append(connection, "gaps", {**_who(gaps), **told})


def _who(documents: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    return {"t": [row["t"] for row in documents], "agent": [row["device"] for row in documents]}


def marks(connection: Connection, rows: Sequence[tuple[str, int, int, int]]) -> None:
    """Intervals as (stream, first, last, values)."""
    if rows:
        columns = zip(("stream", "first", "last", "values"), zip(*rows, strict=True), strict=True)
        append(connection, "marks", dict(columns))
