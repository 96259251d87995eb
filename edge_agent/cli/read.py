"""`edge-agent read CONFIG [DEVICE[/TAG] ...]`: the values now."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from edge_agent.app.values.reading import Reading


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "read",
        help="查看当前值 / the values now: unit, quality, age, raw registers",
        description="显示变量的当前值。采集代理在运行时向它询问，不会对设备另开连接；否则直接读一次设备，"
        "不需要 MQTT 代理、入库服务及其密码。有值读不到时退出码为 1。"
        " Shows the values of tags now. While the agent runs it is asked, and no second "
        "connection to a device is"
        " opened; otherwise the devices are read once, without broker, store or their secrets."
        " Exit status 1 when a value cannot be read.",
    )
    command.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    command.add_argument(
        "names",
        nargs="*",
        metavar="DEVICE[/TAG]",
        help="设备或变量，可用 * ?，默认全部 / devices or tags, * and ? allowed; all by default",
    )
    command.add_argument(
        "--watch",
        action="store_true",
        help="每秒刷新，Ctrl-C 结束 / again each second, until Ctrl-C",
    )
    command.add_argument(
        "--raw",
        action="store_true",
        help="显示原始值和地址 / also the raw values and the addresses",
    )
    command.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the values; with `--watch` until a signal."""
    from edge_agent.app.values.current import well
    from edge_agent.app.values.reading import Reading

    # what connectors log is in the reasons below the table
    logging.getLogger().addHandler(logging.NullHandler())
    reading = Reading(args.config, args.names, raw=args.raw)
    if args.watch:
        return _watch(reading, raw=args.raw, as_json=args.json)
    with _progress():
        document = reading.now()
    if args.json:
        from edge_agent.cli.read_view import sentences

        print(json.dumps(_public(document, reading), ensure_ascii=False, indent=1))
        for line in sentences(document):
            print(line, file=sys.stderr)
    else:
        from edge_agent.cli.read_view import console, show

        screen = console()
        show(screen, document, raw=args.raw)
    return 0 if well(document) else 1


@contextlib.contextmanager
def _progress() -> Iterator[None]:
    """A sign of life on a terminal: a device that is away takes its time."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status("读取中 / reading"):
        yield


def _public(document: dict[str, Any], reading: Reading) -> dict[str, Any]:
    """The document of the contract: `{"values": [...]}`, times in ISO 8601."""
    from edge_agent.app.values.text import iso

    zone = ZoneInfo(reading.site.agent.timezone)
    rows = []
    for row in document["values"]:
        public = {key: value for key, value in row.items() if key not in ("label", "why")}
        rows.append(public | {"t": None if row["t"] is None else iso(row["t"], zone)})
    return {"values": rows}


def _watch(reading: Reading, *, raw: bool, as_json: bool) -> int:
    """Until SIGINT or SIGTERM, both an orderly end: connections closed, the terminal as it was."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    show = _lines(reading) if as_json else _screen(reading, raw=raw)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(show)
    return 0


async def _lines(reading: Reading) -> None:
    async with contextlib.aclosing(reading.looks()) as looks:
        async for document in looks:
            print(json.dumps(_public(document, reading), ensure_ascii=False), flush=True)


async def _screen(reading: Reading, *, raw: bool) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from edge_agent.app.status.terminal import cut
    from edge_agent.app.values.text import iso
    from edge_agent.cli.read_view import console, view

    terminal = console()
    zone = ZoneInfo(reading.site.agent.timezone)
    with Live(console=terminal, screen=terminal.is_terminal, auto_refresh=False) as live:
        async with contextlib.aclosing(reading.looks()) as looks:
            async for document in looks:
                now = iso(reading.now_ns() // 1_000_000_000 * 1_000_000_000, zone)[11:19]
                head = Text(
                    cut(f"{document['agent']}  {now}  Ctrl-C 结束 / ends", terminal.width),
                    style="dim",
                )
                height = terminal.height - 1 if terminal.is_terminal else None
                shown = view(document, raw=raw, width=terminal.width, height=height)
                live.update(Group(head, shown), refresh=True)
