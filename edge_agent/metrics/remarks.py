"""What must be said in the same line as a figure: that it is outside its possible range, or provisional."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from edge_agent.metrics.definitions import Text
from edge_agent.metrics.result import Result

ABOVE: Final = Text(
    "超过 100 %，超出可能范围：请核对标准节拍与计数器",
    "above 100 %, which is not possible: check the nominal cycle and the counters",
)
BELOW: Final = Text("小于 0，超出可能范围：请核对计数器", "below 0, which is not possible: check the counters")
PROVISIONAL: Final = Text("暂定", "provisional")


def outside(result: Result) -> Text | None:
    """Why the figure cannot be right as it stands; None inside its possible range."""
    if result.value is None:
        return None
    if result.value < 0:
        return BELOW
    return ABOVE if result.definition.unit == "1" and result.value > 1 else None


def with_range(result: Result) -> Result:
    """The result with the note that it is outside its possible range, where it is."""
    note = outside(result)
    if note is None or note in result.notes:
        return result
    return replace(result, notes=(*result.notes, note))


def remark(result: Result) -> Text | None:
    """What stands beside the value, short: outside its range, provisional, or both."""
    found = [note for note in (outside(result), PROVISIONAL if result.provisional else None) if note is not None]
    if not found:
        return None
    return Text("；".join(note.zh for note in found), "; ".join(note.en for note in found))
