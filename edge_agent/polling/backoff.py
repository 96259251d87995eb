"""How long to wait before trying again: exponential with full jitter, bounded on both sides."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class DeviceBackoff:
    """Seconds to wait. The bound is low, so that a device is back within 2 s of its return."""

    first: float = 0.1
    limit: float = 1.6
    _next: float = 0.0

    def wait(self) -> float:
        """The next pause: between half of the current step and all of it; the step doubles up to
        the limit."""
        self._next = min(self.limit, self._next * 2 or self.first)
        return self._next * (0.5 + 0.5 * random.random())  # noqa: S311 - jitter

    @property
    def waited(self) -> bool:
        """Whether there was a pause since the last success."""
        return self._next > 0.0

    def reset(self) -> None:
        """After a success."""
        self._next = 0.0
