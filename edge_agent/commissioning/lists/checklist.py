"""The commissioning sheet of each device: its values as they are now, with room for a person to
confirm them.

What the value should be, the tick and the name stay empty: they are somebody's word that he stood
before the machine.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_agent.commissioning.lists.writing import Cell, fill, harmless, rows_of
from edge_agent.config.models import DeviceCommon
from edge_agent.errors import FindingsError

Value = Mapping[str, Any]
Values = Mapping[tuple[str, str], Value]
"""(device, tag) -> its row of `read`."""

_HEADS: Final = (
    ("变量", "tag"),
    ("说明", "description"),
    ("地址", "address"),
    ("读数", "value"),
    ("单位", "unit"),
    ("质量", "quality"),
    ("读取时间", "read at"),
    ("应为", "expected"),
    ("核对 ✓", "ticked ✓"),
    ("核对人", "by whom"),
    ("备注", "remark"),
)
_WIDTHS: Final = (20, 26, 22, 14, 9, 14, 20, 14, 9, 12, 20)
_STYLE: Final = """
body{font:14px/1.5 "Noto Sans CJK SC",sans-serif;margin:1.5em;color:#1c2733}
h1{font-size:1.3em}h2{font-size:1.1em;margin:1.6em 0 .3em}p{margin:.2em 0;color:#4a5866}
table{border-collapse:collapse;width:100%}
th,td{border:1px solid #9fb0bf;padding:.3em .5em;text-align:left;vertical-align:top}
th{background:#eef3f7}td.n{text-align:right;font-variant-numeric:tabular-nums}td.w{min-width:6em;height:1.8em}
td.bad{background:#fdecea}section{break-after:page}@media print{body{margin:0}
th{print-color-adjust:exact}}
"""


def values_now(config: Path, devices: Sequence[str]) -> dict[tuple[str, str], Value]:
    """The values of these devices, from the running agent or the devices themselves. Raises
    FindingsError."""
    from edge_agent.app.values.reading import Reading

    document = Reading(config, devices, raw=False).now()
    return {(row["device"], row["tag"]): row for row in document["values"]}


def encode(devices: Sequence[DeviceCommon], values: Values, suffix: str, config: Path) -> bytes:
    """The file for an ending, `.xlsx` or `.html`. Raises FindingsError for another."""
    zone = _zone(config)
    if suffix.lower() == ".xlsx":
        return _workbook(devices, values, zone)
    if suffix.lower() in (".html", ".htm"):
        return _page(devices, values, zone).encode("utf-8")
    raise FindingsError.one(
        "bad-ending",
        "文件名应以 .xlsx 或 .html 结尾。",
        "the name of the file must end in .xlsx or .html.",
    )


def _zone(config: Path) -> ZoneInfo:
    from edge_agent.config import load

    return ZoneInfo(load(config, secrets=False).agent.timezone)


def _rows(device: DeviceCommon, values: Values, zone: ZoneInfo) -> Iterator[list[Cell]]:
    """A row for each tag, those that are derived behind the others."""
    own = rows_of([device])
    derived = [tag for name, tag in values if name == device.id and tag not in device.tags]
    concluded: list[dict[str, Cell]] = [{"tag": tag, "address": "state"} for tag in derived]
    for row in [*own, *concluded]:
        name = str(row["tag"])
        read = values.get((device.id, name), {})
        yield [
            name,
            row.get("description"),
            row.get("address"),
            _shown(read),
            row.get("unit"),
            read.get("quality"),
            _time(read, zone),
            None,
            None,
            None,
            None,
        ]


def _shown(read: Value) -> Cell:
    value = read.get("value")
    if read.get("label"):
        return f"{value} {read['label']}"
    if isinstance(value, bool):
        return "1" if value else "0"
    return value if isinstance(value, int | float | str) else None if value is None else str(value)


def _time(read: Value, zone: ZoneInfo) -> str | None:
    t = read.get("t")
    return None if t is None else f"{datetime.fromtimestamp(t / 1e9, zone):%Y-%m-%d %H:%M:%S}"


def _title(device: DeviceCommon) -> str:
    return " ".join(part for part in (device.id, device.name) if part)


def _about(device: DeviceCommon) -> str:
    where = getattr(device, "url", None) or getattr(device, "endpoint", "")
    unit = f" unit {device.unit}" if hasattr(device, "unit") else ""
    basis = "；状态为推导 state derived" if device.derives_state else ""
    return f"{device.line} · {device.connector} · {where}{unit} · {device.profile or '-'}{basis}"


def _workbook(devices: Sequence[DeviceCommon], values: Values, zone: ZoneInfo) -> bytes:
    import openpyxl  # heavy, and only XLSX needs it
    from openpyxl.styles import Alignment, Border, PatternFill, Side
    from openpyxl.utils import get_column_letter

    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    line = Side(style="thin", color="9FB0BF")
    titles: set[str] = set()
    for device in devices:
        sheet = book.create_sheet(_sheet_title(device.id, titles))
        head: list[Cell] = [f"{zh}\n{en}" for zh, en in _HEADS]
        rows = [head, *([harmless(cell) for cell in row] for row in _rows(device, values, zone))]
        fill(sheet, rows)
        for row in sheet.iter_rows(min_row=1, max_row=len(rows), max_col=len(_HEADS)):
            for cell in row:
                cell.border = Border(line, line, line, line)
                cell.alignment = Alignment(wrap_text=True, vertical="top")
        for position, width in enumerate(_WIDTHS, 1):
            sheet.column_dimensions[get_column_letter(position)].width = width
            if 8 <= position <= 10:
                sheet.cell(1, position).fill = PatternFill("solid", fgColor="FFF2CC")
        sheet.page_setup.orientation = "landscape"
        sheet.page_setup.fitToHeight = 0
        sheet.sheet_properties.pageSetUpPr.fitToPage = True
        sheet.print_title_rows = "1:1"
        sheet.oddHeader.left.text = _title(device).replace("&", "&&")
        sheet.oddFooter.left.text = _about(device).replace("&", "&&")
        sheet.oddFooter.right.text = "日期 date: ____________"
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _sheet_title(device: str, taken: set[str]) -> str:
    """At most 31 characters, none of those that a sheet's title cannot have, and no title twice."""
    plain = "".join("_" if sign in "[]:*?/\\'" else sign for sign in device)
    title = plain[:31]
    number = 2
    while title.casefold() in taken:
        end = f"~{number}"
        title = plain[: 31 - len(end)] + end
        number = number + 1
    taken.add(title.casefold())
    return title


def _page(devices: Sequence[DeviceCommon], values: Values, zone: ZoneInfo) -> str:
    heads = "".join(f"<th>{zh}<br>{en}</th>" for zh, en in _HEADS)
    parts = [
        f"<section><h2>{escape(_title(device))}</h2><p>{escape(_about(device))}</p>"
        f"<table><thead><tr>{heads}</tr></thead>"
        f"<tbody>{_body(device, values, zone)}</tbody></table>"
        "<p>日期 date: ____________　签字 signature: ____________</p></section>"
        for device in devices
    ]
    return (
        '<!doctype html>\n<html lang="zh-CN"><head><meta charset="utf-8"><title>调试核对表 '
        "Commissioning sheet</title>"
        f"<style>{_STYLE}</style></head><body><h1>调试核对表 Commissioning "
        f"sheet</h1>{''.join(parts)}</body></html>\n"
    )


def _body(device: DeviceCommon, values: Values, zone: ZoneInfo) -> str:
    return "".join(map(_line, _rows(device, values, zone)))


def _line(row: Sequence[Cell]) -> str:
    found = []
    for position, cell in enumerate(row):
        text = "" if cell is None else escape(f"{cell:g}" if isinstance(cell, float) else str(cell))
        bad = position == 5 and text not in ("", "Good")
        kind = (
            "bad" if bad else "n" if isinstance(cell, int | float) else "w" if position >= 7 else ""
        )
        found.append(f'<td class="{kind}">{text}</td>' if kind else f"<td>{text}</td>")
    return f"<tr>{''.join(found)}</tr>"
