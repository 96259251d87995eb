"""`edge-agent browse ENDPOINT | CONFIG DEVICE [START]`: the nodes of a server, their values, and
tags made of them."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.cli.into import add_options, save

if TYPE_CHECKING:
    from edge_agent.commissioning.browse import BrowseResult
    from edge_agent.commissioning.endpoints import DeviceTarget


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "browse",
        help="浏览 OPC UA 服务器的节点 / what a server has: nodes, types, values, units, ranges",
        description="列出服务器上的节点：类型、当前值、单位、量程；认得出 umati 机床。"
        "只读，不写设备。"
        " Lists the nodes of a server with type, value, unit and range, and recognises umati "
        "machines. It reads only."
        " 例 examples: browse opc.tcp://10.0.1.31:4840 --match '*Spindle*' --yaml plant.yaml ·"
        " browse plant.yaml vmc-01 Objects/2:Machine",
    )
    command.add_argument(
        "where",
        metavar="ENDPOINT|CONFIG",
        help="opc.tcp://主机:端口，或配置文件 / an address, or a configuration file",
    )
    command.add_argument(
        "names",
        nargs="*",
        metavar="[DEVICE] [START]",
        help="配置文件中的设备；起点（节点号或路径） / the device of a configuration; a node id "
        "or path to start from",
    )
    command.add_argument(
        "--depth", type=int, metavar="N", help="最多几层，默认全部 / levels, all by default"
    )
    command.add_argument(
        "--limit",
        type=int,
        default=50_000,
        metavar="N",
        help="最多查看的节点数 / nodes at the most",
    )
    command.add_argument(
        "--match",
        nargs="+",
        default=[],
        metavar="GLOB",
        help="只要名称或路径相符的，可用 * ? / only what fits",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="设备的其他键，如 security.policy=Basic256Sha256、'user.password=!env OPC_PW' / "
        "further keys",
    )
    add_options(command, one_device=True)
    command.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found. Exit status 1 when the server does not answer or nothing was found."""
    from edge_agent.commissioning.browse import browse
    from edge_agent.commissioning.terminal import finish, progress, show_unreachable
    from edge_agent.discovery import BrowseWanted
    from edge_agent.errors import DeviceError

    logging.getLogger().addHandler(logging.NullHandler())
    endpoint, config, start = _where(args)
    wanted = BrowseWanted(
        start, _positive(args.depth, "--depth"), _positive(args.limit, "--limit") or 1
    )
    try:
        with progress("浏览中", "browsing") as step:
            result = finish(browse(endpoint, wanted, args.match, step))
    except DeviceError as error:
        show_unreachable(error, str(endpoint.keys[endpoint.plugin.endpoint_key]))
        return 1
    if args.json:
        print(json.dumps(result.document(), ensure_ascii=False, indent=1, default=str))
    else:
        from edge_agent.commissioning.browse_view import show
        from edge_agent.commissioning.terminal import console

        show(console(), result)
    if args.yaml is not None or args.into is not None:
        _write(args, endpoint, config, result)
    return 0 if result.nodes else 1


def _where(args: argparse.Namespace) -> tuple[DeviceTarget, Path | None, str]:
    """The device, its configuration if it has one, and the start."""
    from edge_agent.commissioning.endpoints import at_address, configured, further_keys
    from edge_agent.errors import FindingsError

    names = list(args.names)
    if "://" in args.where:
        if len(names) > 1:
            raise FindingsError.one(
                "too-many", f"多余的参数 {names[1]!r}：地址之后只能有一个起点。",
                f"{names[1]!r} is one too many: behind an address there is one start only.",
            )  # fmt: skip
        return at_address(args.where, more=further_keys(args.set)), None, names[0] if names else ""
    if not 1 <= len(names) <= 2:
        raise FindingsError.one(
            "no-device", "配置文件之后须写设备，例如 browse plant.yaml vmc-01。",
            "Behind a configuration file there must be a device, as in `browse plant.yaml "
            "vmc-01`.", args.where,
        )  # fmt: skip
    config = Path(args.where)
    return configured(config, names[0]), config, names[1] if len(names) > 1 else ""


def _positive(number: int | None, name: str) -> int | None:
    from edge_agent.errors import FindingsError

    if number is not None and number < 1:
        raise FindingsError.one("bad-number", f"{name} 须至少为 1。", f"{name} must be at least 1.")
    return number


def _write(
    args: argparse.Namespace, endpoint: DeviceTarget, config: Path | None, result: BrowseResult
) -> None:
    from edge_agent.commissioning.browse import configured_keys, devices_for_file, file_top
    from edge_agent.commissioning.plant_file import FoundDevice
    from edge_agent.words import command

    devices: list[dict[str, Any]] = devices_for_file(endpoint, result, args.match)
    if config is not None and endpoint.device is not None:
        written = configured_keys(config, endpoint.device.id)
        devices = [written | device for device in devices]
    top = file_top(config) if args.yaml is not None else None
    save(args, [FoundDevice(device) for device in devices], command("browse"), top=top)
