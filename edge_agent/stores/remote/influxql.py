"""Reading from any InfluxDB: 1.x speaks InfluxQL on `/query`, and so do 2.x and 3.x, which Flux
does not reach."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from edge_agent.errors import StoreError
from edge_agent.identity import DeviceKeys
from edge_agent.model import status_name
from edge_agent.reasons import cause
from edge_agent.stores.base import HealthSummary
from edge_agent.stores.columns import KIND_NAMES, NO_TIME, Longs, Samples
from edge_agent.stores.health_rows import HealthRows, in_time
from edge_agent.stores.remote.http import HttpEndpoint, understood
from edge_agent.stores.remote.lines import STATES, STORE_ID

_SUMS: Final = ("scheduled_s", "covered_s", "due", "done", "good", "bad", "values", "overruns")
_SAMPLES: Final = 'select "num", "txt", "status", "source", "stored", "kind"::tag from "samples"'
_KIND: Final = {name: kind for kind, name in enumerate(KIND_NAMES)}


def quoted(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class InfluxQl:
    """Questions to one database (1.x) or bucket (2.x, 3.x)."""

    def __init__(self, endpoint: HttpEndpoint, database: str, keys: DeviceKeys) -> None:
        self._endpoint = endpoint
        self._database = database
        self._keys = keys

    def _series(self, device: str, tag: str, from_ns: int, to_ns: int) -> str:
        """The condition of one series in `from <= t < to`; what has no agent is the own agent's."""
        agent, name = self._keys.split(device)
        whose = f'"agent" = {quoted(agent)}'
        if agent == self._keys.own:
            whose = f"({whose} or \"agent\" = '')"
        which = f'{whose} and "device" = {quoted(name)} and "tag" = {quoted(tag)}'
        return f"{which} and time >= {from_ns} and time < {to_ns}"

    def _key(self, series: Mapping[str, Any]) -> str:
        """The device of a series that is grouped by agent and device."""
        return self._keys.key(series["tags"].get("agent"), series["tags"]["device"])

    @understood
    def store_ids(self) -> list[str]:
        """The values of the tag `id` of the store's own measurement."""
        series = self._ask(f'show tag values from "{STORE_ID}" with key = "id"')
        return [str(value) for part in series for _, value in part["values"]]

    @understood
    def holds_data(self) -> bool:
        """Whether there is any health row."""
        return bool(self._ask('select "covered_s" from "health" limit 1'))

    def _ask(self, statement: str) -> list[dict[str, Any]]:
        """The series of a statement's result: `{"tags", "columns", "values"}` each.

        A statement that failed, or whose result was cut at a limit of the server's, comes with HTTP
        200 all the same: taken for "there is nothing" it would be a hole in a figure that nobody
        knows of. Raises StoreError.
        """
        query = {"db": self._database, "epoch": "ns", "q": statement}
        result = orjson.loads(self._endpoint.request("GET", "/query", query))["results"][0]
        series: list[dict[str, Any]] = result.get("series", [])
        if error := result.get("error"):
            if str(error).startswith("database not found"):
                return []  # it is made by the first write
            raise StoreError(cause("store_query_refused", why=error))
        if result.get("partial") or any(part.get("partial") for part in series):
            raise StoreError(cause("store_rows_limited"))
        return series

    @understood
    def samples_of(self, device: str, tag: str, from_ns: int, to_ns: int) -> Samples:
        """One tag in `from <= t < to`."""
        where = self._series(device, tag, from_ns, to_ns)
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
    def last_of(self, device: str, tag: str, from_ns: int, to_ns: int) -> int | None:
        """Time of the newest sample of a tag in `from <= t < to`; every sample has its store
        time."""
        where = self._series(device, tag, from_ns, to_ns)
        newest = f'select "stored" from "samples" where {where} order by time desc limit 1'  # noqa: S608 - quoted
        series = self._ask(newest)
        return int(series[0]["values"][0][0]) if series else None

    @understood
    def evidence_rows(self, from_ns: int, to_ns: int) -> dict[str, tuple[Longs, Longs]]:
        """Device -> (last good time, covered ns) of health rows with coverage, in `from < t <=
        to`."""
        where = (
            f'where "covered_s" > 0 and time > {from_ns} and time <= {to_ns} group by "agent", '
            '"device"'
        )
        parts: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for series in self._ask(f'select "last_good_t", "covered_s" from "health" {where}'):  # noqa: S608 - two integers
            rows = [
                (good, round(covered * 1e9))
                for _, good, covered in series["values"]
                if good is not None
            ]
            parts[self._key(series)] += rows
        found = {}
        for device, rows in parts.items():
            until, covered = np.array(rows, np.int64).reshape(-1, 2).T
            found[device] = (until, covered)
        return found

    @understood
    def health_rows(self, from_ns: int, to_ns: int) -> dict[str, HealthRows]:
        """Device -> times, covered ns, states of its health rows in `from < t <= to`."""
        where = f'where time > {from_ns} and time <= {to_ns} group by "agent", "device"'
        parts: dict[str, list[HealthRows]] = defaultdict(list)
        for series in self._ask(f'select "covered_s", "state" from "health" {where}'):  # noqa: S608 - two integers
            t, covered, states = zip(*series["values"], strict=True)
            lasted = [round((seconds or 0) * 1e9) for seconds in covered]
            columns = (
                np.array(t, np.int64),
                np.array(lasted, np.int64),
                [state_name(code) for code in states],
            )
            parts[self._key(series)].append(columns)
        return {device: in_time(rows) for device, rows in parts.items()}

    @understood
    def health_of(self, from_ns: int, to_ns: int) -> dict[str, list[HealthSummary]]:
        """Sums and newest state per device, in `from < t <= to`, one for each of its series."""
        where = (
            f'from "health" where time > {from_ns} and time <= {to_ns} group by "agent", "device"'
        )
        sums = self._by_device(
            "select "
            + ", ".join(f'sum("{name}")' for name in _SUMS)
            + f', max("last_good_t") {where}'
        )
        first = self._by_device(f'select first("state") {where}')
        last = self._by_device(f'select last("state"), "reason", "latency_ms" {where}')
        found: dict[str, list[HealthSummary]] = defaultdict(list)
        for series, row in sorted(sums.items()):
            summary = HealthSummary(
                *_counted(row[1:9]),
                first_t=first[series][0],
                last_t=last[series][0],
                last_good_t=row[9],
                state=state_name(last[series][1]),
                reason=reason_name(last[series][2]),
                latency_ms=last[series][3],
            )
            found[self._keys.key(*series)].append(summary)
        return dict(found)

    def close(self) -> None:
        """Release the connection."""
        self._endpoint.close()

    def _by_device(self, statement: str) -> dict[tuple[str, str], Sequence[Any]]:
        """(agent or nothing, device) -> the one row of its series."""
        return {
            (series["tags"].get("agent") or "", series["tags"]["device"]): series["values"][0]
            for series in self._ask(statement)
        }


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
