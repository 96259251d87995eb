"""Real servers for tests: each on a free port of 127.0.0.1, stopped by pid, its files in the test's
own folder."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

SBIN = ("/usr/sbin", "/sbin", "/usr/local/sbin")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now.

    It lies below those the kernel gives to outgoing connections: none of them can take it while a
    server is away.
    """
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


def tool(name: str) -> str:
    """The path of a program; missing it is a failure in CI and a counted skip elsewhere."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *SBIN]))
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed: './run test' installs it as root")
        pytest.skip(f"{name} is not installed")
    return found


@dataclass
class Server:
    """A running server process and the port it listens on."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """End the process and wait for it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(sig)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def pause(self) -> None:
        """Freeze it with its sockets open (SIGSTOP)."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.process.send_signal(signal.SIGCONT)


def wait_port(
    port: int, process: subprocess.Popen[bytes], log: Path, timeout: float = 90.0
) -> None:
    """Return when the port accepts; fail with the log when the process ends or the time is over."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)  # poll interval of this waiter
    raise AssertionError(f"nothing listens on {port}:\n{log.read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def serving(
    argv: Sequence[str | Path],
    port: int,
    log: Path,
    env: Mapping[str, str] | None = None,
    patience: float = 30.0,
) -> Iterator[Server]:
    """Start a program that listens on `port`; yields when it accepts, which may take `patience`
    seconds, and stops it at the end."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(a) for a in argv],
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )
    server = Server(process, port, log)
    try:
        wait_port(port, process, log, patience)
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def mosquitto(folder: Path, port: int | None = None, extra: str = "") -> Iterator[Server]:
    """A mosquitto broker with persistence in `folder`; start it again with the same folder and port
    to restart it."""
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / "mosquitto.conf"
    anonymous = "" if "allow_anonymous" in extra else "allow_anonymous true\n"
    conf.write_text(
        f"listener {port} 127.0.0.1\n{anonymous}persistence true\npersistence_location "
        f"{folder}/\nautosave_interval 1\n"
        "max_inflight_messages 200\nmax_queued_messages 0\nuser root\nlog_type error\nlog_type "
        f"warning\n{extra}\n"
    )
    with serving([tool("mosquitto"), "-c", conf], port, folder / "mosquitto.log") as server:
        yield server


def nats_program() -> str:
    """The nats-server of its wheel."""
    return shutil.which("nats-server", path=str(Path(sys.executable).parent)) or tool("nats-server")


@contextlib.contextmanager
def nats(folder: Path, port: int | None = None) -> Iterator[Server]:
    """A nats-server from its wheel, MQTT over JetStream, files in `folder`."""
    port = port or free_port()
    client = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / "nats.conf"
    conf.write_text(
        f'server_name: test\nlisten: "127.0.0.1:{client}"\njetstream {{ store_dir: "{folder}/js" '
        f"}}\n"
        f'mqtt {{ listen: "127.0.0.1:{port}", max_ack_pending: 10000, ack_wait: "60s" }}\n'
    )
    with serving([nats_program(), "-c", conf], port, folder / "nats.log") as server:
        yield server


@contextlib.contextmanager
def influxdb1(folder: Path) -> Iterator[Server]:
    """An InfluxDB 1.x server (Debian's influxd) with an empty data folder."""
    port, rpc = free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / "influxdb.conf"
    conf.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc}"\n[meta]\n dir = '
        f'"{folder}/meta"\n'
        f'[data]\n dir = "{folder}/data"\n wal-dir = "{folder}/wal"\n'
        f'[http]\n bind-address = "127.0.0.1:{port}"\n log-enabled = false\n max-body-size = 0\n'
        f"[monitor]\n store-enabled = false\n"
    )
    with serving([tool("influxd"), "-config", conf], port, folder / "influxd.log") as server:
        yield server


@contextlib.contextmanager
def victoria_metrics(folder: Path) -> Iterator[Server]:
    """A VictoriaMetrics single server with an empty data folder."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    argv = [
        tool("victoria-metrics"),
        f"-storageDataPath={folder}/vm",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-retentionPeriod=100y",
        "-dedup.minScrapeInterval=1ms",
    ]
    with serving(argv, port, folder / "vm.log") as server:
        yield server
