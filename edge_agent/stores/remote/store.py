"""What all stores behind HTTP share: lines out, and the sidecar for what the server cannot keep.

A subclass says how lines are sent and how the two measurements, `samples` and `health`, are read
back.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
import time
from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson

from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.errors import PoisonError, StoreError
from edge_agent.identity import DeviceKeys
from edge_agent.intervals import IntervalSet
from edge_agent.reasons import Cause, cause
from edge_agent.stores.base import Refusal, StoreCounts, WriteBatch, new_first_good
from edge_agent.stores.changed_series import hours_of
from edge_agent.stores.derived import DerivedStore
from edge_agent.stores.forgotten import Entry
from edge_agent.stores.registers import RegisterVersion
from edge_agent.stores.remote.http import NotAnsweredError, bounded_wait
from edge_agent.stores.remote.lines import STORE_ID, Encoder, TextStyle, escape_tag
from edge_agent.stores.remote.sidecar import Sidecar
from edge_agent.stores.rollups import HealthTotals, hour_of

log = logging.getLogger(__name__)

_DAY: Final = 86_400_000_000_000
_SNAPSHOT_SECONDS: Final = 60.0

#: The id is written again so often, so that no retention takes it.
_ID_EVERY_S: Final = 1_200.0
#: What was written is found by a query after so long at the most.
_VISIBLE_S: Final = 5.0


#: A server that has just answered is not asked for a sign of life again.
_ALIVE_S: Final = 2.0


class RemoteStore(DerivedStore):
    """Implements the store protocol but for what a subclass sends and reads back.

    Lines carry the agent as a tag; those from before agents were kept have none, and are the own
    agent's.
    """

    #: Where a text goes.
    style: TextStyle
    #: The first time the server takes, and how far into the future (ns).
    earliest: int
    future: int

    def __init__(self, config: StoreConfig, agent: str = "", others: Collection[str] = ()) -> None:
        super().__init__(DeviceKeys(agent, others))
        self._days = config.retention.days
        self._health_days = config.retention.health_days
        self._address = " ".join(filter(None, (config.kind, config.url, config.org, config.bucket)))
        self._id_written = time.monotonic()
        self._lived = float("-inf")
        self._sidecar = Sidecar(config.path.with_suffix(".sqlite"), self._keys)
        self._sidecar.recall(self._address)
        self.catalogue = self._sidecar.catalogue()
        self._encoder = Encoder(self.catalogue, self.style)
        self._first_good = self._sidecar.first_good()
        self._newest.update(self._sidecar.newest())
        self._newest.note_former_names(self.catalogue)
        self._saved = time.monotonic()

    @abstractmethod
    def _send(self, lines: bytes) -> None:
        """Write lines. Raises StoreError or PoisonError."""

    @abstractmethod
    def store_ids(self) -> list[str]:
        """The ids in the measurement STORE_ID."""

    @abstractmethod
    def holds_data(self) -> bool:
        """Whether the server has any of our health rows."""

    # --- which store this is ----------------------------------------------------------------------

    def identify(self) -> None:
        """The id that the server keeps; a server without one gets one. A server that takes lines
        and answers no questions is known by its address."""
        if self.store_id:
            return
        known = self._sidecar.store_at(self._address)
        by_address = hashlib.sha256(self._address.encode()).hexdigest()[:16]
        adopt = self._sidecar.has_former_marks
        try:
            found = self.store_ids()
            adopt = adopt and self.holds_data()
        except (NotAnsweredError, PoisonError) as error:
            log.warning("store-known-by-address address=%r reason=%s", self._address, error)
            store = known or by_address
        else:
            store = (
                known
                if known in (*found, by_address)
                else min(found, default="") or secrets.token_hex(8)
            )
            self._write_id(store)
            if not found:
                self._wait_for_id()
        self._sidecar.use(store, self._address, adopt=adopt)
        self.store_id = store

    def recheck(self) -> bool:
        """Whether the server has lost the id: one question."""
        if not self.store_id:
            return False
        try:
            with bounded_wait():  # writing waits meanwhile
                found = self.store_ids()
            if self.store_id in found:
                return False
        except (NotAnsweredError, PoisonError):  # it is known by its address
            return False
        before = self.store_id
        self.store_id = ""
        try:
            self.identify()
        finally:
            # as long as no other is known the marks are this one's
            self.store_id = self.store_id or before
        log.warning(
            "store-replaced before=%s now=%s address=%r", before, self.store_id, self._address
        )
        return self.store_id != before

    def misplaced(self) -> Cause | None:
        """None: the data are the server's; another server at the address is found by `recheck`."""
        return None

    def ask_for_life(self) -> None:
        """One short question, before somebody asks much and waits. Raises StoreError when it is not
        answered."""
        if time.monotonic() - self._lived < _ALIVE_S:
            return
        with bounded_wait(), contextlib.suppress(NotAnsweredError, PoisonError):
            self.store_ids()
        self._lived = time.monotonic()

    def _write_id(self, store: str) -> None:
        try:
            self._send(f"{STORE_ID},id={store} value=1 {time.time_ns()}".encode())
        except PoisonError as error:
            raise StoreError(cause("store_id_refused", why=error)) from error
        self._id_written = time.monotonic()

    def _wait_for_id(self) -> None:
        """Whoever asks next is to find it."""
        ends = time.monotonic() + _VISIBLE_S
        while not self.store_ids() and time.monotonic() < ends:
            time.sleep(0.05)

    def check(self, batch: WriteBatch) -> list[Refusal]:
        """Found here, because the server would answer 204 and drop them, or refuse their neighbours
        too."""
        return self._encoder.refusals(batch.rows, self.earliest, batch.stored + self.future)

    def write(self, batch: WriteBatch) -> None:
        """The server first, the marks after it."""
        self.identify()
        lines = self._encoder.samples(batch.rows, batch.stored) + self._encoder.health(batch.health)
        if lines:
            self._send("\n".join(lines).encode())
        first_good = new_first_good(batch.health, self._first_good)
        self._sidecar.save(batch, self.catalogue, first_good)
        self._first_good |= first_good
        self._touched.add(hours_of(batch))
        self._open_health.touched({hour_of(row["t"]) for row in batch.health}, batch.stored)
        self._newest.update(batch.rows, batch.stored)
        if time.monotonic() - self._saved > _SNAPSHOT_SECONDS:
            self._sidecar.save_newest(self._newest.rows())
            self._saved = time.monotonic()

    def marks(self, streams: Collection[str] | None = None) -> dict[str, IntervalSet]:
        """From the sidecar."""
        return self._sidecar.marks(streams)

    def incomplete_marks(self) -> dict[str, IntervalSet]:
        """From the sidecar."""
        return self._sidecar.incomplete_marks()

    def counts(self) -> StoreCounts:
        """From the sidecar."""
        totals = self._sidecar.counts()
        return StoreCounts(totals.get("stored", 0), totals.get("quarantined", 0))

    def kept_hours(self, from_ns: int, to_ns: int) -> set[int]:
        """In the sidecar."""
        return self._sidecar.kept_hours(from_ns, to_ns)

    def hour_totals(self, from_ns: int, to_ns: int) -> dict[str, HealthTotals]:
        """From the sidecar."""
        return self._sidecar.hour_totals(from_ns, to_ns)

    def keep_hour(self, hour: int, totals: Mapping[str, HealthTotals]) -> None:
        """In the sidecar."""
        self._sidecar.keep_hour(hour, totals)

    def transitions(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """From the sidecar."""
        return [
            row | {"device": self._now(row["device"])}
            for row in self._sidecar.transitions(from_ns, to_ns)
        ]

    def gaps(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """From the sidecar."""
        return self._sidecar.gaps(from_ns, to_ns)

    def forget(self, entry: Entry, t: int) -> None:
        """In the sidecar."""
        entries = self.catalogue.entries_of(entry)
        self._sidecar.forget(entries, t)
        self.catalogue.forgotten.forget(entries, t)

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
            sql = "select document, max(t) from metrics group by metric order by metric"
            values = ()
        else:
            sql = "select document, t from metrics where t >= ? and t < ? order by t, metric"
            values = (from_ns, 2**63 - 1 if to_ns is None else to_ns)
        return [orjson.loads(row[0]) for row in self._sidecar.query(sql, values)]

    def newest_metric(self, from_ns: int, to_ns: int) -> int | None:
        """From the sidecar."""
        sql = "select max(t) from metrics where t >= ? and t < ?"
        newest: int | None = self._sidecar.query(sql, (from_ns, to_ns))[0][0]
        return newest

    def keep_register(self, version: RegisterVersion, document: str) -> None:
        """In the sidecar."""
        self._sidecar.keep_register(version, document)

    def register_versions(self) -> list[RegisterVersion]:
        """From the sidecar."""
        return self._sidecar.register_versions()

    def register_document(self, version: str) -> str | None:
        """From the sidecar."""
        return self._sidecar.register_document(version)

    def retain(self, now_ns: int) -> int:
        """The server has its own retention; the sidecar's documents go by age."""
        if self.store_id and time.monotonic() - self._id_written > _ID_EVERY_S:
            self._write_id(self.store_id)
        self._sidecar.age(now_ns - int(self._days * _DAY))
        self._sidecar.age_health(now_ns - int(self._health_days * _DAY))
        return 0

    def release_caches(self) -> None:
        """Nothing: the server has them."""

    def close(self) -> None:
        """Keep the newest samples for the next start."""
        with contextlib.suppress(StoreError):
            self._sidecar.save_newest(self._newest.rows())
        self._sidecar.close()
