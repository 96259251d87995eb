"""The devices as a table for a terminal, however wide it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
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
