"""A file of the register becomes a sheet of texts: CSV (see `encodings`), or XLSX.

Nothing is interpreted here; `parse` does that. Row numbers are those a spreadsheet shows (the
header is row 1).
"""

from __future__ import annotations

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from edge_agent.errors import Finding, RegisterError
from edge_agent.reasons import words_of
from edge_agent.register.encodings import DecodedText, UnlikelyEncodingError, decoded

if TYPE_CHECKING:
    from openpyxl.workbook import Workbook
    from openpyxl.worksheet.worksheet import Worksheet

_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060\ufeff\ufffe\uffff]"
)
"""What nobody sees, and what makes one id two: control characters, spaces of no width, marks of
direction."""
_FIRST_LINES: Final = 10
_OLE: Final = b"\xd0\xcf\x11\xe0"
_LARGEST: Final = 200_000_000
"""Bytes of a workbook unpacked; ten thousand machines take some 20 MB."""
_MOST_MERGED: Final = 1_000_000
"""Cells: openpyxl makes an object of each."""
_MERGED: Final = re.compile(
    rb"""<(?:\w+:)?mergeCell\s[^>]*ref\s*=\s*["']([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})["']"""
)

#: What to do about an encoding, behind what is known of it.
_OTHER_WAY: Final = (
    "；请在 Excel 中另存为“CSV UTF-8”，或用 register convert --from-encoding {encoding} 转换。",
    "; save it as “CSV UTF-8” in the spreadsheet program, or make it so with register convert "
    "--from-encoding"
    " {encoding}.",
)
#: What the two sheets of one workbook may be called; a file with one sheet may call it as it likes.
SHEET_NAMES: Final = {
    "equipment": ("设备台账", "equipment", "设备"),
    "processes": ("工序", "processes", "process"),
    "meters": ("换表", "meters", "meter"),
    "events": ("事件判定", "events", "event"),
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows that hold anything, as text; `notes` holds what the format itself gave reason to
    list."""

    name: str
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    notes: tuple[Finding, ...] = ()


def read_sheet(path: Path, which: str, encoding: str | None = None) -> Sheet:
    """The sheet `equipment` or `processes` of a file. `encoding`: of a CSV, where somebody has
    stated it.

    Raises RegisterError for a file that cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        why_zh, why_en = words_of(error)
        raise RegisterError.one(
            "register-unreadable",
            f"读不到文件（{why_zh}），请检查路径和权限。",
            f"the file cannot be read ({why_en}); check the path and the permissions.",
            str(path),
        ) from error
    if data.startswith(_OLE):
        raise RegisterError.one(
            "register-old-excel",
            "这是旧版 Excel（.xls）或加密文件，请另存为 .xlsx 或 CSV。",
            "this is an old Excel file (.xls) or an encrypted one; save it as .xlsx or CSV.",
            path.name,
        )
    return (
        _read_xlsx(path, data, which)
        if data.startswith(b"PK")
        else _read_csv(path.name, data, encoding)
    )


def _decode(data: bytes, name: str, encoding: str | None) -> DecodedText:
    try:
        return decoded(data, encoding)
    except UnlikelyEncodingError as error:
        zh, en = (part.format(encoding=error.likely or "…") for part in _OTHER_WAY)
        raise RegisterError.one(
            "register-encoding", f"{error.zh}{zh}", f"{error.en}{en}", name
        ) from error


def _read_csv(name: str, data: bytes, encoding: str | None) -> Sheet:
    decoded_text = _decode(data, name, encoding)
    text = decoded_text.text
    delimiter = _delimiter(text)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise RegisterError.one(
            "register-csv",
            f"不是有效的 CSV（{error}），请检查引号，或重新导出。",
            f"not a valid CSV ({error}); check the quotes, or export it again.",
            name,
        ) from error
    notes: tuple[Finding, ...] = ()
    if decoded_text.doubt is not None:
        zh, en = decoded_text.doubt
        other_zh, other_en = (part.format(encoding="…") for part in _OTHER_WAY)
        notes = (Finding("register-encoding", name, f"{zh}{other_zh}", f"{en}{other_en}"),)
    return _sheet(name, enumerate(rows, 1), notes)


def _delimiter(text: str) -> str:
    """The one that most of the first lines have: a title may stand above the header, with a comma
    of its own."""
    lines = text.split("\n", _FIRST_LINES)[:_FIRST_LINES]
    return max(
        ",\t;，",
        key=lambda each: (
            sum(each in line for line in lines),
            sum(line.count(each) for line in lines),
        ),
    )


def _sheet(
    name: str, rows: Iterable[tuple[int, Iterable[str]]], notes: tuple[Finding, ...]
) -> Sheet:
    numbered = [
        (number, tuple(_UNSEEN.sub("", cell).strip() for cell in row)) for number, row in rows
    ]
    full = [(number, row) for number, row in numbered if any(row)]
    if not full:
        raise RegisterError.one("register-empty", "文件是空的。", "the file is empty.", name)
    return Sheet(name, tuple(full), notes)


def _read_xlsx(path: Path, data: bytes, which: str) -> Sheet:
    book = _open(path.name, data)
    try:
        sheet = _choose(cast("list[Worksheet]", book.worksheets), which, path.name)
        # a workbook holds two sheets: a row's number alone does not say where
        place = f"{path.name}[{sheet.title}]"
        return _sheet(
            place,
            _filled(sheet),
            (*_merged(place, sheet), *_uncomputed(place, path.name, data, sheet)),
        )
    finally:
        book.close()


def _open(name: str, data: bytes, *, formulas: bool = False) -> Workbook:
    """The workbook, with the values of its formulas or the formulas themselves.

    Raises RegisterError for one that is damaged, or far larger than any register.
    """
    import openpyxl  # heavy, and only a register in XLSX needs it

    try:
        if _too_large(data):
            raise RegisterError.one(
                "register-large",
                "工作簿展开后远大于任何台账：请删除表格以外设过格式或合并的空行、空列，或另存为 "
                "CSV。",
                "unpacked, the workbook is far larger than any register; delete the empty rows "
                "and columns beyond the "
                "table that are formatted or merged, or save it as CSV.",
                name,
            )
        with warnings.catch_warnings():
            # What other office programs leave out (styles, extensions) is no concern of the
            # register's reader.
            warnings.filterwarnings("ignore", module="openpyxl")
            return openpyxl.load_workbook(io.BytesIO(data), data_only=not formulas)
    except RegisterError:
        raise
    except Exception as error:
        # As broad as that: zipfile, the XML parser and openpyxl stumble over damaged files in many
        # ways.
        raise RegisterError.one(
            "register-xlsx",
            "XLSX 文件损坏或无法识别，请用 Excel 打开后重新保存。",
            "the XLSX file is damaged or not recognised; open it in the spreadsheet program and "
            "save it again.",
            name,
        ) from error


def _too_large(data: bytes) -> bool:
    """Whether these bytes would unpack into what fills the memory."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(info.file_size for info in archive.infolist()) > _LARGEST:
            return True
        sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        return (
            sum(_area(match) for name in sheets for match in _MERGED.finditer(archive.read(name)))
            > _MOST_MERGED
        )


def _area(match: re.Match[bytes]) -> int:
    from openpyxl.utils import column_index_from_string

    left, top, right, bottom = match.groups()
    columns = column_index_from_string(right.decode()) - column_index_from_string(left.decode()) + 1
    return columns * (int(bottom) - int(top) + 1)


def _filled(sheet: Worksheet) -> Iterable[tuple[int, list[str]]]:
    """The rows that have cells. Not `iter_rows`, which would walk to wherever somebody once
    formatted an empty cell."""
    rows: dict[int, dict[int, str]] = {}
    for (number, column), cell in sheet._cells.items():
        if text := _text(cell.value):
            rows.setdefault(number, {})[column] = text
    for number, cells in sorted(rows.items()):
        yield number, [cells.get(column, "") for column in range(1, max(cells) + 1)]


def _choose(sheets: Sequence[Worksheet], which: str, name: str) -> Worksheet:
    for wanted in SHEET_NAMES[which]:
        for sheet in sheets:
            if sheet.title.strip().lower().startswith(wanted):
                return sheet
    for wanted in SHEET_NAMES[which] if which == "equipment" else ():
        for sheet in sheets:
            if wanted in sheet.title.lower() and sheet.sheet_state == "visible":
                return sheet
    visible = [sheet for sheet in sheets if sheet.sheet_state == "visible"]
    if len(visible) == 1 or (visible and which == "equipment"):
        return visible[0]
    wanted = SHEET_NAMES[which][0]
    raise RegisterError.one(
        "register-sheet",
        f"工作簿里没有名为“{wanted}”的工作表，请改名。",
        f"the workbook has no sheet called “{wanted}” or “{which}”; rename it.",
        name,
    )


def has_sheet(path: Path, which: str) -> bool:
    """Whether a workbook holds that sheet by name (a template holds both). A file that is no
    workbook holds none.

    Raises RegisterError for a damaged one.
    """
    data = path.read_bytes()
    if not data.startswith(b"PK"):
        return False
    book = _open(path.name, data)
    try:
        return any(
            title.strip().lower().startswith(SHEET_NAMES[which]) for title in book.sheetnames
        )
    finally:
        book.close()


def _merged(name: str, sheet: Worksheet) -> Iterable[Finding]:
    for area in sorted(str(merged) for merged in sheet.merged_cells.ranges):
        yield Finding(
            "merged-cells",
            f"{name}:{area}",
            f"单元格 {area} 是合并的，只有左上角有值，其余按空处理；请取消合并并逐行填写。",
            f"the cells {area} are merged: only the first holds a value, the others read as empty; "
            "unmerge them and fill in every row.",
        )


def _uncomputed(place: str, name: str, data: bytes, sheet: Worksheet) -> Iterable[Finding]:
    """Formulas whose value the file does not hold: a program wrote them that does not calculate."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sheets = [each for each in archive.namelist() if each.startswith("xl/worksheets/")]
        if not any(b"<f>" in content or b"<f " in content for content in map(archive.read, sheets)):
            return
    book = _open(name, data, formulas=True)
    try:
        for cell in cast("Worksheet", book[sheet.title])._cells.values():
            if cell.data_type == "f" and sheet[cell.coordinate].value is None:
                yield Finding(
                    "formula-without-value",
                    f"{place}:{cell.coordinate}",
                    f"单元格 {cell.coordinate} 是公式，但文件中没有计算结果，按空处理；"
                    "请用 Excel 打开后保存，或填写数值。",
                    f"the cell {cell.coordinate} is a formula whose result is not in the file: "
                    "it reads as empty; "
                    "open and save it in the spreadsheet program, or write the value.",
                )
    finally:
        book.close()


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "Y" if cell else "N"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    return cell.isoformat() if isinstance(cell, date) else str(cell)
