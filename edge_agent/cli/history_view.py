"""What `edge-agent history` prints for people: a table or a plot for each tag."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_agent.app.values.export import step_value
from edge_agent.app.values.gaps import UnknownSpan
from edge_agent.app.values.history import HistoryTag, TagHistory
from edge_agent.app.values.steps import HistoryStep, HistorySteps
from edge_agent.app.values.text import age, for_people, iso, number, printable
from edge_agent.cli.columns import table
from edge_agent.cli.plot import LEGEND, plot_lines
from edge_agent.model import is_bad, is_good, status_name

_SECOND: Final = 1_000_000_000
_LONG: Final = 48

#: Digits of the numbers of a step, so that a line has room on 80 columns.
_STEP_DIGITS: Final = 6


def clock(t: int, zone: ZoneInfo, *, exact: bool = False) -> str:
    """A time for people, to the second or (`exact`) to the millisecond."""
    seconds, rest = divmod(t, _SECOND)
    text = datetime.fromtimestamp(seconds, zone).strftime("%m-%d %H:%M:%S")
    return f"{text}.{rest // 1_000_000:03}" if exact else text


def moment(t: int, zone: ZoneInfo, *, exact: bool) -> str:
    """A time with its year, to the minute or (`exact`) to the second."""
    return datetime.fromtimestamp(t // _SECOND, zone).strftime(
        "%Y-%m-%d %H:%M:%S" if exact else "%Y-%m-%d %H:%M"
    )


def title(tag: HistoryTag, begin: int, until: int, zone: ZoneInfo) -> str:
    """`plc-1/power [kW]  2026-11-30 08:00 – 2026-11-30 16:00 (Asia/Shanghai)`."""
    unit = f" [{printable(tag.unit)}]" if tag.unit else ""
    short = until - begin < 3600 * _SECOND
    span = f"{moment(begin, zone, exact=short)} – {moment(until, zone, exact=short)}"
    return f"{printable(tag.shown)}/{printable(tag.tag)}{unit}  {span} ({zone})"


def table_lines(found: TagHistory, zone: ZoneInfo) -> Iterator[str]:
    """The readings, or the steps, with the gaps between them."""
    if found.downsampled and found.step is not None:
        length = age(found.step / _SECOND)
        yield f"共 {found.count} 条读数，按每 {length} 一步显示；全部读数请用 --csv 或 --parquet。"
        yield (
            f"{found.count} readings, shown in steps of {length}; --csv or --parquet give all of "
            "them."
        )
    exact = found.step is None
    if exact:
        head: tuple[str, ...] = ("时间 time", "值 value", "质量 quality")
        rows = [_reading(found.tag, row, zone) for row in found.readings]
        times = [row.t for row in found.readings]
    else:
        head = (
            "时间 time",
            "最小 min",
            "平均 mean",
            "最大 max",
            "最后 last",
            "数 n",
            "质量 quality",
        )
        rows = [_step(found.tag, step, zone) for step in found.steps]
        times = [step.t for step in found.steps]
    first, *lines = table(head, rows).splitlines()
    yield first
    gaps = [(gap.start, _gap(gap, zone, exact=exact)) for gap in found.gaps]
    yield from (line for _, line in heapq.merge(zip(times, lines, strict=True), gaps, key=_at))
    if found.more_gaps:
        yield f"… 另有 {found.more_gaps} 处无读数 / {found.more_gaps} more gaps"


def _reading(tag: HistoryTag, row: Any, zone: ZoneInfo) -> tuple[str, ...]:
    return clock(row.t, zone, exact=True), _value(tag, row.value, row.status), _quality(row.status)


def _step(tag: HistoryTag, step: HistoryStep, zone: ZoneInfo) -> tuple[str, ...]:
    mean = step_value(tag, step) if step.mean is not None else None
    numbers = [
        "" if one is None else number(one, _STEP_DIGITS) for one in (step.low, step.mean, step.high)
    ]
    if isinstance(step.last, bool) or tag.labels or mean is None:
        numbers[1] = ""  # a mean of words says nothing
    last = _value(tag, step.last, step.status if step.last is None else 0)
    return clock(step.t, zone), *numbers, last, str(step.readings), _quality(step.status)


def _value(tag: HistoryTag, value: Any, status: int) -> str:
    label = (
        tag.labels.get(value) if isinstance(value, int) and not isinstance(value, bool) else None
    )
    text = for_people(value, label)
    if len(text) > _LONG:
        text = text[: _LONG - 1] + "…"
    return text if is_good(status) or is_bad(status) else f"({text})"


def _quality(status: int) -> str:
    if is_good(status):
        return "Good"
    return f"{'✗' if is_bad(status) else '?'} {status_name(status)}"


def _gap(gap: UnknownSpan, zone: ZoneInfo, *, exact: bool) -> str:
    """A line of its own: from when on nothing was read, and for how long."""
    length = age((gap.end - gap.start) / _SECOND)
    why = (
        f"  ✗ {status_name(gap.status)}"
        if gap.status is not None and not is_good(gap.status)
        else ""
    )
    return f"{clock(gap.start, zone, exact=exact)}  ⋯ 无读数 no reading {length}{why}"


def _at(line: tuple[int, str]) -> int:
    return line[0]


def plot_text(
    tag: HistoryTag, steps: HistorySteps, begin: int, until: int, zone: ZoneInfo, height: int
) -> list[str]:
    """The picture with its title and legend."""
    lines = [title(tag, begin, until, zone)]
    lines += plot_lines(steps, height, (clock(begin, zone), clock(until, zone)))
    if tag.labels:
        lines.append(
            "  ".join(f"{key} = {printable(text)}" for key, text in sorted(tag.labels.items()))
        )
    length = age(steps.step / _SECOND)
    lines.append(f"{LEGEND}   每列 a column: {length}, min – max")
    return lines


def document(found: TagHistory, begin: int, until: int, zone: ZoneInfo) -> dict[str, Any]:
    """One tag in the JSON of `history`."""
    tag = found.tag
    rows: list[dict[str, Any]] = [
        {"t": iso(row.t, zone), "value": row.value, "quality": status_name(row.status)}
        for row in found.readings
    ]
    rows += [
        {
            "t": iso(step.t, zone),
            "min": step.low,
            "max": step.high,
            "mean": step.mean,
            "last": step.last,
            "count": step.readings,
            "quality": status_name(step.status),
        }
        for step in found.steps
    ]
    gaps = [
        {
            "from": iso(gap.start, zone),
            "to": iso(gap.end, zone),
            "quality": None if gap.status is None else status_name(gap.status),
        }
        for gap in found.gaps
    ]
    return {
        "agent": tag.agent,
        "device": tag.shown,
        "tag": tag.tag,
        "unit": tag.unit,
        "from": iso(begin, zone),
        "to": iso(until, zone),
        "readings": found.count,
        "every_s": None if found.step is None else found.step / _SECOND,
        "downsampled": found.downsampled,
        "rows": rows,
        "gaps": gaps,
        "more_gaps": found.more_gaps,
    }
