"""`edge-agent outbox status|verify|export CONFIG`: what is waiting to be delivered, and whether its
bytes are sound."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from edge_agent.errors import FindingsError
from edge_agent.outbox.folders import outboxes
from edge_agent.outbox.survey import OutboxSurvey, export, verify
from edge_agent.words import command


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "outbox",
        help="查看发件箱 look into the outbox",
        description="查看、校验、导出发件箱（含旧版本各工作进程的），agent 运行与否均可，"
        "不作任何改动。"
        " Status, check and export of the outbox, with those of former worker processes; nothing "
        "is changed, and the"
        " agent may be running.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    status = actions.add_parser("status", help="待发送的条目 what is pending, per stream")
    check = actions.add_parser(
        "verify", help="校验每条记录 check every record (status 1 when bytes are damaged)"
    )
    dump = actions.add_parser("export", help="导出为 JSON 行 pending entries as JSON lines")
    dump.add_argument(
        "--all",
        action="store_true",
        help="包括已确认的条目 confirmed entries too, as far as still held",
    )
    dump.add_argument(
        "--output", type=Path, help="写入文件（缺省为标准输出） a file instead of standard output"
    )
    for action, func in ((status, _status), (check, _verify), (dump, _export)):
        action.add_argument("config", type=Path, help="YAML 配置文件 configuration file")
        action.set_defaults(func=func)


def _folders(args: argparse.Namespace) -> list[Path]:
    """The agent's outbox and those of former workers."""
    from edge_agent.config import load

    folder: Path = load(args.config, secrets=False).outbox.path
    if not folder.is_dir():
        raise FindingsError.one(
            "no-outbox",
            f"还没有发件箱 {folder}。请先运行 {command('run')}，或检查 outbox.path。",
            f"There is no outbox at {folder} yet. Start {command('run')} first, or check "
            "outbox.path.",
        )
    return outboxes(folder)


def _status(args: argparse.Namespace) -> int:
    survey = verify(*_folders(args))
    print(
        f"待发送 pending: {survey.pending_entries} 条 entries, {survey.pending_values} 个值 values"
    )
    print(f"占用 on disk:   {survey.segments} 个文件 files, {survey.bytes} 字节 bytes")
    print(f"最早 oldest:    {_age(survey.oldest_t)}")
    for stream in survey.streams.values():
        print(
            f"  {stream.stream}: {stream.pending_entries} 条待发送 pending"
            f" (消息服务器已收 acknowledged by the broker {stream.unconfirmed_entries}), 在盘 "
            f"held {stream.entries}"
        )
    return 0


def _verify(args: argparse.Namespace) -> int:
    survey = verify(*_folders(args))
    entries = sum(stream.entries for stream in survey.streams.values())
    print(f"完好 sound:   {entries} 条 entries, {survey.segments} 个文件 files")
    if survey.torn_bytes:
        print(
            f"未写完 torn:  {survey.torn_bytes} 字节 bytes（断电或写入中，属正常 normal while "
            "writing or after a cut）"
        )
    print(f"损坏 damaged: {survey.damaged_bytes} 字节 bytes")
    return _damage(survey)


def _damage(survey: OutboxSurvey) -> int:
    for name in survey.damaged_segments:
        print(
            f"  {name}: 损坏的记录不会被发送，将移入隔离区 damaged records are set aside and "
            "never sent"
        )
    return 1 if survey.damaged_bytes else 0


def _export(args: argparse.Namespace) -> int:
    lines = export(*_folders(args), everything=args.all)
    if args.output is None:
        sys.stdout.buffer.writelines(lines)
        sys.stdout.buffer.flush()
        return 0
    with open(args.output, "wb", opener=_private) as file:
        file.writelines(lines)
    return 0


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _age(t: int | None) -> str:
    if t is None:
        return "无 nothing is waiting"
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(t / 1e9))
    return f"{stamp} ({max(0.0, time.time() - t / 1e9):.0f} s)"
