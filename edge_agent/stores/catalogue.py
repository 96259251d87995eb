"""Which series there are: (device, tag) interned to a small integer, and what its birth document
says of it.

A device stands here by its key (`identity.DeviceKeys`): two agents' devices of one id are two
devices.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson

from edge_agent import names
from edge_agent.identity import SEPARATOR, DeviceKeys
from edge_agent.stores.causes import DeviceCause, DeviceCauses
from edge_agent.stores.columns import Ints
from edge_agent.stores.definitions import DefinitionChange, Definitions
from edge_agent.stores.forgotten import Entry, Forgotten
from edge_agent.stores.former import FormerNames

#: Distinct sets of tags remembered; report-by-change makes many, so the memory has a bound.
_CACHED: Final = 4096


@dataclass(slots=True)
class Series:
    """One tag of one device."""

    sid: int
    device: str
    """The device's key."""
    tag: str
    meta: str = ""
    """Its entry in the birth document as JSON (type, unit, range, map, ...); empty until one
    came."""
    agent_kept: bool = True
    """False: the store has its agent from before agents were kept, and that one has not spoken
    since."""


@dataclass(frozen=True, slots=True)
class CatalogueChanges:
    """What the store lacks."""

    series: list[Series] = field(default_factory=list)
    births: dict[str, str] = field(default_factory=dict)
    """Key -> birth document."""
    definitions: list[DefinitionChange] = field(default_factory=list)
    causes: dict[str, DeviceCause | None] = field(default_factory=dict)
    """Key -> why the device is as it is; None: there is nothing to be kept."""


class Catalogue:
    """All series of a store. Interned by the ingest's loop, read by the store's thread: it only
    ever grows."""

    def __init__(
        self,
        series: Iterable[Series] = (),
        devices: Mapping[str, str] | None = None,
        *,
        keys: DeviceKeys | None = None,
        forgotten: Forgotten | None = None,
        definitions: Iterable[DefinitionChange] = (),
        causes: DeviceCauses | None = None,
    ) -> None:
        self.keys = keys or DeviceKeys()
        self.forgotten = forgotten or Forgotten()
        self.causes = causes or DeviceCauses()
        self.former = FormerNames(self.keys)
        self.definitions = Definitions(definitions)
        self.series: list[Series] = []
        self.devices: dict[str, str] = {}
        """Key -> its birth document without the tags, as JSON."""
        self._ids: dict[str, dict[str, int]] = {}
        self._cache: dict[tuple[str, tuple[str, ...]], Ints] = {}
        self._lock = threading.Lock()
        self._unclaimed: set[int] = set()
        self.changed: set[int] = set()
        """Series whose entry is not in the store yet."""
        self.changed_devices: set[str] = set()
        for entry in sorted(series, key=lambda entry: entry.sid):
            self._add(entry)
            if entry.meta:
                self.former.tag_born(entry.device, entry.tag, orjson.loads(entry.meta))
        for key, birth in (devices or {}).items():
            self.devices[key] = birth
            self.former.born(key, orjson.loads(birth))
        self.changed.clear()

    def _add(self, entry: Series) -> None:
        if entry.sid != len(self.series):
            raise ValueError(f"series ids have a hole before {entry.sid}")
        self.series.append(entry)
        self._ids.setdefault(entry.device, {})[entry.tag] = entry.sid
        self.changed.add(entry.sid)
        if not entry.agent_kept:
            self._unclaimed.add(entry.sid)

    def ids(self, device: str, tags: tuple[str, ...]) -> Ints:
        """The series ids of these tags, which their agent speaks of, aligned; unknown ones are
        entered. The array must not be written to.

        Raises NotANameError for what is new and no name; nothing is entered then.
        """
        key = (device, tags)
        found = self._cache.get(key)
        if found is None:
            known = self._ids.get(device, {})
            if not known:
                names.require(self.keys.device(device))
            for tag in tags:
                if tag not in known:
                    names.require(tag)
            found = np.fromiter(
                [known[tag] if tag in known else self.sid(device, tag) for tag in tags],
                np.int32,
                len(tags),
            )
            if self._unclaimed:
                self._claim(found.tolist())
            if self.former:
                self.former.separate(device)
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[key] = found
        return found

    def _claim(self, sids: list[int]) -> None:
        """Their agent is the service's own, which goes on with series from before agents were
        kept."""
        with self._lock:
            for sid in self._unclaimed.intersection(sids):
                self.series[sid].agent_kept = True
                self._unclaimed.discard(sid)
                self.changed.add(sid)

    def sid(self, device: str, tag: str) -> int:
        """The id of one series, entered if it is new."""
        with self._lock:
            known = self._ids.setdefault(device, {})
            if tag not in known:
                if not known and self.former:
                    self.former.appeared(device)
                self._add(Series(len(self.series), device, tag))
            return known[tag]

    def find(self, device: str, tag: str) -> int | None:
        """The id of a series, or None."""
        return self._ids.get(device, {}).get(tag)

    def history(self, device: str, tag: str) -> list[tuple[str, str]]:
        """The series that a reading of this one is made of: itself, and what it was before."""
        if not self.former:
            return [(device, tag)]
        return [
            name for name in self.former.names(device, tag) if self.find(*name) is not None
        ] or [(device, tag)]

    def sids(self, name: tuple[str, str]) -> list[int]:
        """The series that one tag is made of."""
        found = (self.find(*each) for each in self.history(*name))
        return [sid for sid in found if sid is not None]

    def by_series(
        self, names: Iterable[tuple[str, str]]
    ) -> tuple[dict[int, tuple[str, str]], list[tuple[str, str]]]:
        """The tags that are one series each, by its id, and those that had another name before."""
        if not self.former:
            ids = self._ids
            found = ((ids.get(name[0], {}).get(name[1]), name) for name in names)
            return {sid: name for sid, name in found if sid is not None}, []
        plain: dict[int, tuple[str, str]] = {}
        joined: list[tuple[str, str]] = []
        for name in names:
            sids = self.sids(name)
            if len(sids) > 1 or (sids and sids[0] != self.find(*name)):
                joined.append(name)
            elif sids:
                plain[sids[0]] = name
        return plain, joined

    def of_device(self, device: str) -> Mapping[str, int]:
        """Tag -> id of one device."""
        return self._ids.get(device, {})

    def listed(self) -> list[str]:
        """The keys of all devices with a series or a birth document, but for those that were
        forgotten, or are another now; sorted."""
        known = {*self._ids, *self.devices}
        return sorted(
            key
            for key in known
            if key not in self.former.current and self.forgotten.lists(*self.keys.split(key))
        )

    def entries_of(self, entry: Entry) -> list[Entry]:
        """What is listed no more when this is forgotten. With an agent each of its devices for
        itself, so that one of them that speaks again brings back none but itself."""
        agent, device, _ = entry
        if device:
            return [entry]
        own = [key for key in {*self._ids, *self.devices} if self.keys.agent(key) == agent]
        return [entry, *sorted((agent, self.keys.device(key), "") for key in own)]

    def known_devices(self, agents: Collection[str] = ()) -> dict[str, Any]:
        """Whom the store has heard of: `{"births": {key: birth}, "listed": [key], "former": {key:
        key now}, "tags": {key: {tag: entry of the birth}}, "units": {key: {tag: [unit it had
        before]}}}`, tags of devices of these `agents` only."""
        tags: dict[str, dict[str, Any]] = {}
        for key in list(self.devices):
            if self.keys.agent(key) in agents:
                own = dict(self.of_device(key))
                tags[key] = {
                    tag: orjson.loads(self.series[sid].meta or "{}") for tag, sid in own.items()
                }
        return {
            "births": {key: orjson.loads(birth) for key, birth in dict(self.devices).items()},
            "listed": self.listed(),
            "former": dict(self.former.current),
            "tags": tags,
            "units": self._former_units(),
        }

    def _former_units(self) -> dict[str, dict[str, list[str]]]:
        found: dict[str, dict[str, list[str]]] = {}
        for sid, units in self.definitions.former_units().items():
            series = self.series[sid]
            found.setdefault(series.device, {})[series.tag] = units
        return found

    def born(self, document: Mapping[str, Any]) -> None:
        """Take in a birth document as it came; only what is new in it is written again."""
        key = self.keys.key(document.get("agent"), document["device"])
        rest = {name: value for name, value in document.items() if name not in ("tags", "v")}
        text = orjson.dumps(rest).decode()
        if self.devices.get(key) != text:
            if self.former:
                self.former.appeared(key)
            self.devices[key] = text
            self.changed_devices.add(key)
            self.former.born(key, rest)
        for tag, entry in document["tags"].items():
            meta = orjson.dumps(entry).decode()
            series = self.series[self.sid(key, tag)]
            if series.meta != meta:
                before = series.meta
                series.meta = meta
                self.changed.add(series.sid)
                self.former.tag_born(key, tag, entry)
                if before:
                    self.definitions.born(series.sid, document.get("t"), before, entry)
                else:
                    self._succeeds(series, document.get("t"), entry)

    def _succeeds(self, series: Series, t: object, entry: Mapping[str, Any]) -> None:
        """A series that begins with this birth may go on with the history of another."""
        former = next((name for name in self.history(series.device, series.tag)[1:]), None)
        if former is None:
            return
        before = self.series[self._ids[former[0]][former[1]]].meta
        devices = former[0], series.device
        self.definitions.replaced(
            series.sid, t, devices, before, entry, tag=former[0] == series.device
        )

    def definition_changes(self, name: tuple[str, str]) -> list[DefinitionChange]:
        """Where what the numbers of a tag mean changed, its history under former names included; by
        time."""
        found = [change for sid in self.sids(name) for change in self.definitions.of(sid)]
        return sorted(found, key=lambda change: change.t)

    def take_changes(self) -> CatalogueChanges:
        """What the store lacks; give it back with `put_back` when it could not be written."""
        with self._lock:
            series = [self.series[sid] for sid in sorted(self.changed)]
            births = {device: self.devices[device] for device in self.changed_devices}
            self.changed.clear()
            self.changed_devices.clear()
        return CatalogueChanges(
            series, births, self.definitions.take_new(), self.causes.take_changes()
        )

    def put_back(self, changes: CatalogueChanges) -> None:
        """Undo `take_changes` after a write that failed."""
        with self._lock:
            self.changed.update(entry.sid for entry in changes.series)
            self.changed_devices.update(changes.births)
        self.definitions.put_back(changes.definitions)
        self.causes.put_back(changes.causes)


def stored_catalogue(
    keys: DeviceKeys,
    series: Iterable[Series],
    births: Iterable[tuple[str | None, str, str]],
    forgotten: Forgotten,
    causes: Iterable[tuple[str, str, str, str, str]],
    definitions: Iterable[DefinitionChange] = (),
) -> Catalogue:
    """A catalogue from what a store kept: births as (agent, device, document), without agent from
    before agents were kept. The document of such a birth may name another agent than the service's
    own: what that one sends since belongs to a key of its own, whose former name is the old one.
    Causes as (agent, device, reason, zh, en).
    """
    series = list(series)
    found: dict[str, str] = {}
    joined: dict[str, str] = {}
    spoken = {entry.device for entry in series if entry.agent_kept}
    for agent, device, birth in births:
        key = keys.key(agent, device)
        if agent is not None or key not in found:
            found[key] = birth
        named = None if agent is not None else orjson.loads(birth).get("agent")
        if (
            isinstance(named, str)
            and named not in ("", keys.own)
            and SEPARATOR not in named
            and key not in spoken
        ):
            joined[keys.key(named, device)] = key
    why = {keys.key(agent, device): DeviceCause(*rest) for agent, device, *rest in causes}
    told = DeviceCauses(why)
    made = Catalogue(
        series, found, keys=keys, forgotten=forgotten, causes=told, definitions=definitions
    )
    for key, former in joined.items():
        made.former.assume(key, former)
        if made.of_device(key) or key in made.devices:
            made.former.appeared(key)
    return made
