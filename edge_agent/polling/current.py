"""The newest value of each tag of one device, for whoever asks what is there now.

What is kept is what the polling loop has in its hands anyway: the last batch of a table, by
reference. Only a batch of some of a table's tags (a subscription) is entered tag by tag.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edge_agent.model import GOOD, STATUS, Batch, TagTable, Value

_WAITING = STATUS["BadWaitingForInitialData"]

Stamp = tuple[int, float]
"""When a batch was read: wall clock in ns, and monotonic seconds."""


class CurrentValue(NamedTuple):
    """What is known of one tag. A tag that is bad has no value; one without a reading yet has no
    stamp either."""

    value: Value
    status: int
    stamp: Stamp | None


_NOTHING = CurrentValue(None, _WAITING, None)


class CurrentValues:
    """By table, as normalised (with derived tags)."""

    __slots__ = ("_parts", "_whole")

    def __init__(self) -> None:
        self._whole: dict[TagTable, tuple[Batch, Stamp]] = {}
        self._parts: dict[TagTable, _Columns] = {}

    def keep(self, batch: Batch, now: float) -> None:
        """Take over a normalised batch, which nobody changes any more. `now`: monotonic seconds."""
        table = batch.table
        if batch.columns is None:
            self._whole[table] = batch, (batch.t, now)
            if self._parts:
                self._parts.pop(table, None)
            return
        columns = self._parts.get(table)
        if columns is None:
            columns = self._parts[table] = _Columns(len(table), self._whole.pop(table, None))
        columns.enter(batch, (batch.t, now))

    def of(self, table: TagTable) -> Iterator[CurrentValue]:
        """One for each tag of the table, in its order."""
        columns = self._parts.get(table)
        if columns is None:
            columns = _Columns(len(table), self._whole.get(table))
        return columns.values_now()


class _Columns:
    """A table of which the tags were not read together."""

    __slots__ = ("_stamps", "_status", "_values")

    def __init__(self, width: int, last: tuple[Batch, Stamp] | None) -> None:
        self._values: list[Value] = [None] * width
        self._stamps: list[Stamp | None] = [None] * width
        self._status: dict[int, int] = {}
        if last is not None:
            batch, stamp = last
            self._values, self._stamps, self._status = (
                list(batch.values),
                [stamp] * width,
                dict(batch.status),
            )

    def enter(self, batch: Batch, stamp: Stamp) -> None:
        columns = batch.columns or ()
        values = self._values
        stamps = self._stamps
        status = self._status
        for position, value in zip(columns, batch.values, strict=True):
            values[position] = value
            stamps[position] = stamp
        if status:
            for position in columns:
                status.pop(position, None)
        for index, code in batch.status.items():
            status[columns[index]] = code

    def values_now(self) -> Iterator[CurrentValue]:
        for position, (value, stamp) in enumerate(zip(self._values, self._stamps, strict=True)):
            yield (
                _NOTHING
                if stamp is None
                else CurrentValue(value, self._status.get(position, GOOD), stamp)
            )
