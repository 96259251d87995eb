"""Devices read without an agent: each connection is opened, every table wanted is read once, and it
is closed again.

`read --watch` runs the polling loops of the agent itself; their values stay in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final

from edge_agent.app.values.current import (
    Document,
    RawOf,
    ReadDevice,
    current_values,
    merge_documents,
    state_machine,
)
from edge_agent.clock import Clock
from edge_agent.config.compile import plan, values_per_second
from edge_agent.config.models import DeviceCommon, Site
from edge_agent.config.plugins import Plugins
from edge_agent.errors import DeviceError
from edge_agent.health import DeviceHealth
from edge_agent.model import STATUS, Batch, TagTable
from edge_agent.normalise import Normaliser
from edge_agent.polling.device import PolledDevice
from edge_agent.polling.loop import ConnectionLoop
from edge_agent.polling.poll_timer import PollTimer
from edge_agent.polling.start_limiter import StartLimiter
from edge_agent.sdk import Connection, Plugin, Pollable, ShowsRaw, Streaming
from edge_agent.tasks import cancel_and_wait

#: Connections open at the same time, so that a thousand devices do not need a thousand descriptors
#: at once.
_TOGETHER: Final = 32
#: How long a subscription may take to report all tags: so many of its periods, within these bounds
#: (seconds).
_PERIODS: Final = 3.0
_AT_LEAST_S: Final = 3.0
_AT_MOST_S: Final = 30.0

Wanted = Mapping[str, Sequence[str]]
"""Tags by device."""


async def read_once(
    site: Site, plugins: Plugins, tags: Wanted, clock: Clock, *, ask: bool
) -> Document:
    """The values of these tags now, as `current_values` gives them; every connection is closed when
    it returns."""
    gate = asyncio.Semaphore(_TOGETHER)
    shared = _by_connection(site, plugins, tags)
    reads = [
        _Connection(plugins[connector], members, clock)
        for (connector, _), members in shared.items()
    ]

    async def one(connection: _Connection) -> list[Document]:
        async with gate:
            return await connection.read(site.agent.id, tags, ask=ask)

    found: list[Document] = []
    for documents in await asyncio.gather(*map(one, reads)):
        found += documents
    return merge_documents(site.agent.id, [device.id for device in site.devices], found)


def _by_connection(
    site: Site, plugins: Plugins, tags: Wanted
) -> dict[tuple[str, str], list[DeviceCommon]]:
    found: dict[tuple[str, str], list[DeviceCommon]] = {}
    for device in site.devices:
        if device.id in tags:
            options: Any = device
            key = plugins[device.connector].connection_key(options)
            found.setdefault((device.connector, key), []).append(device)
    return found


def _polled(device: DeviceCommon, plugin: Plugin, clock: Clock) -> PolledDevice:
    """A device as the polling loop sees it, of which nothing leaves the process."""
    compiled = plan(device, plugin)
    state = state_machine(device, compiled, clock)
    normalisers = {table: Normaliser(table, state) for table in compiled.tables}
    tables = [normaliser.table for normaliser in normalisers.values()]
    health = DeviceHealth(
        device.id, sum(map(len, tables)), values_per_second(tables), clock.monotonic()
    )
    return PolledDevice(compiled, normalisers, health, _nobody, _nobody, device.staleness)


def _nobody(_: object) -> None:
    """Takes what an agent would send."""


class _Connection:
    """One connection and the devices wanted on it, read once."""

    def __init__(self, plugin: Plugin, members: Sequence[DeviceCommon], clock: Clock) -> None:
        self._plugin = plugin
        self._clock = clock
        self._members = members
        self._devices = [_polled(device, plugin, clock) for device in members]
        self._connection: Connection = plugin.connect(
            [device.plan for device in self._devices], clock
        )
        self._unread = {id(device) for device in self._devices}

    async def read(self, agent: str, tags: Wanted, *, ask: bool) -> list[Document]:
        """A document for each device."""
        try:
            try:
                await self._connection.open()
                if isinstance(self._connection, Pollable):
                    await self._poll(self._connection, tags)
                elif isinstance(self._connection, Streaming):
                    await self._listen(self._connection, tags)
            except DeviceError as error:
                self._failed(self._devices, error)
            except Exception as error:  # noqa: BLE001 - reason: one connector's fault must not hide the others' values
                self._failed(self._devices, _internal(error))
            return [
                await current_values(agent, [device], tags, self._clock, ask=ask)
                for device in self._readable()
            ]
        finally:
            await self._connection.close()

    def _readable(self) -> list[ReadDevice]:
        pairs = zip(self._members, self._devices, strict=True)
        raw = raw_of(self._connection)
        return [ReadDevice(member, polled, self._plugin, raw) for member, polled in pairs]

    def _failed(self, devices: Iterable[PolledDevice], error: DeviceError) -> None:
        now = self._clock.monotonic()
        t = self._clock.time_ns()
        for device in devices:
            if id(device) in self._unread:
                device.failed(error, t, now)

    async def _poll(self, connection: Pollable, tags: Wanted) -> None:
        """Every table wanted once. A unit that does not answer leaves the others a new
        connection."""
        for device in self._devices:
            try:
                for table in _tables(device, tags[device.plan.id]):
                    started = self._clock.monotonic()
                    batch = await connection.read(table)
                    now = self._clock.monotonic()
                    device.answered(batch, now, now - started)
            except DeviceError as error:
                self._failed([device], error)
                self._unread.discard(id(device))
                if error.lost:
                    await connection.close()
                    await connection.open()
            self._unread.discard(id(device))

    async def _listen(self, connection: Streaming, tags: Wanted) -> None:
        """Until every tag wanted has reported, or its time is over."""
        by_id = {device.plan.id: device for device in self._devices}
        awaited: dict[TagTable, set[int]] = {}
        for device in self._devices:
            device.health.streaming = True
            for table in _tables(device, tags[device.plan.id]):
                awaited[table] = set(range(len(table)))
        complete = asyncio.Event()
        clock = self._clock

        def sink(batch: Batch) -> None:
            table = batch.table
            if table in awaited:
                awaited[table].difference_update(
                    range(len(table)) if batch.columns is None else batch.columns
                )
            by_id[table.device].answered(batch, clock.monotonic())
            if not any(awaited.values()):
                complete.set()

        longest = max((_PERIODS * table.every for table in awaited), default=0.0)
        limit = clock.real(min(max(longest, _AT_LEAST_S), _AT_MOST_S))
        streaming = asyncio.create_task(connection.stream(sink, lambda _: None), name="stream")
        waiting = asyncio.create_task(complete.wait(), name="complete")
        try:
            await asyncio.wait(
                {streaming, waiting}, timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
            if streaming.done():
                await streaming  # its error is the reason of all
        finally:
            await cancel_and_wait([waiting])
            streaming.cancel()
            await asyncio.wait({streaming})
            if not streaming.cancelled():
                streaming.exception()


def raw_of(connection: Connection) -> RawOf:
    """How to ask a connection of this process for what stands behind values."""

    async def raw(table: TagTable, ask: bool) -> Sequence[str | None] | None:
        if not isinstance(connection, ShowsRaw):
            return None
        try:
            return await connection.raw(table, ask=ask)
        except DeviceError:
            return None

    return raw


def _tables(device: PolledDevice, names: Sequence[str]) -> list[TagTable]:
    """The tables with these tags; all of them when one is derived, since it may rest on any."""
    tables = device.plan.tables
    read = {name for table in tables for name in table.names}
    if not read.issuperset(names):
        return list(tables)
    return [table for table in tables if not set(names).isdisjoint(table.names)]


def _internal(error: Exception) -> DeviceError:
    return DeviceError(STATUS["BadInternalError"], f"{type(error).__name__}: {error}", lost=True)


class WatchedDevices:
    """Devices that are read in their own rhythm for as long as somebody looks."""

    def __init__(self, site: Site, plugins: Plugins, tags: Wanted, clock: Clock) -> None:
        self._site = site
        self._tags = tags
        self._clock = clock
        self._devices: dict[str, ReadDevice] = {}
        self._loops: list[ConnectionLoop] = []
        metronome = PollTimer()
        turnstile = StartLimiter()
        for (connector, key), members in _by_connection(site, plugins, tags).items():
            polled = [_polled(device, plugins[connector], clock) for device in members]
            connection = plugins[connector].connect([device.plan for device in polled], clock)
            for device in polled:
                device.health.streaming = not isinstance(connection, Pollable)
            self._loops.append(ConnectionLoop(key, connection, polled, clock, metronome, turnstile))
            for config, device in zip(members, polled, strict=True):
                self._devices[config.id] = ReadDevice(
                    config, device, plugins[connector], raw_of(connection)
                )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read while the block runs; every connection is closed behind it."""
        tasks = [
            asyncio.create_task(loop.run(), name=f"connection {loop.key}") for loop in self._loops
        ]
        try:
            yield
        finally:
            await cancel_and_wait(tasks)

    async def document(self, *, ask: bool) -> Document:
        """The values now; what nobody confirmed in time is bad."""
        now = self._clock.monotonic()
        t = self._clock.time_ns()
        for device in self._devices.values():
            device.polled.watch(now, t)
        ordered = [
            self._devices[device.id] for device in self._site.devices if device.id in self._devices
        ]
        return await current_values(self._site.agent.id, ordered, self._tags, self._clock, ask=ask)
