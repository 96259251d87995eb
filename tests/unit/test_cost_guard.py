"""What a value may cost, counted and not timed: requests, messages, system calls, objects, calls of
Python.

Cost per value stays low because hardly anything is done per value. These counts break when somebody
adds a request, a write or an object where there was none, on any machine and under any load.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from connectors.modbus.options import device_options
from connectors.modbus.reader import ModbusTableReader
from connectors.modbus.unit import Unit
from edge_agent.app.agent.device_factory import DeviceFactory
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.config.models import Mqtt
from edge_agent.config.plugins import plugins_or_installed
from edge_agent.model import Batch
from edge_agent.mqtt import MqttConnection, connection
from edge_agent.outbox import Outbox
from edge_agent.polling.device import PolledDevice
from edge_agent.publish.session import PublishCounters, PublishSession
from edge_agent.publish.suspect_messages import SuspectMessages
from edge_agent.topics import Topics
from tests.support.aio import run, until
from tests.support.calls import calls_during
from tests.support.sites import site, write

pytestmark = pytest.mark.slow

CYCLE_NS = 100_000_000


class Bench:
    """Devices that never touch a network, and the real path from their answers to the outbox."""

    def __init__(self, folder: Path, devices: int, tags: int, fsync_ms: int = 10_000) -> None:
        text = "devices:\n"
        names = ", ".join(f"v{n}: {{address: holding/{2 * n}, type: float32}}" for n in range(tags))
        for n in range(devices):
            text += f"  - {{id: plc-{n:03}, line: ml1, connector: modbus, url: 'tcp://127.0.0.1:1', tags: {{{names}}}}}\n"
        found = site(folder, text)
        self.outbox = Outbox(
            folder / "outbox", agent="ipc-01", max_bytes=1 << 28, fsync_ms=fsync_ms
        )
        self.topics = Topics("edge", "demo", "dongguan")
        workshop, plugins = (
            DeviceFactory(found.agent, self.topics, self.outbox, Clock()),
            plugins_or_installed(None),
        )
        self.devices = [
            workshop.make(device, plugins[device.connector]).polled for device in found.devices
        ]
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
    with (
        bench(tmp_path / "eager", 10, 10, fsync_ms=round(interval * 1000)) as made,
        counting("fdatasync") as synced,
    ):
        start = time.monotonic()
        while len(synced) < 5:
            made.cycle()
        assert len(synced) <= (time.monotonic() - start) / interval + 1


@pytest.mark.parametrize("tags", [100, 1000])
def test_objects_per_value(tmp_path: Path, tags: int) -> None:
    """Blocks of memory beyond the batch's own, looked at where most are alive: while encoding,
    while writing."""
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
    """A thousand messages later, delivered and acknowledged, the process holds what it held
    before."""
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
    """Bytes that so many equal devices hold when they have been read once: configuration, plans,
    health, births."""
    names = ", ".join(f"v{n}: {{address: holding/{2 * n}, type: float32}}" for n in range(tags))
    text = (
        f"devices:\n  - {{for: {{i: 1..{devices}}}, id: 'plc-{{i}}', connector: modbus, url: "
        f"'tcp://h{{i}}',"
    )
    path = write(folder / f"{devices}x{tags}", f"{text} tags: {{{names}}}}}\n")
    outbox = Outbox(path.parent / "outbox", agent="ipc-01", max_bytes=1 << 28, fsync_ms=10_000)
    topics, plugins = Topics("edge", "demo", "dongguan"), plugins_or_installed(None)
    gc.collect()
    tracemalloc.start()
    try:
        found = load(path)
        workshop = DeviceFactory(found.agent, topics, outbox, Clock())
        kept = [workshop.make(device, plugins[device.connector]) for device in found.devices]
        readers = []
        for member in kept:
            (table,) = member.polled.plan.tables
            readers.append(
                ModbusTableReader(
                    table, Unit(table.device, device_options(member.polled.plan.options))
                )
            )
            member.polled.answered(Batch(table, CYCLE_NS, [1.0] * tags), 1.0, 0.001)
        while (entry := outbox.take_live() or outbox.take_backlog()) is not None:
            outbox.acknowledge([entry], release=True)
        outbox.sync()
        kept[0].polled.write_health_row()  # what was kept for the case that the sync fails goes now
        gc.collect()
        assert len(kept) == len(readers) == devices
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        outbox.close_now()


def test_memory_of_equal_devices_does_not_depend_on_their_tags(tmp_path: Path) -> None:
    """Tags, plans, decoders and what a birth says of tags are held once; a device adds its own
    state."""
    # the first: caches and what is imported late
    shapes = (
        (2, 2),
        (20, 100),
        (220, 100),
        (220, 200),
    )
    # in a process of its own, where no earlier test has left anything
    code = (
        "import sys; from pathlib import Path; from tests.unit.test_cost_guard import held_by\n"
        f"print(*(held_by(Path(sys.argv[1]), *shape) for shape in {shapes}))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path.cwd(),
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
    assert not [
        name for name in called if "pydantic" in name or "logging" in name or "datetime" in name
    ]


@dataclass
class Sending:
    """A session of the publisher, and the test at the other end of its socket."""

    session: PublishSession
    link: MqttConnection
    counters: PublishCounters
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

    config, counters = Mqtt(url="mqtt://broker"), PublishCounters()
    link = MqttConnection(config, "test")
    with theirs, patch.object(connection, "dial_async", dialled):
        theirs.sendall(b"\x20\x02\x00\x00")
        await link.open(None)
        made.outbox.attach()
        while made.outbox.take_backlog() is not None:
            continue
        session = PublishSession(
            config, link, made.outbox, {}, counters, lambda message: None, SuspectMessages()
        )
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
            with (
                patch.object(pipe, "_sock", wraps=pipe._sock) as sock,
                counting("write") as written,
            ):
                made.cycle()
                await until(lambda: under.session.in_flight == 10)
                assert sock.send.call_count == 1
                under.acknowledge(10)
                await until(lambda: made.outbox.stats.acknowledged == 10 * 20)
                assert sock.recv.call_count == 1
                assert len(written) == 1

    with bench(tmp_path / "b", 10, 20) as made:
        run(scenario(made))


def test_sending_and_acknowledging_call_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_AGENT_STOCK", "0")

    async def scenario(made: Bench) -> None:
        async with sending(made) as under:
            made.cycle()
            called = calls_during(under.session.pump)
            assert len(called) <= 17 * 10
            under.acknowledge(10)
            called += calls_during(under.link._readable)
            called += calls_during(under.session.persist_acks)
            assert under.counters.acknowledged == made.outbox.stats.acknowledged == 10 * 20
            assert len(called) <= 28 * 10
            assert not [name for name in called if "pydantic" in name or "_packet" in name]

    with bench(tmp_path / "b", 10, 20) as made:
        run(scenario(made))


def test_what_nobody_joins_is_sent_and_booked_without_a_timer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each timer is the agent waking up once more, with cold caches: dearer than all that it then
    does."""
    monkeypatch.setenv("EDGE_AGENT_STOCK", "0")

    async def scenario(made: Bench) -> None:
        loop = asyncio.get_running_loop()
        async with sending(made) as under:
            under.session._booked_at = float("-inf")
            made.cycle()
            assert under.session.in_flight == 0, "it waits for company"
            with patch.object(loop, "call_at", wraps=loop.call_at) as timers:
                under.session.flush_now()
                await asyncio.sleep(0)
                assert under.session.in_flight == 3
                under.acknowledge(3)
                under.link._readable()
                assert made.outbox.stats.acknowledged == 3 * 20, (
                    "with nothing under way there is nothing to wait for"
                )
                under.session.flush_now()
                assert not timers.called

    with bench(tmp_path / "b", 3, 20) as made:
        run(scenario(made))
