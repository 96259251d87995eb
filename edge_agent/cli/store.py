"""`edge-agent store check|salvage CONFIG`: whether the embedded store's bytes are sound, and what
to keep of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.words import command, number_of

if TYPE_CHECKING:
    from edge_agent.stores.duckdb.check import StoreCheck
    from edge_agent.stores.duckdb.salvage import Salvaged


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "store",
        help="检查内置数据库，保留损坏文件中能读出的全部 / check the embedded store, salvage a "
        "damaged one",
        description="检查内置数据库文件的每个字节；有损坏时把能读出的全部放进新文件。"
        " Checks every byte of the embedded store's file, and keeps all that reads of a damaged "
        "one in a new file.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    texts = {
        "check": "读出每一块并核对校验和，不作任何改动，serve 运行时也可以"
        " / read every block against its checksum; nothing is changed, and serve may be running",
        "salvage": "把能读出的全部放进新文件，原文件改名保留；先停止 serve"
        " / keep all that reads in a new file, the damaged one beside it; stop serve first",
    }
    for name, func in (("check", _check), ("salvage", _salvage)):
        action = actions.add_parser(name, help=texts[name], description=texts[name])
        action.add_argument(
            "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
        )
        action.add_argument("--json", action="store_true", help="JSON 输出 / as JSON")
        action.set_defaults(func=func)


def _store_of(config: Path) -> tuple[Path, str]:
    """The store's file, and the service's own agent. Raises FindingsError where there is none of
    ours."""
    from edge_agent.config import load
    from edge_agent.errors import FindingsError

    site = load(config, secrets=False)
    if site.store.kind != "duckdb":
        raise FindingsError.one(
            "store-not-embedded",
            f"这个命令只用于内置的 duckdb，而 store.kind 是 {site.store.kind}："
            "请用它自己的工具检查和备份。",
            f"This command is for the embedded duckdb, and store.kind is {site.store.kind}: check "
            "it and back it up with its own tools.",
            "store.kind",
        )
    if not site.store.path.exists():
        raise FindingsError.one(
            "no-store",
            f"还没有数据库文件：请先运行 {command('serve', config)}，或检查 store.path。",
            f"There is no store yet: start `{command('serve', config)}` first, or check "
            "store.path.",
            str(site.store.path),
        )
    return site.store.path, site.agent.id


def _check(args: argparse.Namespace) -> int:
    """0: every byte is as it was written; 1: some are not."""
    import orjson

    from edge_agent.stores.duckdb.check import check, tables_in

    path, _ = _store_of(args.config)
    found = check(path)
    tables = (tables_in(path, found.damaged) or {}) if found.damaged else {}
    if args.json:
        print(orjson.dumps({**asdict(found), "sound": found.is_sound, "tables": tables}).decode())
    else:
        _print_check(found, tables, args.config)
    return 0 if found.is_sound else 1


def _print_check(found: StoreCheck, tables: Mapping[str, list[str]], config: Path) -> None:
    size = f"{found.bytes / 1e6:,.1f} MB"
    print(
        f"{found.path}: {found.blocks:,} 块 {number_of(found.blocks, 'block')}, {size}, "
        f"{found.seconds:.1f} s"
    )
    if found.is_sound:
        print("完好：每一块都与写入时一致。\n    Sound: every block is as it was written.")
        return
    count = len(found.headers) + len(found.damaged)
    if count:
        print(
            f"损坏：{count} 块，其中 {found.mendable} 块能还原。\n"
            f"    Damaged: {number_of(count, 'block')}, of which {found.mendable} can be put right."
        )
    for table, columns in sorted(tables.items()):
        print(f"  {table}{': ' if columns else ''}{', '.join(columns)}")
    if found.log_mendable and not found.log_damaged:
        print(
            "日志有损坏，能还原，下次启动时自动完成。\n    The log is damaged and is put right "
            "at the next start."
        )
    if found.log_damaged:
        print(
            f"日志末尾有 {found.log_damaged:,} 字节损坏：下次启动时从最后一次完整的提交之后切除，"
            "并记为缺口。\n"
            f"    {number_of(found.log_damaged, 'byte')} at the end of the log are damaged: at "
            "the next start they are"
            " cut off behind the last whole commit, and recorded as a gap."
        )
    if count:
        how = command("store", "salvage", config)
        print(
            f"下一步：停止 serve，运行 {how}；能读出的全部保留，原文件也保留。\n"
            f"    Next: stop serve and run `{how}`: all that reads is kept, and the damaged file "
            "too."
        )


def _salvage(args: argparse.Namespace) -> int:
    """0: nothing is lost; 1: something is."""
    import orjson

    from edge_agent.control.client import running, socket_path
    from edge_agent.stores.duckdb.refusals import locked
    from edge_agent.stores.duckdb.salvage import salvage

    path, agent = _store_of(args.config)
    if running(socket_path(path)):
        raise locked(path)
    found = salvage(path, agent)
    if args.json:
        print(orjson.dumps(asdict(found)).decode())
    else:
        _print_salvaged(found)
    return 1 if found.lost or found.log_lost else 0


def _print_salvaged(found: Salvaged) -> None:
    print(
        f"已建立新库 {found.path}（标识 {found.store_id}）；原文件保留为 {found.kept}\n"
        f"    A new store is at {found.path} (id {found.store_id}); the damaged file is kept as "
        f"{found.kept}"
    )
    if found.mended:
        print(
            "损坏的字节已全部还原，没有丢失。\n    Every damaged byte was put right; nothing is "
            "lost."
        )
    for lost in found.lost:
        count = lost.last - lost.first + 1
        span = f"{_moment(lost.from_t)} – {_moment(lost.to_t)}"
        print(
            f"  丢失 lost {lost.table}: {count:,} 行 {number_of(count, 'row')} "
            f"({lost.first}–{lost.last}), {span}"
        )
    if found.log_lost:
        print(f"  丢失 lost log: {found.log_lost:,} 字节 {number_of(found.log_lost, 'byte')}")
    print(
        "下一步：启动 serve；采集代理还留着的数据会重新送来，缺少的部分见 status。\n"
        "    Next: start serve: what the agents still have is sent again, and `status` shows "
        "what is missing."
    )


def _moment(t: int | None) -> str:
    from datetime import UTC, datetime

    if t is None:
        return "?"
    return datetime.fromtimestamp(t / 1e9, UTC).astimezone().isoformat(sep=" ", timespec="seconds")
