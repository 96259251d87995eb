"""Outages as lines for people: the newest last, and nobody's hidden by a device that comes and goes
all night."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_agent.reasons import sentence

Document = Mapping[str, Any]

#: So many outages of one device for one reason stand each for itself; more are one line.
_SINGLE: Final = 3
#: Devices named in a line of several.
_NAMED: Final = 8
_LASTS: Final = 2**63


def clock(t: int, timezone: str) -> str:
    """A time (ns) in the site's zone, to the second."""
    return datetime.fromtimestamp(t / 1e9, ZoneInfo(timezone)).strftime("%m-%d %H:%M:%S")


def outage_lines(rows: Sequence[Document], timezone: str) -> list[str]:
    """One text each: repeats of one device and equal spans of many devices are folded; those that
    last come last."""
    repeats: dict[tuple[str, str], list[Document]] = {}
    for row in rows:
        repeats.setdefault((row["device"], row["reason"]), []).append(row)
    lines: list[tuple[int, int, str]] = []
    spans: dict[tuple[str, str, str], list[Document]] = {}
    for group in repeats.values():
        if len(group) > _SINGLE:
            lines.append((*_when(group), _repeated(group, timezone)))
            continue
        for row in group:
            spans.setdefault((*_span([row], timezone), row["reason"]), []).append(row)
    for together in spans.values():
        lines += [(*_when(group), _joint_outage(group, timezone)) for group in _by_cause(together)]
    return [text for _, _, text in sorted(lines)]


def _by_cause(rows: Sequence[Document]) -> Sequence[Sequence[Document]]:
    """Apart where there are a few causes: each has its own sentence. Of many, one line with that of
    the status."""
    causes: dict[str, list[Document]] = {}
    for row in rows:
        causes.setdefault(row["en"], []).append(row)
    return [*causes.values()] if len(causes) <= _SINGLE else [rows]


def _when(group: Sequence[Document]) -> tuple[int, int]:
    """What a line is sorted by: the end of its last outage, then the beginning of it."""
    ends = [_LASTS if row["to_t"] is None else row["to_t"] for row in group]
    return max(ends), max(row["from_t"] for row in group)


def _span(group: Sequence[Document], timezone: str) -> tuple[str, str]:
    end, _ = _when(group)
    until = "至今 until now" if end == _LASTS else clock(end, timezone)
    return clock(min(row["from_t"] for row in group), timezone), until


def _repeated(group: Sequence[Document], timezone: str) -> str:
    begin, until = _span(group, timezone)
    seconds = sum(row["seconds"] for row in group)
    first = group[0]
    return (
        f"  中断 outage {first['device']}: {len(group)} 次 times, {begin} – {until}, 共 in all "
        f"{_length(seconds)}"
        f" {_why(_common(group))}"
    )


def _joint_outage(group: Sequence[Document], timezone: str) -> str:
    begin, until = _span(group, timezone)
    names = [row["device"] for row in group]
    named = ", ".join(names[:_NAMED]) + (
        f" … +{len(names) - _NAMED}" if len(names) > _NAMED else ""
    )
    count = f" ({len(names)} 台设备 devices)" if len(names) > 1 else ""
    longest = max(row["seconds"] for row in group)
    return (
        f"  中断 outage {named}{count}: {begin} – {until}, {_length(longest)} "
        f"{_why(_common(group))}"
    )


def _length(seconds: float) -> str:
    """An outage of half a second did not last 0 s."""
    return f"{seconds:,.0f} s" if seconds >= 1 else "< 1 s"


def _why(row: Document) -> str:
    return f"[{row['reason']}]\n      {row['zh']}\n      {row['en']}"


def _common(group: Sequence[Document]) -> Document:
    """Why, for all of a group: their sentence where it is the same, else that of the status."""
    if len({(row["zh"], row["en"]) for row in group}) == 1:
        return group[0]
    zh, en = sentence(group[0]["reason"])
    return {**group[0], "zh": zh, "en": en}


def tag_lines(rows: Sequence[Document], timezone: str) -> list[str]:
    """Changes of tags, those of one tag folded where it flaps, those of many tags of one device for
    the same reasons together; the newest last."""
    by_tag: dict[tuple[str, str], list[Document]] = {}
    for row in rows:
        by_tag.setdefault((row["device"], row["tag"]), []).append(row)
    alike: dict[tuple[str, frozenset[str]], list[list[Document]]] = {}
    for (device, _), group in by_tag.items():
        reasons = frozenset(row["reason"] for row in group if row["reason"])
        alike.setdefault((device, reasons), []).append(group)
    lines: list[tuple[int, str]] = []
    for groups in alike.values():
        if len(groups) > _SINGLE:
            lines.append((max(group[-1]["t"] for group in groups), _many(groups, timezone)))
            continue
        for group in groups:
            if len(group) > _SINGLE:
                lines.append((group[-1]["t"], _flapping(group, timezone)))
            else:
                lines += [(row["t"], _tag(row, timezone)) for row in group]
    return [text for _, text in sorted(lines, key=lambda line: line[0])]


def _many(groups: Sequence[Sequence[Document]], timezone: str) -> str:
    """Several tags of one device, as one entry: how many, which, how often, and how they are
    now."""
    rows = sorted((row for group in groups for row in group), key=lambda row: row["t"])
    names = [group[0]["tag"] for group in groups]
    rest = f" … +{len(names) - _SINGLE}" if len(names) > _SINGLE else ""
    now = Counter(group[-1]["to"] for group in groups)
    states = ", ".join(f"{state} × {count}" for state, count in now.most_common(3))
    return (
        f"  变量 tags {rows[0]['device']}: {len(names)} 个变量 tags "
        f"({', '.join(names[:_SINGLE])}{rest}),"
        f" {len(rows)} 次变化 changes, {clock(rows[0]['t'], timezone)} – "
        f"{clock(rows[-1]['t'], timezone)},"
        f" 现在 now {states}{_reasons_of(rows)}"
    )


def _flapping(group: Sequence[Document], timezone: str) -> str:
    first = group[0]
    last = group[-1]
    return (
        f"  变量 tag {first['device']}/{first['tag']}: {len(group)} 次变化 changes,"
        f" {clock(first['t'], timezone)} – {clock(last['t'], timezone)}, 现在 now "
        f"{last['to']}{_reasons_of(group)}"
    )


def _reasons_of(rows: Sequence[Document]) -> str:
    """How often for which reason, and the newest one's sentence on lines of its own."""
    reasons = Counter(row["reason"] for row in rows if row["reason"])
    if not reasons:
        return ""
    often = ", ".join(f"{reason} × {count}" for reason, count in reasons.most_common(3))
    newest = next(row for row in reversed(rows) if row["reason"])
    return f" [{often}]\n      {newest['zh']}\n      {newest['en']}"


def _tag(row: Document, timezone: str) -> str:
    why = f" {row['zh']} {row['en']}" if row["reason"] else ""
    return (
        f"  变量 tag {row['device']}/{row['tag']}: {clock(row['t'], timezone)} {row['from']} → "
        f"{row['to']}{why}"
    )
