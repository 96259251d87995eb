"""The report's tables and figures as CSV files and as a workbook, with real numbers in their
cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any, Final

from edge_agent.report.speech import Language, is_span, local, say, span_text
from edge_agent.report.tabular import harmless

_FIGURES: Final = (
    "key",
    "id",
    "scope",
    "name_zh",
    "name_en",
    "value",
    "value_exact",
    "unit",
    "numerator",
    "denominator",
    "numerator_ids",
    "denominator_ids",
    "grade",
    "provisional",
    "window_from",
    "window_to",
    "formula_zh",
    "formula_en",
    "basis",
    "source",
    "reason_zh",
    "reason_en",
    "register_version",
)
_SUMMARY: Final = {"zh": "摘要", "en": "summary"}


def csv_files(document: Mapping[str, Any], language: Language) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the figures and of every table; UTF-8 with BOM, as spreadsheets expect
    it."""
    yield "figures.csv", _encode([list(_FIGURES), *figure_rows(document)])
    for part in document["parts"]:
        for block in part["blocks"]:
            if block["kind"] == "table":
                head = [say(column["title"], language, " / ") for column in block["columns"]]
                rows = [[_plain(cell, language) for cell in row] for row in block["rows"]]
                yield f"{part['number']:02}-{block['name']}.csv", _encode([head, *rows])


def _encode(rows: list[list[Any]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([[harmless(cell) for cell in row] for row in rows])
    return buffer.getvalue().encode("utf-8-sig")


def _plain(cell: Any, language: Language) -> Any:
    if is_span(cell):
        return f"{cell['from']} .. {cell['to']}" if cell["from"] else cell["to"]
    return say(cell, language, " / ") if isinstance(cell, Mapping) else cell


def figure_rows(document: Mapping[str, Any]) -> list[list[Any]]:
    """Every figure with what it rests on, in the columns of `figures.csv`."""
    return [[_figure_cell(figure, name) for name in _FIGURES] for figure in document["figures"]]


def _figure_cell(figure: Mapping[str, Any], name: str) -> Any:
    if name.endswith("_ids"):
        return ";".join(figure[name])
    if name.startswith("window_"):
        return figure["window"][name.removeprefix("window_")]
    if name.startswith("reason_"):
        said = figure["reason"] or figure.get("effective_after") or {}
        return said.get(name.removeprefix("reason_"))
    return figure[name]


def workbook(document: Mapping[str, Any], language: Language) -> bytes:
    """XLSX: a sheet per part, and one with every figure."""
    import openpyxl  # heavy, and only the workbook needs it

    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    summary = {"number": 0, "title": _SUMMARY, "blocks": document["summary"]}
    for part in [summary, *document["parts"]]:
        sheet = book.create_sheet(_sheet_name(part, language))
        _fill(sheet, part, language, document["timezone"])
    sheet = book.create_sheet("figures")
    _rows(sheet, 1, [list(_FIGURES), *figure_rows(document)])
    _head(sheet, 1, len(_FIGURES))
    sheet.freeze_panes = "B2"
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _sheet_name(part: Mapping[str, Any], language: Language) -> str:
    """At most 31 characters, none of `[]:*?/\\`."""
    name = f"{part['number']} {say(part['title'], 'zh' if language == 'both' else language)}"
    return "".join("-" if letter in "[]:*?/\\" else letter for letter in name)[:31]


def _fill(sheet: Any, part: Mapping[str, Any], language: Language, zone: str) -> None:
    from openpyxl.styles import Font

    row = 1
    sheet.cell(row, 1, say(part["title"], language)).font = Font(bold=True, size=14)
    row += 2
    for block in part["blocks"]:
        if block["kind"] == "paragraph":
            _text(sheet, row, 1, say(block["text"], language))
            row += 2
        elif block["kind"] == "list":
            _text(sheet, row, 1, say(block["title"], language)).font = Font(bold=True)
            for number, item in enumerate(block["items"], 1):
                _text(sheet, row + number, 1, f"{number}. {say(item, language)}")
            row += len(block["items"]) + 2
        elif block["kind"] == "table":
            _text(sheet, row, 1, say(block["title"], language)).font = Font(bold=True)
            head = [say(column["title"], language, " / ") for column in block["columns"]]
            forms = [column["format"] for column in block["columns"]]
            cells = [
                [_local(cell, form, language, zone) for cell, form in zip(line, forms, strict=True)]
                for line in block["rows"]
            ]
            _rows(sheet, row + 1, [head, *cells])
            _head(sheet, row + 1, len(head))
            _formats(sheet, row + 2, block)
            row += len(cells) + 3
    for letter in "ABCDEFGHIJKLMN":
        sheet.column_dimensions[letter].width = 20


def _local(cell: Any, form: str, language: Language, zone: str) -> Any:
    if is_span(cell):
        return span_text(cell, zone)
    return local(cell, zone) if form == "time" and cell is not None else _plain(cell, language)


def _text(sheet: Any, row: int, column: int, words: str) -> Any:
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    cell = sheet.cell(row, column, ILLEGAL_CHARACTERS_RE.sub("", words))
    cell.data_type = "s"  # a text that begins with "=" stays a text
    return cell


def _rows(sheet: Any, first: int, rows: list[list[Any]]) -> None:
    for i, row in enumerate(rows):
        for j, value in enumerate(row, 1):
            if isinstance(value, str):
                _text(sheet, first + i, j, value)
            elif value is not None:
                sheet.cell(first + i, j, value)


def _head(sheet: Any, row: int, columns: int) -> None:
    from openpyxl.styles import Alignment, Font, PatternFill

    for j in range(1, columns + 1):
        cell = sheet.cell(row, j)
        cell.font = Font(bold=True)
        cell.fill = PatternFill("solid", fgColor="EEF2F5")
        cell.alignment = Alignment(wrap_text=True, vertical="top")


def _formats(sheet: Any, first: int, block: Mapping[str, Any]) -> None:
    """Percentages and large numbers are shown as such; the value in the cell stays exact."""
    shown = {"percent": "0.00%", "number": "#,##0.####", "count": "#,##0", "hours": "0.00"}
    for j, column in enumerate(block["columns"], 1):
        for i in range(len(block["rows"])):
            if column["format"] in shown:
                sheet.cell(first + i, j).number_format = shown[column["format"]]
