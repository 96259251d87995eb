"""What a store knows beside samples, as documents: names, texts, and back. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from edge_agent.identity import DeviceKeys
from edge_agent.intervals import IntervalSet
from edge_agent.stores.base import HealthSummary, WriteBatch, merged, transitions
from edge_agent.stores.catalogue import Catalogue, CatalogueChanges, Series, stored_catalogue
from edge_agent.stores.definitions import DefinitionChange
from edge_agent.stores.forgotten import Entry, Forgotten
from edge_agent.stores.sdk import DocumentKey, StoredDocument

#: Of a health row, what stands in the name of its document, or in documents of its own.
_APART: Final = ("device", "t", "transition", "tag_transitions")

Documents = Callable[[str], list[StoredDocument]]
"""All documents of a table."""
Marks = Mapping[str, IntervalSet]


def packed_text(*parts: Any) -> str:
    """Several values as one text."""
    return orjson.dumps(parts).decode()


def about(keys: DeviceKeys, key: str, table: str, t: int, text: str, *more: str) -> StoredDocument:
    """A document about a device."""
    return StoredDocument(table, packed_text(*keys.split(key), *more), t, text)


def device_of(keys: DeviceKeys, row: StoredDocument) -> str:
    """The key of the device that a document is about."""
    agent, device, *_ = orjson.loads(row.key)
    return keys.key(agent, device)


# --- the catalogue --------------------------------------------------------------------------------


def read_catalogue(documents: Documents, keys: DeviceKeys) -> Catalogue:
    """As it was last written."""
    series = []
    for row in documents("series"):
        agent, device, tag, meta = orjson.loads(row.text)
        series.append(Series(int(row.key), keys.key(agent, device), tag, meta))
    births = [(*orjson.loads(row.key), row.text) for row in documents("births")]
    forgotten: dict[Entry, int] = {}
    for row in documents("forgotten"):
        agent, device, tag = orjson.loads(row.key)
        forgotten[agent, device, tag] = int(row.text)
    causes = [(*orjson.loads(row.key), *orjson.loads(row.text)) for row in documents("causes")]
    changes = []
    for row in documents("definitions"):
        sid, before, after = orjson.loads(row.key)
        changes.append(DefinitionChange(sid, row.t, before, after))
    return stored_catalogue(keys, series, births, Forgotten(forgotten), causes, changes)


def catalogue_documents(changes: CatalogueChanges, keys: DeviceKeys) -> Iterator[StoredDocument]:
    """What of a catalogue is to be put."""
    for series in changes.series:
        text = packed_text(*keys.split(series.device), series.tag, series.meta)
        yield StoredDocument("series", str(series.sid), 0, text)
    for key, birth in changes.births.items():
        yield about(keys, key, "births", 0, birth)
    for change in changes.definitions:
        name = packed_text(change.sid, change.before, change.after)
        yield StoredDocument("definitions", name, change.t, "")
    for key, found in changes.causes.items():
        if found is not None:
            yield about(keys, key, "causes", 0, packed_text(*found))


def outdated_documents(
    changes: CatalogueChanges, returned: Sequence[Entry], keys: DeviceKeys
) -> Iterator[DocumentKey]:
    """What of a catalogue goes: causes that are over, and what is listed again."""
    for key, found in changes.causes.items():
        if found is None:
            yield DocumentKey("causes", packed_text(*keys.split(key)), 0)
    for entry in returned:
        yield DocumentKey("forgotten", packed_text(*entry), 0)


# --- marks ----------------------------------------------------------------------------------------


def with_marks(known: Marks, batch: WriteBatch) -> dict[str, IntervalSet]:
    """The streams of a batch with all their marks, those of the batch among them."""
    found: dict[str, IntervalSet] = {}
    for stream, first, last, _ in merged(batch.marks):
        if stream not in found:
            found[stream] = IntervalSet(_pairs(known, stream))
        found[stream].add(first, last)
    return found


def _pairs(marks: Marks, stream: str) -> list[tuple[int, int]]:
    return list(marks[stream].pairs()) if stream in marks else []


def mark_documents(known: Marks, marks: Marks) -> Iterator[StoredDocument]:
    """The intervals that are new: `t` is the first number, the text the last one."""
    for stream, intervals in marks.items():
        there = set(_pairs(known, stream))
        for first, last in intervals.pairs():
            if (first, last) not in there:
                yield StoredDocument("marks", stream, first, str(last))


def outdated_marks(known: Marks, marks: Marks) -> Iterator[DocumentKey]:
    """The intervals that became a part of others."""
    for stream, intervals in marks.items():
        starts = {first for first, _ in intervals.pairs()}
        for first, _ in _pairs(known, stream):
            if first not in starts:
                yield DocumentKey("marks", stream, first)


# --- health ---------------------------------------------------------------------------------------


def health_documents(batch: WriteBatch, keys: DeviceKeys) -> Iterator[StoredDocument]:
    """Health rows and transitions of devices, health of agents and gap records."""
    for row in batch.health:
        document = {name: value for name, value in row.items() if name not in _APART}
        yield about(keys, row["device"], "health", row["t"], orjson.dumps(document).decode())
    for move in transitions(batch.health):
        names = [str(move.get(name, "")) for name in ("tag", "from", "to")]
        text = orjson.dumps(move).decode()
        yield about(keys, move["device"], "transitions", move["t"], text, *names)
    for row in batch.agents:
        agent = row["device"]
        yield StoredDocument("agents", agent, row["t"], orjson.dumps(row).decode())
        if gap := row.get("gap"):
            record = {"t": row["t"], "agent": agent, **gap}
            name = packed_text(agent, gap.get("stream"), gap.get("from_seq"))
            yield StoredDocument("gaps", name, row["t"], orjson.dumps(record).decode())


def summary(rows: Sequence[Mapping[str, Any]]) -> HealthSummary:
    """Health rows of one device, sorted by time, summed up; at least one."""

    def total(name: str) -> int:
        return sum(row.get(name) or 0 for row in rows)

    def seconds(name: str) -> float:
        return sum(round(1000 * (row.get(name) or 0.0)) for row in rows) / 1000

    last = rows[-1]
    good = [row["last_good_t"] for row in rows if row.get("last_good_t") is not None]
    latency = [row["latency_ms"] for row in rows if row.get("latency_ms") is not None]
    return HealthSummary(
        seconds("scheduled_s"),
        seconds("covered_s"),
        total("due"),
        total("done"),
        total("good"),
        total("bad"),
        total("values"),
        total("overruns"),
        first_t=rows[0]["t"],
        last_t=last["t"],
        last_good_t=max(good, default=None),
        state=last.get("state") or "",
        reason=last.get("reason") or "",
        latency_ms=latency[-1] if latency else None,
    )
