"""All segments of an outbox: appending to the newest, finding the others, and what happens when the
disk refuses.

A record the disk does not take stays in memory, within a bound, and is written as soon as the disk
takes it. After a failed sync the kernel may have thrown away what was not yet on the medium and
will not say so again, so nothing of that segment is trusted: its entries are written once more, to
a fresh one.
"""

from __future__ import annotations

import contextlib
import logging
import time
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from pathlib import Path

from edge_agent.outbox.segment import RecordInMemory, Segment, Writer
from edge_agent.outbox.syncer import Syncer

log = logging.getLogger(__name__)

_BUFFER = 8 << 20
"""Bytes kept in memory at the most, each: for a disk that is full, and for a sync that does not
return."""
_RETRY_S = 0.25
_number = attrgetter("number")
_first = attrgetter("first")
_seq = attrgetter("entry.seq")


class Journal:
    """The segments in order of age, and the one that is written now."""

    def __init__(
        self,
        folder: Path,
        stream: str,
        syncer: Syncer,
        segments: Iterable[Segment],
        segment_bytes: int,
        *,
        make_room: Callable[[int], None],
        on_sealed: Callable[[Segment], None],
        on_overflow: Callable[[RecordInMemory], None],
    ) -> None:
        self.segments: list[Segment] = []
        self.stream = stream
        self._streams: dict[str, list[Segment]] = {}
        self._folder = folder
        self._syncer = syncer
        self._segment_bytes = segment_bytes
        self._make_room = make_room
        self._on_sealed = on_sealed
        self._on_overflow = on_overflow
        self._writer: Writer | None = None
        self._next_number = 1
        self._unsynced: deque[RecordInMemory] = deque()
        self._unsynced_bytes = 0
        self._unwritten: deque[RecordInMemory] = deque()
        self._unwritten_bytes = 0
        self._retry_at = 0.0
        self._size = 0
        for segment in segments:
            self._enter(segment)

    @property
    def size(self) -> int:
        """Bytes of all segments on the disk, with the trailer that the present one will get."""
        writer = self._writer
        return (
            self._size
            if writer is None
            else self._size + writer.segment.size + 8 * len(writer.index.offsets)
        )

    @property
    def unsynced_records(self) -> Iterable[RecordInMemory]:
        """Records that the disk did not take yet, in order."""
        return self._unwritten

    def first_unsynced_from(self, seq: int) -> RecordInMemory | None:
        """The first of `unsynced_records` whose number is at least this."""
        at = bisect_left(self._unwritten, seq, key=_seq)
        return self._unwritten[at] if at < len(self._unwritten) else None

    @property
    def writing(self) -> Segment | None:
        """The segment that is appended to."""
        return None if self._writer is None else self._writer.segment

    def streams(self) -> list[str]:
        """The streams with a segment, by age."""
        return list(self._streams)

    def of(self, stream: str) -> list[Segment]:
        """The segments of a stream, by sequence number."""
        return self._streams.get(stream, [])

    def last_of(self, stream: str) -> int:
        """The highest number of a stream that is here; 0 when there is none."""
        segments = self.of(stream)
        written = segments[-1].last if segments else 0
        if self._unwritten and stream == self.stream:
            return max(self._unwritten[-1].entry.seq, written)
        return written

    def overlapping(self, stream: str, first: int, last: int) -> list[Segment]:
        """The segments that hold any of `first..last`."""
        segments = self.of(stream)
        low = max(0, bisect_right(segments, first, key=_first) - 1)
        return [
            s for s in segments[low : bisect_right(segments, last, key=_first)] if s.last >= first
        ]

    def at_or_after(self, number: int) -> Segment | None:
        """The oldest segment whose number is at least this."""
        at = bisect_left(self.segments, number, key=_number)
        return self.segments[at] if at < len(self.segments) else None

    def values_of(self, stream: str, first: int, last: int) -> int:
        """The values of the entries `first..last` that are here."""
        total = sum(s.values_of(first, last) for s in self.overlapping(stream, first, last))
        if self._unwritten and stream == self.stream:
            entries = (record.entry for record in self._unwritten)
            total += sum(entry.values for entry in entries if first <= entry.seq <= last)
        return total

    def append(self, raw: RecordInMemory) -> None:
        """Write it now, or as soon as the disk takes it. Never raises for the disk's sake."""
        if self._unwritten or self._syncer.failed:
            self.retry_failed_writes()
        if self._unwritten or not self._write(raw):
            self._hold(raw)

    def retry_failed_writes(self, *, now: bool = False) -> None:
        """Repair what can be repaired: write again after a failed sync, write what the disk refused
        before. `now`: even though it was tried just before."""
        if time.monotonic() < self._retry_at and not now:
            return
        if self._syncer.failed:
            self._rewrite()
            self._retry_at = time.monotonic() + _RETRY_S
        before = len(self._unwritten)
        while self._unwritten and self._write(self._unwritten[0]):
            self._unwritten_bytes -= self._unwritten.popleft().size
        if before and not self._unwritten:
            log.info(
                "outbox-disk-takes-again entries=%d", before, extra={"ends": "outbox-disk-refuses"}
            )

    def remove(self, segment: Segment, *, later: bool) -> None:
        """Take a segment out. `later`: only after the acknowledgements are on the medium (it was
        delivered)."""
        writer = self._writer
        if writer is not None and writer.segment is segment:
            self._leave()
            self._unsynced.clear()
            self._unsynced_bytes = 0
        segment.forget()
        self.segments.remove(segment)
        self._streams[segment.stream].remove(segment)
        if not self._streams[segment.stream]:
            del self._streams[segment.stream]
        self._size -= segment.size
        if later:
            self._syncer.retire(segment.path)
        else:
            segment.path.unlink(missing_ok=True)

    def seal(self) -> None:
        """Finish the present segment, if there is one."""
        if self._writer is None:
            return
        segment = self._writer.segment
        if segment.last < segment.first:
            self.remove(segment, later=False)
            return
        segment.seal()
        self._leave()
        segment.forget()
        self._on_sealed(segment)

    def resized(self, segment: Segment, before: int) -> None:
        """A finished segment was `before` bytes long and is no more."""
        self._size += segment.size - before

    def _enter(self, segment: Segment) -> None:
        insort(self.segments, segment, key=_number)
        insort(self._streams.setdefault(segment.stream, []), segment, key=_first)
        self._next_number = self.segments[-1].number + 1
        self._size += segment.size if segment.sealed else 0

    def _leave(self) -> None:
        """The present segment is not the present one any more; its bytes count as they are."""
        if self._writer is not None:
            self._size += self._writer.segment.size
            self._writer = None
            self._syncer.switch(None)

    def _write(self, raw: RecordInMemory) -> bool:
        try:
            self._make_room(raw.size)
            self._writer_for(raw).append(raw)
        except OSError as error:
            if not self._unwritten:
                log.error("outbox-disk-refuses reason=%s seq=%d", error, raw.entry.seq)
            self._retry_at = time.monotonic() + _RETRY_S
            return False
        self._keep_unsynced(raw)
        self._syncer.written()
        return True

    def _writer_for(self, raw: RecordInMemory) -> Writer:
        writer = self._writer
        seq = raw.entry.seq
        if writer is not None:
            segment = writer.segment
            full = segment.size + raw.size > self._segment_bytes and segment.last >= segment.first
            if seq == segment.last + 1 and not full:
                return writer
            self.seal()
        number = self._next_number
        self._next_number += 1
        writer = Writer(self._folder, number, self.stream, seq)
        self._enter(writer.segment)
        self._writer = writer
        self._syncer.switch(writer)
        return writer

    def _keep_unsynced(self, raw: RecordInMemory) -> None:
        unsynced = self._unsynced
        durable = self._syncer.durable
        unsynced.append(raw)
        self._unsynced_bytes += raw.size
        while unsynced[0].entry.seq <= durable or self._unsynced_bytes > _BUFFER:
            self._unsynced_bytes -= unsynced.popleft().size
            if not unsynced:
                return

    def _hold(self, raw: RecordInMemory) -> None:
        self._unwritten.append(raw)
        self._unwritten_bytes += raw.size
        while self._unwritten_bytes > _BUFFER:
            oldest = self._unwritten.popleft()
            self._unwritten_bytes -= oldest.size
            self._on_overflow(oldest)

    def _rewrite(self) -> None:
        """After a failed sync: what is not durable leaves its segments and is written to a fresh
        one."""
        writers = self._syncer.reset()
        durable = self._syncer.durable
        again = list(self._not_durable(writers, durable))
        log.error("outbox-writes-again entries=%d after_seq=%d", len(again), durable)
        if self._writer is not None:
            self._size += self._writer.segment.size
            self._writer = None
        for writer in writers:
            self._cut(writer, durable)
        self._unsynced.clear()
        self._unsynced_bytes = 0
        self._unwritten.extendleft(reversed(again))
        self._unwritten_bytes += sum(raw.size for raw in again)

    def _not_durable(self, writers: list[Writer], durable: int) -> Iterator[RecordInMemory]:
        """The records after `durable`: from memory, or from the file where memory has them no
        more."""
        in_memory = self._unsynced[0].entry.seq if self._unsynced else self.last_of(self.stream) + 1
        for segment in [w.segment for w in writers if w.segment in self.segments]:
            for seq in range(max(segment.first, durable + 1), min(segment.last + 1, in_memory)):
                entry = segment.read(seq)
                if entry is not None:
                    yield RecordInMemory.of(entry)
        yield from (raw for raw in self._unsynced if raw.entry.seq > durable)

    def _cut(self, writer: Writer, durable: int) -> None:
        segment = writer.segment
        here = segment in self.segments
        if here and segment.last > durable:
            self._size -= segment.size
            writer.cut(max(durable, segment.first - 1))
            self._size += segment.size
        with contextlib.suppress(OSError):  # it reports the failure that is being dealt with
            writer.close()
        if not here:
            return
        if segment.last < segment.first:
            self.remove(segment, later=False)
        else:
            segment.sealed = False
            self._size += segment.seal()
            segment.forget()
