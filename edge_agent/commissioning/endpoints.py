"""Which connector speaks at an address, and the options of a device there that nobody has
configured."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from edge_agent.commissioning.file_changes import load_draft
from edge_agent.config.models import DeviceCommon
from edge_agent.config.places import SecretReference
from edge_agent.config.plugins import Plugins, loadable, plugins_or_installed
from edge_agent.discovery import Discovery
from edge_agent.errors import FindingsError
from edge_agent.sdk import Options, Plugin
from edge_agent.words import command


@dataclass(frozen=True, slots=True)
class DeviceTarget:
    """A device that can be asked, configured or not."""

    plugin: Plugin
    discovery: Discovery
    options: Options
    keys: Mapping[str, Any]
    """The YAML keys that say where it is."""
    device: DeviceCommon | None = None
    """The configured device, where there is one."""


def discovery_of(plugin: Plugin) -> Discovery:
    """What the plugin can find out. Raises FindingsError for one that can find out nothing."""
    if plugin.discovery is None:
        raise FindingsError.one(
            "no-discovery",
            f"连接器 {plugin.name} 不能探查设备；请按手册配置。",
            f"The connector {plugin.name} cannot look at devices that are not configured; "
            "configure it by its manual.",
        )
    return plugin.discovery()


@dataclass(frozen=True, slots=True)
class Keys:
    """Further keys of a device, as they are used and as a file has them."""

    values: Mapping[str, Any]
    written: Mapping[str, Any]


def further_keys(pairs: Sequence[str]) -> Keys:
    """`security.policy=Basic256Sha256`, `user.password=!env NAME` as keys. Raises FindingsError."""
    values: dict[str, Any] = {}
    written: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not all(key.split(".")):
            raise FindingsError.one(
                "bad-set",
                f"--set {pair} 应写成 键=值，例如 --set security.policy=Basic256Sha256。",
                f"--set {pair} must read KEY=VALUE, as in --set security.policy=Basic256Sha256.",
            )
        value, reference = _value_of(text)
        for target, item in ((values, value), (written, reference)):
            *above, last = key.split(".")
            for name in above:
                target = target.setdefault(name, {})
            target[last] = item
    return Keys(values, written)


def _value_of(text: str) -> tuple[Any, Any]:
    """A value, and what stands for it in a file: a secret stays a reference."""
    tag, _, argument = text.partition(" ")
    argument = argument.strip()
    if tag not in ("!env", "!file") or not argument:
        plain = yaml.safe_load(text)
        return plain, plain
    try:
        found = (
            os.environ[argument]
            if tag == "!env"
            else Path(argument).read_text(encoding="utf-8").strip()
        )
    except KeyError:
        raise FindingsError.one(
            "missing-secret",
            f"没有环境变量 {argument}。",
            f"There is no environment variable {argument}.",
        ) from None
    return found, SecretReference("!env" if tag == "!env" else "!file", argument)


def at_address(
    url: str, plugins: Plugins | None = None, more: Keys | None = None, **keys: Any
) -> DeviceTarget:
    """The device at an address. Raises FindingsError for one that no connector knows."""
    scheme = url.partition("://")[0] if "://" in url else ""
    schemes: list[str] = []
    for plugin in loadable(plugins_or_installed(plugins)):
        if plugin.discovery is None:
            continue
        discovery = plugin.discovery()
        if scheme in discovery.schemes:
            here = {plugin.endpoint_key: url, **keys}
            used = here | dict(more.values if more else {})
            written = here | dict(more.written if more else {})
            return DeviceTarget(plugin, discovery, options_of(plugin, used), written)
        schemes += discovery.schemes
    shown = ", ".join(f"{name}://" for name in schemes)
    raise FindingsError.one(
        "unknown-scheme",
        f"{url} 不是可探查的地址：应以 {shown} 之一开头。",
        f"{url} is no address that can be looked at: it begins with one of {shown}.",
    )


def options_of(plugin: Plugin, keys: Mapping[str, Any]) -> Options:
    """The connector's options for these keys. Raises FindingsError when they are not valid."""
    try:
        options = plugin.device_options.model_validate(dict(keys))
        if plugin.discovery is not None:
            plugin.discovery().target(options)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        shown = keys.get(name)
        raise FindingsError.one(
            "bad-address",
            f"{name}: {shown!r} 不可用，请对照示例改正。",
            f"{name}: {shown!r} cannot be used ({first['msg']}).",
        ) from error
    except ValueError as error:
        raise FindingsError.one("bad-address", *sentences(error)) from error
    return options


def sentences(error: ValueError) -> tuple[str, str]:
    """The Chinese and the English sentence of a refusal; one that has only one text has it
    twice."""
    zh, _, en = str(error).partition("\n")
    return zh, en.strip() or zh


def configured(config: Path, device: str, plugins: Plugins | None = None) -> DeviceTarget:
    """A device of a configuration, with its secrets. Raises FindingsError."""
    known = plugins_or_installed(plugins)
    site = load_draft(config, known, device_secrets=True)
    found = next((one for one in site.devices if one.id == device), None)
    if found is None:
        from edge_agent.config.findings import advice

        zh, en = advice(device, [one.id for one in site.devices])
        raise FindingsError.one(
            "unknown-device", f"没有设备 {device!r}；{zh}", f"no device {device!r}; {en}"
        )
    plugin = known[found.connector]
    where = {plugin.endpoint_key: getattr(found, plugin.endpoint_key)}
    return DeviceTarget(plugin, discovery_of(plugin), cast("Options", found), where, found)


def cannot_browse(plugin: Plugin, where: str) -> FindingsError:
    """The refusal of a protocol that has no names to list."""
    probe, scan = (
        command("probe", where, "--from", 0),
        command("scan", plugin.name, where, "--units", "1-32"),
    )
    return FindingsError.one(
        "cannot-browse",
        f"{plugin.name} 没有可浏览的名称，只有编号的寄存器：用 {probe} 查看寄存器，"
        f"用 {scan} 查看哪些站号应答、哪个设备模板相符。",
        f"{plugin.name} has no names to browse, only numbered registers: use `{probe}` to look "
        "at registers, or"
        f" `{scan}` to see which units answer and which profile fits.",
    )
