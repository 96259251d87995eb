"""The window a report speaks of, from what the user wrote, what the store holds, and the plant's
time zone."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from edge_agent.config.models import Site
from edge_agent.errors import FindingsError
from edge_agent.production.facts import HISTORY_NS, MINUTE_NS

_S: Final = 1_000_000_000
_LENGTH: Final = re.compile(r"(\d+)\s*(h|d)")
_FRESH: Final = 600 * _S
"""Newer than that, the newest data are the present."""
_UNIT: Final = {"h": 3600 * _S, "d": 86_400 * _S}


def window(
    text: str | None, site: Site, newest: int | None, first: int | None, now: int
) -> tuple[int, int]:
    """`30d`, `8h` (back from the newest data), `2026-11-01..2026-11-30` (both days included), or
    with times `2026-11-01T08:00..2026-11-01T20:00`. None: the last 30 days, but not before the
    first data. In full minutes.

    A window that goes on into the future ends now, which is the newest data of a plant that is
    being read: what is still to come is no outage.
    """
    end = _floor(now) if newest is None else newest
    if text is None:
        begin = end - HISTORY_NS
        return (begin if first is None else min(end, max(begin, _floor(first)))), end
    if match := _LENGTH.fullmatch(text.strip()):
        span = end - int(match[1]) * _UNIT[match[2]], end
        if not 0 < span[0] < end:
            raise _refusal(text)
        return span
    start, separator, stop = text.partition("..")
    zone = ZoneInfo(site.agent.timezone)
    try:
        if not separator:
            raise ValueError(text)
        span = _moment(start, zone, ends=False), _moment(stop, zone, ends=True)
    except (ValueError, OverflowError) as error:
        raise _refusal(text) from error
    if not 0 <= span[0] < span[1]:
        raise _refusal(text)
    until = end if now - end < _FRESH else _floor(now)
    if span[0] >= until:
        raise _not_yet(text, "--window")
    return span[0], min(span[1], until)


def _refusal(text: str) -> FindingsError:
    return FindingsError.one(
        "report-window",
        f"无法理解统计窗口“{text}”，或其不足一分钟：请写 30d、8h，或 2026-11-01..2026-11-30。",
        f"The window “{text}” is not understood, or has not a full minute: write 30d, 8h, or "
        "2026-11-01..2026-11-30.",
        "--window",
    )


def _not_yet(text: str, where: str) -> FindingsError:
    return FindingsError.one(
        "report-not-yet",
        f"“{text}”还没有数据（晚于最新数据）：请选择已开始采集的时间。",
        f"“{text}” lies after the newest data: choose a time that has begun.",
        where,
    )


def _moment(text: str, zone: ZoneInfo, *, ends: bool) -> int:
    text = text.strip()
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        day = date.fromisoformat(text) + timedelta(days=int(ends))
        return instant(datetime(day.year, day.month, day.day), zone)
    return _floor(instant(datetime.fromisoformat(text), zone))


def instant(moment: datetime, zone: ZoneInfo) -> int:
    """A local (or zoned) time in ns."""
    return int(moment.replace(tzinfo=moment.tzinfo or zone).timestamp()) * _S


def _floor(t: int) -> int:
    return t // MINUTE_NS * MINUTE_NS


def month(text: str, site: Site) -> tuple[int, int]:
    """The first moment of a month `2026-11`, and of the next, in the plant's zone."""
    match = re.fullmatch(r"(\d{4})-(\d{2})", text.strip())
    if match is None or not 1 <= int(match[2]) <= 12 or not 1971 <= int(match[1]) <= 2200:
        raise FindingsError.one(
            "report-month",
            f"月份“{text}”应写作 2026-11。",
            f"The month “{text}” must be written 2026-11.",
            "--month",
        )
    zone = ZoneInfo(site.agent.timezone)
    first = datetime(int(match[1]), int(match[2]), 1)
    after = (first + timedelta(days=31)).replace(day=1)
    return instant(first, zone), instant(after, zone)


def month_so_far(
    text: str, site: Site, newest: int | None, first: int | None, now: int
) -> tuple[int, int, bool]:
    """A month as far as it has come, and whether it is over. A plant's first month begins with its
    `first` data, for all of its figures: what was before is no outage."""
    start, after = month(text, site)
    closed = max(now, newest or 0) >= after
    end = after if closed else min(after, newest or start)
    if end <= start:
        raise _not_yet(text, "--month")
    begun = start if first is None else max(start, _floor(first))
    return begun if begun < end else start, end, closed


def months_before(text: str, number: int) -> list[str]:
    """`number` months that end with this one, oldest first."""
    year = int(text[:4])
    at = int(text[5:7]) - 1
    return [
        f"{(year * 12 + at - i) // 12:04}-{(year * 12 + at - i) % 12 + 1:02}"
        for i in reversed(range(number))
    ]


def day_end(text: str, site: Site) -> int:
    """The end of a day, or a moment, of the plant's zone."""
    try:
        return _moment(text, ZoneInfo(site.agent.timezone), ends=True)
    except (ValueError, OverflowError) as error:
        raise FindingsError.one(
            "report-date",
            f"日期“{text}”应写作 2026-11-30。",
            f"The date “{text}” must be written 2026-11-30.",
            "--at",
        ) from error
