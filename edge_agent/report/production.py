"""Machines at work: time buckets, parts and energy of every machine with facts, and their sums by line and workshop."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Final

from edge_agent.metrics import energy, oee
from edge_agent.metrics.assessment import Assessment
from edge_agent.metrics.counters import Count, Rule, count, made_in, profile
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.evidence import Evidence
from edge_agent.metrics.oee import Production
from edge_agent.metrics.readings import Longs
from edge_agent.metrics.result import Result, Window
from edge_agent.metrics.timemodel import (
    Item,
    Mode,
    Plan,
    Timeline,
    Totals,
    Track,
    classify,
    planned_busy,
    spans,
    totals,
)
from edge_agent.register.model import Equipment
from edge_agent.report.facts import MINUTE_NS, Counter, Facts, Role, State

NO_CALENDAR: Final = Text(
    "未配置班次日历（register.calendar）：窗口内全部时间视为计划时间，属假设。",
    "There is no shift calendar (register.calendar): all time of the window counts as planned, an assumption.",
)
_CONNECTED_LATE: Final = Text(
    "部分计划时间在首次接入之前，状态未知：结果为暂定。",
    "Part of the planned time lies before the first connection and is unknown: provisional.",
)
_PARTS: Final = Rule(restarts=True)
_ITEMS: Final = tuple(Item)
_MODES: Final = tuple(Mode)
_OF_PARTS: Final[tuple[Role, ...]] = ("produced", "good", "scrap")


class Sum:
    """Several meters as one: the energy of a line or of the site."""

    def __init__(self, parts: Sequence[Count]) -> None:
        self.parts = parts

    def between(self, start: int, end: int) -> Fraction:
        """kWh used in `start..end`."""
        return sum((part.between(start, end) for part in self.parts), Fraction(0))

    def over(self, windows: Sequence[tuple[int, int]]) -> Fraction:
        """kWh used in all these windows together."""
        return sum((part.over(windows) for part in self.parts), Fraction(0))

    def profile(self, edges: Longs) -> list[Fraction]:
        """kWh used between each of these moments and the next."""
        return profile(self.parts, edges)


@dataclass(frozen=True)
class Machine:
    """One production machine in the window. What is None was not collected."""

    equipment: Equipment
    evidence: Evidence
    timeline: Timeline | None
    production: Production | None
    energy: Count | None
    energy_source: str
    """The device that measured it, ` integrated` behind a power tag."""
    unconnected_ns: int = 0
    """Planned busy time before the machine was connected for the first time; nothing is known of it."""

    @property
    def id(self) -> str:
        return self.equipment.equipment_id

    @cached_property
    def results(self) -> dict[str, Result]:
        """M-11 to M-17; empty without machine states. Provisional when the machine was connected inside the window."""
        found = {} if self.production is None else oee.evaluate(self.production)
        if self.unconnected_ns < MINUTE_NS:
            return found
        return {
            metric: replace(result, provisional=True, notes=(*result.notes, _CONNECTED_LATE))
            for metric, result in found.items()
        }


class Plant:
    """All machines of an assessment with their facts; everything is computed from `facts` and the register."""

    def __init__(self, facts: Facts, assessment: Assessment) -> None:
        self.facts = facts
        self.assessment = assessment
        self.window = Window(facts.start, facts.end)
        self._counters = {(counter.device, counter.role): counter for counter in facts.counters}
        self._counts: dict[tuple[str, Role], Count | None] = {}
        in_use = [row for row in assessment.register.equipment if row.status == "in_use"]
        users = Tally(device for row in in_use for device in row.devices)
        self._shared = {device for device, number in users.items() if number > 1}
        self._meter_users = Tally(row.meter_id for row in in_use if row.meter_id)
        self._meters = sorted((row for row in in_use if row.category == "meter"), key=lambda row: row.equipment_id)

    @cached_property
    def machines(self) -> tuple[Machine, ...]:
        return tuple(self._machine(each) for each in self.assessment.machines)

    @property
    def assumptions(self) -> tuple[Text, ...]:
        return () if self.facts.plan else (NO_CALENDAR,)

    def device(self, machine: Equipment) -> str | None:
        """The one configured device that speaks for this machine alone."""
        device = machine.gateway_device
        return device if device in self.facts.devices and device not in self._shared else None

    def _machine(self, equipment: Equipment) -> Machine:
        evidence = self.assessment.evidence[equipment.equipment_id]
        device = self.device(equipment)
        used, source = self._energy(equipment, device)
        states = self.facts.states.get(device or "")
        if device is None or not states:
            return Machine(equipment, evidence, None, None, used, source)
        timeline = self._timeline(equipment, states)
        window = self.facts.start, self.facts.end
        pq, gq = self._parts(device, planned_busy(timeline, *window))
        whole_pq, whole_gq = self._parts(device, [window])
        production = Production(
            equipment.equipment_id,
            totals(timeline, *window),
            pq,
            gq,
            pru_s=None if equipment.nominal_cycle_s is None else Fraction(equipment.nominal_cycle_s),
            order_source="calendar" if states[0].order is None else "tag",
            window=self.window,
            grade=evidence.grade,
            register_version=self.assessment.register.version,
            whole_pq=whole_pq,
            whole_gq=whole_gq,
        )
        first = min(self.facts.first_good.get(device, self.facts.end), self.facts.end)
        before = totals(timeline, self.facts.start, first).pbt
        return Machine(equipment, evidence, timeline, production, used, source, before)

    def _timeline(self, equipment: Equipment, states: Sequence[State]) -> Timeline:
        times = [row.t for row in states]
        item = Track(times, [_ITEMS[row.item] for row in states])
        mode = Track(times, [_MODES[row.mode] for row in states])
        order = None if states[0].order is None else Track(times, [bool(row.order) for row in states])
        return classify(spans(times[0], self.facts.end, item, mode, order, self._plan(equipment.schedule_id)))

    def _energy(self, equipment: Equipment, device: str | None) -> tuple[Count | None, str]:
        """The machine's own counter, else a meter of its own, else its power tag."""
        alone = self._meter_users[equipment.meter_id] == 1
        for metering in (device, equipment.meter_id if alone else None):
            used = None if metering is None else self.metered(metering)
            if used is not None and metering is not None:
                return used, metering
        power = None if device is None else self.integrated(device)
        return (None, "") if power is None else (power, f"{device} integrated")

    def _plan(self, schedule: str) -> Track[Plan]:
        rows = [row for row in self.facts.plan if row.schedule == schedule]
        if not self.facts.plan:
            return Track((0,), (Plan.SHIFT,))
        return Track([row.t for row in rows], [Plan(row.plan) for row in rows])

    def plan_of(self, device: str) -> list[tuple[int, Plan]]:
        """What is planned for the machine a device speaks for: (from, what); of a device without machine, all time."""
        schedules = [row.schedule_id for row in self.assessment.register.equipment if device in row.devices]
        track = self._plan(schedules[0]) if schedules else Track((0,), (Plan.SHIFT,))
        return list(zip(track.times, track.values, strict=True))

    def _parts(self, device: str, when: Sequence[tuple[int, int]]) -> tuple[Fraction | None, Fraction | None]:
        """Parts produced and good parts in these spans."""
        return made_in({role: self.counted(device, role) for role in _OF_PARTS}, when)

    def counted(self, device: str, role: Role) -> Count | None:
        """What a device's counter in a role counted; None without such a counter."""
        if (device, role) not in self._counts:
            counter = self._counters.get((device, role))
            rule = _PARTS if role in _OF_PARTS else Rule()
            self._counts[device, role] = None if counter is None else _steps(counter, rule)
        return self._counts[device, role]

    def metered(self, device: str) -> Count | None:
        """What a device's energy counter says."""
        return self.counted(device, "energy")

    def integrated(self, device: str) -> Count | None:
        """What its power tag adds up to."""
        return self.counted(device, "integrated_power")

    def meters(self, line: str) -> list[Equipment]:
        """The meters of a line that are read; a meter of one machine alone is not the line's."""
        return [
            row
            for row in self._meters
            if row.line == line
            and (row.gateway_device, "energy") in self._counters
            and self._meter_users[row.gateway_device] != 1
        ]

    @property
    def lines(self) -> list[str]:
        return sorted({each.line for each in self.assessment.machines if each.line})

    def line_energy(self, line: str) -> tuple[Sum | None, tuple[str, ...]]:
        """Energy of a line and what it was taken from: its meters, else its machines."""
        found = [(row.equipment_id, self.metered(row.gateway_device)) for row in self.meters(line)]
        if not found:
            found = [(each.id, each.energy) for each in self.machines if each.equipment.line == line]
        counts = {name: each for name, each in found if each is not None}
        return (Sum(list(counts.values())), tuple(counts)) if counts else (None, ())

    def last_station(self, line: str) -> Machine | None:
        """The one inspection machine of a line with a count of good parts: where the line's good parts are counted."""
        ends = [
            each for each in self.machines if (each.equipment.line, each.equipment.category) == (line, "inspection")
        ]
        return ends[0] if len(ends) == 1 and ends[0].production and ends[0].production.gq is not None else None


def _steps(counter: Counter, rule: Rule) -> Count:
    return count(counter.readings, replace(rule, ratio=counter.ratio, modulus=counter.modulus))


def groups(machines: Iterable[Machine]) -> Mapping[tuple[str, str], list[Machine]]:
    """(`line` | `workshop` | `site`, name) -> machines; the site's name is empty, and it is there without machines."""
    machines = list(machines)
    found: dict[tuple[str, str], list[Machine]] = {}
    for level in ("line", "workshop"):
        for machine in machines:
            if name := getattr(machine.equipment, level):
                found.setdefault((level, name), []).append(machine)
    return found | {("site", ""): machines}


def summed(machines: Iterable[Machine]) -> Totals:
    """The time of several machines together."""
    whole = Totals({}, 0)
    for machine in machines:
        if machine.production is not None:
            whole = whole + machine.production.totals
    return whole


def energy_scope(plant: Plant, name: str, machine: Machine | None = None) -> energy.Scope:
    """Whose energy, in the plant's window."""
    grade = machine.evidence.grade if machine else "E2"
    return energy.Scope(name, plant.facts.start, plant.facts.end, grade, plant.assessment.register.version)
