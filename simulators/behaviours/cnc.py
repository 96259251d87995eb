"""CNC machine tools: lathes, machining centres, drill-tap centres."""

from __future__ import annotations

from typing import Final

from simulators.behaviours.base import (
    Execution,
    MachineryItemState,
    MachineryOperationMode,
    SignalValue,
    SimulatedState,
)
from simulators.behaviours.noise import Wave, jitter
from simulators.behaviours.script import Habits, MachineAlarm, Phase, ScriptedMachine
from simulators.flow import LineState

ALARMS: Final = (
    MachineAlarm(1000, "急停按下 E-STOP", True, (30.0, 150.0)),
    MachineAlarm(506, "X轴正向超程 OVERTRAVEL +X", False, (60.0, 300.0)),
    MachineAlarm(414, "伺服报警 SERVO ALARM: Z AXIS", False, (180.0, 900.0)),
)
#: Program names as operators write them, so that GBK-coded names occur.
PROGRAMS: Final = ("O1001 法兰盘", "O1002 电机轴", "O2010 端盖", "O2044 阀体", "O3105 支架")

LATHE: Final = Habits((80.0, 110.0), ALARMS, tools=4, kw_idle=1.3, kw_run=8.5)
MILL: Final = Habits((90.0, 130.0), ALARMS, tools=6, load=(10.0, 20.0), kw_idle=1.8, kw_run=11.0)
DRILL_TAP: Final = Habits((100.0, 130.0), ALARMS, tools=3, load=(4.0, 8.0), kw_idle=0.9, kw_run=4.5)

_PROGRAM_STATUS: Final = {
    Execution.ACTIVE: 3,
    Execution.FEED_HOLD: 2,
    Execution.STOPPED: 5,
    Execution.READY: 2,
    Execution.PROGRAM_COMPLETED: 2,
    Execution.PROGRAM_STOPPED: 2,
    Execution.INTERRUPTED: 1,
    Execution.OPTIONAL_STOP: 2,
}


class Cnc(ScriptedMachine):
    """Spindle, feed, tools and axes of a machine tool; the spindle load decides the power."""

    def __init__(self, name: str, seed: int, line: LineState, habits: Habits = MILL) -> None:
        super().__init__(name, seed, line, habits)
        self._load_wave = Wave(f"{seed}:{name}:load", 23.0)
        self._axes = {
            axis: Wave(f"{seed}:{name}:{axis}", 17.0 + 5 * i) for i, axis in enumerate("xyz")
        }
        self._override = self.random.choice((80.0, 90.0, 100.0, 100.0, 110.0))

    def load(self) -> float:
        """Spindle load 0..1: each tool has its level, the cut makes it uneasy."""
        return min(1.0, max(0.05, 0.35 + 0.08 * (self.tool % 4) + 0.18 * self._load_wave(self.t)))

    def signals(self) -> dict[str, SignalValue]:
        cutting = self.phase is Phase.RUN
        warm = self.phase is Phase.WARM_UP
        speed = 1200.0 + 850.0 * (self.tool % 5) if cutting else 800.0 if warm else 0.0
        return {
            **self.common_signals(),
            **controller_signals(self.state),
            "spindle_speed": speed + (4.0 * jitter(self.noise_seed, self.t) if speed else 0.0),
            "spindle_speed_set": speed,
            "spindle_load": 100.0 * self.load() if cutting else 6.0 if warm else 0.0,
            "spindle_override": 100.0,
            "spindle_motor_temp": 38.0 + 14.0 * self.load() if cutting else 34.0,
            "feed_rate": (300.0 + 140.0 * (self.tool % 6)) * self._override / 100.0
            if cutting
            else 0.0,
            "feed_override": 0.0 if self.phase is Phase.HOLD else self._override,
            "rapid_override": 50.0 if self.state.mode is MachineryOperationMode.Setup else 100.0,
            "program": PROGRAMS[self.program % len(PROGRAMS)],
            "work_piece": PROGRAMS[self.program % len(PROGRAMS)].split(" ", 1)[1],
            "block": self._block(),
            "block_number": 10 * int(self.cycle_s),
            "tool_number": self.tool,
            "tool_ident": f"T{self.tool:02d}",
            "tool_life": 100.0 - self.parts_total % 200 / 2.0,
            **self._alarm_signals(),
            **{
                f"pos_{axis}": 120.0 * wave(self.t) if cutting else 0.0
                for axis, wave in self._axes.items()
            },
        }

    def _block(self) -> str:
        return (
            f"N{10 * int(self.cycle_s)} G01 X{self._axes['x'](self.t) * 120:.1f}"
            if self.phase is Phase.RUN
            else ""
        )

    def _alarm_signals(self) -> dict[str, SignalValue]:
        alarm = self.alarm
        emergency = alarm is not None and alarm.emergency
        return {
            "alarm_number": alarm.number if alarm else 0,
            "alarm_text": alarm.text if alarm else "",
            "alarm_count": 1 if alarm else 0,
            "alarm": alarm is not None,
            "emergency_stop": emergency,
            "machine_status_word": emergency
            | (alarm is not None) << 1
            | (self.phase is Phase.RUN) << 2
            | (self.phase is Phase.HOLD) << 3
            | (self.phase is Phase.RUN) << 5,
        }


def controller_signals(state: SimulatedState) -> dict[str, SignalValue]:
    """The machine state in the vocabularies of several controllers (umati, SINUMERIK, FANUC,
    KND)."""
    active = state.item is MachineryItemState.Executing
    broken = state.item is MachineryItemState.OutOfService
    held = state.execution in (Execution.FEED_HOLD, Execution.INTERRUPTED)
    manual = (
        state.mode in (MachineryOperationMode.Setup, MachineryOperationMode.Maintenance)
        and not active
    )
    return {
        "channel_state": 0 if active else 1 if held or broken else 2,
        "channel_status": 1 if active else 2 if held or broken else 0,
        "channel_mode": 2 if manual else 0,
        "channel_alarm": 2 if broken else 0,
        "program_status": _PROGRAM_STATUS[state.execution],
        "prog_active": 2 if active else 1 if held or broken else 0,
        "op_mode": 2 if state.mode is not MachineryOperationMode.Setup else 1 if active else 0,
        "controller_mode": 2 if manual else 0,
        "machine_mode": {
            MachineryOperationMode.Processing: 1,
            MachineryOperationMode.Setup: 2,
            MachineryOperationMode.Maintenance: 4,
            MachineryOperationMode.NONE: 5,
        }[state.mode],
        "active_program_state": 1 if active else 3 if held else 4 if broken else 2,
        "run": 3 if active else 2 if held else 0 if broken else 1,
        "run_status": 2 if active else 1 if held else 0,
        "is_rotating": active,
        "is_warm_up": state.mode is MachineryOperationMode.Setup and active,
    }
