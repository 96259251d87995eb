"""Broker, devices, witness and the agent, each a process of its own; and what the agent's process cost."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextlib.contextmanager
def process(argv: Sequence[str], **options: object) -> Iterator[subprocess.Popen[str]]:
    """A child with pipes, ended by closing its stdin and SIGTERM."""
    child: subprocess.Popen[str] = subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    try:
        yield child
    finally:
        with contextlib.suppress(OSError):
            assert child.stdin is not None
            child.stdin.close()
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def module(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", name, *map(str, arguments)]


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[tuple[str, int]]:
    """mosquitto where it is installed, else the nats-server of the wheel: (name, port)."""
    port = free_port()
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found:
        conf = folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        conf.write_text(
            f"{user}listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 1000\nlog_type none\n"
        )
        argv, name = [found, "-c", str(conf)], "mosquitto"
    else:
        conf = folder / "nats.conf"
        conf.write_text(
            f'server_name: bench\nlisten: "127.0.0.1:{free_port()}"\njetstream {{ store_dir: "{folder}/js" }}\n'
            f'mqtt {{ listen: "127.0.0.1:{port}", max_ack_pending: 10000 }}\n'
        )
        argv, name = [str(Path(sys.executable).parent / "nats-server"), "-c", str(conf)], "nats-server"
    with process(argv, stderr=subprocess.DEVNULL):
        wait_port(port)
        yield name, port


def wait_port(port: int, timeout: float = 20.0) -> None:
    end = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return
        if time.monotonic() > end:
            raise TimeoutError(f"nothing listens on {port}")
        time.sleep(0.02)


@dataclass
class Witness:
    """The counting subscriber."""

    child: subprocess.Popen[str]

    def totals(self) -> dict[str, float]:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write("totals\n")
        self.child.stdin.flush()
        answer: dict[str, float] = json.loads(self.child.stdout.readline())
        return answer


@dataclass(frozen=True)
class Figure:
    """What one run of one shape gave."""

    values_per_s: float
    expected_per_s: float
    us_per_value: float
    core_percent: float
    p50_ms: float
    p99_ms: float
    rss_mb: float

    @property
    def complete(self) -> bool:
        """Whether what was due in the time arrived (one cycle may lie across each edge)."""
        return self.values_per_s >= 0.99 * self.expected_per_s


def measure(agent: subprocess.Popen[str], witness: Witness, seconds: float, expected: float, cycle: float) -> Figure:
    """CPU time of the agent's process over `seconds`, per value that arrived at the broker's subscriber."""
    end = time.monotonic() + 30
    while witness.totals()["values"] < expected * min(cycle, 1.0):
        if time.monotonic() > end or agent.poll() is not None:
            raise RuntimeError("no values arrive")
        time.sleep(0.1)
    time.sleep(2)
    before, cpu, start = witness.totals(), cpu_seconds(agent.pid), time.monotonic()
    time.sleep(seconds)
    after, cpu_after, stop = witness.totals(), cpu_seconds(agent.pid), time.monotonic()
    values, took = after["values"] - before["values"], stop - start
    return Figure(
        values / took,
        expected,
        1e6 * (cpu_after - cpu) / values if values else float("inf"),
        100 * (cpu_after - cpu) / took,
        after["p50_ms"],
        after["p99_ms"],
        rss_mb(agent.pid),
    )
