"""What every metric is a function of: register, live facts, options. And the sets of machines they all speak of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, Final

from edge_agent.metrics.definitions import BY_ID, Text
from edge_agent.metrics.evidence import HISTORY_S, JUDGED_AFTER_S, Evidence, collect
from edge_agent.metrics.live import Live
from edge_agent.metrics.result import EffectiveAfter, Grade, Result, Window, divide, weakest
from edge_agent.register.model import Equipment, Process, Register

_S: Final = 1_000_000_000

#: Control classes that count as numerically controlled, by the process's industry type.
_NC: Final = {"discrete": frozenset({"cnc"}), "process": frozenset({"plc", "dcs", "pcs"})}

Metric = Callable[["Assessment"], Result]


@dataclass(frozen=True)
class Assessment:
    """One evaluation. Equal inputs give equal results; the order of rows does not matter."""

    register: Register
    live: Live = field(default_factory=Live)
    computed_at: int | None = None
    robot_is_nc: bool = True
    configured: Collection[str] | None = None
    """Ids of the configured devices; None: those the live facts name."""

    @cached_property
    def machines(self) -> tuple[Equipment, ...]:
        """Production equipment by id."""
        counted = (machine for machine in self.register.equipment if machine.counted)
        return tuple(sorted(counted, key=lambda machine: machine.equipment_id))

    @cached_property
    def key_processes(self) -> tuple[Process, ...]:
        processes = (process for process in self.register.processes if process.is_key)
        return tuple(sorted(processes, key=lambda process: process.process_id))

    @cached_property
    def key_machines(self) -> tuple[Equipment, ...]:
        keys = {process.process_id for process in self.key_processes}
        return tuple(machine for machine in self.machines if machine.process_id in keys)

    @cached_property
    def evidence(self) -> dict[str, Evidence]:
        """By equipment id, production equipment only."""
        return collect(self.register, self.live, self.configured)

    def of_process(self, process: Process) -> list[Equipment]:
        return [machine for machine in self.machines if machine.process_id == process.process_id]

    def is_nc(self, machine: Equipment, process: Process) -> bool:
        """Numerically controlled as the industry type of its process defines it."""
        robot = self.robot_is_nc and process.industry_type == "discrete" and machine.control_class == "robot"
        return robot or machine.control_class in _NC[process.industry_type]

    @property
    def snapshot(self) -> Window:
        """The window of what rests on the register alone."""
        return Window(None, self.live.end_ns if self.live.end_ns is not None else self.computed_at)

    @property
    def recent(self) -> Window:
        """The window of M-04d and M-05."""
        end, length = self.live.end_ns, self.live.recent_s
        return Window(None if end is None or length is None else end - length * _S, end)

    @property
    def collected(self) -> bool:
        """Whether anything was collected in the window, of any device: else nothing is said of what data would show."""
        return any(facts.collected for facts in self.live.devices.values())

    @property
    def provisional(self) -> bool:
        """Whether a declared machine has under 30 days of history, or a running plant has none of any yet."""
        nothing_yet = bool(self.live.devices) and not any(facts.connected for facts in self.live.devices.values())
        return nothing_yet or any(each.provisional for each in self.evidence.values() if each.declared)

    @property
    def networking_window(self) -> Window:
        """From max(first connection of any declared machine, end - 30 days) to the end."""
        end = self.live.end_ns
        if end is None:
            return Window()
        known = [e.history_s for e in self.evidence.values() if e.declared and e.history_s is not None]
        length = min(HISTORY_S, max(known, default=HISTORY_S))
        return Window(end - int(length * _S), end)

    def now_online(self, machines: Iterable[Equipment]) -> tuple[int, int]:
        """Of these machines: those declared networked that deliver at the window's end, and all declared ones."""
        declared = [each for machine in machines if (each := self.evidence[machine.equipment_id]).declared]
        return sum(each.online for each in declared), len(declared)

    @cached_property
    def young(self) -> bool:
        """Whether no declared machine was connected long enough for a networking rate to mean anything."""
        seen = [each for each in self.evidence.values() if each.declared and each.planned_s is not None]
        return bool(seen) and all(each.new for each in seen)

    def effective_after(self, machines: Collection[Equipment]) -> EffectiveAfter | None:
        """What is said of these machines instead of a networking rate; None when the rate means something."""
        if not self.young:
            return None
        known = [each.planned_s for each in self.evidence.values() if each.declared and each.planned_s is not None]
        ids = [machine.equipment_id for machine in machines]
        away = (key for key in ids if self.evidence[key].declared and not self.evidence[key].online)
        return EffectiveAfter(JUDGED_AFTER_S, max(known), self.now_online(machines), tuple(away))

    def grade(self, machines: Iterable[Equipment]) -> Grade | None:
        """The weakest grade among these machines."""
        return weakest([self.evidence[machine.equipment_id].grade for machine in machines])

    def result(self, metric: str, value: Fraction | None, **rest: Any) -> Result:
        """A result of this assessment; `rest` are the fields of Result."""
        rest.setdefault("window", self.snapshot)
        return Result(
            BY_ID[metric], value, register_version=self.register.version, computed_at=self.computed_at, **rest
        )

    def share(
        self, metric: str, part: Collection[Equipment], whole: Collection[Equipment], empty: Text, **rest: Any
    ) -> Result:
        """Count over count, by machine; null with the reason `empty` when there is nothing to divide by."""
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
