"""What every metric is a function of: register, live facts, options. And the sets of machines they
all speak of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from fractions import Fraction
from functools import cached_property
from typing import Any, Final

from edge_agent.metrics.definitions import BY_ID, Text
from edge_agent.metrics.evidence import (
    CHANGE_WITHIN_S,
    HISTORY_S,
    JUDGED_AFTER_S,
    MachineEvidence,
    collect,
)
from edge_agent.metrics.live import LiveEvidence
from edge_agent.metrics.result import EffectiveAfter, Grade, MetricResult, Window, divide, weakest
from edge_agent.register.kinds import CONTROLLED, ROBOT, MachineKind, MachineKinds, published
from edge_agent.register.membership import Membership
from edge_agent.register.model import Equipment, Process, Register

_S: Final = 1_000_000_000

#: Control classes that count as numerically controlled, by the process's industry type.
_NC: Final = {"discrete": frozenset({"cnc"}), "process": frozenset({"plc", "dcs", "pcs"})}

Metric = Callable[["Assessment"], MetricResult]


@dataclass(frozen=True)
class Assessment:
    """One evaluation. Equal inputs give equal results; the order of rows does not matter."""

    register: Register
    live: LiveEvidence = field(default_factory=LiveEvidence)
    computed_at: int | None = None
    robot_is_nc: bool = True
    configured: Collection[str] | None = None
    """Ids of the configured devices; None: those the live facts name."""
    start: int | None = None
    """Where the window of production begins, ns; None: the assessment is of its end alone."""
    zone: tzinfo = UTC
    """Whose days the dates of the register are."""
    kinds: MachineKinds = field(default_factory=published)
    change_within_s: Fraction = CHANGE_WITHIN_S
    """Planned working time within which a value of a networked machine has to change."""

    @cached_property
    def members(self) -> Membership:
        """Which machines count, by the register's dates too, and why the others do not."""
        return Membership(self.register, self.start, self.snapshot.end, self.zone)

    @property
    def machines(self) -> tuple[Equipment, ...]:
        """Production equipment at the window's end, by id."""
        return self.members.machines

    @cached_property
    def key_processes(self) -> tuple[Process, ...]:
        processes = (process for process in self.register.processes if process.is_key)
        return tuple(sorted(processes, key=lambda process: process.process_id))

    @cached_property
    def key_machines(self) -> tuple[Equipment, ...]:
        """Machines that serve a key process, each once."""
        return tuple(machine for machine in self.machines if self.key_processes_of(machine))

    def key_processes_of(self, machine: Equipment) -> tuple[Process, ...]:
        """The key processes a machine serves."""
        served = self.register.processes_of(machine)
        return tuple(process for process in self.key_processes if process.process_id in served)

    @cached_property
    def all_evidence(self) -> dict[str, MachineEvidence]:
        """By equipment id: of the machines that count at the window's end, and of those that worked
        before it."""
        return collect(
            self.register,
            self.live,
            self.configured,
            members=self.members,
            change_within_s=self.change_within_s,
        )

    @cached_property
    def evidence(self) -> dict[str, MachineEvidence]:
        """By equipment id, production equipment only."""
        return {
            machine.equipment_id: self.all_evidence[machine.equipment_id]
            for machine in self.machines
        }

    @cached_property
    def _by_process(self) -> dict[str, list[Equipment]]:
        found: dict[str, list[Equipment]] = {}
        for machine in self.machines:
            for process in self.register.processes_of(machine):
                found.setdefault(process, []).append(machine)
        return found

    def of_process(self, process: Process) -> list[Equipment]:
        """Machines that serve a process; one that serves several is counted by each."""
        return self._by_process.get(process.process_id, [])

    def is_nc(self, machine: Equipment, process: Process) -> bool:
        """Numerically controlled as the industry type of its process defines it, in a discrete one
        by its kind too."""
        if machine.control_class in _NC[process.industry_type]:
            return True
        if process.industry_type != "discrete":
            return False
        return (self.robot_is_nc and machine.control_class == "robot") or self.nc_kind(
            machine
        ) is not None

    def nc_kind(self, machine: Equipment) -> MachineKind | None:
        """The kind by which a machine counts as numerically controlled whatever controls it; None
        where none does."""
        stated = [ROBOT] if machine.is_robot else []
        for name in (*stated, machine.machine_kind) if machine.control_class in CONTROLLED else ():
            kind = self.kinds.get(name)
            if kind is not None and kind.nc and (name != ROBOT or self.robot_is_nc):
                return kind
        return None

    @cached_property
    def nc_by_kind(self) -> dict[str, MachineKind]:
        """Machines of discrete key processes that count as numerically controlled by their kind
        alone."""
        found = {}
        for machine in self.machines:
            kind = self.nc_kind(machine)
            served = [
                process
                for process in self.key_processes_of(machine)
                if process.industry_type == "discrete"
            ]
            by_class = machine.control_class == "cnc" or (
                self.robot_is_nc and machine.control_class == "robot"
            )
            if kind is not None and served and not by_class:
                found[machine.equipment_id] = kind
        return found

    @property
    def snapshot(self) -> Window:
        """The window of what rests on the register alone."""
        return Window(None, self.live.end_ns if self.live.end_ns is not None else self.computed_at)

    @property
    def recent(self) -> Window:
        """The window of M-04d and M-05."""
        end = self.live.end_ns
        length = self.live.recent_s
        return Window(None if end is None or length is None else end - length * _S, end)

    @property
    def collected(self) -> bool:
        """Whether anything was collected in the window, of any device: else nothing is said of what
        data would show."""
        return any(facts.collected for facts in self.live.devices.values())

    @property
    def provisional(self) -> bool:
        """Whether a declared machine has under 30 days of history, or a running plant has none of
        any yet."""
        nothing_yet = bool(self.live.devices) and not any(
            facts.connected for facts in self.live.devices.values()
        )
        return nothing_yet or any(
            each.provisional for each in self.evidence.values() if each.declared
        )

    @property
    def networking_window(self) -> Window:
        """From max(first connection of any declared machine, end - 30 days) to the end."""
        end = self.live.end_ns
        if end is None:
            return Window()
        known = [
            e.history_s for e in self.evidence.values() if e.declared and e.history_s is not None
        ]
        length = min(HISTORY_S, max(known, default=HISTORY_S))
        return Window(end - int(length * _S), end)

    def now_online(self, machines: Iterable[Equipment]) -> tuple[int, int]:
        """Of these machines: those declared networked that deliver at the window's end, and all
        declared ones."""
        declared = [
            each for machine in machines if (each := self.evidence[machine.equipment_id]).declared
        ]
        return sum(each.online for each in declared), len(declared)

    def _all_newly_connected(self, machines: Collection[Equipment]) -> bool:
        """Whether no declared one of these machines was connected long enough for a rate of them to
        mean anything."""
        seen = [
            each
            for each in self._evidence_of(machines)
            if each.declared and each.planned_s is not None
        ]
        return bool(seen) and all(each.new for each in seen)

    @cached_property
    def young(self) -> bool:
        """Whether a networking rate of the plant means nothing yet."""
        return self._all_newly_connected(self.machines)

    def _evidence_of(self, machines: Iterable[Equipment]) -> list[MachineEvidence]:
        return [self.evidence[machine.equipment_id] for machine in machines]

    def effective_after(self, machines: Collection[Equipment]) -> EffectiveAfter | None:
        """What is said of these machines instead of a networking rate; None when the rate means
        something."""
        if not self._all_newly_connected(machines):
            return None
        declared = [each for each in self._evidence_of(machines) if each.declared]
        known = [each.planned_s for each in declared if each.planned_s is not None]
        away = tuple(each.equipment_id for each in declared if not each.online)
        return EffectiveAfter(JUDGED_AFTER_S, max(known), self.now_online(machines), away)

    def grade(self, machines: Iterable[Equipment]) -> Grade | None:
        """The weakest grade among these machines."""
        return weakest([self.evidence[machine.equipment_id].grade for machine in machines])

    def result(self, metric: str, value: Fraction | None, **rest: Any) -> MetricResult:
        """A result of this assessment; `rest` are the fields of Result."""
        rest.setdefault("window", self.snapshot)
        return MetricResult(
            BY_ID[metric],
            value,
            register_version=self.register.version,
            computed_at=self.computed_at,
            **rest,
        )

    def share(
        self,
        metric: str,
        part: Collection[Equipment],
        whole: Collection[Equipment],
        empty: Text,
        **rest: Any,
    ) -> MetricResult:
        """Count over count, by machine; null with the reason `empty` when there is nothing to
        divide by."""
        value = divide(len(part), len(whole))
        return self.result(
            metric,
            value,
            numerator=Fraction(len(part)),
            denominator=Fraction(len(whole)),
            numerator_ids=tuple(machine.equipment_id for machine in part),
            denominator_ids=tuple(machine.equipment_id for machine in whole),
            reason=empty if value is None else None,
            **rest,
        )
