"""Simulated time: seconds since a common epoch, running at `speed` times real time."""

from __future__ import annotations

import time


class SimClock:
    """The clock of one simulator process.

    The distance to the epoch is taken once from the wall clock and then followed by the monotonic
    clock, so a change of the computer's time neither stops a simulated line nor makes it jump.
    """

    def __init__(self, speed: float = 1.0, epoch_ns: int | None = None) -> None:
        self.speed = speed
        now = time.time_ns()
        self.epoch_ns = now if epoch_ns is None else epoch_ns
        self._base = (now - self.epoch_ns) / 1e9
        self._monotonic = time.monotonic()

    def seconds(self) -> float:
        """Simulated seconds since the epoch."""
        return (self._base + time.monotonic() - self._monotonic) * self.speed

    def at_ns(self, seconds: float) -> int:
        """The wall time (Unix ns) that the simulated machines show at `seconds`."""
        return self.epoch_ns + round(seconds * 1e9)
