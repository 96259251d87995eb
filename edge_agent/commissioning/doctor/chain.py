"""The way of a value from its beginning: file, secrets, agent, devices, clock, outbox, broker,
service, store."""

from __future__ import annotations

import ctypes
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edge_agent.app.status.ask import ask_agent, ask_serve, waiting
from edge_agent.clock import Clock
from edge_agent.commissioning.doctor.devices import chosen, directly, through_agent
from edge_agent.commissioning.doctor.diagnosis import Diagnosis, fault, fine, note, of_finding
from edge_agent.config import load
from edge_agent.config.models import Mqtt, Site
from edge_agent.config.plugins import Plugins, plugins_or_installed
from edge_agent.discovery import Progress
from edge_agent.errors import FindingsError
from edge_agent.health.clocks import EPOCH_NS
from edge_agent.mqtt.connection import MqttConnection
from edge_agent.mqtt.trouble import LinkError, tls_context
from edge_agent.words import command, number_of

_UNSYNCHRONISED: Final = 5
"""What adjtimex returns while nothing keeps the clock right."""
_TIMEX_BYTES: Final = 512
_LITTLE_ROOM: Final = 500_000_000
_CORRECT: Final = ("改正文件后再运行 doctor。", "Correct the file and run doctor again.")


async def examine(
    config: Path, names: Sequence[str], progress: Progress, plugins: Plugins | None = None
) -> list[Diagnosis]:
    """Walk the whole way. Raises FindingsError for a device name that the file does not have."""
    known = plugins_or_installed(plugins)
    try:
        site = load(config, plugins, secrets=False)
    except FindingsError as error:
        return [of_finding(finding, _CORRECT) for finding in error.findings]
    found = [fine(str(config), "配置文件没有错误。", "No error in the file.")]
    wanted = chosen(site, names, known)
    agent, unheard = _asked(lambda: ask_agent(site))
    full, absent = _with_secrets(config, plugins, needed=agent is None)
    found += absent
    found += _agent(agent, unheard, config)
    if agent is not None:
        found += await through_agent(site, wanted, agent, known, progress)
    elif unheard is None:
        found += await directly(
            full or _with_device_secrets(config, plugins) or site, wanted, known, Clock(), progress
        )
    found += _clock()
    found += _outbox(site, agent)
    found += await _broker(full, agent)
    found += _service(site, config)
    return found


def _asked(ask: Any) -> tuple[dict[str, Any] | None, Diagnosis | None]:
    """The answer of a running part; or that it is there and does not let itself be asked."""
    try:
        return ask(), None
    except FindingsError as error:
        finding = error.findings[0]
        then = (
            "以采集代理的用户或其组内的用户运行 doctor。",
            "Run doctor as the agent's user, or as one of its group.",
        )
        return None, of_finding(finding, then)


def _with_secrets(
    config: Path, plugins: Plugins | None, *, needed: bool
) -> tuple[Site | None, list[Diagnosis]]:
    """The site with its secrets; None where some are missing. A running agent has them, whatever
    this shell lacks."""
    try:
        return load(config, plugins), []
    except FindingsError as error:
        make = fault if needed else note
        then = _SECRETS
        return None, [make(one.where, (one.zh, one.en), then) for one in error.findings]


def _with_device_secrets(config: Path, plugins: Plugins | None) -> Site | None:
    """The site with the secrets of its devices, whatever broker and store lack; None where those
    are missing too."""
    try:
        return load(config, plugins, secrets=False, device_secrets=True)
    except FindingsError:
        return None


_SECRETS: Final = (
    "在运行采集代理的环境里设好它（systemd 单元用 EnvironmentFile=），或把文件放到所写的位置。",
    "Set it where the agent runs (EnvironmentFile= of its unit), or put the file where it is "
    "said to be.",
)


def _agent(
    agent: Mapping[str, Any] | None, unheard: Diagnosis | None, config: Path
) -> Iterator[Diagnosis]:
    if unheard is not None:
        yield unheard
    elif agent is None:
        yield note(
            "agent",
            (
                "采集代理没有运行；设备由 doctor 直接询问一次。",
                "The agent does not run; doctor asks the devices itself, once.",
            ),
            (f"启动：{command('run', config)}", f"Start it: {command('run', config)}"),
        )
    else:
        yield fine(
            "agent",
            f"采集代理在运行（版本 {agent.get('version', '?')}），设备由它来问，doctor "
            "不另开连接。",
            f"The agent runs (version {agent.get('version', '?')}); it is asked, and no device "
            "is opened beside it.",
        )


def _clock() -> Iterator[Diagnosis]:
    if time.time_ns() < EPOCH_NS:
        yield fault(
            "clock",
            ("本机时钟从未设置。", "This machine's clock was never set."),
            (
                "设置时间并启用 NTP（timedatectl set-ntp true）。",
                "Set the time and NTP (timedatectl set-ntp true).",
            ),
        )
    elif not _is_synchronised():
        yield note(
            "clock",
            ("本机时钟没有同步。", "Nothing keeps this machine's clock right."),
            (
                "启用 NTP：timedatectl set-ntp true；没有外网时指向厂内的时间服务器。",
                "Use NTP: timedatectl set-ntp true; without the internet, point it to a time "
                "server of the plant.",
            ),
        )
    else:
        yield fine("clock", "本机时钟已同步。", "This machine's clock is kept right.")


def _is_synchronised() -> bool:
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return int(libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))) != _UNSYNCHRONISED
    except (OSError, AttributeError):
        return True


def _outbox(site: Site, agent: Mapping[str, Any] | None) -> Iterator[Diagnosis]:
    path = site.outbox.path
    there = next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))
    if agent is None and not os.access(there, os.W_OK | os.X_OK):
        yield fault(
            str(path),
            ("发件箱的文件夹不可写。", "The folder of the outbox cannot be written."),
            (
                "修改其属主或权限，或改 outbox.path。",
                "Change its owner or permissions, or outbox.path.",
            ),
        )
        return
    free = shutil.disk_usage(there).free
    if free < _LITTLE_ROOM:
        yield fault(
            str(path),
            (f"磁盘只剩 {free / 1e6:.0f} MB。", f"The disk has {free / 1e6:.0f} MB left."),
            (
                "清理磁盘，或把 outbox.path 移到别的盘。",
                "Make room, or move outbox.path to another disk.",
            ),
        )
        return
    if free < site.outbox.max_bytes:
        yield note(
            str(path),
            (
                f"磁盘剩余 {free / 1e9:.1f} GB，小于 outbox.max_bytes。",
                f"The disk has {free / 1e9:.1f} GB left, less than outbox.max_bytes.",
            ),
            ("清理磁盘或减小 outbox.max_bytes。", "Make room, or lower outbox.max_bytes."),
        )
    try:
        left = waiting(site) if agent is None else None
    except FindingsError as error:
        yield of_finding(
            error.findings[0], ("以采集代理的用户运行。", "Run it as the agent's user.")
        )
        return
    if left is not None and left["pending_values"]:
        count = left["pending_values"]
        yield note(
            str(path),
            (
                f"发件箱里有 {count} 个值还没有发出。",
                f"{number_of(count, 'value')} in the outbox are not sent yet.",
            ),
            ("启动采集代理即会发出。", "They are sent when the agent runs."),
        )
    else:
        yield fine(str(path), "发件箱可用。", "The outbox is fine.")


async def _broker(site: Site | None, agent: Mapping[str, Any] | None) -> list[Diagnosis]:
    """The broker, through the agent that is connected to it, else with a connection under another
    client id."""
    if agent is not None:
        notices = [
            n
            for n in agent.get("ne107", {}).get("notices", ())
            if n["reason"].startswith(("broker", "ingest"))
        ]
        if not notices:
            return [
                fine("mqtt", "采集代理已连上消息服务器。", "The agent is connected to the broker.")
            ]
        return [
            (fault if not agent.get("broker_connected") else note)(
                "mqtt", (n["zh"], n["en"]), _BROKER
            )
            for n in notices
        ]
    if site is None:
        return [
            note("mqtt", ("缺少密码，没有尝试连接。", "Not tried: a secret is missing."), _SECRETS)
        ]
    return [await _connection_result(site.mqtt, site.agent.id)]


_BROKER: Final = (
    "按上句检查消息服务器和 mqtt 一节。",
    "Check the broker and the section mqtt as it says.",
)


async def _connection_result(config: Mqtt, agent: str) -> Diagnosis:
    # Another client id: with the agent's own the broker would throw a running agent out.
    try:
        connection = MqttConnection(config, f"{agent}-doctor-{os.getpid()}")
        try:
            await connection.open(tls_context(config))
            connection.disconnect()
            connection.flush()
        finally:
            connection.close()
    except LinkError as error:
        return fault("mqtt", (error.finding.zh, error.finding.en), _BROKER)
    return fine(
        "mqtt",
        f"{config.url} 接受连接和账号。",
        f"{config.url} accepts the connection and the account.",
    )


def _service(site: Site, config: Path) -> Iterator[Diagnosis]:
    serve, unheard = _asked(lambda: ask_serve(site))
    if unheard is not None:
        yield unheard
    elif serve is None:
        ours = site.confirm_reason == "store" or site.mqtt.confirm == "store"
        make = fault if ours else note
        yield make(
            "serve",
            ("入库服务没有在本机运行。", "The store service does not run on this machine."),
            (
                f"启动：{command('serve', config)}；它在别的机器上时请在那里查看。",
                f"Start it: {command('serve', config)}; where it is on another machine, look "
                "there.",
            ),
        )
    else:
        notices = serve.get("ne107", {}).get("notices", ())
        if not notices:
            yield fine(
                "serve",
                "入库服务在运行，数据库可用。",
                "The store service runs, and so does its store.",
            )
        for one in notices:
            yield fault("serve", (one["zh"], one["en"]), _STORE)


_STORE: Final = (
    "按上句检查消息服务器、数据库和 store 一节。",
    "Check the broker, the store and the section store as it says.",
)
