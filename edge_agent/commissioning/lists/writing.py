"""The tags of a site as a point list: CSV in a chosen encoding, or XLSX with drop-downs. Read, it
gives the same tags.

A text that a spreadsheet would take for a formula begins with an apostrophe, which the reader takes
away again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from edge_agent.commissioning.lists import cells
from edge_agent.commissioning.lists.columns import Language, head, written
from edge_agent.commissioning.lists.spreadsheet import RISKY
from edge_agent.commissioning.lists.words import WordError
from edge_agent.config.dump import inline
from edge_agent.config.models import DeviceCommon, TagCommon
from edge_agent.errors import FindingsError

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

Cell = str | int | float | None
SHEET: Final = "点表 points"
_TYPES: Final = (
    "bool,int8,uint8,int16,uint16,int32,uint32,int64,uint64,float32,float64,string,bcd16,bcd32"
)
_NUMBERS: Final = frozenset({"scale", "offset", "low", "high", "bit", "length", "count"})
_DIRECT: Final = (
    "type",
    "bit",
    "length",
    "count",
    "word_order",
    "scale",
    "offset",
    "unit",
    "description",
    "report",
    "business_link",
)
_WIDTHS: Final = {"description": 28, "address": 26, "tag": 22, "map": 24, "more": 24}


def rows_of(devices: Iterable[DeviceCommon]) -> list[dict[str, Cell]]:
    """A row for each tag, its cells by column name; what a profile or a template gives is written
    out."""
    return [_row(device.id, name, tag) for device in devices for name, tag in device.tags.items()]


def _row(device: str, name: str, tag: TagCommon) -> dict[str, Cell]:
    keys = tag.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    row: dict[str, Cell] = {"device": device, "tag": name, "address": _address(keys)}
    for key in _DIRECT:
        value = keys.get(key)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            row[key] = _shortest(value)
            del keys[key]
    if "range" in keys:
        row["low"], row["high"] = map(_shortest, keys.pop("range"))
    if "map" in keys and (text := _labels(keys["map"])) is not None:
        row["map"] = text
        del keys["map"]
    if "every" in keys:
        row["every"] = duration(keys.pop("every"))
    if "deadband" in keys:
        row["deadband"] = str(_shortest(keys.pop("deadband")))
    if keys:
        row["more"] = inline(
            {key: duration(keys[key]) if key == "max_silence" else keys[key] for key in keys}
        )
    return row


def _address(keys: dict[str, Any]) -> str:
    """The address, node or path, which is taken out of the keys."""
    for key in ("address", "node", "path"):
        value = keys.pop(key, None)
        if isinstance(value, list):
            return "/".join(name.replace("/", "&/") for name in value)
        if value is not None:
            return str(value)
    return ""


def _shortest(value: Any) -> Any:
    return (
        int(value)
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15
        else value
    )


def _labels(names: Mapping[Any, str]) -> str | None:
    """The names of an enumeration in one cell; None when its signs are in a name."""
    text = ";".join(f"{number}={name}" for number, name in names.items())
    try:
        return (
            text
            if cells.labels(text) == {int(number): name for number, name in names.items()}
            else None
        )
    except WordError:
        return None


def duration(seconds: float) -> str:
    """Seconds as the configuration writes them: `500ms`, `1s`."""
    milliseconds = seconds * 1000
    return (
        f"{milliseconds:g}ms"
        if seconds < 1 and milliseconds == round(milliseconds)
        else f"{seconds:.12g}s"
    )


def harmless(cell: Cell) -> Cell:
    """A text that a spreadsheet would take for a formula, with an apostrophe before it."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith((*RISKY, "'")) else cell


def table(rows: Sequence[Mapping[str, Cell]], language: Language) -> list[list[Cell]]:
    """Head and rows. Columns that no row has are left out, but for those that a list is not
    without."""
    always = {"device", "tag", "description", "address", "type", "unit"}
    names = [
        column.name
        for column in written()
        if column.name in always or any(column.name in row for row in rows)
    ]
    return [
        [head(name, language) for name in names],
        *([harmless(row.get(name)) for name in names] for row in rows),
    ]


def csv_bytes(rows: Iterable[Iterable[Cell]], encoding: str) -> bytes:
    """CSV. Raises FindingsError for a character that the encoding does not have."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(["" if cell is None else cell for cell in row] for row in rows)
    try:
        return text.getvalue().encode(encoding)
    except UnicodeEncodeError as error:
        letter = error.object[error.start]
        raise FindingsError.one(
            "encoding",
            f"编码 {encoding} 没有字符“{letter}”，请改用 gb18030 或 utf-8-sig。",
            f"{encoding} has no “{letter}”; use gb18030 or utf-8-sig.",
        ) from error


def to_csv(rows: Sequence[Mapping[str, Cell]], language: Language, encoding: str) -> bytes:
    """CSV bytes. Raises FindingsError for a character that the encoding does not have."""
    return csv_bytes(table(rows, language), encoding)


def to_xlsx(rows: Sequence[Mapping[str, Cell]], language: Language) -> bytes:
    """A workbook with one sheet: head in bold and fixed, texts as texts, a drop-down for the
    type."""
    import openpyxl  # heavy, and only XLSX needs it

    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = SHEET
    filled = table(rows, language)
    fill(sheet, filled)
    names = {head(column.name, language): column.name for column in written()}
    for position, title in enumerate(filled[0], 1):
        _layout(sheet, position, names[str(title)], len(filled))
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def fill(sheet: Worksheet, rows: Sequence[Sequence[Cell]]) -> None:
    """Write rows with a head; every text is a text, whatever it begins with."""
    from openpyxl.styles import Font

    for number, row in enumerate(rows, 1):
        for position, value in enumerate(row, 1):
            if value is None or value == "":
                continue
            cell = sheet.cell(number, position, value)
            if isinstance(value, str):
                cell.data_type = "s"
                cell.number_format = "@"
            if number == 1:
                cell.font = Font(bold=True)
    sheet.freeze_panes = "A2"


def _layout(sheet: Worksheet, position: int, name: str, rows: int) -> None:
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    letter = get_column_letter(position)
    sheet.column_dimensions[letter].width = _WIDTHS.get(name, 12)
    sheet.column_dimensions[letter].number_format = "General" if name in _NUMBERS else "@"
    if name == "type":
        rule = DataValidation("list", formula1=f'"{_TYPES}"', allow_blank=True)
        rule.showErrorMessage = False
        rule.add(f"{letter}2:{letter}{rows + 500}")
        sheet.add_data_validation(rule)


def encode(
    rows: Sequence[Mapping[str, Cell]], suffix: str, language: Language, encoding: str
) -> bytes:
    """The file for an ending, `.xlsx` or `.csv`. Raises FindingsError for another."""
    if suffix.lower() == ".xlsx":
        return to_xlsx(rows, language)
    if suffix.lower() == ".csv":
        return to_csv(rows, language, encoding)
    raise FindingsError.one(
        "bad-ending",
        "文件名应以 .xlsx 或 .csv 结尾。",
        "the name of the file must end in .xlsx or .csv.",
    )
