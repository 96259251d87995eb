"""F15, F16, F17, F18, F20: devices that flap, keep silent, answer nonsense, or hang on a noisy
line."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import re
import select
import socket
import statistics
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

from faults.audit import audit
from faults.brokers import Broker
from faults.lines import _online, _state, _transition
from faults.proxy import proxy
from faults.result import FaultResult
from faults.rig import ROOT, RigSite, plc_device, plcs, wait_for


def flapping(times: int, folder: Path) -> FaultResult:
    """F15: a device goes and comes `times` times; one change of state each, and nothing grows."""
    result = FaultResult(times)
    with (
        plcs(folder, 2) as (_, ports),
        Broker(folder / "broker") as broker,
        proxy(ports[0]) as plug,
    ):
        listed = [plc_device(0, plug.port, "100ms"), plc_device(1, ports[1], "100ms")]
        with RigSite(folder, broker.port, listed, folder / "outbox") as site:
            service, agent = site.service_up(), site.agent_up()
            _online(site, "plc-00")
            back, sizes = [], []
            for turn in range(times):
                plug.down()
                _transition(site, "plc-00", "offline", 20)
                plug.up()
                back.append(_transition(site, "plc-00", "online", 20))
                if turn in (times // 5, times - 1):
                    sizes.append((agent.fds(), agent.rss_kb()))
            site.finish(agent, service)
            moves = [
                n.document["transition"]
                for n in site.witness.read()
                if "transition" in n.document and n.document["device"] == "plc-00"
            ]
            verdict = audit(site.witness, site.database)
    away = sum(move["to"] == "offline" for move in moves)
    (fds, rss), (fds_end, rss_end) = sizes[0], sizes[-1]
    result.figures |= verdict.figures() | {"went offline": away, "descriptors grown": fds_end - fds}
    result.figures["RSS grown kB"] = rss_end - rss
    result.must(away == times, f"{away} transitions for {times} outages")
    result.must(fds_end - fds <= 1, f"{fds_end - fds} descriptors more")
    result.must(rss_end - rss < 4096, f"RSS grew by {rss_end - rss} kB")
    result.must(verdict.lost + verdict.doubled + verdict.altered == 0, str(verdict))
    result.within("back after s, worst", max(back), 2.5)
    return result


@contextlib.contextmanager
def _mute() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


def one_silent(times: int, folder: Path) -> FaultResult:
    """F16: 50 devices every 200 ms, one of which accepts and never answers, for `times` seconds."""
    result = FaultResult(times)
    with plcs(folder, 49) as (_, ports), Broker(folder / "broker") as broker, _mute() as mute:
        listed = [plc_device(n, port, "200ms") for n, port in enumerate([*ports, mute])]
        with RigSite(folder, broker.port, listed, folder / "outbox") as site:
            service, agent = site.service_up(), site.agent_up()
            wait_for(
                lambda: _state(site, "plc-49") == "offline", 30, "the silent one to be offline"
            )
            begin = time.monotonic()
            time.sleep(times)  # how long it is measured, not a wait for anything
            notes = [n for n in site.witness.after(begin) if n.is_data]
            site.finish(agent, service)
            verdict = audit(site.witness, site.database)
    periods: dict[str, list[float]] = {}
    newest: dict[str, int] = {}
    for note in notes:
        device = note.document["device"]
        if device in newest:
            periods.setdefault(device, []).append((note.at - newest[device]) / 1e9)
        newest[device] = note.at
    healthy = {f"plc-{n:02}" for n in range(49)}
    jitter = sorted(abs(p - 0.2) / 0.2 for device in healthy for p in periods.get(device, ()))
    spoken = {note.document["device"] for note in notes if note.document["values"]}
    result.figures |= verdict.figures() | {"healthy devices heard": len(spoken & healthy)}
    fewest = min((len(periods.get(device, ())) for device in healthy), default=0)
    result.figures["fewest readings of one, of"] = f"{fewest}/{5 * times}"
    result.must(
        spoken == healthy,
        f"heard {len(spoken)} devices, the silent one among them: {'plc-49' in spoken}",
    )
    result.must(verdict.lost + verdict.doubled + verdict.altered == 0, str(verdict))
    p99 = statistics.quantiles(jitter, n=100)[98] if len(jitter) > 1 else 9.9
    result.figures["median jitter %"] = round(100 * jitter[len(jitter) // 2], 1)
    result.within("p99 jitter, share of the period", p99, 0.1)
    return result


def _suite(times: int, what: str, *arguments: str) -> FaultResult:
    """Run tests of the repository; the figure is how many cases passed."""
    result = FaultResult(times)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    passed = re.search(r"(\d+) passed", done.stdout)
    result.figures[what] = int(passed[1]) if passed else 0
    result.must(
        done.returncode == 0,
        done.stdout.strip().splitlines()[-1] if done.stdout else "no tests ran",
    )
    return result


def malformed_modbus(times: int, folder: Path) -> FaultResult:
    """F17: the answers of tests/integration/test_modbus_hostile.py."""
    return _suite(times, "cases right", "tests/integration/test_modbus_hostile.py")


def malformed_opcua(times: int, folder: Path) -> FaultResult:
    """F18: the answers of tests/integration/test_opcua_outages.py."""
    return _suite(
        times, "cases right", "tests/integration/test_opcua_outages.py", "-k", "hostile or protocol"
    )


def store_answers(times: int, folder: Path) -> FaultResult:
    """F21: 4xx, 5xx, resets and slow answers, and a poisoned line that must not block its
    neighbours."""
    files = ["tests/integration/test_store_http_faults.py", "tests/integration/test_ingest_mqtt.py"]
    return _suite(times, "cases right", *files, "-k", "poison or repeated or asked_once or outage")


class PseudoTerminalBus:
    """A serial line between two pseudo terminals that can be noisy, and unplugged at the master's
    side."""

    def __init__(self, slave: str, link: Path) -> None:
        self.noise = 0.0
        """Share of passing chunks that get random bytes in front."""
        self._link = link
        self._slave = os.open(slave, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._slave)
        self._stop = threading.Event()
        self._chance = random.Random(20)
        self._lock = threading.Lock()
        self._master = -1
        self.plug()
        self._thread = threading.Thread(target=self._carry, name="bus", daemon=True)
        self._thread.start()

    def plug(self) -> None:
        """The adapter is there (again): a new terminal under the same name."""
        master, slave = pty.openpty()
        tty.setraw(slave)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(os.ttyname(slave))
        with self._lock:
            self._master = master
        os.close(slave)

    def unplug(self) -> None:
        """The adapter is pulled out."""
        self._link.unlink(missing_ok=True)
        with self._lock:
            os.close(self._master)
            self._master = -1

    def close(self) -> None:
        """End of the line."""
        self._stop.set()
        self._thread.join(5)
        self.unplug()
        os.close(self._slave)

    def _carry(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                ends = [self._slave] + ([self._master] if self._master >= 0 else [])
                ready, _, _ = select.select(ends, [], [], 0.005)
                for end in ready:
                    self._pass(end)

    def _pass(self, end: int) -> None:
        other = self._master if end == self._slave else self._slave
        try:
            data = os.read(end, 4096)
            if other >= 0:
                dirt = (
                    self._chance.randbytes(self._chance.randint(1, 8))
                    if self._chance.random() < self.noise
                    else b""
                )
                os.write(other, dirt + data)
        except OSError:
            self._stop.wait(0.005)  # nobody has the other end open: nothing passes


def serial_line(times: int, folder: Path) -> FaultResult:
    """F20: noise on an RTU line, then the adapter is pulled out and put back, `times` times."""
    import json

    result, back = FaultResult(times), []
    tags = {
        f"v{i}": {"object": "holding", "address": 2 * i, "type": "float32", "word_order": "ABCD"}
        for i in range(4)
    }
    spec = {
        "speed": 1.0,
        "seed": 1,
        "epoch_ns": time.time_ns(),
        "devices": [
            {
                "id": "rtu-01",
                "behaviour": "generic",
                "line": "L1",
                "host": "127.0.0.1",
                "port": 0,
                "protocol": "modbus",
                "transport": "rtu",
                "unit": 1,
                "tags": {n: t | {"kind": "float", "range": [0, 100]} for n, t in tags.items()},
            }
        ],
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    with Broker(folder / "broker") as broker, contextlib.ExitStack() as stack:
        argv = [sys.executable, "-m", "simulators", str(folder / "spec.json")]
        simulator = stack.enter_context(
            subprocess.Popen(
                argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        stack.callback(simulator.terminate)
        assert simulator.stdout is not None
        endpoint = json.loads(simulator.stdout.readline())["endpoints"]["rtu-01"]
        bus = PseudoTerminalBus(endpoint.removeprefix("rtu://"), folder / "tty")
        stack.callback(bus.close)
        device = {
            "id": "rtu-01",
            "line": "L1",
            "connector": "modbus",
            "url": f"rtu://{folder}/tty?baudrate=115200",
            "unit": 1,
            "every": "100ms",
            "timeout": "300ms",
            "tags": {
                name: {"address": f"holding/{t['address']}", "type": "float32"}
                for name, t in tags.items()
            },
        }
        with RigSite(folder, broker.port, [device], folder / "outbox") as site:
            service, agent = site.service_up(), site.agent_up()
            _online(site, "rtu-01")
            bus.noise = 0.3
            time.sleep(5)  # how long it is noisy, not a wait for anything
            bus.noise = 0.0
            quiet = time.monotonic()
            wait_for(lambda: _state(site, "rtu-01") == "online", 20, "the device after the noise")
            result.within("back after noise s", time.monotonic() - quiet, 3)
            for _ in range(times):
                bus.unplug()
                _transition(site, "rtu-01", "offline", 20)
                bus.plug()
                back.append(_transition(site, "rtu-01", "online", 20))
            site.finish(agent, service)
            verdict = audit(site.witness, site.database)
            wild = _wild(site)
    result.figures |= verdict.figures() | {"values out of the simulated range": wild}
    result.must(wild == 0, f"{wild} values no simulator ever sent")
    result.must(verdict.lost + verdict.doubled + verdict.altered == 0, str(verdict))
    result.within("back after plug s, worst", max(back), 3)
    return result


def _wild(site: RigSite) -> int:
    values = [v for n in site.witness.read() if n.is_data for v in n.document["values"].values()]
    return sum(not -1 <= value <= 101 for value in values)
