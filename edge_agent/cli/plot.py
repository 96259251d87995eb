"""A tag's past as lines of Braille signs: least and greatest in each column, nothing where nothing
is known. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from edge_agent.app.values.steps import HistorySteps
from edge_agent.app.values.text import number
from edge_agent.cli.columns import width
from edge_agent.stores.columns import Floats

#: Columns of dots in one sign, and rows.
ACROSS: Final = 2
DOWN: Final = 4
_BLANK: Final = 0x2800
#: Bit of each dot of a sign, by row and column (Unicode 3.0, block Braille Patterns).
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_LABEL: Final = 10
_DIGITS: Final = 5

LEGEND: Final = "── 好 good   ? 不确定 uncertain   × 坏 bad   ░ 无数据 no data"


def plot_columns(terminal: int) -> int:
    """Columns of dots on a terminal of so many columns of signs."""
    return ACROSS * max(10, terminal - _LABEL - 2)


def plot_lines(steps: HistorySteps, height: int, ends: Sequence[str]) -> list[str]:
    """The picture of steps that are finished: `height` lines, a line of quality, and the times of
    both ends."""
    low = steps.low
    high = steps.high
    bounds = _bounds(low, high)
    signs = -(-steps.size // ACROSS)
    lines = [
        f"{label:>{_LABEL}} │{text}" for label, text in _canvas(low, high, bounds, height, signs)
    ]
    lines.append(f"{'':>{_LABEL}} └{_quality(steps, signs)}")
    first, last = ends
    room = max(1, signs - width(first) - width(last))
    lines.append(f"{'':>{_LABEL}}  {first}{' ' * room}{last}")
    return lines


def _bounds(low: Floats, high: Floats) -> tuple[float, float]:
    """The least and the greatest shown; a flat line gets room above and below."""
    known = np.isfinite(low)
    least, greatest = (
        (float(low[known].min()), float(high[known].max())) if known.any() else (0.0, 1.0)
    )
    if least == greatest:
        room = abs(least) * 0.1 or 1.0
        return least - room, greatest + room
    return least, greatest


def _canvas(
    low: Floats, high: Floats, bounds: tuple[float, float], height: int, signs: int
) -> list[tuple[str, str]]:
    """Lines from the top, each with its label: the value at the top, the middle and the bottom."""
    least, greatest = bounds
    rows = DOWN * height
    cells = np.zeros((height, signs), np.uint8)
    for column in np.flatnonzero(np.isfinite(low)).tolist():
        bottom = _dot(float(low[column]), least, greatest, rows)
        top = _dot(float(high[column]), least, greatest, rows)
        for dot in range(rows - 1 - top, rows - bottom):
            cells[dot // DOWN, column // ACROSS] |= _DOTS[dot % DOWN][column % ACROSS]
    labels = {
        0: greatest,
        height // 2: greatest - (greatest - least) * (height // 2) / max(1, height - 1),
    }
    labels[height - 1] = least
    return [
        (_label(labels.get(row)), "".join(chr(_BLANK + int(cell)) for cell in cells[row]))
        for row in range(height)
    ]


def _dot(value: float, least: float, greatest: float, rows: int) -> int:
    share = (value - least) / (greatest - least)
    return min(rows - 1, max(0, round(share * (rows - 1))))


def _label(value: float | None) -> str:
    if value is None:
        return ""
    text = number(value, _DIGITS)
    return text if len(text) <= _LABEL else f"{value:.3g}"


def _quality(steps: HistorySteps, signs: int) -> str:
    """The worst of each sign's columns."""
    marks = []
    for sign in range(signs):
        here = slice(ACROSS * sign, ACROSS * (sign + 1))
        severity = int(steps.worst[here].max()) >> 30
        if severity >= 2:
            marks.append("×")
        elif not steps.known[here].any():
            marks.append("░")
        else:
            marks.append("?" if severity else "─")
    return "".join(marks)
