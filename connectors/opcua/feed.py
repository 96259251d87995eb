"""One subscription: the notifications of one table turned into its batches. No I/O."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from connectors.opcua.binary import DecodeError
from connectors.opcua.columns import Columns
from connectors.opcua.values import OVERFLOW, Shape
from edge_agent.sdk import Batch, TagTable

log = logging.getLogger(__name__)

_INFO_BITS: Final = 0x0C80


class Feed:
    """A subscription of the server and the table it feeds; client handles are positions in the table."""

    def __init__(self, table: TagTable, subscription: int, interval_s: float, keep_alive_s: float) -> None:
        self.table = table
        self.subscription = subscription
        self.interval_s = interval_s
        """The publishing interval as the server revised it."""
        self.keep_alive_s = keep_alive_s
        """The longest silence the server allows itself."""
        self.expected = 1
        """Sequence number of the next message with data."""
        self.heard = 0.0
        """Event loop time of the last sign of life."""
        self.order = asyncio.Lock()
        """Held while a message is handled, so that a repeated one comes before those that followed it."""
        self.overflows: dict[int, int] = {}
        """Position of a tag -> values after which the server's queue had dropped some."""
        self.refused: dict[int, int] = {}
        """Position of a tag that the server does not give us -> its status."""
        self._shape = Shape(table)
        self._whole = list(range(len(table)))

    def batches(self, changes: Columns, t: int) -> list[Batch]:
        """The batches of one message. Queued values of a tag go into successive batches, each 1 ns later.

        Raises DecodeError when a handle is not one of ours.
        """
        handles = changes.handles
        if changes.status:
            self._note_overflow(changes)
        if handles == self._whole:
            return [self._batch(t, changes.values, changes.status, changes.source, None)]
        if not handles:
            return []
        if max(handles) >= len(self.table):
            raise DecodeError(f"client handle {max(handles)} of {len(self.table)}")
        if len(set(handles)) == len(handles):
            return [self._batch(t, changes.values, changes.status, changes.source, handles)]
        return [self._layer(changes, rows, t + depth) for depth, rows in enumerate(_layers(handles))]

    def _layer(self, changes: Columns, rows: list[int], t: int) -> Batch:
        handles = [changes.handles[row] for row in rows]
        values = [changes.values[row] for row in rows]
        status = {at: changes.status[row] for at, row in enumerate(rows) if row in changes.status}
        return self._batch(t, values, status, [changes.source[row] for row in rows], handles)

    def _batch(
        self,
        t: int,
        values: list[Any],
        status: dict[int, int],
        source: list[int | None],
        columns: list[int] | None,
    ) -> Batch:
        causes = self._shape.settle(values, status, columns)
        batch = Batch(self.table, t, values, status, source, columns)
        batch.causes = causes
        return batch

    def _note_overflow(self, changes: Columns) -> None:
        for row, code in changes.status.items():
            position = changes.handles[row]
            if code & _INFO_BITS == OVERFLOW and position < len(self.table):
                if position not in self.overflows:
                    name = self.table.names[position]
                    device = self.table.device
                    log.warning("opcua-queue-overflow device=%s tag=%s", device, name, extra={"cause": device})
                self.overflows[position] = self.overflows.get(position, 0) + 1


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
