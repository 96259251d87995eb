"""`edge-agent quarantine list|show|replay|drop CONFIG`: what no store would take, and why."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.words import number_of

if TYPE_CHECKING:
    from edge_agent.config.models import Site
    from edge_agent.ingest.quarantine import MessageQuarantine, RefusedMessage

_ACTIONS = {
    "list": "列出条目 / one line per entry",
    "show": "显示条目的原因与内容 / reason and content of entries",
    "replay": "重新写入时序库，成功的离开隔离区 / store them after all; what succeeds leaves",
    "drop": "删除条目 / forget entries",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "quarantine",
        help="查看和处理被拒收的数据 / look at what the store refused",
        description="时序库无法接收的消息不会丢失，它们连同原因保存在 store.quarantine 目录。"
        " Messages no store would take are kept with their reason in the folder store.quarantine.",
    )
    actions = command.add_subparsers(metavar="ACTION", required=True)
    for name, text in _ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument(
            "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
        )
        if name == "list":
            action.add_argument("--json", action="store_true", help="JSON 输出 / as JSON lines")
        else:
            action.add_argument(
                "ids", nargs="*", metavar="ID", help="条目编号，缺省为全部 / entries, default all"
            )
        if name == "drop":
            action.add_argument(
                "--all", action="store_true", help="删除全部时必须写明 / needed to drop all"
            )
        action.set_defaults(func=run, action=name)


def run(args: argparse.Namespace) -> int:
    """0: nothing is in quarantine, or all that was asked was done; 1: something is (still)
    there."""
    from edge_agent.config import load
    from edge_agent.ingest.quarantine import MessageQuarantine

    site = load(args.config, secrets=False)
    quarantine = MessageQuarantine(site.store.quarantine)
    if args.action == "list":
        return _list(list(quarantine.entries()), args.json)
    if args.action == "drop" and not args.ids and not args.all:
        from edge_agent.errors import FindingsError

        raise FindingsError.one(
            "drop-without-id",
            "请写明要删除的条目编号，或用 --all 删除全部。",
            "Name the entries to drop, or say --all.",
        )
    entries = _chosen(quarantine, args.ids)
    if args.action == "show":
        return _show(entries)
    if args.action == "drop":
        print(f"已删除 {quarantine.drop([entry.id for entry in entries])} 条 / entries dropped")
        return 0
    return _replay(site, quarantine, entries)


def _chosen(quarantine: MessageQuarantine, ids: list[str]) -> list[RefusedMessage]:
    from edge_agent.errors import Finding, FindingsError

    entries = {entry.id: entry for entry in quarantine.entries()}
    unknown = [name for name in ids if name not in entries]
    if unknown:
        zh = "隔离区没有这个条目：请用 quarantine list 查看编号。"
        en = "There is no such entry: see the ids with `quarantine list`."
        raise FindingsError([Finding("unknown-entry", name, zh, en) for name in unknown])
    return [entries[name] for name in ids] if ids else list(entries.values())


def _when(entry: RefusedMessage) -> str:
    from datetime import UTC, datetime

    return (
        datetime.fromtimestamp(entry.t / 1e9, UTC)
        .astimezone()
        .isoformat(sep=" ", timespec="seconds")
    )


def _list(entries: list[RefusedMessage], as_json: bool) -> int:
    reasons: set[str] = set()
    for entry in entries:
        if as_json:
            print(entry.to_json().decode(), end="")
        else:
            tags = f" {', '.join(entry.tags)}" if entry.tags else ""
            print(
                f"{entry.id}  {_when(entry)}  {entry.topic}{tags}  {entry.values}  {entry.reason}"
            )
            _print_reason(entry.reason, reasons)
    if not as_json:
        total = sum(entry.values for entry in entries)
        counts = f"{number_of(len(entries), 'entry', 'entries')}, {number_of(total, 'value')}"
        print(f"{len(entries)} 条，{total} 个值 / {counts}")
    return 1 if entries else 0


def _print_reason(reason: str, said: set[str]) -> None:
    """What a reason means and what to do, below the first line that has it; `said`: those that were
    explained."""
    from edge_agent.reasons.refusals import refusal_sentence

    if reason not in said:
        said.add(reason)
        zh, en = refusal_sentence(reason)
        print(f"    {zh}\n    {en}")


def _show(entries: list[RefusedMessage]) -> int:
    for entry in entries:
        print(f"{entry.id}  {_when(entry)}\n  topic   {entry.topic}\n  reason  {entry.reason}")
        _print_reason(entry.reason, set())
        if entry.tags:
            print(f"  tags    {', '.join(entry.tags)}")
        print(f"  payload {entry.payload.decode(errors='backslashreplace')}\n")
    return 0


def _replay(site: Site, quarantine: MessageQuarantine, entries: list[RefusedMessage]) -> int:
    from edge_agent.control.client import ask, socket_path

    ids = [entry.id for entry in entries]
    try:
        result = ask(socket_path(site.store.path), "replay", ids=ids)
    except ConnectionError:
        result = _replay_here(site, quarantine, entries)
    print(
        f"已写入 {result['stored']} 个值，{len(result['taken'])} 条离开隔离区 / values stored, "
        "entries taken"
    )
    reasons: set[str] = set()
    for name, reason in result["refused"].items():
        print(f"{name}  仍被拒收 / still refused: {reason}")
        _print_reason(reason, reasons)
    return 1 if result["refused"] else 0


def _replay_here(
    site: Site, quarantine: MessageQuarantine, entries: list[RefusedMessage]
) -> dict[str, Any]:
    """No service runs: open the store ourselves."""
    from dataclasses import asdict

    from edge_agent.clock import Clock
    from edge_agent.errors import FindingsError, StoreError
    from edge_agent.ingest.replay import replay
    from edge_agent.stores import open_store

    site.require_store_secrets()
    store = open_store(site.store, site.agent.id)
    try:
        return asdict(replay(entries, store, quarantine, Clock.from_environment()))
    except StoreError as error:
        raise FindingsError.one(
            "store-away",
            f"时序库现在不接收数据。{error.cause.zh}",
            f"The store does not take data now. {error.cause.en}",
        ) from error
    finally:
        store.close()
