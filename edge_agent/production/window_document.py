"""M-11 to M-21 of any window from what a store holds, as plain JSON: by machine, by line, for the
site.

What the running service publishes, keeps and answers. It computes nothing itself: `plant` and
`figures` do, as for reports; here stand the shapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

from edge_agent.config.models import Site
from edge_agent.metrics import energy
from edge_agent.metrics.assessment import Assessment
from edge_agent.metrics.calendar import Calendar
from edge_agent.metrics.counters import CounterEvent
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.lateness import from_histogram
from edge_agent.metrics.live import LiveEvidence
from edge_agent.metrics.oee import Production
from edge_agent.metrics.result import Grade, MetricResult, Window, divide, iso, number
from edge_agent.metrics.timemodel import Bucket, Totals, pareto
from edge_agent.production.count_doubts import doubted, event_document
from edge_agent.production.count_notes import CountNotes
from edge_agent.production.facts import PART_ROLES, WindowFacts
from edge_agent.production.figures import FigureOptions, production_figures
from edge_agent.production.gather import Known, gather_production
from edge_agent.production.load import full_quarters, load_profile, peak, summed_load
from edge_agent.production.plant import (
    INTEGRATED,
    Plant,
    PlantMachine,
    energy_scope,
    groups,
    summed,
)
from edge_agent.production.signals import PlantSignals, is_controller
from edge_agent.production.site_devices import SiteDevices
from edge_agent.production.store_source import FactSource, StoreFacts
from edge_agent.register.model import Equipment, Register
from edge_agent.stores.protocols import FactStore

#: M-21 speaks of the window's last hour.
LATENESS_NS: Final = 3_600_000_000_000
_NO_DEVICE: Final = Text("没有单独对应的采集设备", "no device speaks for this machine alone")
_NO_STATE: Final = Text("采集设备没有状态规则（state）", "its device has no state rules (state)")
_FROM_POWER: Final = Text(
    "电量由功率点积分得出，不是电表计数。",
    "The energy is integrated from a power tag, not counted by a meter.",
)
_DISAGREE: Final = Text(
    "电表计数与功率积分相差超过 10 %：请核对互感器变比与接线。",
    "Meter and integrated power differ by more than 10 %: check the CT/PT ratio and the wiring.",
)
_S: Final = 1_000_000_000


def production(
    store: FactStore,
    site: Site,
    register: Register,
    calendar: Calendar | None,
    start_ns: int,
    end_ns: int,
    *,
    computed_at: int | None = None,
) -> dict[str, Any]:
    """`window_document` of a site's own store."""
    devices = SiteDevices.of(site, store)
    notes = CountNotes.usable(site)
    signals = PlantSignals(site, register, devices, window=(start_ns, end_ns), notes=notes)
    return window_document(
        StoreFacts(store), signals, calendar, start_ns, end_ns, computed_at=computed_at
    )


def window_document(
    source: FactSource,
    signals: PlantSignals,
    calendar: Calendar | None,
    start_ns: int,
    end_ns: int,
    *,
    computed_at: int | None = None,
) -> dict[str, Any]:
    """`{"window", "assumptions", "machines": {id: ...}, "lines": {line: ...}, "site": ...,
    "without": {id: reason}}`.

    Each scope has `results` (metric id -> full result), `seconds` by bucket and reason, `losses`
    (the Pareto) and `energy`; a machine also its counters. What is not known is null with its
    reason, and the rest stands.
    """
    late_from = max(start_ns, end_ns - LATENESS_NS)
    facts, known = gather_production(source, signals, calendar, start_ns, end_ns, late_from)
    configured = facts.devices.keys()
    zone = signals.members.zone
    assessment = Assessment(
        signals.register,
        LiveEvidence({}, end_ns),
        computed_at,
        configured=configured,
        start=start_ns,
        zone=zone,
    )
    plant = Plant(facts, assessment, grades=_grades(signals, known, facts), computed_at=computed_at)
    return _Document(plant, signals, late_from).to_json()


def _grades(signals: PlantSignals, known: Known, facts: WindowFacts) -> dict[str, Grade]:
    """What the figures of a device's machine rest on in this window: on values that were current in
    it, or on none."""
    grades: dict[str, Grade] = {}
    for device in signals.wanted:
        current = any(a < facts.end and b > facts.start for a, b in known.get(device.id, ()))
        grades[device.id] = "E0" if not current else "E3" if is_controller(device.config) else "E2"
    return grades


class _Document:
    """The JSON of one plant in one window."""

    def __init__(self, plant: Plant, signals: PlantSignals, late_from: int) -> None:
        self._plant = plant
        self._signals = signals
        self._start = plant.facts.start
        self._end = plant.facts.end
        self._late_from = late_from
        self._options = FigureOptions()
        self._figures = production_figures(plant, self._options)
        energies = {line: plant.line_energy(line)[0] for line in plant.lines}
        self._loads = {
            line: load_profile(plant, used) for line, used in energies.items() if used is not None
        }

    def to_json(self) -> dict[str, Any]:
        plant = self._plant
        lines = {
            name: machines
            for (level, name), machines in groups(plant.working).items()
            if level == "line"
        }
        return {
            "window": {**plant.window.to_json(), "from_ns": self._start, "to_ns": self._end},
            "register_version": plant.assessment.register.version,
            "computed_at": iso(plant.computed_at),
            "assumptions": [text._asdict() for text in plant.assumptions],
            "machines": {
                machine.id: self._machine(machine, made) for machine, made in self._working()
            },
            "lines": {line: self._scope(lines[line], line) for line in plant.lines},
            "site": self._scope(plant.working, None),
            "without": {
                machine.id: self._why_without(machine.equipment)._asdict()
                for machine in plant.working
                if machine.production is None
            },
        }

    def _why_without(self, machine: Equipment) -> Text:
        return _NO_DEVICE if self._signals.of(machine) is None else _NO_STATE

    def _working(self) -> Iterator[tuple[PlantMachine, Production]]:
        """The machines whose states are collected."""
        for machine in self._plant.working:
            if machine.production is not None:
                yield machine, machine.production

    def _machine(self, machine: PlantMachine, made: Production) -> dict[str, Any]:
        used = machine.energy
        device = machine.device or ""
        events = {role: self._plant.events(device, role) for role in PART_ROLES}
        integrated = machine.energy_source.endswith(INTEGRATED)
        check = None if integrated else self._plant.power_check(machine.energy_source)
        return {
            "device": device,
            "line": machine.equipment.line,
            "order_source": made.order_source,
            "results": {
                metric: result.to_full_json()
                for metric, result in self._machine_results(machine).items()
            },
            **_time(made.totals),
            "parts": {
                "produced": number(made.pq),
                "good": number(made.gq),
                "produced_outside_planned": number(made.outside_pq),
                "events": {
                    role: [_event(event) for event in found]
                    for role, found in events.items()
                    if found
                },
            },
            "energy": {
                "kwh": None if used is None else number(used.between(*machine.span)),
                "source": machine.energy_source,
                **_checked(
                    None if check is None else check.disagreement,
                    [_FROM_POWER] if integrated else [],
                ),
                "events": [
                    _event(event) for event in self._plant.events(machine.energy_source, "energy")
                ],
            },
        }

    def _machine_results(self, machine: PlantMachine) -> dict[str, MetricResult]:
        scope = energy_scope(self._plant, machine.id, machine)
        coal = doubted(
            energy.standard_coal(scope, machine.energy, self._options.kgce_per_kwh),
            machine.energy_doubts,
        )
        return {
            **machine.results,
            "M-18": self._figures[f"M-18@{machine.id}"],
            "M-19": coal,
            "M-20": self._figures[f"M-20@{machine.id}"],
        }

    def _scope(self, machines: Sequence[PlantMachine], line: str | None) -> dict[str, Any]:
        inside = [machine for machine in machines if machine.production is not None]
        found = self._lateness(inside)
        for key, result in self._figures.items():
            metric, _, scope = key.partition("@")
            if scope == ("" if line is None else f"line:{line}"):
                found[metric] = result
        return {
            "machines": [machine.id for machine in inside],
            "results": {metric: result.to_full_json() for metric, result in sorted(found.items())},
            **_time(summed(inside)),
            "energy": self._energy(line),
            "events": self._events(inside, line),
        }

    def _events(self, machines: Sequence[PlantMachine], line: str | None) -> list[dict[str, Any]]:
        """What the counters of a line did besides counting on; of the site all."""
        devices = {machine.device for machine in machines} | {
            machine.energy_source for machine in machines
        }
        lines = self._plant.lines if line is None else [line]
        devices |= {meter.device for each in lines for meter in self._plant.meters(each)}
        return [
            event_document(counter, event)
            for counter, event in self._plant.counter_events
            if counter.device in devices
        ]

    def _lateness(self, machines: Iterable[PlantMachine]) -> dict[str, MetricResult]:
        """M-21, of the samples of these machines' devices in the last hour."""
        having: list[str] = []
        counts: dict[int, int] = {}
        for machine in machines:
            own = self._plant.facts.lateness.get(machine.device or "", {})
            having += [machine.id] if own else []
            for delay, samples in own.items():
                counts[delay] = counts.get(delay, 0) + samples
        plant = self._plant
        version = plant.assessment.register.version
        return {
            metric: replace(result, register_version=version, computed_at=plant.computed_at)
            for metric, result in from_histogram(
                counts, having, Window(self._late_from, self._end)
            ).items()
        }

    def _energy(self, line: str | None) -> dict[str, Any]:
        plant = self._plant
        lines = plant.lines if line is None else [line]
        meters = [meter.id for each in lines for meter in self._signals.meters(each)]
        used = [found for each in lines if (found := plant.line_energy(each)[0]) is not None]
        if not used:
            return {"kwh": None, "meters": meters, "demand": [], "peak": None}
        profile = summed_load([self._loads[each] for each in lines if each in self._loads])
        top = peak(full_quarters(plant, profile))
        checks = (
            check.disagreement
            for meter in meters
            if (check := plant.power_check(meter)) is not None
        )
        worst = max((each for each in checks if each is not None), default=None)
        return {
            "kwh": number(
                sum((each.between(self._start, self._end) for each in used), Fraction(0))
            ),
            "meters": meters,
            "demand": [[t, number(kw)] for t, kw in profile],
            "peak": top and {"t": top[0], "kw": number(top[1])},
            **_checked(worst, []),
        }


def _checked(difference: Fraction | None, notes: Sequence[Text]) -> dict[str, Any]:
    found = [
        *notes,
        *([_DISAGREE] if difference is not None and difference > energy.TOLERANCE else []),
    ]
    return {"disagreement": number(difference), "notes": [note._asdict() for note in found]}


def _event(event: CounterEvent) -> dict[str, Any]:
    return {
        "t": event.t,
        "kind": event.kind,
        "before": float(event.before),
        "after": float(event.after),
        "amount": float(event.amount),
        "readings": event.readings,
        "basis": event.basis,
        "counted": event.counted,
    }


def _time(window: Totals) -> dict[str, Any]:
    seconds = {bucket.value: number(Fraction(window.bucket(bucket), _S)) for bucket in Bucket}
    reasons: dict[str, int] = {}
    for (_, reason), length in window.parts.items():
        if reason.value:
            reasons[reason.value] = reasons.get(reason.value, 0) + length
    return {
        "seconds": {
            **seconds,
            "POT": number(Fraction(window.pot, _S)),
            "PBT": number(Fraction(window.pbt, _S)),
            "unknown": number(Fraction(window.unknown, _S)),
        },
        "reasons": {name: number(Fraction(length, _S)) for name, length in sorted(reasons.items())},
        "unknown_share": number(divide(window.unknown, window.pbt)),
        "failures": window.failures,
        "losses": [
            {
                "loss": name,
                "seconds": number(Fraction(length, _S)),
                "share": number(divide(length, window.pbt)),
            }
            for name, length in pareto(window)
        ],
    }
