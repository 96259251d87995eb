"""Several cumulative quantities as one: the energy of a line is the sum of its meters, or of its
machines."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from edge_agent.metrics.counters import CountedQuantity, profile
from edge_agent.metrics.readings import Longs


class CountSum:
    """Of counts in one unit; answers as a single `CountedQuantity` does, exactly."""

    def __init__(self, parts: Sequence[CountedQuantity]) -> None:
        self.parts = tuple(parts)

    def between(self, start: int, end: int) -> Fraction:
        """What all counted in `start..end` (ns)."""
        return sum((part.between(start, end) for part in self.parts), Fraction(0))

    def over(self, windows: Sequence[tuple[int, int]]) -> Fraction:
        """What all counted in all these windows together."""
        return sum((part.over(windows) for part in self.parts), Fraction(0))

    def profile(self, edges: Longs) -> list[Fraction]:
        """What all counted between each of these moments (ns, rising) and the next."""
        return profile(self.parts, edges)
