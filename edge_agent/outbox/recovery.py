"""Opening what an earlier life left: finish its segments, set damage aside, and say what is
missing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from edge_agent.errors import newer_format
from edge_agent.intervals import IntervalSet
from edge_agent.outbox.journal import Journal
from edge_agent.outbox.ledger import Ledger, Reason, StreamState, UndeliveredRange
from edge_agent.outbox.quarantine import SegmentQuarantine
from edge_agent.outbox.record import FORMAT, MAGIC, format_of
from edge_agent.outbox.segment import SUFFIX, Segment, recover

log = logging.getLogger(__name__)

_NO_END: Final = 1 << 63


def segment_files(folder: Path) -> list[Path]:
    """The segment files of an outbox, by age."""
    return sorted(
        (p for p in folder.glob(f"*{SUFFIX}") if p.stem.isdigit()), key=lambda p: int(p.stem)
    )


def refuse_newer(folder: Path) -> None:
    """Raises FindingsError when a newer program has written any of the segments; nothing is
    changed."""
    for path in segment_files(folder):
        with path.open("rb") as file:
            found = format_of(file.read(len(MAGIC)))
        if found is not None and found > FORMAT:
            raise newer_format(path, found, FORMAT)


def open_segments(folder: Path, quarantine: SegmentQuarantine) -> list[Segment]:
    """All segments, by age, each with a valid trailer; damaged ranges are in quarantine, torn ends
    cut off."""
    segments: list[Segment] = []
    for path in segment_files(folder):
        found = recover(path)
        for damage, data in found.damages:
            quarantine.keep(path, damage, data)
        if found.torn:
            log.info("outbox-torn-end segment=%s bytes=%d", path.name, found.torn)
        if found.segment is None:
            path.unlink()
            continue
        if not found.segment.sealed:
            found.segment.seal()
            found.segment.forget()
        segments.append(found.segment)
    return _without_overlap(segments)


def _without_overlap(segments: list[Segment]) -> list[Segment]:
    """After a failed sync an entry may be in two segments: the later one, written afresh,
    counts."""
    kept: list[Segment] = []
    begins: dict[str, int] = {}
    for segment in reversed(segments):
        segment.last = min(segment.last, begins.get(segment.stream, segment.last + 1) - 1)
        if segment.last < segment.first:
            segment.path.unlink()
            continue
        begins[segment.stream] = segment.first
        kept.append(segment)
    return kept[::-1]


def report_holes(journal: Journal, ledger: Ledger) -> None:
    """Compare what is here with what was written; count what is pending. Each stream's states
    become complete: every number up to its last is on the disk or released."""
    for stream in {*ledger.streams, *journal.streams()} - {journal.stream}:
        segments = journal.of(stream)
        state = ledger.state(stream)
        here = IntervalSet((s.first, s.last) for s in segments)
        end = _known_end(state, segments)
        for segment in segments:
            _count_pending(segment, ledger)
        ledger.unconfirmed += sum(
            b - a + 1 for s in segments for a, b in state.acked.within(s.first, s.last)
        )
        for first, last in here.missing(1, end):
            _report_missing(stream, first, last, segments, ledger)
        for segment in segments:
            _report_lost(segment, ledger)
        state.top = end  # so that the loss of a whole file would be noticed next time


def _known_end(state: StreamState, segments: list[Segment]) -> int:
    """The last number that anything knows of. What the broker has and the disk has no more is done:
    it cannot be sent again, and what was numbered before it and is nowhere is lost."""
    end = max(state.top, segments[-1].last if segments else 0)
    beyond = state.acked.within(end + 1, _NO_END)
    state.released.update(beyond)
    state.acked.discard(end + 1, _NO_END)
    return max(end, *(last for _, last in state.released.pairs()[-1:]), 0)


def _count_pending(segment: Segment, ledger: Ledger) -> None:
    for first, last in ledger.state(segment.stream).released.missing(segment.first, segment.last):
        ledger.hold(last - first + 1, segment.values_of(first, last))
    segment.forget()


def _report_missing(
    stream: str, first: int, last: int, segments: list[Segment], ledger: Ledger
) -> None:
    """Numbers of no segment: released ones left in order; others were written before what is there,
    and are gone."""
    state = ledger.state(stream)
    before = max((s.last_t for s in segments if s.last < first), default=0)
    after = min((s.first_t for s in segments if s.first > last), default=before)
    for a, b in state.released.missing(first, last):
        ledger.hold(b - a + 1, 0)
        _lose(ledger, UndeliveredRange(stream, a, b, before or after, after, 0, 0, "missing"))


def _report_lost(segment: Segment, ledger: Ledger) -> None:
    """Entries of a segment whose bytes were found damaged, now or before a log of that was lost."""
    state = ledger.state(segment.stream)
    for first, last in IntervalSet((n, n) for n in segment.lost()).pairs():
        for a, b in state.released.missing(first, last):
            acked = sum(segment.values_of(*pair) for pair in state.acked.within(a, b))
            times = segment.time_of(a), segment.time_of(b)
            _lose(
                ledger,
                UndeliveredRange(
                    segment.stream, a, b, *times, segment.values_of(a, b), acked, _DAMAGED
                ),
            )
    segment.forget()


def _lose(ledger: Ledger, gap: UndeliveredRange) -> None:
    log.error(
        "outbox-lost stream=%s seq=%d..%d reason=%s",
        gap.stream,
        gap.from_seq,
        gap.to_seq,
        gap.reason,
    )
    ledger.lose(gap)


_DAMAGED: Reason = "damaged"
