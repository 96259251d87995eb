"""Device profiles: register maps and node lists as data, found by name and laid under a device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from edge_agent.config.expansion import with_tags_written_out
from edge_agent.config.explain import validated
from edge_agent.config.findings import Findings, advice
from edge_agent.config.models import Profile
from edge_agent.config.places import FilePosition, YamlMapping, merged
from edge_agent.config.resources import configs
from edge_agent.config.shape import absolute
from edge_agent.config.source import read
from edge_agent.sdk import Plugin

FOLDER: Final = "profiles"


def bundled() -> Path:
    """The folder of the profiles that come with the agent."""
    return configs() / FOLDER


def available(*folders: Path) -> dict[str, Path]:
    """Profile name -> file; a folder beside the configuration hides a bundled profile of the same
    name."""
    return {
        path.stem: path
        for folder in (bundled(), *folders)
        for path in sorted(folder.glob("*.yaml"))
    }


class Profiles:
    """The profiles one configuration uses, each read and judged once."""

    def __init__(self, found: Findings) -> None:
        self._found = found
        self._read: dict[Path, YamlMapping | None] = {}
        self._keys: dict[tuple[int, str], YamlMapping] = {}

    def find(self, name: object, at: FilePosition) -> YamlMapping | None:
        """The profile a device names at `at`: a name, or a path that ends in .yaml. None with a
        finding."""
        path = self._path(name, at)
        if path is None:
            return None
        if path not in self._read:
            self._read[path] = self.read(path)
        return self._read[path]

    def _path(self, name: object, at: FilePosition) -> Path | None:
        beside = at.file.parent / FOLDER
        if isinstance(name, str) and name.endswith((".yaml", ".yml")) and "\0" not in name:
            path = Path(absolute(name, at))
            if os.path.isfile(path):
                return path
            zh = "请检查路径。"
            en = "check the path."
        else:
            known = available(beside)
            if isinstance(name, str) and name in known:
                return known[name]
            zh, en = advice(name, known)
        self._found.add(
            "unknown-profile",
            at,
            f"没有设备模板（profile）{name!r}；{zh}",
            f"no profile {name!r}; {en}",
        )
        return None

    def portable_name(self, name: str, at: FilePosition) -> str:
        """The same reference for a configuration in another folder: a bundled profile by name, any
        other by path."""
        path = self._path(name, at)
        return name if path is None or path.parent == bundled() else str(path.absolute())

    def device_keys(self, profile: YamlMapping, plugin: Plugin) -> YamlMapping:
        """`device_keys` of a profile that `find` gave: the same object for all its devices."""
        key = id(profile), plugin.name
        if key not in self._keys:
            self._keys[key] = device_keys(with_tags_written_out(profile, self._found), plugin)
        return self._keys[key]

    def read(self, path: Path) -> YamlMapping | None:
        """One profile file, judged; None with findings."""
        table = read(path, self._found)
        if table is None or validated(Profile, table, table, self._found) is None:
            return None
        return table


def device_keys(profile: YamlMapping, plugin: Plugin) -> YamlMapping:
    """What a profile says about a device, as keys of the device.

    A device may say `base: 1` for its own addresses; a profile's addresses keep the base they were
    written for.
    """
    defaults = _table(profile, "defaults")
    result = merged(defaults.place, defaults)
    for key in ("areas", "state", "tags"):
        if profile.get(key):
            result.take(profile, key, profile[key])
    if "base" in plugin.tag_options.model_fields and "tags" in result:
        result["tags"] = _stamped(result["tags"], defaults.get("base", 0))
    return result


def without_stamp(profile: YamlMapping, over: YamlMapping) -> YamlMapping:
    """The profile's keys for a device that lays `over` on them: where it gives an address, its own
    base counts."""
    tags = profile.get("tags")
    own = over.get("tags")
    if not isinstance(tags, YamlMapping) or not isinstance(own, YamlMapping):
        return profile
    result = profile.copy()
    changed = tags.copy()
    for name, tag in own.items():
        if (
            isinstance(tag, YamlMapping)
            and "address" in tag
            and isinstance(tags.get(name), YamlMapping)
        ):
            changed[name] = tags[name].copy()
            changed[name].drop("base")
    result["tags"] = changed
    return result


def _stamped(tags: YamlMapping, base: object) -> YamlMapping:
    result = tags.copy()
    for name, tag in tags.items():
        if isinstance(tag, YamlMapping) and "base" not in tag:
            result[name] = tag.copy()
            result[name].put("base", base, tag.place)
    return result


def _table(owner: YamlMapping, key: str) -> YamlMapping:
    value = owner.get(key)
    return (
        value
        if isinstance(value, YamlMapping)
        else YamlMapping(owner.values_at.get(key, owner.place))
    )
