"""What a subscription brings: its messages turned into batches, and what it has said of each tag so
far. No I/O."""

from __future__ import annotations

import asyncio
import logging
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors.opcua.binary import DecodeError
from connectors.opcua.columns import Columns
from connectors.opcua.resolve import GONE, Resolved
from connectors.opcua.values import OVERFLOW, ValueShape
from edge_agent.sdk import Batch, Cause, TagTable

log = logging.getLogger(__name__)

_INFO_BITS: Final = 0x0C80
_CODE_BITS: Final = 0xFFFF0000


class MonitoredTable:
    """The monitored items of one table. Positions in the table are the client handles, counted from
    `first_handle`."""

    def __init__(
        self, table: TagTable, shape: ValueShape | None = None, first_handle: int = 0
    ) -> None:
        self.table = table
        self.first_handle = first_handle
        self.shape = ValueShape(table) if shape is None else shape
        self.resolved = Resolved([], [], {})
        """Where the tags are on the server."""
        self.items = array("I", [0] * len(table))
        """Position -> id of its monitored item; 0 where there is none."""
        self.sampling_s = 0.0
        """The slowest sampling interval the server granted one of the items."""
        self.overflows: dict[int, int] = {}
        """Position of a tag -> values after which the server's queue had dropped some."""
        self.refused: dict[int, int] = {}
        """Position of a tag that the server does not give us -> its status."""
        self.causes: Mapping[int, Cause] = {}
        """Why, of those of them of which more is known than their status."""
        self.gone: set[int] = set()
        """Positions of tags whose last notification says that their node is not there any more."""
        self.believed: list[Any] = [None] * len(table)
        """The last value of each tag; None while it is bad or has not come."""
        self.codes: dict[int, int] = {}
        """Position -> status of the last notification, where it was not good."""
        self.fresh: set[int] = set()
        """Positions whose items were made anew and have not reported: their first value may have
        any age."""
        self.reported: set[int] | None = None
        """Positions reported since somebody began to look; None while nobody does."""
        self._whole = list(range(len(table)))

    def batches(self, changes: Columns, t: int) -> list[Batch]:
        """The batches of one message. Queued values of a tag go into successive batches, each 1 ns
        later.

        Raises DecodeError when a handle is not one of ours.
        """
        handles = changes.handles
        if changes.status:
            self._note_overflow(changes)
        if handles == self._whole:
            causes = self.shape.coerce(changes.values, changes.status)
            self.believed[:] = changes.values
            if changes.status or self.codes or self.reported is not None:
                self.note(handles, changes.status)
            source = self._without_age(handles, changes.source) if self.fresh else changes.source
            batch = Batch(self.table, t, changes.values, changes.status, source)
            batch.causes = causes
            return [batch]
        if not handles:
            return []
        if max(handles) >= len(self.table):
            raise DecodeError(f"client handle {max(handles)} of {len(self.table)}")
        if len(set(handles)) == len(handles):
            return [self._part(handles, changes.values, changes.status, changes.source, t)]
        return [
            self._layer(changes, rows, t + depth) for depth, rows in enumerate(_layers(handles))
        ]

    def _part(
        self,
        handles: list[int],
        values: list[Any],
        status: dict[int, int],
        source: list[int | None],
        t: int,
    ) -> Batch:
        """The batch of some of the tags, none of them twice."""
        causes = self.shape.coerce(values, status, handles)
        believed = self.believed
        for position, value in zip(handles, values, strict=True):
            believed[position] = value
        if status or self.codes or self.reported is not None:
            self.note(handles, status)
        source = self._without_age(handles, source) if self.fresh else source
        batch = Batch(self.table, t, values, status, source, handles)
        batch.causes = causes
        return batch

    def _without_age(self, positions: list[int], source: list[int | None]) -> list[int | None]:
        """The source times less those of first values: a device's clock is judged by what has just
        changed."""
        kept = [
            None if at in self.fresh else when for at, when in zip(positions, source, strict=True)
        ]
        self.fresh.difference_update(positions)
        return kept

    def _layer(self, changes: Columns, rows: list[int], t: int) -> Batch:
        handles = [changes.handles[row] for row in rows]
        values = [changes.values[row] for row in rows]
        status = {at: changes.status[row] for at, row in enumerate(rows) if row in changes.status}
        return self._part(handles, values, status, [changes.source[row] for row in rows], t)

    def note(self, positions: Sequence[int], status: dict[int, int]) -> None:
        """Remember what is not good now; `status` by index in `positions`."""
        if self.reported is not None:
            self.reported.update(positions)
        if self.codes:
            for position in self.codes.keys() & set(positions):
                del self.codes[position]
            self.gone.difference_update(positions)
        for index, code in status.items():
            position = positions[index]
            self.codes[position] = code
            if code & _CODE_BITS in GONE:
                self.gone.add(position)

    def _note_overflow(self, changes: Columns) -> None:
        for row, code in changes.status.items():
            position = changes.handles[row]
            if code & _INFO_BITS == OVERFLOW and position < len(self.table):
                if position not in self.overflows:
                    name = self.table.names[position]
                    device = self.table.device
                    log.warning(
                        "opcua-queue-overflow device=%s tag=%s",
                        device,
                        name,
                        extra={"cause": device},
                    )
                self.overflows[position] = self.overflows.get(position, 0) + 1


class GrantedSubscription:
    """A subscription as the server granted it, with the tables that are in it: one, where it grants
    enough of them."""

    def __init__(self, number: int, interval_s: float, keep_alive_s: float) -> None:
        self.number = number
        """The server's id of it."""
        self.interval_s = interval_s
        """The publishing interval as the server revised it."""
        self.keep_alive_s = keep_alive_s
        """The longest silence the server allows itself."""
        self.expected = 1
        """Sequence number of the next message with data."""
        self.heard = 0.0
        """Event loop time of the last sign of life."""
        self.order = asyncio.Lock()
        """Held while a message is handled, so that a repeated one comes before those that followed
        it."""
        self.feeds: list[MonitoredTable] = []
        self._starts: list[int] = []
        self._end = 0

    @property
    def devices(self) -> list[str]:
        """The devices whose tags are in it, each once."""
        return list(dict.fromkeys(feed.table.device for feed in self.feeds))

    def add(self, table: TagTable, shape: ValueShape | None = None) -> MonitoredTable:
        """Take a table in; its items get the next client handles."""
        feed = MonitoredTable(table, shape, self._end)
        self._starts.append(self._end)
        self._end += len(table)
        self.feeds.append(feed)
        return feed

    def batches(self, changes: Columns, t: int) -> list[Batch]:
        """As `MonitoredTable.batches`, of all its tables."""
        if len(self.feeds) == 1:
            return self.feeds[0].batches(changes, t)
        parts: dict[int, Columns] = {}
        for row, handle in enumerate(changes.handles):
            if handle >= self._end:
                raise DecodeError(f"client handle {handle} of {self._end}")
            number = bisect_right(self._starts, handle) - 1
            part = parts.setdefault(number, Columns())
            if row in changes.status:
                part.status[len(part.values)] = changes.status[row]
            part.handles.append(handle - self._starts[number])
            part.values.append(changes.values[row])
            part.source.append(changes.source[row])
        found: list[Batch] = []
        for number, part in parts.items():
            found += self.feeds[number].batches(part, t)
        return found


def _layers(handles: list[int]) -> list[list[int]]:
    """Rows split so that no handle is twice in one layer and each handle's rows stay in order."""
    seen: dict[int, int] = {}
    layers: list[list[int]] = []
    for row, handle in enumerate(handles):
        depth = seen.get(handle, 0)
        seen[handle] = depth + 1
        if depth == len(layers):
            layers.append([])
        layers[depth].append(row)
    return layers
