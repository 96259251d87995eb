"""Against servers that others wrote: pyModbusTCP with mbpoll as a witness, libmodbus (TCP and a serial line), pymodbus
(UDP, TLS, ASCII)."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import math
import os
import ssl
import subprocess
import tty
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.modbus.framing import crc16
from edge_agent.model import status_name
from edge_agent.sdk import DeviceError
from tests.support.aio import run, until
from tests.support.modbus_wire import (
    CLIENTS,
    SOURCES,
    Device,
    connection,
    die_with_parent,
    encode,
    load,
    make_plan,
    mbap,
    speak,
    tcp_device,
)
from tests.support.servers import free_port, tool, wait_port

HOLDING = [7 * n + 1 for n in range(200)]
LIBMODBUS_TAGS = {
    **{f"h{n}": {"address": f"holding/{n}"} for n in range(0, 200, 3)},
    **{f"i{n}": {"address": f"input/{n}"} for n in range(0, 200, 50)},
    **{f"c{n}": {"address": f"coil/{n}"} for n in range(0, 200, 7)},
    **{f"d{n}": {"address": f"discrete/{n}"} for n in range(0, 200, 11)},
    "wide": {"address": "holding/10", "type": "uint32"},
    "list": {"address": "40001", "count": 5},
}
LIBMODBUS_VALUES = [
    *(HOLDING[n] for n in range(0, 200, 3)),
    *(65535 - n for n in range(0, 200, 50)),
    *(n % 3 == 0 for n in range(0, 200, 7)),
    *(n % 5 == 0 for n in range(0, 200, 11)),
    HOLDING[10] << 16 | HOLDING[11],
    HOLDING[:5],
]


@pytest.fixture(params=CLIENTS)
def client(request, monkeypatch):
    return speak(request.param, monkeypatch)


@pytest.fixture(scope="session")
def libmodbus_server(tmp_path_factory) -> Path:
    program = tmp_path_factory.mktemp("libmodbus") / "server"
    source = SOURCES / "modbus_libmodbus.c"
    subprocess.run(
        [tool("gcc"), "-O1", "-I/usr/include/modbus", "-o", program, source, "-lmodbus"],
        check=True,
        capture_output=True,
    )
    return program


@contextlib.contextmanager
def running(argv, **options):
    """A child process, ended with its pipes closed."""
    process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


async def read_once(plan):
    conn = connection(plan)
    await conn.open()
    try:
        return await conn.read(plan.tables[0])
    finally:
        await conn.close()


# --- pyModbusTCP, and mbpoll reading the same registers ----------------------------------------------------------


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
        [tool("mbpoll"), "-m", "tcp", "-p", str(port), "-a", "1", "-0", "-1", *arguments, "127.0.0.1"],
        capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    return [line.split(":")[1].split("(")[0].strip() for line in done.stdout.splitlines() if line.startswith("[")]


def test_the_same_values_as_mbpoll(pymodbustcp, client):
    port, bank = pymodbustcp
    bank.set_holding_registers(100, [0x8001 + 257 * n for n in range(50)])
    bank.set_input_registers(0, [n * n for n in range(20)])
    bank.set_coils(3, [n % 3 == 0 for n in range(20)])
    bank.set_discrete_inputs(9, [n % 4 == 1 for n in range(20)])
    floats = [1.5, -2.25, 1e6, 3.1415927]
    for n, value in enumerate(floats):
        words = encode(value, "float32", "CDAB")
        bank.set_holding_registers(300 + 2 * n, [int.from_bytes(words[:2], "big"), int.from_bytes(words[2:], "big")])
    tags = {
        "u": {"address": "holding/100", "count": 50},
        "i": {"address": "holding/100", "type": "int32", "word_order": "cdab", "count": 10},
        "f": {"address": "holding/300", "type": "float32", "word_order": "little-swapped", "count": 4},
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
        "int16": -2, "uint16": 65534, "int32": -100_000, "uint32": 4_000_000_000, "int64": -(2**50), "uint64": 2**63,
        "float32": 0.15625, "float64": -1.1e-300, "bcd16": 1234, "bcd32": 87654321, "string": "主轴A",
    }  # fmt: skip
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
    bank.set_holding_registers(0, [int.from_bytes(data[n : n + 2], "big") for n in range(0, len(data), 2)])
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


# --- libmodbus ---------------------------------------------------------------------------------------------------


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
                assert {status_name(code) for code in batch.status.values()} == {"BadConfigurationError"}
            before = conn.requests
            await conn.read(plan.tables[0])
            assert conn.requests - before == 1
            await conn.close()

        run(main())


@contextlib.contextmanager
def serial_pair(folder: Path):
    """Two ends of a serial line, as paths."""
    ours, theirs = folder / "ours", folder / "theirs"
    argv = [tool("socat"), f"pty,raw,echo=0,link={ours}", f"pty,raw,echo=0,link={theirs}"]
    with running(argv) as process:
        wait_for(lambda: ours.exists() and theirs.exists())
        yield ours, theirs, process


def wait_for(condition, timeout: float = 10.0) -> None:
    async def main():
        await until(condition, timeout)

    run(main())


@contextlib.contextmanager
def rtu_server(program: Path, port: Path, unit: int):
    with running([program, "rtu", port, unit], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process


def test_libmodbus_on_a_serial_line(libmodbus_server, tmp_path):
    with serial_pair(tmp_path) as (ours, theirs, _), rtu_server(libmodbus_server, theirs, 7):

        async def main():
            plan = make_plan(f"rtu://{ours}?baudrate=19200&parity=E", LIBMODBUS_TAGS, unit=7)
            conn = connection(plan)
            for _ in range(2):
                await conn.open()
                for _ in range(3):
                    batch = await conn.read(plan.tables[0])
                    assert (batch.values, batch.status) == (LIBMODBUS_VALUES, {})
                await conn.close()

        run(main())


@contextlib.asynccontextmanager
async def serial_device(answer):
    """A device on a pty; `answer(unit, pdu)` gives the bytes to send. Yields the path of our end."""
    master, slave = os.openpty()
    tty.setraw(slave)
    loop = asyncio.get_running_loop()

    def serve() -> None:
        request = os.read(master, 256)
        os.write(master, answer(request[0], request[1:6]))

    loop.add_reader(master, serve)
    try:
        yield os.ttyname(slave)
    finally:
        loop.remove_reader(master)
        os.close(master)
        os.close(slave)


def rtu(unit: int, pdu: bytes) -> bytes:
    body = bytes([unit]) + pdu
    return body + crc16(body).to_bytes(2, "little")


def test_a_silent_unit_on_a_serial_bus_does_not_cost_the_port():
    device = Device({0: 42})

    async def main():
        async with serial_device(lambda unit, pdu: rtu(unit, device.answer(pdu)) if unit == 1 else b"") as path:
            tags = {"h": {"address": "holding/0"}}
            one = make_plan(f"rtu://{path}", tags, "one", unit=1)
            two = make_plan(f"rtu://{path}", tags, "two", unit=2, timeout=0.1)
            conn = connection(one, two)
            await conn.open()
            for _ in range(3):
                with pytest.raises(DeviceError) as caught:
                    await conn.read(two.tables[0])
                assert (status_name(caught.value.status), caught.value.lost) == ("BadTimeout", False)
                assert (await conn.read(one.tables[0])).values == [42]
            with pytest.raises(DeviceError):
                await conn.read(two.tables[0])
            with pytest.raises(DeviceError) as caught:  # the second failure in a row
                await conn.read(two.tables[0])
            assert caught.value.lost
            await conn.close()
            await conn.open()
            assert (await conn.read(one.tables[0])).values == [42]
            await conn.close()

    run(main())


def test_a_late_answer_on_a_serial_bus_is_never_taken_for_the_next_one():
    """Unit 1 answers its first request only when the bus speaks again, with what was right then."""
    held: list[bytes] = []
    truth = iter([1, 2, 3, 4, 5, 6])

    def answer(unit: int, pdu: bytes) -> bytes:
        if unit == 1 and not held:
            held.append(rtu(1, bytes([3, 2, 0xDE, 0xAD])))
            return b""
        late, held[0] = held[0], b""
        return late + rtu(unit, bytes([3, 2, 0, next(truth)]))

    async def main():
        async with serial_device(answer) as path:
            tags = {"h": {"address": "holding/0"}}
            one = make_plan(f"rtu://{path}", tags, "one", unit=1, timeout=0.1)
            two = make_plan(f"rtu://{path}", tags, "two", unit=2)
            conn = connection(one, two)
            await conn.open()
            with pytest.raises(DeviceError):
                await conn.read(one.tables[0])
            assert (await conn.read(two.tables[0])).values == [1]
            assert (await conn.read(one.tables[0])).values == [2]
            await conn.close()

    run(main())


def test_a_hundred_flaps_of_a_port_leave_nothing_behind():
    device = Device({0: 42})

    async def main():
        async with serial_device(lambda unit, pdu: rtu(unit, device.answer(pdu))) as path:
            plan = make_plan(f"rtu://{path}", {"h": {"address": "holding/0"}})
            conn = connection(plan)
            await conn.open()
            await conn.close()
            before = os.listdir("/proc/self/fd")
            for n in range(100):
                await conn.open()
                if n % 2:
                    assert (await conn.read(plan.tables[0])).values == [42]
                await conn.close()
            assert len(os.listdir("/proc/self/fd")) == len(before)

    run(main())


def test_a_cancelled_read_on_a_serial_bus_leaves_nothing_to_be_mistaken():
    asked = []

    def answer(unit: int, pdu: bytes) -> bytes:
        asked.append(unit)
        return b"" if len(asked) == 1 else rtu(unit, bytes([3, 2, 0, 42]))

    async def main():
        async with serial_device(answer) as path:
            plan = make_plan(f"rtu://{path}", {"h": {"address": "holding/0"}}, timeout=0.2)
            conn = connection(plan)
            await conn.open()
            task = asyncio.create_task(conn.read(plan.tables[0]))
            await until(lambda: asked)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await conn.read(plan.tables[0])).values == [42]
            await conn.close()

    run(main())


def test_opening_may_be_cancelled_at_any_step():
    async def main():
        async with serial_device(lambda unit, pdu: b"") as path:
            conn = connection(make_plan(f"rtu://{path}", {"h": {"address": "holding/0"}}))
            before = os.listdir("/proc/self/fd")
            for steps in range(4):
                task = asyncio.create_task(conn.open())
                for _ in range(steps):
                    await asyncio.sleep(0)  # one step of the task: no poll, and nothing to wait for
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await conn.close()
                assert len(os.listdir("/proc/self/fd")) == len(before)

    run(main())


def test_what_was_answered_before_a_bus_failed_stays_good():
    device = Device({0: 7, 900: 9})

    def answer(unit: int, pdu: bytes) -> bytes:
        return b"" if pdu[1:3] == (900).to_bytes(2, "big") else rtu(unit, device.answer(pdu))

    async def main():
        async with serial_device(answer) as path:
            plan = make_plan(
                f"rtu://{path}", {"a": {"address": "holding/0"}, "b": {"address": "holding/900"}}, timeout=0.1
            )
            conn = connection(plan)
            await conn.open()
            batch = await conn.read(plan.tables[0])
            assert batch.values == [7, None]
            assert {n: status_name(c) for n, c in batch.status.items()} == {1: "BadTimeout"}
            await conn.close()

    run(main())


def test_noise_on_a_serial_line(libmodbus_server, tmp_path):
    with serial_pair(tmp_path) as (ours, theirs, _), rtu_server(libmodbus_server, theirs, 7):

        async def main():
            plan = make_plan(f"rtu://{ours}", LIBMODBUS_TAGS, unit=7, timeout=0.3)
            conn = connection(plan)
            await conn.open()
            good = 0
            with theirs.open("wb", buffering=0) as line:
                for n in range(12):
                    line.write(bytes([0xFF, n, 7, 3, 0]) if n < 6 else b"")
                    try:
                        batch = await conn.read(plan.tables[0])
                    except DeviceError as error:
                        if error.lost:
                            await conn.close()
                            await conn.open()
                        continue
                    assert all(v == t for v, t in zip(batch.values, LIBMODBUS_VALUES, strict=True) if v is not None)
                    good += not batch.status
            assert good >= 4
            await conn.close()

        run(main())


def test_a_serial_line_unplugged_and_plugged_in_again(libmodbus_server, tmp_path):
    async def broken(conn, plan):
        with pytest.raises(DeviceError) as caught:
            await conn.read(plan.tables[0])
        assert caught.value.lost

    async def main():
        plan = make_plan(f"rtu://{tmp_path}/ours", {"h": {"address": "holding/3"}}, unit=7, timeout=1)
        conn = connection(plan)
        for _ in range(2):
            async with contextlib.AsyncExitStack() as stack:
                # Started apart, for the waiters in these helpers run loops of their own.
                entered = await asyncio.to_thread(stack.enter_context, serial_pair(tmp_path))
                await asyncio.to_thread(stack.enter_context, rtu_server(libmodbus_server, entered[1], 7))
                await conn.open()
                assert (await conn.read(plan.tables[0])).values == [HOLDING[3]]
                entered[2].kill()
                entered[2].wait()
                await broken(conn, plan)
                await conn.close()
        with pytest.raises(DeviceError):
            await conn.open()
        await conn.close()

    run(main())


# --- pymodbus ----------------------------------------------------------------------------------------------------


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plc")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


PYMODBUS_TAGS = {f"h{n}": {"address": f"holding/{n}"} for n in range(0, 150, 2)}
PYMODBUS_VALUES = [3 * n for n in range(0, 150, 2)]


@contextlib.asynccontextmanager
async def pymodbus_server(kind: str, **options):
    from pymodbus import server as servers
    from pymodbus.simulator import DataType, SimData, SimDevice

    device = SimDevice(1, [SimData(0, values=[3 * n for n in range(150)], datatype=DataType.REGISTERS)])
    made = getattr(servers, f"Modbus{kind}Server")(device, **options)
    await made.listen()
    try:
        yield
    finally:
        await made.shutdown()


def test_pymodbus_over_udp():
    port = free_port()

    async def main():
        async with pymodbus_server("Udp", address=("127.0.0.1", port)):
            batch = await read_once(make_plan(f"udp://127.0.0.1:{port}", PYMODBUS_TAGS, timeout=5))
            assert (batch.values, batch.status) == (PYMODBUS_VALUES, {})

    run(main())


def test_a_lost_datagram_does_not_cost_the_association():
    """A UDP device that drops one request and answers the next ones, the dropped one late and in between."""

    class Lossy(asyncio.DatagramProtocol):
        dropped: bytes = b""

        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, addr):
            if not self.dropped:
                self.dropped = data
                return
            for request, value in ((self.dropped, b"\xde\xad"), (data, b"\x00\x2a")):
                self.transport.sendto(request[:4] + b"\0\5" + request[6:8] + b"\2" + value, addr)

    async def main():
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Lossy, ("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        plan = make_plan(f"udp://127.0.0.1:{port}", {"h": {"address": "holding/0"}}, timeout=0.1)
        conn = connection(plan)
        await conn.open()
        with pytest.raises(DeviceError) as caught:
            await conn.read(plan.tables[0])
        assert not caught.value.lost
        assert (await conn.read(plan.tables[0])).values == [42]
        await conn.close()
        transport.close()

    run(main())


def test_pymodbus_over_tls(tmp_path):
    context, cert, _ = tls_server(tmp_path)
    port = free_port()

    async def main():
        async with pymodbus_server("Tls", address=("127.0.0.1", port), sslctx=context):
            url = f"tls://127.0.0.1:{port}"
            batch = await read_once(make_plan(url, PYMODBUS_TAGS, timeout=5, ca=cert))
            assert (batch.values, batch.status) == (PYMODBUS_VALUES, {})
            with pytest.raises(DeviceError, match="certificate verify failed") as caught:
                await read_once(make_plan(url, PYMODBUS_TAGS, timeout=5))
            assert caught.value.lost

    run(main())


def tls_server(folder: Path) -> tuple[ssl.SSLContext, Path, Path]:
    """A server's context, its certificate and its key."""
    cert, key = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert, key


def test_a_tls_device_that_wants_to_know_its_clients(tmp_path):
    (tmp_path / "plc").mkdir()
    (tmp_path / "us").mkdir()
    (tmp_path / "stranger").mkdir()
    context, ca, _ = tls_server(tmp_path / "plc")
    cert, key = certificate(tmp_path / "us")
    other_cert, other_key = certificate(tmp_path / "stranger")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cert)
    port = free_port()

    async def main():
        async with pymodbus_server("Tls", address=("127.0.0.1", port), sslctx=context):
            url = f"tls://127.0.0.1:{port}"
            plan = make_plan(url, PYMODBUS_TAGS, timeout=5, ca=ca, cert=cert, key=key)
            assert (await read_once(plan)).values == PYMODBUS_VALUES
            for files in ({}, {"cert": other_cert, "key": other_key}):
                with pytest.raises(DeviceError) as caught:
                    await read_once(make_plan(url, PYMODBUS_TAGS, timeout=5, ca=ca, **files))
                assert caught.value.lost

    run(main())


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"ca": "nowhere.pem"}, "No such file"),
        ({"cert": "cert.pem", "key": "locked.pem"}, "has a password"),
        ({"ca": "key.pem"}, "certificate"),
    ],
)
def test_tls_files_that_cannot_be_used_are_a_sentence(tmp_path, files, says):
    _, key = certificate(tmp_path)
    locked = serialization.load_pem_private_key(key.read_bytes(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hunter2"),
    )
    (tmp_path / "locked.pem").write_bytes(locked)

    async def main():
        options = {name: tmp_path / file for name, file in files.items()}
        with pytest.raises(DeviceError, match=says) as caught:
            await read_once(make_plan("tls://127.0.0.1:1", PYMODBUS_TAGS, **options))
        assert caught.value.lost

    run(main())


def test_a_tls_answer_in_pieces_is_one_answer(tmp_path):
    context, ca, _ = tls_server(tmp_path)
    device = Device({n: 3 * n for n in range(150)})

    async def pieces(writer, tid, unit, pdu):
        answer = mbap(tid, unit, device.answer(pdu))
        for piece in (answer[:9], answer[9:100], answer[100:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)  # lets each piece arrive alone: the poll interval of a slow gateway

    async def main():
        async with tcp_device(pieces, context) as url:
            batch = await read_once(make_plan(url, PYMODBUS_TAGS, timeout=5, ca=ca))
            assert (batch.values, batch.status) == (PYMODBUS_VALUES, {})

    run(main())


def test_pymodbus_ascii_on_a_serial_line(tmp_path):
    from pymodbus import FramerType

    with serial_pair(tmp_path) as (ours, theirs, _):

        async def main():
            async with pymodbus_server("Serial", framer=FramerType.ASCII, port=str(theirs), baudrate=19200):
                url = f"ascii://{ours}?baudrate=19200&bytesize=8&parity=N"
                batch = await read_once(make_plan(url, PYMODBUS_TAGS, timeout=5))
                assert (batch.values, batch.status) == (PYMODBUS_VALUES, {})

        run(main())


def test_a_port_in_use_is_said_so(tmp_path):
    with serial_pair(tmp_path) as (ours, _, _):

        async def main():
            first = connection(make_plan(f"rtu://{ours}", PYMODBUS_TAGS))
            second = connection(make_plan(f"rtu://{ours}?baudrate=9600", PYMODBUS_TAGS))
            await first.open()
            with pytest.raises(DeviceError, match="lock"):
                await second.open()
            await first.close()
            await second.open()
            await second.close()

        run(main())
