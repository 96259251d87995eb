"""The circuit breaker of one device on a shared connection: what is silent is set aside and probed
now and then."""

from __future__ import annotations

from typing import Final

from edge_agent.model import TagTable

#: The share of the connection's time that probes of one unit may take.
PROBE_SHARE: Final = 0.05

_ENOUGH: Final = 2
"""Failures in a row after which there is no reason to hope for the next turn."""


class Breaker:
    """Closed while the unit answers; open after two failures in a row, whatever was asked; then
    only probes.

    A unit may answer for one table and be silent for another, so each table is set aside by itself
    as well: its silence would delay the others on the line as much as that of a dead unit. A probe
    that costs `cost` seconds is followed by a pause of 19 times that for each table that is silent,
    so the others keep 95 % of the line.
    """

    __slots__ = ("_row", "_silent", "_told")

    def __init__(self) -> None:
        self._row = 0
        """Failures since the unit last answered, but for those of tables that were set aside
        before."""
        self._silent: dict[TagTable, tuple[int, float]] = {}
        """Table -> its failures since it last answered, and when it may be probed."""
        self._told = False

    @property
    def is_open(self) -> bool:
        """Whether the unit as a whole is set aside."""
        return self._row >= _ENOUGH

    @property
    def moves(self) -> bool:
        """Whether it is open where it was closed when `moved` was last asked, or the other way
        round."""
        return self.is_open != self._told

    def moved(self) -> bool:
        """The same, once: it is known from now on."""
        moved = self.moves
        self._told = self.is_open
        return moved

    def allows(self, table: TagTable, now: float) -> bool:
        """Whether this table may be asked for now."""
        failures, retry_at = self._silent.get(table, (0, now))
        return now >= retry_at or (failures < _ENOUGH and not self.is_open)

    def retry_at(self, table: TagTable) -> float:
        """When this table may be probed; long ago where nothing stands against it."""
        return self._silent.get(table, (0, 0.0))[1]

    def alone(self, table: TagTable) -> bool:
        """Whether this table is set aside although its unit answers for others."""
        return not self.is_open and self._failures(table) >= _ENOUGH

    def failed(self, table: TagTable, now: float, cost: float) -> None:
        """The unit did not answer for this table; asking took `cost` seconds."""
        failures = self._failures(table)
        if failures < _ENOUGH:
            self._row += 1
        silent = len(self._silent.keys() | {table})
        self._silent[table] = (failures + 1, now + max(1.0, silent * cost * (1 / PROBE_SHARE - 1)))

    def answered(self, table: TagTable) -> None:
        """The unit answered for this table. If that is news, its other tables need not wait for
        their probes."""
        if not self._silent:
            return
        news = self.is_open or self._failures(table) >= _ENOUGH
        self._row = 0
        self._silent.pop(table, None)
        if news:
            self._silent = {other: (failures, 0.0) for other, (failures, _) in self._silent.items()}

    def retry(self) -> None:
        """Let everything that is set aside be probed at once."""
        self._silent = {table: (failures, 0.0) for table, (failures, _) in self._silent.items()}

    def _failures(self, table: TagTable) -> int:
        return self._silent.get(table, (0, 0.0))[0]
