"""The newest sample of every series, in memory: updated by column after each commit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np

from edge_agent.stores.base import DeviceReadings, GoodValues, LatestSample
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.columns import NO_TIME, Rows, bad_where_null, value_of

#: A sample further ahead of the store's clock than two machines' clocks differ was stamped by a
#: clock gone wrong.
AHEAD_NS: Final = 5_000_000_000
_SEVERITY: Final = 0xC0000000
_BAD: Final = 0x80000000
_ANY_TIME: Final = np.iinfo(np.int64).max - AHEAD_NS


class NewestSamples:
    """Columns indexed by series id. Written by the store's thread, read by any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._t = np.zeros(0, np.int64)
        self._num = np.zeros(0)
        self._kind = np.zeros(0, np.uint8)
        self._status = np.zeros(0, np.uint32)
        self._text: dict[int, str] = {}
        self._devices: dict[str, int] = {}
        self._places = np.zeros(0, np.int64)

    def update(self, rows: Rows, now: int = int(_ANY_TIME)) -> None:
        """Take over what is at least as new as what is known; late samples change nothing.

        What is held from ahead of `now` (ns) gives way to whatever comes: a clock that jumped and
        was put right must not pin a value for as long as the jump was.
        """
        if not len(rows):
            return
        with self._lock:
            self._grow(int(rows.sid.max()) + 1)
            limit = now + AHEAD_NS
            order = np.argsort(np.where(rows.t > limit, NO_TIME, rows.t), kind="stable")
            known = self._t[rows.sid[order]]
            chosen = order[(rows.t[order] >= known) | (known > limit)]
            # With an index that repeats, numpy keeps the last assignment: the newest, as `chosen`
            # is sorted.
            winner = np.full(len(self._t), -1, np.int64)
            winner[rows.sid[chosen]] = chosen
            sid = np.flatnonzero(winner >= 0)
            row = winner[sid]
            self._t[sid], self._num[sid] = rows.t[row], rows.num[row]
            self._kind[sid] = rows.kind[row]
            self._status[sid] = bad_where_null(rows.kind[row], rows.status[row])
            if rows.texts or self._text:
                self._update_texts(rows, sid.tolist(), row.tolist())

    def note_former_names(self, catalogue: Catalogue) -> None:
        """Devices that others say they were: when each last spoke."""
        for key in catalogue.former.claimed:
            times = [latest.t for latest in self.latest(catalogue, key).get(key, {}).values()]
            if times:
                catalogue.former.note_message(key, max(times))

    def _update_texts(self, rows: Rows, sids: list[int], positions: list[int]) -> None:
        for sid, position in zip(sids, positions, strict=True):
            text = rows.texts.get(position)
            if text is not None:
                self._text[sid] = text
            elif self._text:
                self._text.pop(sid, None)

    def _grow(self, size: int) -> None:
        if size <= len(self._t):
            return
        size = max(size, 2 * len(self._t), 256)
        old = len(self._t)
        t = np.full(size, NO_TIME, np.int64)
        t[:old] = self._t
        self._t = t
        self._num = np.resize(self._num, size) if old else np.full(size, np.nan)
        self._kind = np.resize(self._kind, size) if old else np.zeros(size, np.uint8)
        self._status = np.resize(self._status, size) if old else np.zeros(size, np.uint32)

    def time(self, sids: Sequence[int]) -> int | None:
        """Time of the newest sample of these series; None without any."""
        with self._lock:
            known = [int(self._t[sid]) for sid in sids if sid < len(self._t)]
        return max((t for t in known if t != NO_TIME), default=None)

    def rows(self) -> Rows:
        """Everything known as rows, for a snapshot."""
        with self._lock:
            sid = np.flatnonzero(self._t != NO_TIME).astype(np.int32)
            texts = {i: self._text[s] for i, s in enumerate(sid.tolist()) if s in self._text}
            source = np.full(len(sid), NO_TIME, np.int64)
            return Rows(
                sid, self._t[sid], self._num[sid], self._kind[sid], self._status[sid], source, texts
            )

    def good_values(self) -> GoodValues:
        """Those that are good now."""
        with self._lock:
            good = (self._status & np.uint32(_BAD) == 0) & (self._kind != 0)
            times = np.where(good, self._t, NO_TIME)
            texts = {sid: text for sid, text in self._text.items() if good[sid]}
            return GoodValues(times, np.where(good, self._num, np.nan), texts)

    def by_device(self, catalogue: Catalogue, now_ns: int) -> dict[str, DeviceReadings]:
        """Device -> its readings; without an object for each tag."""
        with self._lock:
            known = np.flatnonzero(self._t != NO_TIME)
            t = self._t[known]
            status = self._status[known]
        self._place_series(catalogue)
        known_places = self._places[known]
        good = (status & np.uint32(_SEVERITY)) == 0
        count = len(self._devices)
        newest, good_t = (np.full(count, NO_TIME, np.int64) for _ in range(2))
        np.maximum.at(newest, known_places, t)
        proven = good & (t <= now_ns + AHEAD_NS)
        np.maximum.at(good_t, known_places[proven], t[proven])
        tags = np.bincount(known_places, minlength=count)
        found = {
            device: DeviceReadings(*numbers)
            for device, *numbers in zip(
                self._devices, tags.tolist(), newest.tolist(), good_t.tolist(), strict=True
            )
        }
        for sid, code in zip(known[~good].tolist(), status[~good].tolist(), strict=True):
            series = catalogue.series[sid]
            found[series.device].not_good.append((series.tag, code))
        return found

    def _place_series(self, catalogue: Catalogue) -> None:
        """Each series' device by its place among the devices; series are only ever added."""
        with self._lock:
            new = catalogue.series[len(self._places) :]
            places = [self._devices.setdefault(series.device, len(self._devices)) for series in new]
            self._places = np.append(self._places, np.array(places, np.int64))

    def of_tag(self, catalogue: Catalogue, device: str, tag: str) -> LatestSample | None:
        """The newest sample of one tag."""
        sid = catalogue.find(device, tag)
        with self._lock:
            if sid is None or sid >= len(self._t) or self._t[sid] == NO_TIME:
                return None
            value = value_of(int(self._kind[sid]), float(self._num[sid]), self._text.get(sid))
            return LatestSample(value, int(self._status[sid]), int(self._t[sid]))

    def latest(
        self, catalogue: Catalogue, device: str | None
    ) -> dict[str, dict[str, LatestSample]]:
        """Device -> tag -> newest sample."""
        devices = (
            [device]
            if device is not None
            else list(dict.fromkeys(entry.device for entry in catalogue.series))
        )
        found: dict[str, dict[str, LatestSample]] = {}
        with self._lock:
            for name in devices:
                tags = {
                    tag: LatestSample(
                        value_of(int(self._kind[sid]), float(self._num[sid]), self._text.get(sid)),
                        int(self._status[sid]),
                        int(self._t[sid]),
                    )
                    for tag, sid in list(catalogue.of_device(name).items())
                    if sid < len(self._t) and self._t[sid] != NO_TIME
                }
                if tags:
                    found[name] = tags
        return found
