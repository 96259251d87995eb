"""What became of the entries of each stream: acknowledged, released, dropped, and the counters of
all that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from edge_agent.intervals import IntervalSet
from edge_agent.outbox.acks import Ack, AckKind, AckLog

Pairs = Iterable[tuple[int, int]]
Reason = Literal["full", "disk", "damaged", "missing"]
"""Why entries never left: the outbox was full, the disk was full, their bytes were damaged, or they
are gone."""


@dataclass(frozen=True, slots=True)
class UndeliveredRange:
    """A hole in the data, which is itself data: entries `from_seq..to_seq` of a stream will never
    be delivered."""

    stream: str
    from_seq: int
    to_seq: int
    from_t: int
    """Read time of the first of them, ns; of the nearest entry that is left where its own is
    unknown."""
    to_t: int
    values: int
    """Values in them (0 where the bytes that said so are gone)."""
    acknowledged: int
    """Those of the values that the broker had acknowledged (only `confirm: store` can drop
    such)."""
    reason: Reason

    @property
    def entries(self) -> int:
        return self.to_seq - self.from_seq + 1

    def to_json(self) -> dict[str, Any]:
        """The `gap` of a health document."""
        return {
            "stream": self.stream,
            "from_seq": self.from_seq,
            "to_seq": self.to_seq,
            "from_t": self.from_t,
            "to_t": self.to_t,
            "values": self.values,
            "acknowledged": self.acknowledged,
            "reason": self.reason,
        }

    @classmethod
    def gap_from_document(cls, payload: bytes) -> UndeliveredRange | None:
        """The gap of a health document (`to_json`); None for every other document."""
        if b'"gap":{' not in payload:
            return None
        try:
            return cls(**orjson.loads(payload)["gap"])
        except (ValueError, TypeError, KeyError):
            return None

    def joined(self, later: UndeliveredRange) -> UndeliveredRange | None:
        """Both as one, when `later` continues this one."""
        if (self.stream, self.to_seq + 1, self.reason) != (
            later.stream,
            later.from_seq,
            later.reason,
        ):
            return None
        values = self.values + later.values
        acknowledged = self.acknowledged + later.acknowledged
        return UndeliveredRange(
            self.stream,
            self.from_seq,
            later.to_seq,
            self.from_t,
            later.to_t,
            values,
            acknowledged,
            self.reason,
        )


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """Counters since the outbox was opened, and what it holds now. Plain names count values (one
    tag once)."""

    enqueued: int
    durable_seq: int
    acknowledged: int
    """Acknowledged by the broker."""
    confirmed: int
    """Released: acknowledged with `confirm: broker`, covered by the watermark with `confirm:
    store`."""
    dropped: int
    dropped_acknowledged: int
    """Those of the dropped values that the broker had acknowledged."""
    unseen: int
    """Those of the confirmed values that went at the broker's acknowledgement because no ingest was
    ever seen."""
    quarantined: int
    """Values lost to damaged bytes."""
    pending: int
    enqueued_entries: int
    acknowledged_entries: int
    confirmed_entries: int
    dropped_entries: int
    quarantined_entries: int
    pending_entries: int
    unconfirmed_entries: int
    """Pending entries that the broker has acknowledged."""
    quarantined_bytes: int
    bytes: int
    """On the disk."""
    oldest_t: int | None
    """Read time of the oldest pending entry, ns."""


@dataclass(slots=True)
class StreamState:
    """The fate of one stream's entries. A number is in at most one of `acked` and `released`."""

    acked: IntervalSet = field(default_factory=IntervalSet)
    """The broker has them; they are waiting to be confirmed."""
    released: IntervalSet = field(default_factory=IntervalSet)
    """Nothing is to be done for them any more."""
    taken: IntervalSet = field(default_factory=IntervalSet)
    """Handed to the publisher on the present connection."""
    top: int = 0
    """The last number known to be written."""

    def next_open(self, seq: int) -> int:
        """The first number >= `seq` that is to be sent."""
        while True:
            start = seq
            for done in (self.released, self.acked, self.taken):
                seq = done.next_missing(seq)
            if seq == start:
                return seq


class Ledger:
    """The states of all streams, written to the acknowledgement log as they change."""

    def __init__(
        self, acks: AckLog, known: Iterable[Ack], values_of: Callable[[str, int, int], int]
    ) -> None:
        self._acks = acks
        self._values_of = values_of
        self.streams: dict[str, StreamState] = {}
        self.values = dict.fromkeys(
            (
                "enqueued",
                "acknowledged",
                "confirmed",
                "dropped",
                "forgone",
                "unseen",
                "quarantined",
            ),
            0,
        )
        self.entries = dict.fromkeys(self.values, 0)
        self.pending_values = 0
        self.pending_entries = 0
        self.unconfirmed = 0
        self._gaps: list[UndeliveredRange] = []
        for ack in known:
            self._remember(ack)

    def state(self, stream: str) -> StreamState:
        """The state of a stream, made when it is new."""
        found = self.streams.get(stream)
        if found is None:
            found = self.streams[stream] = StreamState()
        return found

    def enqueue(self, values: int) -> None:
        self.values["enqueued"] += values
        self.entries["enqueued"] += 1
        self.pending_entries += 1
        self.pending_values += values

    def hold(self, entries: int, values: int) -> None:
        """These are pending too."""
        self.pending_entries += entries
        self.pending_values += values

    def acknowledge(self, stream: str, pairs: Pairs, *, release: bool) -> None:
        """The broker has these entries; with `release` that is all that was waited for."""
        state = self.state(stream)
        fresh = [
            p
            for pair in pairs
            for a in state.released.missing(*pair)
            for p in state.acked.missing(*a)
        ]
        if not fresh:
            return
        entries = _total(fresh)
        values = self._total_values(stream, fresh)
        self._count("acknowledged", entries, values)
        if release:
            self._release(stream, fresh, entries, values)
            return
        state.acked.update(fresh)
        self.unconfirmed += entries
        self._acks.append([Ack(AckKind.ACKED, stream, a, b) for a, b in fresh])

    def release(self, stream: str, pairs: Pairs) -> list[tuple[int, int]]:
        """These entries were delivered for good. Returns those of which that was not known
        before."""
        state = self.state(stream)
        fresh = [part for pair in pairs for part in state.released.missing(*pair)]
        if fresh:
            self._release(stream, fresh, _total(fresh), self._total_values(stream, fresh))
        return fresh

    def _release(
        self, stream: str, fresh: list[tuple[int, int]], entries: int, values: int
    ) -> None:
        """`fresh` holds so many entries and values, none of them released before."""
        self._count("confirmed", entries, values)
        self.hold(-entries, -values)
        for first, last in fresh:
            self._done(stream, first, last)
        self._acks.append([Ack(AckKind.RELEASED, stream, a, b) for a, b in fresh])

    def again(self, stream: str, pairs: Pairs) -> None:
        """Send these once more: they count as neither taken nor acknowledged."""
        state = self.state(stream)
        for first, last in pairs:
            self.unconfirmed -= _total(state.acked.within(first, last))
            state.acked.discard(first, last)
            state.taken.discard(first, last)

    def unrelease(self, stream: str, pairs: Pairs) -> int:
        """These were delivered, and are to be delivered once more; returns how many of them there
        are."""
        state = self.state(stream)
        back = [part for pair in pairs for part in state.released.within(*pair)]
        entries = _total(back)
        values = self._total_values(stream, back)
        self._count("confirmed", -entries, -values)
        self.hold(entries, values)
        for first, last in back:
            state.released.discard(first, last)
        return entries

    def unconfirm(self, stream: str, pairs: Pairs) -> list[tuple[int, int]]:
        """The store no longer has these: they wait to be confirmed again. Returns those that were
        released.

        Not written to the log: whoever reads it next hears of the store's marks first, and
        concludes the same.
        """
        state = self.state(stream)
        back: list[tuple[int, int]] = []
        for pair in pairs:
            back += state.released.within(*pair)
        if back:
            entries = _total(back)
            values = self._total_values(stream, back)
            self._count("confirmed", -entries, -values)
            self.hold(entries, values)
            self.unconfirmed += entries
            for first, last in back:
                state.released.discard(first, last)
            state.acked.update(back)
        return back

    def lose(self, gap: UndeliveredRange) -> None:
        """Report and count a hole whose entries are all pending; they are released."""
        kind = "dropped" if gap.reason in ("full", "disk") else "quarantined"
        self.values[kind] += gap.values
        self.entries[kind] += gap.entries
        self.values["forgone"] += gap.acknowledged
        self.hold(-gap.entries, -gap.values)
        self._done(gap.stream, gap.from_seq, gap.to_seq)
        self._acks.append([Ack(AckKind.RELEASED, gap.stream, gap.from_seq, gap.to_seq)])
        self.queue_gap(gap)

    def queue_gap(self, gap: UndeliveredRange) -> None:
        """This hole is among those of the next `gaps`. It may have been told before, by an entry
        that was lost too."""
        joined = self._gaps[-1].joined(gap) if self._gaps else None
        if joined is None:
            self._gaps.append(gap)
        else:
            self._gaps[-1] = joined

    def leave(self, stream: str, last: int, entries: int, values: int) -> None:
        """The end has come, and the disk never took these entries. They are counted now; that
        numbers up to `last` were given out is recorded, so that the next opening tells the hole."""
        self.values["dropped"] += values
        self.entries["dropped"] += entries
        self.hold(-entries, -values)
        self.written(stream, last)

    def written(self, stream: str, last: int) -> None:
        """The segment that ends with `last` was finished."""
        self.state(stream).top = last
        self._acks.append([Ack(AckKind.WRITTEN, stream, 1, last)])

    def gaps(self) -> list[UndeliveredRange]:
        """The holes since the last call."""
        gaps = self._gaps
        self._gaps = []
        return gaps

    def save(self, keep: Iterable[str]) -> None:
        """Rewrite the log with the streams in `keep`; the others are forgotten."""
        wanted = set(keep)
        self.streams = {name: state for name, state in self.streams.items() if name in wanted}
        snapshot: dict[tuple[int, str], Pairs] = {}
        for name, state in self.streams.items():
            snapshot[AckKind.ACKED, name] = state.acked.pairs()
            snapshot[AckKind.RELEASED, name] = state.released.pairs()
            snapshot[AckKind.WRITTEN, name] = [(1, state.top)] if state.top else []
        self._acks.rewrite(snapshot)

    def _done(self, stream: str, first: int, last: int) -> None:
        state = self.state(stream)
        if state.acked:
            self.unconfirmed -= _total(state.acked.within(first, last))
            state.acked.discard(first, last)
        state.released.add(first, last)

    def _remember(self, ack: Ack) -> None:
        state = self.state(ack.stream)
        if ack.kind == AckKind.RELEASED:
            state.acked.discard(ack.first, ack.last)
            state.released.add(ack.first, ack.last)
        elif ack.kind == AckKind.ACKED:
            state.acked.update(state.released.missing(ack.first, ack.last))
        elif ack.kind == AckKind.WRITTEN:
            state.top = max(state.top, ack.last)

    def _total_values(self, stream: str, pairs: Pairs) -> int:
        return sum([self._values_of(stream, first, last) for first, last in pairs])

    def _count(self, kind: str, entries: int, values: int) -> None:
        self.values[kind] += values
        self.entries[kind] += entries


def _total(pairs: Iterable[tuple[int, int]]) -> int:
    return sum([last - first + 1 for first, last in pairs])
