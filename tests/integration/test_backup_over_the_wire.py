"""A running plant is backed up, killed and restored elsewhere: every value that had been read is
there once, over a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb

from edge_agent.backup.restore import restore
from edge_agent.control.client import ask, running, socket_path
from tests.support.aio import run, until
from tests.support.modbus_wire import Device, honest, tcp_device
from tests.support.servers import free_port, mosquitto


class CountingPlc:
    """Its register holds how often it was read: each value is another, and none may be missing."""

    def __init__(self) -> None:
        self.reads = 0
        self._device = Device({0: 0})

    async def __call__(self, writer: asyncio.StreamWriter, tid: int, unit: int, pdu: bytes) -> None:
        self.reads += 1
        self._device.registers[0] = self.reads
        await honest(writer, tid, unit, pdu, self._device)


@contextlib.contextmanager
def process(folder: Path, *words: object) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "edge_agent", *map(str, words)], stdout=log, stderr=log
        )
    try:
        yield started
    finally:
        started.kill()
        started.wait(30)


def plant(folder: Path, url: str, port: int) -> Path:
    folder.mkdir()
    path = folder / "plant.yaml"
    path.write_text(
        "agent: {id: ipc-01, site: s, health: 500ms}\n"
        f"mqtt: {{url: 'mqtt://127.0.0.1:{port}'}}\n"
        "outbox: {path: data/outbox, max_bytes: 20000000}\n"
        "store: {path: data/store.duckdb}\n"
        "devices:\n"
        f"  - {{id: d, connector: modbus, url: '{url}', every: 50ms, tags: {{n: {{address: holding/0}}}}}}\n"
    )
    return path


def newest(folder: Path) -> int:
    """The highest number that the store service has; 0 before the first."""
    with contextlib.suppress(ConnectionError, KeyError):
        found = ask(socket_path(folder / "data/store.duckdb"), "latest", device="d")
        return int(found["d"]["n"]["value"])
    return 0


def stored(folder: Path) -> list[int]:
    with closing(duckdb.connect(str(folder / "data/store.duckdb"), read_only=True)) as connection:
        rows = connection.execute(
            "select num::bigint from samples join series using (sid) where tag = 'n' "
            "and num is not null order by 1"
        ).fetchall()
    return [number for (number,) in rows]


def test_a_restored_plant_stores_every_value_once(tmp_path: Path) -> None:
    port = free_port()
    plc = CountingPlc()
    first, second = tmp_path / "first", tmp_path / "second"

    async def scenario() -> tuple[int, int]:
        async with tcp_device(plc) as url:
            config = plant(first, url, port)
            with process(first, "serve", config) as serve, process(first, "run", config) as agent:
                with mosquitto(tmp_path / "broker", port):
                    await until(lambda: newest(first) > 20)
                # The broker is away: what is read now is in the outbox only.
                before = plc.reads
                await until(lambda: plc.reads > before + 20)
                known = plc.reads - 2  # the newest answer may be under way
                backup = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "edge_agent", "backup", config, "--out", tmp_path / "b",
                    "--json", stdout=subprocess.PIPE,
                )  # fmt: skip
                report = json.loads((await backup.communicate())[0])
                assert report["outbox_bytes"] > 0
                assert (report["tries"], report["damaged_blocks"]) == (1, 0)
                with mosquitto(tmp_path / "broker", port):  # it went on after the backup
                    await until(lambda: newest(first) > known)
                    for each in (serve, agent):
                        each.send_signal(signal.SIGKILL)
                        each.wait(30)
                killed = plc.reads
            restored = restore(tmp_path / "b", second)
            assert restored.config == str(second / "plant.yaml")
            with (
                mosquitto(tmp_path / "other broker", port),
                process(second, "serve", restored.config) as serve,
                process(second, "run", restored.config) as agent,
            ):
                await until(lambda: newest(second) > killed + 20)
                status = ask(socket_path(second / "data/outbox/agent"), "status")
                await until(lambda: not pending(second))
                assert status["outbox"]["pending_entries"] >= 0
                for each in (agent, serve):
                    each.send_signal(signal.SIGTERM)
                    await asyncio.to_thread(each.wait, 30)
        return known, killed

    def pending(folder: Path) -> int:
        return (
            int(
                ask(socket_path(folder / "data/outbox/agent"), "status")["outbox"][
                    "pending_entries"
                ]
            )
            > 5
        )

    known, killed = run(scenario(), 110)
    numbers = stored(second)
    assert len(numbers) == len(set(numbers)), "nothing is counted twice"
    lacking = set(range(1, max(numbers) + 1)) - set(numbers)
    between = {number for number in lacking if known < number <= killed + 2}
    assert lacking == between, "only what was read after the backup is not in it"
    assert not running(socket_path(second / "data/store.duckdb"))
    assert os.stat(tmp_path / "b").st_mode & 0o077 == 0
