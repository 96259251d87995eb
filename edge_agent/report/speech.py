"""A document's texts in the wanted language, and its numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

from edge_agent.report.blocks import DASH

Language = Literal["zh", "en", "both"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)


def say(said: Any, language: Language, join: str = " ") -> str:
    """A text document in one language, or both with Chinese first; anything else as it is."""
    if not isinstance(said, Mapping):
        return "" if said is None else str(said)
    zh = str(said["zh"])
    en = str(said["en"])
    if language == "both":
        return zh if zh == en else f"{zh}{join}{en}"
    return zh if language == "zh" else en


def show(cell: Any, form: str, language: Language, zone: str = "UTC") -> str:
    """One cell for reading: percentages with two decimals, long numbers with at most four, times in
    the zone."""
    if cell is None:
        return DASH
    if form == "time":
        return local(cell, zone)
    if is_span(cell):
        return span_text(cell, zone)
    if isinstance(cell, Mapping | str | bool):
        return say(cell, language)
    if form == "percent":
        return f"{percent(cell):.2f} %"
    if form == "hours":
        return f"{cell:,.2f}"
    if isinstance(cell, int):
        return f"{cell:,}"
    if form == "count":  # a counter's step that straddles the window's edge is shared by time
        return f"{cell:,.1f}"
    return f"{cell:,.4f}".rstrip("0").rstrip(".")


def local(iso: str, zone: str) -> str:
    """A time of the document (ISO 8601) on the plant's own clocks."""
    return datetime.fromisoformat(iso).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")


def is_span(cell: Any) -> bool:
    """Whether a cell is a stretch of time."""
    return isinstance(cell, Mapping) and cell.keys() == {"from", "to"}


def span_text(cell: Mapping[str, Any], zone: str) -> str:
    """`2026-05-04 08:00 – 16:00`; the second date only where it is another; a snapshot is its end
    alone."""
    end = local(cell["to"], zone)[:16] if cell["to"] else DASH
    if not cell["from"]:
        return end
    start = local(cell["from"], zone)[:16]
    return f"{start} – {end[11:] if end[:10] == start[:10] else end}"


def percent(fraction: float) -> float:
    """Percent with two decimals, half up (the figures' exact value is in `value_exact`)."""
    return int(fraction * 10_000 + 0.5) / 100
