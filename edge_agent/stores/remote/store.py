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
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.errors import PoisonError, StoreError
from edge_agent.identity import DeviceKeys
from edge_agent.intervals import IntervalSet
from edge_agent.reasons import Cause, cause
from edge_agent.stores import from_samples
from edge_agent.stores.base import (
    DaySteps,
    DeviceReadings,
    GoodValues,
    HealthSummary,
    LatestSample,
    LiveFacts,
    Name,
    Refusal,
    Silence,
    StoreCounts,
    TagCounts,
    WriteBatch,
    live_facts,
    new_first_good,
)
from edge_agent.stores.changed_series import ChangedSeries, hours_of
from edge_agent.stores.columns import Floats, Longs, SampleRuns, Samples
from edge_agent.stores.evidence import REACH_NS, SEAM_NS, clipped, joined
from edge_agent.stores.forgotten import Entry
from edge_agent.stores.newest_samples import NewestSamples
from edge_agent.stores.registers import RegisterVersion
from edge_agent.stores.remote.http import NotAnsweredError, bounded_wait
from edge_agent.stores.remote.lines import STORE_ID, Encoder, TextStyle, escape_tag
from edge_agent.stores.remote.rows import HealthRows, in_time
from edge_agent.stores.remote.sidecar import Sidecar
from edge_agent.stores.rollups import (
    HOUR_NS,
    HealthTotals,
    OpenHours,
    RolledHour,
    hour_of,
    split_window,
)

log = logging.getLogger(__name__)

_DAY: Final = 86_400_000_000_000
_SNAPSHOT_SECONDS: Final = 60.0
#: Figures ask for 30 days of health.
_LOOK_BACK: Final = 31 * _DAY


#: The id is written again so often, so that no retention takes it.
_ID_EVERY_S: Final = 1_200.0
#: What was written is found by a query after so long at the most.
_VISIBLE_S: Final = 5.0


#: A server that has just answered is not asked for a sign of life again.
_ALIVE_S: Final = 2.0


class RemoteStore(ABC):
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
        self._days = config.retention.days
        self._health_days = config.retention.health_days
        self._open_health = OpenHours()
        self._looked_for_health = False
        self._keys = DeviceKeys(agent, others)
        self._address = " ".join(filter(None, (config.kind, config.url, config.org, config.bucket)))
        self.store_id = ""
        self._id_written = time.monotonic()
        self._lived = float("-inf")
        self._sidecar = Sidecar(config.path.with_suffix(".sqlite"), self._keys)
        self._sidecar.recall(self._address)
        self.catalogue = self._sidecar.catalogue()
        self._encoder = Encoder(self.catalogue, self.style)
        self._first_good = self._sidecar.first_good()
        self._touched = ChangedSeries()
        self._newest = NewestSamples()
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

    @abstractmethod
    def samples_of(self, device: str, tag: str, from_ns: int, to_ns: int) -> Samples:
        """One series in `from <= t < to`, sorted by `t`."""

    @abstractmethod
    def last_of(self, device: str, tag: str, from_ns: int, to_ns: int) -> int | None:
        """Time of the newest sample of a series in `from <= t < to`."""

    @abstractmethod
    def evidence_rows(self, from_ns: int, to_ns: int) -> dict[str, tuple[Longs, Longs]]:
        """Device -> (last good time, covered ns) of its health rows with coverage in `from < t <=
        to`."""

    @abstractmethod
    def health_rows(self, from_ns: int, to_ns: int) -> dict[str, HealthRows]:
        """Device -> its health rows in `from < t <= to`, sorted."""

    @abstractmethod
    def health_of(self, from_ns: int, to_ns: int) -> dict[str, list[HealthSummary]]:
        """Device -> summaries of its health rows in `from < t <= to`, one for each of its
        series."""

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

    # --- reading ----------------------------------------------------------------------------------

    def readings(self, now_ns: int) -> dict[str, DeviceReadings]:
        """From memory."""
        return self._newest.by_device(self.catalogue, now_ns)

    def good_values(self) -> GoodValues:
        """From memory."""
        return self._newest.good_values()

    def latest_of(self, device: str, tag: str) -> LatestSample | None:
        """From memory."""
        return self._newest.of_tag(self.catalogue, device, tag)

    def samples(self, device: str, tag: str, from_ns: int, to_ns: int) -> Samples:
        """One tag in `from <= t < to`, sorted by `t`, under all its names."""
        parts = [
            self.samples_of(*name, from_ns, to_ns) for name in self.catalogue.history(device, tag)
        ]
        return parts[0] if len(parts) == 1 else Samples.joined(parts)

    def last_before(self, name: Name, from_ns: int, to_ns: int) -> int | None:
        """Time of the newest sample, under all the tag's names."""
        times = [self.last_of(*each, from_ns, to_ns) for each in self.catalogue.history(*name)]
        return max((t for t in times if t is not None), default=None)

    def changes(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, SampleRuns]:
        """The server's samples, cut down here: its query language knows no runs of equal
        readings."""
        return from_samples.changes(self.samples, self.last_before, names, from_ns, to_ns)

    def counted(
        self, moments: Mapping[Name, Longs], from_ns: int, to_ns: int
    ) -> dict[Name, SampleRuns]:
        """The server's samples, of which only the runs that tell are kept."""
        return from_samples.counted(
            self.samples, self.last_before, self._newest_of, moments, from_ns, to_ns
        )

    def steps(
        self, names: Sequence[Name], first_day: int, end_day: int
    ) -> dict[Name, Mapping[int, DaySteps]]:
        """Nothing: weeks of samples would have to be fetched for each figure."""
        return {}

    def _newest_of(self, name: Name) -> int | None:
        return self._newest.time(self.catalogue.sids(name))

    def seen(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, TagCounts]:
        """From the server's samples."""
        return from_samples.seen(self.samples, names, from_ns, to_ns)

    def evidence(self, from_ns: int, to_ns: int) -> dict[str, list[tuple[int, int]]]:
        """From the server's health rows."""
        parts: dict[str, list[tuple[Longs, Longs]]] = defaultdict(list)
        for device, rows in self.evidence_rows(from_ns - SEAM_NS, to_ns + REACH_NS).items():
            parts[self._now(device)].append(rows)
        found = {}
        for device, rows_of in sorted(parts.items()):
            until, covered = (np.concatenate(columns) for columns in zip(*rows_of, strict=True))
            if spans := clipped(joined(until - covered, until), from_ns, to_ns):
                found[device] = spans
        return found

    def _now(self, device: str) -> str:
        """What a device is called now, which may have had another name."""
        return self.catalogue.former.current.get(device, device)

    def lateness(
        self, names: Sequence[Name], from_ns: int, to_ns: int
    ) -> dict[str, dict[int, int]]:
        """From the server's samples."""
        return from_samples.lateness(self.samples, names, from_ns, to_ns)

    def energy(self, moments: Mapping[Name, Longs]) -> dict[Name, Floats]:
        """The server's samples, of which only what they add up to is kept."""
        return from_samples.energy(self.samples, self.last_before, moments)

    def health(self, from_ns: int, to_ns: int) -> dict[str, HealthSummary]:
        """Device -> summary of its health rows in `from < t <= to`."""
        parts: dict[str, list[HealthSummary]] = defaultdict(list)
        for device, summaries in self.health_of(from_ns, to_ns).items():
            parts[self._now(device)] += summaries
        return {device: HealthSummary.of(summaries) for device, summaries in sorted(parts.items())}

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

    def latest(self, device: str | None = None) -> dict[str, dict[str, LatestSample]]:
        """From memory."""
        return self._newest.latest(self.catalogue, device)

    def health_by(
        self, from_ns: int, to_ns: int, step_ns: int
    ) -> dict[str, list[tuple[int, HealthSummary]]]:
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
        last: dict[str, tuple[int, str]] = {}
        for start in range(from_ns, to_ns, _DAY):
            for device, (t, covered, states) in self._health_rows(
                start, min(to_ns, start + _DAY)
            ).items():
                last_t, last_state = last.get(device, (t[0], ""))
                before = np.append(last_t, t[:-1])
                states_before = [last_state, *states[:-1]]
                last[device] = int(t[-1]), states[-1]
                found[device] += [
                    Silence(int(before[i]), int(t[i]), states[i])
                    for i in np.flatnonzero(t - before - covered > longest_ns).tolist()
                    if not states[i] == states_before[i] == "offline"
                ]
        return {device: silences for device, silences in found.items() if silences}

    def _health_rows(self, from_ns: int, to_ns: int) -> dict[str, HealthRows]:
        """Health rows by what the devices are called now."""
        parts: dict[str, list[HealthRows]] = defaultdict(list)
        for device, rows in self.health_rows(from_ns, to_ns).items():
            parts[self._now(device)].append(rows)
        return {device: in_time(rows) for device, rows in sorted(parts.items())}

    def health_sums(self, from_ns: int, to_ns: int, step_ns: int) -> dict[str, Longs]:
        """From the summaries."""
        return {
            device: np.array(
                [
                    [
                        end,
                        round(1000 * row.scheduled_s),
                        round(1000 * row.covered_s),
                        row.due,
                        row.done,
                        row.good,
                        row.bad,
                        row.values,
                        row.overruns,
                        -1 if row.last_good_t is None else row.last_good_t,
                    ]
                    for end, row in rows
                ],
                np.int64,
            )
            for device, rows in self.health_by(from_ns, to_ns, step_ns).items()
        }

    def live_facts(self, from_ns: int, to_ns: int) -> dict[str, LiveFacts]:
        """The server's sums, and the first connections from the sidecar."""
        return live_facts(
            self.catalogue, self._first_good, self.health_totals(from_ns, to_ns), to_ns
        )

    def health_totals(self, from_ns: int, to_ns: int) -> dict[str, HealthTotals]:
        """Whole hours from the sidecar, as far as they are kept there, and the rest from the
        server."""
        hours, rest = split_window(self._sidecar.kept_hours(from_ns, to_ns), from_ns, to_ns)
        parts: dict[str, list[HealthTotals]] = defaultdict(list)
        found = [self._sidecar.hour_totals(*span) for span in hours] + [
            self._server_totals(*span) for span in rest
        ]
        for each in found:
            for device, totals in each.items():
                parts[self._now(device)].append(totals)
        return {device: HealthTotals.of(parts[device]) for device in sorted(parts)}

    def _server_totals(self, from_ns: int, to_ns: int) -> dict[str, HealthTotals]:
        """By the names the devices had."""
        return {
            device: HealthTotals.of(
                [
                    HealthTotals(row.scheduled_s, row.covered_s, row.good, row.bad, row.last_good_t)
                    for row in rows
                ]
            )
            for device, rows in self.health_of(from_ns, to_ns).items()
        }

    def read_open_hours(self, now_ns: int, hours: int) -> list[RolledHour]:
        """Ask the server for past hours, one question each; at first those that figures look back
        on."""
        if not self.store_id:
            return []
        if not self._looked_for_health:
            looked_back = range(hour_of(now_ns) - _LOOK_BACK, hour_of(now_ns), HOUR_NS)
            self._open_health.found(
                {*looked_back} - self._sidecar.kept_hours(looked_back[0] - 1, now_ns)
            )
            self._looked_for_health = True
        due = self._open_health.due(now_ns, hours)
        return [
            RolledHour(hour, write, self._server_totals(hour - HOUR_NS, hour))
            for hour, write in due.items()
        ]

    def keep_hours(self, hours: Sequence[RolledHour]) -> int:
        """In the sidecar."""
        kept = [each for each in hours if self._open_health.unchanged(each.hour, each.write)]
        for each in kept:
            self._sidecar.keep_hour(each.hour, each.content)
            self._open_health.rolled_up(each.hour)
        return len(kept)

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

    def release_caches(self) -> None:  # noqa: B027 - nothing to do is what it does
        """Nothing: the server has them."""

    def close(self) -> None:
        """Keep the newest samples for the next start."""
        with contextlib.suppress(StoreError):
            self._sidecar.save_newest(self._newest.rows())
        self._sidecar.close()
