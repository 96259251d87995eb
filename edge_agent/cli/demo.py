"""`edge-agent demo`: the main job on embedded defaults."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from edge_agent.cli.numbers import positive


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "demo",
        help="运行演示 / run the main job on embedded defaults",
        description="启动消息服务器、两条模拟产线（机加工 ML1、打磨 PL1）、采集代理与入库服务，"
        "显示设备表与两项政策指标；Ctrl-C 结束。"
        " Starts a broker, two simulated lines, the agent and the store service, and shows the "
        "devices and the two"
        " policy rates; Ctrl-C ends it and leaves no process.",
    )
    command.add_argument(
        "--for",
        dest="seconds",
        type=positive,
        metavar="S",
        help="运行 S 秒后结束 / end after S seconds",
    )
    command.add_argument(
        "--json",
        action="store_true",
        help="结束时在标准输出打印一个 JSON 文档 / print one JSON document",
    )
    command.add_argument(
        "--speed",
        type=positive,
        default=1.0,
        metavar="N",
        help="时间加速倍数 / run N times as fast",
    )
    command.add_argument(
        "--data", type=Path, metavar="DIR", help="数据目录 / where the data goes (data/demo/<time>)"
    )
    command.add_argument(
        "--wide",
        action="store_true",
        help="完整显示，不按终端裁剪 / print everything whole, whatever the terminal",
    )
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Until the time is over, or Ctrl-C."""
    import asyncio

    from edge_agent.app import logs
    from edge_agent.app.demo.run import present

    logs.configure("WARNING")
    folder = args.data or Path("data") / "demo" / time.strftime("%Y-%m-%dT%H-%M-%S")
    return asyncio.run(
        present(folder.absolute(), args.speed, args.seconds, as_json=args.json, whole=args.wide)
    )
