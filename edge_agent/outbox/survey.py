"""Looking into an outbox without touching it, whether an agent is using it or not."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from edge_agent.intervals import IntervalSet
from edge_agent.outbox.acks import FILE, AckKind, read
from edge_agent.outbox.record import OutboxEntry, entry_of
from edge_agent.outbox.recovery import refuse_newer, segment_files
from edge_agent.outbox.segment import parts, read_trailer, torn_bytes


@dataclass(slots=True)
class StreamReport:
    """What is held of one stream."""

    stream: str
    entries: int = 0
    values: int = 0
    pending_entries: int = 0
    pending_values: int = 0
    unconfirmed_entries: int = 0
    """Acknowledged by the broker, not confirmed by the store."""
    oldest_t: int | None = None
    newest_t: int | None = None


@dataclass(slots=True)
class OutboxSurvey:
    """The findings of reading every byte of every segment."""

    segments: int = 0
    bytes: int = 0
    damaged_bytes: int = 0
    damaged_segments: list[str] = field(default_factory=list)
    torn_bytes: int = 0
    """An unfinished last record: normal while the agent runs and after a power cut."""
    streams: dict[str, StreamReport] = field(default_factory=dict)

    @property
    def pending_entries(self) -> int:
        return sum(stream.pending_entries for stream in self.streams.values())

    @property
    def pending_values(self) -> int:
        return sum(stream.pending_values for stream in self.streams.values())

    @property
    def oldest_t(self) -> int | None:
        """Read time of the oldest pending entry, ns."""
        return min(
            (s.oldest_t for s in self.streams.values() if s.oldest_t is not None), default=None
        )


class _Fate:
    """What the acknowledgement log says."""

    def __init__(self, folder: Path) -> None:
        """Raises FindingsError for an outbox that a newer program has written."""
        refuse_newer(folder)
        self._acked: dict[str, IntervalSet] = {}
        self._released: dict[str, IntervalSet] = {}
        for ack in read(folder / FILE):
            if ack.kind == AckKind.ACKED:
                self._acked.setdefault(ack.stream, IntervalSet()).add(ack.first, ack.last)
            elif ack.kind == AckKind.RELEASED:
                self._released.setdefault(ack.stream, IntervalSet()).add(ack.first, ack.last)

    def pending(self, entry: OutboxEntry) -> bool:
        return entry.seq not in self._released.get(entry.stream, ())

    def acknowledged(self, entry: OutboxEntry) -> bool:
        return entry.seq in self._acked.get(entry.stream, ())


def verify(*folders: Path) -> OutboxSurvey:
    """Check the CRC of every record of the outboxes in these folders."""
    survey = OutboxSurvey()
    for folder in folders:
        _verify(folder, survey)
    return survey


def _verify(folder: Path, survey: OutboxSurvey) -> None:
    fate = _Fate(folder)
    seen: dict[str, IntervalSet] = {}
    for path in segment_files(folder):
        for entry in _read(path, survey):
            numbers = seen.setdefault(entry.stream, IntervalSet())
            if entry.seq in numbers:  # written twice after a failed sync
                continue
            numbers.add(entry.seq)
            report = survey.streams.setdefault(entry.stream, StreamReport(entry.stream))
            _count(
                report, entry, pending=fate.pending(entry), acknowledged=fate.acknowledged(entry)
            )


def export(*folders: Path, everything: bool = False) -> Iterator[bytes]:
    """The pending entries (or all that are held) as JSON lines, outbox by outbox in the order of
    writing."""
    for folder in folders:
        yield from _export(folder, everything)


def _export(folder: Path, everything: bool) -> Iterator[bytes]:
    fate = _Fate(folder)
    survey = OutboxSurvey()
    for path in segment_files(folder):
        for entry in _read(path, survey):
            if everything or fate.pending(entry):
                yield orjson.dumps(_line(entry, fate), option=orjson.OPT_APPEND_NEWLINE)


def _read(path: Path, survey: OutboxSurvey) -> Iterator[OutboxEntry]:
    """The valid entries of a segment; a file that the agent just removed has none."""
    try:
        raw = path.read_bytes()
        index = read_trailer(path)
    except FileNotFoundError:
        return
    heads, damages = parts(raw, len(raw) if index is None else min(index.data_end, len(raw)))
    torn = 0 if index is not None else torn_bytes(raw, damages)
    damaged = sum(damage.end - damage.start for damage in damages)
    survey.segments += 1
    survey.bytes += len(raw)
    survey.torn_bytes += torn
    survey.damaged_bytes += damaged
    if damaged:
        survey.damaged_segments.append(str(path))
    for head in heads:
        yield entry_of(head, raw[head.offset : head.offset + head.size])


def _count(report: StreamReport, entry: OutboxEntry, *, pending: bool, acknowledged: bool) -> None:
    report.entries += 1
    report.values += entry.values
    report.newest_t = max(entry.t, report.newest_t or entry.t)
    if not pending:
        return
    report.pending_entries += 1
    report.pending_values += entry.values
    report.unconfirmed_entries += acknowledged
    report.oldest_t = min(entry.t, report.oldest_t or entry.t)


def _line(entry: OutboxEntry, fate: _Fate) -> dict[str, Any]:
    line: dict[str, Any] = {
        "stream": entry.stream,
        "seq": entry.seq,
        "t": entry.t,
        "topic": entry.topic,
        "values": entry.values,
        "pending": fate.pending(entry),
        "acknowledged": fate.acknowledged(entry),
    }
    try:
        return {**line, "payload": orjson.loads(entry.payload)}
    except orjson.JSONDecodeError:
        return {**line, "payload_base64": base64.b64encode(entry.payload).decode()}
