"""Requests and answers over one open line: no task, and no timer of its own, for any single request.

The event loop calls in with bytes; the next request is sent from there, and the caller is woken once, when the last
answer of its exchange has come. One lazy timer serves the whole line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from connectors.modbus.frame import (
    GATEWAY_PATH_UNAVAILABLE,
    GATEWAY_TARGET_SILENT,
    Answer,
    ProtocolError,
    Request,
    describe_exception,
)
from connectors.modbus.framing import Framing
from edge_agent.sdk import STATUS, DeviceError

_GATEWAY: Final = frozenset({GATEWAY_PATH_UNAVAILABLE, GATEWAY_TARGET_SILENT})

#: A bus is opened anew after this many failures in a row: its receiver may be stuck behind noise, its cable be out.
BUS_FAILURES: Final = 2

Reply = Answer | DeviceError
"""Data bytes, an exception code, or why there is no answer."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How one device wants to be asked."""

    timeout: float = 1.0
    window: int = 1
    """Requests under way at once."""
    pause: float = 0.0
    """Seconds between an answer and the next request."""


class Channel(asyncio.Protocol, asyncio.DatagramProtocol):
    """One open line. Used by one task at a time.

    On a connection a failure (timeout, foreign bytes) is final: what comes later could be taken for the answer to
    another question. With `bus=True` it ends the exchange, and only the second in a row is final.
    """

    def __init__(self, framing: Framing, now: Callable[[], int], *, bus: bool = False) -> None:
        self.arrived = 0
        """Wall clock when the last answer arrived, integer nanoseconds."""
        self._framing = framing
        self._now = now
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._write: Callable[[bytes], None] = _not_open
        self._abort: Callable[[], None] = _nothing
        self._failures = 0
        self._final: DeviceError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._resting: asyncio.TimerHandle | None = None
        self._last_arrival = 0.0
        self._done: asyncio.Future[None] | None = None
        self._requests: Sequence[Request] = ()
        self._replies: list[Reply | None] = []
        self._timing = Timing()
        self._sent = self._answered = self._end = 0

    async def exchange(self, requests: Sequence[Request], timing: Timing) -> list[Reply]:
        """A reply to each request, in their order. Raises the DeviceError(lost=True) that ended the line, once it has
        ended; a failure a bus survives is returned in the place of the replies that are missing."""
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
            self._fail("BadCommunicationError", "the read was given up half way")
            raise
        finally:
            self._done = None
        if self._final is not None:
            raise self._final
        return cast("list[Reply]", self._replies)

    def close(self) -> None:
        """Give the line up at once."""
        self._end_line(DeviceError(STATUS["BadNoCommunication"], "the connection was closed", lost=True))

    # --- what the line calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._write = transport.sendto if hasattr(transport, "sendto") else transport.write
        self._abort = transport.abort

    def data_received(self, data: bytes) -> None:
        try:
            answers = self._framing.feed(data)
        except ProtocolError as error:
            self._fail("BadCommunicationError", str(error))
            return
        if answers:
            self._take(answers)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.data_received(data)

    def error_received(self, exc: Exception) -> None:
        self._end_line(DeviceError(STATUS["BadNoCommunication"], f"the network refused: {exc}", lost=True))

    def connection_lost(self, exc: Exception | None) -> None:
        reason = f"the connection broke: {exc}" if exc else "the peer closed the connection"
        self._end_line(DeviceError(STATUS["BadNoCommunication"], reason, lost=True))

    # --- one exchange --------------------------------------------------------------------------------------------

    def _take(self, answers: list[tuple[int, Answer]]) -> None:
        self.arrived = self._now()
        self._last_arrival = self._loop.time()
        self._failures = 0
        for slot, answer in answers:
            self._replies[slot] = answer
            if isinstance(answer, int) and answer in _GATEWAY:
                self._stop_asking(slot, answer)
        self._answered += len(answers)
        if self._sent < self._end:
            self._send_after_pause()
        elif self._answered == self._end:
            self._finish()

    def _stop_asking(self, slot: int, code: int) -> None:
        """A gateway that waits in vain for a unit takes its time over each request: ask it for no more of that unit."""
        error = DeviceError(STATUS["BadNoCommunication"], f"{describe_exception(code)} to {self._requests[slot]}")
        self._replies[slot] = error
        self._replies[self._sent :] = [error] * (len(self._replies) - self._sent)
        self._end = self._sent

    def _send_after_pause(self) -> None:
        if self._resting is not None:
            return
        rest = self._last_arrival + self._timing.pause - self._loop.time() if self._timing.pause else 0.0
        if rest > 0:
            self._resting = self._loop.call_later(rest, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._resting = None
        frames = []
        while self._sent < self._end and self._sent - self._answered < self._timing.window:
            frames.append(self._framing.encode(self._sent, self._requests[self._sent]))
            self._sent += 1
        self._expect_answer()
        self._write(frames[0] if len(frames) == 1 else b"".join(frames))

    def _expect_answer(self) -> None:
        """Move the deadline. The timer is left alone while it is due earlier: it looks again when it fires."""
        self._deadline = self._loop.time() + self._timing.timeout
        if self._timer is None or self._timer.when() > self._deadline:
            self._stop_timer()
            self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._done is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        else:
            missing = next(r for r, reply in zip(self._requests, self._replies, strict=True) if reply is None)
            self._fail("BadTimeout", f"no answer within {self._timing.timeout:g} s to {missing}")

    # --- failures ------------------------------------------------------------------------------------------------

    def _fail(self, status: str, detail: str) -> None:
        """A failure of this exchange, or, without one, bytes that came unasked."""
        self._framing.reset()
        if self._bus and self._done is None:
            return
        self._failures += 1
        lost = not self._bus or self._failures >= BUS_FAILURES
        error = DeviceError(STATUS[status], detail, lost=lost)
        if lost:
            self._end_line(error)
            return
        self._replies = [error if reply is None else reply for reply in self._replies]
        self._finish()

    def _end_line(self, error: DeviceError) -> None:
        if self._final is None:
            self._final = error
            self._stop_timer()
            self._finish()
            self._abort()

    def _finish(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _not_open(data: bytes) -> None:
    raise DeviceError(STATUS["BadNotConnected"], "the connection is not open", lost=True)


def _nothing() -> None:
    """Stands in for a line that was never opened."""
