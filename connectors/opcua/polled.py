"""`mode: read`: the agent asks, table by table, with requests encoded once per connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.opcua.asker import NodeReader
from connectors.opcua.columns import Columns
from connectors.opcua.faults import device_errors, explain, is_session_lost
from connectors.opcua.raw import read_raw
from connectors.opcua.resolve import GONE, Resolved
from connectors.opcua.session import OpcuaSession
from connectors.opcua.values import ValueShape
from edge_agent.sdk import Batch, Cause, Clock, DeviceError, DevicePlan, TagTable

log = logging.getLogger(__name__)


class PolledConnection:
    """A session whose devices are read cyclically (sdk.Pollable)."""

    def __init__(self, plans: Sequence[DevicePlan], clock: Clock) -> None:
        self._session = OpcuaSession(plans)
        self._shapes = {table: ValueShape(table) for plan in plans for table in plan.tables}
        self._clock = clock
        self._readers: dict[TagTable, OpcuaTableReader] = {}

    async def open(self) -> None:
        """Connect and find every tag. Raises DeviceError(lost=True)."""
        await self._session.open()
        try:
            with device_errors(self._session.options.endpoint):
                for table, shape in self._shapes.items():
                    resolved = await self._session.resolve(table)
                    causes = await self._session.report(table, {}, resolved.missing)
                    self._readers[table] = OpcuaTableReader(
                        self._session, table, shape, resolved, causes, self._clock
                    )
        except BaseException:
            await self.close()
            raise

    def retry_refused(self) -> None:
        """With the next reads, look again for every tag that the server did not have."""
        for reader in self._readers.values():
            reader.seek_next()

    async def close(self) -> None:
        """Release the session; never raises."""
        self._readers.clear()
        await self._session.close()

    async def read(self, table: TagTable) -> Batch:
        """Read one table. Raises DeviceError(lost=True) when the server does not answer as it
        should.

        A session or connection that turns out to be gone costs no poll: the same table is asked
        once more on a new one. A server that is silent is not asked twice.
        """
        try:
            return await self._reader(table).read()
        except Exception as error:
            # reason: asyncua lets through whatever its decoders stumble over
            if not is_session_lost(error):
                raise explain(error, self._session.options.endpoint) from error
            log.info("opcua-poll-again device=%s reason=%r", table.device, error)
        await self.close()
        await self.open()
        try:
            return await self._reader(table).read()
        except Exception as error:
            # reason: as above
            raise explain(error, self._session.options.endpoint) from error

    async def raw(self, table: TagTable, *, ask: bool) -> list[str | None]:
        """Each value with its type, read now when `ask` is set. Raises DeviceError."""
        reader = self._readers.get(table)
        return (
            await read_raw(self._session, table, reader.resolved)
            if ask and reader
            else [None] * len(table)
        )

    def _reader(self, table: TagTable) -> OpcuaTableReader:
        reader = self._readers.get(table)
        if reader is None:
            raise DeviceError.of("not_connected", lost=True, where=self._session.options.endpoint)
        return reader


class OpcuaTableReader:
    """Reads one table, each value under its own tag, and looks again for the tags that the server
    does not have."""

    def __init__(
        self,
        session: OpcuaSession,
        table: TagTable,
        shape: ValueShape,
        resolved: Resolved,
        causes: Mapping[int, Cause],
        clock: Clock,
    ) -> None:
        """`causes`: why tags are missing, by position, where more is known than their status."""
        self._session = session
        self._table = table
        self._resolved = resolved
        self._causes = causes
        self._shape = shape
        self._nodes = NodeReader(session, clock)
        self._nodes.prepare(resolved.nodes)
        self._gone: set[int] = set()
        """Positions of tags whose node id is not known any more: their paths may lead to another
        one by now."""
        self._pause = session.seek_first_s
        self._sought = asyncio.get_running_loop().time()

    @property
    def resolved(self) -> Resolved:
        """Where the tags are on the server."""
        return self._resolved

    def seek_next(self) -> None:
        """Look again for what is not there before the next read."""
        self._pause = self._session.seek_first_s
        self._sought = float("-inf")

    async def read(self) -> Batch:
        """One batch of the whole table."""
        if self._resolved.missing or self._gone:
            await self._seek()
        columns, t = await self._nodes.read()
        return self._batch(columns, t)

    async def _seek(self) -> None:
        """Look again for what is not there, with a growing pause. (A node id is asked for in every
        read anyway.)"""
        now = asyncio.get_running_loop().time()
        if now - self._sought < self._pause:
            return
        before = self._resolved.missing
        found = await self._session.seek(self._table, sorted(before.keys() | self._gone))
        self._resolved = self._resolved.with_found(found)
        self._causes = await self._session.report(
            self._table, before, self._resolved.missing, self._causes
        )
        self._nodes.prepare(self._resolved.nodes)
        self._pause = min(2 * self._pause, self._session.seek_s)
        self._sought = asyncio.get_running_loop().time()

    def _batch(self, columns: Columns, t: int) -> Batch:
        values = columns.values
        source = columns.source
        status = columns.status
        if len(self._resolved.positions) != len(self._table):
            values, status, source = self._spread(values, status, source)
        causes = self._shape.coerce(values, status)
        if status or self._gone:
            self._note_gone(status)
        batch = Batch(self._table, t, values, status, source)
        batch.causes = causes
        if self._causes:
            batch.causes = {at: why for at, why in self._causes.items() if at in status} | (
                causes or {}
            )
        return batch

    def _note_gone(self, status: dict[int, int]) -> None:
        missing = self._resolved.missing
        self._gone = {
            at for at, code in status.items() if code & 0xFFFF0000 in GONE and at not in missing
        }
        if not self._gone and not missing:
            self._pause = self._session.seek_first_s

    def _spread(
        self, values: list[Any], status: dict[int, int], source: list[int | None]
    ) -> tuple[list[Any], dict[int, int], list[int | None]]:
        """The columns of the tags found, put at their places in the whole table."""
        positions = self._resolved.positions
        all_values: list[Any] = [None] * len(self._table)
        all_source: list[int | None] = [None] * len(self._table)
        for at, value, when in zip(positions, values, source, strict=True):
            all_values[at] = value
            all_source[at] = when
        all_status = {positions[i]: code for i, code in status.items()}
        return all_values, all_status | self._resolved.missing, all_source
