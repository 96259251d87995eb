"""A small plant whose counters are read through the real doors: births and payloads, decoder,
DuckDB, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import orjson

from edge_agent.app.agent.births import Meaning, birth
from edge_agent.config import load
from edge_agent.config.compile import plan
from edge_agent.config.models import Site
from edge_agent.config.plugins import InstalledPlugins
from edge_agent.ingest import decode
from edge_agent.metrics.assessment import Assessment
from edge_agent.metrics.calendar import Calendar
from edge_agent.metrics.live import LiveEvidence
from edge_agent.metrics.result import MetricResult
from edge_agent.production.count_notes import CountNotes
from edge_agent.production.figures import FigureOptions, production_figures
from edge_agent.production.gather import gather_production
from edge_agent.production.plant import Plant
from edge_agent.production.signals import PlantSignals
from edge_agent.production.site_devices import SiteDevices
from edge_agent.production.store_source import StoreFacts
from edge_agent.production.window_document import production
from edge_agent.register.model import Equipment, Register
from edge_agent.stores import Rows, WriteBatch
from edge_agent.stores.duckdb.store import DuckDbStore

S: Final = 1_000_000_000
MINUTE, HOUR, DAY = 60 * S, 3600 * S, 86_400 * S
#: 2026-10-12 00:00 in Shanghai, a Monday.
T0: Final = 1_791_734_400 * S

#: A machine with counters of parts and its own meter, and a meter of the line.
DEVICES: Final = """
devices:
  - id: m1
    connector: modbus
    url: tcp://127.0.0.1:1
    every: 1m
    state: {item: [{gives: Executing}], mode: [{gives: Processing}]}
    tags:
      parts_total: {address: holding/0, type: uint32%(parts)s}
      parts_ng: {address: holding/2, type: uint32}
  - id: meter
    connector: modbus
    url: tcp://127.0.0.1:2
    every: 1m
    tags:
      import: {address: holding/0, type: float64, unit: kWh%(meter)s}
"""
MACHINE: Final = Equipment("EQ-1", line="L1", gateway_device="m1", nominal_cycle_s=Decimal(40))
METER: Final = Equipment(
    "EQ-9", line="L1", category="meter", in_scope=False, gateway_device="meter"
)
REGISTER: Final = Register((MACHINE, METER))

Reading = tuple[int, Any]
"""(ns after T0, value)."""


@dataclass
class CountPlant:
    """A site and its store; readings are written minute by minute or as they are given."""

    folder: Path
    register: Register = REGISTER
    parts: str = ""
    """More keys of `parts_total` and of the meter's `import`, each with a comma before it."""
    meter: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    """`meters` and `events`: the text of these files."""
    devices: str = DEVICES
    _site: tuple[str, Site] | None = None

    def __post_init__(self) -> None:
        self.store = DuckDbStore(self.folder / "store.duckdb", days=100_000.0, agent="ipc-01")

    def site(self) -> Site:
        """As the configuration is now."""
        text = (
            "agent: {id: ipc-01, site: dongguan, timezone: Asia/Shanghai}\nmqtt: {url: "
            "mqtt://127.0.0.1:1883}\n"
        )
        text += "store: {path: store.duckdb}\n"
        for name, content in self.files.items():
            (self.folder / f"{name}.csv").write_text(content, encoding="utf-8")
        if self.files:
            text += "register: {" + ", ".join(f"{name}: {name}.csv" for name in self.files) + "}\n"
        text += self.devices % {"parts": self.parts, "meter": self.meter}
        if self._site is None or self._site[0] != text:
            path = self.folder / "site.yaml"
            path.write_text(text, encoding="utf-8")
            self._site = text, load(path)
        return self._site[1]

    def born(self, t: int = 0) -> None:
        """Its devices are announced as they are configured now."""
        for device in self.site().devices:
            plugin = InstalledPlugins()[device.connector]
            tables = plan(device, plugin).tables
            pieces = birth(
                device,
                tables,
                {},
                agent="ipc-01",
                path=f"x/{device.id}",
                area="",
                staleness=180.0,
                t=T0 + t,
                notes={},
                meaning=Meaning.by(plugin),
            )
            self.store.catalogue.born(decode.birth(decode.document(b"".join(pieces))))

    def write(
        self,
        device: str,
        tag: str,
        readings: Sequence[Reading],
        quality: Mapping[int, str] | None = None,
    ) -> None:
        """As payloads; `quality`: place of a reading -> its status."""
        rows = []
        for place, (t, value) in enumerate(readings):
            document: dict[str, Any] = {
                "v": 1,
                "device": device,
                "t": T0 + t,
                "values": {tag: value},
            }
            if quality and place in quality:
                document["quality"] = {tag: quality[place]}
            rows.append(decode.data(decode.document(orjson.dumps(document)), self.store.catalogue))
        self.store.write(WriteBatch(Rows.of(rows), T0 + 1000 * DAY))

    def working(self, since: int, until: int, seen_before: int = HOUR) -> None:
        """The machine is seen at work: states, and health a minute from `seen_before` its start
        on."""
        times = range(since, until, MINUTE)
        self.write("m1", "machine_state", [(t, 3) for t in times])
        self.write("m1", "operation_mode", [(t, 3) for t in times])
        self.alive("m1", since - seen_before, until)

    def alive(self, device: str, since: int, until: int) -> None:
        """Its health says that its values were current."""
        health = [
            {
                "device": device,
                "t": T0 + end,
                "period_s": 60.0,
                "scheduled_s": 60.0,
                "covered_s": 60.0,
                "due": 1,
                "done": 1,
                "good": 1,
                "bad": 0,
                "values": 1,
                "overruns": 0,
                "state": "online",
                "reason": "",
                "last_good_t": T0 + end,
            }
            for end in range(since + MINUTE, until + 1, MINUTE)
        ]
        self.store.write(WriteBatch(Rows.of([]), T0 + 1000 * DAY, health=health))

    def plant(self, start: int, end: int, calendar: Calendar | None = None) -> Plant:
        """The plant in a window."""
        site = self.site()
        window = T0 + start, T0 + end
        devices, notes = SiteDevices.of(site, self.store), CountNotes.of(site)
        signals = PlantSignals(site, self.register, devices, window=window, notes=notes)
        facts, _ = gather_production(StoreFacts(self.store), signals, calendar, *window, T0 + start)
        assessment = Assessment(
            signals.register,
            LiveEvidence({}, window[1]),
            configured=facts.devices.keys(),
            start=window[0],
            zone=signals.members.zone,
        )
        return Plant(facts, assessment, grades=dict.fromkeys(facts.devices, "E3"))

    def figures(self, start: int, end: int) -> dict[str, MetricResult]:
        """All figures of a window."""
        return production_figures(self.plant(start, end), FigureOptions())

    def document(self, start: int, end: int, calendar: Calendar | None = None) -> dict[str, Any]:
        """What the service publishes and answers."""
        return production(self.store, self.site(), self.register, calendar, T0 + start, T0 + end)

    def kwh(self, start: int, end: int) -> Fraction | None:
        """What the line's meter counted."""
        used = self.plant(start, end).metered("meter")
        return None if used is None else used.between(T0 + start, T0 + end)

    def produced(self, start: int, end: int) -> Fraction | None:
        """What the counter of parts counted."""
        counted = self.plant(start, end).counted("m1", "produced")
        return None if counted is None else counted.between(T0 + start, T0 + end)

    def events(self, start: int, end: int) -> list[tuple[str, int, float]]:
        """(kind, ns after T0, reading) of all events in a window."""
        found = self.plant(start, end).counter_events
        return [(event.kind, event.t - T0, float(event.after)) for _, event in found]


def each_minute(start: int, values: Sequence[Any]) -> list[Reading]:
    """One reading a minute."""
    return [(start + i * MINUTE, value) for i, value in enumerate(values)]
