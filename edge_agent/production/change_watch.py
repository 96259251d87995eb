"""When the values of a running plant's devices last changed, followed from round to round.

The first look reads what is stored; then the newest value of every tag, which a store has in memory, is compared with
that of the round before. A tag that flips to and fro may look alike in two rounds: of a device that seems to stand
still the last minutes are read as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from edge_agent.metrics.live import Stored
from edge_agent.stores import Store
from edge_agent.stores.last_changes import DERIVED, StoredValues, stored_values, values_in

_BAD: Final = 0x8000_0000
_STILL_NS: Final = 600_000_000_000
"""A device none of whose values changed for so long seems to stand still."""
_LOOK_NS: Final = 300_000_000_000

Values = dict[str, tuple[int, Any]]
"""Tag -> time and value of its newest good reading."""


class ChangeWatch:
    """Of one store; belongs to the thread that computes."""

    def __init__(self) -> None:
        self._changed: dict[str, int | None] = {}
        self._values: dict[str, Values] = {}

    def stored(self, store: Store, since: Mapping[str, int], now: int) -> dict[str, Stored]:
        """Device of `since` -> what is stored of it up to `now` (ns); a device that is new is looked at from there."""
        new = {device: start for device, start in since.items() if device not in self._changed}
        samples = self._note(stored_values(store, new, now) if new else {})
        for device in since:
            values = _newest(store, device)
            self._compare(device, {tag: values[tag] for tag in values.keys() - DERIVED})
            samples[device] = max((t for t, _ in values.values()), default=samples.get(device))
        still = [device for device in since if device not in new and self._stands_still(device, now)]
        self._note(values_in(store, dict.fromkeys(still, now - _LOOK_NS), now))
        return {device: Stored(samples[device], self._changed[device]) for device in since}

    def _note(self, found: Mapping[str, StoredValues]) -> dict[str, int | None]:
        """Newest sample of every device; when it changed is noted."""
        for device, each in found.items():
            known = self._changed.get(device)
            self._changed[device] = max((*_known(known), *_known(each.last_change)), default=None)
        return {device: each.last_sample for device, each in found.items()}

    def _compare(self, device: str, values: Values) -> None:
        before = self._values.get(device, {})
        times = (t for tag, (t, value) in values.items() if tag in before and before[tag][1] != value)
        self._changed[device] = max((*_known(self._changed.get(device)), *times), default=None)
        self._values[device] = {**before, **values}

    def _stands_still(self, device: str, now: int) -> bool:
        changed = self._changed[device]
        return changed is None or changed < now - _STILL_NS


def _known(t: int | None) -> Iterable[int]:
    return () if t is None else (t,)


def _newest(store: Store, device: str) -> Values:
    newest = store.latest(device).get(device, {})
    return {
        tag: (each.t, each.value) for tag, each in newest.items() if each.value is not None and not each.status & _BAD
    }
