"""Small Modbus servers in bytes that do what users have reported, and devices that the agent's own
loop polls."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from connectors.modbus.client import ModbusConnection
from connectors.modbus.framing import crc16
from edge_agent.clock import Clock
from edge_agent.health import DeviceHealth
from edge_agent.model import Batch, TagTable, status_name
from edge_agent.normalise import Normaliser
from edge_agent.polling.device import PolledDevice
from edge_agent.polling.loop import ConnectionLoop
from edge_agent.sdk import Cause, DevicePlan
from tests.support.aio import until
from tests.support.modbus_wire import connection, make_plan, make_table

EVERY = 0.02
"""Seconds between two polls of a device."""

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def plan(
    url: str, *addresses: str, every: float = EVERY, device: str = "d", **options: Any
) -> DevicePlan:
    """Tags named by what they read; an address may carry a type or a count: `holding/4 float32`,
    `coil/0 count 12`."""
    made = make_plan(url, {}, device, **options)
    tags: dict[str, dict[str, Any]] = {}
    for text in addresses:
        address, *more = text.split()
        keys: dict[str, Any] = (
            {"count": int(more[1])} if more[:1] == ["count"] else {"type": more[0]} if more else {}
        )
        tags[address] = {"address": address, **keys}
    return DevicePlan(device, made.options, (make_table(tags, device, every),))


@contextlib.asynccontextmanager
async def listening(serve: Serve, scheme: str = "tcp") -> AsyncIterator[str]:
    """A server on a free port; `serve` has a connection until it returns. Yields the URL."""
    handlers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers[task] = writer
        with contextlib.suppress(
            asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError
        ):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task, writer in handlers.items():
            task.cancel()
            writer.close()
        closing = [*handlers, *(writer.wait_closed() for writer in handlers.values())]
        await asyncio.gather(*closing, return_exceptions=True)
        await server.wait_closed()


async def question(reader: asyncio.StreamReader) -> tuple[bytes, int, bytes]:
    """One Modbus TCP request: transaction id, unit, PDU."""
    head = await reader.readexactly(7)
    (length,) = struct.unpack(">H", head[4:6])
    return head[:2], head[6], await reader.readexactly(length - 1)


def asked(pdu: bytes) -> tuple[int, int, int]:
    """Function, address, count of a read."""
    function, address, count = struct.unpack(">BHH", pdu)
    return function, address, count


def same(pdu: bytes) -> bytes:
    """The answer PDU in which each register holds its address (each coil whether that is odd)."""
    function, address, count = asked(pdu)
    if function <= 2:
        text = "".join("01"[a % 2] for a in range(address, address + count)).ljust(
            -(-count // 8) * 8, "0"
        )
        data = bytes(int(text[n : n + 8][::-1], 2) for n in range(0, len(text), 8))
    else:
        data = b"".join(struct.pack(">H", a) for a in range(address, address + count))
    return bytes((function, len(data))) + data


def tcp(tid: bytes, unit: int, pdu: bytes) -> bytes:
    """A Modbus TCP frame."""
    return tid + struct.pack(">HHB", 0, len(pdu) + 1, unit) + pdu


def rtu(unit: int, pdu: bytes) -> bytes:
    """An RTU frame."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


class Counted:
    """A connection that counts the polls that are over, answered or not."""

    def __init__(self, connection_: ModbusConnection) -> None:
        self.open = connection_.open
        self.close = connection_.close
        self._read = connection_.read
        self.polls: Counter[str] = Counter()

    async def read(self, table: TagTable) -> Batch:
        """One table."""
        try:
            return await self._read(table)
        finally:
            self.polls[table.device] += 1


class Polled:
    """Devices on one connection, polled by the agent's loop until told otherwise."""

    def __init__(self, *plans: DevicePlan) -> None:
        clock = Clock()
        self.batches: dict[str, list[Batch]] = {plan.id: [] for plan in plans}
        self.states: dict[str, list[str]] = {plan.id: [] for plan in plans}
        """Every change of state, with its reason."""
        self.causes: dict[str, list[Cause]] = {plan.id: [] for plan in plans}
        """What exactly was behind each that was none for the better."""
        self.devices = {plan.id: self._device(plan, clock) for plan in plans}
        self.connection = connection(*plans)
        self._counted = Counted(self.connection)
        self._loop = ConnectionLoop("test", self._counted, list(self.devices.values()), clock)

    def _device(self, plan: DevicePlan, clock: Clock) -> PolledDevice:
        health = DeviceHealth(plan.id, sum(map(len, plan.tables)), 1.0, clock.monotonic())
        normalisers = {table: Normaliser(table) for table in plan.tables}
        got, states = self.batches[plan.id], self.states[plan.id]

        def tell(device: PolledDevice) -> None:
            states.append(f"{device.health.state} {device.health.reason}".strip())
            if device.health.cause is not None:
                self.causes[plan.id].append(device.health.cause)
            device.health.row(clock.monotonic())

        return PolledDevice(plan, normalisers, health, got.append, tell, staleness=60.0)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Polled]:
        """The loop runs inside."""
        task = asyncio.create_task(self._loop.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def turns(self, device: str = "d") -> int:
        """Polls so far, answered or not."""
        return self._counted.polls[device]

    async def until_turns(self, turns: int, device: str = "d") -> None:
        """Wait for so many polls."""
        await until(lambda: self.turns(device) >= turns, what=f"{turns} polls")

    def good(self, tag: str, device: str = "d") -> list[object]:
        """The good values of a tag."""
        found = []
        for batch in self.batches[device]:
            place = batch.table.names.index(tag)
            if place not in batch.status:
                found.append(batch.values[place])
        return found

    def reasons(self, tag: str, device: str = "d") -> set[str]:
        """The statuses of a tag where it was not good."""
        codes = (batch.status.get(batch.table.names.index(tag)) for batch in self.batches[device])
        return {status_name(code) for code in codes if code is not None}


async def poll(turns: int, *plans: DevicePlan) -> Polled:
    """Poll the first device so many times."""
    made = Polled(*plans)
    async with made.running():
        await made.until_turns(turns, plans[0].id)
        await until(lambda: made.batches[plans[0].id])  # the loop takes the last answer in
    return made


def logged(records: Sequence[object], word: str) -> list[str]:
    """The messages in the log that begin with a word."""
    messages = [str(getattr(record, "getMessage", lambda: "")()) for record in records]
    return [message for message in messages if message.startswith(word)]
