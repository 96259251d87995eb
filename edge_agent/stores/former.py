"""`was: other`: what devices and tags were called before, so that reading one reads its whole
history.

Nothing stored is changed by it: take the word out of the configuration, and the two are apart
again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from edge_agent.identity import SEPARATOR, DeviceKeys, lineage

log = logging.getLogger(__name__)

#: A device that speaks so much later than its successor's birth is alive, and nobody's former name;
#: clocks of two agents differ, and what the old one still had to send is older than that.
_CLOCKS_NS: Final = 60_000_000_000
#: Of a birth document without a time nothing is later.
_NO_TIME: Final = 2**62


AsideReason = Literal["was_of_guest", "was_still_speaks", "was_taken", "was_circle"]
"""Why a claim is not followed; each has its sentence in `reasons.states`."""


@dataclass(frozen=True, slots=True)
class AsideClaim:
    """`was` of a device, by key, that is not followed."""

    key: str
    former: str
    reason: str


class FormerNames:
    """Former names by key, as birth documents have them.

    A claim is not followed as long as it contradicts something: a guest names a device of the
    plant, the device named still speaks, another one has taken it, or the names would go round in a
    circle. Of claims that contradict each other the newest is followed.
    """

    def __init__(self, keys: DeviceKeys) -> None:
        self._keys = keys
        self._claims: dict[str, str] = {}
        self._since: dict[str, int] = {}
        """Key -> time of the birth document that has its claim, ns."""
        self._spoke: dict[str, int] = {}
        """Key of a device that is claimed -> time of the newest thing it said, ns."""
        self._alive: set[tuple[str, str]] = set()
        """Claims (key, former) of devices that spoke after they had been claimed."""
        self._devices: dict[str, str] = {}
        """Key -> what it was: the claims that are followed, and what is assumed."""
        self._tags: dict[str, dict[str, str]] = {}
        self._assumed: dict[str, str] = {}
        """Former key -> the key it is taken to be as soon as that appears, though nobody wrote
        so."""
        self._appeared: set[str] = set()
        self._claimed: frozenset[str] = frozenset()
        self._aside: dict[str, str] = {}
        self.current: dict[str, str] = {}
        """Key of a device that is another now -> the key of what it is now."""

    def __bool__(self) -> bool:
        """Whether anything was ever named so."""
        return bool(self._claims or self._tags or self._assumed)

    def born(self, key: str, document: Mapping[str, Any]) -> None:
        """The device's birth document may name what it was: `id` of the same agent, or
        `agent:id`."""
        was = document.get("was")
        t = document.get("t")
        former = self._former_key(key, was) if isinstance(was, str) and was else None
        before = self._claims.get(key), self._since.get(key)
        if former is None or former == key:
            self._claims.pop(key, None)
            self._since.pop(key, None)
        else:
            self._claims[key] = former
            self._since[key] = t if type(t) is int else _NO_TIME
            if self._spoke.get(former, 0) <= self._since[key] - _CLOCKS_NS:
                # else its successor merely started again beside it
                self._alive.discard((key, former))
        if (self._claims.get(key), self._since.get(key)) != before:
            self._renew()

    def note_message(self, key: str, t: int) -> None:
        """A device said something of this time (ns)."""
        if key not in self._claimed or t <= self._spoke.get(key, 0):
            return
        self._spoke[key] = t
        for successor, former in self._claims.items():
            if former == key and t > self._since[successor] + _CLOCKS_NS:
                self._alive.add((successor, key))
                if self._devices.get(successor) == key:
                    log.warning(
                        "was-still-speaks device=%s was=%s",
                        self._keys.full(successor),
                        self._keys.full(key),
                    )
                    self._renew()

    @property
    def claimed(self) -> frozenset[str]:
        """Keys that are named as what another was."""
        return self._claimed

    def tag_born(self, key: str, tag: str, entry: Mapping[str, Any]) -> None:
        """The same of one tag: `was` is another tag of the device."""
        was = entry.get("was")
        if isinstance(was, str) and was:
            self._tags.setdefault(key, {})[tag] = was
        elif (
            key in self._tags and self._tags[key].pop(tag, None) is not None and not self._tags[key]
        ):
            del self._tags[key]

    def assume(self, key: str, former: str) -> None:
        """A device is taken to have been another, by key, once it appears; what its birth document
        says goes first."""
        self._assumed[former] = key

    def appeared(self, key: str) -> None:
        """There is a series or a birth document of this device."""
        if key in self._assumed.values() and key not in self._appeared:
            self._appeared.add(key)
            self._renew()

    def separate(self, key: str) -> None:
        """This device sends data: what was taken to be its successor is another."""
        if self._assumed.pop(key, None) is not None:
            self._renew()

    def _former_key(self, key: str, was: str) -> str:
        agent, separator, device = was.partition(SEPARATOR)
        if separator:
            return self._keys.key(agent, device)
        return self._keys.key(self._keys.agent(key), was)

    def unfollowed_claims(self) -> list[AsideClaim]:
        """The claims that are not followed, each with its reason."""
        # read by other threads
        claims = dict(self._claims)
        reasons = self._aside
        return [
            AsideClaim(key, claims[key], reason)
            for key, reason in sorted(reasons.items())
            if key in claims
        ]

    def _contradicted(self, key: str, former: str) -> AsideReason | None:
        """Whether a guest names a device of the plant, or the device named has spoken since."""
        if self._keys.is_guest(self._keys.agent(key)) and not self._keys.is_guest(
            self._keys.agent(former)
        ):
            return "was_of_guest"
        return "was_still_speaks" if (key, former) in self._alive else None

    def _renew(self) -> None:
        self._claimed = frozenset(self._claims.values())
        claims = sorted(self._claims.items(), key=lambda claim: (-self._since[claim[0]], claim))
        assumed = [(key, former) for former, key in self._assumed.items() if key in self._appeared]
        devices: dict[str, str] = {}
        taken: set[str] = set()
        aside: dict[str, str] = {}
        for key, former in [*claims, *assumed]:
            reason = self._contradicted(key, former) if self._claims.get(key) == former else None
            if reason is None and former in taken:
                reason = "was_taken"
            if reason is None and key in lineage(former, devices):
                reason = "was_circle"
            if reason is not None:
                aside[key] = reason
            elif key not in devices:
                devices[key] = former
                taken.add(former)
        current: dict[str, str] = {}
        for key in devices.keys() - taken:
            current.update(dict.fromkeys(lineage(key, devices)[1:], key))
        self._devices = devices  # whole, since other threads read it
        self._aside = {key: reason for key, reason in aside.items() if key in self._claims}
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
