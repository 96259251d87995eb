"""`edge-agent verify PACK`: hashes and chain of an evidence pack, and every figure computed again
from it alone."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "verify",
        help="核验证据包的哈希与每个数值，或备份的每个字节 / verify an evidence pack: hashes and "
        "every figure; or every byte of a backup",
        description="只凭证据包重新计算每个数值；有差异或哈希不符时退出码为 1。"
        "备份文件（backup）则核对每个字节。"
        " Computes every figure again from the pack alone; exit status 1 when one differs or a "
        "hash is wrong. Of a backup every byte is checked.",
    )
    command.add_argument(
        "pack", type=Path, metavar="PACK", help="文件夹、zip 或备份 / folder, zip or backup"
    )
    command.add_argument(
        "--previous",
        type=Path,
        metavar="PACK",
        help="上一个证据包，核对链；默认在同一目录中寻找 / the pack before (default: looked for "
        "beside PACK)",
    )
    command.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print every check, the differing ones marked."""
    from edge_agent.backup.container import is_backup
    from edge_agent.report.pack.verify import chain, read_pack, summary, verify

    if args.pack.is_file() and is_backup(args.pack):
        return _backup(args)
    if args.previous:
        checks = verify(read_pack(args.pack), read_pack(args.previous))
        missing = None
    else:
        links, missing = chain(args.pack)
        checks = [*verify(read_pack(args.pack)), *links]
    result = {**summary(checks), "chain_not_checked": missing}
    if args.json:
        print(
            json.dumps(
                {**result, "checks": [asdict(check) for check in checks]},
                ensure_ascii=False,
                indent=1,
            )
        )
    else:
        for check in checks:
            _print_item(check)
        _conclude(result)
    return 0 if result["equal"] else 1


def _backup(args: argparse.Namespace) -> int:
    """Every byte of a backup, instead of a pack. Raises FindingsError for a damaged one."""
    from edge_agent.backup.write import verify_backup
    from edge_agent.cli.backup import in_megabytes
    from edge_agent.commissioning.terminal import printer, progress
    from edge_agent.words import number_of

    with progress("正在核验", "verifying") as shown:
        found = verify_backup(args.pack, in_megabytes(shown))
    if args.json:
        print(json.dumps({"equal": True, **found}, ensure_ascii=False, indent=1))
        return 0
    size = f"{found['bytes'] / 1e6:,.1f} MB"
    printer().pair(
        f"备份完好：{found['made']}，{found['members']} 个成员，{size}，每个字节都与写入时一致。",
        f"The backup of {found['made']} is sound: {number_of(found['members'], 'member')}, {size}, "
        "every byte as it was written.",
    )
    return 0


def _print_item(check: Any) -> None:
    if check.equal:
        print(f"= {check.kind} {check.name} {_short(check.found)}")
    else:
        print(
            f"≠ {check.kind} {check.name}: 所称 claimed {_short(check.claimed)}，实得 found "
            f"{_short(check.found)}"
        )


def _short(value: Any) -> str:
    text = "—" if value is None else str(value)
    return text if len(text) <= 70 else f"{text[:67]}…"


def _conclude(result: dict[str, Any]) -> None:
    for kind, count in result["counts"].items():
        print(f"{kind}: {count['checked']} 项 checked, {count['different']} 项不符 different")
    if missing := result["chain_not_checked"]:
        print(
            f"链未核对到底：缺少 {missing} / the chain was not followed to its end: {missing} is "
            "not beside the pack"
        )
    print(
        "全部一致 / all equal"
        if result["equal"]
        else "有差异：不要据此结论 / something differs: do not rely on it"
    )
