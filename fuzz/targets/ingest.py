"""Messages from the broker: refused with a reason, or columns that say exactly what the document
says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from edge_agent.ingest import messages
from edge_agent.model import is_bad
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.columns import NONE, Rows, value_of
from fuzz.target import FuzzTarget, demand

_DEVICE: Final = "edge/e/s/area/line/cell/m1"
_TOPICS: Final = (
    f"{_DEVICE}/data",
    f"{_DEVICE}/birth",
    f"{_DEVICE}/health",
    "edge/e/s/area/_agent/m1/health",
)


def ingest(data: bytes) -> None:
    """The first byte picks the topic. `read` never raises, and what it lets pass can be stored."""
    catalogue = Catalogue()
    message = messages.read(_TOPICS[data[0] % 4 if data else 0], data[1:], catalogue)
    demand(0 <= message.seq < 2**63, "seq", message.seq)
    if message.refused:
        taken = (message.chunk, message.health, message.agent, message.birth)
        demand(all(part is None for part in taken), "refused and yet taken")
        return
    document = orjson.loads(data[1:])
    if message.birth is not None:
        catalogue.born(message.birth)
        demand(
            len(catalogue.series) == len(document.get("tags") or ()),
            "other series than the document's",
        )
    for row in (message.health, message.agent):
        demand(row is None or _as_sent(row, document) == document, "a health row that was altered")
    if message.chunk is not None:
        _samples(Rows.of([message.chunk]), document, catalogue)


def _as_sent(row: dict[str, Any], document: dict[str, Any]) -> Any:
    """The row as plain JSON, its device as its agent calls it: the ingest has made that the key."""
    demand(row["device"].endswith(document["device"]), "another device", row["device"])
    return orjson.loads(orjson.dumps(row | {"device": document["device"]}))


def _samples(rows: Rows, document: dict[str, Any], catalogue: Catalogue) -> None:
    """Every sample is the document's, and without a value or with a quality none is plainly
    good."""
    values, quality = document.get("values") or {}, document.get("quality") or {}
    source = document.get("source") or {}
    names = [catalogue.series[sid].tag for sid in rows.sid.tolist()]
    demand(sorted(names) == sorted({*values, *quality}), "series", names)
    for n, name in enumerate(names):
        kind, status = int(rows.kind[n]), int(rows.status[n])
        value = value_of(kind, float(rows.num[n]), rows.texts.get(n))
        demand(type(value) is type(values.get(name)), name, ":", value)
        demand(value == values.get(name), name, ":", value, "instead of", values.get(name))
        demand(
            kind != NONE or is_bad(status) or quality.get(name) is not None,
            name,
            ": nothing, and good",
        )
        demand(
            not status or name in quality or kind == NONE,
            name,
            ": status",
            status,
            "out of nowhere",
        )
        demand(rows.t[n] == document["t"], name, ": t", rows.t[n])
        if name in source and abs(source[name]) < 2**43:
            demand(rows.source[n] == source[name] * 1_000_000, name, ": source", rows.source[n])


def _seeds() -> Iterable[bytes]:
    head = {"v": 1, "device": "m1", "stream": "ipc/0/9f", "seq": 7, "ts": 1, "t": 1_000_001}
    values = {
        "a": 1.5,
        "b": None,
        "c": "主轴",
        "d": [1, 2.5, True],
        "e": 2**53 + 1,
        "f": False,
        "g": 2**64 - 1,
    }
    quality = {"a": "UncertainLastUsableValue", "dead": "BadTimeout", "odd": "0x80AB0000"}
    yield b"\0" + orjson.dumps(head | {"values": values})
    yield b"\0" + orjson.dumps(
        head | {"values": values, "quality": quality, "source": {"a": 1763900000120, "c": -5}}
    )
    yield b"\0" + orjson.dumps(head | {"values": {"a": -(2**63), "b": 1e308, "c": ""}})
    tags = {"a": {"type": "float", "unit": "mm", "range": [0, 1], "map": {"0": "idle"}}, "b": {}}
    yield b"\1" + orjson.dumps(head | {"name": "x", "tags": tags})
    yield b"\1" + orjson.dumps(head)[:-1] + b',"tags":{"a":{"x":' + b"[" * 300 + b"]" * 300 + b"}}}"
    move = {"from": "online", "to": "offline", "reason": "BadTimeout", "zh": "x", "en": "y"}
    counts = {
        "due": 3,
        "done": 2,
        "good": 1,
        "bad": 1,
        "latency_ms": 1.5,
        "state": "online",
        "last_good_t": None,
    }
    yield b"\2" + orjson.dumps(head | counts | {"transition": move, "tag_transitions": [move]})
    yield b"\2" + orjson.dumps(head)[:-1] + b',"extra":' + b'{"a":' * 300 + b"1" + b"}" * 301
    gap = {
        "stream": "a/0/1",
        "from_seq": 1,
        "to_seq": 5,
        "from_t": 1,
        "to_t": 2,
        "values": 9,
        "acknowledged": 0,
    }
    yield b"\3" + orjson.dumps(head | {"gap": gap})


_KEYS: Final = (
    "v device stream seq ts t values quality source tags gap transition tag_transitions good bad "
    "last_good_t latency_ms"
)

TARGETS = (
    FuzzTarget(
        "ingest",
        ingest,
        _seeds,
        400_000,
        words=(
            *(f'"{key}":'.encode() for key in _KEYS.split()),
            b"null",
            b"true",
            b"1e309",
            b'"Bad"',
            b"[[1]]",
            b"{}",
        ),
        longest=900,
    ),
)
