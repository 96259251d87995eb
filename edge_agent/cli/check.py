"""`edge-agent check CONFIG`: everything wrong with a configuration at once, or what it amounts
to."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_agent.errors import Finding
from edge_agent.words import number_of, verb

if TYPE_CHECKING:
    from edge_agent.commissioning.terminal import SentencePrinter
    from edge_agent.config.models import DeviceCommon, Site


#: What a running store service may take to answer.
_ASK_S: Final = 2.0


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "check",
        help="检查配置文件 / check a configuration file",
        description="检查配置文件，不连接任何设备：一次列出全部问题（文件:行:列），或显示设备汇总。"
        " Checks a configuration without connecting to anything: all findings at once "
        "(file:line:column), or a summary"
        " of the devices.",
    )
    command.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    command.add_argument(
        "--show",
        action="store_true",
        help="打印生效的配置，密码已遮盖 / print the effective configuration, secrets masked",
    )
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the summary or the effective configuration. Raises FindingsError with all that stands
    in the way."""
    from edge_agent.config import dump, load

    site = load(args.config)
    notes = [*site_notes(site), *device_notes(site), *descriptor_notes(site), *register_notes(site)]
    notes += was_notes(site)
    if args.show:
        print(dump(effective(site)), end="")
        return 0
    from edge_agent.commissioning.terminal import printer

    screen = printer()
    show_summary(screen, site)
    show_notes(screen, notes)
    return 0


def site_notes(site: Site) -> Iterator[Finding]:
    """What to know about the file as a whole."""
    if not site.devices:
        yield Finding(
            "no-devices",
            "devices",
            "文件里没有设备，采集代理不会读任何数据：请在 devices 下写出设备，或用 include 引入。",
            "There is no device in the file, and the agent reads nothing: write devices, or "
            "include a file with some.",
        )


def device_notes(site: Site) -> Iterator[Finding]:
    """What the connectors have to say about this machine: no fault of the file, and no reason not
    to start."""
    from edge_agent.config.compile import plan
    from edge_agent.config.plugins import InstalledPlugins

    plugins = InstalledPlugins()
    for device in site.devices:
        plugin = plugins[device.connector]
        for note in plugin.notes(plan(device, plugin)) if plugin.notes else ():
            where = ".".join(part for part in (device.id, note.tag, note.key) if part)
            yield Finding("connector", where, note.zh, note.en)


def descriptor_notes(site: Site) -> Iterator[Finding]:
    """A note when the connections need more open files than a process may have here."""
    from edge_agent.config.compile import plan
    from edge_agent.config.plugins import InstalledPlugins
    from edge_agent.polling.attempts import RESERVE
    from edge_agent.process import descriptor_limit

    plugins = InstalledPlugins()
    connections = set()
    for device in site.devices:
        plugin = plugins[device.connector]
        key = plugin.connection_key(plan(device, plugin).options)
        connections.add((device.connector, key))
    needed = len(connections) + RESERVE
    limit = descriptor_limit()
    if needed > limit:
        yield Finding(
            "descriptors",
            "devices",
            f"{len(connections)} 个连接约需 {needed} 个文件描述符，这里每个进程最多 {limit} 个，"
            "其余设备将无法连接：请提高服务单元的 LimitNOFILE 或 ulimit -n，或分成几个配置文件。",
            f"{len(connections)} connections need about {needed} file descriptors and a process may"
            f" have {limit} here, so the rest will not be connected: raise LimitNOFILE of the "
            "unit or"
            " `ulimit -n`, or use several configuration files.",
        )


def register_notes(site: Site) -> Sequence[Finding]:
    """What to know about the register. Raises RegisterError with everything that is wrong in it."""
    from edge_agent.register.importing import load
    from edge_agent.register.names import names_in

    files = site.register_
    if files.equipment is None:
        return ()
    return load(files.equipment, files.processes, names_in(site))[1]


def was_notes(site: Site) -> Iterator[Finding]:
    """`was` of this file that the running store service does not follow; nothing where none runs
    here."""
    from edge_agent.app.status.ask import serve_socket
    from edge_agent.control.client import ask
    from edge_agent.errors import FindingsError

    try:
        found = ask(serve_socket(site), "names", limit=_ASK_S)
    except (
        ConnectionError,
        FindingsError,
    ):
        # what a service that does not answer would say is no matter of the file
        return
    for claim in found["was_aside"]:
        if not claim["guest"]:
            yield Finding(
                claim["reason"], f"{claim['device']}.was: {claim['was']}", claim["zh"], claim["en"]
            )


def show_notes(screen: SentencePrinter, notes: Sequence[Finding]) -> None:
    """The notes under a heading, those that say the same of many places once."""
    if not notes:
        return
    places: dict[tuple[str, str], list[str]] = {}
    for note in notes:
        places.setdefault((note.zh, note.en), []).append(note.where)
    screen.line("")
    screen.line(f"{screen.say('提示', 'Notes')} ({len(places)}):")
    for (zh, en), where in places.items():
        screen.pair(zh, en, lead=f"{_places(where)}: ", indent=2)


def _places(where: Sequence[str]) -> str:
    shown = ", ".join(where[:3])
    return shown if len(where) <= 3 else f"{shown}, … ({len(where)})"


def effective(site: Site) -> dict[str, Any]:
    """The site as plain data with every default, template and profile applied; secrets are stars.

    Of a tag only what differs from the defaults: thousands of tags with ten defaults each help
    nobody.
    """
    from edge_agent.config.secrets import without_account

    data = site.model_dump(
        mode="json",
        by_alias=True,
        exclude_none=True,
        exclude={"devices", "confirm_reason"},
        serialize_as_any=True,  # a store has more keys than the section that all of them share
    )
    store = data["store"]
    if isinstance(url := store.get("url"), str):
        store["url"] = without_account(url)
    data["devices"] = [_device(device) for device in site.devices]
    return data


def _device(device: DeviceCommon) -> dict[str, Any]:
    data = device.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"tags"})
    data["tags"] = {
        name: tag.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
        for name, tag in device.tags.items()
    }
    return data


_HEAD: Final = (
    ("设备", "DEVICE"),
    ("连接器", "CONNECTOR"),
    ("地址", "AT"),
    ("模板", "PROFILE"),
    ("变量", "TAGS"),
    ("周期", "EVERY"),
    ("值/秒", "VALUES/S"),
    ("请求/轮", "REQUESTS"),
)
_NUMBERS: Final = 4
"""The first column of numbers."""


def show_summary(screen: SentencePrinter, site: Site) -> None:
    """A line for each device, and the sum."""
    from edge_agent.config.compile import plan, values_per_second
    from edge_agent.config.plugins import InstalledPlugins

    plugins = InstalledPlugins()
    rows = []
    tags = 0
    rate = 0.0
    connections = set()
    for device in site.devices:
        plugin = plugins[device.connector]
        compiled = plan(device, plugin)
        connections.add((device.connector, plugin.connection_key(compiled.options)))
        per_second = values_per_second(compiled.tables)
        tags = tags + len(device.tags)
        rate = rate + per_second
        where = str(getattr(device, plugin.endpoint_key))
        periods = ", ".join(f"{one.every:g} s" for one in compiled.tables)
        asked = plugin.requests(compiled) if plugin.requests else 0
        size = (str(len(device.tags)), periods, f"{per_second:g}", str(asked) if asked else "-")
        rows.append((device.id, device.connector, where, device.profile or "-", *size))
    if rows:
        screen.table([screen.say(zh, en) for zh, en in _HEAD], rows, numbers=_NUMBERS)
        screen.line("")
        screen.pair(
            f"配置可用：{len(rows)} 台设备，{len(connections)} 个连接，{tags} 个变量，每秒 "
            f"{rate:g} 个值。",
            f"The configuration is fine: {number_of(len(rows), 'device')} on"
            f" {number_of(len(connections), 'connection')}, {number_of(tags, 'tag')}, {rate:g}"
            f" {verb(1 if rate == 1 else 2, 'value', 'values')}/s.",
            hang=0,
        )
    else:
        screen.pair(
            "配置没有错误，但没有设备，也就没有可读的数据。",
            "No error was found, but there is no device, and nothing to read.",
            hang=0,
        )
    screen.pair(*freed_when(site), hang=0)
    if site.agent.workers is not None:
        screen.pair(*_OBSOLETE_WORKERS, hang=0)


#: Why `mqtt.confirm` is what it is.
_REASONS: Final[dict[str, tuple[str, str]]] = {
    "mqtt.confirm": ("由 mqtt.confirm 指定", "as mqtt.confirm says"),
    "store": (
        "未写 mqtt.confirm，而文件里有 store 一节",
        "mqtt.confirm is not written and there is a store section",
    ),
    "no store": (
        "未写 mqtt.confirm，也没有 store 一节",
        "neither mqtt.confirm nor a store section is written",
    ),
}


def freed_when(site: Site) -> tuple[str, str]:
    """When an entry leaves the outbox, and what decided that."""
    zh, en = _REASONS[site.confirm_reason]
    what_zh, what_en = {
        "store": ("入库后才从本机释放", "a value is freed here when the store has it"),
        "broker": (
            "消息服务器确认后即从本机释放",
            "a value is freed here when the broker acknowledged it",
        ),
    }[site.mqtt.confirm or "broker"]
    return (
        f"confirm: {site.mqtt.confirm}（{zh}）：{what_zh}。",
        f"confirm: {site.mqtt.confirm} ({en}): {what_en}.",
    )


#: What is written and has no effect any more.
_OBSOLETE_WORKERS: Final = (
    "agent.workers 不再起作用（采集代理只有一个进程），可以删除。",
    "agent.workers has no effect any more (an agent is one process); it can be deleted.",
)
