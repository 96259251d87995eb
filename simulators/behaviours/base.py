"""The face of a behaviour, and the machine states every line machine speaks of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from random import Random
from typing import Final
from zlib import crc32

from simulators.calendar import Duty
from simulators.flow import LineState

SignalValue = bool | int | float | str | list[float]


def number(value: SignalValue) -> float:
    """A signal as a number; text and lists count as 0."""
    return float(value) if isinstance(value, int | float) else 0.0


class MachineryItemState(IntEnum):
    """OPC 40001-1, MachineryItemState."""

    NotAvailable = 0
    OutOfService = 1
    NotExecuting = 2
    Executing = 3


class MachineryOperationMode(IntEnum):
    """OPC 40001-1, MachineryOperationMode."""

    NONE = 0
    Maintenance = 1
    Setup = 2
    Processing = 3


class Execution(IntEnum):
    """MTConnect OPC UA 2.00.01, ExecutionDataType."""

    ACTIVE = 0
    FEED_HOLD = 1
    INTERRUPTED = 2
    OPTIONAL_STOP = 3
    READY = 4
    PROGRAM_COMPLETED = 5
    PROGRAM_STOPPED = 6
    STOPPED = 7


@dataclass(frozen=True, slots=True)
class SimulatedState:
    """What a machine is doing, in the three vocabularies the agent normalises to."""

    item: MachineryItemState
    mode: MachineryOperationMode
    execution: Execution


class Behaviour(ABC):
    """One simulated device. `step` moves it on, `signals` says what it shows; both depend on seed
    and time only."""

    state: SimulatedState | None = None
    """None for what is not a machine (meters)."""

    def __init__(self, name: str, seed: int, line: LineState) -> None:
        self.name = name
        self.line = line
        self.random = Random(f"{seed}:{name}")
        self.noise_seed: Final = crc32(f"{seed}:{name}".encode())
        self.t = 0.0
        self.kw = 0.0
        """Electric power during the step that ends at `t`."""
        self.kwh = 0.0
        """Integral of `kw` since the beginning of the simulation."""

    def step(self, t: float, dt: float, duty: Duty) -> None:
        """Advance to `t` seconds after the epoch, `dt` after the last step."""
        self.t = t
        self.kw = self._advance(dt, duty)
        self.kwh += self.kw * dt / 3600.0

    @abstractmethod
    def _advance(self, dt: float, duty: Duty) -> float:
        """Do what happens in `dt`; returns the electric power in kW."""

    @abstractmethod
    def signals(self) -> Mapping[str, SignalValue]:
        """The device's present values by canonical name (simulators/signals.py)."""
