"""What InfluxDB and VictoriaMetrics answer to questions: columns of what they said, or a
StoreError."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson

from edge_agent.errors import StoreError
from edge_agent.identity import DeviceKeys
from edge_agent.stores.base import HealthSummary
from edge_agent.stores.columns import NO_TIME, Samples
from edge_agent.stores.line.store import LineStore
from edge_agent.stores.remote.influxql import InfluxQl
from fuzz.target import FuzzTarget, demand


class _Endpoint:
    """A server that always says the same."""

    answer = b""

    def request(self, method: str, path: str, query: Mapping[str, str], body: bytes = b"") -> bytes:
        """Any question."""
        return self.answer


_SERVER = _Endpoint()
_KEYS = DeviceKeys("ipc-01")
_INFLUX = InfluxQl(_SERVER, "edge", _KEYS)  # type: ignore[arg-type]
_LINE = LineStore.__new__(LineStore)  # only its reader is asked; a whole one opens files
_LINE._keys = _KEYS
_LINE._reader = _SERVER  # type: ignore[assignment]
_STORES = (_INFLUX, _LINE)


def answer(data: bytes) -> None:
    """The first byte says whose answer to which question the rest is."""
    form, _SERVER.answer = (data[0] % 8 if data else 0), data[1:]
    store, question = _STORES[form % 2], form // 2
    try:
        if question == 0:
            _samples(store.samples_of("m1", "a", 0, 9 * 10**18), data[1:], influx=form % 2 == 0)
        elif question == 1:
            found = store.last_of("m1", "a", 0, 9 * 10**18)
            demand(found is None or type(found) is int, "newest", found)
        elif question == 2:
            for until, covered in store.evidence_rows(0, 9 * 10**18).values():
                demand(
                    until.dtype == covered.dtype == np.int64 and len(until) == len(covered),
                    until,
                    covered,
                )
        else:
            _health(store.health_of(0, 9 * 10**18))
    except StoreError:
        return


def _samples(found: Samples, said: bytes, *, influx: bool) -> None:
    columns = (found.t, found.num, found.kind, found.status, found.source, found.stored, found.text)
    demand(len({len(column) for column in columns}) == 1, "columns of unequal length:", found)
    if not influx or not len(found.t):
        return
    rows: list[list[Any]] = orjson.loads(said)["results"][0]["series"][0]["values"]
    demand(len(rows) == len(found.t), "rows", rows, "and", found)
    for n, (t, num, txt, status, source, _, _) in enumerate(rows):
        demand(type(t) is not int or found.t[n] == t, "time", t, found.t[n])
        demand(found.text[n] == txt, "text", txt, found.text[n])
        demand(
            num is None or found.num[n] == float(num) or math.isnan(found.num[n]),
            "number",
            num,
            found.num[n],
        )
        demand(
            type(status) is not int or found.status[n] == status, "status", status, found.status[n]
        )
        demand(
            source is not None or found.source[n] == NO_TIME,
            "source",
            found.source[n],
            "out of nowhere",
        )
        demand(
            type(source) is not int or found.source[n] == source, "source", source, found.source[n]
        )


def _health(found: Mapping[str, list[HealthSummary]]) -> None:
    for summary in (each for summaries in found.values() for each in summaries):
        counts = (
            summary.due,
            summary.done,
            summary.good,
            summary.bad,
            summary.values,
            summary.overruns,
        )
        demand(all(type(count) is int for count in counts), "counts", summary)
        demand(type(summary.state) is str and type(summary.reason) is str, "texts", summary)


def _influx(*series: Mapping[str, Any], **more: Any) -> bytes:
    return orjson.dumps({"results": [{"statement_id": 0, "series": list(series)} | more]})


def _export(name: str, *points: tuple[int, Any], **labels: str) -> bytes:
    metric = {"__name__": name, "device": "m1", **labels}
    return orjson.dumps(
        {"metric": metric, "timestamps": [t for t, _ in points], "values": [v for _, v in points]}
    )


def _seeds() -> Iterable[bytes]:
    t = 1_763_900_000_000_000_000
    rows = [[t, 1.5, None, None, None, t + 5, "float"], [t + 1, None, "x", 2**31, t, t + 6, "text"]]
    yield b"\0" + _influx({"name": "samples", "columns": ["time"], "values": rows})
    yield b"\0" + _influx({"name": "samples", "values": rows}, partial=True)
    yield b"\0" + _influx(error="timeout")
    yield b"\0" + b'{"results":[{"statement_id":0}]}'
    yield b"\2" + _influx({"name": "samples", "values": [[t, t + 5]]})
    yield b"\4" + _influx(
        {"name": "health", "tags": {"device": "m1"}, "values": [[t, t, 1.5], [t, None, 1]]}
    )
    sums = [t, 60.0, 59.5, 60, 59, 58, 1, 118, 0, t - 5]
    yield b"\6" + _influx({"name": "health", "tags": {"device": "m1"}, "values": [sums]})
    labels = {"kind": "float", "tag": "a"}
    yield b"\1" + b"\n".join(
        (_export("samples_num", (1, 1.5), **labels), _export("samples_stored", (1, 5e18), **labels))
    )
    yield b"\1" + _export("samples_num", (1, 1), kind="json", tag="a", text='"\\u0000"')
    vector = {"metric": {"device": "m1"}, "value": [1.5, "1763900000.5"]}
    for question in (3, 7):
        yield bytes((question,)) + orjson.dumps({"status": "success", "data": {"result": [vector]}})
    yield b"\5" + b"\n".join(
        (_export("health_covered_s", (1, 5)), _export("health_last_good_t", (1, 5e18)))
    )


_WORDS = (
    "results series values tags device error partial metric timestamps __name__ kind text data "
    "result value null"
)

TARGETS = (
    FuzzTarget(
        "store-answers",
        answer,
        _seeds,
        1_000_000,
        words=tuple(w.encode() for w in _WORDS.split()),
        longest=400,
    ),
)
