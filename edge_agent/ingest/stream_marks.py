"""What the store has of the streams that are spoken of now: the memory that duplicates are told by.

A stream is looked up in the store when it is first spoken of, and leaves memory when it has been
silent for long. So memory and a start do not grow with the streams of all time, of which every
start of an agent makes one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from edge_agent.intervals import IntervalSet

#: A stream that brought nothing for so long is looked up again when it does.
IDLE_S: Final = 900.0


class StreamMarks:
    """Belongs to the ingest's loop; times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.sets: dict[str, IntervalSet] = {}
        """Stream -> the numbers that are dealt with."""
        self._used: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self.sets)

    def has(self, stream: str, seq: int) -> bool:
        """Whether this entry is known to be dealt with."""
        known = self.sets.get(stream)
        return known is not None and seq in known

    def unknown(self, streams: Iterable[str]) -> set[str]:
        """Those of them that are to be looked up."""
        return {stream for stream in streams if stream not in self.sets}

    def learn(self, streams: Collection[str], found: Mapping[str, IntervalSet], now: float) -> None:
        """What the store has of these streams, where it has anything; what was learned meanwhile is
        newer."""
        for stream in self.unknown(streams):
            self.sets[stream] = found.get(stream) or IntervalSet()
            self._used[stream] = now

    def add(self, stream: str, seq: int, now: float) -> None:
        """An entry is dealt with. Of a stream that has left memory meanwhile all is looked up
        again."""
        if stream in self.sets:
            self.sets[stream].add(seq)
            self._used[stream] = now

    def drop_idle(self, now: float, wanted: Collection[str]) -> None:
        """Let go of what was silent for long, but for streams that are `wanted`."""
        for stream in [
            stream
            for stream, used in self._used.items()
            if now - used > IDLE_S and stream not in wanted
        ]:
            del self.sets[stream], self._used[stream]
