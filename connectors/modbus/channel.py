"""Requests and answers over one TCP connection: no task, and no timer of its own, for any single request.

The event loop calls in with bytes; the next request is sent from there, and the caller is woken once, when the last
answer of its exchange has come. One lazy timer serves the whole connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from connectors.modbus.frame import Answer, ProtocolError, Request
from connectors.modbus.framing import Framing
from connectors.modbus.line import Reply, Timing, silent_unit
from edge_agent.sdk import STATUS, Deadline, DeviceError, cause_of_error


class Channel(asyncio.Protocol):
    """One open connection, a `Line`. Every failure (timeout, foreign bytes) is final: what comes later could be taken
    for the answer to another question."""

    def __init__(self, framing: Framing, now: Callable[[], int], where: str = "Modbus") -> None:
        """`where`: the address, for the sentences of errors."""
        self.arrived = 0
        self._where = where
        self._framing = framing
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._write: Callable[[bytes], None] = _not_open
        self._abort: Callable[[], None] = _nothing
        self._final: DeviceError | None = None
        self._deadline = Deadline(self._overdue)
        self._resting: asyncio.TimerHandle | None = None
        self._last_arrival = 0.0
        self._done: asyncio.Future[None] | None = None
        self._requests: Sequence[Request] = ()
        self._replies: list[Reply | None] = []
        self._timing = Timing()
        self._sent = self._answered = self._end = 0

    async def exchange(self, requests: Sequence[Request], timing: Timing) -> list[Reply]:
        """A reply to each request, in their order. Raises the DeviceError(lost=True) that ended the connection."""
        if self._final is not None:
            raise self._final
        self._requests, self._timing = requests, timing
        self._replies = [None] * len(requests)
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
        if self._final is not None:
            raise self._final
        return cast("list[Reply]", self._replies)

    def close(self) -> None:
        """Give the connection up at once."""
        self._fail(DeviceError.of("closed_by_us", lost=True))

    # --- what the event loop calls -------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._write = transport.write
        self._abort = transport.abort

    def data_received(self, data: bytes) -> None:
        try:
            answers = self._framing.feed(data)
        except ProtocolError as error:
            self._fail(DeviceError(STATUS["BadCommunicationError"], error.cause, lost=True))
            return
        if answers:
            self._take(answers)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._fail(DeviceError.of("closed_by_peer", lost=True, where=self._where))
        else:
            self._fail(DeviceError(STATUS["BadNoCommunication"], cause_of_error(exc, self._where), lost=True))

    # --- one exchange --------------------------------------------------------------------------------------------

    def _take(self, answers: list[tuple[int, Answer]]) -> None:
        for slot, answer in answers:
            self._replies[slot] = answer
            if type(answer) is int:
                self._heed_gateway(slot, answer)
        self._answered += len(answers)
        if self._timing.pause:
            self._last_arrival = self._loop.time()
        if self._answered == self._end:
            self.arrived = self._now()
            self._finish()
            return
        free = self._timing.window - (self._sent - self._answered)
        if self._sent < self._end and free >= max(1, self._timing.window // 2):
            # Not before half the window is free: both sides then move several frames with one system call.
            self._send_after_pause()
        else:
            self._deadline.set(self._timing.timeout)

    def _heed_gateway(self, slot: int, answer: int) -> None:
        """A refusal; when it says that the unit is silent, nothing more is asked of it in this exchange."""
        error = silent_unit(self._requests[slot], answer)
        if error is not None:
            self._replies[slot] = error
            self._replies[self._sent :] = [error] * (len(self._replies) - self._sent)
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
        first, last = self._sent, min(self._end, self._answered + self._timing.window)
        encode, requests = self._framing.encode, self._requests
        frames = [encode(slot, requests[slot]) for slot in range(first, last)]
        self._sent = last
        self._deadline.set(self._timing.timeout)
        self._write(frames[0] if len(frames) == 1 else b"".join(frames))

    def _overdue(self) -> None:
        missing = next(r for r, reply in zip(self._requests, self._replies, strict=True) if reply is None)
        seconds = f"{self._timing.timeout:g}"
        facts = {"unit": missing.unit, "seconds": seconds, "request": missing}
        self._fail(DeviceError.of("modbus_silent", lost=True, **facts))

    # --- failures ------------------------------------------------------------------------------------------------

    def _fail(self, error: DeviceError) -> None:
        """The end of the connection, said once."""
        if self._final is None:
            self._final = error
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
