"""Requests and answers over one TCP connection: no task, and no timer of its own, for any single
request.

The event loop calls in with bytes; the next request is sent from there, and the caller is woken
once, when the last answer of its exchange has come. One lazy timer serves the whole connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from connectors.modbus.frame import Answer, ProtocolError, ReadRequest
from connectors.modbus.framing import Framing
from connectors.modbus.strangers import ANOTHER_SERVICE
from connectors.modbus.transport import (
    Reply,
    SkippedError,
    Timing,
    fill,
    late,
    malformed,
    silent_unit,
)
from edge_agent.sdk import STATUS, Deadline, DeviceError, cause_of_error


class Channel(asyncio.Protocol):
    """One open connection, a `Line`. It ends when the peer closes it, when its bytes are no frames
    any more, or when a read is cancelled. After a time-out it goes on: a late answer is known by
    its transaction id."""

    def __init__(self, framing: Framing, now: Callable[[], int], where: str = "Modbus") -> None:
        """`where`: the address, for the sentences of errors."""
        self._where = where
        self.arrived = self.answers = self.arrivals = 0
        self.fault: DeviceError | None = None
        self.ended: DeviceError | None = None
        self.closed_by_peer = False
        self._framing = framing
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._write: Callable[[bytes], None] = _not_open
        self._abort: Callable[[], None] = _nothing
        self._deadline = Deadline(self._overdue)
        self._resting: asyncio.TimerHandle | None = None
        self._last_arrival = 0.0
        self._done: asyncio.Future[None] | None = None
        self._requests: Sequence[ReadRequest] = ()
        self._replies: list[Reply | None] = []
        self._timing = Timing()
        self._sent = self._answered = self._end = 0

    @property
    def last_id(self) -> int:
        """See `Line`."""
        return self._framing.last

    async def exchange(self, requests: Sequence[ReadRequest], timing: Timing) -> list[Reply]:
        """See `Line`."""
        if self.ended is not None:
            raise self.ended
        self._requests = requests
        self._timing = timing
        self._replies = [None] * len(requests)
        self.fault = None
        self._sent = self._answered = 0
        self._end = len(requests)
        self._done = self._loop.create_future()
        self._send_after_pause()
        try:
            await self._done
        except asyncio.CancelledError:
            self._fail(DeviceError.of("given_up", lost=True))
            raise
        finally:
            self._done = None
        # set by what the event loop called meanwhile
        fault = cast("DeviceError | None", self.fault)
        if fault is not None:
            fill(self._replies, fault)
        return cast("list[Reply]", self._replies)

    def close(self) -> None:
        """Give the connection up at once."""
        self._fail(DeviceError.of("closed_by_us", lost=True))

    # --- what the event loop calls ----------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._write = transport.write
        self._abort = transport.abort

    def data_received(self, data: bytes) -> None:
        self.arrivals += 1
        try:
            answers = self._framing.feed(data)
        except ProtocolError as error:
            self._fail(DeviceError(STATUS["BadCommunicationError"], error.cause, lost=True))
            return
        if answers:
            self._take(answers)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed_by_peer = self.ended is None
        if exc is None:
            self._fail(
                self._unread() or DeviceError.of("closed_by_peer", lost=True, where=self._where)
            )
        else:
            self._fail(
                DeviceError(
                    STATUS["BadNoCommunication"], cause_of_error(exc, self._where), lost=True
                )
            )

    def _unread(self) -> DeviceError | None:
        """What another service said before it closed the connection."""
        if self.ended is not None or not self.arrivals:
            return None
        try:
            instead = self._framing.end_wait()
        except ProtocolError as error:
            instead = error
        if isinstance(instead, ProtocolError) and instead.cause.name == ANOTHER_SERVICE:
            return DeviceError(STATUS[instead.status], instead.cause, lost=True)
        return None

    # --- one exchange -----------------------------------------------------------------------------

    def _take(self, answers: Sequence[tuple[int, Answer | ProtocolError]]) -> None:
        for slot, answer in answers:
            if type(answer) is bytes:
                self._replies[slot] = answer
            else:
                self._take_other(slot, answer)
        self._answered += len(answers)
        self.answers += len(answers)
        if self._timing.pause:
            self._last_arrival = self._loop.time()
        if self._answered == self._end:
            self.arrived = self._now()
            self._finish()
            return
        free = self._timing.window - (self._sent - self._answered)
        if self._sent < self._end and free >= max(1, self._timing.window // 2):
            # Not before half the window is free: both sides then move several frames with one
            # system call.
            self._send_after_pause()
        else:
            self._deadline.set(self._timing.timeout)

    def _take_other(self, slot: int, answer: Answer | ProtocolError) -> None:
        """A refusal, or an answer that is wrong inside. When a gateway says that the unit is
        silent, nothing more is asked of it in this exchange."""
        if isinstance(answer, ProtocolError):
            self._replies[slot] = malformed(answer)
            return
        self._replies[slot] = answer
        error = silent_unit(self._requests[slot], answer)
        if error is not None:
            self._replies[slot] = error
            skipped = SkippedError(error.status, error.cause)
            self._replies[self._sent :] = [skipped] * (len(self._replies) - self._sent)
            self._end = self._sent

    def _send_after_pause(self) -> None:
        if not self._timing.pause:
            self._send()
            return
        if self._resting is not None:
            return
        rest = self._last_arrival + self._timing.pause - self._loop.time()
        if rest > 0:
            self._deadline.clear()  # nothing is under way: with a pause, requests go one by one
            self._resting = self._loop.call_later(rest, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._resting = None
        first = self._sent
        last = min(self._end, self._answered + self._timing.window)
        encode = self._framing.encode
        requests = self._requests
        frames = [encode(slot, requests[slot]) for slot in range(first, last)]
        self._sent = last
        self._deadline.set(self._timing.timeout)
        self._write(frames[0] if len(frames) == 1 else b"".join(frames))

    def _overdue(self) -> None:
        """The time of the oldest request is over. What was asked with it is given up as well."""
        slot = self._replies.index(None)
        request = self._requests[slot]
        timeout = self._timing.timeout
        try:
            instead = self._framing.end_wait()
        except ProtocolError as error:
            self._fail(DeviceError(STATUS["BadCommunicationError"], error.cause, lost=True))
            return
        if instead is None or (isinstance(instead, ProtocolError) and not instead.answered):
            self.fault = late(request, instead, timeout)
            self._finish()
        else:
            self._take([(slot, instead)])

    # --- failures ---------------------------------------------------------------------------------

    def _fail(self, error: DeviceError) -> None:
        """The end of the connection, said once."""
        if self.ended is None:
            self.ended = self.fault = error
            self._deadline.stop()
            self._finish()
            self._abort()

    def _finish(self) -> None:
        self._deadline.clear()
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


def _not_open(data: bytes) -> None:
    raise DeviceError.of("not_connected", lost=True, where="Modbus")


def _nothing() -> None:
    """Stands in for a connection that was never opened."""
