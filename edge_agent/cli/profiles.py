"""`edge-agent profiles [NAME]`: the device profiles that can be named in a configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_agent.cli.columns import table
from edge_agent.errors import ConfigError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "profiles",
        help="列出或显示设备模板 / list or show device profiles",
        description="列出可用的设备模板（profile）；给出名称则显示其全文和来源。"
        " Lists the device profiles; with a name shows that one in full, with its source.",
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="设备模板名称 / name of a profile")
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the list, or one profile as it is written. Folder `profiles` of the working directory
    counts too."""
    from edge_agent.config.findings import advice
    from edge_agent.config.profiles import FOLDER, available

    known = available(Path(FOLDER))
    if args.name is None:
        print(table(("名称 NAME", "连接器 CONNECTOR", "变量 TAGS", "设备 DEVICE"), _rows(known)))
    elif args.name in known:
        print(f"# {known[args.name]}\n{known[args.name].read_text(encoding='utf-8')}", end="")
    else:
        zh, en = advice(args.name, known)
        raise ConfigError.one(
            "unknown-profile",
            f"没有设备模板 {args.name!r}；{zh}",
            f"no profile {args.name!r}; {en}",
        )
    return 0


def _rows(known: dict[str, Path]) -> list[tuple[str, ...]]:
    from edge_agent.config.findings import Findings
    from edge_agent.config.profiles import Profiles

    rows: list[tuple[str, ...]] = []
    for name, path in sorted(known.items()):
        found = Findings(path)
        profile = Profiles(found).read(path)
        found.check()
        if profile is not None:
            title = profile["title"]
            shown = title["zh"] if title["zh"] == title["en"] else f"{title['zh']} / {title['en']}"
            rows.append((name, profile["connector"], str(len(profile.get("tags") or ())), shown))
    return rows
