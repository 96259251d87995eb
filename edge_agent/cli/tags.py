"""`edge-agent tags export|import|sheet`: point lists (点表) out of a configuration and into one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.register.encodings import ENCODINGS
from edge_agent.words import command as typed
from edge_agent.words import number_of

if TYPE_CHECKING:
    from edge_agent.commissioning.lists.importing import Imported
    from edge_agent.config.models import DeviceCommon, Site
    from edge_agent.errors import Finding

_ENCODINGS = ("utf-8-sig", "utf-8", "gb18030", "gbk")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its parts."""
    command = commands.add_parser(
        "tags",
        help="点表：导出、导入、调试核对表 / point lists: export, import, commissioning sheet",
        description="点表（CSV：UTF-8/GBK，或 XLSX；中文或英文表头；"
        "也认得 Kepware、Neuron 等的格式）。"
        " Point lists as CSV (UTF-8, GBK) or XLSX with Chinese or English heads; the layouts of "
        "Kepware, Neuron and"
        " others are understood.",
    )
    parts = command.add_subparsers(metavar="ACTION", required=True)
    _add_export(parts)
    _add_import(parts)
    _add_sheet(parts)


def _add_export(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    export = parts.add_parser(
        "export", help="配置里的变量 → XLSX/CSV / the tags of a configuration as a list"
    )
    export.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    export.add_argument(
        "devices", nargs="*", metavar="DEVICE", help="只要这些设备 / these devices only"
    )
    export.add_argument("--out", type=Path, required=True, metavar="F", help=".xlsx 或 / or .csv")
    export.add_argument(
        "--headers", choices=("zh", "en"), default="zh", help="表头语言 / language of the heads"
    )
    export.add_argument(
        "--encoding", choices=_ENCODINGS, default="utf-8-sig", help="CSV 编码 / of a CSV"
    )
    export.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    export.set_defaults(func=run_export)


def _add_import(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = parts.add_parser(
        "import",
        help="XLSX/CSV → 配置 / a list into a configuration",
        description="列出全部问题（文件:行:列），没有问题才写入；不给 --into 时把 YAML 打印出来。"
        " Lists every problem (file:row:column) and writes only when there is none; without "
        "--into YAML is printed.",
    )
    command.add_argument("file", type=Path, metavar="F", help="点表 / the list, .xlsx 或 / or .csv")
    command.add_argument(
        "--device", required=True, metavar="D", help="设备 id / the id of the device"
    )
    command.add_argument(
        "--into", type=Path, metavar="CONFIG", help="写入此配置文件 / the configuration to edit"
    )
    command.add_argument(
        "--replace",
        action="store_true",
        help="不同的以点表为准 / tags that differ become as listed",
    )
    command.add_argument(
        "--base", type=int, choices=(0, 1), help="首个寄存器的编号 / number of the first register"
    )
    command.add_argument(
        "--area",
        choices=("coil", "discrete", "input", "holding"),
        help="没有写明类型的地址属于 / table of bare addresses",
    )
    command.add_argument(
        "--encoding",
        choices=ENCODINGS,
        help="CSV 的编码，默认自动识别 / of a CSV, found out by default",
    )
    command.add_argument(
        "--connector", metavar="C", help="没有 --into 时：modbus 或 opcua / without --into"
    )
    command.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    command.set_defaults(func=run_import)


def _add_sheet(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sheet = parts.add_parser(
        "sheet",
        help="调试核对表：读数、应为、核对、核对人 / commissioning sheet: value, expected, "
        "ticked, by whom",
        description="每台设备一张：现在的读数在表上，应为多少、核对与否、谁核对由人填写。"
        " One for each device: the values as they are now, with room for what they should be, a "
        "tick and a name.",
    )
    sheet.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    sheet.add_argument(
        "devices", nargs="*", metavar="DEVICE", help="只要这些设备 / these devices only"
    )
    sheet.add_argument("--out", type=Path, required=True, metavar="F", help=".xlsx 或 / or .html")
    sheet.add_argument("--blank", action="store_true", help="不读设备 / read nothing")
    sheet.set_defaults(func=run_sheet)


def run_export(args: argparse.Namespace) -> int:
    """Write the list."""
    from edge_agent.commissioning.file_changes import write_new
    from edge_agent.commissioning.lists.writing import encode, rows_of
    from edge_agent.commissioning.terminal import printer

    devices = _chosen(_site(args.config), args.devices)
    rows = rows_of(devices)
    write_new(args.out, encode(rows, args.out.suffix, args.headers, args.encoding))
    if args.json:
        _print_json(
            {"file": str(args.out), "devices": [device.id for device in devices], "tags": len(rows)}
        )
        return 0
    printer().pair(
        f"已写入 {args.out}：{len(devices)} 台设备，{len(rows)} 个变量。",
        f"wrote {args.out}: {number_of(len(devices), 'device')}, {number_of(len(rows), 'tag')}.",
    )
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Write the tags into the configuration, or print them."""
    from edge_agent.commissioning.lists.addresses import AddressCounting
    from edge_agent.commissioning.lists.importing import import_list
    from edge_agent.commissioning.terminal import printer

    found = import_list(
        args.file,
        args.device,
        args.into,
        counting=AddressCounting(args.base, args.area),
        encoding=args.encoding,
        connector=args.connector,
        replace=args.replace,
    )
    if args.json:
        _print_json(_document(found))
        return 0
    notes = printer(stderr=True)
    for note in found.notes:
        notes.finding(note, lead=f"{notes.say('提示', 'note')}: ")
    if args.into is None:
        print("    tags:")
        print("\n".join(f"      {line}" for line in found.lines()))
    else:
        _say(found, args.into)
    return 0


def _say(found: Imported, config: Path) -> None:
    from edge_agent.commissioning.terminal import printer

    screen = printer()
    if found.file is None:
        screen.pair(
            f"没有改动：{len(found.unchanged)} 个变量都已在设备 {found.device} 上，内容相同。",
            f"nothing changed: {number_of(len(found.unchanged), 'tag')} of {found.device} as in "
            "the list already.",
        )
        return
    counts = (len(found.added), len(found.replaced), len(found.unchanged))
    screen.pair(
        "已写入 {}：新增 {} 个，改动 {} 个，相同 {} 个。".format(found.file, *counts),
        "wrote {}: {} added, {} changed, {} as before.".format(found.file, *counts),
    )
    screen.line(f"{screen.say('下一步', 'next')}: {typed('check', config)}")


def _document(found: Imported) -> dict[str, Any]:
    return {
        "device": found.device,
        "file": None if found.file is None else str(found.file),
        "added": found.added,
        "replaced": found.replaced,
        "unchanged": found.unchanged,
        "tags": {point.name: dict(point.keys) for point in found.points},
        "notes": [_finding(note) for note in found.notes],
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {"code": finding.code, "where": finding.where, "zh": finding.zh, "en": finding.en}


def run_sheet(args: argparse.Namespace) -> int:
    """Write the commissioning sheet."""
    from edge_agent.commissioning.file_changes import write_new
    from edge_agent.commissioning.lists import checklist
    from edge_agent.commissioning.terminal import printer

    devices = _chosen(_site(args.config), args.devices)
    values = (
        {} if args.blank else checklist.values_now(args.config, [device.id for device in devices])
    )
    write_new(args.out, checklist.encode(devices, values, args.out.suffix, args.config))
    printer().pair(
        f"已写入 {args.out}：{len(devices)} 台设备。",
        f"wrote {args.out}: {number_of(len(devices), 'device')}.",
    )
    return 0


def _site(config: Path) -> Site:
    from edge_agent.config import load

    return load(config, secrets=False)


def _chosen(site: Site, wanted: Sequence[str]) -> list[DeviceCommon]:
    from edge_agent.config.findings import advice
    from edge_agent.errors import FindingsError

    known = {device.id: device for device in site.devices}
    for name in wanted:
        if name not in known:
            zh, en = advice(name, known)
            raise FindingsError.one(
                "unknown-device",
                f"配置里没有设备 {name!r}；{zh}",
                f"the configuration has no device {name!r}; {en}",
            )
    return [known[name] for name in wanted] if wanted else list(site.devices)


def _print_json(document: object) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=1, default=str))
