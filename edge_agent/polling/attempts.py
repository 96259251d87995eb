"""What connecting may cost the process: retries within a rate, connections within the descriptor
limit.

A thousand devices that are switched off must cost less than a thousand that are read, and a device
for which the process has no descriptor left must not take the one that the outbox, the broker or
the control socket needs.
"""

from __future__ import annotations

import asyncio
import errno
import heapq
import time
from typing import Final

from edge_agent.errors import DeviceError
from edge_agent.reasons import words_of

#: Failed attempts a second that all dead devices of a process share. The dearest (accepted, never
#: answered, connected anew) costs 1.3 ms of CPU with all that it wakes, so they cost at most 2 % of
#: a core. Up to some 20 dead devices nobody waits longer than for his own back-off; a thousand are
#: each tried once in 83 s.
RETRIES_PER_S: Final = 12.0

#: Retries under way at once. One that succeeds gives its place back at once, so that a switch that
#: comes back with a thousand devices behind it brings them all back as fast as they answer.
RETRIES_AT_ONCE: Final = 50

#: Descriptors kept free for the outbox, the broker, the control socket and those who ask through
#: it.
RESERVE: Final = 64


#: Seconds between two batches of attempts where a hundred wait, and less where fewer do: to wake
#: for each costs as much as the attempt itself.
BATCH_S: Final = 0.5
_HUNDRED: Final = 100
#: So few are served without delay.
_FEW: Final = 10


class RetryBudget:
    """A token bucket for attempts after a failure, first come, first served. First attempts need
    none."""

    def __init__(self, rate: float = RETRIES_PER_S, burst: int = RETRIES_AT_ONCE) -> None:
        self._rate, self._burst = rate, float(burst)
        self._tokens, self._filled = float(burst), time.monotonic()
        self._places: list[tuple[float, int, asyncio.Future[None]]] = []
        """A heap: when the place may be served, and in which order those of one moment came."""
        self._number = 0
        self._served = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    @property
    def waiting(self) -> int:
        """How many wait, for a token or for the end of their pause."""
        return sum(not place.done() for _, _, place in self._places)

    def place(self, pause: float = 0.0) -> asyncio.Future[None]:
        """A place among those who wait, for `take`; not served before `pause` real seconds are
        over."""
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._queue(loop.time() + pause, place)
        return place

    def prefer(self, place: asyncio.Future[None]) -> None:
        """Somebody has corrected something: this place is served before those of others, and its
        pause is over."""
        if not place.done():
            self._queue(0.0, place)

    async def take(self, place: asyncio.Future[None] | None = None) -> None:
        """Wait for a token; at once while there are some."""
        place = place or self.place()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.refund()
            raise

    def refund(self) -> None:
        """The attempt succeeded: it was none of those that the rate is about."""
        self._tokens = min(self._burst, self._tokens + 1.0)
        self._serve()

    def _queue(self, due: float, place: asyncio.Future[None]) -> None:
        self._number += 1
        heapq.heappush(self._places, (due, self._number, place))
        if due <= asyncio.get_running_loop().time() and len(self._places) <= _FEW:
            self._serve()
        else:
            self._arm()

    def _fill(self) -> None:
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now

    def _serve(self) -> None:
        self._fill()
        places = self._places
        now = asyncio.get_running_loop().time()
        while places and (places[0][2].done() or (places[0][0] <= now and self._tokens >= 1.0)):
            _, _, place = heapq.heappop(places)
            # as that of a task cancelled meanwhile is, or one that was preferred
            if not place.done():
                self._tokens -= 1.0
                self._served = now
                place.set_result(None)
        self._arm()

    def _arm(self) -> None:
        """One alarm for whoever waits first."""
        if not self._places:
            return
        self._fill()
        loop = asyncio.get_running_loop()
        due = max(self._places[0][0], loop.time() + max(0.0, (1.0 - self._tokens) / self._rate))
        if len(self._places) > _FEW:
            due = max(due, self._served + BATCH_S * min(1.0, len(self._places) / _HUNDRED))
        if self._timer is not None:
            if self._due <= due:
                return  # it looks again then
            self._timer.cancel()
        self._due, self._timer = due, loop.call_at(due, self._on_alarm)

    def _on_alarm(self) -> None:
        self._timer = None
        self._serve()


class ConnectionSlots:
    """How many device connections may be open at once; `limit` None is no bound."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.used = 0

    def acquire(self) -> None:
        """Count one connection as open. Raises DeviceError when there is no descriptor left for
        it."""
        if self.limit is not None and self.used >= self.limit:
            raise no_descriptor(f"all {self.limit} in use", f"{self.limit} 个都在使用")
        self.used += 1

    def release(self) -> None:
        """The connection is closed."""
        self.used -= 1


def no_descriptor(why: str, why_zh: str) -> DeviceError:
    """What a device gets for whose connection the process has no descriptor."""
    return DeviceError.of("no_descriptor", lost=True, why=why, why_zh=why_zh)


def as_descriptor_fault(error: BaseException) -> DeviceError | None:
    """The same for a connection that found it out by itself (EMFILE or ENFILE somewhere behind
    `error`), else None."""
    cause: BaseException | None = error
    seen: set[int] = set()  # the chain of a context may run in a circle
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE):
            zh, en = words_of(cause)
            return no_descriptor(en, zh)
        cause = cause.__cause__ or cause.__context__
    return None
