"""VictoriaMetrics, and any store that takes line protocol at `/api/v2/write`; read back through
`/api/v1`.

Its times are milliseconds, its numbers keep about 15 digits, its texts are labels. Two points of
one series and time stay two unless it runs with `-dedup.minScrapeInterval=1ms`, which the
configuration guide asks for.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
import orjson

from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.errors import StoreError
from edge_agent.reasons import cause
from edge_agent.stores.base import HealthSummary, Refusal, WriteBatch
from edge_agent.stores.columns import KIND_NAMES, NO_TIME, TEXT, Longs, Samples
from edge_agent.stores.health_rows import HealthRows
from edge_agent.stores.remote.http import READ_S, HttpEndpoint, understood
from edge_agent.stores.remote.influxql import reason_name, state_name
from edge_agent.stores.remote.lines import STORE_ID, TextStyle
from edge_agent.stores.remote.store import RemoteStore

_DAY: Final = 86_400_000_000_000
_SUMS: Final = ("scheduled_s", "covered_s", "due", "done", "good", "bad", "values", "overruns")
_KIND: Final = {**{name: kind for kind, name in enumerate(KIND_NAMES)}, "json": TEXT}


class LineStore(RemoteStore):
    """`store.bucket` and `store.org` are passed on for servers that want them."""

    style = TextStyle.LABEL
    earliest = 0
    #: VictoriaMetrics drops what lies more than two days ahead, and says nothing.
    future = _DAY

    def __init__(self, config: StoreConfig, agent: str = "", others: Collection[str] = ()) -> None:
        super().__init__(config, agent, others)
        self._query = {"precision": "ns", "bucket": config.bucket or "", "org": config.org or ""}
        self._query = {key: value for key, value in self._query.items() if value}
        self._endpoint = HttpEndpoint(config)
        self._reader = HttpEndpoint(config, timeout=READ_S)

    def check(self, batch: WriteBatch) -> list[Refusal]:
        """What is older than the retention would be dropped without a word as well."""
        oldest = max(self.earliest, batch.stored - int(self._days * _DAY))
        return self._encoder.refusals(batch.rows, oldest, batch.stored + self.future)

    def _send(self, lines: bytes) -> None:
        self._endpoint.request("POST", "/api/v2/write", self._query, lines)

    @understood
    def store_ids(self) -> list[str]:
        """The values of the label `id` of the store's own measurement. (Asked for its series, the
        server would go on for ten seconds to say that there are none.)"""
        query = {"match[]": f"{STORE_ID}_value", "start": "0"}
        answer = orjson.loads(self._reader.request("GET", "/api/v1/label/id/values", query))
        return [str(value) for value in answer["data"]]

    @understood
    def holds_data(self) -> bool:
        """Whether there is any health row."""
        query = {"match[]": "health_state", "start": "0", "limit": "1"}
        return bool(orjson.loads(self._reader.request("GET", "/api/v1/series", query))["data"])

    def _match(self, device: str, tag: str) -> str:
        """The labels of one series; what has no agent is the own agent's."""
        agent, name = self._keys.split(device)
        whose = f"agent={_quoted(agent)}"
        if agent == self._keys.own:
            whose = f"agent=~{_quoted(f'({re.escape(agent)})?')}"
        return f"{whose},device={_quoted(name)},tag={_quoted(tag)}"

    def _key(self, labels: Mapping[str, str]) -> str:
        return self._keys.key(labels.get("agent"), labels["device"])

    @understood
    def samples_of(self, device: str, tag: str, from_ns: int, to_ns: int) -> Samples:
        """One series, its fields joined by time; times to the millisecond."""
        match = f'{{__name__=~"samples_.+",{self._match(device, tag)}}}'
        query = {"match[]": match, "start": _seconds(from_ns), "end": _seconds(to_ns - 1_000_000)}
        rows: dict[int, dict[str, Any]] = {}
        for line in self._reader.request("GET", "/api/v1/export", query).splitlines():
            series = orjson.loads(line)
            labels = series["metric"]
            field = series["metric"]["__name__"].removeprefix("samples_")
            for ms, value in zip(series["timestamps"], series["values"], strict=True):
                row = rows.setdefault(ms, {"kind": labels["kind"], "text": labels.get("text")})
                row[field] = value
        return _joined(rows)

    @understood
    def last_of(self, device: str, tag: str, from_ns: int, to_ns: int) -> int | None:
        """Time of the newest sample of a series in `from <= t < to`, to the millisecond."""
        window = f"[{max(1, (to_ns - from_ns) // 1_000_000)}ms]"
        match = f"samples_stored{{{self._match(device, tag)}}}"
        found = self._ask(f"max(tlast_over_time({match}{window}))", to_ns - 1_000_000)
        return _nanoseconds(float(found[0]["value"][1])) if found else None

    @understood
    def evidence_rows(self, from_ns: int, to_ns: int) -> dict[str, tuple[Longs, Longs]]:
        """Device -> (last good time, covered ns) of health rows with coverage, in `from < t <=
        to`."""
        covered, good = (
            self._exported(f'{{__name__="health_{name}"}}', from_ns + 1_000_000, to_ns)
            for name in ("covered_s", "last_good_t")
        )
        found = {}
        for device, seconds in covered.items():
            times = good.get(device, {})
            rows = [
                (_round_to_milliseconds(times[ms]), round(s * 1e9))
                for ms, s in sorted(seconds.items())
                if s > 0 and ms in times
            ]
            until, lasted = np.array(rows, np.int64).reshape(-1, 2).T
            found[device] = (until, lasted)
        return found

    @understood
    def health_rows(self, from_ns: int, to_ns: int) -> dict[str, HealthRows]:
        """Time, coverage and state of health rows; times to the millisecond."""
        state, covered = (
            self._exported(f'{{__name__="health_{name}"}}', from_ns + 1_000_000, to_ns)
            for name in ("state", "covered_s")
        )
        found = {}
        for device, codes in state.items():
            times = sorted(codes)
            seconds = covered.get(device, {})
            lasted = [round(seconds.get(ms, 0.0) * 1e9) for ms in times]
            t = np.array(times, np.int64) * 1_000_000
            found[device] = (t, np.array(lasted, np.int64), [state_name(codes[ms]) for ms in times])
        return found

    def _exported(self, match: str, from_ns: int, to_ns: int) -> dict[str, dict[int, float]]:
        """Device -> milliseconds -> value of one field."""
        query = {"match[]": match, "start": _seconds(from_ns), "end": _seconds(to_ns)}
        found: dict[str, dict[int, float]] = {}
        for line in self._reader.request("GET", "/api/v1/export", query).splitlines():
            series = orjson.loads(line)
            points = zip(series["timestamps"], series["values"], strict=True)
            found.setdefault(self._key(series["metric"]), {}).update(points)
        return found

    @understood
    def health_of(self, from_ns: int, to_ns: int) -> dict[str, list[HealthSummary]]:
        """Sums and newest state per device, in `from < t <= to`, one for each of its series."""
        window = f"[{max(1, (to_ns - from_ns) // 1_000_000)}ms]"
        sums = [self._instant(f"sum_over_time(health_{name}{window})", to_ns) for name in _SUMS]
        first = self._instant(f"tfirst_over_time(health_state{window})", to_ns)
        last = self._instant(f"tlast_over_time(health_state{window})", to_ns)
        good = self._instant(f"max_over_time(health_last_good_t{window})", to_ns)
        state, reason, latency = (
            self._instant(f"last_over_time(health_{name}{window})", to_ns)
            for name in ("state", "reason", "latency_ms")
        )
        summaries: dict[str, list[HealthSummary]] = defaultdict(list)
        for series in sorted(last):
            scheduled, covered, *counts = (found.get(series, 0.0) for found in sums)
            due, done, ok, bad, values, overruns = (round(count) for count in counts)
            summary = HealthSummary(
                scheduled, covered, due, done, ok, bad, values, overruns,
                first_t=_nanoseconds(first[series]), last_t=_nanoseconds(last[series]),
                last_good_t=_round_to_milliseconds(good[series]) if series in good else None,
                state=state_name(state.get(series)), reason=reason_name(reason.get(series)),
                latency_ms=latency.get(series),
            )  # fmt: skip
            summaries[self._keys.key(*series)].append(summary)
        return dict(summaries)

    def _instant(self, expression: str, at: int) -> dict[tuple[str, str], float]:
        """(agent or nothing, device) -> value of an expression at a time."""
        return {
            (row["metric"].get("agent", ""), row["metric"]["device"]): float(row["value"][1])
            for row in self._ask(expression, at)
        }

    def _ask(self, expression: str, at: int) -> list[dict[str, Any]]:
        """The result of an expression at a time: `{"metric", "value"}` each."""
        query = {"query": expression, "time": _seconds(at), "nocache": "1"}
        answer = orjson.loads(self._reader.request("GET", "/api/v1/query", query))
        if answer.get("isPartial"):
            raise StoreError(cause("store_part_away"))
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def close(self) -> None:
        """Release the connections too."""
        super().close()
        self._endpoint.close()
        self._reader.close()


def _joined(rows: dict[int, dict[str, Any]]) -> Samples:
    ordered = sorted(rows.items())
    texts = [
        row["text"] if row["kind"] != "json" else orjson.loads(row["text"]) for _, row in ordered
    ]
    numbers = [np.nan if row["text"] is not None else row.get("num", np.nan) for _, row in ordered]
    return Samples(
        np.array([ms for ms, _ in ordered], np.int64) * 1_000_000,
        np.array(numbers, np.float64),
        np.array([_KIND[row["kind"]] for _, row in ordered], np.uint8),
        np.array([row.get("status", 0) for _, row in ordered], np.uint32),
        np.array([int(row.get("source", NO_TIME)) for _, row in ordered], np.int64),
        np.array([int(row.get("stored", NO_TIME)) for _, row in ordered], np.int64),
        texts,
    )


def _seconds(ns: int) -> str:
    """Unix seconds with milliseconds."""
    return f"{ns // 1_000_000_000}.{ns // 1_000_000 % 1000:03}"


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1000) * 1_000_000


def _round_to_milliseconds(ns: float) -> int:
    """A time kept as a number, to the millisecond below, as the server cuts the times of samples:
    they stay in order.

    The number is a double and some hundred nanoseconds off.
    """
    return (int(ns) + 1000) // 1_000_000 * 1_000_000


def _quoted(text: str) -> str:
    """A string of the query language; JSON's escapes are its escapes."""
    return orjson.dumps(text).decode()
