"""Polishing robots with a PackML state machine (ISA-TR88.00.02): 17 states, three unit modes."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from simulators.behaviours.base import (
    Execution,
    MachineryItemState,
    MachineryOperationMode,
    SignalValue,
    SimulatedState,
)
from simulators.behaviours.cells import dust_signals
from simulators.behaviours.machine import SimulatedMachine
from simulators.behaviours.noise import Wave
from simulators.calendar import Duty
from simulators.flow import LineState


class Pack(IntEnum):
    """State numbers of the OPC UA PackML information model 1.01."""

    Clearing = 1
    Stopped = 2
    Starting = 3
    Idle = 4
    Suspended = 5
    Execute = 6
    Stopping = 7
    Aborting = 8
    Aborted = 9
    Holding = 10
    Held = 11
    Unholding = 12
    Suspending = 13
    Unsuspending = 14
    Resetting = 15
    Completing = 16
    Complete = 17


class UnitMode(IntEnum):
    """ProductionMaintenanceModeEnum."""

    Produce = 1
    Maintenance = 2
    Manual = 3


#: Acting states: how long they take (s) and where they end.
ACTING: Final = {
    Pack.Clearing: (8.0, Pack.Stopped),
    Pack.Starting: (5.0, Pack.Execute),
    Pack.Stopping: (4.0, Pack.Stopped),
    Pack.Aborting: (2.0, Pack.Aborted),
    Pack.Holding: (3.0, Pack.Held),
    Pack.Unholding: (3.0, Pack.Execute),
    Pack.Suspending: (2.0, Pack.Suspended),
    Pack.Unsuspending: (2.0, Pack.Execute),
    Pack.Resetting: (6.0, Pack.Idle),
    Pack.Completing: (4.0, Pack.Complete),
}

#: What may follow a state, besides the end of an acting state; Abort leads from anywhere but the
#: abort branch.
COMMANDS: Final = {
    Pack.Stopped: {Pack.Resetting},
    Pack.Idle: {Pack.Starting, Pack.Stopping},
    Pack.Execute: {Pack.Completing, Pack.Holding, Pack.Suspending, Pack.Stopping},
    Pack.Held: {Pack.Unholding, Pack.Stopping},
    Pack.Suspended: {Pack.Unsuspending, Pack.Stopping},
    Pack.Complete: {Pack.Resetting, Pack.Stopping},
    Pack.Aborted: {Pack.Clearing},
}
ABORT_BRANCH: Final = frozenset({Pack.Aborting, Pack.Aborted, Pack.Clearing})

_EXECUTION: Final = {
    Pack.Execute: Execution.ACTIVE,
    Pack.Starting: Execution.READY,
    Pack.Idle: Execution.READY,
    Pack.Resetting: Execution.READY,
    Pack.Holding: Execution.FEED_HOLD,
    Pack.Held: Execution.FEED_HOLD,
    Pack.Unholding: Execution.FEED_HOLD,
    Pack.Suspending: Execution.INTERRUPTED,
    Pack.Suspended: Execution.INTERRUPTED,
    Pack.Unsuspending: Execution.INTERRUPTED,
    Pack.Completing: Execution.PROGRAM_COMPLETED,
    Pack.Complete: Execution.PROGRAM_COMPLETED,
}
_EXECUTING: Final = frozenset(
    {Pack.Starting, Pack.Execute, Pack.Unholding, Pack.Unsuspending, Pack.Completing}
)
_MODES: Final = {
    UnitMode.Produce: MachineryOperationMode.Processing,
    UnitMode.Maintenance: MachineryOperationMode.Maintenance,
    UnitMode.Manual: MachineryOperationMode.Setup,
}


def machine_state(pack: Pack, mode: UnitMode) -> SimulatedState:
    """The PackML state in the common vocabularies."""
    item = (
        MachineryItemState.OutOfService
        if pack in ABORT_BRANCH
        else MachineryItemState.Executing
        if pack in _EXECUTING
        else MachineryItemState.NotExecuting
    )
    return SimulatedState(item, _MODES[mode], _EXECUTION.get(pack, Execution.STOPPED))


class PolishingRobot(SimulatedMachine):
    """Held by the operator, suspended without parts, aborted by the dust interlock; force and
    abrasive wear."""

    def __init__(self, name: str, seed: int, line: LineState) -> None:
        super().__init__(name, seed, line)
        self.pack = Pack.Idle
        self.mode = UnitMode.Produce
        self.state = machine_state(self.pack, self.mode)
        self.remaining = self.random.uniform(1.0, 20.0)
        self.wear = self.random.uniform(0.0, 0.6)
        """Of the abrasive disc, 0 = new."""
        self._cycle_left = 0.0
        self._parts_until_maintenance = self.random.randrange(150, 300)
        self._force = Wave(f"{seed}:{name}:force", 7.0)

    def _advance(self, dt: float, duty: Duty) -> float:
        self.remaining -= dt
        if self.line.dust_alarm and self.pack not in ABORT_BRANCH and duty is not Duty.OFF:
            self._go(Pack.Aborting)
        elif self.pack in ACTING:
            if self.remaining <= 0:
                self._go(ACTING[self.pack][1])
        else:
            self._wait_or_act(dt, duty)
        self.tick(dt, self.state.item is MachineryItemState.Executing, duty is not Duty.OFF)
        return self._power(duty)

    def _power(self, duty: Duty) -> float:
        if duty is Duty.OFF and self.pack is Pack.Stopped:
            return 0.08
        return 0.6 + (
            2.4 + 1.1 * self.wear + 0.3 * self._force(self.t) if self.pack is Pack.Execute else 0.0
        )

    def _go(self, pack: Pack) -> None:
        self.pack = pack
        self.remaining = ACTING[pack][0] if pack in ACTING else self._dwell(pack)
        self.state = machine_state(pack, self.mode)

    def _dwell(self, pack: Pack) -> float:
        """How long a waiting state lasts at least (s)."""
        low, high = {
            Pack.Held: (15.0, 120.0),
            Pack.Aborted: (20.0, 60.0),
            Pack.Stopped: (10.0, 30.0),
            Pack.Idle: (1.0, 4.0),
        }.get(pack, (0.0, 0.0))
        return self.random.uniform(low, high)

    def _wait_or_act(self, dt: float, duty: Duty) -> None:
        resting = duty in (Duty.OFF, Duty.BREAK)
        match self.pack:
            case Pack.Execute:
                self._polish(dt)
            case Pack.Suspended:
                if resting:
                    self._go(Pack.Stopping)
                elif self.fetch():
                    self._begin_cycle()
                    self._go(Pack.Unsuspending)
            case Pack.Complete:
                self._go(Pack.Stopping if resting or self._maintenance_due() else Pack.Resetting)
            case Pack.Idle:
                self._leave_idle(resting)
            case Pack.Stopped:
                self._leave_stopped(resting)
            case Pack.Held:
                if self.remaining <= 0:
                    self._go(Pack.Unholding)
            case _:  # Aborted: the operator clears it when the air is clean again
                if self.remaining <= 0 and not self.line.dust_alarm:
                    self._go(Pack.Clearing)

    def _maintenance_due(self) -> bool:
        return self.wear >= 1.0 or self._parts_until_maintenance <= 0

    def _leave_idle(self, resting: bool) -> None:
        if resting or self._maintenance_due():
            self._go(Pack.Stopping)
        elif self.remaining <= 0:
            self._begin_cycle(started=self.fetch())
            self._go(Pack.Starting)

    def _leave_stopped(self, resting: bool) -> None:
        """Stopped is where discs are changed and maintenance is done, and where the machine spends
        the night."""
        if self.mode is UnitMode.Produce and self._maintenance_due():
            worn = self.wear >= 1.0
            self.mode = UnitMode.Manual if worn else UnitMode.Maintenance
            self._go(Pack.Stopped)
            self.remaining = 150.0 if worn else self.random.uniform(300.0, 900.0)
        elif self.remaining <= 0 and self.mode is not UnitMode.Produce:
            self.mode, self.wear, self._parts_until_maintenance = (
                UnitMode.Produce,
                0.0,
                self.random.randrange(150, 300),
            )
            self._go(Pack.Stopped)
        elif self.remaining <= 0 and not resting:
            self._go(Pack.Resetting)

    def _begin_cycle(self, started: bool = True) -> None:
        self._cycle_left = self.random.uniform(95.0, 135.0) if started else 0.0
        self.cycle_s = 0.0

    def _polish(self, dt: float) -> None:
        if self._cycle_left <= 0.0:  # started without a part
            self._go(Pack.Suspending)
            return
        self._cycle_left -= dt
        self.wear += dt / 9000.0
        if self._cycle_left <= 0.0:
            self.deliver()
            self._parts_until_maintenance -= 1
            if self.part_count >= self.parts_required:
                self.part_count = 0
            self._go(Pack.Completing)
        elif self.random.random() < 0.0002 * dt:
            self._go(Pack.Holding)

    def signals(self) -> dict[str, SignalValue]:
        polishing = self.pack is Pack.Execute
        force = 35.0 + 4.0 * self._force(self.t) if polishing else 0.0
        return {
            **self.common_signals(),
            "packml_state": self.pack,
            "state_current": self.pack,
            "unit_mode": self.mode,
            "unit_mode_current": self.mode,
            "force": force,
            "contact_force": force,
            "force_set": 35.0,
            "spindle_speed": 3000.0 - 2.5 * force if polishing else 0.0,
            "spindle_current": 3.2 + 2.2 * self.wear + 0.4 * self._force(self.t)
            if polishing
            else 0.4,
            "abrasive_wear": 100.0 * min(1.0, self.wear),
            "abrasive_life": 100.0 * (1.0 - min(1.0, self.wear)),
            "program": f"POLISH_{self.parts_required // 20} 水龙头",
            "mach_speed": 100.0 if polishing else 0.0,
            "emergency_stop": self.pack in ABORT_BRANCH,
            "alarm_number": 90 if self.pack in ABORT_BRANCH else 0,
            "alarm_text": "除尘联锁 DUST INTERLOCK" if self.pack in ABORT_BRANCH else "",
            **dust_signals(self.line),
        }
