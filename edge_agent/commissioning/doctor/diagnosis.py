"""One thing that was looked at, with its next step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from edge_agent.errors import Finding

Level = Literal["ok", "note", "fault"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`what`: the fact; `next`: what to do about it, empty where nothing is to be done."""

    level: Level
    where: str
    what_zh: str
    what_en: str
    next_zh: str = ""
    next_en: str = ""


def fine(where: str, zh: str, en: str) -> Diagnosis:
    """A part of the way that is well."""
    return Diagnosis("ok", where, zh, en)


def note(where: str, what: tuple[str, str], then: tuple[str, str] = ("", "")) -> Diagnosis:
    """Something to know, or to look at."""
    return Diagnosis("note", where, *what, *then)


def fault(where: str, what: tuple[str, str], then: tuple[str, str]) -> Diagnosis:
    """A part of the way on which no value gets through."""
    return Diagnosis("fault", where, *what, *then)


def of_finding(finding: Finding, then: tuple[str, str]) -> Diagnosis:
    """A finding of another command as a fault."""
    return fault(finding.where, (finding.zh, finding.en), then)


def document(found: Sequence[Diagnosis]) -> dict[str, list[dict[str, str]]]:
    """As JSON."""
    return {"findings": [asdict(one) for one in found]}


def first_fault(found: Sequence[Diagnosis]) -> Diagnosis | None:
    """What to do first: the way is walked from its beginning, so what fails first makes the rest
    fail."""
    return next((one for one in found if one.level == "fault"), None)
