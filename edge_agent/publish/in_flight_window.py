"""How much of the backlog may be under way at once, so that live data never waits long behind
it."""

from __future__ import annotations

#: Acknowledged faster than this, the backlog may have more under way; slower than the other, less.
_QUICK_S = 0.25
_SLOW_S = 1.0
_START = 8.0


class InFlightWindow:
    """A window that grows while acknowledgements come quickly and halves when they do not, and a
    rate limit."""

    def __init__(self, most: int, rate: int | None, now: float) -> None:
        self._most = max(1, most)
        self._window = min(_START, float(self._most))
        self._rate = rate
        self._tokens = 1.0
        self._filled_at = now
        self._halved_at = now

    def allows(self, under_way: int, now: float) -> bool:
        """Whether one more backlog message may go while `under_way` of them are not
        acknowledged."""
        if under_way >= int(self._window):
            return False
        if self._rate is None:
            return True
        self._tokens = min(
            max(1.0, self._rate / 10), self._tokens + (now - self._filled_at) * self._rate
        )
        self._filled_at = now
        return self._tokens >= 1.0

    def spend(self) -> None:
        """One backlog message went."""
        self._tokens -= 1.0

    def acknowledged(self, took: float, now: float) -> None:
        """A backlog message was acknowledged after `took` seconds."""
        if took < _QUICK_S:
            self._window = min(float(self._most), self._window + 1.0)
        elif took > _SLOW_S and now - self._halved_at > took:  # once per round trip
            self._window = max(1.0, self._window / 2)
            self._halved_at = now

    def wait(self) -> float | None:
        """Seconds until the rate limit has room again; None when it is not what holds the backlog
        up."""
        return (
            None if self._rate is None or self._tokens >= 1.0 else (1.0 - self._tokens) / self._rate
        )
