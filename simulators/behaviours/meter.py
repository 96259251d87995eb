"""A three-phase energy meter: what the machines of its line draw together, phase by phase."""

from __future__ import annotations

from math import acos, degrees, sqrt

from simulators.behaviours.base import Behaviour, SignalValue, number
from simulators.behaviours.noise import Wave, jitter
from simulators.calendar import Duty
from simulators.flow import LineState

_SHARES = (0.345, 0.332, 0.323)
"""Single-phase loads make the phases unequal; they add up to 1."""


class Meter(Behaviour):
    """Power is the sum of the line's machines and a base load; energy is its integral in double
    precision.

    (A meter's register may be float32 all the same: at 1e6 kWh it then moves in steps of 0.0625
    kWh.)
    """

    def __init__(self, name: str, seed: int, line: LineState, base_kw: float = 1.5) -> None:
        super().__init__(name, seed, line)
        self.base_kw = base_kw
        """Lighting, controls."""
        self.start_kwh = self.random.uniform(40_000.0, 400_000.0)
        self.kvarh = 0.35 * self.start_kwh
        self._volts = [Wave(f"{seed}:{name}:v{phase}", 300.0 + 40 * phase) for phase in range(3)]
        self._peak_kw = 0.0

    @property
    def cosphi(self) -> float:
        """Power factor: better the more the motors have to do."""
        return min(0.95, 0.80 + self.kw / 400.0)

    def _advance(self, dt: float, duty: Duty) -> float:
        kw = self.base_kw + self.line.kw
        self._peak_kw = max(self._peak_kw, kw)
        self.kvarh += kw * sqrt(1.0 / self.cosphi**2 - 1.0) * dt / 3600.0
        return kw

    def signals(self) -> dict[str, SignalValue]:
        cosphi = self.cosphi
        energy = self.start_kwh + self.kwh
        tan = sqrt(1.0 / cosphi**2 - 1.0)
        out: dict[str, SignalValue] = {}
        volts = []
        for phase, share in enumerate(_SHARES):
            voltage = (
                230.0
                + 1.6 * self._volts[phase](self.t)
                + 0.4 * jitter(self.noise_seed + phase, self.t)
            )
            volts.append(voltage)
            out |= self._phase(f"_l{phase + 1}", share, voltage, tan, energy)
        for first, second in ((0, 1), (1, 2), (2, 0)):
            name = f"voltage_l{first + 1}l{second + 1}"
            out[name] = sqrt(volts[first] ** 2 + volts[second] ** 2 + volts[first] * volts[second])
        return out | {
            "power": self.kw,
            "reactive_power": self.kw * tan,
            "apparent_power": self.kw / cosphi,
            "cosphi": cosphi,
            "phase_angle": degrees(acos(cosphi)),
            "frequency": 50.0 + 0.02 * self._volts[0](self.t * 7),
            "voltage": sum(volts) / 3,
            "current": sum(number(out[f"current_l{phase}"]) for phase in (1, 2, 3)) / 3,
            "energy": energy,
            "import": energy,
            "export": 0.0,
            "sum": energy,
            "reactive_import": self.kvarh,
            "reactive_export": 0.0,
            "reactive_sum": self.kvarh,
            "thd": 2.4 + 0.3 * self._volts[1](self.t),
            "demand": self.kw,
            "demand_max": self._peak_kw,
        }

    def _phase(
        self, suffix: str, share: float, voltage: float, tan: float, energy: float
    ) -> dict[str, SignalValue]:
        watts = 1000.0 * self.kw * share
        return {
            f"voltage{suffix}": voltage,
            f"current{suffix}": watts / (voltage * self.cosphi),
            f"power{suffix}": watts / 1000.0,
            f"reactive_power{suffix}": watts * tan / 1000.0,
            f"apparent_power{suffix}": watts / self.cosphi / 1000.0,
            f"cosphi{suffix}": self.cosphi,
            f"thd{suffix}": 2.4,
            f"import{suffix}": energy * share,
            f"export{suffix}": 0.0,
            f"sum{suffix}": energy * share,
            f"reactive_import{suffix}": self.kvarh * share,
            f"reactive_export{suffix}": 0.0,
            f"reactive_sum{suffix}": self.kvarh * share,
        }
