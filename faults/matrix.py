"""The rows, and how one is run: in a process of its own, as root also in a network and mount
namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from faults import devices, disks, kills, lines, mixed, outages, soak
from faults.result import FaultResult, FaultRow
from faults.rig import ROOT

_EXT4 = ("mkfs.ext4", "mount", "umount")
_FILTER = ("iptables",)
_SHIM = ("gcc",)

_ALL = (
    FaultRow(
        "F1",
        "broker stopped and frozen; backlog of hours",
        "lost 0; order kept; live < 2 s",
        outages.broker_stopped,
        6,
    ),
    FaultRow(
        "F1-nats",
        "the same with nats-server",
        "lost 0; order kept; live < 2 s",
        outages.nats_stopped,
        4,
    ),
    FaultRow(
        "F1-forgets",
        "broker loses all it acknowledged",
        "lost 0 (confirm: store)",
        outages.broker_forgets,
        2,
    ),
    FaultRow(
        "F2-agent",
        "kill -9 of the agent",
        "lost 0; repeated <= window; < 5 s",
        kills.agent_killed,
        100,
    ),
    FaultRow(
        "F2-service", "kill -9 of the store service", "lost 0; doubled 0", kills.service_killed, 100
    ),
    FaultRow(
        "F2-any", "kill -9 of agent, service or broker", "lost 0; doubled 0", kills.both_killed, 60
    ),
    FaultRow(
        "F3",
        "power cut under the agent",
        "lost 0; every start by itself",
        kills.power_cut,
        100,
        root=True,
        needs=_EXT4,
    ),
    FaultRow(
        "F4",
        "power cut amid fsync",
        "lost 0; a prefix each time",
        kills.cut_amid_syncs,
        100,
        root=True,
        needs=_EXT4,
    ),
    FaultRow(
        "F5", "disk full, broker away", "lost 0; the agent stays", disks.full_disk, 5, root=True
    ),
    FaultRow(
        "F5-long",
        "disk full beyond memory",
        "lost = counted",
        disks.full_disk_beyond_memory,
        5,
        root=True,
    ),
    FaultRow(
        "F6",
        "EIO of fdatasync, then power cut",
        "promised and lost 0",
        kills.failing_syncs,
        40,
        root=True,
        needs=(*_EXT4, *_SHIM),
    ),
    FaultRow("F7", "outbox files damaged", "undamaged lost 0; altered 0", disks.corrupted, 60),
    FaultRow("F8", "outbox at its bound", "lost = counted; disk <= bound", disks.at_its_bound, 2),
    FaultRow(
        "F9",
        "wall clock +1 h, -2 h, 1970",
        "missed polls 0; lost 0",
        outages.clock_jumps,
        3,
        needs=_SHIM,
    ),
    FaultRow(
        "F10",
        "black hole: PLC, OPC UA, broker",
        "noticed in 2 time-outs; back <= 2 s",
        lines.black_holes,
        3,
        root=True,
        needs=_FILTER,
    ),
    FaultRow(
        "F10-store",
        "black hole: store",
        "noticed in 2 time-outs; lost 0",
        lines.store_black_hole,
        2,
        root=True,
        needs=_FILTER,
    ),
    FaultRow(
        "F11",
        "resets: PLC, OPC UA, broker",
        "lost 0; back <= 2 s",
        lines.resets,
        5,
        root=True,
        needs=_FILTER,
    ),
    FaultRow(
        "F12",
        "1, 5, 20 % of packets lost",
        "lost 0",
        lines.packet_loss,
        10,
        root=True,
        needs=_FILTER,
    ),
    FaultRow("F13", "1 Mbit/s to the broker", "RSS growth < 20 MB; lost 0", lines.slow_broker, 20),
    FaultRow("F14", "latency 200 ms and 2 s", "false disconnects 0", lines.latency, 20),
    FaultRow("F15", "flapping device", "one change each; growth 0", devices.flapping, 100),
    FaultRow(
        "F16", "1 of 50 devices silent", "p99 jitter of the others < 10 %", devices.one_silent, 15
    ),
    FaultRow(
        "F17", "malformed Modbus answers", "wrong values as good 0", devices.malformed_modbus, 1
    ),
    FaultRow(
        "F18", "malformed OPC UA answers", "wrong values as good 0", devices.malformed_opcua, 1
    ),
    FaultRow("F20", "RTU noise, unplugged", "back < 3 s", devices.serial_line, 5),
    FaultRow("F21", "store service frozen and stopped", "lost 0", outages.service_away, 6),
    FaultRow(
        "F21-http",
        "store answers 4xx, 5xx, slowly",
        "retry 5xx, set 4xx aside",
        devices.store_answers,
        1,
    ),
    FaultRow("F22", "SIGTERM under load", "exit < 5 s; lost 0", outages.orderly_end, 10),
    FaultRow(
        "F23",
        "faulty file, then one device changed",
        "missed polls of others 0",
        mixed.reloaded,
        10,
    ),
    FaultRow(
        "F24",
        "soak (seconds), a fault every 2 s",
        "lost 0; RSS < 100 kB/h; the rest flat",
        soak.soak,
        120,
    ),
)
ROWS = {row.id: row for row in _ALL}


_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@cache
def isolated() -> bool:
    """Whether each row can have a network and mounts of its own (root of a container often may
    not)."""
    if os.geteuid() != 0 or shutil.which("ip", path=_PATH) is None:
        return False
    return (
        subprocess.run(
            ["unshare", "--net", "--mount", "true"], check=False, capture_output=True
        ).returncode
        == 0
    )


def obstacle(row: FaultRow) -> str:
    """Why this row cannot be run here; empty when it can."""
    if row.root and not isolated():
        return "needs root that may mount and make network namespaces"
    missing = [name for name in row.needs if shutil.which(name, path=_PATH) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def run_here(row: str, times: int) -> FaultResult:
    """Run a row in this process."""
    with tempfile.TemporaryDirectory(prefix=f"faults-{row}-") as folder:
        return ROWS[row].run(times, Path(folder))


def run_apart(row: str, times: int) -> FaultResult:
    """Run a row in a process of its own. Raises RuntimeError with its last words when it does not
    end in a result."""
    argv = [sys.executable, "-m", "faults", "--inside", row, "--times", str(times)]
    environment = {**os.environ, "PATH": _PATH}
    if isolated():
        argv = ["unshare", "--net", "--mount", "--propagation", "private", "--", *argv]
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise RuntimeError(f"{row}: {done.stderr[-3000:]}")
    return FaultResult.from_json(lines[-1])
