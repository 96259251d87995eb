"""The devices of a plant as its store service sees them: those of its own file, and those of the
agents it names.

A device of another agent of the plant is known by the birth document that agent sends. What any
further agent sends is stored, and it is a guest: in no figure, and nothing turns red for it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edge_agent import names
from edge_agent.config.models import DeviceCommon, Site, TagCommon
from edge_agent.config.soundness import sound_part
from edge_agent.identity import AmbiguousNameError, DeviceKeys, DeviceNames
from edge_agent.reasons import sentence
from edge_agent.register.model import Equipment, Register
from edge_agent.stores.protocols import SampleReader

log = logging.getLogger(__name__)

#: The tag that state rules derive.
_STATE: Final = "machine_state"
_TAG_KEYS: Final = ("unit", "range", "map", "description", "business_link")
_DEVICE_KEYS: Final = ("name", "area", "line", "cell", "profile", "business_link")


@dataclass(frozen=True, slots=True)
class SiteDevice:
    """One device of the plant."""

    name: str
    """What registers, figures, reports and packs call it: its id alone where no other device of the
    plant has it, else `agent:device`."""
    key: str
    config: DeviceCommon
    """Its keys in the service's own file; of another agent's device what its birth document
    says."""
    by_birth: bool = False
    former_units: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Tag -> units in which it was read before."""

    @property
    def normalised(self) -> bool:
        """Whether its tags become the common machine state."""
        return self.config.state is not None or (self.by_birth and _STATE in self.config.tags)


class SiteDevices:
    """All of a plant, and what anything written means by a name."""

    def __init__(self, site: Site, known: Mapping[str, Any]) -> None:
        """`known`: what the store has heard of, as `Catalogue.known_devices` says it."""
        self.keys = DeviceKeys(site.agent.id)
        self.agents = frozenset(site.agents) - {site.agent.id}
        """The other agents of the plant."""
        former: Mapping[str, str] = known["former"]
        births: Mapping[str, Any] = known["births"]
        present = frozenset(births) | frozenset(known["listed"])
        own = {self._key_of(device.id, present, former): device for device in site.devices}
        born: dict[str, DeviceCommon] = {}
        for key in sorted(births.keys() - own.keys() - former.keys()):
            if self.keys.agent(key) in self.agents:
                config = _from_birth(key, self.keys, births[key], known["tags"].get(key, {}))
                if config is not None:
                    born[key] = config
        # A guest has no say in what a device of the plant is called in figures; screens list it
        # beside them.
        plant = {key for key in known["listed"] if not self.guest(key)}
        self._plant_names = DeviceNames(self.keys, {*plant, *own, *born})
        self._names = DeviceNames(self.keys, {*known["listed"], *own, *born})
        name = self._plant_names.name
        units: Mapping[str, Mapping[str, Collection[str]]] = known.get("units", {})
        self.members = [
            SiteDevice(name(key), key, device, by_birth, units.get(key, {}))
            for devices, by_birth in ((own, False), (born, True))
            for key, device in devices.items()
        ]
        self._by_key = {member.key: member for member in self.members}

    @classmethod
    def of(cls, site: Site, store: SampleReader) -> SiteDevices:
        """As the store knows them now."""
        return cls(site, store.catalogue.known_devices(site.agents))

    @classmethod
    def of_file(cls, site: Site) -> SiteDevices:
        """Before anything is known of a store."""
        return cls(site, {"births": {}, "listed": [], "former": {}, "tags": {}})

    def _key_of(self, device: str, present: frozenset[str], former: Mapping[str, str]) -> str:
        """Whose device one of the own file is: the own agent's, unless only another agent of the
        plant speaks of it."""
        own = self.keys.key(None, device)
        now = former.get(own, own)
        if now in present and not self.guest(now):
            return now
        if any(self.keys.agent(key) == self.keys.own for key in present):
            # this agent reads devices itself, and this one has not spoken yet: a twin is another
            # device
            return own
        others = [
            key for agent in sorted(self.agents) if (key := self.keys.key(agent, device)) in present
        ]
        return others[0] if len(others) == 1 else own

    @property
    def by_key(self) -> Mapping[str, SiteDevice]:
        """Key -> device of the plant."""
        return self._by_key

    @property
    def known(self) -> frozenset[str]:
        """The keys of all devices of the site: the plant's, and those of guests."""
        return self._names.known

    def guest(self, key: str) -> bool:
        """Whether a device is none of the plant's agents'."""
        return self.is_guest_agent(self.keys.agent(key))

    def is_guest_agent(self, agent: str) -> bool:
        """Whether an agent stands nowhere in the service's own file."""
        return agent != self.keys.own and agent not in self.agents

    def shown(self, key: str) -> str:
        """What a screen that lists guests too shows: the id alone where it is unique on the site,
        else `agent:device`."""
        return self._names.name(key)

    @property
    def plant_names(self) -> DeviceNames:
        """What the devices of the plant's agents are called, without guests."""
        return self._plant_names

    def unfollowed_names(self, store: SampleReader) -> list[dict[str, Any]]:
        """`was` that are not followed: `{"device", "was", "reason", "zh", "en", "guest"}`, devices
        as people are shown them."""
        rows = []
        for claim in store.catalogue.former.unfollowed_claims():
            zh, en = sentence(claim.reason)
            row = {
                "device": self.shown(claim.key),
                "was": self.shown(claim.former),
                "reason": claim.reason,
            }
            rows.append(row | {"zh": zh, "en": en, "guest": self.guest(claim.key)})
        return rows

    def named(self, written: str) -> str:
        """What registers mean by a name, as figures call it; what nobody is called, and what
        several may mean, stays as it is written. Nothing a guest sends changes what is meant."""
        try:
            key = self._plant_names.resolve(written)
        except AmbiguousNameError:
            return written
        member = None if key is None else self._by_key.get(key)
        return written if member is None else member.name

    def resolved(self, register: Register) -> Register:
        """The register with its links to devices as figures call them."""
        equipment = tuple(self._linked(row) for row in register.equipment)
        return (
            register if equipment == register.equipment else Register(equipment, register.processes)
        )

    def _linked(self, row: Equipment) -> Equipment:
        links = ";".join(self.named(link) for link in row.devices)
        meter = self.named(row.meter_id) if row.meter_id else ""
        if (links, meter) == (";".join(row.devices), row.meter_id):
            return row
        return replace(row, gateway_device=links, meter_id=meter)


def _from_birth(
    key: str, keys: DeviceKeys, birth: Mapping[str, Any], tags: Mapping[str, Any]
) -> DeviceCommon | None:
    """The keys of a device as far as its birth document says them. What is none, such as a name of
    a time before names were judged, is left out: the device stays in its figures."""
    said: dict[str, Any] = {name: birth[name] for name in _DEVICE_KEYS if birth.get(name)}
    said |= {"id": keys.device(key), "connector": str(birth.get("connector", ""))}
    said["tags"] = {
        tag: _tag_from_birth(entry) for tag, entry in _objects(tags) if names.fault(tag) is None
    }
    sound = sound_part(DeviceCommon, said)
    if sound is None:
        log.warning("birth-not-usable device=%s", key)
        return None
    found: DeviceCommon = sound.value
    # which is longer than a name may be, if both of its parts are long
    return found.model_copy(update={"id": key})


def _tag_from_birth(entry: Mapping[str, Any]) -> TagCommon:
    sound = sound_part(TagCommon, {name: entry[name] for name in _TAG_KEYS if name in entry})
    return TagCommon() if sound is None else sound.value


def _objects(tags: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    return ((tag, entry) for tag, entry in tags.items() if isinstance(entry, Mapping))
