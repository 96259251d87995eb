"""Devices of tests: plans, connections, and what a stream brought."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from connectors.opcua import PLUGIN
from connectors.opcua.options import OpcuaDevice, OpcuaTag, kind
from edge_agent.sdk import (
    Batch,
    Clock,
    Connection,
    DeviceError,
    DevicePlan,
    Pollable,
    Streaming,
    Tag,
    TagTable,
)
from tests.support.aio import until


def tag(name: str, **where: Any) -> Tag:
    """A tag; its kind by its options."""
    options = OpcuaTag(**where)
    return Tag(name, kind(options), options)


def table(tags: Iterable[Tag], device: str = "d", every: float = 0.05) -> TagTable:
    return TagTable(device, every, tuple(tags))


def plan(endpoint: str, *tables: TagTable, **options: Any) -> DevicePlan:
    """A plan that passes its own check."""
    made = DevicePlan(tables[0].device, OpcuaDevice(endpoint=endpoint, **options), tables)
    assert not list(PLUGIN.check(made))
    return made


@contextlib.asynccontextmanager
async def opened(*plans: DevicePlan) -> AsyncIterator[Connection]:
    """An open connection of the plans, closed at the end."""
    connection = PLUGIN.connect(plans, Clock())
    try:
        await connection.open()
        yield connection
    finally:
        await connection.close()


async def read(*plans: DevicePlan) -> list[Batch]:
    """Open, read every table once, close."""
    async with opened(*plans) as connection:
        assert isinstance(connection, Pollable)
        return [await connection.read(one) for p in plans for one in p.tables]


class Stream:
    """What a stream brought so far."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.alive: list[str] = []
        self.task: asyncio.Task[None] | None = None

    @property
    def last(self) -> dict[str, Any]:
        """Tag -> its last value."""
        return {name: value for name, value, _, _ in self.rows()}

    @property
    def status(self) -> dict[str, int]:
        """Tag -> its last status."""
        return {name: code for name, _, code, _ in self.rows()}

    def rows(self) -> Iterable[tuple[str, Any, int, int]]:
        """(tag, value, status, t) in the order of arrival."""
        for batch in self.batches:
            columns: Sequence[int] = (
                range(len(batch.table)) if batch.columns is None else batch.columns
            )
            assert len(columns) == len(batch.values) == len(set(columns))
            for at, column in enumerate(columns):
                yield batch.table.names[column], batch.values[at], batch.status.get(at, 0), batch.t

    def of(self, name: str) -> list[Any]:
        """All values of a tag, in order."""
        return [value for found, value, _, _ in self.rows() if found == name]

    async def has(self, *names: str) -> None:
        """Wait until every one of these tags has come."""
        await until(lambda: set(names) <= set(self.last), what=f"{names}, have {sorted(self.last)}")

    async def error(self, timeout: float = 20.0) -> DeviceError:
        """Wait for the stream to fail; its error."""
        assert self.task is not None
        done, _ = await asyncio.wait({self.task}, timeout=timeout)
        assert done, "the stream did not fail"
        failure = self.task.exception()
        assert isinstance(failure, DeviceError)
        return failure


@contextlib.asynccontextmanager
async def streaming(*plans: DevicePlan) -> AsyncIterator[Stream]:
    """An open connection whose stream runs; cancelled and closed at the end."""
    async with opened(*plans) as connection:
        assert isinstance(connection, Streaming)
        stream = Stream()
        stream.task = asyncio.create_task(
            connection.stream(stream.batches.append, stream.alive.append)
        )
        try:
            yield stream
        finally:
            stream.task.cancel()
            with contextlib.suppress(asyncio.CancelledError, DeviceError):
                await stream.task
