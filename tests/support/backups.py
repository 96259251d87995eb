"""A process that writes to an embedded store without a pause and lets it be copied, as the store
service does; and what a copy of that store must hold."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from edge_agent.control.client import socket_path
from edge_agent.stores.duckdb.store import DuckDbStore
from tests.support.sites import write

STREAM = "ipc-01/0/9f3c"
TAGS = 50

WRITER = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from edge_agent.app.backup_lease import BackupLease
from edge_agent.control import client, server
from edge_agent.stores import Chunk, Rows, StreamMark, WriteBatch
from edge_agent.stores.columns import FLOAT
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.stores.duckdb.snapshot import log_bytes

path, messages = Path(sys.argv[1]), int(sys.argv[2])
store = DuckDbStore(path, agent="ipc-01")
marks = store.marks().get("STREAM")
seq = marks.pairs()[-1][1] + 1 if marks else 1
kind = np.full(TAGS, FLOAT, np.uint8)
sids = store.catalogue.ids("m1", tuple(f"t{i}" for i in range(TAGS)))

def often():
    # Checkpoints come often, so that copies meet them.
    if not store._checkpoints_paused:
        store._connection.execute("set checkpoint_threshold = '200KB'")

def write(count):
    often()
    chunks = [Chunk(sids, n * 1000, np.full(TAGS, float(n)), kind) for n in range(seq, seq + count)]
    marks = [StreamMark("STREAM", n, TAGS) for n in range(seq, seq + count)]
    store.write(WriteBatch(Rows.of(chunks), seq * 1000, marks=marks))

async def main():
    global seq
    worker = ThreadPoolExecutor(1)
    loop = asyncio.get_running_loop()
    lease = BackupLease(
        lambda: loop.run_in_executor(worker, store.pause_checkpoints),
        lambda: loop.run_in_executor(worker, store.resume_checkpoints),
        lambda: log_bytes(path),
        lease_s=2.0)
    async def renew(lease):
        return renewed(lease)
    renewed = lease.renew
    known = {"backup_begin": lease.begin, "backup_end": lease.end, "backup_renew": renew}
    async with server.serve_socket(client.socket_path(path), known):
        task = asyncio.create_task(lease.run())
        turn = 0
        while True:
            await loop.run_in_executor(worker, write, messages)
            seq += messages
            turn += 1
            if turn % 20 == 0:
                await loop.run_in_executor(worker, store.release_caches)
            print(seq - 1, flush=True)

asyncio.run(main())
""".replace("STREAM", STREAM).replace("TAGS", str(TAGS))


class StoreWriter:
    """The process. The file of its output has the last number that was committed."""

    def __init__(self, path: Path, messages: int) -> None:
        self.path = path
        self._output = path.parent.with_name("committed")
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path), str(messages)], stdout=output
            )

    def wait(self) -> None:
        """Until it answers and has written something."""
        end = time.monotonic() + 60
        while not (socket_path(self.path).exists() and self._output.stat().st_size):
            assert self.process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)  # poll interval of this waiter


@contextmanager
def writing(path: Path, messages: int = 20) -> Iterator[StoreWriter]:
    """A writer that commits so many messages at a time, while the block runs."""
    writer = StoreWriter(path, messages)
    try:
        writer.wait()
        yield writer
    finally:
        writer.process.kill()
        writer.process.wait(30)


def plant(folder: Path) -> Path:
    """A plant file of one store."""
    folder.mkdir(exist_ok=True)
    return write(folder, "devices: []\nstore: {path: data/store.duckdb}\n")


def last_complete(store_path: Path) -> int:
    """The last number of the stream, where marks and values agree in everything up to it."""
    with closing(DuckDbStore(store_path, agent="ipc-01")) as store:
        (span,) = store.marks()[STREAM].pairs()
        assert span[0] == 1
        for tag in ("t0", f"t{TAGS - 1}"):
            found = store.samples("m1", tag, 0, 2**62)
            assert found.num.tolist() == [float(seq) for seq in range(1, span[1] + 1)]
        assert store.counts().stored == TAGS * span[1]
    return span[1]
