"""Other scripted stations of the machining line: wire EDM, loading robot, coordinate measuring
machine."""

from __future__ import annotations

from typing import Final

from simulators.behaviours.base import MachineryItemState, MachineryOperationMode, SignalValue
from simulators.behaviours.cnc import controller_signals
from simulators.behaviours.noise import Wave
from simulators.behaviours.script import Habits, MachineAlarm, Phase, ScriptedMachine
from simulators.flow import LineState

_EDM: Final = Habits(
    (600.0, 1500.0),
    (
        MachineAlarm(2001, "断丝 WIRE BREAK", False, (120.0, 420.0)),
        MachineAlarm(2007, "水阻异常 RESISTIVITY", False, (60.0, 240.0)),
    ),
    alarm_chance=0.05,
    load=(60.0, 180.0),
    kw_idle=0.8,
    kw_run=4.2,
)
_ROBOT: Final = Habits(
    (16.0, 24.0),
    (
        MachineAlarm(50056, "碰撞检测 COLLISION", False, (60.0, 240.0)),
        MachineAlarm(10013, "急停 E-STOP", True, (30.0, 120.0)),
    ),
    alarm_chance=0.001,
    hold_chance=0.003,
    load=(1.0, 3.0),
    setup=(60.0, 180.0),
    kw_idle=0.4,
    kw_run=2.2,
)
_CMM: Final = Habits(
    (35.0, 50.0),
    (MachineAlarm(301, "测头碰撞 PROBE CRASH", False, (60.0, 300.0)),),
    alarm_chance=0.002,
    hold_chance=0.005,
    load=(5.0, 10.0),
    setup=(120.0, 300.0),
    kw_idle=0.5,
    kw_run=1.4,
)


class Edm(ScriptedMachine):
    """A slow-wire EDM: generator, wire, gap voltage."""

    def __init__(self, name: str, seed: int, line: LineState) -> None:
        super().__init__(name, seed, line, _EDM)
        self._gap = Wave(f"{seed}:{name}:gap", 13.0)
        self._wire_m = self.random.uniform(4000.0, 9000.0)

    def signals(self) -> dict[str, SignalValue]:
        cutting = self.phase is Phase.RUN
        return {
            **self.common_signals(),
            **controller_signals(self.state),
            **alarm_signals(self.alarm),
            "program": f"WEDM-{self.program % 7 + 1:03d} 冲头",
            "gap_voltage": 48.0 + 6.0 * self._gap(self.t) if cutting else 0.0,
            "discharge_current": 8.0 + 2.0 * self._gap(self.t + 3.0) if cutting else 0.0,
            "cutting_speed": 3.2 + 0.6 * self._gap(self.t + 7.0) if cutting else 0.0,
            "wire_speed": 9.0 if cutting else 0.0,
            "wire_tension": 12.0 + 0.3 * self._gap(self.t) if cutting else 2.0,
            "wire_remaining": max(0.0, self._wire_m - (self.cutting_s % 60_000.0) * 0.15),
            "resistivity": 62.0 + 8.0 * self._gap(self.t / 40.0),
            "water_temperature": 22.0 + 0.8 * self._gap(self.t / 60.0),
            "edm_generator_state": 4 if self.alarm else 3 if cutting else 1,
        }


class Robot(ScriptedMachine):
    """A six-axis robot that loads the machining centres (OPC 40010 modes)."""

    def __init__(self, name: str, seed: int, line: LineState) -> None:
        super().__init__(name, seed, line, _ROBOT)
        self._axes = [Wave(f"{seed}:{name}:{axis}", 9.0 + 2 * axis) for axis in range(1, 7)]

    def signals(self) -> dict[str, SignalValue]:
        moving = self.phase is Phase.RUN
        t = self.t if moving else 0.0
        return {
            **self.common_signals(),
            **controller_signals(self.state),
            **alarm_signals(self.alarm),
            **{f"axis_{i}": 90.0 * wave(t) for i, wave in enumerate(self._axes, 1)},
            "operational_mode": 1 if self.state.mode is MachineryOperationMode.Setup else 4,
            "program": f"LOAD_{self.program % 3 + 1}",
            "in_motion": moving,
            "is_motion": moving,
            "speed_override": 40.0 if self.state.mode is MachineryOperationMode.Setup else 100.0,
            "tcp_speed": 850.0 + 300.0 * self._axes[0](self.t) if moving else 0.0,
            "motor_temperature": 41.0 + 4.0 * self._axes[1](self.t / 90.0),
            "gripper_closed": moving and self.remaining < 10.0,
            "protective_stop": self.state.item is MachineryItemState.OutOfService,
        }


class Cmm(ScriptedMachine):
    """A coordinate measuring machine: deviations of the last part, environment, verdict."""

    def __init__(self, name: str, seed: int, line: LineState) -> None:
        super().__init__(name, seed, line, _CMM)
        self._drift = Wave(f"{seed}:{name}:drift", 7200.0)
        self._ok = True
        self._deviation = 0.0

    def deliver(self) -> None:
        before = self.scrap_made
        super().deliver()
        self._ok = self.scrap_made == before
        self._deviation = self.random.gauss(0.0, 0.004) + (0.0 if self._ok else 0.031)

    def signals(self) -> dict[str, SignalValue]:
        return {
            **self.common_signals(),
            **controller_signals(self.state),
            **alarm_signals(self.alarm),
            "program": f"CMM_PLAN_{self.program % 5 + 1}",
            "deviation": self._deviation,
            "result_ok": self._ok,
            "temperature": 20.0 + 0.4 * self._drift(self.t),
            "humidity": 48.0 + 3.0 * self._drift(self.t + 900.0),
            "air_pressure": 0.52 + 0.02 * self._drift(self.t / 9.0),
        }


def alarm_signals(alarm: MachineAlarm | None) -> dict[str, SignalValue]:
    """Alarm number and text of a station."""
    return {
        "alarm_number": alarm.number if alarm else 0,
        "alarm_text": alarm.text if alarm else "",
        "alarm_count": 1 if alarm else 0,
        "alarm": alarm is not None,
        "emergency_stop": alarm is not None and alarm.emergency,
    }
