"""`edge-agent convert telegraf|neuron|kepware|thingsboard FILE --out plant.yaml`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.register.encodings import ENCODINGS
from edge_agent.words import command as typed
from edge_agent.words import number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.commissioning.convert.run import Conversion
    from edge_agent.errors import Finding


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "convert",
        help="把其他软件的配置转成配置文件 / another program's configuration as a plant file",
        description="没有照搬的内容逐条列出（文件:行和原因），也写在结果文件的末尾；"
        "结果可以通过 check。"
        " What cannot be carried over is listed with its line and reason, also at the end of the "
        "file; the result"
        " passes check.",
    )
    command.add_argument(
        "source", choices=("telegraf", "neuron", "kepware", "thingsboard"), help="来自 / from"
    )
    command.add_argument("file", type=Path, metavar="FILE", help="TOML、JSON、CSV、XLSX")
    command.add_argument(
        "--out", type=Path, required=True, metavar="F", help="要写的文件 / the YAML file to write"
    )
    command.add_argument(
        "--device", default="", metavar="D", help="设备 id（点表没有写时）/ id of a table's device"
    )
    command.add_argument(
        "--url", metavar="URL", help="设备地址（点表没有写时）/ where a table's device is"
    )
    command.add_argument(
        "--unit", type=int, metavar="N", help="站号（点表没有写时）/ unit of a table's device"
    )
    command.add_argument(
        "--encoding",
        choices=ENCODINGS,
        help="CSV 的编码，默认自动识别 / of a CSV, found out by default",
    )
    command.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Write the plant file, and say what it lacks."""
    from edge_agent.commissioning.convert import convert

    found = convert(
        args.source,
        args.file,
        args.out,
        name=args.device,
        url=args.url,
        unit=args.unit,
        encoding=args.encoding,
    )
    if args.json:
        document = {
            "file": str(args.out),
            "devices": [{"id": device, "tags": tags} for device, tags in found.devices.items()],
            "left_out": _listed(found.left_out),
            "notes": _listed(found.notes),
        }
        print(json.dumps(document, ensure_ascii=False, indent=1))
        return 0
    _show(found, args.out)
    return 0


def _show(found: Conversion, out: Path) -> None:
    from edge_agent.commissioning.terminal import printer

    screen = printer()
    for title, findings in (
        (screen.say("没有照搬", "not carried over"), found.left_out),
        (screen.say("请核对", "compare"), found.notes),
    ):
        if findings:
            screen.line(f"{title} ({len(findings)}):")
            for finding in findings:
                screen.finding(finding, indent=2, hang=2)
    tags = sum(found.devices.values())
    screen.pair(
        f"已写入 {out}：{len(found.devices)} 台设备，{tags} 个变量，已通过检查。",
        f"wrote {out}: {number_of(len(found.devices), 'device')}, {number_of(tags, 'tag')}; it "
        "passes the check.",
    )
    screen.line(f"{screen.say('下一步', 'next')}: {typed('check', out)}")


def _listed(findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [{"where": finding.where, "zh": finding.zh, "en": finding.en} for finding in findings]
