"""The one clock of a process. `--speed N` makes every part of a demo live N times as fast,
together.

Schedules and ages use `monotonic`, stamps use `time_ns`; a real sleep is `real(seconds)` long.
Other processes get the same clock through the environment variable `EDGE_AGENT_CLOCK`.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

ENVIRONMENT = "EDGE_AGENT_CLOCK"


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall and monotonic time, both scaled by `speed` from a common epoch (Unix time in ns)."""

    speed: float = 1.0
    epoch_ns: int = field(default_factory=time.time_ns)

    def time_ns(self) -> int:
        """The wall clock in integer nanoseconds since 1970."""
        now = time.time_ns()
        return now if self.speed == 1.0 else self.epoch_ns + int((now - self.epoch_ns) * self.speed)

    def monotonic(self) -> float:
        """Seconds that never run backwards, at the clock's speed."""
        return time.monotonic() * self.speed

    def real(self, seconds: float) -> float:
        """How many real seconds pass while this clock counts `seconds`."""
        return seconds / self.speed

    def to_environment(self) -> dict[str, str]:
        """What a child process needs in its environment to live by this clock."""
        return {ENVIRONMENT: f"{self.speed}:{self.epoch_ns}"}

    @classmethod
    def from_environment(cls) -> Clock:
        """The clock handed down by the parent process, or real time."""
        text = os.environ.get(ENVIRONMENT, "")
        if not text:
            return cls()
        speed, _, epoch = text.partition(":")
        return cls(float(speed), int(epoch))
