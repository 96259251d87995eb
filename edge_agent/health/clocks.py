"""Whose clock is wrong: the devices' source times against ours, and our own wall clock against the
monotonic one.

Source times are data and never order anything. How far a device's clock is from ours can only be
seen in a value that has just changed: the source time of a value that has stood still for a day is
rightly a day old.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import linear_regression, median
from typing import Final

from edge_agent.model import Batch, TagTable

#: Seconds between two looks at a device's source times, so that they cost nothing per value.
LOOK_S: Final = 1.0
#: Points of the drift's regression: one a minute, five hours of them, none spoken of before ten
#: minutes.
POINT_S: Final = 60.0
POINTS: Final = 300
BASELINE_S: Final = 600.0
#: A step of this many seconds is a clock being set, not drift.
STEP_S: Final = 2.0
#: Before this (2024-01-01, ns) our own clock was never set.
EPOCH_NS: Final = 1_704_067_200_000_000_000


class SourceClock:
    """Offset and drift of one device's clock, from source times sampled about once a second."""

    def __init__(self, tolerance: float) -> None:
        """`tolerance`: the offset in seconds beyond which the clock is a finding."""
        self.tolerance = tolerance
        self.offset: float | None = None
        """Median of source time - read time of the newest look that saw a change, seconds."""
        self._slack = 0.0
        self._looked = float("-inf")
        self._before: dict[TagTable, Sequence[int | None]] = {}
        self._points: list[tuple[float, float]] = []

    def polled(self, batch: Batch, now: float) -> None:
        """A whole table was read: what has another source time than in the read before changed in
        between."""
        source = batch.source
        if source is None:
            return
        before = self._before.get(batch.table)
        self._before[batch.table] = source
        if before is None or now - self._looked < LOOK_S or len(before) != len(source):
            return
        changed = [
            s
            for s, b in zip(source, before, strict=True)
            if s is not None and b is not None and s != b
        ]
        self._see(changed, batch, now)

    def told(self, batch: Batch, now: float) -> None:
        """A notification of changes: its last value is as fresh as any (not the first of a
        subscription)."""
        if batch.source and now - self._looked >= LOOK_S:
            self._see(
                [s for s in (batch.source[len(batch.source) - 1],) if s is not None], batch, now
            )

    def _see(self, sources: Sequence[int], batch: Batch, now: float) -> None:
        if not sources:
            return
        self._looked = now
        offset = (median(sources) - batch.t) / 1e9
        if self.offset is None or abs(offset - self.offset) > STEP_S + 2 * batch.table.every:
            self._points.clear()
        self.offset = offset
        self._slack = 2 * batch.table.every
        if not self._points or now - self._points[-1][0] >= POINT_S:
            self._points.append((now, offset))
            del self._points[:-POINTS]

    @property
    def off(self) -> bool:
        """Whether the clock is further from ours than tolerated; a change may be as old as the
        period."""
        return self.offset is not None and abs(self.offset) > max(self.tolerance, self._slack)

    @property
    def drift(self) -> float | None:
        """Seconds a day by which the device's clock gains on ours; None before there is a
        baseline."""
        points = self._points
        if len(points) < 3 or points[-1][0] - points[0][0] < BASELINE_S:
            return None
        slope, _ = linear_regression(*zip(*points, strict=True))
        return float(slope) * 86_400


class OwnClock:
    """Our wall clock: whether it was ever set, and whether somebody set it while we ran."""

    #: How long a jump stays a finding, seconds: time enough for somebody to see it.
    REMEMBER_S: Final = 3600.0

    def __init__(self, wall_ns: int, now: float) -> None:
        self._base = wall_ns / 1e9 - now
        self._jumped_at: float | None = None
        self.jump = 0.0
        """Seconds of the last jump; later is positive."""
        self._unset = wall_ns < EPOCH_NS

    def look(self, wall_ns: int, now: float) -> bool:
        """Compare the two clocks; True when the wall clock has just been set. Call it about once a
        second."""
        base = wall_ns / 1e9 - now
        step = base - self._base
        self._base = base  # slewing (NTP, 0.5 ms/s) never adds up to a step
        self._unset = wall_ns < EPOCH_NS
        if abs(step) < STEP_S:
            return False
        self.jump = step
        self._jumped_at = now
        return True

    def findings(self, now: float) -> list[str]:
        """`clock_unset`, `clock_jump`."""
        jumped = self._jumped_at is not None and now - self._jumped_at < self.REMEMBER_S
        return ["clock_unset"] * self._unset + ["clock_jump"] * jumped
