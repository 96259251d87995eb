"""Documents for a broker that keeps none: each is sent again once a minute, a few every second."""

from __future__ import annotations

from collections.abc import Sequence

PERIOD_S = 60.0
"""How long a subscriber that comes later waits for a birth at the most."""


class RetransmitSchedule:
    """Whose turn it is. All times are the caller's monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._at = now
        self._owed = 0.0
        self._next = 0

    def due(self, topics: Sequence[str], now: float) -> list[str]:
        """The topics whose documents are sent now: a share of them all, in turn, that fits the time
        since the last."""
        self._owed += len(topics) * (now - self._at) / PERIOD_S
        self._at = now
        count = min(int(self._owed), len(topics))
        self._owed = min(self._owed - count, 1.0)
        first = self._next
        self._next = self._next + count
        return [topics[number % len(topics)] for number in range(first, first + count)]
