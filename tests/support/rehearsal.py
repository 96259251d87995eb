"""The demo's two lines sped up, with the truth written down: what the simulated machines really
did."""

from __future__ import annotations

import asyncio
import contextlib
import json
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from edge_agent.app.demo import rehearse
from edge_agent.app.demo.broker import configuration, free_port, program, wait_for_port
from edge_agent.app.demo.children import ChildProcess, python
from edge_agent.app.status.ask import ask_agent, ask_serve, final_status
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.config.compile import plans
from edge_agent.config.models import Site
from edge_agent.config.resources import configs
from tests.support.aio import until

SECOND = 1_000_000_000
ZONE = ZoneInfo("Asia/Shanghai")


@dataclass
class Rehearsal:
    """A running rehearsal; `site` is the configuration that points at the simulators."""

    folder: Path
    clock: Clock
    every_s: float
    calendar: Callable[[int], str] = lambda now: CALENDAR
    """The shift calendar, written when the simulators are ready and it is `now` (ns)."""
    start_hour: float = 9.0
    """Hour of the simulated day at the start."""
    site: Site = field(init=False)
    spec: dict[str, Any] = field(init=False)
    """What the simulators were given."""
    simulation: rehearse.SimulatorProcess = field(init=False)
    children: list[ChildProcess] = field(default_factory=list)

    @property
    def truth(self) -> Path:
        return self.folder / "truth.jsonl"

    @contextlib.asynccontextmanager
    async def running(self, faults: rehearse.Faults | None = None) -> AsyncIterator[Rehearsal]:
        """Broker, simulators, serve and agent, each a process; whatever happens they are ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.simulation = rehearse.SimulatorProcess(self.folder / "simulators.log")
        try:
            await self._start(faults)
            yield self
        finally:
            for child in reversed(self.children):
                await child.stop()
            await self.simulation.stop()

    async def _start(self, faults: rehearse.Faults | None) -> None:
        port = free_port()
        conf = self.folder / "nats.conf"
        conf.write_text(configuration(self.folder, port))
        await self._child("broker", [program(), "-c", str(conf)])
        await wait_for_port(port)
        original = configs() / "demo.yaml"
        site = load(original)
        self.spec = rehearse.spec(site, plans(site), self.clock, truth=self.truth, faults=faults)
        self.spec["start_hour"] = self.start_hour
        endpoints = await self.simulation.start(self.spec)
        file = self.folder / "site.yaml"
        file.write_text(
            rehearse.redirect(original, endpoints, self._overrides(port)), encoding="utf-8"
        )
        self.site = load(file)
        await self._child("serve", python("edge_agent", "serve", str(file)))
        await until(lambda: ask_serve(self.site), 30, "serve answers")
        await self._child("agent", python("edge_agent", "run", str(file)))
        await until(lambda: ask_agent(self.site), 30, "the agent answers")

    def _overrides(self, port: int) -> dict[str, dict[str, Any]]:
        calendar = self.folder / "calendar.yaml"
        calendar.write_text(self.calendar(self.clock.time_ns()), encoding="utf-8")
        period = f"{self.every_s:g}s"
        return {
            "agent": {"health": f"{6 * self.every_s:g}s"},
            "mqtt": {"url": f"mqtt://127.0.0.1:{port}"},
            "outbox": {"path": str(self.folder / "outbox")},
            "store": {
                "path": str(self.folder / "store.duckdb"),
                "quarantine": str(self.folder / "quarantine"),
            },
            "register": {"calendar": str(calendar)},
            "defaults": {"modbus": {"every": period}, "opcua": {"every": period}},
        }

    async def _child(self, name: str, argv: list[str]) -> None:
        self.children.append(
            await ChildProcess.start(name, argv, self.folder, self.clock.to_environment())
        )

    async def settle(self) -> dict[str, Any]:
        """End the agent and wait until the store has all it acknowledged; the agent's last
        words."""
        await self.children.pop().stop()
        words = final_status(self.site)
        assert words is not None

        def stored() -> bool:
            status = ask_serve(self.site)
            return (
                status is not None
                and status["counters"]["stored"] >= words["counters"]["acknowledged"]
            )

        await until(lambda: asyncio.to_thread(stored), 60, "all is stored")
        return words


#: The simulators' own calendar (two shifts of ten hours, a break in each), as a plant would write
#: it down.
CALENDAR = """\
timezone: Asia/Shanghai
schedules:
  two-shift:
    shifts:
      - {name: day, start: 8:00, end: 18:00}
      - {name: late, start: 18:00, end: 4:00}
    breaks:
      - {name: lunch, start: 12:00, end: 12:30}
      - {name: supper, start: 22:00, end: 22:30}
"""


class Truth:
    """The simulators' log, by device."""

    def __init__(self, path: Path) -> None:
        self.states: dict[str, list[tuple[int, int, int]]] = {}
        """(t, item state, operation mode) at each change."""
        self.parts: dict[str, list[tuple[int, int, int]]] = {}
        """(t, made, scrap) since the start."""
        self.kwh: dict[str, list[tuple[int, float]]] = {}
        """(t, kWh since the start)."""
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            t, device = row["t"], row["device"]
            if row["event"] == "state":
                self.states.setdefault(device, []).append(
                    (t, row["item_state"], row["operation_mode"])
                )
            elif row["event"] == "parts":
                self.parts.setdefault(device, []).append((t, row["made"], row["scrap"]))
            elif row["event"] == "energy":
                self.kwh.setdefault(device, []).append((t, row["kwh"]))

    def made(self, device: str, start: int, end: int) -> tuple[int, int]:
        """Parts made and scrapped in `start < t <= end`."""
        rows = self.parts[device]
        times = [row[0] for row in rows]
        first, last = (rows[max(0, bisect_right(times, edge) - 1)] for edge in (start, end))
        return last[1] - first[1], last[2] - first[2]
