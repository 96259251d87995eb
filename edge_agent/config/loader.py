"""The whole way from a file to a `Site`; everything wrong is told at once, before the first socket
opens."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.config import checks, expansion, profiles
from edge_agent.config.compile import plan
from edge_agent.config.expansion import RawDevice, combine, with_tags_written_out
from edge_agent.config.explain import validated
from edge_agent.config.files import SHARED, read_site
from edge_agent.config.findings import Findings, advice, nearest
from edge_agent.config.models import ConfirmReason, DeviceCommon, File, Mqtt, Site, TagCommon
from edge_agent.config.places import FilePosition, YamlMapping, YamlSequence, merged
from edge_agent.config.plugins import (
    Plugins,
    any_connector,
    device_model,
    loadable,
    plugins_or_installed,
    tag_model,
)
from edge_agent.config.secrets import portable, resolved
from edge_agent.config.shape import anchored, keys, models
from edge_agent.config.soundness import ValidatedInstance, sound_part
from edge_agent.config.store_plugins import check_store, file_model
from edge_agent.config.tagset import TagSets
from edge_agent.errors import ConfigError, Finding
from edge_agent.sdk import Plugin


def load(
    path: Path | str, plugins: Plugins | None = None, *, secrets: bool = True,
    device_secrets: bool | Collection[str] | None = None,
) -> Site:  # fmt: skip
    """The site a file describes. Relative paths in it count from the file they are written in.

    `plugins` (connector name -> plugin) replaces the installed connectors. Without `secrets`,
    passwords and the like that are not there are no fault: for commands that connect to nothing, or
    find out later that they must (then `Site.require_store_secrets`). `device_secrets`: the same
    for those of the devices alone, or the ids of those devices whose secrets are needed; default as
    `secrets`. Raises ConfigError with all findings.
    """
    path = Path(path)
    found = Findings(path)
    absent = Findings(path)
    spared = None if secrets else absent
    top = read_site(path, found)
    file = _site_keys(top, found, spared)
    absent_of_store = _absent_from(top, "store", path, spared)
    needed = secrets if device_secrets is None else device_secrets
    some = () if isinstance(needed, bool) else needed
    devices = _devices(
        top, plugins_or_installed(plugins), found, None if needed is True else absent, some
    )
    found.check()
    mqtt, reason = _with_confirm(file, top)
    site = Site(
        confirm_reason=reason, agent=file.agent, mqtt=mqtt, outbox=file.outbox, store=file.store,
        register=file.register_, agents=tuple(file.agents), devices=devices,
    )  # fmt: skip
    site.note_absent_secrets(absent_of_store)
    return site


def _absent_from(
    top: YamlMapping, section: str, path: Path, spared: Findings | None
) -> list[Finding]:
    """What one section alone lacks to log in."""
    written = top.get(section)
    if spared is None or not isinstance(written, YamlMapping):
        return []
    absent = Findings(path)
    resolved(written, absent, absent, section)
    return absent.sorted()


def _with_confirm(file: File, top: YamlMapping) -> tuple[Mqtt, ConfirmReason]:
    """Where `mqtt.confirm` is not written: a `store:` section says that a store service of ours
    follows."""
    if file.mqtt.confirm is not None:
        return file.mqtt, "mqtt.confirm"
    there = "store" in top
    return file.mqtt.model_copy(
        update={"confirm": "store" if there else "broker"}
    ), "store" if there else "no store"


def expand(path: Path | str, plugins: Plugins | None = None) -> dict[str, Any]:
    """The file as plain data with includes, templates and `for` written out, and paths absolute.

    Profiles stay names and `defaults` stay apart, so that the result loads like the original;
    secrets stay references. Raises ConfigError for what stands in the way of that.
    """
    path = Path(path)
    found = Findings(path)
    top = read_site(path, found)
    builder = _DeviceBuilder(top, plugins_or_installed(plugins), found)
    devices = YamlSequence(top.place)
    for raw in expansion.devices(top, found):
        devices.add(builder.portable(raw), raw.table.place)
    result = anchored(top, file_model(top, found), defaults=False)
    result.drop("templates")
    result.put("defaults", builder.portable_defaults())
    result.put("devices", devices)
    found.check()
    return dict(portable(result))


def _site_keys(top: YamlMapping, found: Findings, spared: Findings | None) -> Any:
    """The keys that are not devices, validated and checked; None when they are faulty."""
    written = top.copy()
    for key in SHARED:
        written.drop(key)
    # `store:` with nothing behind it is a section too
    if "store" in written and written["store"] is None:
        written["store"] = YamlMapping(written.values_at["store"])
    model = file_model(written, found)
    written = anchored(written, model, defaults=True)
    data = resolved(written, found, spared)
    sound = _sound(data, model)
    checks.check_site(sound, written, found)
    if "store" in sound and not sound["store"].faulty:
        check_store(sound["store"].value, written, found)
    return validated(model, data, written, found)


def _sound(data: YamlMapping, file: type[File]) -> dict[str, ValidatedInstance]:
    """The sections as far as they are sound, so that one fault does not hide what the checks find
    beside it."""
    result: dict[str, ValidatedInstance] = {}
    for key, field in keys(file).items():
        written = data.get(key, {})
        for model in models(field.annotation):
            if isinstance(written, dict) and (sound := sound_part(model, written)) is not None:
                result[key] = sound
    return result


def _devices(
    top: YamlMapping,
    plugins: Plugins,
    found: Findings,
    spared: Findings | None,
    needed: Collection[str],
) -> tuple[DeviceCommon, ...]:
    raw = expansion.devices(top, found)
    tables = [device.table for device in raw]
    checks.check_ids(tables, found)
    agent = top.get("agent")
    checks.check_former_ids(
        tables, agent.get("id") if isinstance(agent, YamlMapping) else None, found
    )
    del tables
    builder = _DeviceBuilder(top, plugins, found, spared, needed)
    builder.check_defaults()
    # with the list below, so that what was written goes while what is made of it comes
    top.drop("devices")
    raw.reverse()
    built = (builder.device(raw.pop()) for _ in range(len(raw)))
    return tuple(device for device in built if device is not None)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A device with what it refers to."""

    plugin: Plugin | None
    """None when its connector is not known."""
    table: YamlMapping
    profile: YamlMapping | None
    whole: bool


class _DeviceBuilder:
    """Devices from tables: connector, defaults < profile < device, models, checks."""

    def __init__(
        self,
        top: YamlMapping,
        plugins: Plugins,
        found: Findings,
        spared: Findings | None = None,
        needed: Collection[str] = (),
    ) -> None:
        """`spared`: see `resolved`; it takes nothing of the devices in `needed`."""
        self._defaults = _written_out(top.get("defaults") or YamlMapping(top.place), found)
        self._plugins = plugins
        self._found = found
        self._spared = spared
        self._needed = needed
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
        plugin = parts.plugin or self._meant(parts.table)
        model, tags = (
            (device_model(plugin), tag_model(plugin)) if plugin else any_connector(self._plugins)
        )
        written = anchored(self._merged(parts, plugin), model, defaults=True)
        data = self._data(written, tags)
        device = validated(model, data, written, self._found, whole=parts.whole)
        sound = sound_part(model, data)
        if sound is not None:
            checks.check_device(sound, written, self._found, whole=parts.whole)
            if plugin is not None:
                problems = checks.problems(
                    plan(sound.value, plugin), plugin, sound, whole=parts.whole
                )
                checks.report_problems(problems, written, self._found)
        return device if parts.whole and parts.plugin is not None else None

    def _data(self, written: YamlMapping, model: type[TagCommon]) -> YamlMapping:
        """What the models validate: secrets filled in, and the tags as the one object that other
        devices share."""
        tags = written.get("tags")
        known = self._tags.find(model, tags) if isinstance(tags, YamlMapping) else None
        spared = None if written.get("id") in self._needed else self._spared
        if known is None:
            return resolved(written, self._found, spared)  # type: ignore[no-any-return]  # a Table gives a Table
        rest = written.copy()
        rest.drop("tags")
        data: YamlMapping = resolved(rest, self._found, spared)
        data["tags"] = known
        return data

    def portable(self, raw: RawDevice) -> YamlMapping:
        """The device with its connector named and its paths absolute, so that it may move to
        another file."""
        parts = self._parts(raw)
        if parts.plugin is None:
            return raw.table
        result = anchored(parts.table, device_model(parts.plugin), defaults=False)
        name = result.get("profile")
        if isinstance(name, str):
            result["profile"] = self._profiles.portable_name(name, result.values_at["profile"])
        return result

    def portable_defaults(self) -> YamlMapping:
        """The defaults with absolute paths."""
        result = self._defaults.copy()
        for name, table in self._defaults.items():
            if name in self._plugins and isinstance(table, YamlMapping):
                result[name] = anchored(table, device_model(self._plugins[name]), defaults=False)
        return result

    def _parts(self, raw: RawDevice) -> _Parts:
        table = raw.table
        whole = raw.whole
        profile = None
        if table.get("profile") is not None:
            profile = self._profiles.find(table["profile"], table.values_at["profile"])
            whole = whole and profile is not None
        if profile is not None:
            table = self._with_connector(table, profile)
            whole = whole and table["connector"] == profile["connector"]
        return _Parts(self._plugin(table, whole), table, profile, whole)

    def _meant(self, table: YamlMapping) -> Plugin | None:
        """The connector that a device without a known one most likely means: the rest is judged by
        its keys.

        It has the endpoint's key that the device has; and where another name is written, it is the
        nearest.
        """
        name = table.get("connector")
        near = None if name is None else nearest(name, self._plugins)
        candidates = [
            plugin
            for plugin in loadable(self._plugins)
            if plugin.endpoint_key in table and (name is None or plugin.name == near)
        ]
        return candidates[0] if len(candidates) == 1 else None

    def _with_connector(self, table: YamlMapping, profile: YamlMapping) -> YamlMapping:
        """A profile knows its connector, so the device need not say it; it must not say another."""
        name = table.get("connector")
        if name is None:
            table = merged(table.place, table)
            table.put("connector", profile["connector"], table.values_at["profile"])
        elif name != profile["connector"] and name in self._plugins:
            right = profile["connector"]
            zh = (
                f"profile {table['profile']!r} 用于连接器 {right!r}，而设备写的是 {name!r}，"
                "请改其一。"
            )
            en = (
                f"the profile {table['profile']!r} is for connector {right!r}, the device says "
                f"{name!r}; change one."
            )
            self._found.add("contradiction", table.values_at["connector"], zh, en)
        return table

    def _plugin(self, table: YamlMapping, whole: bool) -> Plugin | None:
        name = table.get("connector")
        if isinstance(name, str) and name in self._plugins:
            try:
                return self._plugins[name]
            except ConfigError as error:
                for finding in error.findings:
                    self._found.add(
                        finding.code, table.values_at["connector"], finding.zh, finding.en
                    )
        elif name is not None:
            self._unknown_connector(name, table.values_at["connector"])
        elif whole:
            zh, en = advice("", self._plugins)
            self._found.add(
                "missing-key",
                table.place,
                f'缺少键 "connector"；{zh}',
                f'the key "connector" is missing; {en}',
            )
        return None

    def _unknown_connector(self, name: object, at: FilePosition) -> None:
        zh, en = advice(name, self._plugins)
        self._found.add(
            "unknown-connector", at, f"没有连接器 {name!r}；{zh}", f"no connector {name!r}; {en}"
        )

    def _merged(self, parts: _Parts, plugin: Plugin | None) -> YamlMapping:
        table = parts.table
        if plugin is None:
            return table
        if parts.plugin is None:  # what is written there, or not, is told
            table = merged(table.place, table)
            table.put(
                "connector",
                plugin.name,
                table.keys_at.get("connector"),
                table.values_at.get("connector"),
            )
        if parts.profile is not None and table["connector"] == parts.profile["connector"]:
            below = self._profiles.device_keys(parts.profile, plugin)
            table = combine(profiles.without_stamp(below, table), table)
        defaults = self._defaults.get(plugin.name)
        return combine(defaults, table) if isinstance(defaults, YamlMapping) else table


def _written_out(defaults: YamlMapping, found: Findings) -> YamlMapping:
    """The defaults with every `for` inside tags written out."""
    result = defaults.copy()
    for connector, table in defaults.items():
        if isinstance(table, YamlMapping):
            result[connector] = with_tags_written_out(table, found)
    return result
