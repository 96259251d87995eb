"""`edge-agent probe URL --unit N --from A --count N`: registers in every type and word order, side
by side."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import signal
from typing import TYPE_CHECKING

from edge_agent.cli.into import add_options, save

if TYPE_CHECKING:
    from edge_agent.commissioning.endpoints import DeviceTarget
    from edge_agent.discovery import ProbeWanted


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "probe",
        help="试读寄存器，各种类型和字序并列 / registers in every type and word order, side by "
        "side",
        description="读一段寄存器，按各种类型和字序并列显示，指出合理的一种和理由；"
        "用 --expect 给出设备面板上的读数即可确定。只读，不写设备。"
        " Reads some registers and shows them in every type and word order, with the one that "
        "makes sense and why;"
        " --expect with what the device's own display shows decides it. It reads only."
        " 例 example: probe tcp://10.0.1.50:502 --unit 3 --area input --from 0 --count 10 "
        "--expect 230.4",
    )
    command.add_argument(
        "url", metavar="URL", help="tcp://主机:端口、rtu:///dev/... / the address of the device"
    )
    command.add_argument(
        "--unit", type=int, default=1, metavar="N", help="站号，默认 1 / unit number"
    )
    command.add_argument(
        "--area", default="holding", help="holding、input、coil、discrete / the table of the device"
    )
    command.add_argument(
        "--from",
        dest="first",
        type=_number,
        required=True,
        metavar="A",
        help="起始地址，从 0 起 / first, from 0 on",
    )
    command.add_argument(
        "--count", type=int, default=10, metavar="N", help="个数，默认 10 / how many"
    )
    command.add_argument(
        "--expect", metavar="V", help="期望的读数或文字 / the number or text that should be there"
    )
    command.add_argument(
        "--timeout", type=float, default=1.0, metavar="S", help="等一个应答的秒数 / seconds to wait"
    )
    command.add_argument(
        "--watch",
        action="store_true",
        help="每秒刷新，标出变化 / again each second, changes marked",
    )
    command.add_argument(
        "--anyway", action="store_true", help="线路被占用也继续 / go on although the line is in use"
    )
    command.add_argument(
        "--tag", metavar="NAME", help="配合 --expect：变量名 / with --expect: the name of the tag"
    )
    add_options(command, one_device=True)
    command.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    command.set_defaults(func=run)


def _number(text: str) -> int:
    return int(text, 0)


def run(args: argparse.Namespace) -> int:
    """Print the registers. Exit status 1 when none can be read, nothing reads as expected, or the
    line is in use."""
    from edge_agent.commissioning.line_use import in_use
    from edge_agent.commissioning.probe import device_at
    from edge_agent.commissioning.terminal import printer
    from edge_agent.discovery import ProbeWanted
    from edge_agent.errors import FindingsError

    logging.getLogger().addHandler(logging.NullHandler())
    if args.tag is not None and args.expect is None:
        raise FindingsError.one(
            "no-expect",
            "--tag 要与 --expect 一起用：一次命名一个读数。",
            "--tag goes with --expect: it names one reading.",
        )
    endpoint = device_at(args.url, args.unit, args.timeout)
    wanted = ProbeWanted(args.area, args.first, args.count, _expected(args.expect))
    finding = in_use(endpoint.discovery.target(endpoint.options), args.url)
    if finding is not None and not args.anyway:
        printer().finding(finding)
        return 1
    if args.watch:
        return _watch(endpoint, wanted, as_json=args.json)
    return _once(args, endpoint, wanted)


def _expected(text: str | None) -> float | str | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _once(args: argparse.Namespace, endpoint: DeviceTarget, wanted: ProbeWanted) -> int:
    from edge_agent.commissioning.plant_file import FoundDevice
    from edge_agent.commissioning.probe import chosen, device_for_file, document, look_once, well
    from edge_agent.commissioning.probe_view import show
    from edge_agent.commissioning.terminal import (
        console,
        finish,
        printer,
        progress,
        show_unreachable,
    )
    from edge_agent.errors import DeviceError
    from edge_agent.words import command

    try:
        with progress("读取中", "reading"):
            look = finish(look_once(endpoint, wanted))
    except DeviceError as error:
        show_unreachable(error, args.url)
        return 1
    readings = chosen(wanted, look)
    if args.json:
        print(json.dumps(document(look), ensure_ascii=False, indent=1))
    else:
        show(console(), look)
        if not readings and any(place.raw is not None for place in look.places):
            texts = _UNCERTAIN if wanted.expect is None else _NOT_FOUND
            printer().pair(*(text.format(expect=args.expect) for text in texts))
    if readings or args.into is None:
        save(args, [FoundDevice(device_for_file(endpoint, readings, args.tag))], command("probe"))
    return 0 if well(look, wanted) else 1


_NOT_FOUND = (
    "没有一种读法等于 {expect}：请换一段地址（--from，常差 1）、换一个区（--area input），"
    "或核对读数。",
    "Nothing here reads {expect}: try other addresses (--from; off by one is common), another area"
    " (--area input), or compare the display again.",
)

_UNCERTAIN = (
    "这些数本身不能确定类型和字序，不会写成变量：请用 --expect 给出设备面板上的一个读数或文字，"
    "一次一个。",
    "These numbers alone do not decide types and order, and none becomes a tag: name one reading "
    "or text of the"
    " display with --expect, one at a time.",
)


def _watch(endpoint: DeviceTarget, wanted: ProbeWanted, *, as_json: bool) -> int:
    """Until SIGINT or SIGTERM, both an orderly end."""
    from edge_agent.commissioning.terminal import show_unreachable
    from edge_agent.errors import DeviceError

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(_lines(endpoint, wanted) if as_json else _screen(endpoint, wanted))
    except KeyboardInterrupt:
        return 0
    except DeviceError as error:
        show_unreachable(error, str(endpoint.keys[endpoint.plugin.endpoint_key]))
        return 1
    return 0


async def _lines(endpoint: DeviceTarget, wanted: ProbeWanted) -> None:
    from edge_agent.commissioning.probe import ChangedRegisters, document, looks

    changes = ChangedRegisters()
    async with contextlib.aclosing(looks(endpoint, wanted)) as found:
        async for look in found:
            changes.note(look)
            print(json.dumps(document(look, changes), ensure_ascii=False), flush=True)


async def _screen(endpoint: DeviceTarget, wanted: ProbeWanted) -> None:
    from rich.live import Live

    from edge_agent.app.status.terminal import Terminal
    from edge_agent.commissioning.probe import ChangedRegisters, looks
    from edge_agent.commissioning.probe_view import view
    from edge_agent.commissioning.terminal import console

    terminal = console()
    changes = ChangedRegisters()
    with Live(console=terminal, screen=terminal.is_terminal, auto_refresh=False) as live:
        async with contextlib.aclosing(looks(endpoint, wanted)) as found:
            async for look in found:
                changes.note(look)
                height = terminal.height if terminal.is_terminal else None
                shown = view(look, changes, terminal.width, height, terminal=Terminal.of(terminal))
                live.update(shown, refresh=True)
