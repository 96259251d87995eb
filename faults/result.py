"""What one row of the matrix found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class FaultResult:
    """The figures of one row. `broken`: a promise that does not depend on time; `late`: a time
    limit missed."""

    times: int
    figures: dict[str, float | int | str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)

    def must(self, fine: bool, text: str) -> None:
        """A promise: what is not `fine` is broken."""
        if not fine:
            self.broken.append(text)

    def within(self, name: str, seconds: float, limit: float) -> None:
        """A figure in seconds with its limit."""
        self.figures[name] = round(seconds, 2)
        if not seconds <= limit:
            self.late.append(f"{name} {seconds:.2f} > {limit:g}")

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> FaultResult:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class FaultRow:
    """One fault: how it is made, how often in a full run, and what is promised."""

    id: str
    fault: str
    target: str
    run: Callable[[int, Path], FaultResult]
    times: int
    root: bool = False
    """Needs root that may mount and make namespaces: a disk of its own, packet filters."""
    needs: tuple[str, ...] = ()
    """Programs it cannot do without."""
