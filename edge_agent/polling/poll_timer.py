"""What all connections of an agent share: one alarm for their turns, and the knowledge that a round
is over."""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Callable
from typing import Final

TOGETHER: Final = 20
"""So many are woken at once. A hundred at once would all be asked before the first answer is looked
at, and all answers stamped before the first is handed on: values would be older at the broker by
the work of the whole round."""
APART_S: Final = 0.002

#: Values that are read in one go: some 10 ms of work on a fast processor, 50 ms on a slow one.
BURST_VALUES = 5000

#: What is more than one burst comes so many seconds after it.
SLOT_S = 0.05


def _nothing() -> None:
    """Nobody waits for the end of a round."""


class PollTimer:
    """Wakes whoever's turn has come, and counts the reads under way. Belongs to one event loop.

    A timer of the event loop costs a handle, and for each comparison in its heap a call; a thousand
    connections with turns at the same moments need one timer, and tuples.
    """

    def __init__(self, on_rest: Callable[[], None] = _nothing) -> None:
        """`on_rest` is called whenever the last read under way is over and its values are handed
        on."""
        self._on_rest = on_rest
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._reads = 0
        self._origin: float | None = None
        self._planned: dict[float, int] = defaultdict(int)
        """Period in seconds -> values of the tables that have their place."""

    def on_grid(self, now: float, period: float, values: int) -> float:
        """Where the schedule of a table of so many `values` begins: the moment nearest to `now`
        that is its own.

        Tables of one period are read at the same moments until they make a burst, further ones a
        slot later, and so on. Read together they are one wake-up, one sending and one entry in the
        acknowledgement log; read a millisecond apart they are as many as there are, which costs up
        to twice as much. In one burst of any size, the last ones would wait for all others.
        """
        if self._origin is None:
            self._origin = now
        slot = self._planned[period] // BURST_VALUES
        self._planned[period] += values
        moment = self._origin + slot * SLOT_S
        return moment + round((now - moment) / period) * period

    async def sleep(self, seconds: float) -> None:
        """Wait so many real seconds."""
        loop = asyncio.get_running_loop()
        wakened: asyncio.Future[None] = loop.create_future()
        due = loop.time() + seconds
        self._number += 1  # no two entries are equal, so that futures are never compared
        heapq.heappush(self._sleepers, (due, self._number, wakened))
        if self._timer is None or due < self._due:
            self._set(loop, due)
        await wakened

    def begin(self) -> None:
        """A read begins."""
        self._reads += 1

    def end(self) -> None:
        """A read is over."""
        self._reads -= 1
        if not self._reads:
            self._on_rest()

    def _set(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = loop.call_at(due, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        sleepers = self._sleepers
        room = TOGETHER
        while room and sleepers and sleepers[0][0] <= now:
            wakened = heapq.heappop(sleepers)[2]
            if not wakened.done():  # as that of a task cancelled in its sleep is
                wakened.set_result(None)
                room -= 1
        if sleepers:
            self._set(loop, sleepers[0][0] if room else now + APART_S)
