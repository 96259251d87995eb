"""`edge-agent doctor CONFIG [DEVICE ...]`: the whole way of the values, and what to do first."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.commissioning.doctor.diagnosis import Diagnosis


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "doctor",
        help="查整条链路，先做哪件事 / the whole way of the values, and what to do first",
        description="从配置文件到数据库逐段检查，指出先做哪一件事，并列出可疑的值。"
        "采集代理在运行时由它回答，不另开设备连接。"
        " Walks the way from the file to the store, names what to do first, and lists values "
        "that look wrong. A running"
        " agent is asked, and no device is opened beside it. Exit status 1 when something is at "
        "fault.",
    )
    command.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    command.add_argument(
        "names", nargs="*", metavar="DEVICE", help="设备，默认全部 / devices, all by default"
    )
    command.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the findings, the first thing to do at the end. Exit status 1 with a fault."""
    from edge_agent.commissioning.doctor.chain import examine
    from edge_agent.commissioning.doctor.diagnosis import document, first_fault
    from edge_agent.commissioning.terminal import finish, progress

    logging.getLogger().addHandler(logging.NullHandler())
    with progress("检查中", "looking") as step:
        found = finish(examine(args.config, args.names, step))
    if args.json:
        print(json.dumps(document(found), ensure_ascii=False, indent=1))
    else:
        _show(found)
    return 0 if first_fault(found) is None else 1


_SIGNS = {"ok": "✓", "note": "•", "fault": "✗"}
_STYLES = {"ok": "green", "note": "yellow", "fault": "red"}


def _show(found: Sequence[Diagnosis]) -> None:
    from rich.text import Text

    from edge_agent.app.values.text import printable
    from edge_agent.commissioning.doctor.diagnosis import first_fault
    from edge_agent.commissioning.terminal import printer

    screen = printer()
    for one in found:
        lead = Text.assemble(
            (f"{_SIGNS[one.level]} ", _STYLES[one.level]), (printable(one.where), "bold"), "  "
        )
        screen.pair(one.what_zh, one.what_en, lead=lead)
        if one.next_zh and one.level != "ok":
            screen.pair(one.next_zh, one.next_en, lead="→ ", indent=4, hang=2, style="dim")
    first = first_fault(found)
    screen.line("")
    if first is None:
        screen.line(screen.say("链路通畅。", "The way is clear."), style="green")
    else:
        title = screen.say("先做这件事", "do this first", " / ")
        screen.line(f"{title}: {printable(first.where)}", hang=2, style="bold")
        screen.pair(
            f"{first.what_zh}{first.next_zh}",
            f"{first.what_en} {first.next_en}",
            indent=2,
            hang=0,
            style="bold",
        )
