"""`./run bench crowds [KIND ...] [--devices N] [--seconds S] [--wait S]`: what devices cost that do
not answer.

`refusing`: nothing listens there. `silent`: a server accepts each connection and never answers.
`units`: silent units behind servers that answer nobody, 31 on each connection. `opcua`: as
refusing, over OPC UA. `opcua-silent`: as silent. `mixed`: refusing devices beside twenty that are
read each second, whose values are counted.

CPU is the time that the agent's process got from the processor, not the time that passed, so other
work on the machine does not count. Memory is looked at when the wait is over and at the end. A
broker takes what the agent says.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks import results, rig
from edge_agent.app.status.ask import ask_agent
from edge_agent.config import load
from edge_agent.errors import FindingsError

KINDS: Final = ("refusing", "silent", "units", "opcua", "opcua-silent", "mixed")
DEVICES: Final = 1000
LIVE: Final = 20
BOUND_PERCENT: Final = 3.0
"""Of one core, for a thousand dead devices."""

_HEAD: Final = """\
| 设备 Devices | 台数 Count | CPU, % | 内存 RSS, MB | 描述符 Fds \
| 日志 Log, B/min | 启动 Start, s | 停止 Stop, s |
|---|---|---|---|---|---|---|---|"""
_ADDRESSES: Final = 250
_UNITS: Final = 31
_START_LIMIT_S: Final = 300.0


@dataclass(frozen=True)
class CrowdFigure:
    """What one run of one crowd gave."""

    kind: str
    devices: int
    core_percent: float
    rss_mb: tuple[float, float]
    """At the interval's beginning and end."""
    descriptors: int
    log_bytes_per_min: float
    start_s: float
    """Until every dead device had been found dead."""
    stop_s: float
    exit_status: int
    live_values_per_s: float | None
    """Of the devices that are read beside them."""


def devices(kind: str, count: int, port: int, live: int) -> list[dict[str, Any]]:
    """The devices of a configuration; each address of 127/8 is a host of its own."""
    made = [_device(kind, number, port) for number in range(count)]
    if kind == "mixed":
        tags = {"x": {"address": "holding/1", "type": "uint16"}}
        url = f"tcp://127.0.0.1:{live}"
        made += [
            {"id": f"live-{n}", "connector": "modbus", "url": url, "unit": n + 1, "tags": tags}
            for n in range(LIVE)
        ]
    return made


def _host(number: int) -> str:
    return f"127.1.{number // _ADDRESSES}.{number % _ADDRESSES + 1}"


def _device(kind: str, number: int, port: int) -> dict[str, Any]:
    host = _host(number // _UNITS if kind == "units" else number)
    if kind.startswith("opcua"):
        where: dict[str, Any] = {"connector": "opcua", "endpoint": f"opc.tcp://{host}:{port}"}
        return {
            "id": f"dead-{number}",
            **where,
            "tags": {"x": {"node": "ns=2;s=x", "type": "Double"}},
        }
    where = {"connector": "modbus", "url": f"tcp://{host}:{port}", "unit": number % _UNITS + 1}
    return {
        "id": f"dead-{number}",
        **where,
        "tags": {"x": {"address": "holding/1", "type": "uint16"}},
    }


def run_once(kind: str, count: int, wait: float, seconds: float) -> CrowdFigure:
    """One run: fresh processes, fresh outbox."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        broker = stack.enter_context(rig.broker(folder))
        port, live = rig.free_port(), rig.free_port()
        if kind in ("silent", "units", "opcua-silent"):
            hosts = -(-count // _UNITS) if kind == "units" else count
            stack.enter_context(_served("silent", port, _host(0), hosts))
        if kind == "mixed":
            stack.enter_context(_served("answering", live, "127.0.0.1", 1))
        config = folder / "crowd.yaml"
        site = {
            "agent": {"id": "crowd", "enterprise": "e", "site": "s", "area": "a"},
            "mqtt": {"url": f"mqtt://127.0.0.1:{broker}"},
            "outbox": {"path": str(folder / "outbox")},
            "devices": devices(kind, count, port, live),
        }
        config.write_text(yaml.safe_dump(site))
        with (folder / "log").open("w") as log:
            argv = rig.module("edge_agent", "run", config)
            agent = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=log)
            try:
                return _measured(agent, kind, count, config, wait, seconds)
            finally:
                if agent.poll() is None:
                    agent.kill()
                    agent.wait()


def _measured(
    agent: subprocess.Popen[bytes], kind: str, count: int, config: Path, wait: float, seconds: float
) -> CrowdFigure:
    log, site = config.with_name("log"), load(config)
    began = time.monotonic()
    _until_offline(agent, site, count)
    started = time.monotonic() - began
    time.sleep(wait)
    values, size, memory = _live_values(site), log.stat().st_size, rig.rss_mb(agent.pid)
    cpu, since = rig.cpu_seconds(agent.pid), time.monotonic()
    time.sleep(seconds)
    cpu, took = rig.cpu_seconds(agent.pid) - cpu, time.monotonic() - since
    written, memory_after = log.stat().st_size - size, rig.rss_mb(agent.pid)
    values = _live_values(site) - values
    descriptors = len(list(Path(f"/proc/{agent.pid}/fd").iterdir()))
    stopping = time.monotonic()
    agent.terminate()
    status = agent.wait(60)
    return CrowdFigure(
        kind,
        count,
        100 * cpu / took,
        (memory, memory_after),
        descriptors,
        60 * written / took,
        started,
        time.monotonic() - stopping,
        status,
        values / took if kind == "mixed" else None,
    )


def _until_offline(agent: subprocess.Popen[bytes], site: Any, count: int) -> None:
    end = time.monotonic() + _START_LIMIT_S
    while True:
        if agent.poll() is not None:
            raise RuntimeError(f"the agent ended with {agent.returncode}")
        if sum(row["state"] == "offline" for row in _rows(site)) >= count:
            return
        if time.monotonic() > end:
            raise RuntimeError("not every dead device was found dead")
        time.sleep(1.0)


def _rows(site: Any) -> list[dict[str, Any]]:
    try:
        found = ask_agent(site)
    except (FindingsError, ConnectionError):
        return []
    return [] if found is None else list(found["devices"])


def _live_values(site: Any) -> float:
    return float(sum(row["totals"]["good"] for row in _rows(site) if row["id"].startswith("live-")))


# --- the servers ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _served(kind: str, port: int, first: str, hosts: int) -> Iterator[None]:
    """A process that listens at a port of so many addresses; `first`: one of them."""
    with rig.process(
        rig.module("benchmarks.crowds", "--serve", kind, port, hosts), stderr=subprocess.DEVNULL
    ):
        rig.wait_port(port, first)
        yield


async def _serve(kind: str, port: int, hosts: int) -> None:
    where = ["127.0.0.1"] if kind == "answering" else [_host(number) for number in range(hosts)]
    server = await asyncio.start_server(_silent if kind == "silent" else _answering, where, port)
    async with server:
        # Until whoever started it is done.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(4096):
            continue
    writer.close()


async def _answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Registers that are all 0."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            request = await reader.readexactly(12)
            size = 2 * request[11]
            writer.write(
                request[:4] + bytes((0, 3 + size)) + request[6:8] + bytes((size,)) + bytes(size)
            )
    writer.close()


# --- the table ------------------------------------------------------------------------------------


def row(figure: CrowdFigure) -> str:
    """One line of the table."""
    live = (
        ""
        if figure.live_values_per_s is None
        else f" + {LIVE} ({figure.live_values_per_s:.1f} values/s)"
    )
    before, after = figure.rss_mb
    return (
        f"| {figure.kind} | {figure.devices:,}{live} | {figure.core_percent:.2f} | {before:.0f} "
        f"→ {after:.0f} "
        f"| {figure.descriptors} | {figure.log_bytes_per_min:.0f} | {figure.start_s:.0f} "
        f"| {figure.stop_s:.1f}{'' if figure.exit_status == 0 else f', rc {figure.exit_status}'} |"
    )


def main(arguments: list[str]) -> None:
    """Run the crowds asked for, print a Markdown table. Exit status 1 when a thousand dead devices
    cost too much."""
    parser = argparse.ArgumentParser(
        prog="./run bench crowds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", nargs="*", help=f"default all: {' '.join(KINDS)}")
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long is measured")
    parser.add_argument(
        "--wait",
        type=float,
        default=20.0,
        help="between the last device found dead and the measuring",
    )
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if args.serve:
        asyncio.run(_serve(args.serve[0], int(args.serve[1]), int(args.serve[2])))
        return
    if unknown := sorted(set(args.kind) - set(KINDS)):
        parser.error(f"没有这一种 / no such kind: {' '.join(unknown)}")
    print(f"{results.machine()}; {args.seconds:.0f} s\n{_HEAD}", flush=True)
    dear = False
    for kind in args.kind or KINDS:
        figure = run_once(kind, args.devices, args.wait, args.seconds)
        print(row(figure), flush=True)
        results.save("crowds", {f"{kind} {args.devices}": asdict(figure)}, seconds=args.seconds)
        dear = dear or figure.core_percent > BOUND_PERCENT * max(1.0, args.devices / DEVICES)
    sys.exit(1 if dear else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
