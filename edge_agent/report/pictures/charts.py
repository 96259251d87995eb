"""The pictures of a report, drawn from a chart block's data: gauge, tiles, stacked time, Pareto;
plots in `plots`.

Colours are told apart by people who do not see red and green alike (Okabe and Ito), and every
picture says in words and numbers what it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any, Final

from edge_agent.report.parts.production import BUCKET_NAMES, LOSSES
from edge_agent.report.pictures.marks import BANDS, INK, QUIET, WIDTH, cut, legend
from edge_agent.report.pictures.plots import before_after, heat, load, stairs, trend
from edge_agent.report.pictures.svg import Markup, element, join, label, line, picture, rect
from edge_agent.report.pictures.topology import draw as topology
from edge_agent.report.speech import Language, percent, say

Chart = Mapping[str, Any]
_GRADES: Final = {"E0": "#d9dee3", "E1": "#f0e3a4", "E2": "#9ccbe3", "E3": "#2f8f6f"}
_GRADE_INK: Final = {"E0": INK, "E1": INK, "E2": INK, "E3": "#ffffff"}
COLOURS: Final = {
    "APT": "#009e73",
    "ASUT": "#56b4e9",
    "ADET": "#d55e00",
    "unknown": "url(#hatch)",
    "ADOT": "#e6c229",
    "planned_down": "#c3ccd4",
    "overtime": "#0072b2",
}


def draw(block: Chart, language: Language, zone: str = "UTC") -> Markup:
    """The picture of a chart block; an empty one when there is nothing to draw."""
    return _DRAWN[block["chart"]](block, language, zone)


def _gauge(block: Chart, language: Language, zone: str) -> Markup:
    """A rate on its scale, with the questionnaire's bands or the policy's target."""
    left = 20.0
    width = WIDTH - 40
    top = 70.0
    height = 22.0
    bands: Sequence[float] = block["bands"] or (1.0,)
    pieces = []
    for i, upper in enumerate(bands):
        lower = bands[i - 1] if i else 0.0
        colour = BANDS[i] if len(bands) > 1 else BANDS[1]
        pieces.append(rect(left + lower * width, top, (upper - lower) * width, height, colour))
        pieces.append(_tick(left + upper * width, top + height, f"{100 * upper:g}"))
    pieces.append(_tick(left, top + height, "0"))
    if (target := block["target"]) is not None:
        x = left + target["value"] * width
        pieces.append(
            line(
                x,
                top - 6,
                x,
                top + height + 4,
                stroke="#d55e00",
                stroke_width=2.0,
                stroke_dasharray="4 2",
            )
        )
        pieces.append(
            label(x + 5, top - 8, f"> {100 * target['value']:g} %", fill="#b34700", font_size=11)
        )
    if block["other"] and block["other"]["value"] is not None:
        pieces.append(_marker(left + block["other"]["value"] * width, top, "#ffffff"))
    if block["value"] is not None:
        pieces.append(_marker(left + min(1.0, block["value"]) * width, top, INK))
    return picture(
        WIDTH, 118, say(block["title"], language), *_gauge_words(block, language), *pieces
    )


def _tick(x: float, y: float, words: str) -> Markup:
    return label(x, y + 14, words, font_size=10, fill=QUIET, text_anchor="middle")


def _marker(x: float, top: float, fill: str) -> Markup:
    points = f"{x:.1f},{top + 15:.1f} {x - 7:.1f},{top - 5:.1f} {x + 7:.1f},{top - 5:.1f}"
    return element("polygon", points=points, fill=fill, stroke=INK, stroke_width=1.5)


def _gauge_words(block: Chart, language: Language) -> list[Markup]:
    value = block["value"]
    figure = say(block["reason"], language) if value is None else f"{percent(value):.2f} %"
    fraction = (
        "" if value is None else f"{_short(block['numerator'])} / {_short(block['denominator'])}"
    )
    remarks = [fraction, block["grade"] or ""]
    if block["points"] is not None:
        remarks.append(
            say({"zh": f"{block['points']} 分", "en": f"{block['points']} points"}, language)
        )
    if block["provisional"]:
        remarks.append(say({"zh": "暂定", "en": "provisional"}, language))
    if block["other"] and block["other"]["value"] is not None:
        remarks.append(
            f"▽ {say(block['other']['name'], _short_language(language))} "
            f"{percent(block['other']['value']):.2f} %"
        )
    return [
        label(20, 18, say(block["title"], language), font_size=13, font_weight="bold", fill=INK),
        label(
            20, 42, figure, font_size=20 if value is not None else 13, font_weight="bold", fill=INK
        ),
        label(
            130,
            42,
            " · ".join(word for word in remarks if word) if value is not None else "",
            font_size=12,
            fill=QUIET,
        ),
    ]


def _short_language(language: Language) -> Language:
    """Where there is no room for both: Chinese."""
    return "zh" if language == "both" else language


def _short(value: Any) -> str:
    return (
        "—"
        if value is None
        else str(value)
        if isinstance(value, int)
        else f"{value:.4f}".rstrip("0").rstrip(".")
    )


def _grid(block: Chart, language: Language, zone: str) -> Markup:
    """A tile per machine, by line, in the colour of its evidence."""
    tile = 84.0
    gap = 6.0
    across = 8
    y = 34.0
    pieces = legend([(colour, grade) for grade, colour in _GRADES.items()])
    pieces.append(
        label(
            250,
            14,
            say({"zh": "粗框 = 有效联网", "en": "thick frame = effectively networked"}, language),
            font_size=11,
            fill=QUIET,
        )
    )
    lines: dict[str, list[Any]] = {}
    for each in block["tiles"]:
        lines.setdefault(each["line"], []).append(each)
    for name, tiles in lines.items():
        pieces.append(label(0, y + 12, name or "—", font_size=12, font_weight="bold", fill=INK))
        y += 18
        for i, each in enumerate(tiles):
            pieces.append(
                _tile(
                    (i % across) * (tile + gap),
                    y + (i // across) * (42 + gap),
                    tile,
                    each,
                    language,
                )
            )
        y += ceil(len(tiles) / across) * (42 + gap) + 6
    return picture(WIDTH, y, say(block["title"], language), *pieces)


def _tile(x: float, y: float, width: float, each: Chart, language: Language) -> Markup:
    grade = each["grade"]
    name = say(each["name"], _short_language(language))
    frame = (
        {"stroke": INK, "stroke_width": 2.5}
        if each["effective"]
        else {"stroke": "#b7c1ca", "stroke_width": 1.0}
    )
    ink = _GRADE_INK[grade]
    return join(
        rect(
            x + 1,
            y,
            width - 2,
            40,
            _GRADES[grade],
            element("title", f"{each['id']} {name}"),
            rx=3,
            **frame,
        ),
        label(x + 6, y + 15, f"{each['id']}", font_size=11, font_weight="bold", fill=ink),
        label(x + width - 8, y + 15, grade, font_size=10, fill=ink, text_anchor="end"),
        label(x + 6, y + 31, cut(name, width - 14, 10), font_size=10, fill=ink),
    )


def _hatch() -> Markup:
    stripe = element("path", d="M0,6 L6,0", stroke="#7c8a96", stroke_width=1.5)
    ground = rect(0, 0, 6, 6, "#f2f4f6")
    return element(
        "defs",
        element(
            "pattern", ground, stripe, id="hatch", width=6, height=6, patternUnits="userSpaceOnUse"
        ),
    )


def _buckets(block: Chart, language: Language, zone: str) -> Markup:
    """One bar per machine, as long as its planned time; what is not known is hatched."""
    bars = block["bars"]
    if not bars:
        return Markup("")
    present = [key for key in block["order"] if any(bar["seconds"][key] for bar in bars)]
    pieces = [
        _hatch(),
        *legend([(COLOURS[key], say(BUCKET_NAMES[key], language)) for key in present]),
    ]
    longest = max(sum(bar["seconds"].values()) for bar in bars) or 1
    y = 30.0
    left = 190.0
    room = WIDTH - 190.0 - 60
    for bar in bars:
        name = f"{bar['id']} {say(bar['name'], _short_language(language))}"
        pieces.append(label(0, y + 12, cut(name, left - 8, 11), font_size=11, fill=INK))
        x = left
        for key in present:
            width = room * bar["seconds"][key] / longest
            words = f"{say(BUCKET_NAMES[key], language)} {bar['seconds'][key] / 3600:.2f} h"
            pieces.append(rect(x, y, width, 15, COLOURS[key], element("title", words)))
            x += width
        share = bar["seconds"]["APT"] / (
            sum(bar["seconds"][k] for k in ("APT", "ASUT", "ADET", "unknown", "ADOT")) or 1
        )
        pieces.append(label(x + 6, y + 12, f"{100 * share:.0f} %", font_size=11, fill=QUIET))
        y += 20
    note = {
        "zh": f"条长 = 计划时间（最长 {longest / 3600:.2f} h）；数字 = APT / PBT",
        "en": f"length = planned time (longest {longest / 3600:.2f} h); figure = APT / PBT",
    }
    pieces.append(label(left, y + 14, say(note, language), font_size=10, fill=QUIET))
    return picture(WIDTH, y + 22, say(block["title"], language), *pieces)


def _pareto(block: Chart, language: Language, zone: str) -> Markup:
    """Losses from the largest on, with the running share."""
    losses = block["losses"]
    y = 8.0
    left = 230.0
    whole = sum(loss["seconds"] for loss in losses) or 1
    room = WIDTH - left - 190
    pieces = [_hatch()]
    running = 0.0
    for loss in losses:
        running += loss["seconds"]
        width = room * loss["seconds"] / (losses[0]["seconds"] or 1)
        colour = "url(#hatch)" if loss["name"] == LOSSES["unknown"] else "#d55e00"
        words = (
            f"{loss['seconds'] / 3600:.2f} h · {100 * (loss['share'] or 0):.1f} % PBT · Σ "
            f"{100 * running / whole:.0f} %"
        )
        pieces.append(
            label(
                0,
                y + 13,
                cut(say(loss["name"], _short_language(language)), left - 10, 11),
                font_size=11,
                fill=INK,
            )
        )
        pieces.append(rect(left, y, width, 17, colour, stroke="#b7c1ca", stroke_width=0.5))
        pieces.append(label(left + width + 6, y + 13, words, font_size=11, fill=QUIET))
        y += 23
    return picture(WIDTH, y, say(block["title"], language), *pieces)


_DRAWN: Final[Mapping[str, Callable[[Chart, Language, str], Markup]]] = {
    "gauge": _gauge,
    "grid": _grid,
    "buckets": _buckets,
    "pareto": _pareto,
    "load": load,
    "trend": trend,
    "stairs": stairs,
    "heat": heat,
    "before_after": before_after,
    "topology": lambda block, language, zone: topology(block),
}
