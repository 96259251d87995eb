"""When the values of a running plant's devices last changed, followed from round to round.

The first look reads what is stored; then the newest value of every tag, which a store has in
memory, is compared with that of the round before, column by column. A tag that flips to and fro may
look alike in two rounds: of a device that seems to stand still what was stored since the last look
is read as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from edge_agent.metrics.live import StoredSignals
from edge_agent.stores.base import GoodValues
from edge_agent.stores.columns import NO_TIME, Longs
from edge_agent.stores.last_changes import DERIVED, StoredValues, stored_values, values_in
from edge_agent.stores.protocols import FactStore

_STILL_NS: Final = 600_000_000_000
"""A device none of whose values changed for so long seems to stand still."""
_LOOK_NS: Final = 300_000_000_000
"""So often it is looked at again, each time from the last look on."""


class ChangeWatch:
    """Of one store; belongs to the thread that computes."""

    def __init__(self) -> None:
        self._changed: dict[str, int | None] = {}
        self._values: GoodValues | None = None
        """The newest good value there ever was of each series."""
        self._looked: dict[str, int] = {}
        """Device -> up to where its stored values have been looked at, ns."""
        self._places: dict[str, int] = {}
        self._of_series: list[int] = []
        """By series: the place of its device, -1 where the series is derived from others of the
        device."""
        self._all_of_series: list[int] = []

    def stored(
        self, store: FactStore, since: Mapping[str, int], now: int
    ) -> dict[str, StoredSignals]:
        """Device of `since` -> what is stored of it up to `now` (ns); a device that is new is
        looked at from there."""
        new = {device: start for device, start in since.items() if device not in self._changed}
        samples = self._note(stored_values(store, new, now) if new else {})
        self._looked.update(dict.fromkeys(new, now))
        newest, changes = self._compare(store)
        for device in since:
            place = self._places.get(device, -1)
            if place >= 0 and changes[place] != NO_TIME:
                self._changed[device] = max(int(changes[place]), self._changed[device] or 0)
            if place >= 0 and newest[place] != NO_TIME:
                samples[device] = int(newest[place])
            else:
                samples.setdefault(device, None)
        still = {
            device: self._looked[device] for device in since if self._to_be_looked_at(device, now)
        }
        self._note(values_in(store, still, now))
        self._looked.update(dict.fromkeys(still, now))
        return {device: StoredSignals(samples[device], self._changed[device]) for device in since}

    def _note(self, found: Mapping[str, StoredValues]) -> dict[str, int | None]:
        """Newest sample of every device; when it changed is noted."""
        for device, each in found.items():
            known = self._changed.get(device)
            self._changed[device] = max((*_known(known), *_known(each.last_change)), default=None)
        return {device: each.last_sample for device, each in found.items()}

    def _compare(self, store: FactStore) -> tuple[list[int], list[int]]:
        """By place of a device: its newest good sample, and the newest that differs from that of
        the round before; NO_TIME without any."""
        values = store.good_values()
        places = self._place_series(store, len(values.t))
        newest, changes = (np.full(len(self._places), NO_TIME, np.int64) for _ in range(2))
        there = values.t != NO_TIME
        np.maximum.at(newest, places[0][there], values.t[there])
        if self._values is not None:
            moved = values.differs(self._values) & (places[1] >= 0)
            np.maximum.at(changes, places[1][moved], values.t[moved])
            values = values.over(self._values)
        self._values = values
        return newest.tolist(), changes.tolist()

    def _place_series(self, store: FactStore, count: int) -> tuple[Longs, Longs]:
        """The places of each series' device, of all series and of those that are not derived;
        series are only ever added, and columns may be longer than there are series."""
        for series in store.catalogue.series[len(self._all_of_series) :]:
            place = self._places.setdefault(series.device, len(self._places))
            self._all_of_series.append(place)
            self._of_series.append(-1 if series.tag in DERIVED else place)
        both = []
        for known in (self._all_of_series, self._of_series):
            places = np.full(count, -1, np.int64)
            places[: len(known)] = known[:count]
            both.append(places)
        return both[0], both[1]

    def _to_be_looked_at(self, device: str, now: int) -> bool:
        """Whether a device seems to stand still; one that moves is seen to, and needs no look."""
        changed = self._changed[device]
        if changed is not None and changed >= now - _STILL_NS:
            self._looked[device] = max(self._looked[device], changed)
            return False
        return self._looked[device] <= now - _LOOK_NS


def _known(t: int | None) -> Iterable[int]:
    return () if t is None else (t,)
