"""Which device speaks for which machine, line and meter: a rule of the register alone, for live figures and for packs.

A device speaks for a machine when it is the machine's only one and no other machine in use names it. A meter measures
a machine alone when no other machine in use has it as `meter_id`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from edge_agent.register.model import Equipment, Register


class MachineLinks:
    """Of one register (its device names resolved) and the names of the devices that are known."""

    def __init__(self, register: Register, devices: Collection[str]) -> None:
        self._devices = devices
        in_use = [row for row in register.equipment if row.status == "in_use"]
        self._users = Counter(device for row in in_use for device in row.devices)
        self._meter_users = Counter(row.meter_id for row in in_use if row.meter_id)
        self._meters = sorted((row for row in in_use if row.category == "meter"), key=lambda row: row.equipment_id)
        self.machines = sorted((row for row in in_use if row.counted), key=lambda row: row.equipment_id)
        self.lines = sorted({row.line for row in self.machines if row.line})

    def device(self, machine: Equipment) -> str | None:
        """The one device that speaks for this machine alone."""
        if len(machine.devices) != 1 or machine.devices[0] not in self._devices:
            return None
        return machine.devices[0] if self._users[machine.devices[0]] == 1 else None

    def meter(self, machine: Equipment) -> str | None:
        """The device of a meter that measures this machine alone."""
        return machine.meter_id if self._meter_users[machine.meter_id] == 1 else None

    def meters(self, line: str, counting: Collection[str]) -> list[Equipment]:
        """The meters of a line, by id; a meter of one machine alone is not the line's. `counting`: the devices that
        have an energy counter."""
        return [
            row
            for row in self._meters
            if row.line == line and row.gateway_device in counting and self._meter_users[row.gateway_device] != 1
        ]
