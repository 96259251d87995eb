"""A store made of an engine: what a database of two tables does not know is kept in documents, and
what is asked often stands in memory."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from edge_agent.config.models import Retention
from edge_agent.errors import StoreError
from edge_agent.identity import DeviceKeys
from edge_agent.intervals import IntervalSet
from edge_agent.reasons import Cause, cause
from edge_agent.stores.base import (
    HealthSummary,
    Refusal,
    StoreCounts,
    WriteBatch,
    new_first_good,
)
from edge_agent.stores.catalogue import CatalogueChanges
from edge_agent.stores.changed_series import hours_of
from edge_agent.stores.columns import NO_TIME, Longs, Rows, Samples
from edge_agent.stores.derived import DerivedStore
from edge_agent.stores.engine import documents
from edge_agent.stores.engine.documents import packed_text
from edge_agent.stores.forgotten import Entry
from edge_agent.stores.health_rows import HealthRows
from edge_agent.stores.registers import RegisterVersion
from edge_agent.stores.rollups import HealthTotals, hour_of
from edge_agent.stores.sdk import (
    ANY_TIME,
    DocumentKey,
    StoreChanges,
    StoredDocument,
    StoreEngine,
)

_DAY: Final = 86_400_000_000_000
_ID: Final = "id"


class EngineStore(DerivedStore):
    """The store protocol over a `StoreEngine`.

    Tables of documents: `store` (its id), `series`, `births`, `definitions`, `causes`, `forgotten`,
    `first_good`, `marks` (a stream's intervals, `t` is the first number), `totals`, `health`,
    `health_hours`, `health_kept`, `transitions`, `agents`, `gaps`, `metrics`, `newest_metrics`,
    `registers`.
    """

    def __init__(
        self,
        engine: StoreEngine,
        retention: Retention,
        agent: str = "",
        others: Collection[str] = (),
    ) -> None:
        """`agent`: the service's own; `others` of its plant. Raises StoreError."""
        super().__init__(DeviceKeys(agent, others))
        self._engine = engine
        self._days = retention.days
        self._health_days = retention.health_days
        self._lock = threading.Lock()
        self._closed = False
        self._other: Cause | None = None
        self._load()

    # --- what stands in memory --------------------------------------------------------------------

    def _load(self) -> None:
        self.catalogue = documents.read_catalogue(self._documents, self._keys)
        for row in self._documents("first_good"):
            self._first_good[self._key_of(row)] = int(row.text)
        self._marks: dict[str, IntervalSet] = {}
        for row in self._documents("marks"):
            self._marks.setdefault(row.key, IntervalSet()).add(row.t, int(row.text))
        self._totals = Counter({row.key: int(row.text) for row in self._documents("totals")})
        self._kept = {row.t for row in self._documents("health_kept")}
        self._results = {
            row.key: orjson.loads(row.text) for row in self._documents("newest_metrics")
        }
        self._newest.update(self._read_newest())
        self._newest.note_former_names(self.catalogue)
        self.store_id = self._read_id() or self._write_id()

    def _read_newest(self) -> Rows:
        """The newest sample of every series: two questions for each."""
        found: dict[int, Samples] = {}
        for series in self.catalogue.series:
            with self._translated():
                newest = self._engine.last_before(series.sid, *ANY_TIME)
                if newest is not None:
                    found[series.sid] = self._engine.samples(series.sid, newest, newest + 1)
        if not found:
            return Rows.empty()
        last = list(found.values())
        texts = {place: each.text[-1] for place, each in enumerate(last)}
        return Rows(
            np.array(list(found), np.int32),
            np.array([each.t[-1] for each in last], np.int64),
            np.array([each.num[-1] for each in last], np.float64),
            np.array([each.kind[-1] for each in last], np.uint8),
            np.array([each.status[-1] for each in last], np.uint32),
            np.full(len(last), NO_TIME, np.int64),
            {place: text for place, text in texts.items() if text is not None},
        )

    # --- the engine -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._engine.errors as error:
            raise StoreError(f"{type(error).__name__}: {error}") from error

    def _documents(
        self, table: str, from_ns: int = ANY_TIME[0], to_ns: int = ANY_TIME[1]
    ) -> list[StoredDocument]:
        with self._translated():
            return self._engine.documents(table, from_ns, to_ns)

    def _commit(self, changes: StoreChanges) -> None:
        with self._translated():
            self._engine.commit(changes)

    def _put(self, *put: StoredDocument, removed: Sequence[DocumentKey] = ()) -> None:
        self._commit(StoreChanges(Rows.empty(), 0, removed, put))

    def _key_of(self, row: StoredDocument) -> str:
        return documents.device_of(self._keys, row)

    # --- which store this is ----------------------------------------------------------------------

    def _read_id(self) -> str:
        return next((row.text for row in self._documents("store") if row.key == _ID), "")

    def _write_id(self) -> str:
        made = secrets.token_hex(8)
        self._put(StoredDocument("store", _ID, 0, made))
        return made

    def identify(self) -> None:
        """It was known when the store was opened."""

    def recheck(self) -> bool:
        """An emptied database begins anew; another one in its place is not written to."""
        found = self._read_id()
        if found == self.store_id:
            self._other = None
            return False
        if found:
            where = f"store id {found}, not {self.store_id}"
            self._other = cause("store_other", where=where)
            return False
        self._begin_anew()
        self.store_id = self._write_id()
        return True

    def _begin_anew(self) -> None:
        """Nothing of what memory knows is in the database: marks end, all else is written again."""
        catalogue = self.catalogue
        definitions = [
            change for series in catalogue.series for change in catalogue.definitions.of(series.sid)
        ]
        catalogue.put_back(
            CatalogueChanges(list(catalogue.series), dict(catalogue.devices), definitions)
        )
        with self._lock:
            self._marks = {}
            self._totals = Counter()
            self._kept = set()
            self._results = {}
        self._first_good = {}

    def misplaced(self) -> Cause | None:
        """As the engine says, or as `recheck` found."""
        return self._other or self._engine.misplaced()

    def ask_for_life(self) -> None:
        """One short question."""
        self._read_id()

    # --- writing ----------------------------------------------------------------------------------

    def check(self, batch: WriteBatch) -> list[Refusal]:
        """As the engine says."""
        return self._engine.refusals(batch.rows)

    def write(self, batch: WriteBatch) -> None:
        """One commit of the engine."""
        if (lost := self.misplaced()) is not None:
            raise StoreError(lost)
        catalogue = self.catalogue
        catalogue.causes.take_rows(batch.health)
        changes = catalogue.take_changes()
        returned = catalogue.forgotten.take_restored()
        first_good = new_first_good(batch.health, self._first_good)
        marks = documents.with_marks(self._marks, batch)
        totals = self._totals.copy()
        totals["stored"] += sum(mark.values for mark in batch.marks)
        totals["quarantined"] += sum(batch.quarantined.values())
        oldest = batch.stored - int(self._days * _DAY)
        hours = {hour_of(row["t"]) for row in batch.health}
        stale = {hour for hour in hours & self._kept if hour > oldest}
        removed = [
            *documents.outdated_documents(changes, returned, self._keys),
            *documents.outdated_marks(self._marks, marks),
            *self._removed_hours(stale),
        ]
        put = [
            *documents.catalogue_documents(changes, self._keys),
            *documents.mark_documents(self._marks, marks),
            *documents.health_documents(batch, self._keys),
            *(
                documents.about(self._keys, key, "first_good", 0, str(t))
                for key, t in first_good.items()
            ),
            *(StoredDocument("totals", name, 0, str(n)) for name, n in totals.items()),
        ]
        try:
            self._commit(StoreChanges(batch.rows, batch.stored, removed, put))
        except BaseException:
            catalogue.put_back(changes)
            catalogue.forgotten.put_back(returned)
            raise
        self._first_good |= first_good
        with self._lock:
            self._marks |= marks
            self._totals = totals
            self._kept -= stale
        self._touched.add(hours_of(batch))
        self._open_health.touched(hours, batch.stored)
        self._newest.update(batch.rows, batch.stored)

    def forget(self, entry: Entry, t: int) -> None:
        """In a commit of its own."""
        entries = self.catalogue.entries_of(entry)
        self._put(*(StoredDocument("forgotten", packed_text(*each), 0, str(t)) for each in entries))
        self.catalogue.forgotten.forget(entries, t)

    def marks(self, streams: Collection[str] | None = None) -> dict[str, IntervalSet]:
        """From memory, which knows what is committed."""
        with self._lock:
            wanted = list(self._marks) if streams is None else streams
            return {
                stream: IntervalSet(self._marks[stream].pairs())
                for stream in wanted
                if stream in self._marks
            }

    def incomplete_marks(self) -> dict[str, IntervalSet]:
        """Of streams that are more than one interval, or do not begin with 1."""
        found = {}
        for stream, intervals in self.marks().items():
            pairs = intervals.pairs()
            if len(pairs) > 1 or pairs[0][0] > 1:
                found[stream] = intervals
        return found

    def counts(self) -> StoreCounts:
        """From memory."""
        return StoreCounts(self._totals["stored"], self._totals["quarantined"])

    # --- what `DerivedStore` reads ----------------------------------------------------------------

    def samples_of(self, device: str, tag: str, from_ns: int, to_ns: int) -> Samples:
        """One series."""
        sid = self.catalogue.find(device, tag)
        if sid is None:
            return Samples.empty()
        with self._translated():
            return self._engine.samples(sid, from_ns, to_ns)

    def last_of(self, device: str, tag: str, from_ns: int, to_ns: int) -> int | None:
        """Of one series."""
        sid = self.catalogue.find(device, tag)
        if sid is None:
            return None
        with self._translated():
            return self._engine.last_before(sid, from_ns, to_ns)

    def _health(self, from_ns: int, to_ns: int) -> dict[str, list[dict[str, Any]]]:
        """Device -> its health rows in `from < t <= to`, sorted."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in self._documents("health", from_ns + 1, to_ns + 1):
            found[self._key_of(row)].append(orjson.loads(row.text) | {"t": row.t})
        return found

    def evidence_rows(self, from_ns: int, to_ns: int) -> dict[str, tuple[Longs, Longs]]:
        """Rows with coverage."""
        found = {}
        for device, rows in self._health(from_ns, to_ns).items():
            covered = [
                (row["last_good_t"], round(1000 * row["covered_s"]) * 1_000_000)
                for row in rows
                if row.get("covered_s") and row.get("last_good_t") is not None
            ]
            until, lasted = np.array(covered, np.int64).reshape(-1, 2).T
            found[device] = (until, lasted)
        return found

    def health_rows(self, from_ns: int, to_ns: int) -> dict[str, HealthRows]:
        """Time, coverage and state."""
        found = {}
        for device, rows in self._health(from_ns, to_ns).items():
            lasted = [round(1e9 * (row.get("covered_s") or 0.0)) for row in rows]
            found[device] = (
                np.array([row["t"] for row in rows], np.int64),
                np.array(lasted, np.int64),
                [row.get("state") or "" for row in rows],
            )
        return found

    def health_of(self, from_ns: int, to_ns: int) -> dict[str, list[HealthSummary]]:
        """Summed up here."""
        return {
            device: [documents.summary(rows)]
            for device, rows in self._health(from_ns, to_ns).items()
        }

    def kept_hours(self, from_ns: int, to_ns: int) -> set[int]:
        """From memory."""
        with self._lock:
            return {hour for hour in self._kept if from_ns < hour <= to_ns}

    def hour_totals(self, from_ns: int, to_ns: int) -> dict[str, HealthTotals]:
        """From the documents of whole hours."""
        parts: dict[str, list[HealthTotals]] = defaultdict(list)
        for row in self._documents("health_hours", from_ns + 1, to_ns + 1):
            parts[self._key_of(row)].append(HealthTotals(*orjson.loads(row.text)))
        return {device: HealthTotals.of(found) for device, found in parts.items()}

    def keep_hour(self, hour: int, totals: Mapping[str, HealthTotals]) -> None:
        """One commit."""
        put = [StoredDocument("health_kept", "", hour, "")]
        for key, row in totals.items():
            text = packed_text(row.scheduled_s, row.covered_s, row.good, row.bad, row.last_good_t)
            put.append(documents.about(self._keys, key, "health_hours", hour, text))
        self._put(*put, removed=self._removed_hours({hour}))
        with self._lock:
            self._kept.add(hour)

    def _removed_hours(self, hours: Collection[int]) -> list[DocumentKey]:
        found = [DocumentKey("health_kept", "", hour) for hour in hours]
        for hour in hours:
            rows = self._documents("health_hours", hour, hour + 1)
            found += [DocumentKey(row.table, row.key, row.t) for row in rows]
        return found

    def transitions(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """By what devices are called now."""
        rows = self._documents("transitions", from_ns + 1, to_ns + 1)
        return [orjson.loads(row.text) | {"device": self._now(self._key_of(row))} for row in rows]

    def gaps(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """What full outboxes dropped."""
        return [orjson.loads(row.text) for row in self._documents("gaps", from_ns + 1, to_ns + 1)]

    # --- results ----------------------------------------------------------------------------------

    def put_metric(self, metric: str, t: int, document: Mapping[str, Any]) -> None:
        """One commit: the result, and it as the newest one."""
        there = sum(
            orjson.loads(row.key)[0] == metric for row in self._documents("metrics", t, t + 1)
        )
        put = [
            StoredDocument(
                "metrics", packed_text(metric, there), t, orjson.dumps(document).decode()
            )
        ]
        newest = self._results.get(metric)
        is_newest = newest is None or t >= newest[0]
        if is_newest:
            put.append(StoredDocument("newest_metrics", metric, 0, packed_text(t, document)))
        self._put(*put)
        if is_newest:
            with self._lock:
                self._results[metric] = orjson.loads(packed_text(t, document))

    def metrics(self, from_ns: int | None = None, to_ns: int | None = None) -> list[dict[str, Any]]:
        """The newest of each from memory."""
        if from_ns is None:
            with self._lock:
                return [self._results[metric][1] for metric in sorted(self._results)]
        end = ANY_TIME[1] if to_ns is None else to_ns
        return [orjson.loads(row.text) for row in self._documents("metrics", from_ns, end)]

    def newest_metric(self, from_ns: int, to_ns: int) -> int | None:
        """From the documents."""
        rows = self._documents("metrics", from_ns, to_ns)
        return rows[-1].t if rows else None

    def keep_register(self, version: RegisterVersion, document: str) -> None:
        """One commit."""
        name = packed_text(version.version, version.kept_at)
        self._put(StoredDocument("registers", name, version.valid_from, document))

    def register_versions(self) -> list[RegisterVersion]:
        """By the time from which they are valid."""
        found = []
        for row in self._documents("registers"):
            version, kept_at = orjson.loads(row.key)
            found.append(RegisterVersion(version, row.t, kept_at))
        return sorted(found, key=lambda each: (each.valid_from, each.kept_at))

    def register_document(self, version: str) -> str | None:
        """Of the version as it was first kept."""
        kept = [
            (orjson.loads(row.key)[1], row.text)
            for row in self._documents("registers")
            if orjson.loads(row.key)[0] == version
        ]
        return min(kept)[1] if kept else None

    # --- keeping house ----------------------------------------------------------------------------

    def retain(self, now_ns: int) -> int:
        """By age alone; health by hour stays longer."""
        before = now_ns - int(self._days * _DAY)
        health_before = now_ns - int(self._health_days * _DAY)
        tables = dict.fromkeys(("health", "transitions", "gaps", "agents", "metrics"), before)
        tables |= dict.fromkeys(("health_hours", "health_kept"), health_before)
        with self._translated():
            gone = self._engine.delete_before(before, tables)
        with self._lock:
            self._kept = {hour for hour in self._kept if hour >= health_before}
        return gone

    def release_caches(self) -> None:
        """Nothing: the engine has them."""

    def close(self) -> None:
        """Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._engine.close()
