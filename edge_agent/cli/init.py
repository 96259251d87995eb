"""`edge-agent init [FILE]`: a first plant file, from options and, on a terminal, from answers."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.words import command as typed

if TYPE_CHECKING:
    from edge_agent.commissioning.first_file import Choices

_OPTIONS = (
    ("agent", "采集器名称 / name of this agent"),
    ("enterprise", "企业 / enterprise"),
    ("site", "厂区 / site"),
    ("area", "车间 / area"),
    ("timezone", "时区 / time zone"),
    ("mqtt", "消息服务器 / broker, mqtt://host:port"),
    ("store", "duckdb influxdb influxdb1 line none"),
    ("store-url", "时序库地址 / where a store listens"),
    ("device", "第一台设备的 id / id of a first device"),
    ("name", "它的名称 / its name"),
    ("line", "产线 / its line"),
    ("profile", "模板 / its profile"),
    ("url", "它的地址 / where it is"),
    ("unit", "站号 / its unit number"),
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "init",
        help="写出第一份配置文件 / write a first plant file",
        description="每个键都有中英文说明，结果可以通过 check。在终端上没有给出的选项会逐个提问，"
        "回车取默认值。"
        " Every key has its comment in both languages, and the result passes check. On a "
        "terminal what no option says"
        " is asked for; Enter takes the default.",
    )
    command.add_argument(
        "file", type=Path, nargs="?", default=Path("plant.yaml"), metavar="FILE", help="plant.yaml"
    )
    for name, text in _OPTIONS:
        command.add_argument(f"--{name}", metavar=name.upper(), help=text)
    command.add_argument("--yes", action="store_true", help="不提问 / ask nothing")
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Write the file. Raises ConfigError for choices that `check` refuses, and then writes
    nothing."""
    from edge_agent.commissioning.file_changes import write_new
    from edge_agent.commissioning.first_file import check, text_of
    from edge_agent.commissioning.terminal import printer

    chosen = _chosen(args)
    text = text_of(chosen)
    check(text, args.file)
    write_new(args.file, text.encode())
    screen = printer()
    screen.pair(f"已写入 {args.file}，已通过检查。", f"wrote {args.file}; it passes the check.")
    if not chosen.device:
        screen.pair(
            f"还没有设备：scan、browse、probe、tags import 加 --into {args.file} 即可写入，"
            "或编辑文件。",
            "There is no device yet: scan, browse, probe and tags import write them with --into "
            f"{args.file};"
            " or edit the file.",
        )
    screen.line(f"{screen.say('下一步', 'next')}: {typed('check', args.file)}")
    return 0


def _chosen(args: argparse.Namespace) -> Choices:
    from edge_agent.commissioning.first_file import STORES, Choices, questions
    from edge_agent.config.profiles import available
    from edge_agent.errors import FindingsError

    given = {name.replace("-", "_"): getattr(args, name.replace("-", "_")) for name, _ in _OPTIONS}
    answers = {key: value for key, value in given.items() if value is not None}
    if not args.yes and sys.stdin.isatty():
        answers |= _asked(questions(sorted(available())), answers)
    if answers.get("store", "duckdb") not in STORES:
        raise FindingsError.one(
            "unknown-value",
            f"store 应为 {'、'.join(STORES)}。",
            f"store must be one of: {', '.join(STORES)}.",
        )
    unit = str(answers.pop("unit", "") or "1")
    if not unit.isdecimal():
        raise FindingsError.one(
            "wrong-type", "站号应为整数。", "the unit number must be a whole number."
        )
    for needed in ("profile", "url") if answers.get("device") else ():
        if not answers.get(needed):
            raise FindingsError.one(
                "missing-key",
                f"有了设备还要 --{needed}；没有模板的设备请先不写，用 tags import 或 browse 加入。",
                f"a device needs --{needed} as well; leave out one without a profile, and add it "
                "with tags import or "
                "browse.",
            )
    return replace(Choices(), unit=int(unit), **answers)


def _asked(questions: list[tuple[str, str, str]], given: dict[str, str]) -> dict[str, str]:
    """The answers on a terminal, to what no option says; about a device only when one is named."""
    from edge_agent.commissioning.first_file import Choices
    from edge_agent.commissioning.terminal import printer

    screen = printer()
    answers: dict[str, str] = {}
    defaults = Choices()
    of_device = False
    for name, zh, en in questions:
        if name in given:
            of_device = of_device or (name == "device" and bool(given[name]))
            continue
        if name in ("name", "profile", "url", "unit") and not of_device:
            continue
        default = str(getattr(defaults, name))
        screen.pair(zh, en, hang=0)
        try:
            answer = input(f"[{default}] " if default else "> ").strip()
        except EOFError:  # Ctrl-D: the rest as it is by default
            print()
            break
        answers[name] = answer or default
        of_device = of_device or (name == "device" and bool(answer))
    return answers
