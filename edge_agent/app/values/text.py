"""Values as text for people and for files; nothing that a device sends can steer a terminal."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

_SECOND: Final = 1_000_000_000
_MINUTE: Final = 60 * _SECOND
#: Digits of a float that people read; a float32 has no more than nine that mean anything.
_DIGITS: Final = 9


def printable(text: str) -> str:
    """The text with every sign that a terminal would act on written out, as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def for_people(value: Any, label: str | None = None) -> str:
    """`8000.5`, `true`, `3 Executing`, `[1, 2]`; a dash where there is no value."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        return printable("[" + ", ".join(for_people(item) for item in value) + "]")
    text = printable(str(value))
    return f"{text} {printable(label)}" if label else text


def number(value: float, digits: int = _DIGITS) -> str:
    """A float without the digits that only its encoding made: `230.7`, not `230.70000000000002`."""
    text = f"{value:.{digits}g}"
    if "e" in text and 1e-5 <= abs(value) < 1e15:
        text = f"{value:.0f}" if abs(value) >= 1 else f"{value:.12f}".rstrip("0")
    return text


def for_file(value: Any) -> str:
    """A value in a CSV cell, every digit kept: `true`, JSON of an array, nothing where there is no
    value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else repr(value)


def iso(t: int, zone: ZoneInfo) -> str:
    """A time in ns as ISO 8601 with the zone's offset, with as many digits as it has: 3, 6 or 9."""
    minute, rest = divmod(t, _MINUTE)
    head, offset = _minute(minute, zone)
    second, rest = divmod(rest, _SECOND)
    digits = f"{rest:09}"
    if digits.endswith("000000"):
        digits = digits[:3]
    elif digits.endswith("000"):
        digits = digits[:6]
    return f"{head}:{second:02}.{digits}{offset}"


@lru_cache(maxsize=64)
def _minute(number: int, zone: ZoneInfo) -> tuple[str, str]:
    """`2026-11-30T08:00` and `+08:00` of a minute since 1970: the calendar is dear, and readings
    come in order."""
    moment = datetime.fromtimestamp(number * 60, zone).isoformat()
    return moment[:16], moment[19:]


def age(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min`, `2.5 h`, `4 d`."""
    if seconds is None:
        return "—"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for limit, unit, size in ((120.0, "s", 1.0), (7200.0, "min", 60.0), (172_800.0, "h", 3600.0)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
