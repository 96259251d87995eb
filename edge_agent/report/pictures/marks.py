"""What all pictures share: the width, the inks, legends, and texts cut to their room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edge_agent.report.pictures.svg import Markup, label, rect

WIDTH: Final = 720.0
INK = "#1c2733"
QUIET = "#5b6975"
PAPER = "#eef2f5"
#: The questionnaire's bands, from the lowest on.
BANDS: Final = ("#dbe9f1", "#bcd8e6", "#93c0d6", "#5f9fbd", "#2f7a9d")


def text_width(words: str, size: float) -> float:
    """Roughly; Chinese characters are as wide as they are high."""
    return sum(size if ord(letter) > 0x2E7F else 0.58 * size for letter in words)


def cut(words: str, room: float, size: float) -> str:
    """As much of a text as fits."""
    if text_width(words, size) <= room:
        return words
    kept = words
    while kept and text_width(kept + "…", size) > room:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


def legend(entries: Sequence[tuple[str, str]], y: float = 4.0) -> list[Markup]:
    """Colour and words, side by side."""
    pieces = []
    x = 0.0
    for colour, words in entries:
        pieces.append(rect(x, y, 12, 12, colour, stroke="#b7c1ca", stroke_width=0.5))
        pieces.append(label(x + 16, y + 10, words, font_size=11, fill=INK))
        x += 32 + text_width(words, 11)
    return pieces
