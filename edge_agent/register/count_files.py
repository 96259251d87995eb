"""What persons write down about counters: meters that were exchanged, and events that were decided.

Two small files beside the register, CSV or XLSX, headers in Chinese or English: `register.meters`
and `register.events`. A row that cannot be understood is an error by row and column; nothing is
guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from edge_agent.errors import Finding, RegisterError
from edge_agent.register.columns import RegisterColumn
from edge_agent.register.parse import ParsedRegister, SheetRow, parse
from edge_agent.register.sheet import read_sheet

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DECISIONS: Final = {
    "count": ("计入", "接受", "counted", "accept"),
    "set_aside": ("不计入", "剔除", "reject"),
}

METERS: Final[tuple[RegisterColumn, ...]] = (
    RegisterColumn("device", "采集设备", "id", ("设备", "电表", "电表编号"), required=True),
    RegisterColumn("tag", "变量", "id", ("标签", "测点")),
    RegisterColumn("time", "换表时间", "id", ("时间", "更换时间"), required=True),
    RegisterColumn("last_old", "旧表末次读数", "decimal", ("旧表读数", "last_reading_old")),
    RegisterColumn("first_new", "新表首次读数", "decimal", ("新表读数", "first_reading_new")),
    RegisterColumn("by", "记录人", also=("经办人",)),
    RegisterColumn("remark", "备注", also=("说明",)),
)
EVENTS: Final[tuple[RegisterColumn, ...]] = (
    RegisterColumn("device", "采集设备", "id", ("设备",), required=True),
    RegisterColumn("tag", "变量", "id", ("标签", "测点"), required=True),
    RegisterColumn("time", "读数时间", "id", ("时间",), required=True),
    RegisterColumn("decision", "判定", "word", ("结论",), _DECISIONS, required=True),
    RegisterColumn("by", "判定人", also=("审核人",)),
    RegisterColumn("on", "判定日期", "date", ("日期",)),
    RegisterColumn("reason", "理由", also=("备注", "说明")),
)


@dataclass(frozen=True, slots=True)
class MeterExchange:
    """One row of `register.meters`: readings in the unit of the tag, None where nobody wrote them
    down."""

    device: str
    tag: str
    """Empty: the device's energy counter."""
    t: int
    last_old: Fraction | None = None
    first_new: Fraction | None = None


@dataclass(frozen=True, slots=True)
class EventDecision:
    """One row of `register.events`: of the readings at `since <= t < until` (ns), as finely as the
    time was written."""

    device: str
    tag: str
    since: int
    until: int
    counted: bool


def read_exchanges(path: Path, zone: ZoneInfo) -> list[MeterExchange]:
    """Raises RegisterError with every row that is not understood. Times without an offset are the
    plant's."""
    sheet = parse(read_sheet(path, "meters"), METERS)
    found = list[MeterExchange]()
    for row in sheet.rows:
        span = _time(sheet, row, zone)
        if span is not None:
            readings = _fraction(row.cells.get("last_old")), _fraction(row.cells.get("first_new"))
            found.append(MeterExchange(row.text("device"), row.text("tag"), span[0], *readings))
    _refuse(sheet, [note for note in sheet.notes if note.code == "bad-cell"])
    return found


def read_decisions(path: Path, zone: ZoneInfo) -> list[EventDecision]:
    """Raises RegisterError with every row that is not understood. Times without an offset are the
    plant's."""
    sheet = parse(read_sheet(path, "events"), EVENTS)
    found = list[EventDecision]()
    for row in sheet.rows:
        span = _time(sheet, row, zone)
        if span is not None:
            counted = row.text("decision") == "count"
            found.append(EventDecision(row.text("device"), row.text("tag"), *span, counted))
    _refuse(sheet, ())
    return found


def _refuse(sheet: ParsedRegister, more: Sequence[Finding]) -> None:
    if sheet.errors or more:
        raise RegisterError((*sheet.errors, *more))


def _fraction(cell: object) -> Fraction | None:
    return Fraction(cell) if isinstance(cell, Decimal) else None


_TIME: Final = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})[ "
    r"T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s*(Z|[+-]\d{2}:?\d{2})?"
)


def _time(sheet: ParsedRegister, row: SheetRow, zone: ZoneInfo) -> tuple[int, int] | None:
    """From and to (ns) of the minute, second or fraction that is written."""
    text = row.text("time")
    match = _TIME.fullmatch(text.strip()) if text else None
    if match is None:
        if text:
            sheet.errors.append(_no_time(sheet, row, text))
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=_zone(match[8], zone))
    except ValueError:
        sheet.errors.append(_no_time(sheet, row, text))
        return None
    digits = match[7] or ""
    since = int((moment - _EPOCH).total_seconds()) * 10**9 + int(digits.ljust(9, "0") or 0)
    length = 60 * 10**9 if match[6] is None else 10 ** (9 - len(digits))
    return since, since + length


def _zone(offset: str | None, zone: ZoneInfo) -> ZoneInfo | None:
    if offset is None:
        return zone
    return datetime.fromisoformat(f"2000-01-01T00:00:00{offset}").tzinfo  # type: ignore[return-value]


def _no_time(sheet: ParsedRegister, row: SheetRow, text: str) -> Finding:
    return Finding(
        "bad-cell",
        sheet.place(row, "time"),
        f"“{text}”不是有效时间，请写成 2026-11-01 08:30:00（工厂当地时间）。",
        f"“{text}” is no time; write it as 2026-11-01 08:30:00, by the plant's clock.",
    )
