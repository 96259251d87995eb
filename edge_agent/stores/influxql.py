"""Reading from any InfluxDB: 1.x speaks InfluxQL on `/query`, and so do 2.x and 3.x, which Flux does not reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import orjson

from edge_agent.errors import StoreError
from edge_agent.model import status_name
from edge_agent.stores.base import HealthSummary
from edge_agent.stores.columns import KIND_NAMES, NO_TIME, Longs, Samples
from edge_agent.stores.http import Endpoint, understood
from edge_agent.stores.lines import STATES

_SUMS: Final = ("scheduled_s", "covered_s", "due", "done", "good", "bad", "values", "overruns")
_SAMPLES: Final = 'select "num", "txt", "status", "source", "stored", "kind"::tag from "samples"'
_KIND: Final = {name: kind for kind, name in enumerate(KIND_NAMES)}


def quoted(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class InfluxQl:
    """Questions to one database (1.x) or bucket (2.x, 3.x)."""

    def __init__(self, endpoint: Endpoint, database: str) -> None:
        self._endpoint = endpoint
        self._database = database

    def _ask(self, statement: str) -> list[dict[str, Any]]:
        """The series of a statement's result: `{"tags", "columns", "values"}` each.

        A statement that failed, or whose result was cut at a limit of the server's, comes with HTTP 200 all the same:
        taken for "there is nothing" it would be a hole in a figure that nobody knows of. Raises StoreError.
        """
        query = {"db": self._database, "epoch": "ns", "q": statement}
        result = orjson.loads(self._endpoint.request("GET", "/query", query))["results"][0]
        series: list[dict[str, Any]] = result.get("series", [])
        if error := result.get("error"):
            if str(error).startswith("database not found"):
                return []  # it is made by the first write
            raise StoreError(f"the query was refused: {error}")
        if result.get("partial") or any(part.get("partial") for part in series):
            raise StoreError("the server gave a part of the result only: raise its max-row-limit")
        return series

    @understood
    def samples(self, device: str, tag: str, from_ns: int, to_ns: int) -> Samples:
        """One tag in `from <= t < to`."""
        where = f'"device" = {quoted(device)} and "tag" = {quoted(tag)} and time >= {from_ns} and time < {to_ns}'
        series = self._ask(f"{_SAMPLES} where {where}")
        rows = series[0]["values"] if series else []
        t, num, txt, status, source, stored, kind = zip(*rows, strict=True) if rows else ((),) * 7
        return Samples(
            np.array(t, np.int64),
            np.array(num, np.float64),
            np.array([_KIND[name] for name in kind], np.uint8),
            np.array([code or 0 for code in status], np.uint32),
            np.array([NO_TIME if ns is None else ns for ns in source], np.int64),
            np.array(stored, np.int64),
            list(txt),
        )

    @understood
    def last_before(self, device: str, tag: str, from_ns: int, to_ns: int) -> int | None:
        """Time of the newest sample of a tag in `from <= t < to`; every sample has its store time."""
        where = f'"device" = {quoted(device)} and "tag" = {quoted(tag)} and time >= {from_ns} and time < {to_ns}'
        newest = f'select "stored" from "samples" where {where} order by time desc limit 1'  # noqa: S608 - quoted
        series = self._ask(newest)
        return int(series[0]["values"][0][0]) if series else None

    @understood
    def evidence_rows(self, from_ns: int, to_ns: int) -> dict[str, tuple[Longs, Longs]]:
        """Device -> (last good time, covered ns) of health rows with coverage, in `from < t <= to`."""
        where = f'where "covered_s" > 0 and time > {from_ns} and time <= {to_ns} group by "device"'
        found = {}
        for series in self._ask(f'select "last_good_t", "covered_s" from "health" {where}'):  # noqa: S608 - two integers
            rows = [(good, round(covered * 1e9)) for _, good, covered in series["values"] if good is not None]
            until, covered = np.array(rows, np.int64).reshape(-1, 2).T
            found[series["tags"]["device"]] = (until, covered)
        return found

    @understood
    def health_rows(self, from_ns: int, to_ns: int) -> dict[str, tuple[Longs, Longs, list[str]]]:
        """Device -> times, covered ns, states of its health rows in `from < t <= to`."""
        where = f'where time > {from_ns} and time <= {to_ns} group by "device"'
        found = {}
        for series in self._ask(f'select "covered_s", "state" from "health" {where}'):  # noqa: S608 - two integers
            t, covered, states = zip(*series["values"], strict=True)
            lasted = [round((seconds or 0) * 1e9) for seconds in covered]
            columns = np.array(t, np.int64), np.array(lasted, np.int64), [state_name(code) for code in states]
            found[series["tags"]["device"]] = columns
        return found

    @understood
    def health(self, from_ns: int, to_ns: int) -> dict[str, HealthSummary]:
        """Sums and newest state per device, in `from < t <= to`."""
        where = f'from "health" where time > {from_ns} and time <= {to_ns} group by "device"'
        sums = self._by_device(
            "select " + ", ".join(f'sum("{name}")' for name in _SUMS) + f', max("last_good_t") {where}'
        )
        first = self._by_device(f'select first("state") {where}')
        last = self._by_device(f'select last("state"), "reason", "latency_ms" {where}')
        return {
            device: HealthSummary(
                *_counted(row[1:9]),
                first_t=first[device][0],
                last_t=last[device][0],
                last_good_t=row[9],
                state=state_name(last[device][1]),
                reason=reason_name(last[device][2]),
                latency_ms=last[device][3],
            )
            for device, row in sorted(sums.items())
        }

    def close(self) -> None:
        """Release the connection."""
        self._endpoint.close()

    def _by_device(self, statement: str) -> dict[str, Sequence[Any]]:
        return {series["tags"]["device"]: series["values"][0] for series in self._ask(statement)}


def _counted(values: Sequence[float | None]) -> tuple[float, float, int, int, int, int, int, int]:
    scheduled, covered, *counts = (value or 0 for value in values)
    due, done, good, bad, read, overruns = map(int, counts)
    return float(scheduled), float(covered), due, done, good, bad, read, overruns


def state_name(code: float | None) -> str:
    """The inverse of a state's place in `STATES`."""
    place = -1 if code is None else int(code)
    return STATES[place] if 0 <= place < len(STATES) else ""


def reason_name(code: float | None) -> str:
    """The status' name; nothing for Good."""
    return status_name(int(code)) if code else ""
