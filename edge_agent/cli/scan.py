"""`edge-agent scan modbus URL --units 1-32`, `edge-agent scan opcua HOST[:PORT]`: who answers, and
what it is."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_agent.cli.into import add_options, save

if TYPE_CHECKING:
    from edge_agent.commissioning.scan import Scanned
    from edge_agent.discovery import ScanWanted

_DESCRIPTION = (
    "查看所给地址上谁应答、是什么设备、哪个设备模板相符；只问所写的地址和站号，只读。"
    " Shows who answers at the addresses that are named, what it is, and which device profile "
    "fits. Only what is named"
    " is asked, and nothing is written."
    " 例 examples: scan modbus tcp://10.0.1.50:502 --units 1-10 ·"
    " scan modbus rtu:///dev/ttyUSB0 --baud auto --units 1-32 · scan opcua 10.0.1.31 10.0.1.32:4841"
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "scan",
        help="查看线路上有哪些设备 / who answers on a line, and what it is",
        description=_DESCRIPTION,
    )
    command.add_argument("connector", metavar="modbus|opcua", help="协议 / the protocol")
    command.add_argument("targets", nargs="+", metavar="URL|HOST", help="地址 / addresses")
    command.add_argument("--units", metavar="1-32", help="modbus 的站号 / the units to ask")
    command.add_argument(
        "--baud", metavar="auto|N,..", help="串口波特率，auto 依次试常用的 / bit rates to try"
    )
    command.add_argument(
        "--parity", metavar="N,E,O", help="校验，默认随 --baud 依次试 / parities to try"
    )
    command.add_argument("--stop-bits", metavar="1,2", help="停止位 / stop bits to try")
    command.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        help="等一个应答的秒数 / seconds to wait for an answer",
    )
    command.add_argument(
        "--pause", type=float, default=0.02, metavar="S", help="两次询问间的停顿 / between requests"
    )
    command.add_argument(
        "--no-profiles", action="store_true", help="不比较设备模板 / do not compare profiles"
    )
    command.add_argument(
        "--anyway", action="store_true", help="线路被占用也继续 / go on although the line is in use"
    )
    add_options(command, one_device=False)
    command.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print who answers. Exit status 1 when nobody does, or the line is in use."""
    from edge_agent.commissioning.scan import absent, all_answers_equal, scan
    from edge_agent.commissioning.terminal import console, finish, progress, show_unreachable
    from edge_agent.errors import DeviceError

    logging.getLogger().addHandler(logging.NullHandler())
    wanted = _wanted(args)
    if not args.anyway and _is_in_use(args):
        return 1
    compare = not args.no_profiles
    try:
        with progress("扫描中", "scanning") as step:
            found = finish(scan(args.connector, wanted, step, compare=compare))
    except DeviceError as error:
        show_unreachable(error, ", ".join(args.targets))
        return 1
    answering = [one for one in found if one.answer.device]
    one_for_all = all_answers_equal(answering, wanted.units)
    nobody_there = absent(answering)
    answering = [one for one in answering if one not in nobody_there]
    if args.json:
        print(
            json.dumps({"answers": [one.document() for one in found]}, ensure_ascii=False, indent=1)
        )
    else:
        from edge_agent.commissioning.scan_view import nobody, show
        from edge_agent.commissioning.terminal import printer

        show(console(), found, compared=compare, ignores_units=one_for_all, absent=nobody_there)
        if not found and wanted.units:
            printer().pair(*nobody(", ".join(args.targets)))
    if answering:
        _write(args, answering, one_for_all=one_for_all)
    return 0 if answering else 1


def _wanted(args: argparse.Namespace) -> ScanWanted:
    from edge_agent.commissioning.endpoints import discovery_of
    from edge_agent.commissioning.scan import units
    from edge_agent.config.findings import advice
    from edge_agent.config.plugins import InstalledPlugins
    from edge_agent.discovery import ScanWanted
    from edge_agent.errors import FindingsError

    if args.connector not in InstalledPlugins():
        zh, en = advice(args.connector, InstalledPlugins())
        raise FindingsError.one(
            "unknown-connector",
            f"没有协议 {args.connector!r}；{zh}",
            f"no protocol {args.connector!r}; {en}",
        )
    if args.units is None and discovery_of(InstalledPlugins()[args.connector]).has_units:
        raise FindingsError.one(
            "no-units",
            "须写明要问的站号，例如 --units 1-32。",
            "The units to ask must be named, as in --units 1-32.",
        )
    auto = args.baud == "auto"
    return ScanWanted(
        args.targets,
        units(args.units) if args.units else (),
        baud=_AUTO if auto else _numbers(args.baud, "--baud"),
        parity=tuple((args.parity or ("N,E,O" if auto else "")).upper().replace(",", "")),
        stop_bits=_numbers(args.stop_bits or ("1,2" if auto else None), "--stop-bits"),
        timeout=args.timeout,
        pause=max(args.pause, 0.0),
    )


_AUTO = (9600, 19200, 38400, 115200, 57600, 4800, 2400, 1200)


def _numbers(text: str | None, name: str) -> Sequence[int]:
    from edge_agent.errors import FindingsError

    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isdecimal() and len(part) < 9 for part in parts):
        raise FindingsError.one(
            "bad-number",
            f"{name} {text} 应为逗号分开的数。",
            f"{name} {text} must be numbers with commas between.",
        )
    return [int(part) for part in parts]


def _is_in_use(args: argparse.Namespace) -> bool:
    """Whether somebody else uses one of the lines; says so."""
    from edge_agent.commissioning.endpoints import discovery_of, options_of
    from edge_agent.commissioning.line_use import in_use
    from edge_agent.commissioning.terminal import printer
    from edge_agent.config.plugins import InstalledPlugins
    from edge_agent.errors import FindingsError

    plugin = InstalledPlugins()[args.connector]
    for target in args.targets:
        try:
            options = options_of(plugin, {plugin.endpoint_key: target})
        except FindingsError:  # a host alone, or an address that the scan itself refuses
            continue
        finding = in_use(discovery_of(plugin).target(options), target)
        if finding is not None:
            printer().finding(finding)
            return True
    return False


def _write(args: argparse.Namespace, found: Sequence[Scanned], *, one_for_all: bool) -> None:
    """A device for each that answered, with its profile where one fits, else with what to do next.
    `one_for_all`: the same device seems to answer for all units, and the others become comments."""
    from edge_agent.commissioning.plant_file import device_line
    from edge_agent.commissioning.scan import device_for_file
    from edge_agent.words import command

    if args.yaml is None and args.into is None:
        return
    config = args.into or args.yaml
    devices = [device_for_file(one, number, config) for number, one in enumerate(found, 1)]
    notes: list[str] = []
    if one_for_all:
        notes += ["这些站号的应答都一样，很可能是同一台设备；确是几台时去掉 #。"]
        notes += [
            "These units answered alike, probably as one device; where they are several, take "
            "the # away."
        ]
        notes += [device_line(device) for device in devices[1:]]
        del devices[1:]
    save(args, devices, command("scan"), notes=notes)
