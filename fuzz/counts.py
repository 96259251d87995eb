"""What was run, kept beside the corpus: runs of the same code add up over any number of calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

FILE: Final = "runs.jsonl"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one process did."""

    code: str
    """`fuzz.code.version` of what it ran."""
    ended: str
    """UTC, ISO 8601."""
    runs: int
    seconds: float
    coverage: int
    """Edges of our code that atheris saw."""
    rss: tuple[int, int]
    """MB at a quarter of the runs, and at the end."""
    finding: str
    """Empty: none."""


@dataclass(frozen=True, slots=True)
class Total:
    """All processes of the same code."""

    code: str
    calls: int
    runs: int
    seconds: float
    coverage: int
    rss: tuple[int, int]
    """Of the process with the most runs: growth within one process is what a leak would show as."""
    findings: tuple[str, ...]


def note(folder: Path, outcome: Outcome) -> None:
    """Add one process's account to a target's folder."""
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")


def total(folder: Path, code: str) -> Total:
    """What was run of this code so far."""
    path = folder / FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    noted = [
        Outcome(**(fields | {"rss": tuple(fields["rss"])})) for fields in map(json.loads, lines)
    ]
    return summed(code, [outcome for outcome in noted if outcome.code == code])


def summed(code: str, outcomes: Sequence[Outcome]) -> Total:
    """One account of several."""
    longest = max(outcomes, key=lambda outcome: outcome.runs, default=None)
    return Total(
        code,
        len(outcomes),
        sum(outcome.runs for outcome in outcomes),
        sum(outcome.seconds for outcome in outcomes),
        max((outcome.coverage for outcome in outcomes), default=0),
        longest.rss if longest else (0, 0),
        tuple(dict.fromkeys(outcome.finding for outcome in outcomes if outcome.finding)),
    )
