"""The durable buffer between "read" and "sent": bounded, ordered, and honest about what it lost.

`append` writes to the page cache at once, so that a killed agent loses nothing; a thread makes it
durable at most `fsync_ms` later, so that a power cut loses nothing older. All other methods belong
to the thread of the event loop too.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from edge_agent.errors import FindingsError
from edge_agent.intervals import IntervalSet
from edge_agent.outbox import store_id
from edge_agent.outbox.acks import FILE as ACKS
from edge_agent.outbox.acks import AckLog, read
from edge_agent.outbox.journal import Journal
from edge_agent.outbox.lanes import Lanes
from edge_agent.outbox.ledger import Ledger, OutboxStats, Pairs, Reason, UndeliveredRange
from edge_agent.outbox.quarantine import SegmentQuarantine
from edge_agent.outbox.record import OutboxEntry
from edge_agent.outbox.recovery import open_segments, refuse_newer, report_holes
from edge_agent.outbox.segment import TRAILER_BASE, RecordInMemory, Segment
from edge_agent.outbox.syncer import Syncer
from edge_agent.reasons import words_of

log = logging.getLogger(__name__)

_stream_of = attrgetter("stream")
LOCK = "lock"
RESERVE = "reserve"
INGEST_SEEN = "ingest-seen"
"""An empty file: a live ingest was seen while this outbox was in use."""
_RELIEF = 0.8
"""Until then: the share of the bound from which on the broker's acknowledgement is enough for the
oldest."""
_RESERVE_BYTES = 4096
"""Given up on a full disk to record, at the end, what the disk never took."""
_SEGMENT = (32_768, 4 << 20)
"""Smallest and largest segment; in between a 32nd of the bound, which is what dropping the oldest
costs at a time."""


class Outbox:
    """One folder, one process, one new stream at every opening."""

    def __init__(
        self, path: Path, *, agent: str, worker: int = 0, max_bytes: int, fsync_ms: int
    ) -> None:
        self._max_bytes = max_bytes
        self._path = path
        refuse_newer(path)
        self._lock, self._folder = _own(path)
        self._store = store_id.read(path)
        self._acks = AckLog(path / ACKS)
        self._quarantine = SegmentQuarantine(path, max_bytes // 16)
        known = read(path / ACKS)
        segments = open_segments(path, self._quarantine)
        self.stream = _new_stream(
            agent, worker, {s.stream for s in segments} | {a.stream for a in known}
        )
        self._seq = 0
        self._ledger = Ledger(self._acks, known, self._values_of)
        self._syncer = Syncer(self._folder, fsync_ms / 1000, self._acks.sync)
        self._journal = Journal(
            path,
            self.stream,
            self._syncer,
            segments,
            min(max(max_bytes // 32, _SEGMENT[0]), _SEGMENT[1]),
            make_room=self._make_room,
            on_sealed=self._sealed,
            on_overflow=self._overflow,
        )
        self._lanes = Lanes(self._journal, self._ledger, self._damaged)
        self.on_append: Callable[[], None] | None = None
        """Called after each append: somebody may send it."""
        self.on_dropped: Callable[[], None] | None = None
        """Called when the bound had the oldest dropped: `gaps` knows of it, and a kill would have
        it forgotten."""
        self._dropped = False
        self._kept_until = 0.0
        self._mark = path / INGEST_SEEN
        self.ingest_seen = self._mark.exists()
        """Whether a live ingest was ever seen for what this outbox holds."""
        report_holes(self._journal, self._ledger)
        self._save()
        for segment in list(self._journal.segments):
            self._free(segment)
        self._reserve = path / RESERVE
        with contextlib.suppress(OSError):
            self._reserve.write_bytes(bytes(_RESERVE_BYTES))
            self._reserve.chmod(0o600)
        log.info(
            "outbox-open stream=%s pending=%d segments=%d", self.stream, self.pending, len(segments)
        )

    def append(self, topic: str, head: bytes, tail: bytes, t: int, values: int) -> int:
        """Store the message `head + seq + tail` read at `t` (ns) with so many values; returns its
        seq.

        The disk's troubles never reach the caller: what cannot be stored is counted and reported as
        a gap.
        """
        self._seq = seq = self._seq + 1
        payload = b"%b%d%b" % (head, seq, tail)
        entry = OutboxEntry(self.stream, seq, topic, payload, t, values)
        raw = RecordInMemory.of(entry)
        self._ledger.enqueue(values)
        if raw.size + 2 * TRAILER_BASE > self._max_bytes:
            self._lose(entry, "full")
            return seq
        self._journal.append(raw)
        self._lanes.offer(entry)
        if self.on_append is not None:
            self.on_append()
        if self._dropped:
            self._append_gap_documents()
        return seq

    @property
    def limit(self) -> int:
        """Bytes it may hold; beyond, the oldest is dropped."""
        return self._max_bytes

    def resize(self, max_bytes: int) -> None:
        """Hold so many bytes at the most from now on."""
        self._max_bytes = max_bytes
        self._make_room(0)
        self._append_gap_documents()

    @property
    def durable_seq(self) -> int:
        """Every entry of the current stream up to this one survives a power cut."""
        return self._syncer.durable

    @property
    def last_seq(self) -> int:
        """The number of the newest entry of the current stream; 0 when there is none."""
        return self._seq

    @property
    def pending(self) -> int:
        """Entries that may not leave yet."""
        return self._ledger.pending_entries

    @property
    def unconfirmed(self) -> int:
        """Entries that the broker has acknowledged and the store has not confirmed."""
        return self._ledger.unconfirmed

    @property
    def live_waiting(self) -> int:
        """Entries of the live lane that nobody took yet."""
        return self._lanes.live_waiting

    @property
    def stats(self) -> OutboxStats:
        """Counters since the opening, and what is held now."""
        values = self._ledger.values
        entries = self._ledger.entries
        return OutboxStats(
            enqueued=values["enqueued"],
            durable_seq=self.durable_seq,
            acknowledged=values["acknowledged"],
            confirmed=values["confirmed"],
            dropped=values["dropped"],
            dropped_acknowledged=values["forgone"],
            unseen=values["unseen"],
            quarantined=values["quarantined"],
            pending=self._ledger.pending_values,
            enqueued_entries=entries["enqueued"],
            acknowledged_entries=entries["acknowledged"],
            confirmed_entries=entries["confirmed"],
            dropped_entries=entries["dropped"],
            quarantined_entries=entries["quarantined"],
            pending_entries=self.pending,
            unconfirmed_entries=self.unconfirmed,
            quarantined_bytes=self._quarantine.seen,
            bytes=self._disk(),
            oldest_t=self._oldest_t(),
        )

    def streams(self) -> tuple[str, ...]:
        """The streams with something pending, by age, and the current one as the last."""
        others = [name for name in self._journal.streams() if name != self.stream]
        return (*others, self.stream)

    def pending_from(self) -> dict[str, int]:
        """Each of `streams`, and the number from which on it may have something pending."""
        first = {segment.stream: segment.first for segment in reversed(self._journal.segments)}
        return {
            stream: self._ledger.state(stream).released.next_missing(first.get(stream, 1))
            for stream in self.streams()
        }

    def gaps(self) -> list[UndeliveredRange]:
        """The holes that came to light since the last call; each is told once."""
        return self._ledger.gaps()

    def attach(self) -> None:
        """A connection begins: what is appended from now on is live, the rest is backlog."""
        self._lanes.attach(self._seq + 1)

    def detach(self) -> None:
        """The connection ended: what was taken and not acknowledged will be handed out again."""
        self._lanes.detach()

    def take_live(self) -> OutboxEntry | None:
        """The next live entry, from memory."""
        return self._lanes.take_live()

    def take_backlog(self) -> OutboxEntry | None:
        """The next entry left behind, from the disk."""
        return self._lanes.take_backlog()

    def acknowledge(self, entries: Iterable[OutboxEntry], *, release: bool) -> None:
        """The broker has these. `release` (`confirm: broker`): so they are done."""
        for stream, numbers in _by_stream(entries).items():
            pairs = self._here(stream, numbers.pairs())
            self._ledger.acknowledge(stream, pairs, release=release)
            if release:
                self._free_all(stream, pairs)
        if not release:
            self._drop_oldest_acknowledged()
        self._tidy()

    def confirm(self, stream: str, pairs: Pairs) -> None:
        """The store has these; streams and numbers that are not here do not matter."""
        known = self._here(stream, pairs)
        fresh = self._ledger.release(stream, known) if known else []
        if fresh:
            self._free_all(stream, fresh)
            self._tidy()

    def compare(self, stream: str, pairs: Pairs) -> int:
        """All that the believed store has of a stream. What is still here, was confirmed and is not
        among it (the store is an older copy of itself) waits to be confirmed again; returns how
        many entries that are."""
        have = IntervalSet(pairs)
        count = 0
        for segment in self._journal.segments:
            if segment.stream != stream or have.covers(segment.first, segment.last):
                continue
            lacking = IntervalSet(have.missing(segment.first, segment.last))
            if not self._ledger.state(stream).released.overlaps(lacking):
                continue
            for seq in segment.lost():
                lacking.discard(seq)
            back = self._ledger.unconfirm(stream, lacking.pairs())
            count += sum([last - first + 1 for first, last in back])
        return count

    def confirm_acknowledged(self) -> None:
        """`confirm: broker` after a life with `confirm: store`: what the broker has is done."""
        for stream in self.streams():
            self.confirm(stream, self._ledger.state(stream).acked.pairs())

    def note_ingest(self) -> None:
        """A live ingest is there. From now on nothing leaves before the store has it, also after a
        restart."""
        if not self.ingest_seen:
            self.ingest_seen = True
            try:
                self._mark.touch(0o600)
            except OSError as error:
                log.warning("outbox-mark path=%s reason=%s", self._mark, error.strerror)

    def _drop_oldest_acknowledged(self) -> None:
        """Nearly full, and no ingest was ever seen: the oldest that the broker has are done, and
        counted."""
        limit = _RELIEF * self._max_bytes
        if self.ingest_seen or not self.unconfirmed or self._disk() < limit:
            return
        before = self._ledger.values["confirmed"]
        for segment in list(self._journal.segments):
            self.confirm(
                segment.stream,
                self._ledger.state(segment.stream).acked.within(segment.first, segment.last),
            )
            if self._disk() < limit:
                break
        freed = self._ledger.values["confirmed"] - before
        if freed and not self._ledger.values["unseen"]:
            log.warning("ingest-never-seen outbox_share=%.2f freed_values=%d", _RELIEF, freed)
        self._ledger.values["unseen"] += freed

    def awaiting(self) -> dict[str, list[tuple[int, int]]]:
        """Per stream, the entries that the broker has and the store has not confirmed."""
        states = ((name, self._ledger.state(name)) for name in self.streams())
        return {name: state.acked.pairs() for name, state in states if state.acked}

    def again(self, stream: str, pairs: Pairs) -> int:
        """Hand these out once more; returns how many of them are still held."""
        state = self._ledger.state(stream)
        open_ = [p for pair in self._here(stream, pairs) for p in state.released.missing(*pair)]
        self._ledger.again(stream, open_)
        self._lanes.rewind()
        return sum(last - first + 1 for first, last in open_)

    @property
    def store(self) -> str:
        """The id of the store whose confirmations it believes; empty before the first."""
        return self._store

    def follow_store(self, store: str) -> int:
        """From now on believe this store. Of another one before it is forgotten what it confirmed
        of the entries that are still here, and they are handed out again; returns how many."""
        before = self._store
        self._store = store
        if before == store:
            return 0
        store_id.write(self._path, store)
        again = (
            sum([self._requeue_segment(segment) for segment in self._journal.segments])
            if before
            else 0
        )
        if again:
            self._lanes.rewind()
            self._save()
        return again

    def _requeue_segment(self, segment: Segment) -> int:
        """Hand out again all of a segment that can be read."""
        readable = IntervalSet([(segment.first, segment.last)])
        for seq in segment.lost():
            readable.discard(seq)
        pairs = readable.pairs()
        waiting = self._ledger.state(segment.stream).acked
        count = sum(last - first + 1 for pair in pairs for first, last in waiting.within(*pair))
        count += self._ledger.unrelease(segment.stream, pairs)
        self._ledger.again(segment.stream, pairs)
        if segment is not self._journal.writing:
            segment.forget()
        return count

    def tick(self) -> None:
        """Try what the disk refused. Call it about once a second; `append` does the same."""
        self._journal.retry_failed_writes()
        if self._kept_until and time.monotonic() >= self._kept_until:
            self._free_everywhere()
        self._tidy()
        self._append_gap_documents()

    def keep_segments(self, seconds: float) -> None:
        """For so long no file goes that was delivered: somebody copies the folder. The bound comes
        before that. 0: no more."""
        self._kept_until = time.monotonic() + seconds if seconds > 0 else 0.0
        if not self._kept_until:
            self._free_everywhere()

    def _free_everywhere(self) -> None:
        self._kept_until = 0.0
        for segment in list(self._journal.segments):
            self._free(segment)

    def sync(self) -> None:
        """Make everything durable now. Blocks; `durable_seq` says whether it succeeded."""
        self._syncer.sync()

    async def close(self, limit: float = 5.0) -> None:
        """Make everything durable and give the folder back. Waits for the disk at most `limit`
        seconds."""
        await asyncio.to_thread(self.close_now, limit)

    def close_now(self, limit: float = 5.0) -> None:
        """`close` for callers without an event loop."""
        self._lanes.detach()
        self._journal.retry_failed_writes(now=True)
        self._record_unwritten_loss()
        self._journal.seal()
        for segment in list(self._journal.segments):
            self._free(segment)
        if not self._syncer.close(limit):
            log.error("outbox-closed-unsynced durable_seq=%d seq=%d", self.durable_seq, self._seq)
        for segment in self._journal.segments:
            segment.forget()
        self._acks.close()
        os.close(self._folder)
        os.close(self._lock)

    def _record_unwritten_loss(self) -> None:
        """What the disk refuses to the end is lost, and the next opening has to know."""
        released = self._ledger.state(self.stream).released
        lost = [
            raw.entry for raw in self._journal.unsynced_records if raw.entry.seq not in released
        ]
        if not lost:
            return
        values = sum(entry.values for entry in lost)
        log.error(
            "outbox-lost stream=%s entries=%d values=%d reason=disk", self.stream, len(lost), values
        )
        self._reserve.unlink(missing_ok=True)
        self._ledger.leave(self.stream, self._seq, len(lost), values)
        self._save()

    def _values_of(self, stream: str, first: int, last: int) -> int:
        return self._journal.values_of(stream, first, last)

    def _here(self, stream: str, pairs: Pairs) -> list[tuple[int, int]]:
        """The part of `pairs` that can be here at all."""
        last = max(self._journal.last_of(stream), self._seq if stream == self.stream else 0)
        return [(max(1, a), min(b, last)) for a, b in pairs if a <= last and b >= max(1, a)]

    def _free_all(self, stream: str, pairs: Pairs) -> None:
        for first, last in pairs:
            for segment in self._journal.overlapping(stream, first, last):
                self._free(segment)

    def _free(self, segment: Segment) -> None:
        """A finished segment of which nothing is pending goes."""
        if self._kept_until:
            return
        if segment.sealed and self._ledger.state(segment.stream).released.covers(
            segment.first, segment.last
        ):
            self._journal.remove(segment, later=True)

    def _sealed(self, segment: Segment) -> None:
        self._ledger.written(segment.stream, segment.last)
        self._free(segment)

    def _tidy(self) -> None:
        if self._acks.due or self._acks.broken:
            self._save()

    def _save(self) -> None:
        self._ledger.save({*self._journal.streams(), self.stream})

    def _disk(self) -> int:
        """Bytes on the disk at the most, a rewrite of the acknowledgement log included."""
        return (
            self._journal.size
            + _RESERVE_BYTES
            + TRAILER_BASE
            + 2 * self._acks.size
            + self._quarantine.size
        )

    def _make_room(self, size: int) -> None:
        """Drop the oldest segments until `size` more bytes fit under the bound."""
        if self._disk() + size + TRAILER_BASE > self._max_bytes:
            if self._kept_until:
                self._free_everywhere()
            self._drop_oldest_acknowledged()
        while self._disk() + size + TRAILER_BASE > self._max_bytes and self._journal.segments:
            self._drop(self._journal.segments[0])

    def _append_gap_documents(self) -> None:
        """The entry that tells may have the next oldest dropped: that is left to the next call,
        which comes soon."""
        if self._dropped and (tell := self.on_dropped) is not None:
            self.on_dropped = None
            self._dropped = False
            try:
                tell()
            finally:
                self.on_dropped = tell

    def _drop(self, segment: Segment) -> None:
        self._dropped = True
        state = self._ledger.state(segment.stream)
        self._ledger.written(segment.stream, max(state.top, segment.last))
        for first, last in state.released.missing(segment.first, segment.last):
            self._lose_range(segment, first, last, "full")
        self._journal.remove(segment, later=False)
        log.warning(
            "outbox-full dropped_segment=%d stream=%s seq=%d..%d",
            segment.number, segment.stream, segment.first, segment.last,
        )  # fmt: skip

    def _lose_range(self, segment: Segment, first: int, last: int, reason: Reason) -> None:
        acked = self._ledger.state(segment.stream).acked.within(first, last)
        for seq in range(first, last + 1):
            if segment.values_of(seq, seq) == 0 and not any(a <= seq <= b for a, b in acked):
                self._requeue_gap(segment.read(seq))
        gap = UndeliveredRange(
            segment.stream, first, last, segment.time_of(first), segment.time_of(last),
            segment.values_of(first, last), sum(segment.values_of(a, b) for a, b in acked), reason,
        )  # fmt: skip
        self._ledger.lose(gap)

    def _overflow(self, raw: RecordInMemory) -> None:
        self._lose(raw.entry, "disk")

    def _lose(self, entry: OutboxEntry, reason: Reason) -> None:
        state = self._ledger.state(entry.stream)
        seq = entry.seq
        t = entry.t
        if seq not in state.released:
            acknowledged = entry.values if seq in state.acked else 0
            if seq not in state.acked:
                self._requeue_gap(entry)
            self._ledger.lose(
                UndeliveredRange(entry.stream, seq, seq, t, t, entry.values, acknowledged, reason)
            )

    def _requeue_gap(self, entry: OutboxEntry | None) -> None:
        """In an outage longer than the outbox is deep, what tells of a hole is dropped in its turn;
        the hole stays."""
        gap = (
            UndeliveredRange.gap_from_document(entry.payload)
            if entry is not None and entry.values == 0
            else None
        )
        if gap is not None:
            self._ledger.queue_gap(gap)

    def _damaged(self, segment: Segment, seq: int) -> None:
        """The bytes of `seq` are not what was written: find all such of its segment, keep them
        aside, report."""
        size = segment.size
        for damage, data in segment.rescan():
            self._quarantine.keep(segment.path, damage, data)
        self._journal.resized(segment, size)
        released = self._ledger.state(segment.stream).released
        lost = IntervalSet((n, n) for n in {*segment.lost(), seq})
        for first, last in lost.pairs():
            for a, b in released.missing(first, last):
                self._lose_range(segment, a, b, "damaged")

    def _oldest_t(self) -> int | None:
        for segment in self._journal.segments:
            pending = self._ledger.state(segment.stream).released.missing(
                segment.first, segment.last
            )
            if pending:
                return segment.time_of(pending[0][0])
        return next((raw.entry.t for raw in self._journal.unsynced_records), None)


def _own(path: Path) -> tuple[int, int]:
    """The folder, made and locked: descriptors of the lock and of the folder. FindingsError when it
    is in use."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        lock = os.open(path / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        why_zh, why_en = words_of(error)
        raise FindingsError.one(
            "outbox-folder",
            f"发件箱目录 {path} 不可用（{why_zh}）。请检查 outbox.path 及其权限。",
            f"The outbox folder {path} cannot be used ({why_en}). Check outbox.path and its "
            "permissions.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        raise FindingsError.one(
            "outbox-locked",
            f"发件箱 {path} 正被另一个进程使用。请先停止另一个 edge-agent，或另设 outbox.path。",
            f"The outbox {path} is used by another process. Stop the other edge-agent, or set "
            "another outbox.path.",
        ) from error
    return lock, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _new_stream(agent: str, worker: int, known: set[str]) -> str:
    """`agent/worker/boot` with a boot id that was never used here."""
    while (stream := f"{agent}/{worker}/{secrets.token_hex(6)}") in known:
        continue
    return stream


def _by_stream(entries: Iterable[OutboxEntry]) -> dict[str, IntervalSet]:
    found: dict[str, IntervalSet] = {}
    for stream, group in groupby(entries, _stream_of):
        found.setdefault(stream, IntervalSet()).update(_runs(group))
    return found


def _runs(entries: Iterable[OutboxEntry]) -> Iterator[tuple[int, int]]:
    """Their numbers (from 1 on), those that follow one another as one run: nearly always there is
    just one."""
    first = last = 0
    for entry in entries:
        if last and entry.seq != last + 1:
            yield first, last
            last = 0
        if not last:
            first = entry.seq
        last = entry.seq
    if last:
        yield first, last
