"""`edge-agent run CONFIG`: the agent itself."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "run",
        help="运行采集代理 / run the agent: read, keep, publish",
        description="读取配置中的所有设备，先落盘再经 MQTT 发布；SIGTERM 或 Ctrl-C 时先排空再退出，"
        "SIGHUP 时重读配置。"
        " Reads all devices of CONFIG, keeps every value on disk until it is acknowledged, "
        "publishes over MQTT."
        " Ends on SIGTERM or Ctrl-C after sending what it can; the rest waits for the next "
        "start. On SIGHUP it reads"
        " CONFIG again and applies what changed.",
    )
    command.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    command.add_argument(
        "--log",
        default="INFO",
        choices=["DEBUG", "INFO", "WARNING", "ERROR"],
        help="日志级别 / level",
    )
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Until a signal."""
    from edge_agent.app.service import Service, run_service
    from edge_agent.clock import Clock
    from edge_agent.config import load

    source = args.config.absolute()

    def build() -> Service:
        site = load(source)
        clock = Clock.from_environment()
        from edge_agent.app.agent.agent import EdgeAgent

        return EdgeAgent(site, clock, source=source)

    return run_service(build, args.log)
