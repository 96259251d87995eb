"""The demo as its user sees it: a live table in a terminal, plain lines without one, JSON when
asked."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import orjson
from rich.console import Console, RenderableType
from rich.live import Live

from edge_agent.app.demo.plant import Demo, Snapshot
from edge_agent.app.demo.view import picture
from edge_agent.app.status.terminal import Terminal
from edge_agent.words import command

REFRESH_S = 1.0


async def present(
    folder: Path, speed: float, seconds: float | None, *, as_json: bool, whole: bool = False
) -> int:
    """Run the demo for `seconds`, or until a signal; the exit status. `whole`: nothing is left out
    for the terminal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    console = Console(stderr=as_json, highlight=False)
    async with Demo(folder, speed).running(
        lambda line: console.print(line, soft_wrap=True)
    ) as demo:
        if seconds is not None:
            loop.call_later(seconds, stop.set)
        started = await _watch(demo, stop, console, whole=whole)
        console.print("正在结束：先排空采集代理 / ending: the agent sends what it holds …")
        final = await demo.drain()
    if final is None and not started:
        console.print("在第一批数据之前就结束了 / ended before the first figures")
        return 1 if as_json else 0
    return _print_summary(final, demo, console, as_json=as_json)


async def _watch(demo: Demo, stop: asyncio.Event, console: Console, *, whole: bool) -> bool:
    """Show the running demo until `stop` (without a terminal only watch); whether all parts ever
    answered."""
    started = False
    console.print(f"数据目录 / data: {demo.folder}", soft_wrap=True)
    console.print(f"查看 / look: {command('status', demo.config)}", soft_wrap=True)
    live = Live(
        console=console,
        auto_refresh=False,
        transient=False,
        vertical_overflow="visible" if whole else "crop",
    )
    with live:
        while not stop.is_set():
            demo.check()
            snapshot = await demo.snapshot()
            started = started or snapshot is not None
            if snapshot is not None and console.is_terminal:
                live.update(
                    _picture(snapshot, demo, Terminal.of(console, whole=whole)), refresh=True
                )
            try:
                await asyncio.wait_for(stop.wait(), REFRESH_S)
            except TimeoutError:
                continue
    return started


def _picture(snapshot: Snapshot, demo: Demo, terminal: Terminal) -> RenderableType:
    shown = snapshot.as_running()
    return picture(shown.status, shown.agent, shown.metrics, demo.config, demo.timezone, terminal)


def _print_summary(final: Snapshot | None, demo: Demo, console: Console, *, as_json: bool) -> int:
    folder = demo.folder
    if final is None:
        console.print(
            f"采集或入库服务没有应答，日志在 {folder} / a part did not answer; logs are in {folder}"
        )
        return 1
    document = final.document()
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        return 0
    if not console.is_terminal:
        console.print(_picture(final, demo, Terminal.of(console)), soft_wrap=True)
    console.print(f"数据保留在 / the data stays in {folder}", soft_wrap=True)
    console.print(f"  指标 / metrics: {command('metrics', 'show', demo.config)}", soft_wrap=True)
    return 0
