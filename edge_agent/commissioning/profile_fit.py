"""Which device profile fits a device: each is read once, and the values are weighed
(`evidence`)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from edge_agent.app.values.current import Document
from edge_agent.app.values.direct import read_once
from edge_agent.clock import Clock
from edge_agent.commissioning.endpoints import discovery_of
from edge_agent.commissioning.evidence import ProfileEvidence, add_identification, add_places, judge
from edge_agent.config import load
from edge_agent.config.compile import plan
from edge_agent.config.dump import inline
from edge_agent.config.models import DeviceCommon, Site, StateMap
from edge_agent.config.plugins import Plugins
from edge_agent.config.profiles import available
from edge_agent.discovery import Progress
from edge_agent.errors import ConfigError
from edge_agent.model import Tag, is_bad, status_code

#: The fast reader where it is; both read plain data only.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_EVERY: Final = "10s"


class ProfileFit:
    """The profiles of one connector, compiled once and read on device after device."""

    def __init__(self, connector: str, where: Mapping[str, Any], plugins: Plugins) -> None:
        """`where`: keys of any device of the connector, so that the profiles can be compiled."""
        self._plugin = plugins[connector]
        self._plugins = plugins
        self._heads = _profile_files(connector)
        self._site = _site(self._heads, where, plugins)

    async def fits(
        self, keys: Mapping[str, Any], facts: Mapping[str, str], clock: Clock, progress: Progress
    ) -> list[ProfileEvidence]:
        """Evidence for each profile on the device that these keys reach. `facts`: what it says of
        itself."""
        found = []
        for done, device in enumerate(self._site.devices):
            progress(done, len(self._site.devices), device.id)
            found.append(await self._read(device, keys, clock))
        answered = sum(one.answered for one in found)
        known = answered + sum(one.refused for one in found)
        for one in found:
            if known:
                add_places(one, answered / known)
        named = {one.profile: one for one in found}
        for name, head in self._heads.items():
            evidence = named.get(name) or ProfileEvidence(name, _title(head))
            add_identification(
                evidence, facts, head.get("manufacturer") or "", head.get("models") or []
            )
            named[name] = evidence
        return list(named.values())

    async def _read(
        self, device: DeviceCommon, keys: Mapping[str, Any], clock: Clock
    ) -> ProfileEvidence:
        """One profile, read once."""
        evidence = ProfileEvidence(device.id, _title(self._heads[device.id]))
        here = device.model_copy(update=dict(keys))
        tags = _tags(here, self._plugins)
        site = self._site.model_copy(update={"devices": (here,)})
        wanted = {here.id: [tag.name for tag in tags]}
        document = await read_once(site, self._plugins, wanted, clock, ask=False)
        rows = {row["tag"]: row for row in document["values"]}
        if all(is_bad(status_code(row["quality"])) for row in rows.values()):
            evidence.reason = _reason(document)
        judge(evidence, tags, rows, discovery_of(self._plugin), _known_values(here))
        return evidence


def _known_values(device: DeviceCommon) -> dict[str, list[object]]:
    """Tags whose values the device's state rules translate, with those values."""
    state = device.state
    parts = (state.item, state.mode, state.execution) if state is not None else ()
    return {part.tag: list(part.map) for part in parts if isinstance(part, StateMap)}


def _reason(document: Document) -> tuple[str, str]:
    for state in document["devices"]:
        return str(state["zh"]), str(state["en"])
    return "", ""


def _profile_files(connector: str) -> dict[str, dict[str, Any]]:
    """The profile files of a connector, as they are written."""
    found = {}
    for name, path in available().items():
        profile = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - reason: a safe loader
        if profile.get("connector") == connector:
            found[name] = profile
    return found


def _title(head: Mapping[str, Any]) -> tuple[str, str]:
    title = head.get("title") or {}
    return str(title.get("zh", "")), str(title.get("en", ""))


def _site(
    heads: Mapping[str, Mapping[str, Any]], where: Mapping[str, Any], plugins: Plugins
) -> Site:
    """A site with a device for each profile that has tags, made the way every configuration is."""
    lines = ["agent: {id: scan}", "mqtt: {url: mqtt://127.0.0.1}", "devices:"]
    for name, head in heads.items():
        if head.get("tags"):
            lines.append(f"  - {inline({'id': name, 'profile': name, **where, 'every': _EVERY})}")
    with tempfile.TemporaryDirectory(prefix="edge-agent-scan-") as folder:
        file = Path(folder) / "scan.yaml"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        try:
            return load(file, plugins)
        except ConfigError as error:  # reason: a faulty bundled profile is not the user's fault
            raise RuntimeError(f"a bundled profile cannot be loaded: {error}") from error


def _tags(device: DeviceCommon, plugins: Plugins) -> list[Tag]:
    tags: list[Tag] = []
    for table in plan(device, plugins[device.connector]).tables:
        tags += table.tags
    return tags
