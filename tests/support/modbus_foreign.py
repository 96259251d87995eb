"""What tests against Modbus programs of others share: libmodbus' server and what it holds,
children, a serial line."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.aio import run, until
from tests.support.modbus_wire import (
    SOURCES,
    connection,
    die_with_parent,
)
from tests.support.opcua_foreign import PACKAGES, node_packages_ready
from tests.support.servers import Server, free_port, serving, tool

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


def libmodbus_program(folder: Path) -> Path:
    """Their library as a server, compiled into this folder."""
    program = folder / "server"
    source = SOURCES / "modbus_libmodbus.c"
    subprocess.run(
        [tool("gcc"), "-O1", "-I/usr/include/modbus", "-o", program, source, "-lmodbus"],
        check=True,
        capture_output=True,
    )
    return program


@contextlib.contextmanager
def modbus_serial(folder: Path) -> Iterator[Server]:
    """The server of npm's modbus-serial: unit 1 with 200 holding and input registers."""
    node_packages_ready()
    port = free_port()
    argv = [tool("node"), SOURCES / "modbus_node.cjs", str(port)]
    with serving(argv, port, folder / "modbus-serial.log", {"NODE_PATH": str(PACKAGES)}) as server:
        yield server


@contextlib.contextmanager
def running(argv, **options):
    """A child process, ended with its pipes closed."""
    process = subprocess.Popen(
        [str(a) for a in argv], stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, **options
    )
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


PYMODBUS_TAGS = {f"h{n}": {"address": f"holding/{n}"} for n in range(0, 150, 2)}
PYMODBUS_VALUES = [3 * n for n in range(0, 150, 2)]


@contextlib.asynccontextmanager
async def pymodbus_server(kind: str, **options):
    """Their server of a kind: Udp, Serial."""
    from pymodbus import server as servers
    from pymodbus.simulator import DataType, SimData, SimDevice

    device = SimDevice(
        1, [SimData(0, values=[3 * n for n in range(150)], datatype=DataType.REGISTERS)]
    )
    made = getattr(servers, f"Modbus{kind}Server")(device, **options)
    await made.listen()
    try:
        yield
    finally:
        await made.shutdown()


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
