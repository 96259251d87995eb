"""`was: other`: what devices and tags were called before, so that reading one reads its whole history.

Nothing stored is changed by it: take the word out of the configuration, and the two are apart again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edge_agent.identity import SEPARATOR, DeviceKeys, lineage


class FormerNames:
    """Former names by key, as birth documents (and the service's own configuration) have them."""

    def __init__(self, keys: DeviceKeys) -> None:
        self._keys = keys
        self._devices: dict[str, str] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._assumed: dict[str, str] = {}
        """Former key -> the key it is taken to be as soon as that appears, though nobody wrote so."""
        self.current: dict[str, str] = {}
        """Key of a device that is another now -> the key of what it is now."""

    def __bool__(self) -> bool:
        return bool(self._devices or self._tags or self._assumed)

    def born(self, key: str, document: Mapping[str, Any]) -> None:
        """The device's birth document may name what it was: `id` of the same agent, or `agent:id`."""
        was = document.get("was")
        before = self._devices.get(key)
        if isinstance(was, str) and was:
            self._devices[key] = self._former_key(key, was)
        elif before is not None:
            del self._devices[key]
        if self._devices.get(key) != before:
            self._renew()

    def tag_born(self, key: str, tag: str, entry: Mapping[str, Any]) -> None:
        """The same of one tag: `was` is another tag of the device."""
        was = entry.get("was")
        if isinstance(was, str) and was:
            self._tags.setdefault(key, {})[tag] = was
        elif key in self._tags and self._tags[key].pop(tag, None) is not None and not self._tags[key]:
            del self._tags[key]

    def assume(self, key: str, former: str) -> None:
        """A device is taken to have been another, by key, once it appears; what its birth document says goes first."""
        self._assumed[former] = key

    def appeared(self, key: str) -> None:
        """There is a series or a birth document of this device."""
        for former, successor in self._assumed.items():
            if successor == key and key not in self._devices:
                self._devices[key] = former
                self._renew()

    def separate(self, key: str) -> None:
        """This device sends data: what was taken to be its successor is another."""
        successor = self._assumed.pop(key, None)
        if successor is not None and self._devices.get(successor) == key:
            del self._devices[successor]
            self._renew()

    def _former_key(self, key: str, was: str) -> str:
        agent, separator, device = was.partition(SEPARATOR)
        if separator:
            return self._keys.key(agent, device)
        return self._keys.key(self._keys.agent(key), was)

    def _renew(self) -> None:
        formers = set(self._devices.values())
        current = {}
        for key in self._devices.keys() - formers:
            current.update(dict.fromkeys(lineage(key, self._devices)[1:], key))
        self.current = current

    def devices(self, key: str) -> list[str]:
        """The device and what it was, newest first."""
        return lineage(key, self._devices)

    def names(self, key: str, tag: str) -> Iterable[tuple[str, str]]:
        """One tag and what it was, under every name of its device."""
        tags = [tag]
        for device in self.devices(key):
            renamed = self._tags.get(device, {})
            for name in list(tags):
                tags += [former for former in lineage(name, renamed)[1:] if former not in tags]
            for name in tags:
                yield device, name
