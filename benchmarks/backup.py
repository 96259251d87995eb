"""`./run bench backup [--rows N] [--rate V]`: what a backup of a store of so many values costs the
service that goes on storing: the longest a commit had to wait, CPU and time of the copy, its size.

The service is a store with the lease of `edge-agent serve`, which commits `--rate` values a second,
five times a second, in a process of its own, and notes how late each commit was over.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results, rig
from edge_agent.app.backup_lease import BackupLease
from edge_agent.backup.restore import restore
from edge_agent.control import client, server
from edge_agent.stores import Chunk, Rows, StreamMark, WriteBatch
from edge_agent.stores.columns import FLOAT
from edge_agent.stores.duckdb.snapshot import log_bytes
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.tasks import cancel_and_wait

TAGS = 200
STREAM = "ipc-01/0/9f3c"
EACH_S = 0.2
T0 = 1_763_899_200_000_000_000
S = 1_000_000_000


def make(path: Path, rows: int) -> None:
    """A store of so many values, a second apart, of which none is like another."""
    store = DuckDbStore(path, agent="ipc-01")
    store.catalogue.ids("m1", tuple(f"t{number}" for number in range(TAGS)))
    store.write(WriteBatch(Rows.empty(), T0))
    for first in range(0, rows, 2_000_000):
        store._connection.execute(
            "insert into samples select (i % ?)::integer, ? + (i // ?) * 1000000000, random(), 1, "
            "null, 0, null, ? from range(?, ?) r(i)",
            [TAGS, T0 - rows // TAGS * S, TAGS, T0, first, min(rows, first + 2_000_000)],
        )
        store._connection.execute("checkpoint")
    store.close()


class BenchedStore:
    """The store's thread of a service, and how late its commits are."""

    def __init__(self, path: Path, rate: int) -> None:
        self.store = DuckDbStore(path, agent="ipc-01")
        self.worker = ThreadPoolExecutor(1)
        self._rate = rate
        self._seq = 1
        self._kinds = np.full(TAGS, FLOAT, np.uint8)
        self._sids = self.store.catalogue.ids("m1", tuple(f"t{n}" for n in range(TAGS)))
        self.worst = 0.0

    async def call(self, function: Any, *arguments: Any) -> Any:
        """In the thread that writes."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.worker, function, *arguments)

    def commit(self) -> None:
        """What came in a fifth of a second."""
        count = max(1, round(self._rate * EACH_S / TAGS))
        now = time.time_ns()
        numbers = range(self._seq, self._seq + count)
        chunks = [
            Chunk(self._sids, now + n, np.random.random(TAGS), self._kinds) for n in range(count)
        ]
        marks = [StreamMark(STREAM, n, TAGS) for n in numbers]
        self.store.write(WriteBatch(Rows.of(chunks), now, marks=marks))
        self._seq += count

    async def write(self) -> None:
        """Until cancelled; what is late is made up for."""
        due = time.monotonic()
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self.call(self.commit)
            self.worst = max(self.worst, time.monotonic() - due)
            due += EACH_S

    async def longest(self) -> float:
        """Seconds from when a commit was due to its end, the longest since the last call."""
        worst = self.worst
        self.worst = 0.0
        return worst


async def serve(path: Path, rate: int) -> None:
    """The service, until SIGTERM."""
    benched = BenchedStore(path, rate)
    lease = BackupLease(
        lambda: benched.call(benched.store.pause_checkpoints),
        lambda: benched.call(benched.store.resume_checkpoints),
        lambda: log_bytes(path),
    )

    renewed = lease.renew

    async def renew(lease: str) -> bool:
        return renewed(lease)

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    known: dict[str, server.Operation] = {
        "backup_begin": lease.begin,
        "backup_end": lease.end,
        "backup_renew": renew,
        "longest": benched.longest,
    }
    async with server.serve_socket(client.socket_path(path), known):
        tasks = [asyncio.create_task(benched.write()), asyncio.create_task(lease.run())]
        await stop.wait()
        await cancel_and_wait(tasks)


def measure(rows: int, rate: int, folder: Path) -> dict[str, Any]:
    """One run."""
    path = folder / "plant" / "data" / "store.duckdb"
    path.parent.mkdir(parents=True)
    config = folder / "plant" / "plant.yaml"
    config.write_text(
        "agent: {id: ipc-01}\nmqtt: {url: mqtt://127.0.0.1:1}\nstore: {path: data/store.duckdb}\n"
    )
    began = time.monotonic()
    make(path, rows)
    made_s = time.monotonic() - began
    size = path.stat().st_size
    socket = client.socket_path(path)
    argv = rig.module("benchmarks.backup", "--serve", path, "--rate", rate)
    with rig.process(argv, stdout=subprocess.DEVNULL) as service:
        end = time.monotonic() + 120
        while not client.running(socket):
            if time.monotonic() > end or service.poll() is not None:
                raise RuntimeError("the service did not start")
            time.sleep(0.1)
        time.sleep(5)
        client.ask(socket, "longest")
        time.sleep(30)
        before = client.ask(socket, "longest")
        used = os.times()
        began = time.monotonic()
        argv = rig.module("edge_agent", "backup", config, "--out", folder / "b", "--json")
        report, log_bytes = _backed_up(argv, path.with_name("store.duckdb.wal"))
        seconds = time.monotonic() - began
        after = os.times()
        during = client.ask(socket, "longest")
        time.sleep(15)
        afterwards = client.ask(socket, "longest")
    began = time.monotonic()
    restore(folder / "b", folder / "restored")
    return {
        "rows": rows,
        "rate": rate,
        "store_mb": round(size / 1e6),
        "made_s": round(made_s),
        "backup_s": round(seconds, 1),
        "backup_mb": round(report["bytes"] / 1e6),
        "tries": report["tries"],
        "cpu_s": round(
            after.children_user + after.children_system - used.children_user - used.children_system,
            1,
        ),
        "log_mb": round(log_bytes / 1e6, 1),
        "longest_before_s": round(before, 2),
        "longest_during_s": round(during, 2),
        "longest_after_s": round(afterwards, 2),
        "restore_s": round(time.monotonic() - began, 1),
    }


def _backed_up(argv: list[str], log: Path) -> tuple[dict[str, Any], int]:
    """What it said, and the most bytes that the log had meanwhile."""
    most = 0
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            with contextlib.suppress(FileNotFoundError):
                most = max(most, log.stat().st_size)
            time.sleep(0.1)
        said = process.stdout.read() if process.stdout is not None else ""
    return json.loads(said), most


def main(argv: list[str]) -> None:
    """Print one line of figures."""
    parser = argparse.ArgumentParser(prog="./run bench backup", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rate", type=int, default=10_000, help="values a second meanwhile")
    parser.add_argument("--folder", type=Path, help="where there is room; default: a temporary one")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve is not None:
        asyncio.run(serve(args.serve, args.rate))
        return
    print(f"{results.machine()}; {results.versions()}")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=args.folder))
        for key, value in measure(args.rows, args.rate, Path(folder)).items():
            print(f"{key} = {value}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
