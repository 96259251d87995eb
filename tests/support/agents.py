"""A whole agent in the test's own loop, over real Modbus TCP devices of the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from edge_agent.app.agent.agent import EdgeAgent
from edge_agent.clock import Clock
from edge_agent.config import load
from tests.support.modbus_wire import Device, honest, tcp_device


class Plc:
    """One Modbus TCP device that counts its connections and requests."""

    def __init__(self, **registers: int) -> None:
        self.device = Device(
            {int(key[1:]): value for key, value in registers.items()} or {0: 7, 1: 8}
        )
        self.connections: set[asyncio.StreamWriter] = set()
        self.silent = False
        self.url = ""

    @property
    def polls(self) -> int:
        return len(self.device.asked)

    @contextlib.asynccontextmanager
    async def on(self) -> AsyncIterator[Plc]:
        async def answer(writer: asyncio.StreamWriter, tid: int, unit: int, pdu: bytes) -> None:
            self.connections.add(writer)
            if not self.silent:
                await honest(writer, tid, unit, pdu, self.device)

        async with tcp_device(answer) as self.url:
            yield self


def configuration(
    folder: Path, port: int, devices: Mapping[str, str], extra: str = "", mqtt: str = ""
) -> Path:
    """A site file; `devices`: id -> further keys in YAML's flow style."""
    lines = [
        f"  - {{id: {name}, connector: modbus, timeout: 500ms, {keys}}}"
        for name, keys in devices.items()
    ]
    path = folder / "site.yaml"
    path.write_text(
        f"agent: {{id: ipc-01, site: test, health: 200ms{extra}}}\n"
        f"mqtt: {{url: 'mqtt://127.0.0.1:{port}'{mqtt}}}\n"
        "devices:\n" + "\n".join(lines) + "\n",
        encoding="utf-8",
    )
    return path


@contextlib.asynccontextmanager
async def running(path: Path) -> AsyncIterator[EdgeAgent]:
    """The agent of a file, stopped in order at the end."""
    async with running_agent(EdgeAgent(load(path), Clock(), source=path)) as agent:
        yield agent


@contextlib.asynccontextmanager
async def running_agent(agent: EdgeAgent) -> AsyncIterator[EdgeAgent]:
    """The same of one that was made already."""
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(stop), name="agent")
    try:
        yield agent
    finally:
        stop.set()
        await task


def online(agent: EdgeAgent, *names: str) -> Callable[[], bool]:
    """A condition for `until`: these devices are online."""
    return lambda: {d.plan.id for d in agent.devices if d.health.state == "online"} >= set(names)
