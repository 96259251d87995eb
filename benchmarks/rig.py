"""Broker, devices, witness and the agent, each a process of its own; and what the agent's process
cost."""

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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

START_LIMIT_S = 90.0
_POLL_S, _QUIET_POLLS = 0.01, 3
"""How often the subscriber is asked, and how many times without news mean that a burst is over."""
_JITTER_S = 0.1
"""How much later than due the last value of an interval may come without a cycle being missing."""
_ALIGNED_S = 5.0
"""Intervals are cut between the cycles of loads up to this period; what is slower is not measured
per value."""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads so far, in ns resolution: the clock
    clock_getcpuclockid(3) names."""
    return time.clock_gettime((~pid << 3) | 2)


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextlib.contextmanager
def process(argv: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A child with pipes, ended by closing its stdin and SIGTERM."""
    child: subprocess.Popen[str] = subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=options.pop("stdout", subprocess.PIPE),
        text=True,
        **options,
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


def broker_name() -> str:
    """The broker that is used on this machine."""
    return "mosquitto" if _mosquitto() else "nats-server"


def _mosquitto() -> str | None:
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[int]:
    """mosquitto where it is installed, else the nats-server of the wheel; its port.

    mosquitto's own limit of 1000 queued messages is lifted: at 1000 messages a second it would drop
    what a subscriber takes a second later.
    """
    port = free_port()
    found = _mosquitto()
    if found:
        conf = folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        conf.write_text(
            f"{user}listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\n"
            "max_inflight_messages 1000\nmax_queued_messages 0\n"
        )
        argv = [found, "-c", str(conf)]
    else:
        conf = folder / "nats.conf"
        conf.write_text(
            f'server_name: bench\nlisten: "127.0.0.1:{free_port()}"\njetstream {{ store_dir: '
            f'"{folder}/js" }}\n'
            f'mqtt {{ listen: "127.0.0.1:{port}", max_ack_pending: 10000 }}\n'
        )
        argv = [str(Path(sys.executable).parent / "nats-server"), "-c", str(conf)]
    with process(argv, stderr=subprocess.DEVNULL):
        wait_port(port)
        yield port


def wait_port(port: int, host: str = "127.0.0.1", timeout: float = 20.0) -> None:
    end = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host, port), 0.5):
            return
        if time.monotonic() > end:
            raise TimeoutError(f"nothing listens on {host}:{port}")
        time.sleep(0.02)


@dataclass
class CounterProcess:
    """A child that answers each line with its totals: the witness, or the devices."""

    child: subprocess.Popen[str]

    def totals(self, line: str = "totals") -> dict[str, Any]:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        answer: dict[str, Any] = json.loads(self.child.stdout.readline())
        return answer


@contextlib.contextmanager
def witness(port: int) -> Iterator[CounterProcess]:
    """The counting subscriber, subscribed."""
    with process(module("benchmarks.witness", port)) as child:
        counter = CounterProcess(child)
        counter.totals()
        yield counter


@dataclass(frozen=True)
class BenchFigure:
    """What one run of one shape gave."""

    values_per_s: float
    expected_per_s: float
    us_per_value: float | None
    core_percent: float
    p50_ms: float | None
    p99_ms: float | None
    rss_mb: float
    start_s: float
    requests_per_cycle: float | None
    lost: str
    """Why no cost may be printed; empty when every value that was due arrived."""
    bad_at_start: int
    """Values that were bad before the interval began: devices given up on during start-up."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ExpectedLoad:
    """What is expected of a run."""

    values_per_s: float
    every: float
    devices: int
    settle_s: float = 3.0

    @property
    def per_cycle(self) -> float:
        return self.values_per_s * self.every


def measure(
    agent: subprocess.Popen[str],
    began: float,
    seen: CounterProcess,
    devices: CounterProcess,
    load: ExpectedLoad,
    seconds: float,
) -> BenchFigure:
    """CPU time of the agent's processes over `seconds`, per value that arrived at the broker's
    subscriber."""
    _first_cycle(agent, seen, load)
    time.sleep(load.settle_s)
    _after_arrival(seen, load.every)
    served, before = devices.totals(), seen.totals("mark")
    members = family(agent.pid)
    cpu, start = sum(map(cpu_seconds, members)), time.monotonic()
    due = _due_in_full_cycles(seen, load, before["values"], seconds)
    served_after, after = devices.totals(), seen.totals()
    cpu, took = sum(map(cpu_seconds, members)) - cpu, time.monotonic() - start
    values = after["values"] - before["values"]
    cycles = load.devices * values / load.per_cycle
    requests = (served_after["requests"] - served["requests"]) / cycles if cycles >= 1 else None
    return BenchFigure(
        values / took,
        load.values_per_s,
        1e6 * cpu / values if values else None,
        100 * cpu / took,
        after["p50_ms"],
        after["p99_ms"],
        sum(map(rss_mb, members)),
        after["first"] - began,
        requests,
        _lost(load, due, took, before, after, served_after),
        before["bad"],
    )


def _first_cycle(agent: subprocess.Popen[str], seen: CounterProcess, load: ExpectedLoad) -> None:
    """Wait until the values of one cycle have arrived."""
    end = time.monotonic() + START_LIMIT_S
    while seen.totals()["values"] < load.per_cycle:
        if time.monotonic() > end or agent.poll() is not None:
            raise RuntimeError("no values arrive")
        time.sleep(0.1)


def _after_arrival(seen: CounterProcess, every: float) -> None:
    """Wait until a burst of values has arrived and is over, so that an interval holds whole cycles.

    Devices that are read at different moments have no such pause: then a cycle is waited for in
    vain, which is as good.
    """
    end = time.monotonic() + every
    if every > _ALIGNED_S:
        return
    before, quiet, risen = seen.totals()["values"], 0, False
    while time.monotonic() < end and not (risen and quiet >= _QUIET_POLLS):
        time.sleep(_POLL_S)
        now = seen.totals()["values"]
        risen, quiet, before = risen or now > before, 0 if now > before else quiet + 1, now


def _due_in_full_cycles(
    seen: CounterProcess, load: ExpectedLoad, before: float, seconds: float
) -> float:
    """Wait until the values of so many whole cycles have arrived, or should have long ago; the
    seconds of these cycles.

    The end is marked by values, not by the clock: a cycle that was missed shows as an interval too
    long by one cycle.
    """
    if load.every > _ALIGNED_S:
        time.sleep(seconds)
        return seconds
    cycles = max(1, round(seconds / load.every))
    due = cycles * load.every
    end = time.monotonic() + 1.5 * due + 2
    time.sleep(max(0.0, due - 0.2))
    while seen.totals()["values"] < before + cycles * load.per_cycle and time.monotonic() < end:
        time.sleep(_POLL_S)
    # as at the start: what the agent does after the last value belongs to it
    time.sleep(_QUIET_POLLS * _POLL_S)
    return due


def _lost(
    load: ExpectedLoad,
    due: float,
    took: float,
    before: dict[str, Any],
    after: dict[str, Any],
    served: dict[str, Any],
) -> str:
    """What is missing, as far as it can be seen: holes, bad values, cycles too late, notifications
    that never came."""
    if after["holes"]:
        return f"{after['holes']} sequence numbers never came"
    if served.get("malformed"):
        return f"a device was sent what is no request: {served['malformed']}"
    if after["bad"] > before["bad"]:
        return f"{after['bad'] - before['bad']} values were bad"
    if took - due > min(0.01 * due + _JITTER_S, 0.9 * load.every):
        values = after["values"] - before["values"]
        return f"{values / took:.0f} of {load.values_per_s:.0f} values/s arrived"
    if served.get("values", 0) > after["values"] + 3 * load.per_cycle:
        return f"{served['values']} values were sent by the devices, {after['values']} arrived"
    return ""
