"""`--yaml F` and `--into CONFIG` of the commands that find devices: a new plant file, or the one
that is there."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.words import command as typed

if TYPE_CHECKING:
    from edge_agent.commissioning.plant_file import FoundDevice, JoinedDevices
    from edge_agent.commissioning.terminal import SentencePrinter


def add_options(command: argparse.ArgumentParser, *, one_device: bool) -> None:
    """Declare the options. `one_device`: what is found belongs to one device, which `--device` may
    name."""
    command.add_argument(
        "--yaml", type=Path, metavar="F", help="写成一个新的配置文件 / write a new configuration"
    )
    command.add_argument(
        "--into",
        type=Path,
        metavar="CONFIG",
        help="写进这个配置文件，其余内容不变，原文留在 .bak / write into this one; the rest "
        "stays, and a .bak",
    )
    command.add_argument(
        "--replace",
        action="store_true",
        help="配合 --into：不同的变量以找到的为准 / tags that differ become as found",
    )
    if one_device:
        command.add_argument(
            "--device", metavar="D", help="配合 --into：设备 id / the id of the device"
        )


def save(
    args: argparse.Namespace,
    devices: Sequence[FoundDevice],
    made: str,
    *,
    top: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write what was found as the options say; what was done goes to standard error, where JSON is
    printed."""
    from edge_agent.commissioning.plant_file import join, write
    from edge_agent.commissioning.terminal import printer

    screen = printer(stderr=args.json)
    if args.yaml is not None:
        write(args.yaml, devices, made, top, notes)
        next_ = typed("check", args.yaml)
        screen.pair(
            f"已写入 {args.yaml}；下一步：{next_}", f"Wrote {args.yaml}; next: {next_}", hang=0
        )
    if args.into is not None:
        joined = join(
            args.into,
            devices,
            made,
            device_id=getattr(args, "device", None),
            replace=args.replace,
            notes=notes,
        )
        _show(screen, joined, args.into)


def _show(screen: SentencePrinter, joined: JoinedDevices, config: Path) -> None:
    zh = []
    en = []
    for names, chinese, english in (
        (joined.added, "新增", "added"),
        (joined.changed, "补充", "completed"),
        (joined.unchanged, "未改动", "left as it was"),
    ):
        if names:
            zh.append(f"{chinese} {'、'.join(names)}")
            en.append(f"{english}: {', '.join(names)}")
    screen.pair(
        f"{config}：{'；'.join(zh) or '没有设备可写'}。",
        f"{config}: {'; '.join(en) or 'no device to write'}.",
    )
    if joined.without_tags:
        waiting = ", ".join(joined.without_tags)
        screen.pair(
            f"还没有变量：{waiting}（怎么做写在文件里）。",
            f"still without tags: {waiting}; the file says how.",
        )
        return
    screen.line(f"{screen.say('下一步', 'next')}: {typed('check', config)}")
