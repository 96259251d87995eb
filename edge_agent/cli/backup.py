"""`edge-agent backup CONFIG --out F`: all that is the plant's in one file, while it runs."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.words import command, number_of

if TYPE_CHECKING:
    from edge_agent.backup.write import BackupReport
    from edge_agent.commissioning.terminal import SentencePrinter
    from edge_agent.discovery import Progress


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "backup",
        help="把整个工厂备份到一个文件，无需停机 / back the plant up into one file while it runs",
        description="把数据库、水位标记、发件箱、证书与密钥、台账和配置写进一个文件，采集与入库照常进行。"
        " Writes store, marks, outbox, certificates and keys, registers and configuration into one "
        "file, while reading and storing go on.",
    )
    parser.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="F", help="备份文件 / the file to write"
    )
    parser.add_argument("--json", action="store_true", help="JSON 输出 / as JSON")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0: made; 1: made, of a store with damaged blocks."""
    from dataclasses import asdict

    import orjson

    from edge_agent.backup.write import make_backup
    from edge_agent.commissioning.terminal import printer, progress

    with suppress(OSError):
        os.nice(10)  # storing goes before copying
    with progress("正在备份", "backing up") as shown:
        report = make_backup(args.config, args.out, in_megabytes(shown))
    if args.json:
        print(orjson.dumps(asdict(report)).decode())
    else:
        _print(printer(), report, args.config)
    return 1 if report.damaged_blocks else 0


def in_megabytes(shown: Progress) -> Progress:
    """A sign of life that is given bytes."""
    return lambda done, of, what: shown(
        done // 1_000_000, None if of is None else of // 1_000_000, f"MB {what}"
    )


def _print(screen: SentencePrinter, report: BackupReport, config: Path) -> None:
    size = f"{report.bytes / 1e6:,.1f} MB"
    screen.pair(
        f"备份已写入 {report.file}：{report.files} 个文件，{size}，{report.seconds:.1f} 秒，"
        "每个字节都有校验。",
        f"The backup is in {report.file}: {number_of(report.files, 'file')}, {size}, "
        f"{report.seconds:.1f} s; every byte of it can be checked.",
    )
    if report.secrets:
        names = ", ".join(report.secrets)
        screen.pair(
            f"其中含有密钥与密码（{names}）：文件只有本用户可读，请像保管密码一样保管它。",
            f"It contains keys and passwords ({names}): only this user can read the file; keep it "
            "as you keep passwords.",
        )
    if report.environment:
        names = ", ".join(report.environment)
        screen.pair(
            f"环境变量中的密码不在其中，请另行保存：{names}。",
            f"Passwords that come from the environment are not in it; keep them apart: {names}.",
        )
    if report.store != "duckdb":
        screen.pair(
            f"数据在 {report.store} 中，不在这个文件里：请现在（备份之后，不是之前）"
            "用它自己的工具备份。",
            f"The data is in {report.store} and not in this file: back it up with its own tool "
            "now, after this backup and not before it.",
        )
    if report.damaged_blocks:
        look = command("store", "check", config)
        screen.pair(
            f"数据库文件有 {report.damaged_blocks} 块损坏，已原样收入备份：请运行 {look}。",
            f"{number_of(report.damaged_blocks, 'block')} of the store's file are damaged and are "
            f"in the backup as they are: run `{look}`.",
        )
    screen.pair(
        f"恢复：{command('restore', report.file, '--into')} 目录",
        f"To restore: `{command('restore', report.file, '--into', 'FOLDER')}`",
    )
