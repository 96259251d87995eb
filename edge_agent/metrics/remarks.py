"""What must be said in the same line as a figure: that it is outside its possible range, or
provisional."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from edge_agent.metrics.definitions import Text
from edge_agent.metrics.result import MetricResult

ABOVE: Final = Text(
    "超过 100 %，超出可能范围：请核对标准节拍与计数器",
    "above 100 %, which is not possible: check the nominal cycle and the counters",
)
BELOW: Final = Text(
    "小于 0，超出可能范围：请核对计数器", "below 0, which is not possible: check the counters"
)
PROVISIONAL: Final = Text("暂定", "provisional")


def outside(result: MetricResult) -> Text | None:
    """Why the figure cannot be right as it stands; None inside its possible range."""
    if result.value is None:
        return None
    if result.value < 0:
        return BELOW
    return ABOVE if result.definition.unit == "1" and result.value > 1 else None


def beyond_range(figure: Mapping[str, Any]) -> Text | None:
    """The same of a figure's document."""
    value = figure.get("value")
    if not isinstance(value, int | float):
        return None
    if value < 0:
        return BELOW
    return ABOVE if figure.get("unit") == "1" and value > 1 else None


def with_range(result: MetricResult) -> MetricResult:
    """The result with the note that it is outside its possible range, where it is."""
    note = outside(result)
    if note is None or note in result.notes:
        return result
    return replace(result, notes=(*result.notes, note))


def row_notes(result: MetricResult) -> list[Text]:
    """What stands beside the value, short: outside its range, provisional, or both."""
    found = [
        outside(result),
        PROVISIONAL if result.provisional and result.value is not None else None,
    ]
    return [note for note in found if note is not None]


def remark(result: MetricResult) -> Text | None:
    """The same as one text; None where nothing must be said."""
    found = row_notes(result)
    if not found:
        return None
    return Text("；".join(note.zh for note in found), "; ".join(note.en for note in found))
