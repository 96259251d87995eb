"""What was found, as a plant file of its own or within one that is there; `check` accepts both, a
line for each tag."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from edge_agent.commissioning.endpoints import options_of
from edge_agent.commissioning.file_changes import BOM, changed_file, load_draft, write_new
from edge_agent.commissioning.lists.editing import (
    NotEditableError,
    append_devices,
    insert,
    insert_into,
    insert_keys,
    refuse,
)
from edge_agent.commissioning.lists.importing import file_of
from edge_agent.config import load
from edge_agent.config.dump import inline
from edge_agent.config.models import DeviceCommon, Site
from edge_agent.config.plugins import Plugins, plugins_or_installed, tag_model
from edge_agent.errors import ConfigError, Finding, FindingsError

_HEAD: Final = (
    "# 由 {made} 写成。agent 和 mqtt 请按现场修改；也可用 --into 写进已有的文件。\n"
    "# Written by `{made}`. Change agent and mqtt to yours; --into writes into a file you have.\n"
)

#: Stands in a file that nobody has given an agent and a broker yet.
_TOP: Final[Mapping[str, Any]] = {
    "agent": {"id": "ipc-01"},
    "mqtt": {"url": "mqtt://127.0.0.1:1883"},
}


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """A device to be written: its keys (`tags` among them), and comments that go before it."""

    keys: Mapping[str, Any]
    notes: Sequence[str] = ()


@dataclass(slots=True)
class JoinedDevices:
    """What became of the devices: ids of new ones, of those that got tags or keys, of those left as
    they are."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    without_tags: list[str] = field(default_factory=list)
    """Devices of the file for which tags have still to be written."""


def write(
    path: Path,
    devices: Sequence[FoundDevice],
    made: str,
    top: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """A new file with these devices. `top`: the other sections; default: an agent and a broker on
    this machine. `notes`: comments behind the devices.

    Raises FindingsError for a file that is there already: it may hold somebody's work.
    """
    lines = [_HEAD.format(made=made).rstrip("\n")]
    lines += [f"{key}: {inline(value)}" for key, value in (top or _TOP).items() if value]
    lines.append("devices:" if devices else "devices: []")
    for device in devices:
        lines += [f"  {line}" for line in device_lines(device)]
    lines += [f"  # {note}" for note in notes]
    write_new(path, ("\n".join(lines) + "\n").encode())


def device_lines(device: FoundDevice) -> list[str]:
    """One item of `devices` from column 0 on, its tags one in a line."""
    lines = [f"# {note}" for note in device.notes]
    begin = "- "
    for key, value in device.keys.items():
        if key != "tags":
            lines.append(f"{begin}{key}: {inline(value)}")
            begin = "  "
    tags = device.keys.get("tags") or {}
    if tags or "profile" not in device.keys:
        lines.append("  tags:" if tags else "  tags: {}")
    return lines + [f"    {inline(name)}: {inline(keys)}" for name, keys in tags.items()]


def device_line(device: FoundDevice) -> str:
    """The same item in one line, without what goes before it."""
    waiting: dict[str, Any] = {} if "profile" in device.keys else {"tags": {}}
    return f"- {inline(dict(device.keys) | waiting | dict(device.keys))}"


def join(
    config: Path,
    devices: Sequence[FoundDevice],
    made: str,
    *,
    device_id: str | None = None,
    replace: bool = False,
    notes: Sequence[str] = (),
    plugins: Plugins | None = None,
) -> JoinedDevices:
    """Write devices into a plant file, which is made where there is none. Everything else stays
    byte for byte.

    A device that is configured at the same address gets what it lacks: tags, and a profile where it
    has neither tags nor profile. `device_id`: of the one device that is meant. `replace`: tags that
    differ become as found.

    Raises FindingsError with everything that `check` would find wrong, and then nothing was
    written.
    """
    known = plugins_or_installed(plugins)
    if not config.exists():
        return _first(config, devices, made, device_id, notes, known)
    plan = _JoinPlan(load_draft(config, known), known, replace)
    for device in devices:
        plan.place(device, device_id)
    if plan.problems:
        raise FindingsError(plan.problems)
    if plan.fresh or plan.inserted or any(plan.keys.values()) or any(plan.parts.values()):
        _apply(config, plan, known, notes)
    plan.result.without_tags = _without_tags(load_draft(config, known))
    return plan.result


def _first(
    config: Path,
    devices: Sequence[FoundDevice],
    made: str,
    device_id: str | None,
    notes: Sequence[str],
    known: Plugins,
) -> JoinedDevices:
    taken: set[str] = set()
    named = [_named(device, device_id, taken) for device in devices]
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / config.name
        write(trial, named, made, notes=notes)
        _judge(trial, known, {trial: config})
    write(config, named, made, notes=notes)
    return JoinedDevices(sorted(taken), without_tags=_without_tags(load_draft(config, known)))


def _without_tags(site: Site) -> list[str]:
    return [device.id for device in site.devices if not device.tags]


def _named(device: FoundDevice, device_id: str | None, taken: set[str]) -> FoundDevice:
    """The device with an id that nobody else has; `taken` gets it."""
    name = device_id or str(device.keys["id"])
    stem = re.sub(r"-\d+$", "", name)
    number = 1
    while name in taken:
        name = f"{stem}-{number:02}"
        number = number + 1
    taken.add(name)
    former = f"--device {device.keys['id']} "
    notes = [note.replace(former, f"--device {name} ") for note in device.notes]
    return FoundDevice(
        {"id": name} | {key: value for key, value in device.keys.items() if key != "id"}, notes
    )


class _JoinPlan:
    """Which device of the file takes what of those that were found."""

    def __init__(self, site: Site, plugins: Plugins, replace: bool) -> None:
        self._devices = list(site.devices)
        self._plugins = plugins
        self._replace = replace
        self._taken = {device.id for device in site.devices}
        self._used: set[str] = set()
        self.fresh: list[FoundDevice] = []
        self.keys: dict[str, dict[str, Any]] = {}
        self.parts: dict[str, dict[str, dict[str, Any]]] = {}
        """Device -> key -> entries that the mapping there lacks, such as those of `security`."""
        self.inserted: dict[str, dict[str, Mapping[str, Any]]] = {}
        self.problems: list[Finding] = []
        self.result = JoinedDevices()

    def place(self, device: FoundDevice, device_id: str | None) -> None:
        """Decide about one device."""
        present = self._counterpart(device, device_id)
        if present is None:
            named = _named(device, device_id, self._taken)
            self.fresh.append(named)
            self.result.added.append(str(named.keys["id"]))
            return
        if not self._is_at(present, device.keys):
            zh = (
                f"设备 {present.id!r} 在另一个地址或站号上；请核对 --device，或换一个 id 新建一台。"
            )
            en = (
                f"the device {present.id!r} is at another address or unit; compare --device, or "
                "name a new one."
            )
            self.problems.append(Finding("other-address", present.id, zh, en))
            return
        self._used.add(present.id)
        bare = not present.tags and not present.profile
        if bare:
            self.keys[present.id] = {
                key: value
                for key, value in device.keys.items()
                if key not in ("id", "tags") and key not in present.model_fields_set
            }
            self.parts[present.id] = dict(_missing_parts(present, device.keys))
        tags = self._wanted(present, device.keys.get("tags") or {})
        if tags:
            self.inserted[present.id] = tags
        changed = bool(tags or self.keys.get(present.id) or self.parts.get(present.id))
        (self.result.changed if changed else self.result.unchanged).append(present.id)

    def _wanted(
        self, present: DeviceCommon, tags: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Mapping[str, Any]]:
        """The tags that the device lacks, or has in another form."""
        model = tag_model(self._plugins[present.connector])
        wanted: dict[str, Mapping[str, Any]] = {}
        for name, keys in tags.items():
            former = present.tags.get(name)
            try:
                same = former is not None and model.model_validate(dict(keys)) == former
            except ValidationError:
                # `optional` alone, over the tag of a profile; `check` judges the rest
                same = former is not None
            if same:
                continue
            wanted[name] = keys
            if former is not None and not self._replace:
                zh = f"设备上已有变量 {name!r}，内容不同；要改成现在找到的请加 --replace。"
                en = (
                    f"the device has a tag {name!r} that differs; use --replace to make it as "
                    "found."
                )
                self.problems.append(Finding("differs", f"{present.id}/{name}", zh, en))
        return wanted

    def _counterpart(self, device: FoundDevice, device_id: str | None) -> DeviceCommon | None:
        """The configured device that this one is; None for one that the file does not have."""
        if device_id is not None:
            return next((one for one in self._devices if one.id == device_id), None)
        here = [
            one
            for one in self._devices
            if one.id not in self._used and self._is_at(one, device.keys)
        ]
        by_id = [one for one in here if one.id == device.keys["id"]]
        profile = device.keys.get("profile")
        tags = device.keys.get("tags")
        if profile:
            fitting = [one for one in here if one.profile == profile]
            return next(
                iter(by_id or fitting or [one for one in here if not one.tags and not one.profile]),
                None,
            )
        if not tags:  # somebody is there already
            return next(iter(here), None)
        plain = [one for one in here if not one.profile]
        return next(iter(by_id or plain), None)

    def _is_at(self, present: DeviceCommon, keys: Mapping[str, Any]) -> bool:
        """Whether a configured device is at the same address and, where there are units, of the
        same number."""
        plugin = next((one for one in self._plugins.values() if one.endpoint_key in keys), None)
        if plugin is None or plugin.name != present.connector or plugin.discovery is None:
            return False
        target = plugin.discovery().target
        more = {key: value for key, value in keys.items() if key in (plugin.endpoint_key, "unit")}
        options = options_of(plugin, more)
        there = target(present)
        here = target(options)
        same = (there.host, there.port, there.serial) == (here.host, here.port, here.serial)
        return same and getattr(present, "unit", None) == getattr(options, "unit", None)


def _missing_parts(
    present: DeviceCommon, keys: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of the mappings that a device has, the entries which it lacks."""
    for key, entries in keys.items():
        former = getattr(present, key, None)
        if key == "tags" or key not in present.model_fields_set or not isinstance(entries, Mapping):
            continue
        if isinstance(former, BaseModel):
            missing = {
                name: value
                for name, value in entries.items()
                if name not in former.model_fields_set
            }
            if missing:
                yield key, missing


def _apply(config: Path, plan: _JoinPlan, known: Plugins, notes: Sequence[str]) -> None:
    """Change the files; all of them, or none."""
    texts: dict[Path, str] = {}
    former: dict[Path, bytes] = {}

    def text_of(file: Path) -> str:
        if file not in texts:
            former[file] = file.read_bytes()
            texts[file] = former[file].removeprefix(BOM).decode("utf-8")
        return texts[file]

    place = config
    try:
        for device in dict.fromkeys([*plan.keys, *plan.inserted]):
            place = file_of(config, device)
            place = config if place.samefile(config) else place
            text = insert_keys(text_of(place), device, plan.keys.get(device, {}))
            for key, entries in plan.parts.get(device, {}).items():
                text = insert_into(text, device, key, entries)
            tags = plan.inserted.get(device)
            texts[place] = insert(text, device, tags).text if tags else text
        if plan.fresh:
            place = config
            blocks = [device_lines(device) for device in plan.fresh]
            texts[config] = append_devices(
                text_of(config), [*blocks, [f"# {note}" for note in notes]]
            )
    except NotEditableError as error:
        raise refuse(error, str(place)) from None
    with contextlib.ExitStack() as stack:
        trials: dict[Path, Path] = {}
        alone = list(texts) == [config]
        for file, text in texts.items():
            fresh = (BOM if former[file].startswith(BOM) else b"") + text.encode("utf-8")
            trials[stack.enter_context(changed_file(file, fresh, former[file], trial=alone))] = file
        _judge(next(iter(trials)) if alone else config, known, trials)


def _judge(config: Path, known: Plugins, trials: Mapping[Path, Path]) -> None:
    """Raise FindingsError with what `check` finds wrong, except that a device may wait for its
    tags."""
    try:
        load(config, known, secrets=False)
    except ConfigError as error:
        found = [
            _in_file(finding, trials) for finding in error.findings if finding.code != "no-tags"
        ]
        if found:
            raise FindingsError(found) from None


def _in_file(finding: Finding, trials: Mapping[Path, Path]) -> Finding:
    where = finding.where
    for trial, file in trials.items():
        where = where.replace(str(trial), str(file))
    return Finding(finding.code, where, finding.zh, finding.en)
