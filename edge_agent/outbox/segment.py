"""One segment file: written by appending, finished with a trailer, read entry by entry.

A segment holds entries of one stream with consecutive numbers. While it is written its index (8
bytes an entry) is in memory; afterwards the trailer has it and it is loaded when somebody reads.
"""

from __future__ import annotations

import contextlib
import os
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge_agent.outbox.record import (
    FOOTER_SIZE,
    HEAD_SIZE,
    MAGIC,
    MARKER,
    Damage,
    OutboxEntry,
    RecordHead,
    SegmentIndex,
    claimed_size,
    entry_of,
    head_at,
    pack,
    pack_trailer,
    parse_trailer,
    scan,
    trailer_length,
)

SUFFIX = ".seg"
TRAILER_BASE = 640
"""An upper bound of a trailer's size without its eight bytes per entry."""


def segment_path(folder: Path, number: int) -> Path:
    """The file of a segment."""
    return folder / f"{number:010d}{SUFFIX}"


class RecordInMemory(NamedTuple):
    """A record in memory: all that is needed to write it (again), and to send it while it is not
    written."""

    prefix: bytes
    entry: OutboxEntry
    size: int

    @classmethod
    def of(cls, entry: OutboxEntry) -> RecordInMemory:
        """The record of an entry."""
        stream, seq, topic, payload, t, values = entry
        prefix = pack(stream.encode(), topic.encode(), payload, seq, t, values)
        return cls(prefix, entry, len(prefix) + len(payload))


class Segment:
    """A segment on disk. `first..last` are its entries' numbers, `values` their values, lost ones
    left out."""

    def __init__(
        self, path: Path, number: int, index: SegmentIndex, size: int, *, sealed: bool
    ) -> None:
        self.path = path
        self.number = number
        self.stream = index.stream
        self.first = index.first
        self.last = index.first + len(index.offsets) - 1
        self.first_t = index.first_t
        self.last_t = index.last_t
        self.size = size
        self.sealed = sealed
        self._index: SegmentIndex | None = index
        self._fd = -1

    @property
    def index(self) -> SegmentIndex:
        """Where the entries are; loaded from the trailer when it is not in memory."""
        if self._index is None:
            self._index = read_trailer(self.path) or _index_by_scan(self)
        return self._index

    def adopt(self, index: SegmentIndex) -> None:
        """Take over a changed index of the same entries, or fewer."""
        self._index = index
        self.last = index.first + len(index.offsets) - 1
        self.size = index.data_end

    def forget(self) -> None:
        """Give back the memory and the file that reading took."""
        if self.sealed:
            self._index = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def values_of(self, first: int, last: int) -> int:
        """The sum of the values of entries `first..last`, which may reach beyond this segment."""
        index = self.index
        low = max(first, self.first) - self.first
        high = min(last, self.last) - self.first + 1
        return sum(index.values[low:high]) if low < high else 0

    def lost(self) -> list[int]:
        """The numbers of the entries whose bytes were damaged."""
        count = self.last - self.first + 1
        return [
            self.first + i for i, offset in enumerate(self.index.offsets[:count]) if offset == 0
        ]

    def read(self, seq: int) -> OutboxEntry | None:
        """The entry, its CRC checked; None when its bytes are damaged."""
        found = self._record(seq)
        return None if found is None else entry_of(*found)

    def time_of(self, seq: int) -> int:
        """The read time of an entry; when its record is damaged, that of the last one before it
        that is not."""
        found = next(
            (
                found
                for n in range(seq, self.first - 1, -1)
                if (found := self._record(n)) is not None
            ),
            None,
        )
        return self.first_t if found is None else found[0].t

    def _record(self, seq: int) -> tuple[RecordHead, bytes] | None:
        at = self.index.offsets[seq - self.first]
        if at == 0:
            return None
        record = os.pread(self._file(), self._end_of(seq) - at, at)
        head = head_at(record, 0, at)
        fits = head is not None and head.seq == seq
        return (head, record) if fits and head is not None else None

    def _end_of(self, seq: int) -> int:
        """Where the record of `seq` ends at the latest: where the next one begins."""
        index = self.index
        offsets = index.offsets
        for at in range(seq - self.first + 1, len(offsets)):
            if offsets[at]:
                return offsets[at]
        return index.data_end

    def _file(self) -> int:
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        return self._fd

    def rescan(self) -> list[tuple[Damage, bytes]]:
        """Look at every byte again; entries in damaged bytes become lost. Returns the ranges that
        cost any."""
        index = self.index
        raw = self.path.read_bytes()
        heads, damages = parts(raw, min(index.data_end, len(raw)))
        before = index.offsets
        index.offsets = array("I", bytes(4 * len(index.offsets)))
        _place(index, heads)
        gone = [at for at, now in zip(before, index.offsets, strict=True) if at and not now]
        if self.sealed:
            self.size = write_trailer(self.path, index)
        return [
            (d, raw[d.start : d.end]) for d in damages if any(d.start <= at < d.end for at in gone)
        ]

    def seal(self) -> int:
        """Finish the file with its trailer; returns by how many bytes it grew."""
        grown = write_trailer(self.path, self.index) - self.size
        self.size += grown
        self.sealed = True
        return grown


class Writer:
    """The segment that is being appended to. `synced` is the last entry known to be on the
    medium."""

    def __init__(self, folder: Path, number: int, stream: str, first: int) -> None:
        path = segment_path(folder, number)
        self.fd = os.open(
            path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            if os.write(self.fd, MAGIC) != len(MAGIC):
                raise OSError(28, "no space for the head of a segment")
        except OSError:
            os.close(self.fd)
            path.unlink()
            raise
        index = SegmentIndex(stream, first, 0, 0, len(MAGIC), array("I"), array("I"))
        self.segment = Segment(path, number, index, len(MAGIC), sealed=False)
        self.index = index
        self.synced = first - 1
        self.named = False
        """Whether the folder with the file's name was synced."""

    @property
    def last(self) -> int:
        return self.segment.last

    def append(self, raw: RecordInMemory) -> None:
        """Write one record. OSError when it did not fit; the file is then as it was before."""
        segment = self.segment
        index = self.index
        entry = raw.entry
        start = segment.size
        try:
            written = os.writev(self.fd, (raw.prefix, entry.payload))
            if written != raw.size:
                raise OSError(28, "the disk took only part of a record")
        except OSError:
            # what cannot be cut off now is skipped by the reader's CRC check
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, start)
            raise
        index.offsets.append(start)
        index.values.append(entry.values)
        if segment.last < segment.first:
            segment.first_t = index.first_t = entry.t
        segment.last_t = index.last_t = entry.t
        segment.last = entry.seq
        segment.size = index.data_end = start + written

    def cut(self, last: int) -> None:
        """Take the entries after `last` out of the segment again (they are going to be written
        elsewhere)."""
        segment = self.segment
        index = self.index
        keep = last - segment.first + 1
        index.data_end = index.offsets[keep] if keep < len(index.offsets) else index.data_end
        del index.offsets[keep:], index.values[keep:]
        segment.adopt(index)
        # a later segment with the same entries wins over what remains here
        with contextlib.suppress(OSError):
            os.ftruncate(self.fd, index.data_end)

    def close(self) -> None:
        os.close(self.fd)


def parts(raw: bytes, end: int) -> tuple[list[RecordHead], list[Damage]]:
    """The valid records and the damaged ranges of a segment's bytes."""
    heads: list[RecordHead] = []
    damages: list[Damage] = []
    start = len(MAGIC)
    if raw[:start] != MAGIC:
        damages.append(Damage(0, min(start, end)))
    for found in scan(raw, start, end):
        if isinstance(found, RecordHead):
            heads.append(found)
        else:
            damages.append(found)
    return heads, damages


def read_trailer(path: Path) -> SegmentIndex | None:
    """The index at the end of a finished segment; None when there is no valid one."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - FOOTER_SIZE))
        length = trailer_length(file.read(FOOTER_SIZE)) + FOOTER_SIZE
        if not FOOTER_SIZE < length <= size:
            return None
        file.seek(size - length)
        return parse_trailer(file.read(length), size)


def write_trailer(path: Path, index: SegmentIndex) -> int:
    """Put the trailer behind the data; returns the size of the file. Without space the next reader
    scans instead."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, index.data_end)
            os.pwrite(fd, pack_trailer(index), index.data_end)
        finally:
            os.close(fd)
    return path.stat().st_size


def index_of(raw: bytes, heads: list[RecordHead], data_end: int, tail: bytes = b"") -> SegmentIndex:
    """The index of the records that were found; `heads` is not empty. What lies damaged in `tail`,
    behind the last one of them, were the entries after it: lost ones, and known by their
    numbers."""
    stream = entry_of(heads[0], raw[heads[0].offset : heads[0].offset + heads[0].size]).stream
    first = min(h.seq for h in heads)
    last = max(h.seq for h in heads)
    last += _records_in(tail, stream.encode())
    index = SegmentIndex(
        stream, first, heads[0].t, heads[-1].t, data_end, *_columns(last - first + 1)
    )
    _place(index, heads)
    return index


def _records_in(data: bytes, stream: bytes) -> int:
    """How many records begin in these damaged bytes, at the least: the first is also known by its
    stream."""
    count = int(data.startswith(MARKER) or data[HEAD_SIZE : HEAD_SIZE + len(stream)] == stream)
    at = HEAD_SIZE
    while (at := data.find(MARKER, at)) >= 0:
        count = count + 1
        at = at + HEAD_SIZE
    return count


def _columns(count: int) -> tuple[array[int], array[int]]:
    return array("I", bytes(4 * count)), array("I", bytes(4 * count))


def _place(index: SegmentIndex, heads: list[RecordHead]) -> None:
    """Enter what was found into the index; numbers outside of it are none of its business."""
    for head in heads:
        at = head.seq - index.first
        if 0 <= at < len(index.offsets):
            index.offsets[at] = head.offset
            index.values[at] = head.values


def _index_by_scan(segment: Segment) -> SegmentIndex:
    """The index of a finished segment whose trailer became unreadable; entries not found are
    lost."""
    raw = segment.path.read_bytes()
    heads, _ = parts(raw, len(raw))
    count = segment.last - segment.first + 1
    index = SegmentIndex(
        segment.stream, segment.first, segment.first_t, segment.last_t, len(raw), *_columns(count)
    )
    _place(index, heads)
    return index


@dataclass(slots=True)
class Recovered:
    """What `recover` found in a file of an earlier life."""

    segment: Segment | None
    """None when the file holds no entry."""
    damages: list[tuple[Damage, bytes]]
    """Damaged ranges with their bytes."""
    torn: int
    """Bytes of an unfinished last record, which is what a kill or a power cut leaves."""


def recover(path: Path) -> Recovered:
    """Read a segment of an earlier life without changing it: by its trailer, else byte for byte."""
    number = int(path.stem)
    size = path.stat().st_size
    index = read_trailer(path)
    if index is not None:
        segment = Segment(path, number, index, size, sealed=True)
        segment.forget()
        return Recovered(segment, [], 0)
    raw = path.read_bytes()
    heads, damages = parts(raw, size)
    torn = torn_bytes(raw, damages)
    kept = [(damage, raw[damage.start : damage.end]) for damage in damages]
    if not heads:
        return Recovered(None, kept, torn)
    heads = _of_one_stream(raw, heads)
    tail = kept[-1][1] if kept and kept[-1][0].end == size else b""
    index = index_of(raw, heads, size - torn, tail)
    return Recovered(Segment(path, number, index, size, sealed=False), kept, torn)


def _of_one_stream(raw: bytes, heads: list[RecordHead]) -> list[RecordHead]:
    """Only what fits the first record's stream within sane bounds, so that no stray number blows up
    the index."""
    texts = [raw[h.offset + HEAD_SIZE : h.offset + HEAD_SIZE + h.stream] for h in heads]
    first = heads[0].seq
    return [
        h
        for h, text in zip(heads, texts, strict=True)
        if text == texts[0] and abs(h.seq - first) < len(raw)
    ]


def torn_bytes(raw: bytes, damages: list[Damage]) -> int:
    """How long the unfinished end of a file is, which is no damage and is taken out of
    `damages`."""
    if damages and damages[-1].end == len(raw) and _is_torn(raw, damages[-1]):
        return len(raw) - damages.pop().start
    return 0


def _is_torn(raw: bytes, tail: Damage) -> bool:
    """Whether the end of a file is something cut short: a record, a trailer, or pages that never
    got their bytes."""
    data = raw[tail.start : tail.end].rstrip(b"\0")
    trailer = tail.start.to_bytes(8, "little").rstrip(b"\0")
    return not data or data.startswith(trailer) or claimed_size(data) > len(data)
