"""A plant in a window: time buckets, parts and energy of every machine with facts, and their sums
by line and workshop.

In: `WindowFacts`, and the `Assessment` of the register. Out: `PlantMachine` by machine (times in
ns, energy in kWh, parts exact). The running service and every report compute here; equal facts give
equal figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Final

import numpy as np

from edge_agent.metrics import energy, oee
from edge_agent.metrics.assessment import Assessment
from edge_agent.metrics.count_sum import CountSum
from edge_agent.metrics.counters import CountedQuantity, CounterEvent, CounterRule, count, made_in
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.evidence import MachineEvidence
from edge_agent.metrics.oee import Production
from edge_agent.metrics.readings import Readings
from edge_agent.metrics.result import Grade, MetricResult, Window
from edge_agent.metrics.timemodel import (
    ItemState,
    OperationMode,
    Plan,
    Timeline,
    Totals,
    Track,
    classify,
    planned_busy,
    spans,
    totals,
)
from edge_agent.production.count_doubts import NO_DOUBTS, CountDoubts, doubted
from edge_agent.production.facts import (
    MINUTE_NS,
    PART_ROLES,
    CounterReadings,
    Role,
    StateColumns,
    WindowFacts,
)
from edge_agent.production.links import MachineLinks
from edge_agent.register.membership import Span
from edge_agent.register.model import Equipment

NO_CALENDAR: Final = Text(
    "未配置班次日历（register.calendar）：窗口内全部时间视为计划时间，属假设。",
    "There is no shift calendar (register.calendar): all time of the window counts as planned, "
    "an assumption.",
)
_CONNECTED_LATE: Final = Text(
    "部分计划时间在首次接入之前，状态未知：结果为暂定。",
    "Part of the planned time lies before the first connection and is unknown: provisional.",
)
_PARTS: Final = CounterRule(restarts=True)
_NOT_OVER: Final = Text(
    "窗口内的最后一次故障尚未结束：修复时间暂计到最后一次已知状态，为暂定。",
    "The last failure of the window is not over yet: its repair counts up to the last known "
    "state, provisional.",
)
#: The figures of a machine that rest on its counters of parts.
_OF_PARTS: Final = ("M-12", "M-13", "M-14", "M-15")
_ITEMS: Final = tuple(ItemState)
_MODES: Final = tuple(OperationMode)
#: Behind a device's name: its energy is the integral of its power.
INTEGRATED: Final = " integrated"


@dataclass(frozen=True, slots=True)
class PowerCheck:
    """A meter beside the power of the same device, integrated over the window (kWh)."""

    counted: Fraction
    integrated: Fraction
    difference: Fraction | None
    """|counted - integrated| / counted; None when nothing was counted."""
    coarse: bool
    """Too few steps of the meter for the difference to say anything."""

    @property
    def disagreement(self) -> Fraction | None:
        """The difference where it says something."""
        return None if self.coarse else self.difference

    @property
    def disagrees(self) -> bool:
        """Whether the two are so far apart that someone should look at the CT/PT ratio and the
        wiring."""
        return self.disagreement is not None and self.disagreement > energy.TOLERANCE


@dataclass(frozen=True)
class PlantMachine:
    """One production machine in the window. What is None was not collected."""

    equipment: Equipment
    device: str | None
    """The one device that speaks for it."""
    evidence: MachineEvidence
    grade: Grade
    """What its figures of the window rest on."""
    timeline: Timeline | None
    production: Production | None
    energy: CountedQuantity | None
    energy_source: str
    """The device that measured it, ` integrated` behind a power tag."""
    span: Span = (0, 0)
    """The part of the window in which it was in service, ns; times, parts and energy are of
    this."""
    parts_doubts: CountDoubts = NO_DOUBTS
    """What its counters of parts leave open, and its energy's."""
    energy_doubts: CountDoubts = NO_DOUBTS
    open_failure: bool = False
    """The last failure of the window is not over yet."""
    unconnected_ns: int = 0
    """Planned busy time before the machine was connected for the first time; nothing is known of
    it."""

    @property
    def id(self) -> str:
        return self.equipment.equipment_id

    @property
    def busy_doubts(self) -> CountDoubts:
        """What the counters of parts leave open of planned busy time: what came after its end is no
        part of OEE."""
        if self.timeline is None or self.production is None:
            return self.parts_doubts
        window = self.production.window
        busy = planned_busy(self.timeline, window.start or 0, window.end or 0)
        return self.parts_doubts.known_until(busy[-1][1]) if busy else self.parts_doubts

    @cached_property
    def results(self) -> dict[str, MetricResult]:
        """M-11 to M-17; empty without machine states. Provisional when the machine was connected
        inside the window."""
        found = {} if self.production is None else oee.evaluate(self.production)
        found = {
            metric: doubted(result, self.busy_doubts if metric in _OF_PARTS else NO_DOUBTS)
            for metric, result in found.items()
        }
        if self.open_failure and "M-17-mttr" in found:
            mttr = found["M-17-mttr"]
            found["M-17-mttr"] = replace(mttr, provisional=True, notes=(*mttr.notes, _NOT_OVER))
        if self.unconnected_ns < MINUTE_NS:
            return found
        return {
            metric: replace(result, provisional=True, notes=(*result.notes, _CONNECTED_LATE))
            for metric, result in found.items()
        }


class Plant:
    """All machines of an assessment with their facts; everything is computed from `facts` and the
    register."""

    def __init__(
        self,
        facts: WindowFacts,
        assessment: Assessment,
        *,
        grades: Mapping[str, Grade] | None = None,
        computed_at: int | None = None,
    ) -> None:
        """`grades`: device -> what figures of its machine rest on, where the facts have no health
        by minute; None: as the assessment's evidence has it. `computed_at` (ns) is written into the
        results."""
        self.facts = facts
        self.assessment = assessment
        self.computed_at = computed_at
        self.window = Window(facts.start, facts.end)
        self.links = MachineLinks(assessment.members, facts.devices)
        self._grades = grades
        self._counters = {(counter.device, counter.role): counter for counter in facts.counters}
        self._counts: dict[tuple[str, Role], CountedQuantity | None] = {}

    @cached_property
    def working(self) -> tuple[PlantMachine, ...]:
        """The machines that were in service in some part of the window: times, parts and energy are
        of these."""
        return tuple(self._machine(each) for each in self.assessment.members.working)

    @cached_property
    def machines(self) -> tuple[PlantMachine, ...]:
        """The machines that count at the window's end: every count of machines is of these."""
        standing = {each.equipment_id for each in self.assessment.machines}
        return tuple(each for each in self.working if each.id in standing)

    @property
    def assumptions(self) -> tuple[Text, ...]:
        return () if self.facts.plan else (NO_CALENDAR,)

    def device(self, machine: Equipment) -> str | None:
        """The one configured device that speaks for this machine alone."""
        return self.links.device(machine)

    def _machine(self, equipment: Equipment) -> PlantMachine:
        evidence = self.assessment.all_evidence[equipment.equipment_id]
        device = self.device(equipment)
        window = self.span(equipment)
        grade = evidence.grade if self._grades is None else self._grades.get(device or "", "E0")
        used, source = self._energy(equipment, device)
        doubts = (
            self.doubts([(device or "", role) for role in PART_ROLES], window),
            self.doubts([(source, "energy")], window),
        )
        states = StateColumns.of(self.facts.states.get(device or "", ()))
        if device is None or not len(states):
            return PlantMachine(
                equipment, device, evidence, grade, None, None, used, source, window, *doubts
            )
        timeline = self._timeline(equipment, states)
        pq, gq = self._parts(device, planned_busy(timeline, *window))
        whole_pq, whole_gq = self._parts(device, [window])
        production = Production(
            equipment.equipment_id,
            totals(timeline, *window),
            pq,
            gq,
            pru_s=None
            if equipment.nominal_cycle_s is None
            else Fraction(equipment.nominal_cycle_s),
            order_source="calendar" if states.order is None else "tag",
            window=self.window,
            grade=grade,
            register_version=self.assessment.register.version,
            computed_at=self.computed_at,
            whole_pq=whole_pq,
            whole_gq=whole_gq,
        )
        unconnected = self._unconnected(device, timeline, production.totals, window)
        return PlantMachine(
            equipment,
            device,
            evidence,
            grade,
            timeline,
            production,
            used,
            source,
            window,
            *doubts,
            self._open_failure(timeline),
            unconnected,
        )

    def _open_failure(self, timeline: Timeline) -> bool:
        """Whether the last failure began in the window and is not over as far as states are
        known."""
        last = timeline.failures[-1] if timeline.failures else self.facts.end
        return timeline.open and self.facts.start <= last < self.facts.end

    def span(self, equipment: Equipment) -> Span:
        """The part of the window in which a machine was in service."""
        return self.assessment.members.span(equipment) or (self.facts.end, self.facts.end)

    def _unconnected(self, device: str, timeline: Timeline, whole: Totals, span: Span) -> int:
        """Planned busy time (ns) of a machine's time in service, whose totals are `whole`, before
        its device was first read well; all of it if never yet."""
        first = self.facts.first_good.get(device, self.facts.end)
        if first <= span[0]:
            return 0
        return whole.pbt if first >= span[1] else totals(timeline, span[0], first).pbt

    def _timeline(self, equipment: Equipment, states: StateColumns) -> Timeline:
        times = states.t.tolist()
        item = Track(times, [_ITEMS[number] for number in states.item.tolist()])
        mode = Track(times, [_MODES[number] for number in states.mode.tolist()])
        order = None if states.order is None else Track(times, states.order.tolist())
        return classify(
            spans(
                times[0],
                self.facts.known_until,
                item,
                mode,
                order,
                self._plan(equipment.schedule_id),
            )
        )

    def _energy(
        self, equipment: Equipment, device: str | None
    ) -> tuple[CountedQuantity | None, str]:
        """The machine's own counter, else a meter of its own, else its power tag. A counter that is
        silent in this window has no stand-in, or the windows did not add up."""
        for metering in (device, self.links.meter(equipment)):
            if metering is not None and (metering, "energy") in self._counters:
                return self.metered(metering), metering
        power = None if device is None else self.integrated(device)
        return (None, "") if power is None else (power, f"{device}{INTEGRATED}")

    def _plan(self, schedule: str) -> Track[Plan]:
        rows = [row for row in self.facts.plan if row.schedule == schedule]
        if not self.facts.plan:
            return Track((0,), (Plan.SHIFT,))
        return Track([row.t for row in rows], [Plan(row.plan) for row in rows])

    def plan_of(self, device: str) -> list[tuple[int, Plan]]:
        """What is planned for the machine a device speaks for: (from, what); of a device without
        machine, all time."""
        schedules = [
            row.schedule_id for row in self.assessment.register.equipment if device in row.devices
        ]
        track = self._plan(schedules[0]) if schedules else Track((0,), (Plan.SHIFT,))
        return list(zip(track.times, track.values, strict=True))

    def _parts(
        self, device: str, when: Sequence[tuple[int, int]]
    ) -> tuple[Fraction | None, Fraction | None]:
        """Parts produced and good parts in these spans."""
        return made_in({role: self.counted(device, role) for role in PART_ROLES}, when)

    def counted(self, device: str, role: Role) -> CountedQuantity | None:
        """What a device's counter in a role counted; None without such a counter, and of one of
        which nothing is known in the window."""
        if (device, role) not in self._counts:
            counter = self._counters.get((device, role))
            rule = _PARTS if role in PART_ROLES else CounterRule()
            known = (
                counter is not None and not self._silent(counter) and not _of_another_unit(counter)
            )
            self._counts[device, role] = (
                _steps(counter, rule) if counter is not None and known else None
            )
        return self._counts[device, role]

    def _silent(self, counter: CounterReadings) -> bool:
        return counter.unknown_since is not None and counter.unknown_since < self.facts.start

    def metered(self, device: str) -> CountedQuantity | None:
        """What a device's energy counter says."""
        return self.counted(device, "energy")

    def integrated(self, device: str) -> CountedQuantity | None:
        """What its power tag adds up to."""
        return self.counted(device, "integrated_power")

    def power_check(self, device: str) -> PowerCheck | None:
        """A device's meter against its integrated power; None without both."""
        used = self.metered(device)
        power = self.integrated(device)
        if used is None or power is None:
            return None
        window = self.facts.start, self.facts.end
        counted = used.between(*window)
        integral = power.between(*window)
        step = _smallest_step(self._counters[device, "energy"])
        return PowerCheck(
            counted, integral, energy.disagreement(counted, integral), counted < energy.STEPS * step
        )

    def events(self, device: str, role: Role) -> tuple[CounterEvent, ...]:
        """What a counter did in the window besides counting on."""
        counted = self.counted(device, role)
        counter = self._counters.get((device, role))
        events: Sequence[CounterEvent] = () if counted is None else counted.events
        if counter is not None and _of_another_unit(counter):
            events = [event for event in counter.events if event.kind == "unit"]
        return tuple(event for event in events if self.facts.start < event.t <= self.facts.end)

    def doubts(self, counters: Iterable[tuple[str, Role]], span: Span | None = None) -> CountDoubts:
        """What these counters (device, role) leave open in the window, or in the part of it in
        which a machine was in service: what a device did before and after is another machine's."""
        start, end = span or (self.facts.start, self.facts.end)
        found = {key: self._counters[key] for key in counters if key in self._counters}
        events = [(counter, event) for key, counter in found.items() for event in self.events(*key)]
        own = [
            (counter, event)
            for counter, event in events
            if start < event.t <= end or event.kind == "unit"
        ]
        return CountDoubts.of(found.values(), own, self.facts.timezone).known_until(end)

    def line_doubts(self, line: str) -> CountDoubts:
        """What the counters leave open that a line's energy is taken from."""
        meters = self.meters(line)
        if meters:
            doubts = [self.doubts([(meter.device, "energy")], self.span(meter)) for meter in meters]
            gaps = self._unmetered(line)
            machines = [each for each in self.working if gaps and each.equipment.line == line]
            doubts += [
                self.doubts([(each.energy_source, "energy")], gap)
                for gap in gaps
                for each in machines
            ]
            stood_in = tuple(dict.fromkeys((line, *gap) for _, _, gap in self._stand_ins(line)))
            doubts.append(CountDoubts(stand_ins=stood_in, zone=self.facts.timezone))
        else:
            doubts = [each.energy_doubts for each in self.working if each.equipment.line == line]
        return sum(doubts, CountDoubts(zone=self.facts.timezone))

    @property
    def counter_events(self) -> list[tuple[CounterReadings, CounterEvent]]:
        """All that counters did in the window besides counting on, by time."""
        found = [
            (counter, event)
            for key, counter in self._counters.items()
            for event in self.events(*key)
        ]
        return sorted(found, key=lambda each: (each[1].t, each[0].device, each[0].tag))

    def meters(self, line: str) -> list[Equipment]:
        """The meters of a line that are read; a meter of one machine alone is not the line's."""
        return self.links.meters(
            line, {device for device, role in self._counters if role == "energy"}
        )

    @property
    def lines(self) -> list[str]:
        return self.links.lines

    def site_energy(self) -> CountSum | None:
        """Energy of all lines together."""
        if any(self.line_doubts(line).of_unit for line in self.lines):
            return None
        parts = [used for used, _ in map(self.line_energy, self.lines) if used is not None]
        return CountSum([count for part in parts for count in part.parts]) if parts else None

    def line_energy(self, line: str) -> tuple[CountSum | None, tuple[str, ...]]:
        """Energy of a line and what it was taken from: its meters, else its machines, each of its
        time in service."""
        meters = self.meters(line)
        window = (self.facts.start, self.facts.end)
        if self.line_doubts(line).of_unit:
            return None, ()
        found = [(row.equipment_id, self.metered(row.device), self.span(row)) for row in meters]
        for machine, span, _ in self._stand_ins(line) if meters else ():
            found.append((machine.id, machine.energy, span))
        if not meters:
            found = [
                (each.id, each.energy, each.span)
                for each in self.working
                if each.equipment.line == line
            ]
        known = [(name, each, span) for name, each, span in found if each is not None]
        counts = [
            (name, each if span == window else each.within(*span)) for name, each, span in known
        ]
        names = tuple(dict.fromkeys(name for name, _ in counts))
        return (CountSum([each for _, each in counts]), names) if counts else (None, ())

    def _unmetered(self, line: str) -> list[Span]:
        """When none of a line's meters was there: in service, and read for the first time. One that
        falls silent is there."""
        spans = []
        for meter in self.meters(line):
            start, end = self.span(meter)
            readings = self._counters[meter.device, "energy"].readings
            first = readings[0][0] if len(readings) else start
            spans.append((max(start, first), end))
        found = list[Span]()
        until = self.facts.start
        for start, end in sorted(spans):
            if start > until:
                found.append((until, start))
            until = max(until, end)
        return [*found, (until, self.facts.end)] if until < self.facts.end else found

    def _stand_ins(self, line: str) -> list[tuple[PlantMachine, Span, Span]]:
        """(machine, when, gap): the machines of a line in place of its meters, while none of these
        was there; so the line is never less than its machines, and a window across is the sum of
        its parts."""
        found = list[tuple[PlantMachine, Span, Span]]()
        for gap in self._unmetered(line):
            for each in self.working:
                span = max(gap[0], each.span[0]), min(gap[1], each.span[1])
                if (
                    each.equipment.line == line
                    and each.energy is not None
                    and each.energy.between(*span)
                ):
                    found.append((each, span, gap))
        return found

    def last_station(self, line: str) -> PlantMachine | None:
        """The one inspection machine of a line with a count of good parts: where the line's good
        parts are counted."""
        ends = [
            each
            for each in self.working
            if (each.equipment.line, each.equipment.category) == (line, "inspection")
        ]
        return (
            ends[0]
            if len(ends) == 1 and ends[0].production and ends[0].production.gq is not None
            else None
        )


def _of_another_unit(counter: CounterReadings) -> bool:
    """Whether it was read in a unit that cannot be converted, in some part of the window."""
    return any(event.kind == "unit" for event in counter.events)


def _steps(counter: CounterReadings, rule: CounterRule) -> CountedQuantity:
    own = replace(rule, ratio=counter.ratio, modulus=counter.modulus)
    return count(counter.readings, own, counter.epochs, counter.events)


def _smallest_step(counter: CounterReadings) -> Fraction:
    """The smallest step seen, kWh: the counter is no finer, as far as was seen; 0 without any."""
    readings = (
        counter.readings
        if isinstance(counter.readings, Readings)
        else Readings.of(counter.readings)
    )
    steps = np.diff(readings.value)
    rising = np.flatnonzero(steps > 0)
    if not len(rising):
        return Fraction(0)
    place = int(rising[np.argmin(steps[rising])])
    return (readings[place + 1][1] - readings[place][1]) * counter.ratio


def groups(machines: Iterable[PlantMachine]) -> Mapping[tuple[str, str], list[PlantMachine]]:
    """(`line` | `workshop` | `site`, name) -> machines; the site's name is empty, and it is there
    without machines."""
    machines = list(machines)
    found: dict[tuple[str, str], list[PlantMachine]] = {}
    for level in ("line", "workshop"):
        for machine in machines:
            if name := getattr(machine.equipment, level):
                found.setdefault((level, name), []).append(machine)
    return found | {("site", ""): machines}


def summed(machines: Iterable[PlantMachine]) -> Totals:
    """The time of several machines together."""
    found = Totals({}, 0)
    for machine in machines:
        if machine.production is not None:
            found = found + machine.production.totals
    return found


def energy_scope(
    plant: Plant, name: str, machine: PlantMachine | None = None
) -> energy.EnergyScope:
    """Whose energy, in the plant's window."""
    grade = machine.grade if machine else "E2"
    version = plant.assessment.register.version
    start, end = machine.span if machine else (plant.facts.start, plant.facts.end)
    return energy.EnergyScope(name, start, end, grade, version, plant.computed_at)
