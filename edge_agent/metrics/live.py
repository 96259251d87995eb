"""Live facts of the configured devices: all that the metrics know of the running plant, as plain
numbers.

The store service fills them from `device_health`; a first assessment without a gateway reads them
from a JSON file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, cast

from edge_agent.errors import Finding, FindingsError
from edge_agent.metrics.planned import PlannedTime
from edge_agent.reasons import words_of

_S: Final = 1_000_000_000
_LARGEST: Final = 10**18
#: A float has all of the digits of a smaller whole number.
_WHOLE: Final = 10**15
_DECIMALS: Final = 18
_LONGEST_S: Final = 10 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """One device up to the end of the window. None = not known (which is never the same as 0)."""

    last_good_age_s: Fraction | None = None
    """Seconds from the last good value to the window's end."""
    coverage: Fraction | None = None
    """Covered / scheduled seconds since max(first connection, end - 30 days)."""
    history_s: Fraction | None = None
    """Seconds from the first connection to the window's end."""
    connected: bool = False
    """A session or connection was established in the window (grade E1), with or without good
    data."""
    online_s: Fraction | None = None
    """Covered seconds of the recent window (shift, day): M-04d."""
    scheduled_s: Fraction | None = None
    """Scheduled seconds of the recent window."""
    good: int | None = None
    """Good readings in the recent window: M-05."""
    expected: int | None = None
    """Readings that were due in the recent window."""
    controller: bool = False
    """Execution, mode and program or part count come from the controller (grade E3)."""
    normalised: bool | None = None
    """Its values follow the common machine model: M-07."""
    business_links: frozenset[str] = frozenset()
    """Links of the questionnaire its tags are marked with: M-06."""
    collected: bool = True
    """There is a health row of the window: somebody tried to read it, with or without success."""
    planned_s: Fraction | None = None
    """Seconds of planned working time since max(first connection, end - 30 days), or since somebody
    first tried."""
    online: bool | None = None
    """Whether it delivered at the window's end."""
    looked_for_changes: bool = False
    """Somebody looked whether its values change; else nothing is concluded from `unchanged_s`."""
    unchanged_s: Fraction | None = None
    """Planned seconds since a value of it last changed; None where no change was seen."""
    contradicted: bool = False
    """Its health speaks of good readings and the store has none of them: no evidence of anything
    but a connection."""


@dataclass(frozen=True, slots=True)
class LiveEvidence:
    """Facts by device id. `end_ns`: the moment all ages count from; `recent_s`: length of the
    recent window."""

    devices: Mapping[str, DeviceFacts] = field(default_factory=dict)
    end_ns: int | None = None
    recent_s: int | None = None


@dataclass(frozen=True, slots=True)
class StoredSignals:
    """What the store has of one device's own values, up to a window's end."""

    last_sample: int | None
    """Its newest good sample (ns), as far back as was looked; None without any."""
    last_change: int | None
    """The newest good sample that differs from the good one of the same tag before it; None without
    any."""


@dataclass(frozen=True, slots=True)
class HealthSums:
    """What the health rows of one device add up to in a window (seconds, readings)."""

    scheduled_s: float
    covered_s: float
    good: int
    bad: int


def from_health(
    end_ns: int,
    first_ns: int | None,
    last_good_ns: int | None,
    long: tuple[int, HealthSums],
    recent: tuple[int, HealthSums],
    *,
    planned: PlannedTime | None = None,
    controller: bool = False,
    normalised: bool | None = None,
    business_links: frozenset[str] = frozenset(),
    collected: bool = True,
    calendar: PlannedTime | None = None,
    online: bool | None = None,
    stored: StoredSignals | None = None,
) -> DeviceFacts:
    """Facts from health rows; each window is (start ns, sums). Seconds without a row are scheduled
    and uncovered.

    `planned`: only this time is scheduled, and the sums are of it alone; None: all time is.
    `calendar`: the planned working time itself, also where coverage counts all time because none
    was planned yet; None: all time is planned. `stored`: what the store has of its values, which is
    looked at beside what the health says of them; None: nobody looked.

    A device that never connected was scheduled while the agent tried, which its health rows tell,
    and never online.
    """
    first = end_ns if first_ns is None else first_ns
    long_s = _scheduled(planned, max(first, long[0]), end_ns)
    recent_s = _scheduled(planned, max(first, recent[0]), end_ns)
    if first_ns is None:
        recent_s = min(_scheduled(planned, recent[0], end_ns), _exact(recent[1].scheduled_s))
    readings = recent[1].good + recent[1].bad
    planned_s = _scheduled(calendar, max(first_ns or long[0], long[0]), end_ns)
    if first_ns is None:
        planned_s = min(planned_s, _exact(long[1].scheduled_s))
    facts = DeviceFacts(
        last_good_age_s=None
        if last_good_ns is None
        else Fraction(max(0, end_ns - last_good_ns), _S),
        coverage=min(Fraction(1), _exact(long[1].covered_s) / long_s) if long_s else None,
        history_s=None if first_ns is None else Fraction(max(0, end_ns - first), _S),
        connected=first_ns is not None,
        online_s=min(recent_s, _exact(recent[1].covered_s)),
        scheduled_s=recent_s,
        good=recent[1].good,
        expected=_expected(readings, recent_s, _exact(recent[1].scheduled_s)),
        controller=controller,
        normalised=normalised,
        business_links=business_links,
        collected=collected,
        planned_s=planned_s,
        online=online,
    )
    return facts if stored is None else _beside(facts, stored, calendar, end_ns)


def _beside(
    facts: DeviceFacts, stored: StoredSignals, calendar: PlannedTime | None, end_ns: int
) -> DeviceFacts:
    """What the health says, held against what is stored."""
    change = stored.last_change
    unchanged_s = None if change is None else _scheduled(calendar, change, end_ns)
    facts = replace(facts, looked_for_changes=True, unchanged_s=unchanged_s)
    if stored.last_sample is not None or facts.last_good_age_s is None:
        return facts
    covered = None if facts.coverage is None else Fraction(0)
    return replace(
        facts,
        last_good_age_s=None,
        coverage=covered,
        online_s=Fraction(0),
        good=0,
        online=False,
        contradicted=True,
    )


def _scheduled(planned: PlannedTime | None, start: int, end: int) -> Fraction:
    """Seconds between two moments that were to be covered."""
    return Fraction(max(0, end - start) if planned is None else planned.within(start, end), _S)


def _expected(readings: int, elapsed_s: Fraction, seen_s: Fraction) -> int:
    """Readings due: seconds without a health row are expected to hold as many as the others."""
    return max(readings, round(readings * elapsed_s / seen_s)) if seen_s else readings


def _exact(number: float) -> Fraction:
    """The decimal digits of a number; seconds are nearly always whole milliseconds, which is
    quicker to find."""
    thousandths = round(number * 1000)
    if abs(thousandths) < _WHOLE and thousandths / 1000 == number:
        return Fraction(thousandths, 1000)
    return Fraction(str(number))


_NUMBERS: Final = {
    "last_good_age_h": Fraction(3600),
    "last_good_age_s": Fraction(1),
    "coverage": Fraction(1),
    "history_s": Fraction(1),
    "history_days": Fraction(86400),
    "planned_s": Fraction(1),
    "online_s": Fraction(1),
    "scheduled_s": Fraction(1),
    "good": Fraction(1),
    "expected": Fraction(1),
    "unchanged_h": Fraction(3600),
}
_FIELD: Final = {
    "last_good_age_h": "last_good_age_s",
    "history_days": "history_s",
    "unchanged_h": "unchanged_s",
}
_FLAGS: Final = ("connected", "controller", "normalised", "online")


def read_live(path: Path) -> LiveEvidence:
    """A live file: `{device: {last_good_age_h, coverage, ...}}`, or these under `devices` beside
    `end`, `recent_s`.

    Raises FindingsError with everything that is wrong in it.
    """
    try:
        document = json.loads(path.read_bytes().decode("utf-8-sig"), parse_float=Decimal)
    except OSError as error:
        why_zh, why_en = words_of(error)
        raise _refuse(
            path.name, f"读不到文件（{why_zh}）。", f"cannot be read ({why_en})."
        ) from error
    except ValueError as error:
        raise _refuse(
            path.name, f"不是有效的 JSON({error})。", f"is not valid JSON ({error})."
        ) from error
    return parse_live(document, path.name)


def _refuse(name: str, zh: str, en: str) -> FindingsError:
    return FindingsError.one(
        "live-file",
        f"实时数据{zh}请检查文件。",
        f"the file of live facts {en} Check the file.",
        name,
    )


def parse_live(document: object, name: str = "live") -> LiveEvidence:
    """The same from parsed JSON, floats as Decimal so that 0.9 is nine tenths."""
    if not isinstance(document, dict):
        raise _refuse(name, "应为 {设备：{...}} 的对象。", "must be an object {device: {...}}.")
    wrapped = isinstance(document.get("devices"), dict)
    rows = document["devices"] if wrapped else document
    findings: list[Finding] = []
    devices = {
        str(device): _device(facts, f"{name}:{device}", findings) for device, facts in rows.items()
    }
    end = _end(document.get("end"), f"{name}:end", findings) if wrapped else None
    recent = document.get("recent_s") if wrapped else None
    if recent is not None and (not isinstance(recent, int) or not 0 < recent <= _LONGEST_S):
        findings.append(_bad(f"{name}:recent_s", "应为窗口的秒数", "the seconds of the window"))
    if findings:
        raise FindingsError(findings)
    return LiveEvidence(devices, end, int(recent) if recent is not None else None)


def _end(value: object, where: str, findings: list[Finding]) -> int | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
        if moment.tzinfo is None:
            raise ValueError(value)
    except ValueError:
        findings.append(
            _bad(where, "应为带时区的时间，如 2026-05-01T08:00:00+08:00", "a time with its zone")
        )
        return None
    return int(moment.timestamp()) * _S + moment.microsecond * 1000


def _bad(where: str, zh: str, en: str) -> Finding:
    return Finding("live-value", where, f"{zh}，请改正。", f"expected {en}; correct it.")


def _device(facts: object, where: str, findings: list[Finding]) -> DeviceFacts:
    if not isinstance(facts, dict):
        findings.append(
            _bad(
                where,
                "应为对象 {last_good_age_h, coverage}",
                "an object {last_good_age_h, coverage}",
            )
        )
        return DeviceFacts()
    values: dict[str, Any] = {}
    for key, value in cast(dict[str, Any], facts).items():
        place = f"{where}.{key}"
        if value is None:
            continue
        if key in _NUMBERS:
            number = _number(key, value, place, findings)
            values[_FIELD.get(key, key)] = int(number) if key in ("good", "expected") else number
        elif key in _FLAGS and isinstance(value, bool):
            values[key] = value
        elif key == "business_links" and isinstance(value, list):
            values[key] = frozenset(map(str, value))
        else:
            known = " ".join((*_NUMBERS, *_FLAGS, "business_links"))
            findings.append(
                _bad(place, f"未知的键或类型不符；可用：{known}", f"one of the keys {known}")
            )
    # null: somebody looked, and none was seen
    values["looked_for_changes"] = "unchanged_h" in facts
    values.setdefault("connected", "last_good_age_s" in values)
    return DeviceFacts(**values)


def _number(key: str, value: object, where: str, findings: list[Finding]) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
        findings.append(_bad(where, "应为数字", "a number"))
        return Fraction(0)
    size = Decimal(str(value)).copy_abs()
    if not size.is_finite() or size > _LARGEST or (size and size.adjusted() < -_DECIMALS):
        findings.append(_bad(where, "不是可用的数字", "a finite number of ordinary size"))
        return Fraction(0)  # 1e999999999 is a number too, and as a fraction would fill the memory
    number = Fraction(str(value))
    if number < 0 or (key == "coverage" and number > 1):
        findings.append(
            _bad(where, "应为 0 以上（coverage 为 0 到 1）", "0 or more (coverage from 0 to 1)")
        )
    return number * _NUMBERS[key]
