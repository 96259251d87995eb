"""Which series there are: (device, tag) interned to a small integer, and what its birth document says of it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from edge_agent import names
from edge_agent.stores.columns import Ints

#: Distinct sets of tags remembered; report-by-change makes many, so the memory has a bound.
_CACHED: Final = 4096


@dataclass(slots=True)
class Series:
    """One tag of one device."""

    sid: int
    device: str
    tag: str
    meta: str = ""
    """Its entry in the birth document as JSON (type, unit, range, map, ...); empty until one came."""


class Catalogue:
    """All series of a store. Interned by the ingest's loop, read by the store's thread: it only ever grows."""

    def __init__(self, series: Iterable[Series] = (), devices: Mapping[str, str] | None = None) -> None:
        self.series: list[Series] = []
        self.devices: dict[str, str] = dict(devices or {})
        """Device -> its birth document without the tags, as JSON."""
        self._ids: dict[str, dict[str, int]] = {}
        self._cache: dict[tuple[str, tuple[str, ...]], Ints] = {}
        self._lock = threading.Lock()
        self.changed: set[int] = set()
        """Series whose entry is not in the store yet."""
        self.changed_devices: set[str] = set()
        for entry in sorted(series, key=lambda entry: entry.sid):
            self._add(entry)
        self.changed.clear()

    def _add(self, entry: Series) -> None:
        if entry.sid != len(self.series):
            raise ValueError(f"series ids have a hole before {entry.sid}")
        self.series.append(entry)
        self._ids.setdefault(entry.device, {})[entry.tag] = entry.sid
        self.changed.add(entry.sid)

    def ids(self, device: str, tags: tuple[str, ...]) -> Ints:
        """The series ids of these tags, aligned; unknown ones are entered. The array must not be written to.

        Raises NotANameError for what is new and no name; nothing is entered then.
        """
        key = (device, tags)
        found = self._cache.get(key)
        if found is None:
            known = self._ids.get(device, {})
            if not known:
                names.require(device)
            for tag in tags:
                if tag not in known:
                    names.require(tag)
            found = np.fromiter(
                [known[tag] if tag in known else self.sid(device, tag) for tag in tags], np.int32, len(tags)
            )
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[key] = found
        return found

    def sid(self, device: str, tag: str) -> int:
        """The id of one series, entered if it is new."""
        with self._lock:
            known = self._ids.setdefault(device, {})
            if tag not in known:
                self._add(Series(len(self.series), device, tag))
            return known[tag]

    def find(self, device: str, tag: str) -> int | None:
        """The id of a series, or None."""
        return self._ids.get(device, {}).get(tag)

    def of_device(self, device: str) -> Mapping[str, int]:
        """Tag -> id of one device."""
        return self._ids.get(device, {})

    def born(self, document: Mapping[str, Any]) -> None:
        """Take in a birth document; only what is new in it is written again."""
        device = document["device"]
        rest = {key: value for key, value in document.items() if key not in ("tags", "v")}
        text = orjson.dumps(rest).decode()
        if self.devices.get(device) != text:
            self.devices[device] = text
            self.changed_devices.add(device)
        for tag, entry in document["tags"].items():
            meta = orjson.dumps(entry).decode()
            series = self.series[self.sid(device, tag)]
            if series.meta != meta:
                series.meta = meta
                self.changed.add(series.sid)

    def take_changes(self) -> tuple[list[Series], dict[str, str]]:
        """What the store lacks; give it back with `put_back` when it could not be written."""
        with self._lock:
            series = [self.series[sid] for sid in sorted(self.changed)]
            devices = {device: self.devices[device] for device in self.changed_devices}
            self.changed.clear()
            self.changed_devices.clear()
        return series, devices

    def put_back(self, series: Iterable[Series], devices: Iterable[str]) -> None:
        """Undo `take_changes` after a write that failed."""
        with self._lock:
            self.changed.update(entry.sid for entry in series)
            self.changed_devices.update(devices)
