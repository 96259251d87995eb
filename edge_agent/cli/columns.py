"""A plain text table whose columns stay straight with Chinese text in them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def width(text: str) -> int:
    """Columns a terminal gives a text: wide East Asian signs take two."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Head and rows, each column as wide as its widest cell."""
    lines = [head, *rows]
    widths = [max(width(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(_padded(*cell) for cell in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _padded(text: str, wide: int) -> str:
    return text + " " * (wide - width(text))
