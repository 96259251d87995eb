"""`edge-agent report health-check|monthly|evidence|snapshot|compare`: what the data say, for people
and assessors."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

from edge_agent.words import command

_OUT: Final = Path("reports")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its parts."""
    command = commands.add_parser(
        "report",
        help="数字体检、月报、证据包、前后对比 / health check, monthly report, evidence pack, "
        "before and after",
        description="由台账与入库数据生成报告（HTML、XLSX、JSON、CSV）。"
        " Makes reports from the register and the store: HTML, XLSX, JSON, CSV.",
    )
    parts = command.add_subparsers(metavar="ACTION", required=True)
    _add_health_check(parts)
    _add_monthly(parts)
    _add_evidence(parts)
    _add_snapshot(parts)
    _add_compare(parts)


def _part(
    parts: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, func: Any
) -> argparse.ArgumentParser:
    """A part that reads a configuration and writes into a folder."""
    part = parts.add_parser(name, help=text, description=text)
    part.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    part.add_argument(
        "--out", type=Path, default=_OUT, metavar="DIR", help=f"输出目录 / folder (default {_OUT})"
    )
    part.set_defaults(func=func)
    return part


def _language(part: argparse.ArgumentParser) -> None:
    part.add_argument(
        "--lang",
        choices=("zh", "en", "both"),
        default="zh",
        help="语言，both 为双语 / language; both: side by side",
    )


def _window(part: argparse.ArgumentParser) -> None:
    part.add_argument(
        "--window",
        metavar="W",
        help="统计窗口：30d、8h 或 2026-11-01..2026-11-30，默认最近 30 天（不早于首次数据）"
        " / window; default the last 30 days, not before the first data",
    )


def _add_health_check(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    part = _part(
        parts,
        "health-check",
        "数字体检报告，12 部分 / digital health check, 12 parts",
        run_health_check,
    )
    _language(part)
    _window(part)


def _add_monthly(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    part = _part(
        parts,
        "monthly",
        "月报；已结束的月份只会另出修订版 / a month; closed ones get revisions",
        run_monthly,
    )
    part.add_argument(
        "--month", required=True, metavar="YYYY-MM", help="月份 / the month, e.g. 2026-11"
    )
    _language(part)


def _add_evidence(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    part = _part(parts, "evidence", "智能化改造证据包 / evidence pack of a project", run_evidence)
    part.add_argument(
        "--project",
        required=True,
        metavar="ID",
        help="台账中的项目编号 / project id of the register",
    )
    part.add_argument(
        "--snapshot",
        action="append",
        default=[],
        metavar="DATE",
        help="附上该日的已存结果（可多次），用于前后对比 / add the results stored on a date, for "
        "before and after",
    )
    _language(part)
    _window(part)


def _add_snapshot(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    part = _part(
        parts, "snapshot", "某日的已存指标 / the metrics stored as of a date", run_snapshot
    )
    part.add_argument(
        "--at", required=True, metavar="DATE", help="日期 / the date, e.g. 2026-11-30"
    )


def _add_compare(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "比较两份报告、快照或证据包 / compare two reports, snapshots or packs"
    part = parts.add_parser("compare", help=text, description=text)
    part.add_argument("before", type=Path, metavar="A", help="前 / before: .json, pack")
    part.add_argument("after", type=Path, metavar="B", help="后 / after: .json, pack")
    part.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    part.set_defaults(func=run_compare)


def run_health_check(args: argparse.Namespace) -> int:
    """Write the health check."""
    from edge_agent.app.reports import command as report

    return _print_issue(
        report.health_check(report.subject(args.config), args.out, args.window, [args.lang]), args
    )


def run_monthly(args: argparse.Namespace) -> int:
    """Write the monthly report, or its next revision."""
    from edge_agent.app.reports import command as report

    return _print_issue(
        report.monthly(report.subject(args.config), args.out, args.month, [args.lang]), args
    )


def _print_issue(issue: Any, args: argparse.Namespace) -> int:
    revision = issue.document["revision"]
    state = "新 / new" if issue.new else "内容未变 / unchanged"
    if issue.stands is not None:
        state = f"保留此版 / this revision stands: {issue.stands.zh} / {issue.stands.en}"
    if issue.new and revision > 1:
        state = f"修订 / revised: {len(issue.document['changes'])} 处变化 / changes"
    print(f"{args.out / issue.stem}.{args.lang}.html (.xlsx, .csv.zip)")
    print(
        f"第 {revision} 版 / revision {revision}: {state}; sha256 "
        f"{issue.document['content_sha256']}"
    )
    return 0


def run_evidence(args: argparse.Namespace) -> int:
    """Write the pack."""
    from edge_agent.app.reports import command as report

    about = report.subject(args.config)
    path, digest = report.evidence(
        about, args.out, args.project, args.window, args.snapshot, args.lang
    )
    print(f"{path}\nmanifest.json sha256 {digest}\n核验 / verify: {command('verify', path)}")
    return 0


def run_snapshot(args: argparse.Namespace) -> int:
    """Write the snapshot; status 1 when nothing was stored then."""
    from edge_agent.app.reports import command as report

    path = report.take_snapshot(report.subject(args.config), args.out, args.at)
    document = json.loads(path.read_bytes())
    print(path)
    if document["reason"]:
        print(f"{document['reason']['zh']}\n    {document['reason']['en']}")
    return 0 if document["figures"] else 1


def run_compare(args: argparse.Namespace) -> int:
    """Print what differs."""
    from edge_agent.report.compare import compare, read_document

    before = read_document(args.before)
    after = read_document(args.after)
    rows = compare(before, after)
    if args.json:
        document = {
            "register_before": before.get("register_version"),
            "register_after": after.get("register_version"),
            "differences": [row.to_json() for row in rows],
        }
        print(json.dumps(document, ensure_ascii=False, indent=1))
    elif rows:
        _print_table(rows)
    else:
        print("没有差异 / no difference")
    return 0


def _print_table(rows: list[Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for head in (
        "数值 figure",
        "指标 metric",
        "前 before",
        "后 after",
        "变化 change",
        "分子名单 numerator",
    ):
        table.add_column(head, overflow="fold")
    for row in rows:
        change = None if row.change is None else _shown(row.change, row.unit, sign="+")
        values = [_exact(each, row.unit) for each in (row.before, row.after)]
        table.add_row(row.key, row.name_zh, *values, change or "—", row.lists)
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)


def _exact(value: str | None, unit: str) -> str:
    from fractions import Fraction

    return "—" if value is None else _shown(float(Fraction(value)), unit)


def _shown(value: float, unit: str, sign: str = "") -> str:
    return f"{100 * value:{sign}.2f} %" if unit == "1" else f"{value:{sign}g} {unit}"
