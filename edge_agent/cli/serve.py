"""`edge-agent serve CONFIG`: ingest, store, metrics."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "serve",
        help="运行入库与指标服务 / run the store service: ingest, store, metrics",
        description="从 MQTT 接收数据，写入时序库后才确认；定时计算指标并回写、发布；"
        "其他命令通过本机套接字向它查询。"
        " Takes data from MQTT, acknowledges after the store has it, computes the metrics on "
        "schedule,"
        " and answers other commands on a local socket.",
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
    from edge_agent.app.serve import StoreService
    from edge_agent.app.service import run_service
    from edge_agent.clock import Clock
    from edge_agent.config import load
    from edge_agent.process import configure_heap

    # the store writes files of its own making beside it, in a folder that others may enter
    os.umask(0o077)
    configure_heap()
    return run_service(lambda: StoreService(load(args.config), Clock.from_environment()), args.log)
