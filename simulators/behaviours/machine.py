"""What all machines that make parts have in common: counters, hours, buffers before and behind."""

from __future__ import annotations

from simulators.behaviours.base import (
    Behaviour,
    Execution,
    MachineryItemState,
    MachineryOperationMode,
    SignalValue,
    SimulatedState,
)
from simulators.flow import Buffer, LineState

STANDBY = SimulatedState(
    MachineryItemState.NotExecuting, MachineryOperationMode.NONE, Execution.STOPPED
)


class SimulatedMachine(Behaviour):
    """Counts parts and hours. A machine without an intake always finds material."""

    state: SimulatedState = STANDBY

    def __init__(self, name: str, seed: int, line: LineState) -> None:
        super().__init__(name, seed, line)
        self.intake: Buffer | None = None
        self.outlet: Buffer | None = None
        self.batch_in = 1
        self.batch_out = 1
        self.scrap_rate = self.random.uniform(0.01, 0.03)
        self.parts_total = self.random.randrange(8_000, 90_000)
        self.parts_scrap = round(self.parts_total * self.scrap_rate)
        self.parts_required = self.random.choice((60, 80, 100, 120))
        self.part_count = self.random.randrange(self.parts_required // 2)
        self.power_on_s = self.random.uniform(2e6, 4e7)
        self.cutting_s = self.power_on_s * self.random.uniform(0.45, 0.6)
        self.cycle_s = 0.0
        self.parts_made = 0
        """Since the beginning of the simulation, scrap included."""
        self.scrap_made = 0

    def fetch(self) -> bool:
        """Take the material of one cycle; False while the station before has none."""
        return self.intake is None or self.intake.take(self.batch_in)

    def deliver(self) -> None:
        """Count the parts of a finished cycle and pass the good ones on."""
        scrap = sum(self.random.random() < self.scrap_rate for _ in range(self.batch_out))
        self.parts_total += self.batch_out
        self.part_count += self.batch_out
        self.parts_made += self.batch_out
        self.parts_scrap += scrap
        self.scrap_made += scrap
        if self.outlet is not None:
            self.outlet.put(self.batch_out - scrap)

    def tick(self, dt: float, executing: bool, powered: bool) -> None:
        """Hours: of the main switch, of cutting, of the running cycle."""
        if powered:
            self.power_on_s += dt
        if executing:
            self.cutting_s += dt
            self.cycle_s += dt

    def common_signals(self) -> dict[str, SignalValue]:
        """Signals every machine has."""
        executing = self.state.item is MachineryItemState.Executing
        return {
            "manufacturer": "仿真 Simulated",
            "serial_number": f"SN-{self.name}",
            "product_instance_uri": f"urn:simulators:{self.name}",
            "item_state": self.state.item,
            "operation_mode": self.state.mode,
            "execution": self.state.execution,
            "running": executing,
            "fault": self.state.item is MachineryItemState.OutOfService,
            "part_count": self.part_count,
            "parts_total": self.parts_total,
            "parts_good": self.parts_total - self.parts_scrap,
            "parts_scrap": self.parts_scrap,
            "parts_required": self.parts_required,
            "power_on_time": self.power_on_s,
            "operating_time": self.cutting_s,
            "cutting_time": self.cutting_s,
            "cycle_time": self.cycle_s,
            "power": self.kw,
            "energy": self.kwh,
            "current": self.kw / (3**0.5 * 0.38 * 0.85),
            "starved": self.intake is not None and self.intake.level < self.batch_in,
            "buffer": self.intake.level if self.intake is not None else 0,
        }
