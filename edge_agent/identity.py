"""Who a series belongs to: an agent of the site, and one of its devices.

Two agents may use one device id and never share a series. A *key* names a device to everything
above the stores: a device of the service's own agent by its id alone, every other as
`agent:device`. What is stored names both in full, so a key may be short without ever meaning two
things. People read *names*: the id alone where it is unique on the site.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

SEPARATOR = ":"
"""Between agent and device. An agent's id has none, so a key or a written name splits at the
first."""


def agent_of(stream: str) -> str:
    """`ipc-01/0/9f3c` -> `ipc-01`: what stands before the last two slashes."""
    return stream.rsplit("/", 2)[0]


class AmbiguousNameError(ValueError):
    """Several agents have a device of this id, and none of them is the service's own."""

    def __init__(self, written: str, names: Sequence[str]) -> None:
        super().__init__(f"{written}: {', '.join(names)}")
        self.written = written
        self.names = tuple(names)
        """What may be meant, each as `agent:device`."""


class DeviceKeys:
    """The keys of a site as seen by the service whose own agent is `own`."""

    def __init__(self, own: str = "", others: Iterable[str] = ()) -> None:
        """`others`: the further agents of the plant."""
        self.own = own
        self._plant = frozenset(others) | {own}

    def is_guest(self, agent: str) -> bool:
        """Whether an agent is none of the plant's."""
        return agent not in self._plant

    def key(self, agent: str | None, device: str) -> str:
        """The key of an agent's device; an agent that was never kept (None, empty) is the service's
        own."""
        if (not agent or agent == self.own) and SEPARATOR not in device:
            return device
        return f"{agent or self.own}{SEPARATOR}{device}"

    def split(self, key: str) -> tuple[str, str]:
        """(agent, device) of a key."""
        agent, separator, device = key.partition(SEPARATOR)
        return (agent, device) if separator else (self.own, key)

    def full(self, key: str) -> str:
        """`agent:device`."""
        return SEPARATOR.join(self.split(key))

    def agent(self, key: str) -> str:
        """The agent of a key."""
        return self.split(key)[0]

    def device(self, key: str) -> str:
        """The device id of a key, as its agent knows it."""
        return self.split(key)[1]


class DeviceNames:
    """What people call the devices of a site, and which device they mean."""

    def __init__(
        self, keys: DeviceKeys, known: Iterable[str], elsewhere: Iterable[str] = ()
    ) -> None:
        """`known`: the keys of all devices of the site. `elsewhere`: agents whose devices are not
        among them, and may be called anything."""
        self._keys = keys
        self.known = frozenset(known)
        self._elsewhere = frozenset(elsewhere)

    @cached_property
    def _users(self) -> Counter[str]:
        """How many devices a text may name."""
        users = Counter(self._keys.device(key) for key in self.known)
        users.update(self._keys.full(key) for key in self.known)
        return users

    @property
    def ids(self) -> list[str]:
        """The ids alone."""
        return sorted({self._keys.device(key) for key in self.known})

    def name(self, key: str) -> str:
        """The id alone where it names nothing else on the site, else `agent:device`."""
        device = self._keys.device(key)
        others = self._users[device] - (key in self.known)
        return self._keys.full(key) if others else device

    def resolve(self, written: str) -> str | None:
        """The key of what somebody wrote: `agent:device`, or an id alone, of the service's own
        agent if it has one.

        None: nobody has such a device. Raises AmbiguousNameError.
        """
        agent, separator, device = written.partition(SEPARATOR)
        if agent and separator:  # an id may begin with a colon
            key = self._keys.key(agent, device)
            if key in self.known or (device and agent in self._elsewhere):
                return key
        own = self._keys.key(None, written)
        if own in self.known:
            return own
        found = sorted(key for key in self.known if self._keys.device(key) == written)
        if len(found) > 1:
            raise AmbiguousNameError(written, [self._keys.full(key) for key in found])
        return found[0] if found else None


def lineage(first: str, former: Mapping[str, str]) -> list[str]:
    """`first`, what it was before, and what that was; a circle ends where it closes."""
    found = [first]
    while (name := former.get(found[-1])) is not None and name not in found:
        found.append(name)
    return found
