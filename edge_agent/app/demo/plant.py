"""`edge-agent demo`: broker, simulated lines, agent and store service together, each a process of
its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.app.demo import rehearse
from edge_agent.app.demo.broker import configuration, free_port, program, wait_for_port
from edge_agent.app.demo.children import ChildProcess, python
from edge_agent.app.status.ask import ask_agent, ask_serve, final_status, serve_socket
from edge_agent.app.status.overview import demo_document
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.config.compile import plans
from edge_agent.config.models import Site
from edge_agent.config.resources import configs
from edge_agent.control.client import ask

#: How long the agent's last values may take into the store after it has ended, seconds.
SETTLE_S = 15.0

#: How long the store service may take to subscribe, seconds.
START_S = 30.0


class Demo:
    """A running demo. All its files lie below `folder`."""

    def __init__(self, folder: Path, speed: float) -> None:
        self.folder = folder
        self.clock = Clock(speed)
        self.config = folder / "demo.yaml"
        self._children: list[ChildProcess] = []
        self._site: Site

    @property
    def timezone(self) -> str:
        """The plant's, in which times are shown."""
        return self._site.agent.timezone

    @contextlib.asynccontextmanager
    async def running(self, say: Callable[[str], None]) -> AsyncIterator[Demo]:
        """Start everything, and whatever happens end it in reverse order."""
        self.folder.mkdir(parents=True, exist_ok=True)
        simulation = rehearse.SimulatorProcess(self.folder / "simulators.log")
        try:
            port = await self._start_broker(say)
            say("模拟机加工线 ML1 与打磨线 PL1 / the machining line ML1 and the polishing line PL1")
            await self._write_config(port, simulation)
            say("入库服务与采集代理 / the store service and the agent")
            await self._start("serve", python("edge_agent", "serve", str(self.config)))
            await self._subscribed()
            await self._start("agent", python("edge_agent", "run", str(self.config)))
            yield self
        finally:
            for child in reversed(self._children):
                await child.stop()
            await simulation.stop()

    async def _start_broker(self, say: Callable[[str], None]) -> int:
        port = free_port()
        say(f"消息服务器 nats-server / the broker nats-server: mqtt://127.0.0.1:{port}")
        file = self.folder / "nats.conf"
        file.write_text(configuration(self.folder, port))
        await self._start("broker", [program(), "-c", str(file)])
        await wait_for_port(port)
        return port

    async def _write_config(self, port: int, simulation: rehearse.SimulatorProcess) -> None:
        """The bundled configuration, pointing at what was just started."""
        original = configs() / "demo.yaml"
        site = load(original)
        endpoints = await simulation.start(rehearse.spec(site, plans(site), self.clock))
        overrides = {
            "mqtt": {"url": f"mqtt://127.0.0.1:{port}"},
            "outbox": {"path": str(self.folder / "outbox")},
            "store": {
                "path": str(self.folder / "store.duckdb"),
                "quarantine": str(self.folder / "quarantine"),
            },
        }
        self.config.write_text(rehearse.redirect(original, endpoints, overrides), encoding="utf-8")
        self._site = load(self.config)

    async def _start(self, name: str, argv: list[str]) -> None:
        self._children.append(
            await ChildProcess.start(name, argv, self.folder, self.clock.to_environment())
        )

    async def _subscribed(self) -> None:
        """Return when the store service has its subscription: what is published before waits 30 s
        to be sent again."""
        async with asyncio.timeout(START_S):
            while True:
                self.check()
                status = await asyncio.to_thread(ask_serve, self._site)
                if status is not None and status["broker_connected"]:
                    return
                await asyncio.sleep(0.1)

    def check(self) -> None:
        """Raises FindingsError when a part has ended by itself."""
        for child in self._children:
            child.check()

    async def snapshot(self) -> Snapshot | None:
        """What the parts say now, or None while they do not answer yet."""
        status = await asyncio.to_thread(ask_serve, self._site)
        agent = await asyncio.to_thread(ask_agent, self._site)
        if status is None or agent is None:
            return None
        metrics = await asyncio.to_thread(ask, serve_socket(self._site), "metrics")
        return Snapshot(status, metrics, agent)

    async def drain(self) -> Snapshot | None:
        """End the agent and wait until the store has all it had sent: then the figures agree.

        Agents and devices are shown as they were before: that they were ended here is nothing to
        look into.
        """
        before = await self.snapshot()
        await self._children.pop().stop()
        agent = final_status(self._site)
        end = asyncio.get_running_loop().time() + SETTLE_S
        while True:
            status = await asyncio.to_thread(ask_serve, self._site)
            if status is None or agent is None:
                return None
            late = asyncio.get_running_loop().time() > end
            if late or status["counters"]["stored"] >= agent["counters"]["acknowledged"]:
                metrics = await asyncio.to_thread(
                    ask, serve_socket(self._site), "metrics", fresh=True
                )
                return Snapshot(status, metrics, agent, before)
            await asyncio.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a demo: the store service's status and metrics, and the agent's status."""

    status: dict[str, Any]
    metrics: list[dict[str, Any]]
    agent: dict[str, Any]
    before: Snapshot | None = None
    """The last moment at which all parts ran, where the demo has ended the agent since."""

    def as_running(self) -> Snapshot:
        """The figures and counters of this moment, with agents and devices as they were while all
        parts ran."""
        if self.before is None:
            return self
        then = self.before
        status = self.status | {
            key: then.status[key] for key in ("agents", "devices", "ne107") if key in then.status
        }
        return Snapshot(status, self.metrics, then.agent | {"counters": self.agent["counters"]})

    def document(self) -> dict[str, Any]:
        """The demo's JSON document."""
        return demo_document(self.status, self.metrics, self.agent["counters"])
