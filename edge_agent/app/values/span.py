"""Which stretch of the past somebody means: `--since 8h`, `--from 2026-11-30 08:00`, ISO 8601,
dates."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from pydantic_core import PydanticCustomError

from edge_agent.config.values import parse_duration
from edge_agent.errors import FindingsError

#: Looked back when nothing is said, seconds.
DEFAULT_S: Final = 8 * 3600.0
_SECOND: Final = 1_000_000_000
#: Nanoseconds since 1970 end in 2262, and the store's own arithmetic a little before.
_LATEST_S: Final = 9_000_000_000.0


def seconds(text: str) -> float:
    """`30m`, `8h`, `7d`, or a number of seconds. Raises FindingsError."""
    try:
        found = parse_duration(_plain(text))
    except PydanticCustomError:
        found = None
    if not isinstance(found, int | float) or not 0 < found <= _LATEST_S:
        raise FindingsError.one(
            "bad-duration",
            f"{text!r} 不是时长：请写成 30m、8h、7d。",
            f"{text!r} is no duration: write 30m, 8h or 7d.",
        )
    return float(found)


def _plain(text: str) -> object:
    """A bare number means seconds, as in the configuration."""
    try:
        number = float(text)
    except ValueError:
        return text.strip()
    return number if math.isfinite(number) else text


def moment(text: str, zone: ZoneInfo) -> int:
    """`2026-11-30 08:00`, `2026-11-30T08:00:00+08:00`, `2026-11-30` (its first moment) as ns since
    1970; without an offset in the given zone. Raises FindingsError."""
    try:
        read = datetime.fromisoformat(text.strip().replace("/", "-"))
        at = (read if read.tzinfo is not None else read.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError, OSError):
        at = -1.0
    if not 0 <= at <= _LATEST_S:
        raise FindingsError.one(
            "bad-time",
            f"{text!r} 不是可用的时间：请写成 2026-11-30 08:00、2026-11-30 或 ISO 8601。",
            f"{text!r} is no time that can be used: write 2026-11-30 08:00, 2026-11-30, or ISO "
            "8601.",
        )
    return round(at * 1e6) * 1000


def window(
    since: str | None, begin: str | None, until: str | None, zone: ZoneInfo, now: int
) -> tuple[int, int]:
    """From when to when, ns. Raises FindingsError for what contradicts itself."""
    if since is not None and begin is not None:
        raise FindingsError.one(
            "since-and-from",
            "--since 和 --from 只能给出一个。",
            "give either --since or --from, not both.",
        )
    end = now if until is None else moment(until, zone)
    if begin is not None:
        start = moment(begin, zone)
    else:
        start = max(0, end - int((DEFAULT_S if since is None else seconds(since)) * _SECOND))
    if start >= end:
        raise FindingsError.one(
            "empty-window",
            "起点不早于终点：请检查 --from 和 --to。",
            "the window ends before it begins: check --from and --to.",
        )
    return start, end
