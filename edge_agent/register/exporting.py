"""A register out again: CSV in a chosen encoding or XLSX, and the template with drop-downs and
explanations."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal

from edge_agent.errors import RegisterError
from edge_agent.register.columns import EQUIPMENT, PROCESSES, RegisterColumn
from edge_agent.register.model import Cell, Equipment, Process, Register, cell_text
from edge_agent.register.sheet import SHEET_NAMES

if TYPE_CHECKING:
    from openpyxl.workbook import Workbook
    from openpyxl.worksheet.worksheet import Worksheet

Language = Literal["zh", "en"]
_TEMPLATE_ROWS: Final = 2000
"""Rows of the template that have drop-downs."""


def localised(cell: Cell, column: RegisterColumn, language: Language) -> str:
    """A cell as its reader writes it: 是/否 and Chinese words, or Y/N and the canonical words."""
    if language == "zh" and isinstance(cell, bool):
        return "是" if cell else "否"
    if (
        language == "zh"
        and column.kind == "word"
        and isinstance(cell, str)
        and cell in column.words
    ):
        return column.words[cell][0]
    return cell_text(cell)


def table(
    rows: Iterable[Equipment | Process], columns: Sequence[RegisterColumn], language: Language
) -> list[list[str]]:
    """Header and rows as text."""
    header = [column.zh if language == "zh" else column.name for column in columns]
    return [
        header,
        *([localised(getattr(row, c.name), c, language) for c in columns] for row in rows),
    ]


def to_csv(
    rows: Iterable[Equipment | Process],
    columns: Sequence[RegisterColumn],
    language: Language = "en",
    encoding: str = "utf-8-sig",
) -> bytes:
    """CSV bytes. Raises RegisterError for a character the encoding does not have (GBK lacks
    some)."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(table(rows, columns, language))
    try:
        return text.getvalue().encode(encoding)
    except UnicodeEncodeError as error:
        raise RegisterError.one(
            "register-encoding",
            f"编码 {encoding} 没有字符“{error.object[error.start]}”，请改用 gb18030 或 utf-8-sig。",
            f"{encoding} has no “{error.object[error.start]}”; use gb18030 or utf-8-sig.",
        ) from error


def to_xlsx(register: Register, language: Language = "zh") -> bytes:
    """A workbook with both sheets and the drop-downs of the template."""
    return _bytes(_workbook(register, language))


def template() -> bytes:
    """An empty workbook: bilingual headers, drop-downs for every vocabulary, a note on every
    column."""
    return _bytes(_workbook(Register(()), None))


def _bytes(book: Workbook) -> bytes:
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _workbook(register: Register, language: Language | None) -> Workbook:
    import openpyxl  # heavy, and only XLSX needs it

    book = openpyxl.Workbook()
    for which, columns, rows in (
        ("equipment", EQUIPMENT, register.equipment),
        ("processes", PROCESSES, register.processes),
    ):
        sheet = book.create_sheet(SHEET_NAMES[which][0])
        cells = table(rows, columns, language or "zh")
        if language is None:
            cells[0] = [f"{column.zh}\n{column.name}" for column in columns]
        _fill(sheet, cells, columns)
        _drop_downs(sheet, columns)
    book.remove(book.worksheets[0])
    return book


def _fill(sheet: Worksheet, cells: list[list[str]], columns: Sequence[RegisterColumn]) -> None:
    from openpyxl.comments import Comment
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter

    for number, row in enumerate(cells, 1):
        for position, text in enumerate(row, 1):
            if text:
                cell = sheet.cell(number, position, text)
                cell.data_type = "s"  # a text that begins with "=" stays a text
    for position, column in enumerate(columns, 1):
        head = sheet.cell(1, position)
        head.font = Font(bold=True)
        head.alignment = Alignment(wrap_text=True, vertical="top")
        if column.required:
            head.fill = PatternFill("solid", fgColor="FFF2CC")
        head.comment = Comment(_explain(column), "edge-agent")
        sheet.column_dimensions[get_column_letter(position)].width = 16
    sheet.freeze_panes = "B2"


def _explain(column: RegisterColumn) -> str:
    must = "必填 required" if column.required else "可空 optional"
    words = "\n".join(f"{also[0]} = {word}" for word, also in column.words.items())
    kinds = {"flag": "是/否 Y/N", "date": "2024-05-01", "decimal": "数字 number",
             "positive": "大于 0 的数字 number above 0"}  # fmt: skip
    several = "\n多个用 ; 分隔 several joined by ;" if column.several else ""
    several += "，第一个为主 the first is the primary" if column.kind == "ids" else ""
    return f"{must}\n{words or kinds.get(column.kind, '文本 text')}{several}"


def _drop_downs(sheet: Worksheet, columns: Sequence[RegisterColumn]) -> None:
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    for position, column in enumerate(columns, 1):
        choices = (
            ["是", "否"] if column.kind == "flag" else [also[0] for also in column.words.values()]
        )
        if not choices:
            continue
        rule = DataValidation(
            "list", formula1=f'"{",".join(choices)}"', allow_blank=not column.required
        )
        rule.showErrorMessage = True
        rule.errorTitle = column.zh
        rule.error = " / ".join(choices)
        letter = get_column_letter(position)
        rule.add(f"{letter}2:{letter}{_TEMPLATE_ROWS}")
        sheet.add_data_validation(rule)


def encode(
    register: Register, suffix: str, language: Language = "zh", encoding: str = "utf-8-sig"
) -> bytes:
    """The file for an ending: `.xlsx` holds both sheets, anything else is the equipment as CSV."""
    if suffix.lower() == ".xlsx":
        return to_xlsx(register, language)
    return to_csv(register.equipment, EQUIPMENT, language, encoding)
