"""What a value may cost, counted and not timed: requests, messages, system calls, objects, calls of Python.

Cost per value stays low because hardly anything is done per value. These counts break when somebody adds a
request, a write or an object where there was none, on any machine and under any load.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import orjson
import pytest
from asyncua import ua

from connectors.modbus.channel import Channel
from connectors.modbus.frame import Request
from connectors.modbus.framing import MbapFraming
from connectors.modbus.line import Timing
from connectors.modbus.options import ModbusDevice, ModbusTag, device_options
from connectors.modbus.plan import Knowledge, Limits, Span, plan
from connectors.modbus.reader import Reader, Unit
from connectors.opcua.audit import Audit
from connectors.opcua.columns import Columns
from connectors.opcua.feed import GrantedSubscription
from connectors.opcua.limits import Limits as OperationLimits
from connectors.opcua.messages import read_response
from connectors.opcua.options import OpcuaDevice, OpcuaTag
from connectors.opcua.resolve import Resolved
from connectors.opcua.session import Session as OpcuaSession
from connectors.opcua.wire import BoundedProtocol, Wire
from edge_agent.app.agent.devices import Workshop
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.config.models import Mqtt
from edge_agent.config.plugins import plugins_or_installed
from edge_agent.model import Batch, Tag, TagTable
from edge_agent.mqtt import Connection, connection
from edge_agent.outbox import Outbox
from edge_agent.polling.device import PolledDevice
from edge_agent.publish.holds import Holds
from edge_agent.publish.session import Counters, Session
from edge_agent.topics import Topics
from tests.support.aio import run, until
from tests.support.sites import site, write

CYCLE_NS = 100_000_000


class Bench:
    """Devices that never touch a network, and the real path from their answers to the outbox."""

    def __init__(self, folder: Path, devices: int, tags: int, fsync_ms: int = 10_000) -> None:
        text = "devices:\n"
        names = ", ".join(f"v{n}: {{address: holding/{2 * n}, type: float32}}" for n in range(tags))
        for n in range(devices):
            text += (
                f"  - {{id: plc-{n:03}, line: ml1, connector: modbus, url: 'tcp://127.0.0.1:1', tags: {{{names}}}}}\n"
            )
        found = site(folder, text)
        self.outbox = Outbox(folder / "outbox", agent="ipc-01", max_bytes=1 << 28, fsync_ms=fsync_ms)
        self.topics = Topics("edge", "demo", "dongguan")
        workshop, plugins = Workshop(found.agent, self.topics, self.outbox, Clock()), plugins_or_installed(None)
        self.devices = [workshop.make(device, plugins[device.connector]).polled for device in found.devices]
        self.columns = [[n + 0.1 for n in range(tags)], [n + 0.2 for n in range(tags)]]
        self.cycles = 0

    def answers(self) -> Iterator[tuple[PolledDevice, Batch]]:
        """One answer of every device; every value is another than in the cycle before."""
        self.cycles += 1
        for device in self.devices:
            (table,) = device.plan.tables
            values: list[Any] = list(self.columns[self.cycles % 2])
            yield device, Batch(table, self.cycles * CYCLE_NS, values)

    def cycle(self) -> None:
        for device, batch in self.answers():
            device.answered(batch, float(self.cycles), 0.001)


@contextmanager
def bench(folder: Path, devices: int = 1, tags: int = 100, **options: int) -> Iterator[Bench]:
    """A bench whose first cycles, which tell of health and open files, are over."""
    folder.mkdir()
    made = Bench(folder, devices, tags, **options)
    made.cycle()
    made.cycle()
    try:
        yield made
    finally:
        made.outbox.close_now()


@contextmanager
def counting(name: str) -> Iterator[list[Any]]:
    """The calls of a function of `os`, which still does its work."""
    calls: list[Any] = []
    real: Callable[..., Any] = getattr(os, name)

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return real(*arguments)

    with patch.object(os, name, counted):
        yield calls


def calls_during(work: Callable[[], None]) -> list[str]:
    """Every Python function and every compiled one of pydantic that `work` calls."""
    called: list[str] = []

    def notice(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            called.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
        elif event == "c_call" and "pydantic" in str(getattr(argument, "__module__", "")):
            called.append(f"pydantic:{argument.__name__}")

    sys.setprofile(notice)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called[1:]


def requests(tags: int, step: int) -> int:
    spans = [Span("holding", n * step, n * step + 2) for n in range(tags)]
    return len(plan(spans, Limits(), Knowledge()))


@pytest.mark.parametrize(("tags", "step", "most"), [(1000, 2, 17), (1000, 3, 24), (100, 2, 2), (62, 2, 1)])
def test_requests_per_cycle(tags: int, step: int, most: int) -> None:
    """Contiguous float32, and such with a register nobody wants between any two of them."""
    assert requests(tags, step) <= most


@pytest.mark.parametrize(("devices", "tags"), [(1, 1000), (10, 100), (50, 3)])
def test_messages_per_cycle_are_devices(tmp_path: Path, devices: int, tags: int) -> None:
    with bench(tmp_path / "b", devices, tags) as made:
        before = made.outbox.last_seq
        with counting("writev") as written:
            for _ in range(5):
                made.cycle()
        assert made.outbox.last_seq - before == 5 * devices
        assert len(written) == 5 * devices, "each append is one write, made at once"
        assert made.outbox.stats.enqueued == 7 * devices * tags


def test_syncs_do_not_grow_with_what_is_written(tmp_path: Path) -> None:
    with bench(tmp_path / "lazy", 10, 10) as made, counting("fdatasync") as synced:
        for _ in range(100):
            made.cycle()
        assert not synced, "nobody waits for the disk"
        made.outbox.sync()
        assert len(synced) == 1
        assert made.outbox.durable_seq == made.outbox.last_seq


def test_syncs_are_at_most_one_per_interval(tmp_path: Path) -> None:
    interval = 0.02
    with bench(tmp_path / "eager", 10, 10, fsync_ms=round(interval * 1000)) as made, counting("fdatasync") as synced:
        start = time.monotonic()
        while len(synced) < 5:
            made.cycle()
        assert len(synced) <= (time.monotonic() - start) / interval + 1


@pytest.mark.parametrize("tags", [100, 1000])
def test_objects_per_value(tmp_path: Path, tags: int) -> None:
    """Blocks of memory beyond the batch's own, looked at where most are alive: while encoding, while writing."""
    with bench(tmp_path / "b", 1, tags) as made:
        alive: list[int] = []
        dumps, writev = orjson.dumps, os.writev

        def encoding(*arguments: Any) -> bytes:
            alive.append(sys.getallocatedblocks())
            return dumps(*arguments)

        def writing(*arguments: Any) -> int:
            alive.append(sys.getallocatedblocks())
            return writev(*arguments)

        ((device, batch),) = made.answers()
        gc.collect()
        gc.disable()
        try:
            with patch.object(orjson, "dumps", encoding), patch.object(os, "writev", writing):
                before = sys.getallocatedblocks()
                device.answered(batch, 3.0, 0.001)
        finally:
            gc.enable()
        assert len(alive) == 2, "one document, encoded once and written once"
        assert max(alive) - before <= 60, "a number that does not depend on the number of values"


def test_nothing_stays_behind(tmp_path: Path) -> None:
    """A thousand messages later, delivered and acknowledged, the process holds what it held before."""
    with bench(tmp_path / "b", 10, 20) as made:
        made.outbox.attach()

        def deliver(cycles: int) -> None:
            for _ in range(cycles):
                made.cycle()
                while (entry := made.outbox.take_live()) is not None:
                    made.outbox.acknowledge([entry], release=True)
            made.outbox.sync()
            made.cycle()  # what was kept for the case that the sync fails goes now
            gc.collect()

        deliver(3)
        before = sys.getallocatedblocks()
        deliver(100)
        assert sys.getallocatedblocks() - before < 0.01 * 100 * 10 * 20


def held_by(folder: Path, devices: int, tags: int) -> int:
    """Bytes that so many equal devices hold when they have been read once: configuration, plans, health, births."""
    names = ", ".join(f"v{n}: {{address: holding/{2 * n}, type: float32}}" for n in range(tags))
    text = f"devices:\n  - {{for: {{i: 1..{devices}}}, id: 'plc-{{i}}', connector: modbus, url: 'tcp://h{{i}}',"
    path = write(folder / f"{devices}x{tags}", f"{text} tags: {{{names}}}}}\n")
    outbox = Outbox(path.parent / "outbox", agent="ipc-01", max_bytes=1 << 28, fsync_ms=10_000)
    topics, plugins = Topics("edge", "demo", "dongguan"), plugins_or_installed(None)
    gc.collect()
    tracemalloc.start()
    try:
        found = load(path)
        workshop = Workshop(found.agent, topics, outbox, Clock())
        kept = [workshop.make(device, plugins[device.connector]) for device in found.devices]
        readers = []
        for member in kept:
            (table,) = member.polled.plan.tables
            readers.append(Reader(table, Unit(table.device, device_options(member.polled.plan.options))))
            member.polled.answered(Batch(table, CYCLE_NS, [1.0] * tags), 1.0, 0.001)
        while (entry := outbox.take_live() or outbox.take_backlog()) is not None:
            outbox.acknowledge([entry], release=True)
        outbox.sync()
        kept[0].polled.tell()  # what was kept for the case that the sync fails goes now
        gc.collect()
        assert len(kept) == len(readers) == devices
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        outbox.close_now()


def test_memory_of_equal_devices_does_not_depend_on_their_tags(tmp_path: Path) -> None:
    """Tags, plans, decoders and what a birth says of tags are held once; a device adds its own state."""
    shapes = ((2, 2), (20, 100), (220, 100), (220, 200))  # the first: caches and what is imported late
    code = (
        "import sys; from pathlib import Path; from tests.unit.test_cost_guard import held_by\n"
        f"print(*(held_by(Path(sys.argv[1]), *shape) for shape in {shapes}))"
    )  # in a process of its own, where no earlier test has left anything
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True, cwd=Path.cwd()
    )
    few, many, wide = map(int, said.stdout.split()[1:])
    assert (many - few) / 200 <= 12_000, "bytes a device"
    assert (wide - many) / (220 * 100) <= 20, "bytes for one more tag of every device"


def test_calls_do_not_depend_on_the_number_of_values(tmp_path: Path) -> None:
    counts = []
    for tags in (10, 1000):
        with bench(tmp_path / f"b{tags}", 1, tags) as made:
            counts.append(len(calls_during(made.cycle)))
    assert counts[0] == counts[1]
    assert counts[0] <= 36


def test_no_pydantic_and_no_logging_on_the_way(tmp_path: Path) -> None:
    with bench(tmp_path / "b", 3, 50) as made:
        called = calls_during(made.cycle)
    assert called
    assert not [name for name in called if "pydantic" in name or "logging" in name or "datetime" in name]


@dataclass
class Sending:
    """A session of the publisher, and the test at the other end of its socket."""

    session: Session
    link: Connection
    counters: Counters
    broker: socket.socket

    def acknowledge(self, count: int) -> None:
        ids = range(connection._FIRST_ID, connection._FIRST_ID + count)
        self.broker.sendall(b"".join(b"\x40\x02" + n.to_bytes(2, "big") for n in ids))


@asynccontextmanager
async def sending(made: Bench) -> AsyncIterator[Sending]:
    """Connected, with nothing left behind to send."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def dialled(*_: object) -> socket.socket:
        return ours

    config, counters = Mqtt(url="mqtt://broker"), Counters()
    link = Connection(config, "test")
    with theirs, patch.object(connection, "dialled", dialled):
        theirs.sendall(b"\x20\x02\x00\x00")
        await link.open(None)
        made.outbox.attach()
        while made.outbox.take_backlog() is not None:
            continue
        session = Session(config, link, made.outbox, {}, counters, lambda message: None, Holds())
        made.outbox.on_append = session.appended
        try:
            yield Sending(session, link, counters, theirs)
        finally:
            session.end()


def test_a_cycle_is_one_send_and_its_acknowledgements_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_AGENT_STOCK", "0")

    async def scenario(made: Bench) -> None:
        async with sending(made) as under:
            pipe = under.link._pipe
            assert pipe is not None
            with patch.object(pipe, "_sock", wraps=pipe._sock) as sock, counting("write") as written:
                made.cycle()
                await until(lambda: under.session.under_way == 10)
                assert sock.send.call_count == 1
                under.acknowledge(10)
                await until(lambda: made.outbox.stats.acknowledged == 10 * 20)
                assert sock.recv.call_count == 1
                assert len(written) == 1

    with bench(tmp_path / "b", 10, 20) as made:
        run(scenario(made))


def test_sending_and_acknowledging_call_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_AGENT_STOCK", "0")

    async def scenario(made: Bench) -> None:
        async with sending(made) as under:
            made.cycle()
            called = calls_during(under.session.pump)
            assert len(called) <= 17 * 10
            under.acknowledge(10)
            called += calls_during(under.link._readable)
            called += calls_during(under.session.book)
            assert under.counters.acknowledged == made.outbox.stats.acknowledged == 10 * 20
            assert len(called) <= 28 * 10
            assert not [name for name in called if "pydantic" in name or "_packet" in name]

    with bench(tmp_path / "b", 10, 20) as made:
        run(scenario(made))


def test_what_nobody_joins_is_sent_and_booked_without_a_timer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each timer is the agent waking up once more, with cold caches: dearer than all that it then does."""
    monkeypatch.setenv("EDGE_AGENT_STOCK", "0")

    async def scenario(made: Bench) -> None:
        loop = asyncio.get_running_loop()
        async with sending(made) as under:
            under.session._booked_at = float("-inf")
            made.cycle()
            assert under.session.under_way == 0, "it waits for company"
            with patch.object(loop, "call_at", wraps=loop.call_at) as timers:
                under.session.hurry()
                await asyncio.sleep(0)
                assert under.session.under_way == 3
                under.acknowledge(3)
                under.link._readable()
                assert made.outbox.stats.acknowledged == 3 * 20, "with nothing under way there is nothing to wait for"
                under.session.hurry()
                assert not timers.called

    with bench(tmp_path / "b", 3, 20) as made:
        run(scenario(made))


class Answering:
    """The transport of a device that knows its answers, and gives all that were asked for at once."""

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
            request[:4] + (3 + size).to_bytes(2, "big") + request[6:8] + bytes((size,)) + bytes(size)
            for request, size in zip(asked, sizes, strict=True)
        )


@pytest.mark.parametrize(("window", "most"), [(1, 170), (8, 72)])
def test_modbus_reads_call_little(window: int, most: int) -> None:
    """1000 float32 in 17 requests: calls of Python from the first answer to the batch, the event loop's left out."""

    async def scenario() -> None:
        loop, device = asyncio.get_running_loop(), Answering()
        tags = [Tag(f"v{n}", "float", ModbusTag(address=f"holding/{2 * n}", type="float32")) for n in range(1000)]
        table = TagTable("plc", 0.1, tuple(tags))
        reader = Reader(table, Unit("plc", ModbusDevice(url="tcp://h")))
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
            return reader.finish(channel.arrived), [name for name in called if "connectors/modbus" in name]

        await read()
        with patch.object(loop, "call_at", wraps=loop.call_at) as timers:
            batch, called = await read()
            assert timers.call_count == 0, "one timer serves all requests"
        assert batch.values == [0.0] * 1000
        assert len(called) <= most, len(called)
        channel.close()

    run(scenario())


@pytest.mark.parametrize(("window", "writes"), [(1, 17), (2, 16), (3, 15), (4, 8), (5, 7), (8, 4), (16, 2)])
def test_modbus_pipelines_write_little(window: int, writes: int) -> None:
    """17 requests to a device that answers one after the other: writes, each when half the window is free."""

    async def scenario() -> None:
        device = Answering()
        channel = Channel(MbapFraming(), time.time_ns)
        channel.connection_made(device)
        wave = [Request(1, "holding", 100 * n, 100) for n in range(17)]
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
            record = struct.pack("<BBdqq", 0x0D, 11, 1.5, 133_000_000_000_000_000, 133_000_000_000_000_000)
            answers.append(head + struct.pack("<I", count) + count * record + b"\0" * 4)
        return answers


def audit_of(tags: int, limit: int = 5000) -> tuple[Audit, Answered]:
    """The look at so many subscribed tags that are what the subscription says."""
    session = Answered(tags, limit)
    table = TagTable("d", 1.0, tuple(Tag(f"v{n}", "float", OpcuaTag(node=f"i={n + 1}")) for n in range(tags)))
    subscription = GrantedSubscription(1, 1.0, 1.0)
    feed = subscription.add(table)
    feed.resolved = Resolved(list(range(tags)), [ua.NodeId(n + 1) for n in range(tags)], {})
    feed.believed[:] = [1.5] * tags
    delivery: Any = SimpleNamespace(feeds=[(subscription, feed)])
    return Audit(cast(Any, session), delivery, cast(Any, None), Clock()), session


@pytest.mark.parametrize(("tags", "limit", "asked"), [(1000, 5000, [1000]), (2500, 5000, [1000, 1000, 500])])
def test_an_opcua_audit_is_one_read_of_each_tag_a_minute(tags: int, limit: int, asked: list[int]) -> None:
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
        table = TagTable("d", 1.0, tuple(Tag(f"v{n}", "float", OpcuaTag(node="i=1")) for n in range(tags)))
        feed = GrantedSubscription(1, 1.0, 1.0).add(table)
        every_second = Columns([1.5] * (tags // 2), {}, [None] * (tags // 2), list(range(0, tags, 2)))
        counts.append(len(calls_during(partial(feed.batches, every_second, 1))))
        assert feed.believed[0] == 1.5
    assert counts[0] == counts[1]


def test_opcua_reads_call_little() -> None:
    """A response of 1000 values in one plain chunk: calls of Python from its bytes to its columns."""
    record = struct.pack("<BBfqq", 0x0D, 10, 1.5, 133_000_000_000_000_000, 133_000_000_000_000_000)
    body = struct.pack("<BBHqIIBIBBB", 1, 0, 634, 0, 1, 0, 0, 0, 0, 0, 0)
    body += struct.pack("<I", 1000) + 1000 * record + b"\0" * 4
    header = struct.pack("<4sIIIII", b"MSGF", 24 + len(body), 0, 0, 2, 1)

    async def scenario() -> None:
        protocol = BoundedProtocol(1.0)
        protocol.transport = Answering()  # type: ignore[assignment]
        protocol._connection._peer_sequence_number = 1
        future = Wire(protocol).send(b"request")
        called = calls_during(lambda: protocol.data_received(header + body))
        called += calls_during(lambda: read_response(bytes(future.result())))
        assert len(read_response(bytes(future.result())).values) == 1000
        assert len(called) <= 62

    run(scenario())
