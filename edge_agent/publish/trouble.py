"""When the next attempt to connect comes, and how often its failure is told."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

log = logging.getLogger(__name__)

SHORTEST_S = 0.2
AWAY_S = 1.5
"""A broker that is away is tried at least so often: within 2 s of its return fresh values are to be in the store."""
LONGEST_S = 10.0
"""After a refusal (password, certificate) it takes a human: no hurry."""
_REPEAT_S = 60.0


class Backoff:
    """The one place where the publisher waits before it tries again: exponential, with full jitter."""

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


@dataclass(slots=True)
class Teller:
    """Logs a sentence when it is new, and once a minute while it stays true."""

    said: str = ""
    at: float = 0.0
    repeated: int = 0

    def tell(self, sentence: str, now: float) -> None:
        if sentence == self.said and now - self.at < _REPEAT_S:
            self.repeated += 1
            return
        log.warning("mqtt-unavailable reason=%r repeated=%d", sentence, self.repeated)
        self.said, self.at, self.repeated = sentence, now, 0

    def mended(self) -> None:
        self.said, self.repeated = "", 0
