"""What a report document is made of: parts of blocks, all plain JSON, so that every rendering shows
the same.

A text is `{"zh", "en"}`. A block is a paragraph, a list, a table, or a chart. A cell is a number, a
text, a word, a span of time `{"from", "to"}` or None; the column says how it reads: `text`,
`number`, `percent` (of a fraction), `count`, `hours`, `time` (ISO 8601, UTC; spans and times are
shown in the plant's zone).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple

from edge_agent.metrics.collection import LINK_NAMES
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.remarks import row_notes
from edge_agent.metrics.result import MetricResult, iso, number

Json = dict[str, Any]
Format = Literal["text", "number", "percent", "count", "hours", "time"]
Level = Literal["plain", "note", "assumption", "warning", "good"]

DASH: Final = "—"


class TableColumn(NamedTuple):
    """One column of a table."""

    zh: str
    en: str
    format: Format = "text"


def text(zh: str, en: str) -> Json:
    """A text in both languages."""
    return {"zh": zh, "en": en}


def both(said: Text) -> Json:
    """The same from a Text."""
    return text(said.zh, said.en)


def part(number_: int, zh: str, en: str, blocks: Iterable[Json]) -> Json:
    """One numbered part of a report."""
    return {"number": number_, "title": text(zh, en), "blocks": list(blocks)}


def paragraph(zh: str, en: str, level: Level = "plain") -> Json:
    """A sentence of its own."""
    return {"kind": "paragraph", "level": level, "text": text(zh, en)}


def said(sentence: Text, level: Level = "note") -> Json:
    """A sentence from elsewhere."""
    return paragraph(sentence.zh, sentence.en, level)


def listing(zh: str, en: str, items: Iterable[Text]) -> Json:
    """Numbered sentences under a title."""
    return {"kind": "list", "title": text(zh, en), "items": [both(item) for item in items]}


def span(start: int, end: int) -> Json:
    """A stretch of time (ns) as a cell."""
    return {"from": iso(start), "to": iso(end)}


def table(
    name: str, zh: str, en: str, columns: Sequence[TableColumn], rows: Iterable[Sequence[Any]]
) -> Json:
    """A table; `name` is that of its CSV file. Fractions become numbers, texts documents."""
    heads = [{"title": text(column.zh, column.en), "format": column.format} for column in columns]
    cells = [[_cell(cell) for cell in row] for row in rows]
    return {"kind": "table", "name": name, "title": text(zh, en), "columns": heads, "rows": cells}


def chart(kind: str, zh: str, en: str, **data: Any) -> Json:
    """A picture; `data` is what it is drawn from."""
    return {"kind": "chart", "chart": kind, "title": text(zh, en), **data}


def _cell(cell: Any) -> Any:
    if isinstance(cell, Fraction):
        return number(cell)
    if isinstance(cell, Text):
        return both(cell)
    return cell


def value_or_reason(result: MetricResult | None) -> Fraction | Text | None:
    """A figure's value, or why there is none, or none yet."""
    if result is None:
        return None
    if result.effective_after is not None:
        return result.effective_after.text()
    return result.value if result.value is not None else result.reason


def remarks(results: Iterable[MetricResult | None]) -> Json | str:
    """What must be said in the same row as these figures: outside their possible range,
    provisional."""
    found = dict.fromkeys(
        note for result in results if result is not None for note in row_notes(result)
    )
    return (
        text("；".join(note.zh for note in found), "; ".join(note.en for note in found))
        if found
        else DASH
    )


def words(items: Iterable[str]) -> str:
    """A list in one cell."""
    return ", ".join(items) or DASH


def named(items: Iterable[str]) -> Json | str:
    """A list in one cell; business links of the questionnaire, whose ids are Chinese, in both
    languages."""
    ids = tuple(items)
    english = words(LINK_NAMES.get(each, each) for each in ids)
    return english if english == words(ids) else text("、".join(ids), english)
