"""When the next attempt to connect to the broker comes, for publisher and ingest alike."""

from __future__ import annotations

import random

SHORTEST_S = 0.2
AWAY_S = 1.5
"""A broker that is away is tried at least so often: within 2 s of its return fresh values are to be
in the store."""
LONGEST_S = 10.0
"""After a refusal (password, certificate) it takes a human: no hurry."""


class ReconnectBackoff:
    """The one place where we wait before we try again: exponential, with full jitter."""

    def __init__(self) -> None:
        self._attempt = 0

    def reset(self) -> None:
        """The connection worked."""
        self._attempt = 0

    def next(self, *, slow: bool) -> float:
        """Seconds until the next attempt."""
        if slow:
            return LONGEST_S
        ceiling = min(AWAY_S, SHORTEST_S * 2.0 ** min(self._attempt, 16))
        self._attempt += 1
        return random.uniform(SHORTEST_S / 2, ceiling)  # noqa: S311 (spreads attempts, keeps no secret)
