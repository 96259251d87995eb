"""What all stores behind HTTP share: lines out, and the sidecar for what the server cannot keep.

A subclass says how lines are sent and how the two measurements, `samples` and `health`, are read back.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import orjson

from edge_agent.config.models import Store as StoreConfig
from edge_agent.errors import StoreError
from edge_agent.intervals import IntervalSet
from edge_agent.stores.base import Counts, HealthSummary, Latest, LiveFacts, Refusal, WriteBatch, new_first_good
from edge_agent.stores.columns import Samples
from edge_agent.stores.lines import Encoder, TextStyle, escape_tag
from edge_agent.stores.newest import Newest
from edge_agent.stores.sidecar import Sidecar

_DAY: Final = 86_400_000_000_000
_SNAPSHOT_SECONDS: Final = 60.0


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
    def health(self, from_ns: int, to_ns: int) -> dict[str, HealthSummary]:
        """Device -> summary of its health rows in `from < t <= to`."""

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
        self._newest.update(batch.rows)
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

    def close(self) -> None:
        """Keep the newest samples for the next start."""
        with contextlib.suppress(StoreError):
            self._sidecar.save_newest(self._newest.rows())
        self._sidecar.close()
