"""Connections begin one after another, as fast as the event loop can follow.

A connection takes several steps of the event loop, and its time-out runs meanwhile. When a thousand
begin at once, at the start or when a switch is back, each step waits for a thousand others: on a
slow processor all time out, begin again together, and none is ever made. Here each waits for its
turn before its time-out starts. A turn is one round of the event loop, so nobody waits for the peer
of another: devices that are switched off hold nobody up.
"""

from __future__ import annotations

import asyncio
from collections import deque


class StartLimiter:
    """Lets one task through in each round of the event loop, in the order they came."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._turning = False

    async def turn(self) -> None:
        """Wait for a turn; at once when nobody has passed in this round."""
        loop = asyncio.get_running_loop()
        if not self._turning:
            self._turning = True
            loop.call_soon(self._next)
            return
        waiting = loop.create_future()
        self._waiting.append(waiting)
        await waiting

    def _next(self) -> None:
        """A round is over: the next one passes. Those who gave up meanwhile take no turn."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                asyncio.get_running_loop().call_soon(self._next)
                return
        self._turning = False
