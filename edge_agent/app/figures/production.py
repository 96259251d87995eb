"""M-11 to M-21 of any window from what the store holds: by machine, by line, for the site. Plain JSON comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Final

from edge_agent.app.figures.signals import BEFORE_NS, Device, Links, Signals
from edge_agent.app.site_devices import SiteDevices
from edge_agent.config.models import Site
from edge_agent.metrics import energy, oee
from edge_agent.metrics.calendar import Calendar
from edge_agent.metrics.counters import PARTS, Count, Event, made_in
from edge_agent.metrics.curve import Curve, Curves
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.lateness import from_histogram
from edge_agent.metrics.oee import Production
from edge_agent.metrics.result import Result, Window, divide, iso, number
from edge_agent.metrics.rollup import rolled_up
from edge_agent.metrics.timemodel import (
    Bucket,
    Plan,
    Timeline,
    Totals,
    Track,
    classify,
    pareto,
    planned_busy,
    spans,
    totals,
)
from edge_agent.register.model import Equipment, Register
from edge_agent.stores import Store

NO_CALENDAR: Final = Text(
    "未配置班次日历（register.calendar）：窗口内全部时间视为计划时间，属假设。",
    "There is no shift calendar (register.calendar): all time of the window counts as planned, an assumption.",
)
_NO_DEVICE: Final = Text("没有单独对应的采集设备", "no device speaks for this machine alone")
_NO_STATE: Final = Text("采集设备没有状态规则（state）", "its device has no state rules (state)")
_FROM_POWER: Final = Text(
    "电量由功率点积分得出，不是电表计数。", "The energy is integrated from a power tag, not counted by a meter."
)
_LAST_STATION: Final = Text(
    "产线合格品数取自该线唯一的检测设备，属假设。",
    "The good parts of a line are those of its one inspection machine, an assumption.",
)
_NO_LAST_STATION: Final = Text(
    "无法确定产线的末道设备（没有唯一的、有合格品计数的检测设备）",
    "it is not known which machine is the line's last (no single inspection machine with a count of good parts)",
)
_DISAGREE: Final = Text(
    "电表计数与功率积分相差超过 10 %：请核对互感器变比与接线。",
    "Meter and integrated power differ by more than 10 %: check the CT/PT ratio and the wiring.",
)
_S: Final = 1_000_000_000


def production(
    store: Store,
    site: Site,
    register: Register,
    calendar: Calendar | None,
    start_ns: int,
    end_ns: int,
    *,
    computed_at: int | None = None,
) -> dict[str, Any]:
    """`{"window", "assumptions", "machines": {id: ...}, "lines": {line: ...}, "site": ..., "without": {id: reason}}`.

    Each scope has `results` (metric id -> full result), `seconds` by bucket and reason, `losses` (the Pareto) and
    `energy`; a machine also its counters. Whatever cannot be told is null with its reason, and the rest stands.
    """
    links = Links(site, register, SiteDevices.of(site, store))
    plant = Plant(links, Signals(store, links, start_ns, end_ns), calendar, computed_at)
    return plant.document()


@dataclass(frozen=True)
class Machine:
    """One machine in the window."""

    equipment: Equipment
    device: Device
    timeline: Timeline
    production: Production
    counters: Mapping[str, tuple[Event, ...]]
    energy: Curve | None
    source: str
    """Where the energy comes from: a device id, with `integrated` for a power tag; empty without."""
    check: Fraction | None

    @property
    def id(self) -> str:
        return self.equipment.equipment_id


class Plant:
    """Everything of one window. Equal facts give equal figures."""

    def __init__(self, links: Links, signals: Signals, calendar: Calendar | None, computed_at: int | None) -> None:
        self._links = links
        self._signals = signals
        self._calendar = calendar
        self._start, self._end = signals.start, signals.end
        self._computed_at = computed_at
        self.without: dict[str, Text] = {}
        self._plans: dict[str, Track[Plan]] = {}

    @cached_property
    def machines(self) -> dict[str, Machine]:
        """Those whose state is collected; why the others are not among them stands in `without`."""
        found = {}
        for equipment in sorted(self._links.machines, key=lambda row: row.equipment_id):
            device = self._links.of(equipment)
            if device is None or not device.has_state:
                self.without[equipment.equipment_id] = _NO_DEVICE if device is None else _NO_STATE
                continue
            found[equipment.equipment_id] = self._machine(equipment, device)
        return found

    def _machine(self, equipment: Equipment, device: Device) -> Machine:
        signals = self._signals
        by_tag = self._order_source(equipment) == "tag" and device.order is not None
        order = signals.order(device) if by_tag else None
        plan = self._plan(equipment.schedule_id)
        # From before the window on: a failure that goes on across its start began in an earlier one.
        parts = spans(self._start - BEFORE_NS, self._end, signals.item(device), signals.mode(device), order, plan)
        timeline = classify(parts)
        window = (self._start, self._end)
        busy = planned_busy(timeline, *window)
        counts = {role: signals.parts(device, role, [window, *busy]) for role in PARTS}
        pq, gq = made_in(counts, busy)
        whole_pq, whole_gq = made_in(counts, [window])
        made = Production(
            equipment.equipment_id,
            totals(timeline, *window),
            pq,
            gq,
            None if equipment.nominal_cycle_s is None else Fraction(equipment.nominal_cycle_s),
            "tag" if by_tag else "calendar",
            Window(*window),
            signals.grade(device),
            self._links.register.version,
            self._computed_at,
            whole_pq,
            whole_gq,
        )
        return Machine(equipment, device, timeline, made, self._events(counts), *self._energy(equipment, device))

    def _order_source(self, equipment: Equipment) -> str:
        schedule = self._calendar.schedule(equipment.schedule_id) if self._calendar else None
        return schedule.order_source if schedule else "calendar"

    def _plan(self, schedule: str) -> Track[Plan]:
        if schedule not in self._plans:
            start = self._start - BEFORE_NS
            whole = Track((start,), (Plan.SHIFT,))
            plan = self._calendar.plan(schedule, start, self._end) if self._calendar else whole
            self._plans[schedule] = plan
        return self._plans[schedule]

    def _events(self, counts: Mapping[str, Count | None]) -> dict[str, tuple[Event, ...]]:
        """What the counters did in the window besides counting."""
        events = {
            role: tuple(event for event in c.events if self._start < event.t <= self._end)
            for role, c in counts.items()
            if c is not None
        }
        return {role: found for role, found in events.items() if found}

    def _energy(self, equipment: Equipment, device: Device) -> tuple[Curve | None, str, Fraction | None]:
        """The machine's own counter, else a meter of its own, else its power tag; and how counter and power differ."""
        power = self._signals.power(device)
        for metering in (device, self._links.meter_of(equipment)):
            curve = None if metering is None else self._signals.energy(metering)
            if metering is not None and curve is not None:
                own = power if metering is device else self._signals.power(metering)
                return curve, metering.id, self._difference(curve, own)
        return (None, "", None) if power is None else (power, f"{device.id} integrated", None)

    def _difference(self, curve: Curve, power: Curve | None) -> Fraction | None:
        """None where there is too little energy to tell: a counter's steps are coarse."""
        used = curve.between(self._start, self._end)
        if power is None or used < energy.STEPS * curve.resolution:
            return None
        return energy.disagreement(used, power.between(self._start, self._end))

    # --- what comes out ----------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Everything as plain JSON."""
        machines = {key: self._machine_results(machine) for key, machine in self.machines.items()}
        lines = {line: self._line_results(line, machines) for line in self._links.lines}
        site = self._site_results(machines, lines)
        return {
            "window": {**Window(self._start, self._end).to_json(), "from_ns": self._start, "to_ns": self._end},
            "register_version": self._links.register.version,
            "computed_at": iso(self._computed_at),
            "assumptions": [text._asdict() for text in self._assumptions()],
            "machines": {key: self._machine_document(self.machines[key], found) for key, found in machines.items()},
            "lines": {line: self._scope_document(found, line) for line, found in lines.items()},
            "site": self._scope_document(site, None),
            "without": {key: reason._asdict() for key, reason in self.without.items()},
        }

    def _assumptions(self) -> list[Text]:
        return [] if self._calendar else [NO_CALENDAR]

    def _scope(self, name: str, grade: Any = "E2") -> energy.Scope:
        return energy.Scope(name, self._start, self._end, grade, self._links.register.version, self._computed_at)

    def _machine_results(self, machine: Machine) -> dict[str, Result]:
        scope = self._scope(machine.id, machine.production.grade)
        found = [
            *oee.evaluate(machine.production).values(),
            energy.per_good_part(scope, machine.energy, machine.production.whole_gq),
            energy.standard_coal(scope, machine.energy),
            energy.idle_share(scope, machine.energy, machine.timeline),
        ]
        return {result.definition.id: result for result in found}

    def _line_results(self, line: str, machines: Mapping[str, Mapping[str, Result]]) -> dict[str, Result]:
        members = [key for key, machine in self.machines.items() if machine.equipment.line == line]
        found = self._rolled(members, machines, line)
        scope, metered = self._scope(line), self.line_energy(line)
        found["M-19"] = energy.standard_coal(scope, metered)
        good, reason = self._line_good(line)
        per_part = energy.per_good_part(scope, metered, good)
        note = {"reason": reason} if metered is not None and good is None else {"notes": (_LAST_STATION,)}
        found["M-18"] = replace(per_part, **note)
        return found | self._lateness(members)

    def _site_results(
        self, machines: Mapping[str, Mapping[str, Result]], lines: Mapping[str, Mapping[str, Result]]
    ) -> dict[str, Result]:
        found = self._rolled(list(machines), machines, "site")
        window = Window(self._start, self._end)
        for metric in ("M-18", "M-19"):
            per_line = {line: (results[metric], Fraction(0)) for line, results in lines.items()}
            found[metric] = rolled_up(metric, per_line, ["site"], window)
        coal = found["M-19"]
        if coal.numerator is not None:  # each line divides by 1000 kg; so does their sum
            found["M-19"] = replace(coal, denominator=Fraction(1000), value=coal.numerator / 1000)
        return found | self._lateness(list(self.machines))

    def _rolled(
        self, members: Sequence[str], machines: Mapping[str, Mapping[str, Result]], scope: str
    ) -> dict[str, Result]:
        window = Window(self._start, self._end)
        metrics = [metric for metric in next(iter(machines.values()), {}) if metric not in ("M-18", "M-19")]
        return {
            metric: rolled_up(
                metric,
                {key: (machines[key][metric], self.machines[key].production.pbt) for key in members},
                [scope],
                window,
            )
            for metric in metrics
        }

    def _lateness(self, members: Sequence[str]) -> dict[str, Result]:
        together: dict[int, int] = {}
        having = []
        for key in members:
            own = self._signals.lateness.get(self.machines[key].device.key, {})
            having += [key] if own else []
            for ms, values in own.items():
                together[ms] = together.get(ms, 0) + values
        return from_histogram(together, having, Window(self._signals.last_hour, self._end))

    def line_energy(self, line: str | None) -> Curves | None:
        """Energy of a line (None: of the site): its meters, else its machines' own."""
        if line is None:
            parts = [self.line_energy(each) for each in self._links.lines]
            return (
                Curves([curve for part in parts if part is not None for curve in part.curves]) if any(parts) else None
            )
        curves = [self._signals.energy(meter) for meter in self._links.meters(line)]
        if not any(curve is not None for curve in curves):
            curves = [machine.energy for machine in self.machines.values() if machine.equipment.line == line]
        found = [curve for curve in curves if curve is not None]
        return Curves(found) if found else None

    def _line_good(self, line: str) -> tuple[Fraction | None, Text | None]:
        ends = [
            machine
            for machine in self.machines.values()
            if machine.equipment.line == line and machine.equipment.category == "inspection"
        ]
        if len(ends) != 1 or ends[0].production.whole_gq is None:
            return None, _NO_LAST_STATION
        return ends[0].production.whole_gq, None

    # --- documents ---------------------------------------------------------------------------------------------

    def _machine_document(self, machine: Machine, results: Mapping[str, Result]) -> dict[str, Any]:
        made = machine.production
        kwh = None if machine.energy is None else machine.energy.between(self._start, self._end)
        notes = [_FROM_POWER] if machine.source.endswith(" integrated") else []
        return {
            "device": machine.device.id,
            "line": machine.equipment.line,
            "order_source": made.order_source,
            "results": {metric: result.to_full_json() for metric, result in results.items()},
            **_time_document(made.totals),
            "parts": {
                "produced": number(made.pq),
                "good": number(made.gq),
                "produced_outside_planned": number(made.outside_pq),
                "events": {role: [_event(event) for event in found] for role, found in machine.counters.items()},
            },
            "energy": {
                "kwh": number(kwh),
                "source": machine.source,
                **_checked(machine.check, notes),
                "events": [_event(event) for event in machine.energy.events] if machine.energy else [],
            },
        }

    def _scope_document(self, results: Mapping[str, Result], line: str | None) -> dict[str, Any]:
        inside = [m for m in self.machines.values() if line in (None, m.equipment.line)]
        whole = Totals({}, 0)
        for machine in inside:
            whole = whole + machine.production.totals
        return {
            "machines": [machine.id for machine in inside],
            "results": {metric: result.to_full_json() for metric, result in sorted(results.items())},
            **_time_document(whole),
            "energy": self._energy_document(line),
        }

    def _energy_document(self, line: str | None) -> dict[str, Any]:
        used = self.line_energy(line)
        meters = [meter for each in ([line] if line else self._links.lines) for meter in self._links.meters(each)]
        names = [meter.id for meter in meters]
        if used is None:
            return {"kwh": None, "meters": names, "demand": [], "peak": None}
        profile = energy.demand(used, self._start, self._end)
        top = energy.peak(profile)
        worst = max((self._meter_check(meter) for meter in meters), key=lambda each: each or Fraction(0), default=None)
        return {
            "kwh": number(used.between(self._start, self._end)),
            "meters": names,
            "demand": [[t, number(kw)] for t, kw in profile],
            "peak": top and {"t": top[0], "kw": number(top[1])},
            **_checked(worst, []),
        }

    def _meter_check(self, meter: Device) -> Fraction | None:
        curve = self._signals.energy(meter)
        return None if curve is None else self._difference(curve, self._signals.power(meter))


def _checked(difference: Fraction | None, notes: Sequence[Text]) -> dict[str, Any]:
    told = [*notes, *([_DISAGREE] if difference is not None and difference > energy.TOLERANCE else [])]
    return {"disagreement": number(difference), "notes": [note._asdict() for note in told]}


def _event(event: Event) -> dict[str, Any]:
    return {"t": event.t, "kind": event.kind, "before": float(event.before), "after": float(event.after)}


def _time_document(window: Totals) -> dict[str, Any]:
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
            {"loss": name, "seconds": number(Fraction(length, _S)), "share": number(divide(length, window.pbt))}
            for name, length in pareto(window)
        ],
    }
