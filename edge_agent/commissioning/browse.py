"""`browse`: what a server has, filtered by names, and the part of it that becomes tags."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import yaml

from edge_agent.commissioning.endpoints import DeviceTarget, cannot_browse, sentences
from edge_agent.commissioning.tag_names import tag_names
from edge_agent.config.profiles import available
from edge_agent.discovery import Browsed, BrowseWanted, FoundMachine, FoundNode, Progress, TagKeys
from edge_agent.errors import FindingsError

#: The fast one where it is; both read plain data only.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Between the names of a path; a slash in a name is written `&/`.
_SLASH: Final = re.compile(r"(?:&.|[^/&])+")


@dataclass(frozen=True, slots=True)
class BrowseResult:
    """What was found, and what of it was asked for."""

    browsed: Browsed
    nodes: Sequence[FoundNode]
    """Those that the patterns fit, in the order of their paths."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "nodes": [asdict(node) for node in self.nodes],
            "machines": [asdict(machine) for machine in self.browsed.machines],
            "seen": self.browsed.seen,
            "cut": self.browsed.cut,
        }

    def tags(self, covered: Collection[str] = ()) -> dict[str, TagKeys]:
        """A tag for each variable that can be one, without those at the addresses `covered`."""
        readable = [
            node for node in self.nodes if node.keys is not None and node.address not in covered
        ]
        names = tag_names([segments(node.path) for node in readable])
        return {name: node.keys or {} for name, node in zip(names, readable, strict=True)}


async def browse(
    endpoint: DeviceTarget, wanted: BrowseWanted, match: Sequence[str], progress: Progress
) -> BrowseResult:
    """Ask the device. Raises DeviceError when it does not answer, FindingsError for a start that is
    not there."""
    if endpoint.discovery.browse is None:
        raise cannot_browse(endpoint.plugin, str(endpoint.keys[endpoint.plugin.endpoint_key]))
    wanted = replace(wanted, profiles=profile_tags(endpoint.plugin.name))
    try:
        found = await endpoint.discovery.browse(endpoint.options, wanted, progress)
    except ValueError as error:
        zh, en = sentences(error)
        raise FindingsError.one("no-start", zh, en, wanted.start) from error
    nodes = sorted(selected(found.nodes, match), key=lambda node: segments(node.path))
    return BrowseResult(found, nodes)


def profile_tags(connector: str) -> dict[str, dict[str, TagKeys]]:
    """The tags of every profile of a connector that comes with the agent."""
    found = {}
    for name in available():
        profile = _profile(name)
        if profile.get("connector") == connector:
            found[name] = profile.get("tags") or {}
    return found


def _profile(name: str) -> dict[str, Any]:
    profile: dict[str, Any] = yaml.load(
        available()[name].read_text(encoding="utf-8"),
        Loader=_LOADER,  # noqa: S506
    )
    return profile


def segments(path: str) -> list[str]:
    """The names of a path."""
    return [re.sub(r"&(.)", r"\1", name) for name in _SLASH.findall(path)]


def selected(nodes: Iterable[FoundNode], patterns: Sequence[str]) -> list[FoundNode]:
    """The nodes whose name, path or address fits one of the patterns; capital letters do not
    matter."""
    wanted = [pattern.casefold() for pattern in patterns]
    if not wanted:
        return list(nodes)
    return [node for node in nodes if any(_fits(node, pattern) for pattern in wanted)]


def _fits(node: FoundNode, pattern: str) -> bool:
    texts = (node.name, node.path, node.address)
    return any(fnmatchcase(text.casefold(), pattern) for text in texts)


def devices_for_file(
    endpoint: DeviceTarget, result: BrowseResult, patterns: Sequence[str]
) -> list[dict[str, Any]]:
    """The devices that a file gets: one for each machine that a profile fits, and one with the tags
    found.

    With patterns somebody has chosen tags, and those alone are written.
    """
    where = dict(endpoint.keys)
    devices: list[dict[str, Any]] = []
    covered: set[str] = set()
    for machine in () if patterns else result.browsed.machines:
        if machine.profile and machine.fitted:
            devices.append(_machine_device(machine, where, len(devices) + 1))
            covered.update(machine.covered)
    name = endpoint.device.id if endpoint.device is not None else f"{endpoint.plugin.name}-01"
    rest = {"id": name, "connector": endpoint.plugin.name, **where, "tags": result.tags(covered)}
    return [*devices, rest] if rest["tags"] or not devices else devices


def _machine_device(machine: FoundMachine, where: Mapping[str, Any], number: int) -> dict[str, Any]:
    tags: dict[str, TagKeys] = dict(machine.fitted)
    tags |= {tag: {"optional": True} for tag in machine.absent}
    device: dict[str, Any] = {
        "id": f"machine-{number:02}", "name": machine.name, "profile": machine.profile, **where,
    }  # fmt: skip
    state = _state_without(_profile(str(machine.profile)).get("state") or {}, machine.absent)
    return device | ({"state": state} if state else {}) | {"tags": tags}


def _state_without(state: Mapping[str, Any], absent: Collection[str]) -> dict[str, Any]:
    """The lists of rules of a profile's state that ask tags which are not there, without those
    rules."""
    changed = {}
    for part, rules in state.items():
        if isinstance(rules, list):
            left = [rule for rule in rules if rule.get("tag") not in absent]
            if left != rules:
                changed[part] = left
    return changed


def file_top(config: Path | None) -> dict[str, Any] | None:
    """The sections beside `devices` of a configuration, as they may stand in another file; None
    without one."""
    if config is None:
        return None
    from edge_agent.config.loader import expand

    whole = expand(config)
    return {
        key: value for key, value in whole.items() if key not in ("devices", "include", "templates")
    }


def configured_keys(config: Path, device: str) -> dict[str, Any]:
    """The keys of a configured device beside its tags, secrets as references."""
    from edge_agent.config.loader import expand

    for one in expand(config)["devices"]:
        if one.get("id") == device:
            return {
                key: value for key, value in one.items() if key not in ("tags", "profile", "state")
            }
    return {}
