"""Two charts as SVG text, without a plotting library: cost against the number of tags, and cost
beside the peers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

FONT = "font-family='system-ui, sans-serif' font-size='13' fill='#24292f'"
COLOURS = ("#0969da", "#8250df", "#bf8700", "#cf222e", "#1a7f37")
WIDTH = 760
_GRID = "stroke='#d0d7de' stroke-width='1'"

Point = tuple[float, float, float, float]
"""x, and the median, lowest and highest y."""


def _document(height: float, parts: Sequence[str], title: str) -> str:
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height:.0f}' "
        f"width='{WIDTH}' "
        f"height='{height:.0f}' role='img' {FONT}>\n<title>{escape(title)}</title>\n"
        f"<rect width='{WIDTH}' height='{height:.0f}' rx='8' fill='#ffffff'/>\n"
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {more}>{escape(words)}</text>"


def _line(x1: float, y1: float, x2: float, y2: float, style: str = _GRID) -> str:
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' {style}/>"


def scale_chart(points: Sequence[Point], title: str) -> str:
    """Cost (linear) against tags (logarithmic), with the spread of the runs as whiskers."""
    left, top, right, bottom = 60, 60, WIDTH - 30, 300
    highest = max(1.0, math.ceil(max(point[3] for point in points)))
    low, high = math.log10(points[0][0]), math.log10(points[-1][0])

    def x(tags: float) -> float:
        return left + 20 + (right - left - 40) * (math.log10(tags) - low) / max(high - low, 1e-9)

    def y(cost: float) -> float:
        return bottom - (bottom - top) * cost / highest

    parts = [_text(20, 30, title, "font-size='16' font-weight='600'")]
    for tick in range(int(highest) + 1):
        parts += [
            _line(left, y(tick), right, y(tick)),
            _text(left - 10, y(tick) + 4, str(tick), "text-anchor='end'"),
        ]
    path = " ".join(f"{x(tags):.1f},{y(cost):.1f}" for tags, cost, _, _ in points)
    parts.append(f"<polyline points='{path}' fill='none' stroke='{COLOURS[0]}' stroke-width='2'/>")
    for tags, cost, least, most in points:
        parts += [
            _line(x(tags), y(least), x(tags), y(most), f"stroke='{COLOURS[0]}' stroke-width='1.5'"),
            f"<circle cx='{x(tags):.1f}' cy='{y(cost):.1f}' r='4' fill='{COLOURS[0]}'/>",
            _text(x(tags), y(most) - 9, f"{cost:.2f}", "text-anchor='middle'"),
            _text(x(tags), bottom + 20, f"{tags:,.0f}".replace(",", " "), "text-anchor='middle'"),
        ]
    parts.append(
        _text(
            (left + right) / 2,
            bottom + 42,
            "tags (100 a device, each read every second)",
            "text-anchor='middle'",
        )
    )
    parts.append(_text(20, 50, "CPU µs per value"))
    return _document(bottom + 60, parts, title)


Bar = tuple[float, str]
"""A cost, and what is written behind it."""


def peers_chart(groups: Mapping[str, Mapping[str, Bar]], title: str) -> str:
    """One group of bars per shape on a logarithmic axis: the costs span three orders of
    magnitude."""
    left, right, height, gap = 30, WIDTH - 250, 16, 30
    names = list(dict.fromkeys(name for bars in groups.values() for name in bars))
    highest = max(cost for bars in groups.values() for cost, _ in bars.values())
    top = math.log10(highest)

    def width(cost: float) -> float:
        return max(2.0, (right - left) * (math.log10(max(cost, 0.11)) + 1) / (top + 1))

    parts = [
        _text(20, 30, title, "font-size='16' font-weight='600'"),
        _text(20, 50, "CPU µs per value that arrived, logarithmic axis from 0.1; less is better"),
    ]
    at = 62.0
    for name in names:
        parts += [
            f"<rect x='{left}' y='{at}' width='12' height='12' fill='{_colour(names, name)}'/>",
            _text(left + 20, at + 11, name),
        ]
        at += 18
    at += 8
    for shape, bars in groups.items():
        parts.append(_text(left, at + 14, shape, "font-weight='600'"))
        at += 20
        for name, (cost, words) in bars.items():
            parts += [
                f"<rect x='{left}' y='{at:.1f}' width='{width(cost):.1f}' height='{height - 3}' "
                f"fill='{_colour(names, name)}'/>",
                _text(left + width(cost) + 8, at + 11, words),
            ]
            at += height
        at += gap - height
    return _document(at + 10, parts, title)


def _colour(names: Sequence[str], name: str) -> str:
    return COLOURS[names.index(name) % len(COLOURS)]
