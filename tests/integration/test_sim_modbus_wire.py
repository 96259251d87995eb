"""Simulated Modbus devices read over the wire by pymodbus, mbpoll and bare sockets, and every fault
seen from there."""

from __future__ import annotations

import asyncio
import math
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymodbus import FramerType
from pymodbus.client import (
    AsyncModbusSerialClient,
    AsyncModbusTcpClient,
    AsyncModbusTlsClient,
    AsyncModbusUdpClient,
)
from pymodbus.exceptions import ModbusException

from simulators.runner import Simulation
from simulators.spec import FaultSpec, parse
from tests.support.aio import run, until
from tests.support.servers import tool

TAGS = {
    "run_status": {"object": "holding", "address": 0, "type": "uint16", "kind": "int"},
    "spindle_speed": {
        "object": "holding",
        "address": 2,
        "type": "float32",
        "kind": "float",
        "unit": "rpm",
    },
    "parts_total": {"object": "holding", "address": 4, "type": "uint32", "kind": "int"},
    "program": {
        "object": "holding",
        "address": 10,
        "type": "string",
        "length": 20,
        "encoding": "gbk",
        "kind": "text",
    },
    "pressure": {
        "object": "input",
        "address": 100,
        "type": "int16",
        "scale": 0.01,
        "unit": "bar",
        "kind": "float",
    },
    "running": {"object": "discrete", "address": 7, "type": "bool", "kind": "bool"},
    "fault": {"object": "coil", "address": 9, "type": "bool", "kind": "bool"},
}


def modbus(name: str = "lathe-1", **more: Any) -> dict[str, Any]:
    return {"id": name, "protocol": "modbus", "transport": "tcp", "unit": 1, "tags": TAGS, **more}


@asynccontextmanager
async def simulated(
    *devices: dict[str, Any], **more: Any
) -> AsyncIterator[tuple[Simulation, dict[str, Any]]]:
    """A running simulation in this loop, and its readiness document."""
    simulation = Simulation(parse({"devices": list(devices), **more}))
    ready = await simulation.start()
    task = asyncio.create_task(simulation.run())
    try:
        yield simulation, ready
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await simulation.stop()


def address(ready: dict[str, Any], name: str = "lathe-1") -> tuple[str, int]:
    parts = urlsplit(ready["endpoints"][name])
    return str(parts.hostname), int(parts.port or 0)


@asynccontextmanager
async def client(
    ready: dict[str, Any], name: str = "lathe-1", **more: Any
) -> AsyncIterator[AsyncModbusTcpClient]:
    """A connected pymodbus client without retries of its own."""
    host, port = address(ready, name)
    reader = AsyncModbusTcpClient(
        host, port=port, timeout=0.3, retries=0, reconnect_delay=0, **more
    )
    assert await reader.connect()
    try:
        yield reader
    finally:
        reader.close()


async def fault(simulation: Simulation, kind: str, name: str = "lathe-1", **more: Any) -> None:
    """Start a fault and return when it is in force."""
    device = simulation.devices[name]
    device.board.add(FaultSpec(kind, at=simulation.clock.seconds(), **more))
    before = device.board.version
    await until(lambda: device.board.version > before, what=kind)


def test_pymodbus_reads_all_tables_and_types() -> None:
    async def main() -> None:
        async with simulated(modbus()) as (simulation, ready), client(ready) as reader:
            registers = (await reader.read_holding_registers(0, count=20, device_id=1)).registers
            values = dict(zip(TAGS, simulation.devices["lathe-1"].values(), strict=True))
            assert registers[0] == values["run_status"]
            assert registers[4] << 16 | registers[5] == values["parts_total"]
            text = (
                b"".join(word.to_bytes(2, "big") for word in registers[10:20])
                .rstrip(b"\0")
                .decode("gbk")
            )
            assert text == values["program"]
            pressure = (await reader.read_input_registers(100, count=1, device_id=1)).registers[0]
            assert 4.0 <= pressure / 100 <= 7.0
            assert (await reader.read_discrete_inputs(7, count=1, device_id=1)).bits[0] == values[
                "running"
            ]
            assert (await reader.read_coils(9, count=1, device_id=1)).bits[0] == values["fault"]

    run(main())


def test_values_change_with_simulated_time_and_writes_are_refused() -> None:
    async def main() -> None:
        async with simulated(modbus(), speed=200.0) as (_, ready), client(ready) as reader:
            first = (await reader.read_holding_registers(2, count=2, device_id=1)).registers

            async def changed() -> bool:
                return bool(
                    (await reader.read_holding_registers(2, count=2, device_id=1)).registers
                    != first
                )

            await until(changed)
            refused = await reader.write_register(0, 1, device_id=1)
            assert (refused.isError(), refused.exception_code) == (True, 1)
            assert (
                await reader.read_holding_registers(500, count=1, device_id=1)
            ).exception_code == 2

    run(main())


def test_rtu_over_tcp_udp_and_tls() -> None:
    async def main() -> None:
        devices = [modbus(f"lathe-{kind}", transport=kind) for kind in ("rtu-tcp", "udp", "tls")]
        async with simulated(*devices) as (_, ready):
            async with client(ready, "lathe-rtu-tcp", framer=FramerType.RTU) as reader:
                assert not (await reader.read_holding_registers(0, count=6, device_id=1)).isError()
            host, port = address(ready, "lathe-udp")
            datagrams = AsyncModbusUdpClient(host, port=port, timeout=1, retries=0)
            await datagrams.connect()
            assert not (await datagrams.read_holding_registers(0, count=6, device_id=1)).isError()
            datagrams.close()
            context = ssl.create_default_context(cafile=ready["certificates"]["lathe-tls"])
            host, port = address(ready, "lathe-tls")
            secure = AsyncModbusTlsClient(host, port=port, sslctx=context, timeout=2, retries=0)
            assert await secure.connect()
            assert not (await secure.read_holding_registers(0, count=6, device_id=1)).isError()
            secure.close()
            await asyncio.sleep(0)

    run(main())


@pytest.mark.parametrize(
    ("transport", "framer"), [("rtu", FramerType.RTU), ("ascii", FramerType.ASCII)]
)
def test_two_units_share_a_serial_line(transport: str, framer: FramerType) -> None:
    async def main() -> None:
        meter = {"power": {"object": "input", "address": 52, "type": "float32", "unit": "W"}}
        devices = [
            modbus("meter-1", transport=transport, bus="line", unit=1, tags=meter),
            modbus("lathe-1", transport=transport, bus="line", unit=2),
        ]
        async with simulated(*devices) as (_, ready):
            assert ready["endpoints"]["meter-1"] == ready["endpoints"]["lathe-1"]
            path = urlsplit(ready["endpoints"]["meter-1"]).path
            reader = AsyncModbusSerialClient(path, framer=framer, timeout=0.5, retries=0)
            assert await reader.connect()
            words = (await reader.read_input_registers(52, count=2, device_id=1)).registers
            (watts,) = struct.unpack(">f", struct.pack(">HH", *words))
            assert watts > 1000
            assert not (await reader.read_holding_registers(0, count=6, device_id=2)).isError()
            with pytest.raises(ModbusException):
                await reader.read_holding_registers(0, count=1, device_id=3)
            reader.close()

    run(main())


def test_mbpoll_reads_a_simulated_device() -> None:
    async def main() -> None:
        async with simulated(modbus()) as (simulation, ready):
            host, port = address(ready)
            argv = [
                tool("mbpoll"),
                "-0",
                "-1",
                "-q",
                "-t",
                "4:int",
                "-B",
                "-r",
                "4",
                "-a",
                "1",
                "-p",
                str(port),
                host,
            ]
            done = await asyncio.to_thread(
                subprocess.run, argv, capture_output=True, text=True, timeout=9
            )
            total = dict(zip(TAGS, simulation.devices["lathe-1"].values(), strict=True))[
                "parts_total"
            ]
            assert f"[4]: \t{total}" in done.stdout, done.stdout + done.stderr

    run(main())


def test_silence_faults_and_their_end() -> None:
    async def main() -> None:
        async with simulated(modbus()) as (simulation, ready):
            for kind in ("timeout", "half_open"):
                async with client(ready) as reader:
                    await fault(simulation, kind)
                    with pytest.raises(ModbusException):
                        await reader.read_holding_registers(0, count=1, device_id=1)
                async with client(
                    ready
                ) as reader:  # a new connection is accepted and not served either
                    with pytest.raises(ModbusException):
                        await reader.read_holding_registers(0, count=1, device_id=1)
                await fault(simulation, "clear")
                async with client(ready) as reader:
                    assert not (
                        await reader.read_holding_registers(0, count=1, device_id=1)
                    ).isError()

    run(main())


def test_exceptions_and_spoiled_values_on_the_wire() -> None:
    async def main() -> None:
        async with simulated(modbus()) as (simulation, ready), client(ready) as reader:

            async def words(first: int, count: int) -> Any:
                return await reader.read_holding_registers(first, count=count, device_id=1)

            await fault(simulation, "slave_timeout")
            assert (await words(0, 1)).exception_code == 0x0B
            await fault(simulation, "clear")
            await fault(simulation, "illegal_address", tags=frozenset({"spindle_speed"}))
            assert (await words(0, 6)).exception_code == 2
            assert not (await words(4, 2)).isError()
            await fault(simulation, "clear")
            await fault(simulation, "nan")
            (value,) = struct.unpack(">f", struct.pack(">HH", *(await words(2, 2)).registers))
            assert math.isnan(value)
            assert (await words(4, 2)).registers == [0xFFFF, 0xFFFF]
            await fault(simulation, "clear")
            total = (await words(4, 2)).registers
            await fault(simulation, "word_swap")
            assert (await words(4, 2)).registers == total[::-1]
            await fault(simulation, "clear")
            await fault(simulation, "counter_reset")
            assert (await words(4, 2)).registers[0] == 0
            await fault(simulation, "rollover")
            assert (await words(4, 2)).registers == [0xFFFF, 0xFFFB]

    run(main())


def test_gbk_names_reach_a_tag_that_was_declared_otherwise() -> None:
    async def main() -> None:
        name = {"program": {**TAGS["program"], "address": 0, "encoding": "utf-8"}}
        async with simulated(modbus(tags=name)) as (simulation, ready), client(ready) as reader:

            async def text() -> bytes:
                answer = await reader.read_holding_registers(0, count=10, device_id=1)
                return b"".join(word.to_bytes(2, "big") for word in answer.registers).rstrip(b"\0")

            expected = str(simulation.devices["lathe-1"].values()[0])
            assert (await text()).decode("utf-8") == expected[: len((await text()).decode())]
            await fault(simulation, "gbk_names")
            assert (await text()).decode("gbk") == expected
            with pytest.raises(UnicodeDecodeError):
                (await text()).decode("utf-8")

    run(main())


def test_dropped_sessions_closed_ports_and_restarts_keep_the_port() -> None:
    async def main() -> None:
        async with simulated(modbus()) as (simulation, ready):
            host, port = address(ready)
            for kind in ("session_drop", "server_restart"):
                reader, writer = await asyncio.open_connection(host, port)
                await fault(simulation, kind)
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await reader.readexactly(1)
                writer.close()
                async with client(ready) as again:
                    assert not (
                        await again.read_holding_registers(0, count=1, device_id=1)
                    ).isError()
            await fault(simulation, "offline")

            async def refused() -> bool:
                try:
                    _, writer = await asyncio.open_connection(host, port)
                except ConnectionRefusedError:
                    return True
                writer.close()
                return False

            await until(refused)
            await fault(simulation, "clear")

            async def open_again() -> bool:
                return not await refused()

            await until(open_again)

    run(main())


def test_a_scheduled_fault_ends_by_itself() -> None:
    async def main() -> None:
        faults = [{"kind": "slave_timeout", "at": 0, "for": 60}]
        async with (
            simulated(modbus(faults=faults), speed=100.0) as (simulation, ready),
            client(ready) as reader,
        ):
            board = simulation.devices["lathe-1"].board
            await until(lambda: board.version > 0)

            async def answered() -> bool:
                return not (await reader.read_holding_registers(0, count=1, device_id=1)).isError()

            await until(answered)
            assert simulation.clock.seconds() >= 60.0

    run(main())


def test_a_taken_port_stops_what_was_started(tmp_path: Path) -> None:
    async def main() -> None:
        async with simulated(modbus()) as (_, ready):
            _, port = address(ready)
            other = Simulation(
                parse(
                    {"devices": [modbus("a"), modbus("b", port=port)], "truth": str(tmp_path / "t")}
                )
            )
            with pytest.raises(OSError, match="address already in use"):
                await other.start()

    run(main())
