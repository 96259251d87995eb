"""Which device speaks for which machine, line and meter: a rule of the register alone, for live
figures and for packs.

The first device a machine names speaks for it, unless another machine in service at the same time
has the same one. A meter measures a machine alone when no other machine in service at the same time
has it as `meter_id`.
"""

from __future__ import annotations

from collections.abc import Collection

from edge_agent.register.membership import Membership
from edge_agent.register.model import Equipment


class MachineLinks:
    """Of one register in a window (its device names resolved) and the names of the devices that are
    known."""

    def __init__(self, members: Membership, devices: Collection[str]) -> None:
        self._members = members
        self._devices = devices
        named = {row.meter_id for row in members.in_service if row.meter_id}
        self._of_machines = frozenset(meter for meter in named if members.metered_alone(meter))
        """Meters of one machine at a time."""
        self._meters = [row for row in members.in_service if row.category == "meter"]
        self.machines = members.working
        self.lines = sorted({row.line for row in self.machines if row.line})

    def device(self, machine: Equipment) -> str | None:
        """The one device that speaks for this machine alone."""
        device = machine.device
        return device if device in self._devices and self._members.alone(machine) else None

    def meter(self, machine: Equipment) -> str | None:
        """The device of a meter that measures this machine alone."""
        return machine.meter_id if machine.meter_id in self._of_machines else None

    def meters(self, line: str, counting: Collection[str]) -> list[Equipment]:
        """The meters of a line, by id; a meter of one machine alone is not the line's. `counting`:
        the devices that have an energy counter."""
        return [
            row
            for row in self._meters
            if row.line == line and row.device in counting and row.device not in self._of_machines
        ]
