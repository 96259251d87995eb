"""What all stores behind HTTP share: lines out, and the sidecar for what the server cannot keep.

A subclass says how lines are sent and how the two measurements, `samples` and `health`, are read back.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from edge_agent.config.models import Store as StoreConfig
from edge_agent.errors import StoreError
from edge_agent.intervals import IntervalSet
from edge_agent.model import STATUS
from edge_agent.stores.base import (
    LOOKBACK_NS,
    NEXT_NS,
    SKEWS,
    Counts,
    HealthSummary,
    Latest,
    LiveFacts,
    Name,
    Refusal,
    Seen,
    Silence,
    WriteBatch,
    new_first_good,
)
from edge_agent.stores.columns import NO_TIME, Changes, Floats, Longs, Samples
from edge_agent.stores.evidence import REACH_NS, clipped, joined
from edge_agent.stores.held import Adding, piece
from edge_agent.stores.lines import Encoder, TextStyle, escape_tag
from edge_agent.stores.newest import Newest
from edge_agent.stores.sidecar import Sidecar
from edge_agent.stores.telling import counted, in_order
from edge_agent.stores.touched import Touched, hours_of

_DAY: Final = 86_400_000_000_000
_SNAPSHOT_SECONDS: Final = 60.0


#: Times, covered ns, and states of the health rows of one device.
HealthRows = tuple[Longs, Longs, list[str]]


def _seen(samples: Samples) -> Seen:
    status = samples.status.astype(np.int64)
    usable = samples.num[((status & 0x80000000) == 0) & ~np.isnan(samples.num)]
    stamped = samples.source != NO_TIME
    return Seen(
        len(samples),
        int(np.count_nonzero(status & 0xC0000000)),
        int(np.count_nonzero((status & 0xFFFF0000) == STATUS["UncertainEngineeringUnitsExceeded"])),
        len(usable),
        float(usable.min()) if len(usable) else None,
        float(usable.max()) if len(usable) else None,
        tuple((samples.t[stamped] - samples.source[stamped]).tolist()[:SKEWS]),
    )


class RemoteStore(ABC):
    """Implements the store protocol but for `_send`, `samples` and `health`."""

    #: Where a text goes.
    style: TextStyle
    #: The first time the server takes, and how far into the future (ns).
    earliest: int
    future: int

    def __init__(self, config: StoreConfig) -> None:
        self._days = config.retention.days
        self._sidecar = Sidecar(config.path.with_suffix(".sqlite"))
        self.catalogue = self._sidecar.catalogue()
        self._encoder = Encoder(self.catalogue, self.style)
        self._first_good: dict[str, int] = dict(self._sidecar.query("select device, t from first_good"))
        self._touched = Touched()
        self._newest = Newest()
        self._newest.update(self._sidecar.newest())
        self._saved = time.monotonic()

    @abstractmethod
    def _send(self, lines: bytes) -> None:
        """Write lines. Raises StoreError or PoisonError."""

    @abstractmethod
    def samples(self, device: str, tag: str, from_ns: int, to_ns: int) -> Samples:
        """One tag in `from <= t < to`, sorted by `t`."""

    @abstractmethod
    def last_before(self, device: str, tag: str, from_ns: int, to_ns: int) -> int | None:
        """Time of the newest sample of a tag in `from <= t < to`."""

    @abstractmethod
    def evidence_rows(self, from_ns: int, to_ns: int) -> dict[str, tuple[Longs, Longs]]:
        """Device -> (last good time, covered ns) of its health rows with coverage in `from < t <= to`."""

    @abstractmethod
    def health_rows(self, from_ns: int, to_ns: int) -> dict[str, HealthRows]:
        """Device -> its health rows in `from < t <= to`, sorted."""

    @abstractmethod
    def health(self, from_ns: int, to_ns: int) -> dict[str, HealthSummary]:
        """Device -> summary of its health rows in `from < t <= to`."""

    def changes(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, Changes]:
        """The server's samples day by day, cut down here: its query language knows no runs of equal readings."""
        found = {}
        for name in names:
            newest = self.last_before(*name, from_ns - LOOKBACK_NS, from_ns)
            starts = [] if newest is None else [(newest, min(from_ns, newest + 1_000_000))]
            starts += [(start, min(to_ns, start + _DAY)) for start in range(from_ns, to_ns, _DAY)]
            parts = [self.samples(*name, first, last) for first, last in starts]
            runs = Changes.join([Changes.of(part.t, part.num, part.status) for part in parts])
            if len(runs):
                found[name] = runs
        return found

    def counted(self, moments: Mapping[Name, Longs], from_ns: int, to_ns: int) -> dict[Name, Changes]:
        """The server's samples day by day, of which only the runs that tell are kept."""
        found = {}
        for name, asked in moments.items():
            newest = self.last_before(*name, from_ns - LOOKBACK_NS, from_ns)
            starts = [] if newest is None else [(newest, min(from_ns, newest + 1_000_000))]
            days = range(from_ns - from_ns % _DAY, to_ns + NEXT_NS, _DAY)
            starts += [(max(day, from_ns), min(to_ns + NEXT_NS, day + _DAY)) for day in days]
            parts = []
            for first, last in starts:
                part = self.samples(*name, first, last)
                parts.append(counted(part.t, part.num, part.status, np.append(asked, to_ns)))
            runs = in_order(parts)
            if len(runs):
                found[name] = runs
        return found

    def seen(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, Seen]:
        """From the server's samples."""
        return {
            name: _seen(samples) for name in names for samples in (self.samples(*name, from_ns, to_ns),) if len(samples)
        }

    def evidence(self, from_ns: int, to_ns: int) -> dict[str, list[tuple[int, int]]]:
        """From the server's health rows."""
        found = {}
        for device, (until, covered) in sorted(self.evidence_rows(from_ns, to_ns + REACH_NS).items()):
            if spans := clipped(joined(until - covered, until), from_ns, to_ns):
                found[device] = spans
        return found

    def lateness(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[str, dict[int, int]]:
        """From the server's samples."""
        found: dict[str, dict[int, int]] = {}
        for device, tag in names:
            rows = self.samples(device, tag, from_ns, to_ns)
            late = rows.stored - np.where(rows.source == NO_TIME, rows.t, rows.source)
            own = found.setdefault(device, {})
            for ms, count in zip(*np.unique((late + 500_000) // 1_000_000, return_counts=True), strict=True):
                own[int(ms)] = own.get(int(ms), 0) + int(count)
        return {device: own for device, own in found.items() if own}

    def energy(self, moments: Mapping[Name, Longs]) -> dict[Name, Floats]:
        """The server's samples day by day, of which only what they add up to is kept."""
        found = {}
        for name, asked in moments.items():
            first, last = int(asked[0]), int(asked[-1])
            adding = Adding(asked, self._held(name, first))
            for start in range(first, last, _DAY):
                end = min(last, start + _DAY)
                part = self.samples(*name, start, end)
                adding.add(piece(part.t, part.num, part.status, end), end)
            if adding.seen:
                found[name] = adding.total
        return found

    def _held(self, name: Name, at: int) -> float | None:
        """The rate that holds at a moment: that of the last reading before; None without any."""
        newest = self.last_before(*name, at - LOOKBACK_NS, at)
        if newest is None:
            return None
        part = self.samples(*name, newest, min(at, newest + 1_000_000))
        lead = piece(part.t, part.num, part.status, at)
        return None if lead is None else lead.rate

    def watch(  # noqa: B027 - nothing to do is its meaning here
        self,
        names: Sequence[Name],
        powers: Mapping[Name, Sequence[Name]] | None = None,
        counters: Mapping[Name, Sequence[Name]] | None = None,
    ) -> None:
        """The server keeps what it has as it likes."""

    def compact(self, now_ns: int, hours: int) -> int:
        """Nothing: compaction is the server's."""
        return 0

    def take_touched(self) -> set[int]:
        """Hours written to since the last call."""
        return self._touched.take()

    def check(self, batch: WriteBatch) -> list[Refusal]:
        """Found here, because the server would answer 204 and drop them, or refuse their neighbours too."""
        return self._encoder.refusals(batch.rows, self.earliest, batch.stored + self.future)

    def write(self, batch: WriteBatch) -> None:
        """The server first, the marks after it."""
        lines = self._encoder.samples(batch.rows, batch.stored) + self._encoder.health(batch.health)
        if lines:
            self._send("\n".join(lines).encode())
        first_good = new_first_good(batch.health, self._first_good)
        self._sidecar.save(batch, self.catalogue, first_good)
        self._first_good |= first_good
        self._touched.add(hours_of(batch))
        self._newest.update(batch.rows, batch.stored)
        if time.monotonic() - self._saved > _SNAPSHOT_SECONDS:
            self._sidecar.save_newest(self._newest.rows())
            self._saved = time.monotonic()

    def marks(self) -> dict[str, IntervalSet]:
        """From the sidecar."""
        return self._sidecar.marks()

    def counts(self) -> Counts:
        """From the sidecar."""
        totals = dict(self._sidecar.query("select name, count from totals"))
        return Counts(totals.get("stored", 0), totals.get("quarantined", 0))

    def latest(self, device: str | None = None) -> dict[str, dict[str, Latest]]:
        """From memory."""
        return self._newest.latest(self.catalogue, device)

    def health_by(self, from_ns: int, to_ns: int, step_ns: int) -> dict[str, list[tuple[int, HealthSummary]]]:
        """By halving: a stretch without health rows is one question, however long it is."""
        found: dict[str, list[tuple[int, HealthSummary]]] = defaultdict(list)
        open_spans = [(from_ns // step_ns, -(-to_ns // step_ns))]
        while open_spans:
            first, last = open_spans.pop()
            summaries = self.health(max(from_ns, first * step_ns), min(to_ns, last * step_ns))
            if summaries and last - first > 1:
                middle = (first + last) // 2
                open_spans += [(middle, last), (first, middle)]  # the earlier half comes first
                continue
            for device, summary in summaries.items():
                found[device].append((last * step_ns, summary))
        return dict(found)

    def silences(self, from_ns: int, to_ns: int, longest_ns: int) -> dict[str, list[Silence]]:
        """From the server's health rows, a day at a time."""
        found: dict[str, list[Silence]] = defaultdict(list)
        last: dict[str, int] = {}
        for start in range(from_ns, to_ns, _DAY):
            for device, (t, covered, states) in sorted(self.health_rows(start, min(to_ns, start + _DAY)).items()):
                before = np.append(last.get(device, t[0]), t[:-1])
                last[device] = int(t[-1])
                found[device] += [
                    Silence(int(before[i]), int(t[i]), states[i])
                    for i in np.flatnonzero(t - before - covered > longest_ns).tolist()
                ]
        return {device: silences for device, silences in found.items() if silences}

    def health_sums(self, from_ns: int, to_ns: int, step_ns: int) -> dict[str, Longs]:
        """From the summaries."""
        return {
            device: np.array([
                [end, round(1000 * row.scheduled_s), round(1000 * row.covered_s), row.due, row.done, row.good, row.bad,
                 row.values, row.overruns, -1 if row.last_good_t is None else row.last_good_t]
                for end, row in rows
            ], np.int64)
            for device, rows in self.health_by(from_ns, to_ns, step_ns).items()
        }  # fmt: skip

    def live_facts(self, from_ns: int, to_ns: int) -> dict[str, LiveFacts]:
        """The server's sums, and the first connections from the sidecar."""
        sums = self.health(from_ns, to_ns)
        first = {device: t for device, t in self._first_good.items() if t <= to_ns}
        facts: dict[str, LiveFacts] = {}
        for device in sorted({*sums, *first, *self.catalogue.devices}):
            if (row := sums.get(device)) is None:
                facts[device] = LiveFacts(first.get(device), None, 0.0, 0.0, 0, 0)
            else:
                facts[device] = LiveFacts(
                    first.get(device), row.last_good_t, row.scheduled_s, row.covered_s, row.good, row.bad
                )
        return facts

    def transitions(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """From the sidecar."""
        return self._documents("transitions", from_ns, to_ns)

    def gaps(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """From the sidecar."""
        return self._documents("gaps", from_ns, to_ns)

    def _documents(self, table: str, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        sql = f"select document from {table} where t > ? and t <= ? order by t"  # noqa: S608 - a table of ours
        return [orjson.loads(document) for (document,) in self._sidecar.query(sql, (from_ns, to_ns))]

    def put_metric(self, metric: str, t: int, document: Mapping[str, Any]) -> None:
        """The document into the sidecar; its value to the server too, for dashboards."""
        value = document.get("value")
        if isinstance(value, int | float):
            self._send(f"metrics,id={escape_tag(metric)} value={float(value)!r} {t}".encode())
        self._sidecar.put_metric(metric, t, document)

    def metrics(self, from_ns: int | None = None, to_ns: int | None = None) -> list[dict[str, Any]]:
        """From the sidecar."""
        values: tuple[int, ...]
        if from_ns is None:
            sql, values = "select document, max(t) from metrics group by metric order by metric", ()
        else:
            sql = "select document, t from metrics where t >= ? and t < ? order by t, metric"
            values = (from_ns, 2**63 - 1 if to_ns is None else to_ns)
        return [orjson.loads(row[0]) for row in self._sidecar.query(sql, values)]

    def retain(self, now_ns: int) -> int:
        """The server has its own retention; the sidecar's documents go by age."""
        self._sidecar.forget(now_ns - int(self._days * _DAY))
        return 0

    def release_caches(self) -> None:  # noqa: B027 - nothing to do is what it does
        """Nothing: the server has them."""

    def close(self) -> None:
        """Keep the newest samples for the next start."""
        with contextlib.suppress(StoreError):
            self._sidecar.save_newest(self._newest.rows())
        self._sidecar.close()
