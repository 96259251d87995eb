"""The days of a window, as the plant's clock has them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_S: Final = 1_000_000_000


def local_days(start: int, end: int, zone: ZoneInfo) -> Iterator[tuple[date, int, int]]:
    """(day, start, end) in ns of every day of the zone that the window touches, cut to the
    window."""
    day = datetime.fromtimestamp(start // _S, zone).date()
    while (since := _midnight(day, zone)) < end:
        after = day + timedelta(days=1)
        yield day, max(since, start), min(_midnight(after, zone), end)
        day = after


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * _S
