"""`edge-agent status CONFIG`: is every device connected, what is it doing, what is missing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "status",
        help="查看设备与数据流状态 / how devices and data flow are doing",
        description="询问正在运行的入库服务与采集代理；有设备不在线时退出码为 1。"
        " Asks the running store service and agent of CONFIG; exit status 1 when a device is not online.",
    )
    command.add_argument("config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file")
    command.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print what the store service and the agent say."""
    from edge_agent.app.status import ask_agent, ask_serve
    from edge_agent.config import load

    site = load(args.config)
    agent, store = ask_agent(site), ask_serve(site)
    if args.json:
        print(json.dumps({"agent": agent, "serve": store}, ensure_ascii=False, indent=1))
    else:
        _show(agent, store)
    running = agent is not None or store is not None
    states = [row["connection"] for row in store["devices"]] if store else [row["state"] for row in _rows(agent)]
    return 0 if running and all(state == "online" for state in states) else 1


def _rows(agent: dict[str, Any] | None) -> list[dict[str, Any]]:
    return agent["devices"] if agent else []


def _show(agent: dict[str, Any] | None, store: dict[str, Any] | None) -> None:
    from rich.console import Console

    from edge_agent.app.demo_view import devices_table

    console = Console()
    if store is not None:
        console.print(devices_table(store["devices"]))
    else:
        console.print("入库服务未运行 / the store service does not run: edge-agent serve CONFIG")
    if agent is None:
        console.print("采集代理未运行 / the agent does not run: edge-agent run CONFIG")
        return
    connected = "已连接 connected" if agent["broker_connected"] else "未连接 not connected"
    console.print(f"代理 agent {agent['agent']}: 消息服务器 broker {connected}; {agent['counters']}", highlight=False)
    for row in _rows(agent):
        if row["state"] != "online":
            console.print(
                f"  {row['id']}: {row['state']} {row['reason']} {row['detail']}", highlight=False, markup=False
            )
