"""The embedded store's inserts: each table is appended to by one scan over columns, in the caller's
transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import duckdb
import numpy as np
import orjson

from edge_agent.identity import DeviceKeys
from edge_agent.stores.base import transitions
from edge_agent.stores.catalogue import CatalogueChanges
from edge_agent.stores.causes import DeviceCause
from edge_agent.stores.columns import NO_TIME, Rows
from edge_agent.stores.forgotten import Entry

Connection = duckdb.DuckDBPyConnection
Column = Sequence[Any] | np.ndarray[Any, Any]

_HEALTH_NUMBERS: Final = (
    "period_s", "scheduled_s", "covered_s", "due", "done", "good", "bad", "values",
    "latency_ms", "latency_max_ms", "overruns",
)  # fmt: skip
_GAP: Final = ("stream", "from_seq", "to_seq", "from_t", "to_t", "values", "acknowledged", "reason")
_TRANSITIONS_THERE: Final = """anti join (
    select t, agent, device, "from", "to", tag from transitions where t between {} and {}
    ) as known using (t, agent, device, "from", "to", tag)"""
_GAPS_THERE: Final = "anti join gaps as known using (agent, stream, from_seq, to_seq)"
_AGENTS_THERE: Final = "anti join agents as known using (t, agent)"
_TRANSITION: Final = ("t", "from", "to", "reason", "zh", "en", "tag")


def append(
    connection: Connection, table: str, columns: Mapping[str, Column], where: str = ""
) -> None:
    """Insert aligned columns by one scan: row by row costs a thousand times more."""
    incoming = {
        name: column if isinstance(column, np.ndarray) else np.array(column, object)
        for name, column in columns.items()
    }
    names = ", ".join(f'"{name}"' for name in incoming)
    connection.register("incoming", incoming)
    try:
        connection.execute(f"insert into {table}({names}) select {names} from incoming {where}")  # noqa: S608 - names of ours
    finally:
        connection.unregister("incoming")


def catalogue(connection: Connection, changes: CatalogueChanges, keys: DeviceKeys) -> None:
    """New and changed entries of the catalogue."""
    entries = changes.series
    if entries:
        sids = [entry.sid for entry in entries]
        connection.execute("delete from series where sid in (select unnest(?))", [sids])
        columns: dict[str, Column] = {
            "sid": sids,
            "agent": [keys.agent(entry.device) if entry.agent_kept else None for entry in entries],
            "device": [keys.device(entry.device) for entry in entries],
            "tag": [entry.tag for entry in entries],
            "meta": [entry.meta for entry in entries],
        }
        append(connection, "series", columns)
    for change in changes.definitions:
        connection.execute("insert into definitions values (?, ?, ?, ?)", list(change))
    for key, birth in changes.births.items():
        connection.execute(
            "insert or replace into births values (?, ?, ?)", [*keys.split(key), birth]
        )
    if changes.causes:
        _causes(connection, changes.causes, keys)


def _causes(
    connection: Connection, changed: Mapping[str, DeviceCause | None], keys: DeviceKeys
) -> None:
    """Why devices are as they are, all that changed at once: a switch that fails takes a hundred
    devices with it."""
    full = [keys.full(key) for key in changed]
    connection.execute(
        "delete from causes where agent || ':' || device in (select unnest(?))", [full]
    )
    known = [(key, found) for key, found in changed.items() if found is not None]
    if known:
        both = [keys.split(key) for key, _ in known]
        columns: dict[str, Column] = {
            "agent": [agent for agent, _ in both],
            "device": [device for _, device in both],
        }
        columns |= {
            name: [getattr(found, name) for _, found in known] for name in ("reason", "zh", "en")
        }
        append(connection, "causes", columns)


def samples(connection: Connection, rows: Rows, stored: int, again_until: int = 0) -> None:
    """Columns that are empty in the whole batch are left out, which makes them NULL for nothing.
    What was read up to `again_until` (ns) may be in the store already, without a mark that says
    so."""
    if not len(rows):
        return
    columns: dict[str, Column] = {**_common(rows), "stored": np.full(len(rows), stored, np.int64)}
    absent = rows.source == NO_TIME
    if not absent.all():
        columns["source"] = np.ma.masked_array(rows.source, absent)
    append(connection, "samples", columns, _not_there(rows, again_until))


def _not_there(rows: Rows, again_until: int) -> str:
    """What leaves out the samples that a salvaged store has, where any of these may be among
    them."""
    if not again_until:
        return ""
    first = int(rows.t.min())
    last = int(rows.t.max())
    if first > again_until:
        return ""
    known = f"select sid, t from samples where t between {first} and {last}"  # noqa: S608 - integers
    return f"anti join ({known}) as known using (sid, t)"


def newest(connection: Connection, rows: Rows, saved: int) -> None:
    """Replace the snapshot of newest samples."""
    connection.execute("delete from newest")
    if len(rows):
        append(
            connection, "newest", {**_common(rows), "saved": np.full(len(rows), saved, np.int64)}
        )


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


def health(
    connection: Connection,
    documents: Sequence[Mapping[str, Any]],
    stored: int,
    keys: DeviceKeys,
    again_until: int = 0,
) -> None:
    """Rows and transitions of devices; a row counts once per (device, t)."""
    rows = list({(row["device"], row["t"]): row for row in documents}.values())
    if not rows:
        return
    columns: dict[str, Column] = {name: [row.get(name) for row in rows] for name in _HEALTH_NUMBERS}
    times = [int(row["t"]) for row in rows]
    columns |= {
        **_agents_and_devices(rows, keys),
        "t": times,
        "state": [row.get("state", "") for row in rows],
        "reason": [row.get("reason", "") for row in rows],
        "last_good_t": [row.get("last_good_t") for row in rows],
        "stored": [stored] * len(rows),
    }
    # The bounds let the scan skip all row groups of other times.
    known = (
        f"(select agent, device, t from health_keyed where t between {min(times)} and {max(times)})"  # noqa: S608 - two integers
    )
    append(connection, "health", columns, f"anti join {known} as known using (agent, device, t)")
    moves = transitions(rows)
    if moves:
        columns = {name: [move.get(name, "") for move in moves] for name in _TRANSITION}
        again = min(times) <= again_until
        where = _TRANSITIONS_THERE.format(min(times), max(times)) if again else ""
        append(connection, "transitions", columns | _agents_and_devices(moves, keys), where)


def _agents_and_devices(rows: Sequence[Mapping[str, Any]], keys: DeviceKeys) -> dict[str, Column]:
    """The two columns behind a key."""
    both = [keys.split(row["device"]) for row in rows]
    return {"agent": [agent for agent, _ in both], "device": [device for _, device in both]}


def first_good(connection: Connection, found: Mapping[str, int], keys: DeviceKeys) -> None:
    """First good readings of devices; an earlier one may follow."""
    for key, t in found.items():
        agent, device = keys.split(key)
        connection.execute(
            "insert into first_good(agent, device, t) values (?, ?, ?)", [agent, device, t]
        )


def forgotten(connection: Connection, entries: Sequence[Entry], t: int) -> None:
    """What is not listed any more, from `t` on."""
    listed_again(connection, entries)
    for entry in entries:
        connection.execute("insert into forgotten values (?, ?, ?, ?)", [*entry, t])


def listed_again(connection: Connection, entries: Sequence[Entry]) -> None:
    """What has spoken since it was forgotten."""
    for entry in entries:
        connection.execute(
            "delete from forgotten where agent = ? and device = ? and tag = ?", list(entry)
        )


def agents(
    connection: Connection, documents: Sequence[Mapping[str, Any]], again_until: int = 0
) -> None:
    """What agents say of themselves, and the gaps their outboxes left."""
    if not documents:
        return
    text = [orjson.dumps(row).decode() for row in documents]
    again = min(row["t"] for row in documents) <= again_until
    append(
        connection, "agents", {**_who(documents), "document": text}, _AGENTS_THERE if again else ""
    )
    gaps = [row for row in documents if row.get("gap")]
    if gaps:
        told: dict[str, Column] = {name: [row["gap"].get(name) for row in gaps] for name in _GAP}
        append(connection, "gaps", {**_who(gaps), **told}, _GAPS_THERE if again else "")


def _who(documents: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    return {"t": [row["t"] for row in documents], "agent": [row["device"] for row in documents]}


def marks(connection: Connection, rows: Sequence[tuple[str, int, int, int]]) -> None:
    """Intervals as (stream, first, last, values)."""
    if rows:
        columns = zip(("stream", "first", "last", "values"), zip(*rows, strict=True), strict=True)
        append(connection, "marks", dict(columns))
