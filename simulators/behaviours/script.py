"""The shift script of a machine: a Markov chain of phases with drawn durations, bent by the
calendar and the line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from simulators.behaviours.base import (
    Execution,
    MachineryItemState,
    MachineryOperationMode,
    SimulatedState,
)
from simulators.behaviours.machine import STANDBY, SimulatedMachine
from simulators.calendar import Duty
from simulators.flow import LineState


class Phase(Enum):
    """Where in its script a machine is."""

    OFF = "off"
    WARM_UP = "warm-up"
    SETUP = "setup"
    WAIT = "wait"
    LOAD = "load"
    RUN = "run"
    TOOL_CHANGE = "tool-change"
    HOLD = "feed-hold"
    ALARM = "alarm"
    RESTART = "restart"
    BREAK = "break"


STATES: Final = {
    Phase.OFF: STANDBY,
    Phase.WARM_UP: SimulatedState(
        MachineryItemState.Executing, MachineryOperationMode.Setup, Execution.ACTIVE
    ),
    Phase.SETUP: SimulatedState(
        MachineryItemState.NotExecuting, MachineryOperationMode.Setup, Execution.READY
    ),
    Phase.WAIT: SimulatedState(
        MachineryItemState.NotExecuting, MachineryOperationMode.Processing, Execution.READY
    ),
    Phase.LOAD: SimulatedState(
        MachineryItemState.NotExecuting,
        MachineryOperationMode.Processing,
        Execution.PROGRAM_COMPLETED,
    ),
    Phase.RUN: SimulatedState(
        MachineryItemState.Executing, MachineryOperationMode.Processing, Execution.ACTIVE
    ),
    # A tool change is a block of the running program, so the machine is executing.
    Phase.TOOL_CHANGE: SimulatedState(
        MachineryItemState.Executing, MachineryOperationMode.Processing, Execution.ACTIVE
    ),
    Phase.HOLD: SimulatedState(
        MachineryItemState.NotExecuting, MachineryOperationMode.Processing, Execution.FEED_HOLD
    ),
    Phase.ALARM: SimulatedState(
        MachineryItemState.OutOfService, MachineryOperationMode.Processing, Execution.STOPPED
    ),
    Phase.RESTART: SimulatedState(
        MachineryItemState.NotExecuting, MachineryOperationMode.Processing, Execution.READY
    ),
    Phase.BREAK: SimulatedState(
        MachineryItemState.NotExecuting, MachineryOperationMode.NONE, Execution.PROGRAM_STOPPED
    ),
}

#: Phases in which the calendar may take the machine away: between parts, never inside a cycle.
_INTERRUPTIBLE: Final = (Phase.SETUP, Phase.WAIT, Phase.LOAD, Phase.WARM_UP, Phase.BREAK)


@dataclass(frozen=True, slots=True)
class MachineAlarm:
    """One way to stop: number, text, whether the e-stop is pressed, and how long it lasts (s)."""

    number: int
    text: str
    emergency: bool
    lasts: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Habits:
    """The numbers of a kind of machine; times in seconds, powers in kW."""

    cycle: tuple[float, float]
    alarms: tuple[MachineAlarm, ...]
    tools: int = 1
    tool_change: float = 8.0
    load: tuple[float, float] = (6.0, 14.0)
    setup: tuple[float, float] = (240.0, 720.0)
    hold_chance: float = 0.02
    """Per cycle."""
    hold: tuple[float, float] = (10.0, 90.0)
    alarm_chance: float = 0.006
    kw_off: float = 0.1
    kw_idle: float = 1.2
    kw_run: float = 6.0


class ScriptedMachine(SimulatedMachine):
    """off -> warm-up -> setup -> wait -> load -> run [-> tool change -> run]... -> wait, with holds
    and alarms."""

    def __init__(self, name: str, seed: int, line: LineState, habits: Habits) -> None:
        super().__init__(name, seed, line)
        self.habits = habits
        self.phase = Phase.SETUP
        self.state = STATES[self.phase]
        self.remaining = self.random.uniform(30.0, 120.0)
        self.tool = 1
        self.program = 0
        """Index of the job; the next one begins when the target is reached."""
        self.alarm: MachineAlarm | None = None
        self._resume = 0.0
        self._stop: tuple[float, Phase] | None = None
        """An interruption to come: at this rest of the run, into that phase."""

    def load(self) -> float:
        """Share of the working power drawn while running, 0..1."""
        return 0.8

    def _advance(self, dt: float, duty: Duty) -> float:
        self.remaining -= dt
        if self._stop is not None and self.phase is Phase.RUN and self.remaining <= self._stop[0]:
            self._interrupt()
        elif not self._follow_calendar(duty) and self.remaining <= 0.0:
            self._finish(duty)
        self.tick(dt, self.state.item is MachineryItemState.Executing, self.phase is not Phase.OFF)
        return self._power()

    def _power(self) -> float:
        if self.phase is Phase.OFF:
            return self.habits.kw_off
        if self.phase is Phase.RUN:
            return self.habits.kw_idle + (self.habits.kw_run - self.habits.kw_idle) * self.load()
        return self.habits.kw_idle

    def _enter(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        self.state = STATES[phase]
        self.remaining = seconds

    def _draw(self, span: tuple[float, float]) -> float:
        return self.random.uniform(*span)

    def _follow_calendar(self, duty: Duty) -> bool:
        """Follow the calendar where the script allows it; True when it decided the phase."""
        if self.phase is Phase.OFF:
            if duty is not Duty.OFF:
                self._enter(Phase.WARM_UP, 600.0)
            return True
        if self.phase not in _INTERRUPTIBLE or duty not in (Duty.OFF, Duty.BREAK):
            return False
        wanted = Phase.OFF if duty is Duty.OFF else Phase.BREAK
        if self.phase is not wanted:
            self._enter(wanted, 0.0)
        return True

    def _interrupt(self) -> None:
        """Break the running cycle off where it was meant to happen, and remember what is left of
        it."""
        assert self._stop is not None  # noqa: S101 - the caller checked; for the type checker
        phase = self._stop[1]
        self._stop = None
        self._resume = max(self.remaining, 1.0)
        if phase is Phase.ALARM:
            self.alarm = self.random.choice(self.habits.alarms)
            self._enter(phase, self._draw(self.alarm.lasts))
        else:
            self._enter(phase, self._draw(self.habits.hold))

    def _finish(self, duty: Duty) -> None:
        """The present phase is over: go where the script goes from here."""
        match self.phase:
            case Phase.WARM_UP:
                self._enter(Phase.SETUP, self._draw(self.habits.setup))
            case Phase.SETUP | Phase.BREAK | Phase.WAIT:
                self._begin()
            case Phase.LOAD | Phase.TOOL_CHANGE:
                self._run()
            case Phase.RUN:
                self._after_run()
            case Phase.ALARM:
                self.alarm = None
                self._enter(Phase.RESTART, 10.0)
            case Phase.HOLD | Phase.RESTART:
                self._enter(Phase.RUN, self._resume)
            case _:  # OFF is left by the calendar alone
                pass

    def _begin(self) -> None:
        if self.fetch():
            self.tool = 1
            self.cycle_s = 0.0
            self._enter(Phase.LOAD, self._draw(self.habits.load))
        else:
            self._enter(Phase.WAIT, 0.0)

    def _run(self) -> None:
        seconds = self._draw(self.habits.cycle) / self.habits.tools
        self._enter(Phase.RUN, seconds)
        draw = self.random.random() * self.habits.tools
        if draw < self.habits.alarm_chance:
            self._stop = (seconds * self.random.random(), Phase.ALARM)
        elif draw < self.habits.alarm_chance + self.habits.hold_chance:
            self._stop = (seconds * self.random.random(), Phase.HOLD)

    def _after_run(self) -> None:
        if self.tool < self.habits.tools:
            self.tool += 1
            self._enter(Phase.TOOL_CHANGE, self.habits.tool_change)
            return
        self.deliver()
        if self.part_count >= self.parts_required:
            self._change_over()
        else:
            self._begin()

    def _change_over(self) -> None:
        """The order is complete: the part counter starts again and the next job is set up."""
        self.part_count = 0
        self.program += 1
        self.parts_required = self.random.choice((60, 80, 100, 120))
        self._enter(Phase.SETUP, self._draw(self.habits.setup))
