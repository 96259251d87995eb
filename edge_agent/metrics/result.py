"""A metric's result: the exact value with everything it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from math import lcm
from typing import Any, Final, Literal

from edge_agent.metrics.definitions import MetricDefinition, Text

Grade = Literal["E0", "E1", "E2", "E3"]
"""E0 declared, E1 session or connection, E2 good data in the window, E3 controller-level
semantics."""


@dataclass(frozen=True, slots=True)
class Window:
    """What time a result speaks of: a span in ns, or a snapshot at its end (`start` None)."""

    start: int | None = None
    end: int | None = None

    def to_json(self) -> dict[str, Any]:
        kind = "snapshot" if self.start is None else "interval"
        return {"kind": kind, "from": iso(self.start), "to": iso(self.end)}


#: So many machines that are not online are named.
_NAMED: Final = 2


@dataclass(frozen=True, slots=True)
class EffectiveAfter:
    """A networking rate before it means anything: so much planned working time is needed, so much
    there was."""

    needed_s: Fraction
    so_far_s: Fraction
    now_online: tuple[int, int]
    not_online: tuple[str, ...] = ()
    """The declared machines that are not online, by id."""

    def text(self) -> Text:
        """What is said instead of the rate."""
        online, declared = self.now_online
        needed = int(self.needed_s / 3600)
        so_far = float(self.so_far_s / 3600)
        zh, en = self._who()
        return Text(
            f"现在在线 {online}/{declared} 台{zh}；计划工时满 {needed} 小时后评定（已有 "
            f"{so_far:.1f}）",
            f"now online {online}/{declared}{en}; effective after {needed} planned hours "
            f"({so_far:.1f} so far)",
        )

    def _who(self) -> tuple[str, str]:
        """Who is not online, where that is soon said."""
        if not 0 < len(self.not_online) <= _NAMED:
            return "", ""
        return f"（缺 {'、'.join(self.not_online)}）", f" (not {', '.join(self.not_online)})"

    def to_json(self) -> dict[str, Any]:
        hours = {
            "planned_hours": number(self.needed_s / 3600),
            "so_far": number(self.so_far_s / 3600),
        }
        return {**hours, **self.text()._asdict()}


@dataclass(frozen=True, slots=True)
class MetricResult:
    """`value` is exact, or None with a `reason`; numerator and denominator are the exact sums
    behind it."""

    definition: MetricDefinition
    value: Fraction | None
    numerator: Fraction | None
    denominator: Fraction | None
    numerator_ids: tuple[str, ...] = ()
    denominator_ids: tuple[str, ...] = ()
    window: Window = Window()
    grade: Grade | None = None
    register_version: str = ""
    computed_at: int | None = None
    reason: Text | None = None
    provisional: bool = False
    notes: tuple[Text, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    now_online: tuple[int, int] | None = None
    """Of a networking rate: machines declared networked that deliver at the window's end, and all
    declared ones."""
    effective_after: EffectiveAfter | None = None
    """Of a networking rate that does not mean anything yet: what readers are shown instead of the
    value."""

    def to_json(self) -> dict[str, Any]:
        """The metric object of the demo's document and of the retained message."""
        return {
            "id": self.definition.id,
            "name_zh": self.definition.name.zh,
            "name_en": self.definition.name.en,
            "value": number(self.value),
            "numerator": number(self.numerator),
            "denominator": number(self.denominator),
            "numerator_ids": list(self.numerator_ids),
            "denominator_ids": list(self.denominator_ids),
            "window": self.window.to_json(),
            "grade": self.grade,
            "provisional": self.provisional,
            "unit": self.definition.unit,
            "reason": None if self.reason is None else self.reason._asdict(),
            **self._networking(),
        }

    def _networking(self) -> dict[str, Any]:
        """What only networking rates have beside their value."""
        if self.now_online is None:
            return {}
        after = self.effective_after
        return {
            "now_online": list(self.now_online),
            "effective_after": None if after is None else after.to_json(),
        }

    def to_full_json(self) -> dict[str, Any]:
        """All of it: the exact fraction, the definition, the register's version, notes and the
        policy target."""
        definition = self.definition
        target = self.definition.target
        return {
            **self.to_json(),
            "value_exact": None if self.value is None else str(self.value),
            "value_pct": percent(self.value) if definition.unit == "1" else None,
            "definition_id": definition.id,
            "formula_zh": definition.formula.zh,
            "formula_en": definition.formula.en,
            "basis": definition.basis,
            "source": definition.source,
            "target": target
            and {
                "above": number(target.above),
                "strictly": True,
                "met": target.met(self.value),
                **target.text._asdict(),
            },
            "register_version": self.register_version,
            "computed_at": iso(self.computed_at),
            "notes": [note._asdict() for note in (*definition.assumptions, *self.notes)],
            "details": dict(self.details),
        }


def number(value: Fraction | None) -> int | float | None:
    """A JSON number: whole numbers as integers."""
    if value is None:
        return None
    return value.numerator if value.denominator == 1 else float(value)


def percent(value: Fraction | None) -> float | None:
    """Percent, rounded half up to two decimals from the exact fraction. For display only."""
    if value is None:
        return None
    return int((value * 20_000 + 1) // 2) / 100


def iso(ns: int | None) -> str | None:
    """UTC, to the second: results are not finer than that."""
    return None if ns is None else datetime.fromtimestamp(ns // 1_000_000_000, UTC).isoformat()


def divide(numerator: Fraction | int, denominator: Fraction | int) -> Fraction | None:
    """Exact division; by zero there is no value, never 0 or 100 %."""
    return Fraction(numerator) / Fraction(denominator) if denominator else None


def exact_sum(numbers: Sequence[Fraction]) -> Fraction:
    """Their sum, over the denominator that all have in common: a thousand of them are quick."""
    common = lcm(*(number.denominator for number in numbers))
    return Fraction(
        sum(number.numerator * (common // number.denominator) for number in numbers), common
    )


def weakest(grades: Sequence[Grade]) -> Grade | None:
    """The weakest evidence a sum rests on; None for an empty one."""
    return min(grades, default=None)
