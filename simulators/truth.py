"""What really happened, as JSON lines: the reference that rates, times and energies are tested
against."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from simulators.behaviours.base import Behaviour, SimulatedState
from simulators.behaviours.machine import SimulatedMachine

_ENERGY_EVERY_S = 60.0


class TruthLog:
    """Writes one line per state transition, per finished cycle, and per device and minute of
    energy.

    `{"t": ns, "device", "event": "state", "item_state", "operation_mode", "execution"}`, `{...,
    "event": "parts", "made", "scrap"}` (since the start), `{..., "event": "energy", "kwh"}` (since
    the start). The first line of each kind per device is its value at the epoch.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8")
        self._states: dict[str, SimulatedState] = {}
        self._parts: dict[str, tuple[int, int]] = {}
        self._energy_due = 0.0

    def record(self, behaviours: Iterable[Behaviour], t: float, t_ns: int) -> None:
        """Write what changed in the step that ended at `t` (simulated seconds) = `t_ns` (Unix)."""
        energy = t >= self._energy_due
        if energy:
            self._energy_due = t + _ENERGY_EVERY_S
        for behaviour in behaviours:
            self._record_state(behaviour, t_ns)
            if isinstance(behaviour, SimulatedMachine):
                self._record_parts(behaviour, t_ns)
            if energy:
                self._write(t_ns, behaviour.name, "energy", kwh=round(behaviour.kwh, 9))

    def _record_state(self, behaviour: Behaviour, t_ns: int) -> None:
        state = behaviour.state
        if state is None or self._states.get(behaviour.name) == state:
            return
        self._states[behaviour.name] = state
        self._write(
            t_ns,
            behaviour.name,
            "state",
            item_state=int(state.item),
            operation_mode=int(state.mode),
            execution=int(state.execution),
        )

    def _record_parts(self, machine: SimulatedMachine, t_ns: int) -> None:
        parts = (machine.parts_made, machine.scrap_made)
        if self._parts.get(machine.name) != parts:
            self._parts[machine.name] = parts
            self._write(t_ns, machine.name, "parts", made=parts[0], scrap=parts[1])

    def _write(self, t_ns: int, device: str, event: str, **values: Any) -> None:
        self._file.write(json.dumps({"t": t_ns, "device": device, "event": event, **values}) + "\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self, behaviours: Iterable[Behaviour], t_ns: int) -> None:
        """Write the final energies and close the file."""
        for behaviour in behaviours:
            self._write(t_ns, behaviour.name, "energy", kwh=round(behaviour.kwh, 9))
        self._file.close()
