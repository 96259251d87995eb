"""Pictures on axes: power over time, rates by month, a rate machine by machine, and coverage as a
map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil, floor, log10
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_agent.report.pictures.marks import BANDS, INK, QUIET, WIDTH, cut, legend
from edge_agent.report.pictures.svg import Markup, element, join, label, line, picture, rect
from edge_agent.report.speech import Language, local, percent, say

Chart = Mapping[str, Any]
Points = Sequence[tuple[float, float]]

_LINES: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#5b6975", "#e6a700")
_QUARTER_S: Final = 900
_LEFT = 46.0
_TOP = 34.0
_HEIGHT = 150.0
_ROOM: Final = WIDTH - 60
#: Distances of the marks on a time axis, in seconds: minutes, hours, days.
_STEPS_S: Final = (
    300,
    900,
    1800,
    3600,
    7200,
    14_400,
    21_600,
    43_200,
    86_400,
    172_800,
    432_000,
    864_000,
)
#: Coverage from none to whole: what is not covered is what the eye should find.
_HEAT: Final = ("#d55e00", "#ee9a5d", "#f7cfae", "#bfe3d6", "#63bfa2", "#1f9472")
#: Where each colour but the first begins, and every colour's words.
_LIMITS: Final = (0.001, 0.25, 0.5, 0.9, 0.99)
_SHADES: Final = ("< 0.1 %", "< 25 %", "< 50 %", "< 90 %", "< 99 %", "≥ 99 %")


def load(block: Chart, language: Language, zone: str) -> Markup:
    """Power over time, one step line per line, the peak marked."""
    series = [each for each in block["series"] if each["points"]]
    if not series:
        return Markup("")
    rows = [[(_stamp(t), kw) for t, kw in each["points"]] for each in series]
    pieces = legend(
        [
            (_LINES[i % len(_LINES)], _peaked(each, block["peaks"], zone))
            for i, each in enumerate(series)
        ]
    )
    return picture(
        WIDTH, 214, say(block["title"], language), *pieces, *_plot(rows, "kW", zone, steps=True)
    )


def _peaked(each: Chart, peaks: Sequence[Chart], zone: str) -> str:
    peak = next((peak for peak in peaks if peak["name"] == each["name"]), None)
    if peak is None:
        return str(each["name"])
    return f"{each['name']} (max {peak['kw']:.1f} kW, {local(peak['t'], zone)[5:16]})"


def trend(block: Chart, language: Language, zone: str) -> Markup:
    """Rates by month, in percent."""
    series = [
        each for each in block["series"] if any(value is not None for _, value in each["points"])
    ]
    if not series:
        return Markup("")
    months = [month for month, _ in block["series"][0]["points"]]
    at = {month: _LEFT + _ROOM * (i + 0.5) / len(months) for i, month in enumerate(months)}
    pieces = [*_scale(1.0, "%", percent_of=100)]
    for i, each in enumerate(series):
        points = [
            (at[month], _TOP + _HEIGHT * (1 - value))
            for month, value in each["points"]
            if value is not None
        ]
        pieces.append(_curve(points, _LINES[i % len(_LINES)], 0, steps=False))
    for month, x in at.items():
        pieces.append(
            label(x, _TOP + _HEIGHT + 16, month[2:], font_size=10, fill=QUIET, text_anchor="middle")
        )
    words = [f"{each['id']} {say(each['name'], _one(language))}" for each in series]
    names = [(_LINES[i % len(_LINES)], cut(each, 200, 11)) for i, each in enumerate(words)]
    below = [
        piece
        for row in range(0, len(names), 3)
        for piece in legend(names[row : row + 3], 214 + 18.0 * (row // 3))
    ]
    height = 214 + 18 * ceil(len(names) / 3) + 6
    return picture(WIDTH, height, say(block["title"], language), *pieces, *below)


def stairs(block: Chart, language: Language, zone: str) -> Markup:
    """A rate as it grows machine by machine, over the questionnaire's bands."""
    points = block["points"]
    if len(points) < 2:
        return Markup("")
    width = _ROOM / len(points)
    pieces = []
    for i, upper in enumerate(block["bands"]):
        lower = block["bands"][i - 1] if i else 0.0
        y = _TOP + _HEIGHT * (1 - upper)
        height = _HEIGHT * (upper - lower)
        pieces.append(rect(_LEFT, y, _ROOM, height, BANDS[i], fill_opacity="0.45"))
        pieces.append(
            label(_LEFT - 5, y + 4, f"{100 * upper:g}", font_size=10, fill=QUIET, text_anchor="end")
        )
    pieces.append(label(0, 28, "%", font_size=10, fill=QUIET))
    for i, (name, rate) in enumerate(points):
        x = _LEFT + width * i
        top = _TOP + _HEIGHT * (1 - rate)
        bar = rect(x + 0.18 * width, top, 0.64 * width, _HEIGHT * rate, "#2f7a9d" if i else INK)
        pieces.append(
            join(
                bar,
                label(
                    x + width / 2,
                    top - 4,
                    f"{percent(rate):.0f}",
                    font_size=10,
                    fill=INK,
                    text_anchor="middle",
                ),
            )
        )
        words = name or say({"zh": "现在", "en": "now"}, _one(language))
        pieces.append(_slanted(x + width / 2 + 3, _TOP + _HEIGHT + 12, words))
    return picture(WIDTH, _TOP + _HEIGHT + 48, say(block["title"], language), *pieces)


def _slanted(x: float, y: float, words: str) -> Markup:
    return label(
        x,
        y,
        words,
        font_size=9.5,
        fill=QUIET,
        text_anchor="end",
        transform=f"rotate(-35 {x:.1f} {y:.1f})",
    )


def before_after(block: Chart, language: Language, zone: str) -> Markup:
    """A row per rate: where it stood at each date, and where it stands now."""
    series = [
        each for each in block["series"] if any(value is not None for _, value in each["points"])
    ]
    if not series:
        return Markup("")
    left = 326.0
    room = WIDTH - 386.0
    high = 26.0
    dates = [date for date, _ in series[0]["points"]]
    now = say({"zh": "本包窗口", "en": "this pack"}, _one(language))
    marks = [
        (INK if date is None else _LINES[i % len(_LINES)], date or now)
        for i, date in enumerate(dates)
    ]
    pieces = legend(marks)
    y = 34.0
    for each in series:
        name = cut(say(each["name"], _one(language)), left - 16, 11)
        pieces.append(label(left - 10, y + 4, name, font_size=11, fill=INK, text_anchor="end"))
        pieces.append(line(left, y, left + room, y, stroke="#dfe5ea"))
        known = [
            (colour, value)
            for (colour, _), (_, value) in zip(marks, each["points"], strict=True)
            if value is not None
        ]
        ends = [min(1.0, value) for _, value in known]
        pieces.append(
            line(
                left + room * min(ends),
                y,
                left + room * max(ends),
                y,
                stroke="#93c0d6",
                stroke_width=5,
            )
        )
        pieces += [
            element(
                "circle",
                element("title", f"{percent(value):.2f} %"),
                cx=left + room * min(1.0, value),
                cy=y,
                r=6,
                fill=colour,
            )
            for colour, value in known
        ]
        pieces.append(
            label(left + room + 10, y + 4, f"{percent(known[-1][1]):.1f} %", font_size=11, fill=INK)
        )
        y += high
    for i in range(5):
        pieces.append(
            label(
                left + room * i / 4,
                y + 4,
                f"{25 * i}",
                font_size=10,
                fill=QUIET,
                text_anchor="middle",
            )
        )
    return picture(WIDTH, y + 12, say(block["title"], language), *pieces)


def heat(block: Chart, language: Language, zone: str) -> Markup:
    """A row per device, a field per stretch of time, in the colour of how much of it was
    covered."""
    rows = block["rows"]
    left = 96.0
    high = 13.0
    if not rows:
        return Markup("")
    fields = len(rows[0]["shares"])
    width = (WIDTH - left) / fields
    nothing = say({"zh": "尚未接入", "en": "not connected yet"}, _one(language))
    pieces = legend([*zip(_HEAT, _SHADES, strict=True), ("#eef2f5", nothing)])
    y = 26.0
    for row in rows:
        pieces.append(
            label(
                left - 6,
                y + 10,
                cut(row["name"], left - 10, 10),
                font_size=10,
                fill=INK,
                text_anchor="end",
            )
        )
        for i, share in enumerate(row["shares"]):
            words = "" if share is None else f"{percent(share):.1f} %"
            field = rect(
                left + i * width, y, width - 0.4, high - 1, _shade(share), element("title", words)
            )
            pieces.append(field)
        y += high
    axis = _time_axis(_stamp(block["from"]), _stamp(block["to"]), zone, left, WIDTH - left, y)
    return picture(WIDTH, y + 22, say(block["title"], language), *pieces, *axis)


def _shade(share: float | None) -> str:
    if share is None:
        return "#eef2f5"
    return _HEAT[sum(share >= limit for limit in _LIMITS)]


def _one(language: Language) -> Language:
    """Where there is no room for both: Chinese."""
    return "zh" if language == "both" else language


def _stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def round_up(value: float) -> float:
    """The next of 1, 2, 2.4, 4, 6, 8 x 10^n: the top of an axis whose quarters are plain
    numbers."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** floor(log10(value))
    return next(
        step * power for step in (1, 2, 2.4, 4, 6, 8, 10) if step * power >= value * (1 - 1e-9)
    )


def _scale(highest: float, unit: str, percent_of: float = 1.0) -> list[Markup]:
    """The value axis with its lines."""
    pieces = [label(0, 28, unit, font_size=10, fill=QUIET)]
    for i in range(5):
        y = _TOP + _HEIGHT * i / 4
        value = percent_of * highest * (4 - i) / 4
        pieces.append(line(_LEFT, y, _LEFT + _ROOM, y, stroke="#dfe5ea"))
        pieces.append(
            label(_LEFT - 5, y + 4, f"{value:.4g}", font_size=10, fill=QUIET, text_anchor="end")
        )
    return pieces


def _plot(rows: Sequence[Points], unit: str, zone: str, *, steps: bool = False) -> list[Markup]:
    """Lines on axes: time across, values from zero up."""
    times = [t for row in rows for t, _ in row]
    low = min(times)
    high = max(times) + (_QUARTER_S if steps else 0)
    highest = round_up(max((v for row in rows for _, v in row), default=0))
    pieces = _scale(highest, unit)
    for i, row in enumerate(rows):
        points = [
            (_LEFT + _ROOM * (t - low) / ((high - low) or 1), _TOP + _HEIGHT * (1 - v / highest))
            for t, v in row
        ]
        pieces.append(_curve(points, _LINES[i % len(_LINES)], _LEFT + _ROOM, steps=steps))
    return [*pieces, *_time_axis(low, high, zone, _LEFT, _ROOM, _TOP + _HEIGHT)]


def _time_axis(
    low: float, high: float, zone: str, left: float, room: float, y: float
) -> list[Markup]:
    """Round times of the plant's clocks, some six of them; the first and each new day with its
    date."""
    step = next((each for each in _STEPS_S if (high - low) / each <= 8), _STEPS_S[-1])
    there = ZoneInfo(zone)
    begin = datetime.fromtimestamp(low, there)
    first = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    pieces = []
    day = ""
    for i in range(ceil((high - first.timestamp()) / step) + 1):
        moment = first + timedelta(seconds=step * i)
        t = moment.timestamp()
        if not low <= t <= high:
            continue
        x = left + room * (t - low) / ((high - low) or 1)
        date = moment.strftime("%m-%d")
        words = (
            date
            if step >= 86_400
            else moment.strftime("%H:%M")
            if date == day
            else moment.strftime("%m-%d %H:%M")
        )
        day = date
        anchor = "start" if x < left + 20 else "end" if x > left + room - 20 else "middle"
        pieces.append(line(x, y, x, y + 4))
        pieces.append(label(x, y + 16, words, font_size=10, fill=QUIET, text_anchor=anchor))
    return pieces


def _curve(points: Points, colour: str, end: float, *, steps: bool) -> Markup:
    if steps:
        points = [*points, (end, points[-1][1])]  # the last quarter lasts as long as the others
    path = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
    for x, y in points[1:]:
        path.append(f"H{x:.1f}V{y:.1f}" if steps else f"L{x:.1f},{y:.1f}")
    dots = [] if steps else [element("circle", cx=x, cy=y, r=2.8, fill=colour) for x, y in points]
    return join(
        element("path", d="".join(path), fill="none", stroke=colour, stroke_width=1.8), *dots
    )
