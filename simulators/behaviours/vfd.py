"""Variable-frequency drives: a compressor that loads and unloads, a dust extractor that guards the
line."""

from __future__ import annotations

from simulators.behaviours.base import (
    Behaviour,
    Execution,
    MachineryItemState,
    MachineryOperationMode,
    SignalValue,
    SimulatedState,
)
from simulators.behaviours.machine import STANDBY
from simulators.behaviours.noise import Wave
from simulators.calendar import Duty
from simulators.flow import LineState

_RUNNING = SimulatedState(
    MachineryItemState.Executing, MachineryOperationMode.Processing, Execution.ACTIVE
)
_TRIPPED = SimulatedState(
    MachineryItemState.OutOfService, MachineryOperationMode.Processing, Execution.STOPPED
)
_OVERCURRENT = 4
"""Error code a tripped drive shows."""
_DUST_LIMIT = 8.0
"""mg/m3 at which the interlock stops the polishing."""


class Drive(Behaviour):
    """Frequency follows its demand by a ramp; current and power follow the frequency (affinity law,
    cubed)."""

    state: SimulatedState = STANDBY

    def __init__(
        self,
        name: str,
        seed: int,
        line: LineState,
        rated_kw: float = 15.0,
        trip_chance: float = 0.0,
    ) -> None:
        super().__init__(name, seed, line)
        self.rated_kw = rated_kw
        self.trip_chance = trip_chance
        """Per second of running."""
        self.frequency = 0.0
        self.demand = 0.0
        self.tripped_s = 0.0
        """How long the present trip still lasts."""
        self.run_s = self.random.uniform(1e6, 2e7)
        self._wave = Wave(f"{seed}:{name}:demand", 240.0)

    def _advance(self, dt: float, duty: Duty) -> float:
        self._trip(dt)
        self.demand = (
            0.0 if duty is Duty.OFF or self.tripped_s > 0 else 40.0 + 8.0 * self._wave(self.t)
        )
        step = 5.0 * dt
        self.frequency += max(-step, min(step, self.demand - self.frequency))
        self.state = _TRIPPED if self.tripped_s > 0 else _RUNNING if self.frequency > 0 else STANDBY
        self.run_s += dt if self.frequency > 0 else 0.0
        return 0.05 + self.rated_kw * (self.frequency / 50.0) ** 3

    def _trip(self, dt: float) -> None:
        if self.tripped_s > 0:
            self.tripped_s = max(0.0, self.tripped_s - dt)
        elif self.frequency > 0 and self.random.random() < self.trip_chance * dt:
            self.tripped_s = self.random.uniform(90.0, 300.0)

    def signals(self) -> dict[str, SignalValue]:
        share = self.frequency / 50.0
        return {
            "item_state": self.state.item,
            "operation_mode": self.state.mode,
            "execution": self.state.execution,
            "running": self.frequency > 0,
            "fault": self.tripped_s > 0,
            "command_word": 2 if self.demand > 0 else 1,
            "status_or_error_code": _OVERCURRENT if self.tripped_s > 0 else 0,
            "error_code": _OVERCURRENT if self.tripped_s > 0 else 0,
            # Low two bits of the Delta status word: 0 stopped, 3 running.
            "drive_status": 3 if self.frequency > 0 else 0,
            "frequency_command": self.demand,
            "frequency_command_actual": self.demand,
            "output_frequency": self.frequency,
            "output_current": 1.9 * self.rated_kw * (0.3 + 0.7 * share**2) if share else 0.0,
            "output_voltage": 380.0 * share,
            "dcbus_voltage": 538.0 - 6.0 * share,
            "motor_speed": 1450.0 * share,
            "power": self.kw,
            "energy": self.kwh,
            "power_on_time": self.run_s,
            "operating_time": self.run_s,
        }


class DustFan(Drive):
    """The extractor of the polishing line: when it stops, dust rises until the interlock stops the
    polishing."""

    def __init__(self, name: str, seed: int, line: LineState) -> None:
        super().__init__(name, seed, line, rated_kw=22.0, trip_chance=1 / 9000)

    def _advance(self, dt: float, duty: Duty) -> float:
        kw = super()._advance(dt, duty)
        line = self.line
        share = self.frequency / 50.0
        # Extraction clears in about 30 s; without it polishing fills the hood within a minute or
        # so.
        settles_at = (
            1.0
            + 0.4 * self._wave(self.t / 3)
            + (0.0 if share > 0.3 else 14.0 if duty is Duty.WORK else 0.0)
        )
        line.dust_mg_m3 += (settles_at - line.dust_mg_m3) * min(1.0, dt / 40.0)
        line.pressure_pa = 1100.0 * share**2 + 15.0 * self._wave(self.t)
        line.dust_alarm = line.dust_mg_m3 > _DUST_LIMIT or (
            line.dust_alarm and line.dust_mg_m3 > _DUST_LIMIT / 2
        )
        return kw

    def signals(self) -> dict[str, SignalValue]:
        return {
            **super().signals(),
            "dust_concentration": self.line.dust_mg_m3,
            "differential_pressure": self.line.pressure_pa,
            "dust_alarm": self.line.dust_alarm,
        }
