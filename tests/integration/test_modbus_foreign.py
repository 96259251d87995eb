"""Over TCP against servers that others wrote: pyModbusTCP with mbpoll as a witness, and
libmodbus."""

from __future__ import annotations

import math
import subprocess

import pytest

from edge_agent.model import status_name
from tests.support.aio import run
from tests.support.modbus_foreign import (
    HOLDING,
    LIBMODBUS_TAGS,
    LIBMODBUS_VALUES,
    read_once,
    running,
)
from tests.support.modbus_wire import (
    CLIENTS,
    Device,
    connection,
    encode,
    load,
    make_plan,
    speak,
)
from tests.support.servers import free_port, tool, wait_port


@pytest.fixture(params=CLIENTS)
def client(request, monkeypatch):
    return speak(request.param, monkeypatch)


@pytest.fixture
def pymodbustcp():
    from pyModbusTCP.server import DataBank, ModbusServer

    bank = DataBank()
    server = ModbusServer("127.0.0.1", free_port(), no_block=True, data_bank=bank)
    server.start()
    yield server.port, bank
    server.stop()


def mbpoll(port: int, *arguments: str) -> list[str]:
    """The values mbpoll prints, `[address]: value` a line."""
    done = subprocess.run(
        [
            tool("mbpoll"),
            "-m",
            "tcp",
            "-p",
            str(port),
            "-a",
            "1",
            "-0",
            "-1",
            *arguments,
            "127.0.0.1",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return [
        line.split(":")[1].split("(")[0].strip()
        for line in done.stdout.splitlines()
        if line.startswith("[")
    ]


def test_the_same_values_as_mbpoll(pymodbustcp, client):
    port, bank = pymodbustcp
    bank.set_holding_registers(100, [0x8001 + 257 * n for n in range(50)])
    bank.set_input_registers(0, [n * n for n in range(20)])
    bank.set_coils(3, [n % 3 == 0 for n in range(20)])
    bank.set_discrete_inputs(9, [n % 4 == 1 for n in range(20)])
    floats = [1.5, -2.25, 1e6, 3.1415927]
    for n, value in enumerate(floats):
        words = encode(value, "float32", "CDAB")
        bank.set_holding_registers(
            300 + 2 * n, [int.from_bytes(words[:2], "big"), int.from_bytes(words[2:], "big")]
        )
    tags = {
        "u": {"address": "holding/100", "count": 50},
        "i": {"address": "holding/100", "type": "int32", "word_order": "cdab", "count": 10},
        "f": {
            "address": "holding/300",
            "type": "float32",
            "word_order": "little-swapped",
            "count": 4,
        },
        "in": {"address": "30001", "count": 20},
        "co": {"address": "coil/3", "count": 20},
        "di": {"address": "discrete/9", "count": 20},
    }
    batch = run(read_once(make_plan(f"tcp://127.0.0.1:{port}", tags)))
    assert batch.status == {}
    got = dict(zip(tags, batch.values, strict=True))
    assert got["u"] == [int(v) for v in mbpoll(port, "-t", "4", "-r", "100", "-c", "50")]
    assert got["i"] == [int(v) for v in mbpoll(port, "-t", "4:int", "-r", "100", "-c", "10")]
    theirs = [float(v) for v in mbpoll(port, "-t", "4:float", "-r", "300", "-c", "4")]
    assert all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(got["f"], theirs, strict=True))
    assert got["in"] == [int(v) for v in mbpoll(port, "-t", "3", "-r", "0", "-c", "20")]
    assert got["co"] == [v == "1" for v in mbpoll(port, "-t", "0", "-r", "3", "-c", "20")]
    assert got["di"] == [v == "1" for v in mbpoll(port, "-t", "1", "-r", "9", "-c", "20")]


@pytest.mark.parametrize("order", ["ABCD", "DCBA", "BADC", "CDAB"])
def test_every_type_in_every_order_over_the_wire(pymodbustcp, order):
    port, bank = pymodbustcp
    values = {
        "int16": -2,
        "uint16": 65534,
        "int32": -100_000,
        "uint32": 4_000_000_000,
        "int64": -(2**50),
        "uint64": 2**63,
        "float32": 0.15625,
        "float64": -1.1e-300,
        "bcd16": 1234,
        "bcd32": 87654321,
        "string": "主轴A",
    }
    device, tags, address = Device(), {}, 0
    for type_, value in values.items():
        more = {"length": 8, "encoding": "gbk"} if type_ == "string" else {}
        wire = encode(value, type_, order, **more)
        load(device, address, wire)
        tags[type_] = {"address": f"holding/{address}", "type": type_, "word_order": order, **more}
        address += len(wire) // 2
    bank.set_holding_registers(0, [device.registers[n] for n in range(address)])
    batch = run(read_once(make_plan(f"tcp://127.0.0.1:{port}", tags)))
    assert dict(zip(tags, batch.values, strict=True)) == values


def test_one_thousand_floats_pipelined(pymodbustcp, client):
    port, bank = pymodbustcp
    values = [n / 4 for n in range(1000)]
    data = b"".join(encode(v, "float32") for v in values)
    bank.set_holding_registers(
        0, [int.from_bytes(data[n : n + 2], "big") for n in range(0, len(data), 2)]
    )
    tags = {f"f{n}": {"address": f"holding/{2 * n}", "type": "float32"} for n in range(1000)}

    async def main():
        plan = make_plan(f"tcp://127.0.0.1:{port}", tags, pipeline=8)
        conn = connection(plan)
        await conn.open()
        for _ in range(3):
            assert (await conn.read(plan.tables[0])).values == values
        assert conn.requests == 3 * 17
        await conn.close()

    run(main())


def test_libmodbus_over_tcp(libmodbus_server, tmp_path, client):
    port = free_port()
    log = tmp_path / "log"
    log.touch()
    with running([libmodbus_server, "tcp", port]) as process:
        wait_port(port, process, log)
        batch = run(read_once(make_plan(f"tcp://127.0.0.1:{port}", LIBMODBUS_TAGS, unit=9)))
    assert (batch.values, batch.status) == (LIBMODBUS_VALUES, {})


def test_what_libmodbus_does_not_have_is_found_by_bisection(libmodbus_server, tmp_path, client):
    port = free_port()
    log = tmp_path / "log"
    log.touch()
    tags = {f"h{n}": {"address": f"holding/{n}"} for n in range(190, 210)}
    with running([libmodbus_server, "tcp", port]) as process:
        wait_port(port, process, log)

        async def main():
            plan = make_plan(f"tcp://127.0.0.1:{port}", tags)
            conn = connection(plan)
            await conn.open()
            for _ in range(3):
                batch = await conn.read(plan.tables[0])
                assert batch.values == [*HOLDING[190:], *[None] * 10]
                assert {status_name(code) for code in batch.status.values()} == {
                    "BadConfigurationError"
                }
            before = conn.requests
            await conn.read(plan.tables[0])
            assert conn.requests - before == 1
            await conn.close()

        run(main())
