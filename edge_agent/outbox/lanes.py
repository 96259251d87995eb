"""The two orders in which entries leave: what is read now goes first, what was left behind follows
in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from edge_agent.outbox.journal import Journal
from edge_agent.outbox.ledger import Ledger
from edge_agent.outbox.record import OutboxEntry
from edge_agent.outbox.segment import Segment

_RING = 4 << 20
"""Bytes of payload the live lane holds in memory; what does not fit falls back to the backlog."""


class Lanes:
    """Hands out each entry once per connection. Within a lane the order is that of appending."""

    def __init__(
        self, journal: Journal, ledger: Ledger, on_damage: Callable[[Segment, int], None]
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._on_damage = on_damage
        self._mine = ledger.state(journal.stream)
        self._ring: deque[OutboxEntry] = deque()
        self._ring_bytes = 0
        self._live = False
        self._live_from = 0
        """Lower numbers of the current stream belong to the backlog while `_live`."""
        self._number = 0
        self._seq = 0
        self._drained = False
        """Nothing was left in the backlog when it was last asked, and nothing was added since."""

    @property
    def live_waiting(self) -> int:
        """Entries of the live lane not yet handed out."""
        return len(self._ring)

    def attach(self, next_seq: int) -> None:
        """A connection begins: entries from `next_seq` on are live, all others not yet done are
        backlog."""
        self.detach()
        self._live = True
        self._live_from = next_seq

    def detach(self) -> None:
        """The connection is over: whatever was handed out and not acknowledged is backlog again."""
        self._live = False
        self._ring.clear()
        self._ring_bytes = 0
        for state in self._ledger.streams.values():
            state.taken.discard(0, 1 << 63)
        self.rewind()

    def rewind(self) -> None:
        """Look through the backlog from its beginning."""
        self._number = self._seq = 0
        self._drained = False

    def offer(self, entry: OutboxEntry) -> None:
        """An entry that was just appended."""
        if not self._live:
            return
        self._ring.append(entry)
        self._ring_bytes += len(entry.payload)
        while self._ring_bytes > _RING:
            self._shift()
            self._drained = False

    def take_live(self) -> OutboxEntry | None:
        """The next entry of the live lane."""
        state = self._mine
        while self._ring:
            entry = self._shift()
            if entry.seq not in state.released:
                state.taken.add(entry.seq)
                return entry
        return None

    def take_backlog(self) -> OutboxEntry | None:
        """The next entry of the backlog: by age of its segment, then by number."""
        if self._drained:
            return None
        while (segment := self._journal.at_or_after(self._number)) is not None:
            if segment.number != self._number:
                self._number = segment.number
                self._seq = 0
            limit = self._limit(segment.stream, segment.last)
            entry = self._read(segment, limit)
            if entry is not None:
                return entry
            if segment is self._journal.writing or limit < segment.last:
                break
            segment.forget()
            self._number, self._seq = self._number + 1, 0
        entry = self._read_unsynced()
        self._drained = entry is None and self._live
        return entry

    def _shift(self) -> OutboxEntry:
        entry = self._ring.popleft()
        self._ring_bytes -= len(entry.payload)
        self._live_from = entry.seq + 1
        return entry

    def _limit(self, stream: str, last: int) -> int:
        """The last number of a segment that is backlog."""
        return (
            min(last, self._live_from - 1)
            if self._live and stream == self._journal.stream
            else last
        )

    def _read(self, segment: Segment, limit: int) -> OutboxEntry | None:
        state = self._ledger.state(segment.stream)
        seq = state.next_open(max(self._seq, segment.first))
        while seq <= limit:
            entry = segment.read(seq)
            if entry is not None:
                self._seq = seq + 1
                state.taken.add(seq)
                return entry
            self._on_damage(segment, seq)
            seq = state.next_open(seq)
        return None

    def _read_unsynced(self) -> OutboxEntry | None:
        """What the disk has not taken can be sent all the same."""
        journal = self._journal
        seq = 0
        state = self._ledger.state(journal.stream)
        while (raw := journal.first_unsynced_from(state.next_open(seq))) is not None:
            seq = raw.entry.seq
            if seq > self._limit(journal.stream, seq):
                return None
            if state.next_open(seq) == seq:
                state.taken.add(seq)
                return raw.entry
        return None
