"""`edge-agent register template|check|diff|convert`: the equipment register (设备台账) before it is
used."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import Finding, RegisterError
from edge_agent.reasons import words_of
from edge_agent.register.encodings import ENCODINGS
from edge_agent.words import command, number_of

if TYPE_CHECKING:
    from edge_agent.commissioning.terminal import SentencePrinter
    from edge_agent.config.models import Site


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its parts."""
    command = commands.add_parser(
        "register",
        help="设备台账：模板、检查、比较、转换 / the equipment register: template, check, diff, "
        "convert",
        description="设备台账（CSV：UTF-8/GBK，或 XLSX；中文或英文表头）。"
        " The equipment register as CSV (UTF-8, GBK) or XLSX, with Chinese or English headers.",
    )
    parts = command.add_subparsers(metavar="ACTION", required=True)
    _add_template(parts)
    _add_check(parts)
    _add_diff(parts)
    _add_convert(parts)
    _add_stored(parts)
    _add_from(parts)


def _add_template(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    template = parts.add_parser(
        "template", help="生成带下拉选项的 XLSX 模板 / write an XLSX template with drop-downs"
    )
    template.add_argument(
        "path",
        type=Path,
        nargs="?",
        default=Path("设备台账.xlsx"),
        metavar="PATH",
        help="默认 default: 设备台账.xlsx",
    )
    template.set_defaults(func=run_template)


def _add_check(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = parts.add_parser(
        "check",
        help="按行列出所有问题 / list every problem by row and column",
        description="有错误时退出码为 1；仅有提示时为 0。"
        " Exit status 1 when there are errors, 0 with notes only.",
    )
    _equipment(check, "equipment")
    check.add_argument("--processes", type=Path, metavar="P", help="工序表 / process list")
    check.add_argument(
        "--config",
        type=Path,
        metavar="CONFIG",
        help="核对采集设备是否已配置 / check the device links",
    )
    check.set_defaults(func=run_check)


def _add_diff(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    diff = parts.add_parser(
        "diff",
        help="比较两个版本 / what changed between two versions",
        description="无差异时退出码为 0，有差异时为 1。 Exit status 0 when equal, 1 when not.",
    )
    _equipment(diff, "before")
    _equipment(diff, "after")
    for side in ("before", "after"):
        diff.add_argument(
            f"--processes-{side}", type=Path, metavar="P", help="工序表 / process list"
        )
    diff.set_defaults(func=run_diff)


def _add_convert(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    convert = parts.add_parser(
        "convert", help="转换格式与编码 / write it in another format or encoding"
    )
    _equipment(convert, "source")
    convert.add_argument("target", type=Path, metavar="TARGET", help=".csv 或 / or .xlsx")
    convert.add_argument(
        "--processes",
        type=Path,
        metavar="P",
        help="工序表（写入 XLSX）/ process list (into an XLSX)",
    )
    convert.add_argument(
        "--headers",
        choices=("zh", "en"),
        default="zh",
        help="表头语言 / language of headers and words",
    )
    convert.add_argument(
        "--encoding", choices=("utf-8-sig", "utf-8", "gb18030"), default="utf-8-sig"
    )
    convert.add_argument(
        "--from-encoding",
        choices=ENCODINGS,
        help="源文件的 CSV 编码，默认自动识别 / of a CSV source, found out by default",
    )
    convert.set_defaults(func=run_convert)


def _add_stored(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    versions = parts.add_parser(
        "versions",
        help="存储中留存的台账版本及其生效日期 / the versions kept in the store, and from when "
        "each is valid",
        description="已结束的窗口按其结束时有效的版本计算。"
        " A window that is over is computed with the version valid at its end.",
    )
    keep = parts.add_parser(
        "keep",
        help="留存当前台账，可注明自何日起有效 / keep the configured register, from a date on if "
        "one is given",
        description="更正以前的台账时，用 --valid-from 注明更正自何日起有效；"
        "已出的报表再出时会成为修订"
        "版。"
        " To correct a former register say from which day the correction is valid; reports "
        "issued again become"
        " revisions.",
    )
    export = parts.add_parser("export", help="导出留存的版本 / write a kept version into a file")
    for part in (versions, keep, export):
        part.add_argument(
            "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
        )
    versions.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    keep.add_argument(
        "--valid-from", metavar="DATE", help="例如 2026-10-01，默认今天 / default: today"
    )
    export.add_argument(
        "version", metavar="VERSION", help="sha256 的前几位 / the first digits of its sha256"
    )
    export.add_argument("target", type=Path, metavar="TARGET", help=".csv 或 / or .xlsx")
    versions.set_defaults(func=run_versions)
    keep.set_defaults(func=run_keep)
    export.set_defaults(func=run_export)


def _add_from(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = parts.add_parser(
        "from",
        help="由配置中的设备生成台账初稿 / a first register from the configured devices",
        description="填好配置里已有的（编号、名称、产线、接口、采集设备）；关键工序等由人认定的留空。"
        " Fills in what the configuration knows; key processes and whatever else a person states "
        "stay empty.",
    )
    command.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    command.add_argument(
        "--out", type=Path, default=Path("设备台账.csv"), metavar="F", help="CSV, XLSX"
    )
    command.add_argument(
        "--processes", type=Path, metavar="P", help="工序表（CSV）/ process list, a CSV"
    )
    command.add_argument(
        "--headers", choices=("zh", "en"), default="zh", help="表头语言 / language of headers"
    )
    command.add_argument(
        "--encoding", choices=("utf-8-sig", "utf-8", "gb18030"), default="utf-8-sig"
    )
    command.set_defaults(func=run_from)


def _equipment(command: argparse.ArgumentParser, name: str) -> None:
    command.add_argument(
        name, type=Path, metavar=name.upper(), help="设备台账 / equipment register (CSV, XLSX)"
    )


def run_template(args: argparse.Namespace) -> int:
    """Write the template; an existing file is left alone."""
    from edge_agent.commissioning.terminal import printer
    from edge_agent.register.exporting import template

    _write(args.path, template())
    printer().pair(
        f"已写入 {args.path}；“设备台账”和“工序”两个工作表，黄色列必填。",
        f"wrote {args.path}: sheets for equipment and processes, the yellow columns are required.",
    )
    return 0


def _write(path: Path, data: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise RegisterError.one(
            "file-exists",
            "文件已存在，不覆盖；请换名。",
            "the file exists and is not overwritten; choose another.",
            str(path),
        ) from error
    except OSError as error:
        why_zh, why_en = words_of(error)
        raise RegisterError.one(
            "file-unwritable",
            f"无法写入（{why_zh}），请检查目录和权限。",
            f"cannot be written ({why_en}); check the folder and the permissions.",
            str(path),
        ) from error


def run_check(args: argparse.Namespace) -> int:
    """List every problem."""
    from edge_agent.clock import Clock
    from edge_agent.commissioning.terminal import printer
    from edge_agent.metrics.calendar import check_schedules, load_calendar
    from edge_agent.register.check import future_dates, retired_dates
    from edge_agent.register.importing import inspect
    from edge_agent.register.names import names_in

    site = _configured(args.config)
    devices = None if site is None else names_in(site)
    inspection = inspect(args.equipment, args.processes, devices)
    notes = list(inspection.notes)
    today = datetime.fromtimestamp(Clock.from_environment().time_ns() // 1_000_000_000, UTC).date()
    if inspection.register is not None:
        notes += future_dates(inspection.register, today, args.equipment.name)
        notes += retired_dates(inspection.register, today, args.equipment.name)
        if site is not None and site.register_.calendar is not None:
            calendar = load_calendar(site.register_.calendar)
            notes += check_schedules(inspection.register, calendar, args.equipment.name)
    screen = printer()
    _list(screen, screen.say("错误", "error"), inspection.errors)
    _list(screen, screen.say("提示", "note"), notes)
    errors = len(inspection.errors)
    register = inspection.register
    if register is None:
        screen.line(
            screen.say(
                f"不能使用：{errors} 个错误", f"cannot be used: {number_of(errors, 'error')}", " / "
            ),
        )
        return 1
    if not register.equipment:
        screen.line(
            screen.say(
                "不能使用：台账没有任何设备", "cannot be used: the register has no machine", " / "
            )
        )
        return 1
    counted = sum(machine.counted for machine in register.equipment)
    screen.pair(
        f"可以使用：{len(register.equipment)} 行，其中纳入统计且在用 {counted} 台；"
        f"{len(register.processes)} 道工序；{len(notes)} 条提示",
        f"usable: {number_of(len(register.equipment), 'row')}, {counted} in scope and in use; "
        f"{number_of(len(register.processes), 'process', 'processes')}; "
        f"{number_of(len(notes), 'note')}",
    )
    screen.line(f"sha256 {register.version}")
    return 0


def _configured(config: Path | None) -> Site | None:
    if config is None:
        return None
    from edge_agent.config import load

    return load(config, secrets=False)


def _list(screen: SentencePrinter, kind: str, findings: Collection[Finding]) -> None:
    for finding in findings:
        screen.finding(finding, lead=f"{kind} [{finding.code}] ")


def run_diff(args: argparse.Namespace) -> int:
    """Print the changes, `~` changed, `+` added, `-` removed."""
    from edge_agent.register.diff import diff
    from edge_agent.register.importing import load

    before, _ = load(args.before, args.processes_before)
    after, _ = load(args.after, args.processes_after)
    changes = diff(before, after)
    for change in changes:
        print(change)
    print(
        f"sha256 {before.version[:16]} -> {after.version[:16]}: {len(changes)} 处变化 / changes",
        file=sys.stderr,
    )
    return 1 if changes else 0


def run_convert(args: argparse.Namespace) -> int:
    """Write the register in another form; its version stays the same."""
    from edge_agent.register.exporting import encode
    from edge_agent.register.importing import load

    register, _ = load(args.source, args.processes, encoding=args.from_encoding)
    _write(args.target, encode(register, args.target.suffix, args.headers, args.encoding))
    print(f"已写入 / wrote {args.target}")
    return 0


def run_versions(args: argparse.Namespace) -> int:
    """List the versions, the newest first; status 1 when none is kept."""
    from edge_agent.app.reports.kept import kept_versions

    found = kept_versions(args.config)
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    for row in () if args.json else found:
        mark = "  ← 当前台账文件 / the register file" if row["is_file"] else ""
        print(f"{row['version'][:16]}  {row['valid_from']}  {row['equipment']} 行 rows{mark}")
    if not found and not args.json:
        print("存储中还没有留存的台账版本：运行 serve 或出一次报告即会留存。")
        print("    no version is kept yet: run `serve`, or issue a report.")
    return 0 if found else 1


def run_keep(args: argparse.Namespace) -> int:
    """Keep the configured register."""
    from edge_agent.app.reports.kept import keep_configured

    version, valid_from, new = keep_configured(args.config, args.valid_from)
    zh, en = (
        ("已留存", "kept") if new else ("该日已是此版本", "it is the version of that day already")
    )
    print(
        f"{zh}：{version[:16]}，自 {valid_from} 起有效\n    {en}: {version[:16]}, valid from "
        f"{valid_from}"
    )
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write a kept version."""
    from edge_agent.app.reports.kept import kept_register
    from edge_agent.register.exporting import encode

    register = kept_register(args.config, args.version)
    _write(args.target, encode(register, args.target.suffix))
    print(f"已写入 / wrote {args.target}: sha256 {register.version}")
    return 0


def run_from(args: argparse.Namespace) -> int:
    """Write a register of the configured devices, with empty cells for what a person must state."""
    from edge_agent.commissioning import register_from
    from edge_agent.commissioning.terminal import printer
    from edge_agent.config import load
    from edge_agent.register.columns import EQUIPMENT, PROCESSES

    equipment, processes = register_from.rows_from(load(args.config, secrets=False).devices)
    if args.out.suffix.lower() == ".xlsx":
        _write(args.out, register_from.to_xlsx(equipment, processes, args.headers))
    else:
        _write(args.out, register_from.to_csv(equipment, EQUIPMENT, args.headers, args.encoding))
    if args.processes is not None:
        _write(
            args.processes, register_from.to_csv(processes, PROCESSES, args.headers, args.encoding)
        )
    empty = "、".join(register_from.to_fill_in())
    counts = (
        f"{number_of(len(equipment), 'machine')}, "
        f"{number_of(len(processes), 'process', 'processes')}"
    )
    screen = printer()
    screen.pair(
        f"已写入 {args.out}：{len(equipment)} 台设备，{len(processes)} 道工序。请人工填写："
        f"{empty}。",
        f"wrote {args.out}: {counts}; a person fills in: {empty}.",
    )
    screen.line(f"{screen.say('下一步', 'next')}: {command('register', 'check', args.out)}")
    return 0
