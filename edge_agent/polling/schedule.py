"""An absolute schedule: turn k of a period is due at start + k*period, however long the turns
before it took."""

from __future__ import annotations


class PollSchedule:
    """The turns of one table. A turn that came too late for the next ones skips them; they are
    counted."""

    __slots__ = ("_period", "_start", "_turn")

    def __init__(self, start: float, period: float) -> None:
        self._start = start
        self._period = period
        self._turn = 0

    @property
    def due(self) -> float:
        """When the next turn is due (monotonic seconds)."""
        return self._start + self._turn * self._period

    def advance(self, now: float) -> int:
        """The turn is over: go on to the first one not yet due. Returns how many were skipped."""
        following = max(self._turn + 1, int((now - self._start) // self._period) + 1)
        skipped = following - self._turn - 1
        self._turn = following
        return skipped
