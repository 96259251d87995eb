"""The two rates of the policy with what they rest on, and the other figures, as lines for a
terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

from rich.cells import cell_len
from rich.text import Text

from edge_agent.app.status.terminal import Terminal, padded, wrapped
from edge_agent.metrics import bands
from edge_agent.metrics.remarks import beyond_range
from edge_agent.words import command, verb

Figure = Mapping[str, Any]

#: The figures the policy asks for come first; the others explain them.
HEADLINES: Final = ("M-01-prorata", "M-04a-effective")
#: What is counted: Chinese, English for one, English for several.
_COUNTED: Final = {
    "M-01-prorata": ("道关键工序", "key process", "key processes"),
    "M-04a-effective": ("台生产设备", "machine", "machines"),
}
#: Columns that are enough to say beside a figure what it rests on.
_ROOM: Final = 24
_BANDED: Final = ("M-03", "M-04a-declared", "M-04a-effective")


def figure(metric: Figure) -> str | None:
    """A figure as it is printed; None where there is none, or where it does not mean anything
    yet."""
    if metric["value"] is None or metric.get("effective_after"):
        return None
    if metric.get("value_pct") is not None:
        return f"{metric['value_pct']:.2f} %"
    return (
        f"{100 * metric['value']:.2f} %"
        if metric.get("unit", "1") == "1"
        else f"{metric['value']:g}"
    )


def judgement(metric: Figure) -> tuple[str, str] | None:
    """Whether a target is met, exactly as the figure's document says it; None without a target or a
    value.

    What is not judged (a target that speaks of the local market) is not failed, and is said to be
    not judged.
    """
    target = metric.get("target")
    if not target or figure(metric) is None:
        return None
    share = f"> {100 * target['above']:g} %"
    if target["met"] is None:
        return f"目标 {share}：不判定", f"target {share}: not judged"
    return (
        f"目标 {share}：{'达到' if target['met'] else '未达到'}",
        f"target {share}: {'met' if target['met'] else 'not met'}",
    )


def score(metric: Figure) -> tuple[str, str] | None:
    """The band and the points of the questionnaire, of the rates it scores."""
    if metric["id"] not in _BANDED or figure(metric) is None:
        return None
    rate = Fraction(metric["numerator"], metric["denominator"])
    points = float(bands.points(rate))
    return (
        f"{bands.NAME} {bands.band(rate)} %：{points:g} 分",
        f"{bands.NAME} {bands.band(rate)} %: {points:g} points",
    )


def why_none(metric: Figure) -> tuple[str, str]:
    """What is said where there is no figure."""
    said = (
        metric.get("effective_after")
        or metric.get("reason")
        or {"zh": "没有数值", "en": "no value"}
    )
    return said["zh"], said["en"]


def basis(metric: Figure) -> tuple[str, str]:
    """What a figure rests on: fraction, judgement, points, grade."""
    parts_zh = []
    parts_en = []
    zh, one, several = _COUNTED.get(metric["id"], ("", "", ""))
    en = verb(metric["denominator"], one, several)
    top = short(metric["numerator"])
    bottom = short(metric["denominator"])
    parts_zh.append(f"{top} / {bottom} {zh}".strip())
    parts_en.append(f"{top} of {bottom} {en}".strip())
    for told in (judgement(metric), score(metric)):
        if told is not None:
            parts_zh.append(told[0])
            parts_en.append(told[1])
    if metric.get("grade"):
        parts_zh.append(f"证据 {metric['grade']}")
        parts_en.append(f"evidence {metric['grade']}")
    for note in _beside(metric):
        parts_zh.append(note[0])
        parts_en.append(note[1])
    return " · ".join(parts_zh), " · ".join(parts_en)


def short(value: float | None) -> str:
    """A number with no more digits than it has."""
    if value is None:
        return "—"
    return str(value) if isinstance(value, int) else f"{value:.4f}".rstrip("0").rstrip(".")


def no_rates(*, register: bool, serving: bool) -> tuple[str, str]:
    """Why there are no rates at all, and the next step: Chinese, English. `register`: whether one
    is configured."""
    if not register:
        make = command("register", "template")
        return (
            f"两项政策指标不计算：配置中没有设备台账（register.equipment）。制作台账：{make}",
            "The two policy rates are not computed: the configuration names no equipment register"
            f" (register.equipment). Make one: {make}",
        )
    if not serving:
        return (
            "两项政策指标：入库服务未运行，没有结果。",
            "The two policy rates: the store service does not run, so there is no result.",
        )
    return (
        "两项政策指标尚未计算：入库服务启动几秒后得出第一次结果，之后每分钟更新。",
        "The two policy rates are not computed yet: the first result comes seconds after the "
        "store service has"
        " started, then one a minute.",
    )


def headlines(
    metrics: Iterable[Figure], terminal: Terminal, none: tuple[str, str] | None = None
) -> list[Text]:
    """The two rates, whatever the width: nothing of them is cut. `none`: what is said where there
    are none."""
    by_id = {metric["id"]: metric for metric in metrics}
    chosen = [by_id[key] for key in HEADLINES if key in by_id]
    if not chosen:
        return terminal.lines(*(none or no_rates(register=True, serving=True)))
    names = [terminal.say(metric["name_zh"], metric["name_en"]) for metric in chosen]
    width = max(map(cell_len, names))
    found = []
    for name, metric in zip(names, chosen, strict=True):
        found += _headline(padded(name, width), metric, terminal)
    return found


def _headline(name: str, metric: Figure, terminal: Terminal) -> list[Text]:
    shown = figure(metric)
    zh, en = why_none(metric) if shown is None else basis(metric)
    line = Text(f"{name}  ", "bold")
    line.append(f"{shown or '—':>9}", "bold")
    room = terminal.width - line.cell_len - 2
    beside = terminal.say(zh, en, " / ")
    if cell_len(beside) <= room:
        line.append(f"  {beside}")
        return [line]
    return [line, *terminal.lines(zh, en, indent=4)]


def others(metrics: Iterable[Figure], terminal: Terminal) -> list[list[Text]]:
    """Every other figure: of each the lines it takes, the first with its id, name and value."""
    rest = [metric for metric in metrics if metric["id"] not in HEADLINES]
    names = {metric["id"]: terminal.say(metric["name_zh"], metric["name_en"]) for metric in rest}
    columns = [
        max((cell_len(key) for key in names), default=0),
        max(map(cell_len, names.values()), default=0),
    ]
    return [_other(metric, names[metric["id"]], columns, terminal) for metric in rest]


def _other(metric: Figure, name: str, columns: list[int], terminal: Terminal) -> list[Text]:
    """On one line in columns where there is room; else id and value, and beside them all the rest
    as it fits."""
    shown = figure(metric)
    key = padded(metric["id"], columns[0])
    value = f"{shown or '—':>9}"
    said = _said(metric, shown)
    zh = " · ".join(each[0] for each in said)
    en = " · ".join(each[1] for each in said)
    line = Text(f"{key}  {padded(name, columns[1])}  {value}")
    beside = terminal.say(zh, en, " / ") if zh != en else zh
    room = terminal.width - line.cell_len - 2
    if room >= min(_ROOM, cell_len(beside)):
        pieces = wrapped(beside, room)
        hanging = " " * (line.cell_len + 2)
        return [
            Text(f"{line.plain}  {pieces[0]}"),
            *(Text(hanging + piece) for piece in pieces[1:]),
        ]
    indent = len(key) + len(value) + 4
    first, *rest = terminal.lines(
        f"{metric['name_zh']} · {zh}", f"{metric['name_en']} · {en}", indent
    )
    return [Text(f"{key}  {value}  {first.plain.lstrip()}"), *rest]


def _said(metric: Figure, shown: str | None) -> list[tuple[str, str]]:
    """What stands beside a figure, in order: fraction and grade, judgement, points."""
    if shown is None:
        return [why_none(metric)]
    plain = [f"{short(metric['numerator'])}/{short(metric['denominator'])}", metric["grade"] or ""]
    said = [(word, word) for word in plain if word]
    said += [each for each in (judgement(metric), score(metric)) if each is not None]
    return [*said, *_beside(metric)]


def _beside(metric: Figure) -> list[tuple[str, str]]:
    """What must be said in the same line: provisional, or outside the possible range."""
    found = [("暂定", "provisional")] if metric.get("provisional") else []
    note = beyond_range(metric)
    return found if note is None else [*found, (note.zh, note.en)]
