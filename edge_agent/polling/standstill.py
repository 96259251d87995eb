"""When this process itself stood still: suspended, its machine paused, or its loop held up.

What fails then fails because nobody listened here, and no device is to blame. A pulse that comes
late tells of it; so does one that has not come yet when a time-out is over.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from edge_agent.errors import DeviceError
from edge_agent.model import status_name

PULSE_S: Final = 0.5
#: A pulse that comes later than this by so much: time-outs may have passed that were none.
LATE_S: Final = 0.75
#: Failures that silence of our own brings about: time-outs, and what others closed meanwhile.
_BY_SILENCE: Final = frozenset(
    {
        "BadTimeout",
        "BadRequestTimeout",
        "BadNoCommunication",
        "BadNotConnected",
        "BadCommunicationError",
        "BadConnectionClosed",
        "BadSecureChannelClosed",
        "BadSecureChannelIdInvalid",
        "BadSessionClosed",
        "BadSessionIdInvalid",
        "BadSubscriptionIdInvalid",
        "BadNoSubscription",
        "BadServerNotConnected",
    }
)


class Standstill:
    """Of one process. All times are real monotonic seconds."""

    def __init__(self) -> None:
        self._pulse = time.monotonic()
        self._ended = float("-inf")
        self._seconds = 0.0
        self._runs = False

    async def run(self) -> None:
        """Until cancelled."""
        self._pulse = time.monotonic()
        self._runs = True
        try:
            while True:
                await asyncio.sleep(PULSE_S)
                self._look()
                self._pulse = time.monotonic()
        finally:
            self._runs = False

    def seconds_since(self, start: float) -> float:
        """How long the process stood still, in a spell that ended after `start`; 0 where it did
        not."""
        if self._runs:
            self._look()
        return self._seconds if self._ended > start else 0.0

    def until(self) -> float:
        """When it last stood still; minus infinity where it never did."""
        if self._runs:
            self._look()
        return self._ended

    def excused(self, fault: DeviceError, start: float) -> DeviceError:
        """A failure of what was begun, or last confirmed, at `start`: as one of ours, where we
        stood still since then."""
        if status_name(fault.status) not in _BY_SILENCE:
            return fault
        seconds = self.seconds_since(start)
        if not seconds:
            return fault
        ours = DeviceError.of("agent_paused", lost=fault.lost, seconds=f"{seconds:.0f}")
        ours.status = fault.status
        return ours

    def _look(self) -> None:
        """Whether the pulse is late at this moment."""
        now = time.monotonic()
        if now - self._pulse > PULSE_S + LATE_S:
            self._seconds = now - self._pulse
            self._ended = now
