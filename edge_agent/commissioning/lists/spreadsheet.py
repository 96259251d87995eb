"""Files that a spreadsheet program opens, as rows of text: CSV in UTF-8, UTF-16 or GB18030, and
XLSX."""

from __future__ import annotations

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_agent.errors import Finding, FindingsError
from edge_agent.register.encodings import UnlikelyEncodingError, decoded

MOST_BYTES: Final = 64_000_000
MOST_CELLS: Final = 2_000_000
"""Of one workbook."""
_UNPACKED: Final = 200_000_000
_OLE: Final = b"\xd0\xcf\x11\xe0"
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060\ufeff\ufffe\uffff]"
)
RISKY: Final = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins with one of these could be taken for a formula."""


class FractionCell(str):
    """The text of a cell that holds a number with a fraction: final zeros, as in `40001.10`, are
    lost."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class SheetRows:
    """The rows of one sheet that hold anything, each with its number as a spreadsheet shows it."""

    place: str
    """The file, or `file[sheet]`."""
    sheet: str
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    doubt: Finding | None = None
    """What to compare, of a CSV whose encoding its few letters do not tell."""


def read(path: Path, encoding: str | None = None) -> list[SheetRows]:
    """Every sheet of a file that holds anything. `encoding`: of a CSV, where somebody has stated
    it.

    Raises FindingsError for what cannot be read.
    """
    data = _bytes(path)
    if data.startswith(_OLE):
        raise _refused(
            path, "old-excel",
            "这是旧版 Excel（.xls）或加密文件，请另存为 .xlsx 或 CSV。",
            "this is an old Excel file (.xls) or an encrypted one; save it as .xlsx or CSV.",
        )  # fmt: skip
    found = list(_workbook(path, data)) if data.startswith(b"PK") else [_csv(path, data, encoding)]
    found = [sheet for sheet in found if sheet.rows]
    if not found:
        raise _refused(path, "empty-file", "文件是空的。", "the file is empty.")
    return found


def _refused(path: Path, code: str, zh: str, en: str) -> FindingsError:
    return FindingsError.one(code, zh, en, str(path))


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _refused(
            path, "unreadable-file",
            f"读不到文件（{error.strerror}），请检查路径和权限。",
            f"the file cannot be read ({error.strerror}); check the path and the permissions.",
        ) from error  # fmt: skip
    if len(data) > MOST_BYTES:
        raise _too_large(path)
    return data


def _too_large(path: Path) -> FindingsError:
    return _refused(
        path, "too-large",
        "文件远大于任何点表：请删除表格以外的空行、空列，或分成几个文件。",
        "the file is far larger than any point list: delete empty rows and columns beyond the "
        "table, or split it.",
    )  # fmt: skip


def _csv(path: Path, data: bytes, encoding: str | None) -> SheetRows:
    try:
        found = decoded(data, encoding)
    except UnlikelyEncodingError as error:
        name = error.likely or "…"
        raise _refused(
            path, "register-encoding",
            f"{error.zh}；请加 --encoding {name}，或另存为“CSV UTF-8”。",
            f"{error.en}; add --encoding {name}, or save it as “CSV UTF-8”.",
        ) from error  # fmt: skip
    text = found.text
    try:
        rows = list(
            csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
        )
    except csv.Error as error:
        raise _refused(
            path, "bad-csv",
            f"不是有效的 CSV（{error}），请检查引号，或重新导出。",
            f"not a valid CSV ({error}); check the quotes, or export it again.",
        ) from error  # fmt: skip
    doubt = None
    if found.doubt is not None:
        zh, en = found.doubt
        doubt = Finding(
            "encoding",
            str(path),
            f"{zh}，不对时请加 --encoding。",
            f"{en}, and where it is so add --encoding.",
        )
    return SheetRows(str(path), "", _filled(enumerate(rows, 1)), doubt)


def _delimiter(text: str) -> str:
    """The sign that most of the first lines have."""
    lines = [line for line in text.splitlines()[:10] if line.strip()]
    return max(
        ",\t;，",
        key=lambda sign: (
            sum(sign in line for line in lines),
            sum(line.count(sign) for line in lines),
        ),
    )


def _filled(rows: Iterable[tuple[int, Sequence[str]]]) -> tuple[tuple[int, tuple[str, ...]], ...]:
    cleaned = ((number, tuple(_clean(cell) for cell in row)) for number, row in rows)
    return tuple((number, row) for number, row in cleaned if any(row))


def _clean(cell: str) -> str:
    if isinstance(cell, FractionCell):
        return cell
    text = _UNSEEN.sub("", cell).strip()
    return text[1:] if text.startswith("'") and text[1:].startswith((*RISKY, "'")) else text


def _workbook(path: Path, data: bytes) -> Iterator[SheetRows]:
    import openpyxl  # heavy, and only a workbook needs it

    book: Any = None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > _UNPACKED:
                raise _too_large(path)
        with warnings.catch_warnings():
            # what other programs leave out is no concern here
            warnings.filterwarnings("ignore", module="openpyxl")
            book = openpyxl.load_workbook(io.BytesIO(data), data_only=True, read_only=True)
            left = MOST_CELLS
            for sheet in book.worksheets:
                if sheet.sheet_state != "visible":
                    continue
                rows = []
                for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
                    left -= len(row)
                    if left < 0:
                        raise _too_large(path)
                    rows.append((number, [_text(cell) for cell in row]))
                yield SheetRows(f"{path}[{sheet.title}]", sheet.title, _filled(rows))
    except FindingsError:
        raise
    except Exception as error:  # reason: damaged files fail in many ways in three libraries
        raise _refused(
            path, "bad-xlsx",
            "XLSX 文件损坏或无法识别，请用 Excel 打开后重新保存。",
            "the XLSX file is damaged or not recognised; open it in the spreadsheet program and "
            "save it again.",
        ) from error  # fmt: skip
    finally:
        if book is not None:
            book.close()


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return (
            str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else FractionCell(repr(cell))
        )
    return str(cell)
