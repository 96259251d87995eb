"""The circuit breaker of one device on a shared connection: a dead unit is set aside and probed now and then."""

from __future__ import annotations

#: The share of the connection's time that probes of one dead unit may take.
PROBE_SHARE = 0.05


class Breaker:
    """Closed while the unit answers; open after two failures in a row; then one probe at a time.

    A probe that costs `cost` seconds is followed by a pause of 19 times that, so the healthy units keep 95 %.
    """

    __slots__ = ("_failures", "_retry_at", "_told")

    def __init__(self) -> None:
        self._failures = 0
        self._retry_at = 0.0
        self._told = False

    @property
    def is_open(self) -> bool:
        return self._failures >= 2

    def moved(self) -> bool:
        """Whether it is open where it was closed when this was last asked, or the other way round."""
        moved = self.is_open != self._told
        self._told = self.is_open
        return moved

    def allows(self, now: float) -> bool:
        """Whether the unit may be asked now."""
        return not self.is_open or now >= self._retry_at

    def failed(self, now: float, cost: float) -> None:
        """The unit did not answer; asking it took `cost` seconds."""
        self._failures += 1
        self._retry_at = now + max(1.0, cost * (1 / PROBE_SHARE - 1))

    def answered(self) -> None:
        """The unit answered: all is well."""
        self._failures = 0
