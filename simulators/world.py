"""All simulated lines on one time axis, advanced in equal steps so that equal seeds give equal
histories."""

from __future__ import annotations

import time
from collections.abc import Mapping

from simulators.behaviours.base import Behaviour
from simulators.calendar import ShiftCalendar
from simulators.clock import SimClock
from simulators.lines import GENERIC, ProductionLine, behaviour_for
from simulators.spec import Spec
from simulators.truth import TruthLog


class World:
    """The state of everything at `t` simulated seconds after the epoch.

    Steps end at multiples of `step_s`; how often and when `advance` is called changes nothing in
    what happens.
    """

    def __init__(self, spec: Spec, clock: SimClock) -> None:
        self.clock = clock
        self.calendar = ShiftCalendar(spec.start_hour)
        self.step_s = spec.step_s
        self.lines = _lines(spec)
        self.behaviours: Mapping[str, Behaviour] = {
            behaviour.name: behaviour for line in self.lines for behaviour in line.behaviours()
        }
        self._truth: TruthLog | None = None
        self._index = -round(spec.preroll_s / spec.step_s)
        while self._index < 0:
            self._step()
        if spec.truth is not None:
            self._truth = TruthLog(spec.truth)
            self._record()

    @property
    def t(self) -> float:
        """End of the last step, in simulated seconds since the epoch."""
        return self._index * self.step_s

    @property
    def t_ns(self) -> int:
        """The same as Unix time in ns: the moment the present values belong to."""
        return self.clock.at_ns(self.t)

    def advance(self, until: float, budget_s: float = 0.1) -> bool:
        """Step up to `until`, but give up after `budget_s` of real time; True when it got there."""
        end = time.monotonic() + budget_s
        while (self._index + 1) * self.step_s <= until:
            self._step()
            if time.monotonic() > end:
                break
        if self._truth is not None:
            self._truth.flush()
        return (self._index + 1) * self.step_s > until

    def close(self) -> None:
        """Finish the truth log."""
        if self._truth is not None:
            self._truth.close(self.behaviours.values(), self.t_ns)
            self._truth = None

    def _step(self) -> None:
        self._index += 1
        t = self.t
        dt = self.step_s
        duty = self.calendar.at(t)
        for line in self.lines:
            kw = 0.0
            for behaviour in (*line.drives, *line.machines):
                behaviour.step(t, dt, duty)
                kw += behaviour.kw
            line.state.kw = kw
            for meter in line.meters:
                meter.step(t, dt, duty)
        if self._truth is not None:
            self._record()

    def _record(self) -> None:
        assert self._truth is not None  # noqa: S101 - callers checked; for the type checker
        self._truth.record(self.behaviours.values(), self.t, self.t_ns)


def _lines(spec: Spec) -> list[ProductionLine]:
    members: dict[str, list[tuple[str, str]]] = {}
    for device in spec.devices:
        kind = behaviour_for(device)
        if kind != GENERIC:
            members.setdefault(device.line, []).append((device.id, kind))
    return [ProductionLine(name, devices, spec.seed) for name, devices in members.items()]
