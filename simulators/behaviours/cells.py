"""PLC cells of the polishing line: belt grinder, ultrasonic washer, vision inspection, AGV."""

from __future__ import annotations

from typing import Final

from simulators.behaviours.base import SignalValue
from simulators.behaviours.noise import Wave
from simulators.behaviours.script import Habits, MachineAlarm, Phase, ScriptedMachine
from simulators.behaviours.stations import alarm_signals
from simulators.calendar import Duty
from simulators.flow import LineState

BELT_LIFE_S: Final = 5400.0
_DUST: Final = MachineAlarm(90, "除尘联锁 DUST INTERLOCK", False, (1.0, 1.0))


def _habits(
    cycle: tuple[float, float], alarm: MachineAlarm, kw_idle: float, kw_run: float, **more: float
) -> Habits:
    return Habits(
        cycle, (alarm,), load=(2.0, 4.0), setup=(60.0, 200.0), kw_idle=kw_idle, kw_run=kw_run,
        alarm_chance=more.get("alarm_chance", 0.002), hold_chance=more.get("hold_chance", 0.004),
    )  # fmt: skip


class Cell(ScriptedMachine):
    """A PLC cell: the state also as a step number and as run/fault lamps."""

    def cell_signals(self) -> dict[str, SignalValue]:
        """Common signals, and `state`: 0 stopped, 1 ready, 2 running, 3 paused, 4 fault, 5 set-up,
        6 warm-up."""
        number = {
            Phase.OFF: 0,
            Phase.BREAK: 0,
            Phase.WAIT: 1,
            Phase.LOAD: 1,
            Phase.RESTART: 1,
            Phase.RUN: 2,
            Phase.TOOL_CHANGE: 2,
            Phase.HOLD: 3,
            Phase.ALARM: 4,
            Phase.SETUP: 5,
            Phase.WARM_UP: 6,
        }[self.phase]
        return {**self.common_signals(), **alarm_signals(self.alarm), "state": number}


class BeltGrinder(Cell):
    """A belt grinder: the abrasive wears, the motor current rises with it, a new belt resets the
    life counter."""

    def __init__(self, name: str, seed: int, line: LineState) -> None:
        alarm = MachineAlarm(12, "砂带断裂 BELT BREAK", False, (120.0, 360.0))
        super().__init__(name, seed, line, _habits((24.0, 34.0), alarm, 1.5, 12.0))
        self.belt_s = self.random.uniform(0.0, 0.7 * BELT_LIFE_S)
        self._force = Wave(f"{seed}:{name}:force", 11.0)

    @property
    def wear(self) -> float:
        """0 = new, 1 = to be changed."""
        return min(1.0, self.belt_s / BELT_LIFE_S)

    def load(self) -> float:
        return 0.55 + 0.35 * self.wear + 0.08 * self._force(self.t)

    def _advance(self, dt: float, duty: Duty) -> float:
        if self.line.dust_alarm and self.phase is Phase.RUN:
            self._resume, self._stop, self.alarm = max(self.remaining, 1.0), None, _DUST
            self._enter(Phase.ALARM, dt)
        elif self.alarm is _DUST and self.line.dust_alarm:
            self.remaining = 2 * dt
        if self.phase is Phase.RUN:
            self.belt_s += dt
        return super()._advance(dt, duty)

    def _begin(self) -> None:
        if self.belt_s >= BELT_LIFE_S:
            self.belt_s = 0.0
            self._enter(Phase.SETUP, 180.0)
        else:
            super()._begin()

    def signals(self) -> dict[str, SignalValue]:
        running = self.phase is Phase.RUN
        return {
            **self.cell_signals(),
            "belt_life": 100.0 * (1.0 - self.wear),
            "belt_life_counter": int(self.belt_s),
            "belt_speed": 28.0 if running else 0.0,
            "spindle_speed": 2860.0 - 90.0 * self.load() if running else 0.0,
            "contact_force": 42.0 + 6.0 * self._force(self.t) if running else 0.0,
            "motor_current": 24.0 * self.load() if running else 1.8,
            **dust_signals(self.line),
        }


class Washer(Cell):
    """An ultrasonic washer: ten parts a basket, heated bath."""

    def __init__(self, name: str, seed: int, line: LineState) -> None:
        alarm = MachineAlarm(21, "液位低 LEVEL LOW", False, (60.0, 240.0))
        super().__init__(
            name, seed, line, _habits((280.0, 320.0), alarm, 3.0, 12.0, alarm_chance=0.01)
        )
        self.batch_in = self.batch_out = 10
        self._bath = Wave(f"{seed}:{name}:bath", 900.0)

    def signals(self) -> dict[str, SignalValue]:
        running = self.phase is Phase.RUN
        return {
            **self.cell_signals(),
            "bath_temperature": 55.0 + 3.0 * self._bath(self.t),
            "temperature": 55.0 + 3.0 * self._bath(self.t),
            "temperature_set": 55.0,
            "ultrasonic_power": 2.4 + 0.1 * self._bath(self.t * 50) if running else 0.0,
            "level": 78.0 + 9.0 * self._bath(self.t / 3),
            "level_low": self.alarm is not None,
            "remaining_time": self.remaining if running else 0.0,
            "baskets_total": self.parts_total // 10,
        }


class Vision(Cell):
    """Vision inspection: OK and NG counters, last verdict and score."""

    def __init__(self, name: str, seed: int, line: LineState) -> None:
        alarm = MachineAlarm(31, "相机掉线 CAMERA LOST", False, (30.0, 120.0))
        super().__init__(
            name, seed, line, _habits((7.0, 9.0), alarm, 0.3, 0.5, alarm_chance=0.0005)
        )
        self._last_ok = True
        self._score = 98.0

    def deliver(self) -> None:
        before = self.scrap_made
        super().deliver()
        self._last_ok = self.scrap_made == before
        self._score = (
            self.random.uniform(93.0, 99.8) if self._last_ok else self.random.uniform(41.0, 79.0)
        )

    def signals(self) -> dict[str, SignalValue]:
        return {
            **self.cell_signals(),
            "count_ok": self.parts_total - self.parts_scrap,
            "count_ng": self.parts_scrap,
            "result_ok": self._last_ok,
            "result": 1 if self._last_ok else 2,
            "score": self._score,
            "exposure": 12.5,
        }


class Agv(Cell):
    """An AGV that brings baskets of twenty raw parts; its battery follows its trips."""

    def __init__(self, name: str, seed: int, line: LineState) -> None:
        alarm = MachineAlarm(41, "障碍物停车 OBSTACLE", False, (15.0, 90.0))
        super().__init__(
            name, seed, line, _habits((420.0, 620.0), alarm, 0.1, 0.8, alarm_chance=0.08)
        )
        self.batch_out = 20
        self.scrap_rate = 0.0
        self.battery = self.random.uniform(45.0, 95.0)
        self._sway = Wave(f"{seed}:{name}:sway", 31.0)

    def _advance(self, dt: float, duty: Duty) -> float:
        rate = -0.008 if self.phase is Phase.RUN else 0.02
        self.battery = min(100.0, max(12.0, self.battery + rate * dt))
        return super()._advance(dt, duty)

    def signals(self) -> dict[str, SignalValue]:
        moving = self.phase is Phase.RUN
        return {
            **self.cell_signals(),
            "battery": self.battery,
            "battery_voltage": 46.0 + 0.06 * self.battery,
            "speed": 0.9 + 0.2 * self._sway(self.t) if moving else 0.0,
            "station": int(self.t // 60) % 6 + 1,
            "pos_x": 18.0 * self._sway(self.t / 4) if moving else 0.0,
            "pos_y": 9.0 * self._sway(self.t / 5 + 9.0) if moving else 0.0,
            "charging": not moving and self.battery < 99.0,
            "loaded": moving and self.remaining > 200.0,
            "missions_total": self.parts_total // 20,
        }


def dust_signals(line: LineState) -> dict[str, SignalValue]:
    """The extraction of the line: concentration, differential pressure, interlock."""
    return {
        "dust_concentration": line.dust_mg_m3,
        "differential_pressure": line.pressure_pa,
        "dust_alarm": line.dust_alarm,
        "dust_interlock": line.dust_alarm,
    }
