"""What `browse` prints for people: machines first, then a line for each node."""

from __future__ import annotations

import json
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge_agent.app.values.text import printable
from edge_agent.commissioning.browse import BrowseResult
from edge_agent.commissioning.terminal import SentencePrinter
from edge_agent.discovery import FoundMachine, FoundNode
from edge_agent.words import number_of

_NARROW: Final = 100
"""Below so many columns the address stands in a line of its own."""
_LONG: Final = 40
_LONGEST: Final = 320
"""Letters of a path or an address that are shown; servers may send names of any length."""


def show(screen: Console, result: BrowseResult) -> None:
    """Print it."""
    out = SentencePrinter(screen)
    for machine in result.browsed.machines:
        _show_machine(out, machine)
    if result.nodes:
        screen.print(_table(result, screen.width, out))
    _show_summary(out, result)


def _show_machine(out: SentencePrinter, machine: FoundMachine) -> None:
    facts = "  ".join(f"{name} {printable(text)}" for name, text in machine.facts.items())
    head = out.say("机床", "machine")
    out.line(f"{head}  {printable(machine.name)}  ({machine.standard})  {facts}", style="bold")
    if machine.profile:
        of = len(machine.fitted) + len(machine.absent)
        out.pair(
            f"设备模板 {machine.profile} 适用：{of} 个变量中有 {len(machine.fitted)} 个。",
            f"profile {machine.profile} fits: {len(machine.fitted)} of {of} tags are there.",
            indent=4,
            hang=0,
        )


def _table(result: BrowseResult, width: int, out: SentencePrinter) -> Table:
    narrow = width < _NARROW
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), expand=narrow
    )
    path = out.say("路径", "path")
    address = out.say("地址", "address")
    table.add_column(
        f"{path} / {address}" if narrow else path, overflow="fold", ratio=1 if narrow else None
    )
    table.add_column(out.say("类型", "type"), overflow="fold")
    table.add_column(out.say("值", "value"), justify="right", overflow="fold")
    table.add_column(out.say("量程", "range"), overflow="fold")
    if not narrow:
        table.add_column(address, overflow="fold")
    for node in result.nodes:
        name = Text(_name(node.path), style="" if node.is_variable else "bold")
        if narrow and node.is_variable:
            name.append(f"\n {_name(node.address)}", style="dim")
        cells = [name, Text(node.type), _value(node), Text(_range(node))]
        table.add_row(*cells, *([] if narrow else [Text(_name(node.address))]))
    return table


def _name(text: str) -> str:
    """A path or an address; of one that would fill the screen its beginning and its end."""
    shown = printable(text)
    return (
        shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST // 2]}…{shown[-_LONGEST // 2 :]}"
    )


def _value(node: FoundNode) -> Text:
    if not node.is_variable:
        return Text("")
    if node.value is None:
        return Text(
            "-" if node.status == "Good" else node.status,
            style="dim" if node.status == "Good" else "red",
        )
    value = (
        node.value
        if isinstance(node.value, str)
        else json.dumps(node.value, ensure_ascii=False, default=str)
    )
    text = printable(value)
    shown = text if len(text) <= _LONG else text[: _LONG - 1] + "…"
    return Text(f"{shown} {printable(node.unit)}".rstrip())


def _range(node: FoundNode) -> str:
    return "" if node.low is None or node.high is None else f"{node.low:g}..{node.high:g}"


def _show_summary(out: SentencePrinter, result: BrowseResult) -> None:
    variables = sum(node.is_variable for node in result.nodes)
    out.line(
        out.say(
            f"{len(result.nodes)} 个节点，其中 {variables} 个变量（共查看 {result.browsed.seen} "
            "个）。",
            f"{number_of(len(result.nodes), 'node')}, {number_of(variables, 'variable')} among them"
            f" ({result.browsed.seen} looked at).",
        )
    )
    if result.browsed.cut:
        out.pair(
            "还有更多：请给出起点 START，或加大 --limit。",
            "There are more: name a START, or raise --limit.",
        )
