"""The demo's picture in the terminal: a table of devices and the two rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

_STATE_ZH = {
    "Executing": ("加工中", "green"),
    "NotExecuting": ("待机", "yellow"),
    "OutOfService": ("故障停机", "red"),
    "NotAvailable": ("不可用", "bright_black"),
}
_CONNECTION_ZH = {
    "online": ("在线", "green"),
    "degraded": ("部分", "yellow"),
    "starting": ("启动", "cyan"),
    "offline": ("离线", "red"),
    "silent": ("无消息", "red"),
}

#: Columns of terminal from which the table has room for all that is said of a device, for names, and for states in both
#: languages.
_ALL: Final = 80
_NAMES: Final = 100
_BOTH: Final = 120

#: The figures the policy asks for come first; the others explain them.
HEADLINES = ("M-01-prorata", "M-04a-effective")
OTHERS = ("M-01-strict", "M-01-any", "M-02", "M-03", "M-04a-declared", "M-04b-effective", "M-04d", "M-05")


def picture(status: Mapping[str, Any], metrics: list[dict[str, Any]], counters: Mapping[str, Any]) -> RenderableType:
    """Everything the demo shows, newly drawn."""
    by_id = {metric["id"]: metric for metric in metrics}
    return Group(devices_table(status["devices"]), _rates(by_id), _footer(counters))


def devices_table(rows: list[dict[str, Any]]) -> RenderableType:
    """One row a device, coloured by how well it is; every column is seen in a terminal of 80 columns."""
    return _Devices(rows)


@dataclass(frozen=True)
class _Devices:
    rows: list[dict[str, Any]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table for the width there is: what tells most comes whole, device, name and quality share the rest."""
        if options.max_width < _ALL:
            yield self._narrow(options.max_width)
            return
        names, both = options.max_width >= _NAMES, options.max_width >= _BOTH
        state, connection = (21, 13) if both else (13, 10)
        free = options.max_width - (state + connection + 8 + 8 + 5) - (16 if names else 14)
        share = free * 3 // 10 if names else free // 2
        device, quality = (min(share, self._longest(key)) for key in ("id", "quality"))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("设备\ndevice", no_wrap=True, width=device)
        if names:
            table.add_column("名称\nname", no_wrap=True, width=min(free - device - quality, self._longest("name")))
        for heading, width in (("协议\nprotocol", 8), ("状态\nmachine state", state)):
            table.add_column(heading, no_wrap=True, width=width)
        for heading, width in (("值/秒\nvalues/s", 8), ("龄 秒\nage s", 5)):
            table.add_column(heading, justify="right", no_wrap=True, width=width)
        table.add_column("质量\nquality", no_wrap=True, width=quality)
        table.add_column("连接\nconnection", no_wrap=True, width=connection)
        for row in self.rows:
            table.add_row(*_cells(row, names=names, both=both))
        yield table

    def _narrow(self, width: int) -> Table:
        """Which device, how good, and whether it is there; names are folded, since a cut name names nobody."""
        quality = min(self._longest("quality"), max(7, width // 3))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("设备\ndevice", overflow="fold", width=min(self._longest("id"), max(7, width - quality - 14)))
        table.add_column("质量\nquality", overflow="fold", width=quality)
        table.add_column("连接\nconnection", no_wrap=True, width=10)
        for row in self.rows:
            *_, quality_cell, connection = _cells(row, names=False, both=False)
            table.add_row(row["id"], quality_cell, connection)
        return table

    def _longest(self, key: str) -> int:
        return max([7, *(cell_len(row[key]) for row in self.rows)])  # at least the heading


def _cells(row: dict[str, Any], *, names: bool, both: bool) -> list[RenderableType]:
    age, quality = row["last_good_age_s"], row["quality"]
    return [
        row["id"],
        *([row["name"]] if names else []),
        row["connector"],
        _word(row["state"], _STATE_ZH, both=both),
        f"{row['values_per_s']:.0f}",
        "-" if age is None else f"{age:.1f}",
        Text(quality, "green" if quality == "Good" else "yellow" if quality.startswith("Uncertain") else "red"),
        _word(row["connection"], _CONNECTION_ZH, both=both),
    ]


def _word(word: str | None, names: Mapping[str, tuple[str, str]], *, both: bool) -> Text:
    zh, colour = names.get(word or "", ("", ""))
    return Text((f"{zh} {word}" if both else word) if word else "-", colour)


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
