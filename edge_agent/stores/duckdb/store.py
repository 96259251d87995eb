"""The embedded store: one DuckDB file, owned by the process that ingests, written by column.

A commit is one transaction: samples, health, series and the marks that say what was taken. So a
kill at any moment leaves marks and data in agreement.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

from edge_agent.errors import StoreError
from edge_agent.identity import DeviceKeys
from edge_agent.intervals import IntervalSet
from edge_agent.process import release_free_memory
from edge_agent.reasons import cause
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
from edge_agent.stores.changed_series import HOUR_NS, ChangedSeries, hours_covered_by, hours_of
from edge_agent.stores.columns import Floats, Longs, SampleRuns, Samples
from edge_agent.stores.duckdb import counts, loads, read, runs, salvage, schema, write
from edge_agent.stores.duckdb.compact import Compaction
from edge_agent.stores.duckdb.documents import KeptDocuments
from edge_agent.stores.duckdb.file import OpenedFile, OwnFile
from edge_agent.stores.duckdb.health import HealthTables
from edge_agent.stores.duckdb.log import LogCut
from edge_agent.stores.duckdb.marks import MarkTable, read_incomplete, read_marks
from edge_agent.stores.duckdb.refusals import refusal
from edge_agent.stores.duckdb.schema import connect, open_file, show_keys, translated
from edge_agent.stores.duckdb.snapshot import NEVER, StoreSnapshot, snapshot
from edge_agent.stores.forgotten import Entry
from edge_agent.stores.newest_samples import NewestSamples
from edge_agent.stores.rollups import RAW_DAYS, HealthTotals, OpenHours, RolledHour, hour_of

log = logging.getLogger(__name__)

_DAY: Final = 24 * HOUR_NS
#: How often the newest samples are saved, so that a start need not search all of history for them.
_SNAPSHOT: Final = 300_000_000_000
#: Samples after which the file is opened afresh: until then the engine keeps all blocks it wrote,
#: and their index.
_REFRESH_ROWS: Final = 500_000
_NO_CHECKPOINTS: Final = f"set checkpoint_threshold = '{NEVER}'"
#: Chunks one call of `retain` deletes at the most; the rest waits for the next call.
_RETAIN_ROUNDS: Final = 24


class DuckDbStore(OwnFile, KeptDocuments):
    """One file. `days` and `max_bytes` bound what it keeps."""

    def __init__(
        self,
        path: Path,
        *,
        agent: str = "",
        others: Collection[str] = (),
        days: float = 400.0,
        health_days: float = 3660.0,
        max_bytes: int | None = None,
    ) -> None:
        """`agent`: the service's own, of which is what was written before agents were kept;
        `others` of its plant."""
        self._path = path
        self._keys = DeviceKeys(agent, others)
        self._days = days
        self._health_days = health_days
        self._max_bytes = max_bytes
        log_cut = schema.mend(path)
        self._connection = open_file(path)
        self._file = OpenedFile(path)
        self._gate = threading.Lock()
        self._readers = 0
        self._since_opened = 0
        self._broken = False
        self._checkpoints_paused = False
        self._touched = ChangedSeries()
        self._counting = counts.SeriesCounts(self._newest_of, counts.Beginnings())
        self._open_health = OpenHours()
        self._looked_for_health = False
        try:
            self._load()
            if log_cut is not None:
                self._record_cut(log_cut)
        except (duckdb.Error, StoreError) as error:
            with contextlib.suppress(duckdb.Error):
                self._connection.close()
            self._file.close()
            raise refusal(path, error) from error

    def _load(self) -> None:
        self.store_id = str(self._connection.execute("select id from store_id").fetchall()[0][0])
        self.catalogue = read.catalogue(self._connection, self._keys)
        self._renamed: dict[str, str] = {}
        self._first_good = read.first_good(self._connection, self._keys)
        self._newest = NewestSamples()
        for rows in read.newest(self._connection):
            self._newest.update(rows)
        self._newest.note_former_names(self.catalogue)
        self._show_keys()
        self._compaction = Compaction(self._connection)
        self._saved = self._last_stored = 0
        self._marks = MarkTable(self._connection)
        self._health = HealthTables(self._connection, self._key_now)
        self._again_until = self._count("select coalesce(max(until), 0) from salvages")
        self._quarantined = self._count(
            'select coalesce(sum("values"), 0)::bigint from quarantined'
        )

    def _record_cut(self, cut: LogCut) -> None:
        """A damaged log lost its tail: what came after the newest row that is left."""
        newest = self._connection.execute("select max(stored) from health").fetchall()
        lost = salvage.LostRows("log", 0, 0, newest[0][0], cut.until)
        record = salvage.gap_record(self._keys.own, "log", lost, time.time_ns(), cut.until)
        with translated(), self._transaction():
            write.append(
                self._connection, "gaps", {name: [value] for name, value in record.items()}
            )

    def _show_keys(self) -> None:
        """Have the views name devices as they are called now."""
        self._renamed = dict(self.catalogue.former.current)
        current = {self._keys.split(former): key for former, key in self._renamed.items()}
        show_keys(self._connection, self._keys.own, current)

    def _key_now(self, agent: str, device: str) -> str:
        key = self._keys.key(agent, device)
        return self.catalogue.former.current.get(key, key)

    def _count(self, query: str) -> int:
        row = self._connection.execute(query).fetchone()
        return int(row[0]) if row else 0

    # --- writing ----------------------------------------------------------------------------------

    def check(self, batch: WriteBatch) -> list[Refusal]:
        """Nothing: every sample that decodes fits the table."""
        return []

    def write(self, batch: WriteBatch) -> None:
        """One transaction. StoreError or PoisonError leave the file as it was."""
        catalogue = self.catalogue
        catalogue.causes.take_rows(batch.health)
        changes = catalogue.take_changes()
        returned = catalogue.forgotten.take_restored()
        first_good = new_first_good(batch.health, self._first_good)
        hours = hours_of(batch)
        late = sorted((hours | hours_covered_by(batch)) & self._compaction.kept)
        try:
            with translated(), self._transaction():
                if late:
                    runs.forget(self._connection, late)
                write.catalogue(self._connection, changes, self._keys)
                write.listed_again(self._connection, returned)
                write.samples(self._connection, batch.rows, batch.stored, self._again_until)
                health_hours = {hour_of(row["t"]) for row in batch.health}
                stale = self._health.written_into(self._connection, health_hours)
                write.health(
                    self._connection, batch.health, batch.stored, self._keys, self._again_until
                )
                write.agents(self._connection, batch.agents, self._again_until)
                write.first_good(self._connection, first_good, self._keys)
                self._write_marks(batch)
                self._save_newest(batch.stored)
                if catalogue.former.current != self._renamed:
                    self._show_keys()
        except BaseException:
            catalogue.put_back(changes)
            catalogue.forgotten.put_back(returned)
            raise
        self._health.kept -= stale
        self._open_health.touched(health_hours, batch.stored)
        self._written(batch, first_good, hours, late)

    def _written(
        self, batch: WriteBatch, first_good: Mapping[str, int], hours: set[int], late: Sequence[int]
    ) -> None:
        """What memory knows of the store, once a batch is in it."""
        self._first_good |= first_good
        self._compaction.written_into(hours, late)
        self._touched.add(hours)
        self._counting.written(hours)
        self._newest.update(batch.rows, batch.stored)
        self._last_stored = batch.stored
        self._marks.committed(batch.marks)
        self._quarantined += sum(batch.quarantined.values())
        self._since_opened += len(batch.rows)
        if self._since_opened >= _REFRESH_ROWS:
            self.release_caches()

    def forget(self, entry: Entry, t: int) -> None:
        """List an agent, a device of it or a tag no more, until it speaks."""
        entries = self.catalogue.entries_of(entry)
        with translated(), self._transaction():
            write.forgotten(self._connection, entries, t)
        self.catalogue.forgotten.forget(entries, t)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if (lost := self._file.misplaced()) is not None:
            raise StoreError(lost)
        if self._broken:
            with self._gate:
                self._open_again()
        self._connection.begin()
        try:
            yield
            self._connection.commit()
            self._file.misplaced()  # knows the file's newest state from here on
        except duckdb.FatalException:
            # The engine refuses all further work on this connection, e.g. after a failed write to a
            # full disk.
            self._broken = True
            raise
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                self._connection.rollback()
            raise

    def _open_again(self) -> None:
        with contextlib.suppress(duckdb.Error):
            self._connection.close()
        try:
            self._connection = connect(self._path)
        except Exception as error:
            self._broken = True
            raise StoreError(cause("store_reopen_failed", why=error)) from error
        self._broken = False
        self._since_opened = 0
        if self._checkpoints_paused:
            self._connection.execute(_NO_CHECKPOINTS)

    def pause_checkpoints(self) -> StoreSnapshot:
        """From now on nothing that is in the file is written over, until `resume_checkpoints`: it
        and the log up to here can be copied. Raises StoreError."""
        if (lost := self._file.misplaced()) is not None:
            raise StoreError(lost)
        with translated():
            self._connection.execute(_NO_CHECKPOINTS)
        self._checkpoints_paused = True
        return snapshot(self._path, self._file.descriptor)

    def resume_checkpoints(self) -> None:
        """The next commit makes the checkpoint that was put off."""
        self._checkpoints_paused = False
        with translated():
            self._connection.execute("reset checkpoint_threshold")

    def release_caches(self) -> None:
        """Give back what the engine gathered since the file was opened. Not while somebody reads or
        copies the file; never raises."""
        with self._gate:
            if self._readers or self._broken or self._checkpoints_paused:
                return
            if self._file.misplaced() is not None:
                return
            try:
                self._open_again()
            except (
                StoreError
            ) as error:  # what was written is safe: the next transaction tries again, and tells
                log.warning("store-refresh-failed reason=%s", error)
                return
        release_free_memory()

    def _write_marks(self, batch: WriteBatch) -> None:
        self._marks.write(self._connection, batch.marks)
        for reason, values in batch.quarantined.items():
            self._connection.execute(
                "insert into quarantined values (?, ?, ?)", [batch.stored, reason, values]
            )

    def _save_newest(self, now: int, *, force: bool = False) -> None:
        """Replace the snapshot of newest samples; it speaks of everything committed before this
        transaction."""
        if force or abs(now - self._saved) >= _SNAPSHOT:
            write.newest(self._connection, self._newest.rows(), now)
            self._saved = now

    # --- reading ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with translated():
            with self._gate:
                cursor = self._connection.cursor()
                self._readers += 1
            try:
                yield cursor
            finally:
                cursor.close()
                with self._gate:
                    self._readers -= 1

    def marks(self, streams: Collection[str] | None = None) -> dict[str, IntervalSet]:
        """Stream -> intervals, read from the file."""
        with self._cursor() as cursor:
            return read_marks(cursor, streams)

    def incomplete_marks(self) -> dict[str, IntervalSet]:
        """Of streams that are more than one row, or do not begin with 1."""
        with self._cursor() as cursor:
            return read_incomplete(cursor)

    def counts(self) -> StoreCounts:
        """Over the life of the file."""
        return StoreCounts(self._marks.stored, self._quarantined)

    def latest(self, device: str | None = None) -> dict[str, dict[str, LatestSample]]:
        """From memory."""
        return self._newest.latest(self.catalogue, device)

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
        """One tag, sorted by `t`."""
        with self._cursor() as cursor:
            return read.samples(cursor, self.catalogue.sids((device, tag)) or [-1], from_ns, to_ns)

    def last_before(self, name: Name, from_ns: int, to_ns: int) -> int | None:
        """Time of the newest sample."""
        with self._cursor() as cursor:
            return read.last_before(cursor, self.catalogue.sids(name) or [-1], from_ns, to_ns)

    def _newest_of(self, sid: int) -> int | None:
        return self._newest.time([sid])

    def _newest_named(self, name: Name) -> int | None:
        return self._newest.time(self.catalogue.sids(name))

    def changes(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, SampleRuns]:
        """Runs of equal readings per tag."""
        sids, joined = self.catalogue.by_series(names)
        with self._cursor() as cursor:
            found = runs.changes(cursor, list(sids), from_ns, to_ns) if sids else {}
        more = from_samples.changes(self.samples, self.last_before, joined, from_ns, to_ns)
        return {sids[sid]: rows for sid, rows in found.items()} | more

    def counted(
        self, moments: Mapping[Name, Longs], from_ns: int, to_ns: int
    ) -> dict[Name, SampleRuns]:
        """The runs of counters that tell."""
        sids, joined = self.catalogue.by_series(list(moments))
        with self._cursor() as cursor:
            asked = {sid: moments[name] for sid, name in sids.items()}
            found = counts.changes(cursor, asked, from_ns, to_ns, self._counting) if sids else {}
        rest = {name: moments[name] for name in joined}
        more = from_samples.counted(
            self.samples, self.last_before, self._newest_named, rest, from_ns, to_ns
        )
        return {sids[sid]: rows for sid, rows in found.items()} | more

    def steps(
        self, names: Sequence[Name], first_day: int, end_day: int
    ) -> dict[Name, Mapping[int, DaySteps]]:
        """Steps of counters by day; of those that had another name before, nothing."""
        sids, _ = self.catalogue.by_series(names)
        with self._cursor() as cursor:
            found = self._counting.days.get(cursor, list(sids), first_day, end_day) if sids else {}
        return {sids[sid]: days for sid, days in found.items()}

    def seen(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, TagCounts]:
        """Counted by SQL."""
        sids, joined = self.catalogue.by_series(names)
        with self._cursor() as cursor:
            found = {
                sids[sid]: each
                for sid, each in read.seen(cursor, list(sids), from_ns, to_ns).items()
            }
        return found | from_samples.seen(self.samples, joined, from_ns, to_ns)

    def energy(self, moments: Mapping[Name, Longs]) -> dict[Name, Floats]:
        """Unit-hours of powers."""
        sids, joined = self.catalogue.by_series(list(moments))
        with self._cursor() as cursor:
            found = loads.energy(cursor, {sid: moments[name] for sid, name in sids.items()})
        rest = {name: moments[name] for name in joined}
        more = from_samples.energy(self.samples, self.last_before, rest)
        return {sids[sid]: used for sid, used in found.items()} | more

    def evidence(self, from_ns: int, to_ns: int) -> dict[str, list[tuple[int, int]]]:
        """Spans in which the devices' values were current."""
        with self._cursor() as cursor:
            return self._health.evidence(cursor, from_ns, to_ns)

    def lateness(
        self, names: Sequence[Name], from_ns: int, to_ns: int
    ) -> dict[str, dict[int, int]]:
        """Histogram per device."""
        sids = {sid: name for name in names for sid in self.catalogue.sids(name)}
        found: dict[str, dict[int, int]] = {}
        with self._cursor() as cursor:
            for sid, ms, count in runs.lateness(cursor, list(sids), from_ns, to_ns) if sids else ():
                own = found.setdefault(sids[sid][0], {})
                own[ms] = own.get(ms, 0) + count
        return found

    def take_touched(self) -> set[int]:
        """Hours written to since the last call."""
        return self._touched.take()

    def health(self, from_ns: int, to_ns: int) -> dict[str, HealthSummary]:
        """Summary per device."""
        with self._cursor() as cursor:
            return self._health.summaries(cursor, from_ns, to_ns)

    def health_totals(self, from_ns: int, to_ns: int) -> dict[str, HealthTotals]:
        """Sums per device."""
        with self._cursor() as cursor:
            return self._health.totals(cursor, from_ns, to_ns)

    def health_by(
        self, from_ns: int, to_ns: int, step_ns: int
    ) -> dict[str, list[tuple[int, HealthSummary]]]:
        """Summaries per device and step."""
        with self._cursor() as cursor:
            return read.health_by(cursor, from_ns, to_ns, step_ns)

    def silences(self, from_ns: int, to_ns: int, longest_ns: int) -> dict[str, list[Silence]]:
        """Holes between health rows per device."""
        with self._cursor() as cursor:
            return self._health.silences(cursor, from_ns, to_ns, longest_ns)

    def health_sums(self, from_ns: int, to_ns: int, step_ns: int) -> dict[str, Longs]:
        """Sums per device and step, as rows."""
        with self._cursor() as cursor:
            return self._health.steps(cursor, from_ns, to_ns, step_ns)

    def live_facts(self, from_ns: int, to_ns: int) -> dict[str, LiveFacts]:
        """Facts per device."""
        return live_facts(
            self.catalogue, self._first_good, self.health_totals(from_ns, to_ns), to_ns
        )

    def transitions(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """State changes of devices and tags."""
        with self._cursor() as cursor:
            return read.transitions(cursor, from_ns, to_ns)

    def gaps(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """What full outboxes dropped."""
        with self._cursor() as cursor:
            return read.dicts(
                cursor, "from gaps where t > ? and t <= ? order by t", [from_ns, to_ns]
            )

    # --- keeping house ----------------------------------------------------------------------------

    def watch(
        self,
        names: Sequence[Name],
        powers: Mapping[Name, Sequence[Name]] | None = None,
        counters: Mapping[Name, Sequence[Name]] | None = None,
    ) -> None:
        """These tags are kept as runs too, these powers as what they add up to, and of these
        counters what tells."""
        self._compaction.watch(self.catalogue, names, powers or {}, counters or {})

    def compact(self, now_ns: int, hours: int) -> int:
        """Keep up to so many past hours of the watched tags."""
        with translated():
            oldest = now_ns - int(self._days * _DAY)
            chosen = self._compaction.due(self._connection, now_ns, oldest, hours)
            for hour in chosen:
                evidence = self.evidence(hour, hour + HOUR_NS)
                with self._transaction():
                    self._compaction.keep(self._connection, hour, evidence)
                self._compaction.note_committed(hour)
        return len(chosen)

    def read_open_hours(self, now_ns: int, hours: int) -> list[RolledHour]:
        """Read up to so many past hours of health rows."""
        with self._cursor() as cursor:
            if not self._looked_for_health:
                self._open_health.found(self._health.hours_not_rolled_up(cursor))
                self._looked_for_health = True
            due = self._open_health.due(now_ns, hours)
            return [
                RolledHour(hour, write, self._health.read_hour(cursor, hour))
                for hour, write in due.items()
            ]

    def keep_hours(self, hours: Sequence[RolledHour]) -> int:
        """Keep them, but for those written into meanwhile."""
        kept = [each for each in hours if self._open_health.unchanged(each.hour, each.write)]
        for each in kept:
            with translated(), self._transaction():
                self._health.keep(self._connection, each.hour, each.content)
            self._health.kept.add(each.hour)
            self._open_health.rolled_up(each.hour)
        return len(kept)

    def _retain_health(self, now_ns: int) -> None:
        """Rows that are rolled up go after some days, their hours after years."""
        cutoff = hour_of(now_ns - int(RAW_DAYS * _DAY)) - HOUR_NS
        earliest = self._open_health.earliest()
        cutoff = cutoff if earliest is None else min(cutoff, earliest - HOUR_NS)
        rounds = _RETAIN_ROUNDS if self._looked_for_health else 0
        self._health.retain(self._connection, self._transaction, cutoff, rounds)
        with self._transaction():
            self._health.age(self._connection, now_ns - int(self._health_days * _DAY))

    def retain(self, now_ns: int) -> int:
        """Delete by age, then by size, oldest first and in chunks; returns the samples deleted."""
        if self._checkpoints_paused:
            return 0
        with translated():
            self._retain_health(now_ns)
            gone = self._retain_age(now_ns - int(self._days * _DAY))
            rounds = 0
            while (
                self._max_bytes is not None
                and self.size() > self._max_bytes
                and rounds < _RETAIN_ROUNDS
            ):
                oldest = schema.oldest_tenth(self._connection)
                if oldest is None:
                    break
                gone += self._delete_before(oldest + 1)
                rounds += 1
                if not self._checkpoint():
                    break
        if gone:
            log.info("retention deleted=%d bytes=%d", gone, self.size())
        self.release_caches()
        return gone

    def _retain_age(self, cutoff: int) -> int:
        gone = 0
        for _ in range(_RETAIN_ROUNDS):
            oldest = schema.oldest_sample(self._connection)
            if oldest is None or oldest >= cutoff:
                break
            gone += self._delete_before(min(cutoff, oldest + HOUR_NS))
        if gone:
            self._checkpoint()
        return gone

    def _delete_before(self, cutoff: int) -> int:
        with self._transaction():
            return schema.delete_before(self._connection, cutoff)

    def _checkpoint(self) -> bool:
        """Give deleted blocks back; False while a reader holds them."""
        try:
            self._connection.execute("checkpoint")
        except duckdb.TransactionException:
            return False
        self._file.misplaced()
        return True

    def size(self) -> int:
        """Bytes in use: blocks of the file, and the log."""
        return schema.bytes_used(self._connection, self._path)

    def close(self) -> None:
        """Save the newest samples, checkpoint, release the file. Safe to call twice."""
        if self._file.overwritten:
            self._file.leave(self._connection)
            return
        with contextlib.suppress(duckdb.Error, StoreError):
            if self._last_stored:
                with self._transaction():
                    self._save_newest(self._last_stored, force=True)
            self._checkpoint()
        with contextlib.suppress(duckdb.Error):
            self._connection.close()
        self._file.close()
