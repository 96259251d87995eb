"""`mode: read`: the agent asks, table by table, with requests encoded once per connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua import stock
from connectors.opcua.binary import DecodeError
from connectors.opcua.columns import Columns
from connectors.opcua.faults import device_errors, explain
from connectors.opcua.limits import TOO_MUCH, chunks, value_of_node
from connectors.opcua.messages import Request, ServiceFault, read_request, read_response
from connectors.opcua.raw import read_raw
from connectors.opcua.resolve import Resolved, report
from connectors.opcua.session import Session
from connectors.opcua.values import Shape
from connectors.opcua.wire import Wire
from edge_agent.sdk import Batch, Clock, DeviceError, DevicePlan, TagTable

log = logging.getLogger(__name__)

_TOGETHER: Final = 4
"""Requests of one table under way at the same time: hides the network's latency, and no server minds."""


class PolledConnection:
    """A session whose devices are read cyclically (sdk.Pollable)."""

    def __init__(self, plans: Sequence[DevicePlan], clock: Clock) -> None:
        self._session = Session(plans)
        self._tables = [table for plan in plans for table in plan.tables]
        self._clock = clock
        self._readers: dict[TagTable, TableReader] = {}

    async def open(self) -> None:
        """Connect and find every tag. Raises DeviceError(lost=True)."""
        await self._session.open()
        try:
            with device_errors(self._session.options.endpoint):
                for table in self._tables:
                    resolved = await self._session.resolve(table)
                    self._readers[table] = TableReader(self._session, table, resolved, self._clock)
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
        """Read one table. Raises DeviceError(lost=True) when the server does not answer as it should."""
        reader = self._readers.get(table)
        if reader is None:
            raise DeviceError.of("not_connected", lost=True, where=self._session.options.endpoint)
        try:
            return await reader.read()
        except Exception as error:
            # reason: asyncua lets through whatever its decoders stumble over
            raise explain(error, self._session.options.endpoint) from error

    async def raw(self, table: TagTable, *, ask: bool) -> list[str | None]:
        """Each value with its type, read now when `ask` is set. Raises DeviceError."""
        reader = self._readers.get(table)
        return await read_raw(self._session, table, reader.resolved) if ask and reader else [None] * len(table)


class TableReader:
    """Reads one table in as many calls as the server's limit demands, each value under its own tag."""

    def __init__(self, session: Session, table: TagTable, resolved: Resolved, clock: Clock) -> None:
        self._session = session
        self._table = table
        self._resolved = resolved
        self._clock = clock
        self._shape = Shape(table)
        self._size = session.limits.read
        self._asker = self._prepare()
        self._sought = asyncio.get_running_loop().time()
        report(table, {}, resolved.missing)

    @property
    def resolved(self) -> Resolved:
        """Where the tags are on the server."""
        return self._resolved

    async def read(self) -> Batch:
        """One batch of the whole table."""
        if self._resolved.missing and asyncio.get_running_loop().time() - self._sought >= self._session.seek_s:
            await self._seek()
        while True:
            try:
                parts, t = await self._asker.ask()
                return self._batch(parts, t)
            except ServiceFault as fault:
                if fault.code not in TOO_MUCH or self._size <= 1:
                    raise
            # The server meant less than it announced. Learned once, kept for the life of the connection.
            self._size = max(1, min(self._size, len(self._resolved.nodes)) // 2)
            log.info("opcua-read-limit device=%s limit=%s", self._table.device, self._size)
            self._asker = self._prepare()

    def seek_next(self) -> None:
        """Look again for what was not there before the next read."""
        self._sought = float("-inf")

    async def _seek(self) -> None:
        """Look again for what was not there. (A node id that is unknown is asked for every time anyway.)"""
        before = self._resolved.missing
        self._resolved = self._resolved.with_found(await self._session.seek(self._table, before))
        report(self._table, before, self._resolved.missing)
        self._asker = self._prepare()
        self._sought = asyncio.get_running_loop().time()

    def _prepare(self) -> _RawAsker | _StockAsker:
        groups = list(chunks(self._resolved.nodes, self._size))
        if self._session.wire is None:
            return _StockAsker(self._session, groups, self._clock)
        return _RawAsker(self._session, self._session.wire, groups, self._clock)

    def _batch(self, parts: Sequence[Columns], t: int) -> Batch:
        first = parts[0] if parts else Columns()
        values, source, status = first.values, first.source, first.status
        for part in parts[1:]:
            start = len(values)
            values += part.values
            source += part.source
            if part.status:
                status.update((start + i, code) for i, code in part.status.items())
        if len(self._resolved.positions) != len(self._table):
            values, status, source = self._spread(values, status, source)
        causes = self._shape.settle(values, status)
        batch = Batch(self._table, t, values, status, source)
        batch.causes = causes
        return batch

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


class _RawAsker:
    """Our own bytes both ways."""

    def __init__(self, session: Session, wire: Wire, groups: Sequence[Sequence[ua.NodeId]], clock: Clock) -> None:
        token = nodeid_to_binary(session.service.authentication_token)
        timeout = session.options.timeout
        self._wire, self._clock, self._timeout = wire, clock, timeout
        self._requests: list[tuple[int, Request]] = [
            (len(group), read_request(token, list(map(nodeid_to_binary, group)), int(timeout * 1000)))
            for group in groups
        ]

    async def ask(self) -> tuple[list[Columns], int]:
        """The columns of each request, and when the last response arrived."""
        parts: list[Columns] = []
        t = self._clock.time_ns()
        for group in chunks(self._requests, _TOGETHER):
            bodies = await self._wire.ask([request.at(t) for _, request in group], self._timeout)
            t = self._clock.time_ns()
            for (count, _), body in zip(group, bodies, strict=True):
                parts.append(_checked(read_response(body), count))
        return parts, t


class _StockAsker:
    """asyncua's own codec, its parameters built once."""

    def __init__(self, session: Session, groups: Sequence[Sequence[ua.NodeId]], clock: Clock) -> None:
        self._session, self._clock = session, clock
        self._requests = [
            ua.ReadParameters(
                MaxAge=0,
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                NodesToRead=[value_of_node(node) for node in group],
            )
            for group in groups
        ]

    async def ask(self) -> tuple[list[Columns], int]:
        """As `_RawAsker.ask`; the time is that after decoding, since asyncua does both in one call."""
        parts: list[Columns] = []
        for request in self._requests:
            try:
                answer = await self._session.service.read(request)
            except UaStatusCodeError as error:
                raise ServiceFault(int(error.code)) from error
            parts.append(_checked(stock.columns(answer), len(request.NodesToRead)))
        return parts, self._clock.time_ns()


def _checked(part: Columns, count: int) -> Columns:
    """Values belong to tags by their place alone, so one more or less and none of them can be trusted."""
    if len(part.values) != count:
        raise DecodeError(f"{len(part.values)} values for {count} nodes")
    return part
