"""A segment of the outbox after damage: what is read back is what was written, and only what was
hit is missing."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import accumulate

from edge_agent.outbox.record import MAGIC, OutboxEntry, SegmentIndex, entry_of, pack_trailer
from edge_agent.outbox.segment import RecordInMemory, Recovered, parts, recover, torn_bytes
from fuzz.target import FuzzInput, FuzzTarget, demand, rewritten
from fuzz.targets._outbox import STREAM, damaged


def segment(data: bytes) -> None:
    """Entries written, bytes damaged, file recovered: no entry altered, and none missing that was
    not hit."""
    feed = FuzzInput(data)
    entries = [_entry(feed, n) for n in range(feed.number(6))]
    records = [RecordInMemory.of(entry).prefix + entry.payload for entry in entries]
    sound, offsets = _file(entries, records, sealed=bool(feed.number(2)))
    raw, hit = damaged(sound, feed)
    found = recover(rewritten("0000000001.seg", raw))
    read = _read(found)
    by_seq = {entry.seq: entry for entry in entries}
    demand(all(by_seq.get(seq) == entry for seq, entry in read.items()), "altered:", read)
    for entry, record, start in zip(entries, records, offsets, strict=True):
        end = start + len(record)
        if end <= len(raw) and hit.isdisjoint(range(start, end)):
            demand(
                entry.seq in read,
                "entry",
                entry.seq,
                "at",
                start,
                "..",
                end,
                "is whole and was not found",
            )
    if raw:
        _coverage(raw)


def _entry(feed: FuzzInput, n: int) -> OutboxEntry:
    payload = feed.take(feed.number(40)).decode("utf-8", "replace").encode()
    return OutboxEntry(
        STREAM, 10 + n, "edge/e/s/a/l/m1/data"[: feed.number(20)], payload, feed.number(65536), 1
    )


def _file(
    entries: list[OutboxEntry], records: list[bytes], *, sealed: bool
) -> tuple[bytes, list[int]]:
    """A segment's bytes and where its records begin."""
    ends = list(accumulate(map(len, records), initial=len(MAGIC)))
    offsets, raw = ends[:-1], b"".join((MAGIC, *records))
    if sealed and entries:
        times = entries[0].t, entries[-1].t
        index = SegmentIndex(
            STREAM, 10, *times, len(raw), array("I", offsets), array("I", [1] * len(offsets))
        )
        raw += pack_trailer(index)
    return raw, offsets


def _read(found: Recovered) -> dict[int, OutboxEntry]:
    here = found.segment
    if here is None:
        return {}
    demand(here.stream == STREAM, "stream", here.stream)
    try:
        entries = [here.read(seq) for seq in range(here.first, here.last + 1)]
        demand(here.values_of(here.first, here.last) <= len(entries), "values that nobody wrote")
        return {entry.seq: entry for entry in entries if entry is not None}
    finally:
        here.forget()


def _coverage(raw: bytes) -> None:
    """Records, damage and the torn end share out all bytes behind the magic, without overlap."""
    heads, damages = parts(raw, len(raw))
    spans = sorted(
        [(h.offset, h.offset + h.size) for h in heads] + [(d.start, d.end) for d in damages]
    )
    at = 0 if damages and damages[0].start == 0 else len(MAGIC)
    for start, end in spans:
        demand(
            start == at and end > start, "bytes", at, "..", start, "belong to nothing, or to two"
        )
        at = end
    demand(at >= len(raw), "the walk ends at", at, "of", len(raw))
    demand(0 <= torn_bytes(raw, damages) <= len(raw), "torn beyond the file")
    for head in heads:
        entry_of(head, raw[head.offset : head.offset + head.size])


def _segment_seeds() -> Iterable[bytes]:
    three = b"".join(bytes((9,)) + b'{"v":1,"x' + bytes((19, 1, n)) for n in range(3))
    for sealed in (0, 1):
        yield bytes((3,)) + three + bytes((sealed,))
        yield bytes((3,)) + three + bytes((sealed, 0, 20, 0, 77))
        yield bytes((3,)) + three + bytes((sealed, 0, 120, 5))
        yield bytes((3,)) + three + bytes((sealed, 0, 150, 7))
    yield bytes((0, 0))


TARGETS = (FuzzTarget("outbox-segment", segment, _segment_seeds, 140_000, longest=320),)
