"""Whether the units that answer on a bus are those that answered before its port was opened again.
Pure.

A unit that died while others answered is no surprise later. Of the others, one that is silent after
the opening has died meanwhile, as long as it is fewer than half of them and alone; more is taken
for another bus.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

#: Silences in a row after which a unit counts as silent.
ENOUGH: Final = 2


class Present(Protocol):
    """Who keeps the units that answer."""

    @property
    def present(self) -> frozenset[int]: ...

    def add_present(self, unit: int) -> None: ...

    def remove_present(self, units: Iterable[int]) -> None: ...


class AnsweringUnits:
    """The units of one bus. `open`: it is not yet clear whether they are the same."""

    def __init__(self, units: Iterable[int], known: Present) -> None:
        """`units`: those that are configured."""
        self._units = frozenset(units)
        self._known = known
        self._opening = -1
        self._expected: frozenset[int] = frozenset()
        self._heard: set[int] = set()
        self._silences: dict[int, int] = {}
        self._alarm = False
        self.open = False

    def begin(self, opening: int) -> None:
        """The number of the present opening after a loss; another one than before begins anew."""
        if opening == self._opening:
            return
        self._opening = opening
        self._expected = self._units & self._known.present
        self._heard.clear()
        self._silences.clear()
        self._alarm = False
        self.open = bool(self._expected)

    def answered(self, unit: int) -> None:
        """A unit answered."""
        if unit in self._heard and not self._silences:
            return
        self._silences.pop(unit, None)
        self._heard.add(unit)
        self._known.add_present(unit)
        self._look()
        if self._silences and not self.open and not self._alarm:
            self._known.remove_present(self._silent(self._units))

    def failed(self, unit: int) -> None:
        """A unit was silent."""
        self._silences[unit] = self._silences.get(unit, 0) + 1
        self._look()

    def awaited(self) -> list[int]:
        """Units that answered before, and have not been heard yet."""
        return sorted(self._expected - self._heard)

    def doubtful(self) -> list[int]:
        """The units whose silence makes the others uncertain; none when all is well."""
        return self.awaited() if self.open or self._alarm else []

    def confirm(self) -> list[int]:
        """What answers now is what shall answer. The units whose silence was doubted."""
        doubted = self.doubtful()
        if self._opening < 0:  # nothing was asked yet: whatever answers is accepted
            self._known.remove_present(self._units)
        self._known.remove_present(doubted)
        self._expected = frozenset()
        self._alarm = self.open = False
        return doubted

    def _look(self) -> None:
        if not (self.open or self._alarm):
            return
        missing = len(self._expected - self._heard)
        silent = len(self._silent(self._expected - self._heard))
        if not missing:
            self._alarm = self.open = False
        elif self.open and not self._too_many(missing):
            self.open = False
        elif self.open and self._too_many(silent) and self._heard:
            self._alarm = True
            self.open = False

    def _silent(self, units: Iterable[int]) -> set[int]:
        return {unit for unit in units if self._silences.get(unit, 0) >= ENOUGH}

    def _too_many(self, count: int) -> bool:
        return count >= 2 or 2 * count >= len(self._expected)
