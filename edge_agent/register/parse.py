"""Sheet -> typed rows. Every cell that cannot be understood is listed by row and column; nothing is
guessed."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final

from edge_agent.errors import Finding, RegisterError
from edge_agent.register.columns import NO, YES, RegisterColumn, fold
from edge_agent.register.model import Cell
from edge_agent.register.sheet import Sheet
from edge_agent.words import command

_HEADER_WITHIN: Final = 10
"""A title or a note may stand above the header, in the first rows."""
_TOTALS: Final = frozenset({"合计", "总计", "小计", "共计", "total", "totals", "sum", "subtotal"})
_FAULTS: Final = frozenset(
    {"#N/A", "#REF!", "#DIV/0!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!"}
)
"""What a spreadsheet shows for a formula that failed."""
_GROUPED: Final = re.compile(r"\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII)
_DIGITS: Final = 18
_DECIMALS: Final = 18
"""What an amount may have before and behind its point."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row: its number in the sheet and its understood cells by column name (a cell not
    understood is absent)."""

    number: int
    cells: Mapping[str, Cell]

    def text(self, column: str) -> str:
        """The cell of an id or text column, empty where there is none."""
        cell = self.cells.get(column)
        return cell if isinstance(cell, str) else ""

    def is_true(self, column: str) -> bool:
        return self.cells.get(column) is True


@dataclass(slots=True)
class ParsedRegister:
    """Typed rows, and what was wrong: `errors` stop the register from being used, `notes` do
    not."""

    name: str
    rows: list[SheetRow] = field(default_factory=list)
    errors: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    columns: dict[str, int] = field(default_factory=dict)
    """Column name -> position in the sheet, 0-based."""

    def place(self, row: SheetRow | int, column: str) -> str:
        """`file:row:column` (of a workbook `file[sheet]:row:column`), as every finding about a cell
        names it."""
        return f"{self.name}:{row if isinstance(row, int) else row.number}:{column}"


class CellError(ValueError):
    """Why a cell was not understood."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en


def parse(sheet: Sheet, columns: Sequence[RegisterColumn]) -> ParsedRegister:
    """Read a sheet by its header. Raises RegisterError when no header row is found."""
    parsed = ParsedRegister(sheet.name, notes=list(sheet.notes))
    at = _find_header(sheet, columns)
    number, header = sheet.rows[at]
    _match_header(parsed, number, header, columns)
    for row_number, texts in sheet.rows[at + 1 :]:
        if _is_total(parsed, texts, columns):
            parsed.notes.append(_total(parsed, row_number))
        else:
            parsed.rows.append(_row(parsed, row_number, texts, columns))
    return parsed


def _is_total(
    parsed: ParsedRegister, texts: Sequence[str], columns: Sequence[RegisterColumn]
) -> bool:
    """A row that sums up the others: it says so, and none of the required cells holds anything
    else."""
    if not any(fold(text) in _TOTALS for text in texts):
        return False
    places = [
        parsed.columns[column.name]
        for column in columns
        if column.required and column.name in parsed.columns
    ]
    return all(at >= len(texts) or not texts[at] or fold(texts[at]) in _TOTALS for at in places)


def _total(parsed: ParsedRegister, number: int) -> Finding:
    return Finding(
        "total-row",
        f"{parsed.name}:{number}:",
        f"第 {number} 行是合计行，不是设备（工序），已忽略。",
        f"row {number} sums up the others and was left out.",
    )


def _find_header(sheet: Sheet, columns: Sequence[RegisterColumn]) -> int:
    known = frozenset[str]().union(*(column.header_forms() for column in columns))
    hits = [sum(fold(text) in known for text in row) for _, row in sheet.rows[:_HEADER_WITHIN]]
    best = max(range(len(hits)), key=hits.__getitem__)
    if hits[best] < 2:
        names = ", ".join(f"{column.zh}/{column.name}" for column in columns if column.required)
        raise RegisterError.one(
            "register-header",
            f"没有找到表头行。需要的列:{names}。可用 `{command('register', 'template')}` "
            "生成模板。",
            f"no header row was found. Columns needed: {names}. "
            f"`{command('register', 'template')}` writes a template.",
            sheet.name,
        )
    return best


def _match_header(
    parsed: ParsedRegister, number: int, header: Sequence[str], columns: Sequence[RegisterColumn]
) -> None:
    forms = {form: column.name for column in columns for form in column.header_forms()}
    for position, text in enumerate(header):
        name = forms.get(fold(text))
        if name is None:
            _note_unknown_header(parsed, number, text, columns)
        elif name in parsed.columns:
            parsed.errors.append(
                Finding(
                    "duplicate-column",
                    parsed.place(number, text),
                    f"列“{text}”重复，请只保留一列。",
                    f"the column “{text}” ({name}) is there twice; keep one.",
                )
            )
        else:
            parsed.columns[name] = position
    for column in columns:
        if column.required and column.name not in parsed.columns:
            parsed.errors.append(
                Finding(
                    "missing-column",
                    parsed.place(number, column.name),
                    f"缺少列“{column.zh}”（{column.name}），请补上，不能推断。",
                    f"the column {column.name} ({column.zh}) is missing; add it, it is never "
                    "inferred.",
                )
            )


def _note_unknown_header(
    parsed: ParsedRegister, number: int, text: str, columns: Sequence[RegisterColumn]
) -> None:
    if not text:
        return
    near = nearest(text, [form for column in columns for form in (column.name, column.zh)])
    parsed.notes.append(
        Finding(
            "unknown-column",
            parsed.place(number, text),
            f"不认识的列“{text}”，已忽略。" + (f"是否应为“{near}”？" if near else ""),
            f"the column “{text}” is not known and was ignored."
            + (f" Did you mean “{near}”?" if near else ""),
        )
    )


def _row(
    parsed: ParsedRegister, number: int, texts: Sequence[str], columns: Sequence[RegisterColumn]
) -> SheetRow:
    cells: dict[str, Cell] = {}
    for column in columns:
        position = parsed.columns.get(column.name)
        if position is None:
            continue
        text = texts[position] if position < len(texts) else ""
        try:
            cells[column.name] = read_cell(text, column)
        except CellError as error:
            finding = Finding(_code(text), parsed.place(number, column.name), error.zh, error.en)
            (parsed.errors if column.required else parsed.notes).append(finding)
    return SheetRow(number, cells)


def _code(text: str) -> str:
    return "bad-cell" if text.strip() else "missing-cell"


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word most like this one, or None."""
    folded = {fold(each): each for each in known}
    close = difflib.get_close_matches(fold(word), list(folded), n=1, cutoff=0.5)
    return folded[close[0]] if close else None


def read_cell(text: str, column: RegisterColumn) -> Cell:
    """One cell. Raises CellError with the reason and the next step; an empty optional cell is the
    column's empty."""
    if text.strip().upper() in _FAULTS:
        raise CellError(
            f"“{text}”是表格公式的错误值，“{column.zh}”按空处理；请改正公式或直接填写。",
            f"“{text}” is the error of a formula; {column.name} was left empty; correct it, or "
            "write the value.",
        )
    plain = text.strip() if column.kind == "text" else unicodedata.normalize("NFKC", text).strip()
    if not plain:
        if column.required:
            raise CellError(
                f"“{column.zh}”未填写；该列决定统计结果，不能推断，请填写。",
                f"{column.name} is empty; a count rests on it and it is never inferred, so fill "
                "it in.",
            )
        return None if column.kind in ("decimal", "positive", "date", "flag") else ""
    return _READERS[column.kind](plain, column)


def _read_text(text: str, column: RegisterColumn) -> str:
    return text


def _read_ids(text: str, column: RegisterColumn) -> str:
    return ";".join(part for part in re.split(r"[;,、|+\s]+", text) if part)


def _read_word(text: str, column: RegisterColumn) -> str:
    forms = column.word_forms()
    if word := forms.get(fold(text)):
        return word
    choices = " ".join(f"{word}({also[0]})" for word, also in column.words.items())
    near = nearest(text, [form for word, also in column.words.items() for form in (word, *also)])
    raise CellError(
        f"“{text}”不是“{column.zh}”的可选值。"
        + (f"是否应为“{near}”？" if near else "")
        + f"可选:{choices}。",
        f"“{text}” is no {column.name}."
        + (f" Did you mean “{near}”?" if near else "")
        + f" Choose from: {choices}.",
    )


def _read_flag(text: str, column: RegisterColumn) -> bool:
    word = text.lower()
    if word in YES or word in NO:
        return word in YES
    raise CellError(
        f"“{text}”不是 是/否(Y/N、√ 也可以),请改正“{column.zh}”。",
        f"“{text}” is neither yes nor no (是/否, Y/N, √); correct {column.name}.",
    )


def _written_out(number: Decimal) -> bool:
    """Whether an amount can be: `1E+999999999` is a number too, and as digits would fill the
    memory."""
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -_DECIMALS and number.adjusted() < _DIGITS


def _read_decimal(text: str, column: RegisterColumn) -> Decimal:
    try:
        plain = re.sub(r"[\s¥元]", "", text)
        # A comma stands between thousands; `11,5` could be eleven and a half, and is not made 115.
        number = Decimal(plain.replace(",", "") if _GROUPED.fullmatch(plain) else plain)
    except InvalidOperation:
        number = Decimal("NaN")
    if number.is_finite() and number >= 0 and _written_out(number):
        return number
    raise CellError(
        f"“{text}”不是有效的非负数；“{column.zh}”按空处理，请改正。",
        f"“{text}” is not a number of 0 or more; {column.name} was left empty, correct it.",
    )


def _read_positive(text: str, column: RegisterColumn) -> Decimal:
    if number := _read_decimal(text, column):
        return number
    raise CellError(
        f"“{text}”不是大于 0 的数；“{column.zh}”按空处理，请改正。",
        f"“{text}” is not a number above 0; {column.name} was left empty, correct it.",
    )


_DATE: Final = re.compile(
    r"(\d{4})(?:[-/.年](\d{1,2})[-/.月](\d{1,2})日?|(\d{2})(\d{2}))(?:[ T].*)?"
)


def _read_date(text: str, column: RegisterColumn) -> date:
    if match := _DATE.fullmatch(text):
        year = match[1]
        month = match[2] or match[4]
        day = match[3] or match[5]
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            pass
    raise CellError(
        f"“{text}”不是有效日期；“{column.zh}”按空处理，请写成 2024-05-01。",
        f"“{text}” is not a date; {column.name} was left empty, write it as 2024-05-01.",
    )


_READERS: Final[Mapping[str, Callable[[str, RegisterColumn], Cell]]] = {
    "id": _read_text,
    "ids": _read_ids,
    "text": _read_text,
    "word": _read_word,
    "flag": _read_flag,
    "decimal": _read_decimal,
    "positive": _read_positive,
    "date": _read_date,
}
