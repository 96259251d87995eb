"""The real programs of one site: simulated PLCs, broker, agent with its witness, store service; and
how to end them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edge_agent.control.client import ask, socket_path
from edge_agent.errors import FindingsError
from faults.audit import Witness
from tests.support.servers import Server, free_port, mosquitto

_WINDOWED = ("gaps", "transitions", "health")
ROOT = Path(__file__).resolve().parent.parent


def module(name: str, *arguments: object) -> list[str]:
    """The command line of a Python module."""
    return [sys.executable, "-m", name, *map(str, arguments)]


class RigProcess:
    """A process with a log, ended by its own handle."""

    def __init__(
        self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None, **pipes: Any
    ) -> None:
        self.log = log
        self.started = time.monotonic()
        with log.open("ab") as out:
            self._start = out.tell()
            options: dict[str, Any] = {
                "stdin": subprocess.DEVNULL,
                "stdout": out,
                "stderr": out,
            } | pipes
            given = {**os.environ, "EDGE_AGENT_LOG_ALL": "1", **(env or {})}  # rows count lines
            self.process = subprocess.Popen(argv, cwd=ROOT, env=given, **options)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        """Its log since its start."""
        with self.log.open("rb") as file:
            file.seek(self._start)
            return file.read().decode(errors="replace")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        """SIGSTOP, and wait until it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: _state(self.pid) in "TZ", 5, "the process to stop")

    def go_on(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self, limit: float = 20.0) -> float:
        """SIGTERM; returns the seconds until its end."""
        begin = time.monotonic()
        if self.alive:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(limit)
            except subprocess.TimeoutExpired:
                self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return time.monotonic() - begin

    def rss_kb(self) -> int:
        """Resident memory now."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    def fds(self) -> int:
        """Open file descriptors now."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_for(
    condition: Callable[[], object], limit: float, what: str, interval: float = 0.02
) -> float:
    """Poll until true; returns the seconds that took. AssertionError after `limit`."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > limit:
            raise AssertionError(f"not within {limit:g} s: {what}")
        time.sleep(interval)  # poll interval of this waiter
    return time.monotonic() - begin


def _answers(door: Path, op: str) -> Any:
    try:
        return ask(door, op, **({"from_ns": -(2**62), "to_ns": 2**62} if op in _WINDOWED else {}))
    except (ConnectionError, FindingsError, OSError, ValueError):
        return None


@dataclass
class RigSite:
    """One site in `folder`. Processes are started by their methods and all ended when the block
    ends."""

    folder: Path
    broker_port: int
    devices: list[dict[str, Any]]
    outbox: Path
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    children: list[RigProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.witness = Witness(self.folder / "witness.log")
        self.database = self.folder / "store.duckdb"

    def config(self) -> Path:
        """The file as it is to be now."""
        site: dict[str, dict[str, Any]] = {
            "agent": {"id": "ipc-01", "health": "1s"},
            "mqtt": {
                "url": f"mqtt://127.0.0.1:{self.broker_port}",
                "confirm": "store",
                "keepalive": 2,
            },
            "outbox": {"path": str(self.outbox)},
            "store": {"path": str(self.database), "quarantine": str(self.folder / "quarantine")},
        }
        for section, keys in self.changes.items():
            site[section] = {**site.get(section, {}), **keys}
        path = self.folder / "site.yaml"
        path.write_text(
            yaml.safe_dump({**site, "devices": self.devices}, sort_keys=False), encoding="utf-8"
        )
        return path

    def start(
        self, argv: Sequence[str], log: str, env: Mapping[str, str] | None = None, **pipes: Any
    ) -> RigProcess:
        """Any other program of this site."""
        child = RigProcess(argv, self.folder / log, env, **pipes)
        self.children.append(child)
        return child

    def agent(self, env: Mapping[str, str] | None = None) -> RigProcess:
        """Start the agent; returns at once."""
        argv = module("faults.witness", self.witness.path, "run", self.config())
        return self.start(argv, "agent.log", env)

    def agent_up(self, env: Mapping[str, str] | None = None) -> RigProcess:
        """Start the agent; returns when its outbox has accepted something."""
        before = self.witness.size()
        agent = self.agent(env)
        wait_for(
            lambda: self.witness.size() > before or not agent.alive, 60, "the agent's first reading"
        )
        assert agent.alive, agent.said()[-2000:]
        return agent

    def service(self, env: Mapping[str, str] | None = None) -> RigProcess:
        """Start the store service; returns at once."""
        return self.start(module("edge_agent", "serve", self.config()), "serve.log", env)

    def service_up(self, env: Mapping[str, str] | None = None) -> RigProcess:
        """Start the store service; returns when it has its broker."""
        service = self.service(env)
        wait_for(
            lambda: "broker-connected" in service.said() or not service.alive,
            60,
            "the service to be connected",
        )
        assert service.alive, service.said()[-2000:]
        return service

    def more_notes(self, count: int, limit: float) -> None:
        """Wait until the outbox has accepted so many entries more."""
        before = self.witness.size()
        wait_for(lambda: self.witness.size() >= before + count, limit, f"{count} more readings")

    def ask(self, op: str) -> Any:
        """What the running service answers; None when there is none."""
        return _answers(socket_path(self.database), op)

    def settle(self, limit: float = 90.0) -> bool:
        """Wait until the service says that it has all that was accepted up to now; False after
        `limit` seconds."""
        now = time.monotonic()
        try:
            wait_for(lambda: not self.missing(now), limit, "everything in the store", 0.1)
        except AssertionError:
            return False
        return True

    def missing(self, before: float) -> int:
        """How many entries accepted before this moment (monotonic seconds) the service does not
        have."""
        return self.witness.missing(self.ask("marks") or {}, self._gaps(), before)

    def _gaps(self) -> dict[str, list[tuple[int, int]]]:
        told: dict[str, list[tuple[int, int]]] = {}
        for gap in self.ask("gaps") or ():
            told.setdefault(gap["stream"], []).append((gap["from_seq"], gap["to_seq"]))
        return told

    def finish(self, agent: RigProcess, service: RigProcess, limit: float = 90.0) -> None:
        """The orderly end: what is accepted arrives, then agent and service are stopped."""
        wait_for(lambda: self.ask("marks") is not None, 60, "the service's answer")
        self.settle(limit)
        agent.stop()
        self.settle(15)
        service.stop()

    def __enter__(self) -> RigSite:
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self.children):
            child.stop()


def plc_device(
    number: int, port: int, every: str = "50ms", tags: int = 5, **keys: Any
) -> dict[str, Any]:
    """A Modbus device as the configuration names it."""
    return {
        "id": f"plc-{number:02}",
        "line": "L1",
        "connector": "modbus",
        "url": f"tcp://127.0.0.1:{port}",
        "every": every,
        "timeout": "500ms",
        "tags": {f"v{i}": {"address": f"holding/{2 * i}", "type": "float32"} for i in range(tags)},
        **keys,
    }


@contextlib.contextmanager
def plcs(folder: Path, count: int) -> Iterator[tuple[RigProcess, list[int]]]:
    """Simulated PLCs in one process: every register changes with every read."""
    child = RigProcess(
        module("benchmarks.plc", count, 0),
        folder / "plc.log",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.process.stdout is not None
        yield child, [int(port) for port in child.process.stdout.readline().split()]
    finally:
        child.stop()


@contextlib.contextmanager
def plant(
    folder: Path,
    *,
    devices: int = 2,
    every: str = "50ms",
    outbox: Path | None = None,
    **changes: dict[str, Any],
) -> Iterator[tuple[RigSite, Server]]:
    """PLCs, mosquitto, and a site that reads them; agent and service are still to be started."""
    with contextlib.ExitStack() as stack:
        _, ports = stack.enter_context(plcs(folder, devices))
        broker = stack.enter_context(mosquitto(folder / "broker"))
        listed = [plc_device(n, port, every) for n, port in enumerate(ports)]
        yield (
            stack.enter_context(
                RigSite(folder, broker.port, listed, outbox or folder / "outbox", changes)
            ),
            broker,
        )


def restarted(broker: Server, folder: Path) -> contextlib.AbstractContextManager[Server]:
    """The same broker again: same port, same files."""
    return mosquitto(folder / "broker", broker.port)


__all__ = [
    "RigProcess",
    "RigSite",
    "free_port",
    "module",
    "plant",
    "plc_device",
    "plcs",
    "restarted",
    "wait_for",
]
