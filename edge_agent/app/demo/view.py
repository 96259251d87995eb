"""The demo's picture in the terminal: a table of devices and the two rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from edge_agent.app.status.devices_table import devices_table

#: The figures the policy asks for come first; the others explain them.
HEADLINES = ("M-01-prorata", "M-04a-effective")
OTHERS = ("M-01-strict", "M-01-any", "M-02", "M-03", "M-04a-declared", "M-04b-effective", "M-04d", "M-05")


def picture(status: Mapping[str, Any], metrics: list[dict[str, Any]], counters: Mapping[str, Any]) -> RenderableType:
    """Everything the demo shows, newly drawn."""
    by_id = {metric["id"]: metric for metric in metrics}
    return Group(devices_table(status["devices"]), _rates(by_id), _footer(counters))


def _rates(metrics: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    lines = Text()
    for key in HEADLINES:
        if key in metrics:
            lines.append_text(_rate(metrics[key], "bold"))
    for key in OTHERS:
        if key in metrics:
            lines.append_text(_rate(metrics[key], ""))
    if not lines:
        lines.append("指标正在计算 / the metrics are being computed …")
    lines.rstrip()
    return Panel(lines, title="智能化改造指标 / intelligent-upgrade metrics", title_align="left", expand=False)


def _rate(metric: Mapping[str, Any], style: str) -> Text:
    value = metric["value"]
    figure = "    –  " if value is None else f"{100 * value:6.2f} %"
    fraction = "" if value is None else f"  {_short(metric['numerator'])} / {_short(metric['denominator'])}"
    provisional = "  （暂定 provisional）" if metric.get("provisional") else ""
    return Text(f"{figure}  {metric['name_zh']} / {metric['name_en']}{fraction}{provisional}\n", style)


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".") if isinstance(number, float) else str(number)


def _footer(counters: Mapping[str, Any]) -> Text:
    words = (
        ("读取 read", "read"), ("入队 enqueued", "enqueued"), ("发布 published", "published"),
        ("确认 acknowledged", "acknowledged"), ("入库 stored", "stored"), ("丢弃 dropped", "dropped"),
    )  # fmt: skip
    return Text("  ".join(f"{name} {counters.get(key, 0):,}" for name, key in words), "bright_black")
