"""The devices: through the running agent, which alone talks to them, else asked once and left."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from edge_agent.app.status.ask import agent_socket, serve_socket
from edge_agent.app.values.current import Document, tag_names
from edge_agent.app.values.direct import read_once
from edge_agent.app.values.names import selected
from edge_agent.app.values.source import ServedSource
from edge_agent.clock import Clock
from edge_agent.commissioning.doctor.diagnosis import Diagnosis, fault, fine, note
from edge_agent.commissioning.doctor.suspicions import TagView, suspicions, window_of
from edge_agent.commissioning.line_use import in_use
from edge_agent.config.models import DeviceCommon, Site
from edge_agent.config.plugins import Plugins
from edge_agent.control import client
from edge_agent.discovery import DiscoveryTarget, Progress
from edge_agent.reasons import cause_of_error
from edge_agent.sdk import Options
from edge_agent.words import command, number_of

#: Seconds between two looks, and what the agent may take for one.
LOOKS: Final = 2
_BETWEEN_S: Final = 1.2
_ANSWER_S: Final = 30.0
_RESOLVE_S: Final = 5.0
_PAST_NS: Final = 8 * 3600 * 10**9
_NAMED: Final = 6
_PAGES: Final = 8
"""Windows of the past that are looked at for each tag."""
_MOST_TAGS: Final = 400
"""Tags whose past is looked at."""
_CLOCK_S: Final = 60.0


async def through_agent(
    site: Site,
    wanted: Sequence[str],
    status: Mapping[str, Any],
    plugins: Plugins,
    progress: Progress,
) -> list[Diagnosis]:
    """What the running agent says of its devices, and of their values; nothing is opened to a
    device."""
    found = []
    rows = {row["id"]: row for row in status.get("devices", ())}
    for name in wanted:
        found += _agents_device(name, rows.get(name))
    documents = []
    for look in range(LOOKS):
        progress(look, LOOKS, "values")
        if look:
            await asyncio.sleep(_BETWEEN_S)
        try:
            answer = await asyncio.to_thread(
                client.ask,
                agent_socket(site),
                "values",
                limit=_ANSWER_S,
                names=list(wanted),
                raw=True,
            )
        except ConnectionError:
            break
        documents.append(answer)
    return found + _suspected(site, wanted, documents)


def _agents_device(name: str, row: Mapping[str, Any] | None) -> list[Diagnosis]:
    if row is None:
        return [
            fault(
                name,
                ("运行中的采集代理没有这台设备。", "The running agent does not have this device."),
                (
                    f"运行 {command('reload')}，或重新启动采集代理。",
                    f"Run `{command('reload')}`, or start the agent anew.",
                ),
            )
        ]
    found = []
    bad = [tag for tag in row["tags"] if not tag["status"].startswith("Uncertain")]
    if row["state"] in ("online", "degraded") and not bad:
        found.append(
            fine(
                name,
                f"在线，{row['values']} 个值。",
                f"Online, {number_of(row['values'], 'value')}.",
            )
        )
    elif row["state"] == "offline" or not bad:
        found.append(fault(name, (row["detail_zh"], row["detail"]), _LOOK_AT_DEVICE))
    else:
        found.append(_bad_tags(name, bad, row["tags_not_good"]))
    offset = row.get("clock_offset_s")
    if offset is not None and abs(offset) > _CLOCK_S:
        found.append(
            note(
                name,
                (
                    f"设备时钟与本机相差 {offset:.0f} 秒。",
                    f"The device's clock is {offset:.0f} s from ours.",
                ),
                ("在设备上设置时间或 NTP。", "Set the time or NTP in the device."),
            )
        )
    return found


_LOOK_AT_DEVICE: Final = (
    "按上句检查设备、网线和地址；之后再运行 doctor。",
    "Check the device, the cable and the address as it says, then run doctor again.",
)


def _bad_tags(name: str, bad: Sequence[Mapping[str, Any]], count: int) -> Diagnosis:
    names = ", ".join(str(tag["tag"]) for tag in bad[:_NAMED]) + (", …" if count > _NAMED else "")
    first = bad[0]
    return fault(
        f"{name}/{names}",
        (
            f"{count} 个变量读不到：{first['zh']}",
            f"{number_of(count, 'tag')} cannot be read: {first['en']}",
        ),
        (
            "对照手册核对地址和类型；用 browse 或 probe 查看设备上实有的。",
            "Compare address and type with the manual; `browse` or `probe` shows what the device "
            "has.",
        ),
    )


async def directly(
    site: Site, wanted: Sequence[str], plugins: Plugins, clock: Clock, progress: Progress
) -> list[Diagnosis]:
    """The devices asked without an agent: name, port, session, units, tags. A line that somebody
    uses is left alone."""
    by_device: dict[str, list[Diagnosis]] = {name: [] for name in wanted}
    free: list[str] = []
    for device in site.devices:
        if device.id not in wanted:
            continue
        progress(len(free), len(wanted), device.id)
        obstacle = await _before_connecting(device, plugins)
        if obstacle is None:
            free.append(device.id)
        else:
            by_device[device.id].append(obstacle)
    documents: list[Document] = []
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(_BETWEEN_S)
        progress(look, LOOKS, "values")
        tags = {
            device.id: tag_names(device, plugins[device.connector])
            for device in site.devices
            if device.id in free
        }
        documents.append(await read_once(site, plugins, tags, clock, ask=True))
    for name in free:
        by_device[name] += _direct_device(name, documents[-1])
    found = [one for device in by_device.values() for one in device]
    return found + _suspected(site, free, documents)


async def _before_connecting(device: DeviceCommon, plugins: Plugins) -> Diagnosis | None:
    """What can be said before a connection is made: the name resolves, the port is there, nobody
    uses the line."""
    plugin = plugins[device.connector]
    if plugin.discovery is None:
        return None
    target = plugin.discovery().target(cast("Options", device))
    where = str(getattr(device, plugin.endpoint_key))
    finding = in_use(target, where)
    if finding is not None:
        return note(device.id, (finding.zh, finding.en), _STOP_FIRST)
    return await _resolved(device.id, target, where)


_STOP_FIRST: Final = (
    "没有去打扰它；停下那个程序后再运行 doctor。",
    "It was left alone; run doctor again when that program has stopped.",
)


async def _resolved(name: str, target: DiscoveryTarget, where: str) -> Diagnosis | None:
    if target.serial:
        if await asyncio.to_thread(os.path.exists, target.serial):
            return None
        return fault(
            name,
            (f"没有串口 {target.serial}。", f"There is no serial port {target.serial}."),
            (
                "插好转换器，用 ls -l /dev/serial/by-id 查看它的名称，再改 url。",
                "Plug the adapter in, look up its name with `ls -l /dev/serial/by-id`, and "
                "correct url.",
            ),
        )
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_RESOLVE_S):
            await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        what = (
            f"名称服务器没有回答 {target.host}。",
            f"The name server does not answer for {target.host}.",
        )
    except OSError as error:
        why = cause_of_error(error, where)
        what = (why.zh, why.en)
    else:
        return None
    return fault(
        name,
        what,
        (
            "在设备的地址里写 IP，或检查本机的 DNS。",
            "Write the IP address, or check this machine's DNS.",
        ),
    )


def _direct_device(name: str, document: Document) -> list[Diagnosis]:
    rows = [row for row in document["values"] if row["device"] == name]
    good = [
        row for row in rows if row["quality"].startswith(("Good", "Uncertain")) or row.get("absent")
    ]
    if len(good) == len(rows):
        return [
            fine(
                name,
                f"应答，{len(rows)} 个变量全部读得到。",
                f"It answers; {number_of(len(rows), 'tag')} read, none is missing.",
            )
        ]
    state = next(state for state in document["devices"] if state["id"] == name)
    if not good:
        return [fault(name, (state["zh"], state["en"]), _LOOK_AT_DEVICE)]
    bad = [
        {
            "tag": row["tag"],
            "zh": row.get("why", ("", ""))[0] or state["zh"],
            "en": row.get("why", ("", ""))[1] or state["en"],
        }
        for row in rows
        if row not in good
    ]
    return [_bad_tags(name, bad, len(bad))]


def _suspected(site: Site, wanted: Sequence[str], documents: Sequence[Document]) -> list[Diagnosis]:
    """The suspicions about all devices, from these looks and what the running store service has of
    the past."""
    found: list[Diagnosis] = []
    past = _Past(site)
    for device in site.devices:
        if device.id in wanted:
            views = _views(device, documents)
            for view in views:
                past.add(device.id, view)
            found += suspicions(device.id, views)
    return found


def _views(device: DeviceCommon, documents: Sequence[Document]) -> list[TagView]:
    views: dict[str, TagView] = {}
    for document in documents:
        for row in document["values"]:
            if row["device"] == device.id and row["tag"] in device.tags:
                config = device.tags[row["tag"]]
                low, high = config.range or (None, None)
                view = views.setdefault(row["tag"], TagView(row["tag"], low=low, high=high))
                view.rows.append(row)
    return list(views.values())


class _Past:
    """The last hours of tags, from a running store service; nothing without one."""

    def __init__(self, site: Site) -> None:
        door = serve_socket(site)
        self._source = ServedSource(door) if client.running(door) else None
        self._left = _MOST_TAGS

    def add(self, device: str, view: TagView) -> None:
        """Add what the store has to a view."""
        if self._source is None or not self._left:
            return
        self._left -= 1
        end = time.time_ns()
        step = _PAST_NS // _PAGES
        first: int | None = None
        try:
            for page in range(_PAGES):
                at = end - _PAST_NS + page * step
                found = self._source.page(device, view.name, at, at + step)
                if len(found):
                    first = int(found.t[0]) if first is None else first
                    view.window = window_of(
                        found.t.tolist(), found.num.tolist(), found.status.tolist(), view.window
                    )
                    view.window.span_ns = int(found.t[-1]) - first
        except (ConnectionError, KeyError):  # it has ended meanwhile, or knows no such series
            self._source = None


def chosen(site: Site, names: Sequence[str], plugins: Plugins) -> list[str]:
    """The devices that are meant, all of them without a name. Raises FindingsError for a name that
    fits none."""
    known = {device.id: tag_names(device, plugins[device.connector]) for device in site.devices}
    return list(selected(names, dict.fromkeys(known, site.agent.id), known))
