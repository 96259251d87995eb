"""The whole way from a file to a `Site`; everything wrong is told at once, before the first socket opens."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from edge_agent.config import checks, expansion, profiles
from edge_agent.config.compile import plan
from edge_agent.config.expansion import RawDevice, combine
from edge_agent.config.explain import validated
from edge_agent.config.files import SHARED, read_site
from edge_agent.config.findings import Findings, advice
from edge_agent.config.models import DeviceCommon, File, Site
from edge_agent.config.places import Items, Place, Table, merged
from edge_agent.config.plugins import Plugins, device_model, plugins_or_installed, tag_model
from edge_agent.config.secrets import portable, resolved
from edge_agent.config.shape import anchored, keys, models
from edge_agent.config.tagset import TagSets
from edge_agent.errors import ConfigError
from edge_agent.sdk import Plugin


def load(path: Path | str, plugins: Plugins | None = None) -> Site:
    """The site a file describes. Relative paths in it count from the file they are written in.

    `plugins` (connector name -> plugin) replaces the installed connectors. Raises ConfigError with all findings.
    """
    path = Path(path)
    found = Findings(path)
    top = read_site(path, found)
    file = _site_keys(top, found)
    devices = _devices(top, plugins_or_installed(plugins), found)
    found.check()
    return Site(
        agent=file.agent, mqtt=file.mqtt, outbox=file.outbox, store=file.store, register=file.register_,
        agents=tuple(file.agents), devices=devices,
    )  # fmt: skip


def expand(path: Path | str, plugins: Plugins | None = None) -> dict[str, Any]:
    """The file as plain data with includes, templates and `for` written out, and paths absolute.

    Profiles stay names and `defaults` stay apart, so that the result loads like the original; secrets stay
    references. Raises ConfigError for what stands in the way of that.
    """
    path = Path(path)
    found = Findings(path)
    top = read_site(path, found)
    builder = _Builder(top, plugins_or_installed(plugins), found)
    devices = Items(top.place)
    for raw in expansion.devices(top, found):
        devices.add(builder.portable(raw), raw.table.place)
    result = anchored(top, File, defaults=False)
    result.drop("templates")
    result.put("defaults", builder.portable_defaults())
    result.put("devices", devices)
    found.check()
    return dict(portable(result))


def _site_keys(top: Table, found: Findings) -> Any:
    """The keys that are not devices, validated and checked; None when they are faulty."""
    written = top.copy()
    for key in SHARED:
        written.drop(key)
    written = anchored(written, File, defaults=True)
    data = resolved(written, found)
    checks.check_site(_sound(data), written, found)
    return validated(File, data, written, found)


def _sound(data: Table) -> dict[str, BaseModel]:
    """The sections without a fault, so that one fault does not hide what the checks find in the others."""
    result: dict[str, BaseModel] = {}
    for key, field in keys(File).items():
        for model in models(field.annotation):
            with contextlib.suppress(ValidationError):  # told by validated()
                result[key] = model.model_validate(data.get(key, {}))
    return result


def _devices(top: Table, plugins: Plugins, found: Findings) -> tuple[DeviceCommon, ...]:
    raw = expansion.devices(top, found)
    checks.check_ids((device.table for device in raw), found)
    builder = _Builder(top, plugins, found)
    builder.check_defaults()
    top.drop("devices")  # with the list below, so that what was written goes while what is made of it comes
    raw.reverse()
    built = (builder.device(raw.pop()) for _ in range(len(raw)))
    return tuple(device for device in built if device is not None)


def _without_faulty_tags(model: type[DeviceCommon], data: Table) -> DeviceCommon | None:
    """The device without the tags that are faulty in themselves, so that one fault does not hide the others' faults.

    None when a key of the device itself is faulty: what the checks would find then might be its consequence.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        places = [one["loc"] for one in error.errors(include_url=False, include_input=False)]
    if not all(len(place) > 1 and place[0] == "tags" for place in places):
        return None
    faulty = {place[1] for place in places}
    sound = {name: tag for name, tag in data["tags"].items() if name not in faulty}
    try:
        return model.model_validate({**data, "tags": sound}) if sound else None
    except ValidationError:  # told already
        return None


@dataclass(frozen=True, slots=True)
class _Parts:
    """A device with what it refers to."""

    plugin: Plugin
    table: Table
    profile: Table | None
    whole: bool


class _Builder:
    """Devices from tables: connector, defaults < profile < device, models, checks."""

    def __init__(self, top: Table, plugins: Plugins, found: Findings) -> None:
        self._defaults: Table = top.get("defaults") or Table(top.place)
        self._plugins = plugins
        self._found = found
        self._profiles = profiles.Profiles(found)
        self._tags = TagSets()

    def check_defaults(self) -> None:
        """Defaults belong to connectors that exist."""
        for name in self._defaults:
            if name not in self._plugins:
                self._unknown_connector(name, self._defaults.keys_at[name])

    def device(self, raw: RawDevice) -> DeviceCommon | None:
        """The validated device, or None with its faults told."""
        parts = self._parts(raw)
        if parts is None:
            return None
        model = device_model(parts.plugin)
        written = anchored(self._merged(parts), model, defaults=True)
        data = self._data(written, parts.plugin)
        device = validated(model, data, written, self._found, whole=parts.whole)
        if not parts.whole:
            return None
        sound = device or _without_faulty_tags(model, data)
        if sound is not None:
            checks.check_device(sound, written, self._found)
            checks.check_plan(plan(sound, parts.plugin), parts.plugin, written, self._found)
        return device  # type: ignore[no-any-return]  # an instance of `model`

    def _data(self, written: Table, plugin: Plugin) -> Table:
        """What the models validate: secrets filled in, and the tags as the one object that other devices share."""
        tags = written.get("tags")
        known = self._tags.find(tag_model(plugin), tags) if isinstance(tags, Table) else None
        if known is None:
            return resolved(written, self._found)  # type: ignore[no-any-return]  # a Table gives a Table
        rest = written.copy()
        rest.drop("tags")
        data: Table = resolved(rest, self._found)
        data["tags"] = known
        return data

    def portable(self, raw: RawDevice) -> Table:
        """The device with its connector named and its paths absolute, so that it may move to another file."""
        parts = self._parts(raw)
        if parts is None:
            return raw.table
        result = anchored(parts.table, device_model(parts.plugin), defaults=False)
        name = result.get("profile")
        if isinstance(name, str):
            result["profile"] = self._profiles.portable_name(name, result.values_at["profile"])
        return result

    def portable_defaults(self) -> Table:
        """The defaults with absolute paths."""
        result = self._defaults.copy()
        for name, table in self._defaults.items():
            if name in self._plugins and isinstance(table, Table):
                result[name] = anchored(table, device_model(self._plugins[name]), defaults=False)
        return result

    def _parts(self, raw: RawDevice) -> _Parts | None:
        table, whole, profile = raw.table, raw.whole, None
        if table.get("profile") is not None:
            profile = self._profiles.find(table["profile"], table.values_at["profile"])
            whole = whole and profile is not None
        if profile is not None:
            table = self._with_connector(table, profile)
            whole = whole and table["connector"] == profile["connector"]
        plugin = self._plugin(table, whole)
        return None if plugin is None else _Parts(plugin, table, profile, whole)

    def _with_connector(self, table: Table, profile: Table) -> Table:
        """A profile knows its connector, so the device need not say it; it must not say another."""
        name = table.get("connector")
        if name is None:
            table = merged(table.place, table)
            table.put("connector", profile["connector"], table.values_at["profile"])
        elif name != profile["connector"] and name in self._plugins:
            right = profile["connector"]
            zh = f"profile {table['profile']!r} 用于连接器 {right!r}，而设备写的是 {name!r}，请改其一。"
            en = f"the profile {table['profile']!r} is for connector {right!r}, the device says {name!r}; change one."
            self._found.add("contradiction", table.values_at["connector"], zh, en)
        return table

    def _plugin(self, table: Table, whole: bool) -> Plugin | None:
        name = table.get("connector")
        if isinstance(name, str) and name in self._plugins:
            try:
                return self._plugins[name]
            except ConfigError as error:
                for finding in error.findings:
                    self._found.add(finding.code, table.values_at["connector"], finding.zh, finding.en)
        elif name is not None:
            self._unknown_connector(name, table.values_at["connector"])
        elif whole:
            zh, en = advice("", self._plugins)
            self._found.add(
                "missing-key", table.place, f'缺少键 "connector"；{zh}', f'the key "connector" is missing; {en}'
            )
        return None

    def _unknown_connector(self, name: object, at: Place) -> None:
        zh, en = advice(name, self._plugins)
        self._found.add("unknown-connector", at, f"没有连接器 {name!r}；{zh}", f"no connector {name!r}; {en}")

    def _merged(self, parts: _Parts) -> Table:
        table = parts.table
        if parts.profile is not None and table["connector"] == parts.profile["connector"]:
            below = self._profiles.device_keys(parts.profile, parts.plugin)
            table = combine(profiles.without_stamp(below, table), table)
        defaults = self._defaults.get(parts.plugin.name)
        return combine(defaults, table) if isinstance(defaults, Table) else table
