"""Whether something grows: a robust slope over samples that also swing, and what that slope can
tell apart.

What swings is looked at by the lowest sample of each window: a swing shorter than a window
disappears, a leak does not. The slope is Theil and Sen's, the median of the slopes of all pairs;
its 95 % interval (Sen 1968) says how small a growth this run could have seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

Sample = tuple[float, float]
"""Seconds, and what was measured then."""


@dataclass(frozen=True)
class Trend:
    """Growth per hour, and the half width of its 95 % interval."""

    per_hour: float
    resolution: float

    def exceeds(self, limit: float) -> bool:
        """Whether the growth is above the limit beyond doubt."""
        return self.per_hour - self.resolution > limit

    def unresolved(self, limit: float) -> bool:
        """Whether the run was too short, or the swings too large, to say that the growth is below
        the limit."""
        return not self.exceeds(limit) and self.per_hour + self.resolution > limit

    def __str__(self) -> str:
        return (
            "not resolved"
            if math.isinf(self.resolution)
            else f"{self.per_hour:.0f} ± {self.resolution:.0f}"
        )


def settled(samples: Sequence[Sample], warm_s: float) -> list[Sample]:
    """The samples after the warm-up: the first `warm_s` seconds, or the first third of a shorter
    run."""
    if not samples:
        return []
    start, end = samples[0][0], samples[-1][0]
    return [sample for sample in samples if sample[0] - start >= min(warm_s, (end - start) / 3)]


def floors(samples: Sequence[Sample], window_s: float) -> list[Sample]:
    """The lowest sample of each window."""
    lowest: dict[int, Sample] = {}
    for sample in samples:
        window = int(sample[0] // window_s)
        if window not in lowest or sample[1] < lowest[window][1]:
            lowest[window] = sample
    return list(lowest.values())


def trend(points: Sequence[Sample]) -> Trend:
    """Theil and Sen's slope; fewer than six points resolve nothing."""
    slopes = sorted(
        (b - a) / (t2 - t1) * 3600 for (t1, a), (t2, b) in combinations(points, 2) if t2 != t1
    )
    if not slopes:
        return Trend(0.0, math.inf)
    middle = (slopes[(len(slopes) - 1) // 2] + slopes[len(slopes) // 2]) / 2
    n = len(points)
    spread = 1.96 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = math.floor((len(slopes) - spread) / 2)
    high = math.ceil((len(slopes) + spread) / 2)
    if low < 0 or high >= len(slopes):
        return Trend(middle, math.inf)
    return Trend(middle, max(middle - slopes[low], slopes[high] - middle))
