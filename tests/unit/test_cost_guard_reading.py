"""What reading may cost, counted and not timed: requests, writes, timers, calls of Python between
bytes and batch.

See `test_cost_guard.py` for what lies behind.
"""

from __future__ import annotations

import asyncio
import struct
import time
from functools import partial
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest
from asyncua import ua

from connectors.modbus.channel import Channel
from connectors.modbus.frame import ReadRequest
from connectors.modbus.framing import MbapFraming
from connectors.modbus.options import ModbusDevice, ModbusTag
from connectors.modbus.plan import AddressSpan, Knowledge, RequestLimits, plan
from connectors.modbus.reader import ModbusTableReader
from connectors.modbus.transport import Timing
from connectors.modbus.unit import Unit
from connectors.opcua.audit import Audit
from connectors.opcua.columns import Columns
from connectors.opcua.limits import OperationLimits as OperationLimits
from connectors.opcua.messages import read_response
from connectors.opcua.monitored_table import GrantedSubscription
from connectors.opcua.options import OpcuaDevice, OpcuaTag
from connectors.opcua.raw_transport import BoundedProtocol, RawTransport
from connectors.opcua.resolve import Resolved
from connectors.opcua.session import OpcuaSession as OpcuaSession
from edge_agent.clock import Clock
from edge_agent.model import Batch, Tag, TagTable
from tests.support.aio import run
from tests.support.calls import calls_during


def requests(tags: int, step: int) -> int:
    spans = [AddressSpan("holding", n * step, n * step + 2) for n in range(tags)]
    return len(plan(spans, RequestLimits(), Knowledge()))


@pytest.mark.parametrize(
    ("tags", "step", "most"), [(1000, 2, 17), (1000, 3, 24), (100, 2, 2), (62, 2, 1)]
)
def test_requests_per_cycle(tags: int, step: int, most: int) -> None:
    """Contiguous float32, and such with a register nobody wants between any two of them."""
    assert requests(tags, step) <= most


class Answering:
    """The transport of a device that knows its answers, and gives all that were asked for at
    once."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.asked += [data[at : at + 12] for at in range(0, len(data), 12)]

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        """The end of the test."""

    def answers(self, most: int | None = None) -> bytes:
        asked, self.asked = self.asked[:most], [] if most is None else self.asked[most:]
        sizes = [2 * int.from_bytes(request[10:12], "big") for request in asked]
        return b"".join(
            request[:4]
            + (3 + size).to_bytes(2, "big")
            + request[6:8]
            + bytes((size,))
            + bytes(size)
            for request, size in zip(asked, sizes, strict=True)
        )


@pytest.mark.parametrize(("window", "most"), [(1, 170), (8, 72)])
def test_modbus_reads_call_little(window: int, most: int) -> None:
    """1000 float32 in 17 requests: calls of Python from the first answer to the batch, the event
    loop's left out."""

    async def scenario() -> None:
        loop, device = asyncio.get_running_loop(), Answering()
        tags = [
            Tag(f"v{n}", "float", ModbusTag(address=f"holding/{2 * n}", type="float32"))
            for n in range(1000)
        ]
        table = TagTable("plc", 0.1, tuple(tags))
        reader = ModbusTableReader(table, Unit("plc", ModbusDevice(url="tcp://h")))
        channel = Channel(MbapFraming(), time.time_ns)
        channel.connection_made(device)

        async def read() -> tuple[Batch, list[str]]:
            wave, called = reader.first(), list[str]()
            exchange = asyncio.create_task(channel.exchange(wave, Timing(1.0, window)))
            while not exchange.done():
                await asyncio.sleep(0)
                if device.asked:
                    called += calls_during(lambda: channel.data_received(device.answers()))
            called += calls_during(lambda: reader.next(exchange.result()))
            return reader.finish(channel.arrived), [
                name for name in called if "connectors/modbus" in name
            ]

        await read()
        with patch.object(loop, "call_at", wraps=loop.call_at) as timers:
            batch, called = await read()
            assert timers.call_count == 0, "one timer serves all requests"
        assert batch.values == [0.0] * 1000
        assert len(called) <= most, len(called)
        channel.close()

    run(scenario())


@pytest.mark.parametrize(
    ("window", "writes"), [(1, 17), (2, 16), (3, 15), (4, 8), (5, 7), (8, 4), (16, 2)]
)
def test_modbus_pipelines_write_little(window: int, writes: int) -> None:
    """17 requests to a device that answers one after the other: writes, each when half the window
    is free."""

    async def scenario() -> None:
        device = Answering()
        channel = Channel(MbapFraming(), time.time_ns)
        channel.connection_made(device)
        wave = [ReadRequest(1, "holding", 100 * n, 100) for n in range(17)]
        exchange = asyncio.create_task(channel.exchange(wave, Timing(1.0, window)))
        most = 0
        while not exchange.done():
            await asyncio.sleep(0)
            most = max(most, len(device.asked))
            if device.asked:
                channel.data_received(device.answers(1))
        assert exchange.result() == [bytes(200)] * 17
        assert (most, device.writes) == (window, writes)
        channel.close()

    run(scenario())


class Answered:
    """A session whose server answers every Read with what the subscription brought."""

    def __init__(self, values: int, limit: int) -> None:
        self.wire = self
        self.options = OpcuaDevice(endpoint="opc.tcp://h")
        self.limits = OperationLimits(read=limit)
        self.service = SimpleNamespace(authentication_token=ua.NodeId(1))
        self.asked: list[int] = []

    async def ask(self, bodies: list[bytes], timeout: float) -> list[bytes]:
        answers = []
        for body in bodies:
            count = body.count(struct.pack("<I", 13) + b"\xff\xff\xff\xff")
            self.asked.append(count)
            head = struct.pack("<BBHqIIBIBBB", 1, 0, 634, 0, 1, 0, 0, 0, 0, 0, 0)
            record = struct.pack(
                "<BBdqq", 0x0D, 11, 1.5, 133_000_000_000_000_000, 133_000_000_000_000_000
            )
            answers.append(head + struct.pack("<I", count) + count * record + b"\0" * 4)
        return answers


def audit_of(tags: int, limit: int = 5000) -> tuple[Audit, Answered]:
    """The look at so many subscribed tags that are what the subscription says."""
    session = Answered(tags, limit)
    table = TagTable(
        "d", 1.0, tuple(Tag(f"v{n}", "float", OpcuaTag(node=f"i={n + 1}")) for n in range(tags))
    )
    subscription = GrantedSubscription(1, 1.0, 1.0)
    feed = subscription.add(table)
    feed.resolved = Resolved(list(range(tags)), [ua.NodeId(n + 1) for n in range(tags)], {})
    feed.believed[:] = [1.5] * tags
    delivery: Any = SimpleNamespace(feeds=[(subscription, feed)])
    return Audit(cast(Any, session), delivery, cast(Any, None), Clock()), session


@pytest.mark.parametrize(
    ("tags", "limit", "asked"), [(1000, 5000, [1000]), (2500, 5000, [1000, 1000, 500])]
)
def test_an_opcua_audit_is_one_read_of_each_tag_a_minute(
    tags: int, limit: int, asked: list[int]
) -> None:
    assert OpcuaSession.audit_s == 60.0, "a sixtieth of what reading once a second costs"
    audit, session = audit_of(tags, limit)
    run(audit.look())
    assert session.asked == asked


def test_an_opcua_audit_without_a_difference_calls_nothing_for_each_value() -> None:
    async def counted(tags: int) -> int:
        audit, _ = audit_of(tags)
        called: list[str] = []

        def look() -> None:
            coroutine = audit.look()
            with pytest.raises(StopIteration):
                coroutine.send(None)

        called = calls_during(look)
        return len([name for name in called if "connectors/opcua" in name])

    few, many = run(counted(100)), run(counted(900))
    assert many - few <= 20, "runs of records, no values"


def test_an_opcua_notification_calls_nothing_for_each_value() -> None:
    """What the audit needs to know of a value costs no call, and no object but the list's place."""
    counts = []
    for tags in (10, 1000):
        table = TagTable(
            "d", 1.0, tuple(Tag(f"v{n}", "float", OpcuaTag(node="i=1")) for n in range(tags))
        )
        feed = GrantedSubscription(1, 1.0, 1.0).add(table)
        every_second = Columns(
            [1.5] * (tags // 2), {}, [None] * (tags // 2), list(range(0, tags, 2))
        )
        counts.append(len(calls_during(partial(feed.batches, every_second, 1))))
        assert feed.believed[0] == 1.5
    assert counts[0] == counts[1]


def test_opcua_reads_call_little() -> None:
    """A response of 1000 values in one plain chunk: calls of Python from its bytes to its
    columns."""
    record = struct.pack("<BBfqq", 0x0D, 10, 1.5, 133_000_000_000_000_000, 133_000_000_000_000_000)
    body = struct.pack("<BBHqIIBIBBB", 1, 0, 634, 0, 1, 0, 0, 0, 0, 0, 0)
    body += struct.pack("<I", 1000) + 1000 * record + b"\0" * 4
    header = struct.pack("<4sIIIII", b"MSGF", 24 + len(body), 0, 0, 2, 1)

    async def scenario() -> None:
        protocol = BoundedProtocol(1.0)
        protocol.transport = Answering()  # type: ignore[assignment]
        protocol._connection._peer_sequence_number = 1
        future = RawTransport(protocol).send(b"request")
        called = calls_during(lambda: protocol.data_received(header + body))
        called += calls_during(lambda: read_response(bytes(future.result())))
        assert len(read_response(bytes(future.result())).values) == 1000
        assert len(called) <= 62

    run(scenario())
