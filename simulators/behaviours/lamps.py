"""A machine without an interface: all that is seen of it is its tower light, a relay and the
current of its supply."""

from __future__ import annotations

from typing import Final

from simulators.behaviours.base import MachineryItemState, MachineryOperationMode, SignalValue
from simulators.behaviours.noise import Wave
from simulators.behaviours.script import Habits, MachineAlarm, Phase, ScriptedMachine
from simulators.flow import LineState

_PRESS: Final = Habits(
    (25.0, 60.0),
    (
        MachineAlarm(1, "光幕 LIGHT CURTAIN", False, (30.0, 180.0)),
        MachineAlarm(2, "急停 E-STOP", True, (30.0, 120.0)),
    ),
    alarm_chance=0.01,
    load=(4.0, 12.0),
    kw_idle=0.9,
    kw_run=7.5,
)
_FLASH_S: Final = 1.0
"""Half a period of a flashing lamp."""


class TowerLight(ScriptedMachine):
    """An old press: red on alarm, yellow flashing in set-up and steady while it waits, green while
    it works."""

    def __init__(self, name: str, seed: int, line: LineState) -> None:
        super().__init__(name, seed, line, _PRESS)
        self._ripple = Wave(f"{seed}:{name}:current", 7.0)

    def signals(self) -> dict[str, SignalValue]:
        item = self.state.item
        working = self.phase is Phase.RUN
        powered = self.phase is not Phase.OFF
        flash = int(self.t / _FLASH_S) % 2 == 0
        red = item is MachineryItemState.OutOfService
        green = item is MachineryItemState.Executing
        yellow = (
            powered
            and not red
            and not green
            and (flash if self.state.mode is MachineryOperationMode.Setup else True)
        )
        inputs = (
            red,
            yellow,
            green,
            working,
            powered,
            self.alarm is not None and self.alarm.emergency,
            False,
            False,
        )
        return {
            **self.common_signals(),
            **{f"input_{number}": value for number, value in enumerate(inputs, 1)},
            "lamp_red": red,
            "lamp_yellow": yellow,
            "lamp_green": green,
            "current": self.kw / (3**0.5 * 0.38 * 0.85) * (1.0 + 0.03 * self._ripple(self.t)),
        }
