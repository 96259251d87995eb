"""What couples the machines of a line: buffers of parts, the dust interlock, the electric power."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Buffer:
    """Parts between two stations. What does not fit goes to the store room and is not missed."""

    capacity: int = 40
    level: int = 6

    def take(self, parts: int) -> bool:
        """Take `parts`, or nothing when there are fewer."""
        if self.level < parts:
            return False
        self.level -= parts
        return True

    def put(self, parts: int) -> None:
        self.level = min(self.capacity, self.level + parts)


@dataclass(slots=True)
class LineState:
    """Shared by the machines of one line."""

    name: str
    buffers: dict[str, Buffer] = field(default_factory=dict)
    kw: float = 0.0
    """Power of all machines of the line in the present step: what the line's meter sees."""
    dust_mg_m3: float = 1.2
    """Dust concentration in the hood."""
    pressure_pa: float = 900.0
    """Differential pressure over the filter."""
    dust_alarm: bool = False
    """The safety interlock: no polishing without extraction."""
