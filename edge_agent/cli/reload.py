"""`edge-agent reload CONFIG`: the running agent reads its configuration again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_agent.words import command, number_of


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "reload",
        help="让正在运行的代理重读配置 / have the running agent read its configuration again",
        description="只改动有变化的设备，其余设备不漏采，不正常的立即重试；配置有误时列出全部问题，"
        "旧配置继续运行（退出码 2）。"
        " Touches only the devices that changed, the others miss no poll, and what is not well "
        "is tried again at once."
        " A faulty file is refused with all its findings (status 2), and the old one stays in "
        "use. Status 1 when no"
        " agent runs.",
    )
    command.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    command.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Ask the agent. Raises FindingsError with what it, or the file, says."""
    import json

    from edge_agent.app.status.ask import agent_socket_of
    from edge_agent.config import load
    from edge_agent.control.client import ask

    source = args.config.absolute()
    door = agent_socket_of(source)
    try:
        if door is None:
            raise ConnectionError
        outcome: dict[str, Any] = ask(door, "reload", config=str(source))
    except ConnectionError:
        # whoever starts the agent next wants to know what is wrong with it
        load(source, secrets=False)
        print(
            "采集代理未运行，配置没有问题 / no agent runs here; the configuration is fine: "
            f"{command('run', 'CONFIG')}"
        )
        return 1
    print(json.dumps(outcome, ensure_ascii=False) if args.json else _sentence(outcome))
    return 0


def _sentence(outcome: dict[str, Any]) -> str:
    words = (("新增 added", "added"), ("更改 changed", "changed"), ("移除 removed", "removed"))
    lines = [f"{name}: {', '.join(outcome[key])}" for name, key in words if outcome[key]]
    lines.append(
        f"未触及 untouched: {outcome['unchanged']} 台设备 / "
        f"{number_of(outcome['unchanged'], 'device')}"
    )
    if outcome["reopened"]:
        lines.append(f"重建的连接 connections made anew: {', '.join(outcome['reopened'])}")
    if outcome.get("confirmed"):
        lines.append(
            "已确认为所配置的设备 accepted as the configured devices: "
            f"{', '.join(outcome['confirmed'])}"
        )
    if outcome.get("retried"):
        lines.append(
            f"立即重试的连接 connections tried again at once: {', '.join(outcome['retried'])}"
        )
    if outcome["restart"]:
        lines.append(
            f"重启 {command('run')} 后生效 effective after its restart: "
            f"{', '.join(outcome['restart'])}"
        )
    if outcome["restart_serve"]:
        sections = ", ".join(outcome["restart_serve"])
        lines.append(f"重启 {command('serve')} 后生效 effective after its restart: {sections}")
    return "\n".join(lines)
