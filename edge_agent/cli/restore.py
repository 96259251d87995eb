"""`edge-agent restore F --into DIR`: the plant of a backup in an empty folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.words import command, number_of

if TYPE_CHECKING:
    from edge_agent.backup.restore import Restored
    from edge_agent.commissioning.terminal import SentencePrinter


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "restore",
        help="从备份文件恢复工厂 / put a plant up again from a backup",
        description="核对备份的每个字节，然后恢复到一个空目录；数据库得到新的标识，发件箱开始新的数据流。"
        " Checks every byte of a backup and puts the plant up in an empty folder; the store gets a "
        "new id and the outbox begins new streams.",
    )
    parser.add_argument("backup", type=Path, metavar="F", help="备份文件 / the backup")
    parser.add_argument(
        "--into", type=Path, required=True, metavar="DIR", help="空目录 / an empty folder"
    )
    parser.add_argument("--json", action="store_true", help="JSON 输出 / as JSON")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0: restored; 1: restored, and something has to be put right."""
    from dataclasses import asdict

    import orjson

    from edge_agent.backup.restore import restore
    from edge_agent.cli.backup import in_megabytes
    from edge_agent.commissioning.terminal import printer, progress

    with progress("正在恢复", "restoring") as shown:
        found = restore(args.backup, args.into, in_megabytes(shown))
    if args.json:
        print(orjson.dumps(asdict(found)).decode())
    else:
        _print(printer(), found)
    return 1 if found.findings else 0


def _print(screen: SentencePrinter, found: Restored) -> None:
    screen.pair(
        f"已恢复 {found.made} 的备份：{found.files} 个文件，配置文件是 {found.config}。",
        f"The backup of {found.made} is restored: {number_of(found.files, 'file')}; the plant file "
        f"is {found.config}.",
    )
    for finding in found.findings:
        screen.finding(finding)
    screen.pair("下一步：", "Next:")
    for number, (zh, en) in enumerate(_next(found), 1):
        screen.pair(zh, en, lead=f"{number}. ", indent=2)


def _next(found: Restored) -> list[tuple[str, str]]:
    """What to do, in order."""
    steps = [
        (
            "确认原来的机器已停止：两台机器不能以同一个 agent.id 连接同一个消息服务器。",
            "See that the former machine is stopped: two machines must not connect to one broker "
            "with the same agent.id.",
        )
    ]
    if found.environment:
        names = ", ".join(found.environment)
        steps.append(
            (f"设置这些环境变量（密码）：{names}。", f"Set these variables (passwords): {names}.")
        )
    if found.keys:
        steps.append(
            (
                f"把证书与密钥目录 {found.keys} 复制到采集代理的状态目录中，名为 pki"
                "（单元文件：StateDirectory=，否则 ~/.local/state/edge-agent）。",
                f"Copy the folder of certificates and keys {found.keys} into the state folder of "
                "the agent, as pki (StateDirectory= of the unit, else ~/.local/state/edge-agent).",
            )
        )
    if found.store != "duckdb":
        steps.append(
            (
                f"用 {found.store} 自己的工具恢复它的数据，并核对 store 一节的键。",
                f"Restore the data of {found.store} with its own tool, and check the keys of "
                "store.",
            )
        )
    look, serve, run = (command(word, found.config) for word in ("check", "serve", "run"))
    steps += [
        (
            f"运行 {look}；消息服务器、设备、串口的地址如有变化，先改好。",
            f"Run `{look}`; where addresses of broker, devices or serial ports are others now, "
            "correct them first.",
        ),
        (f"启动 {serve}，再启动 {run}。", f"Start `{serve}`, then `{run}`."),
    ]
    return steps
