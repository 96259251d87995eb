"""The health of the last day, kept up to date as rows arrive: what `status` and `/metrics` are
answered from.

Of each device its state, its holes and its changes of state are kept, not its rows; a row that
comes late (from an outbox) is put where it belongs. At a start the day is read from the store, an
hour at a time.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from edge_agent.app.status.missing import BEFORE_NS, DeviceEvidence, HealthSpan
from edge_agent.health.device import OFFLINE_ROW_S
from edge_agent.stores.base import HealthSummary, Silence, transitions
from edge_agent.stores.columns import Longs
from edge_agent.stores.minutes import MINUTE_NS
from edge_agent.stores.newest_samples import AHEAD_NS
from edge_agent.stores.protocols import HealthStore
from edge_agent.stores.rollups import HOUR_NS, hour_of

Row = Mapping[str, Any]

#: What is kept reaches back so far, and a little more so that a window may begin at a full hour.
DAY_NS: Final = 24 * HOUR_NS
_HOURS: Final = 26
_MINUTES: Final = _HOURS * 60
#: The window from which values per second and the connection's state are taken.
RECENT_NS: Final = 15_000_000_000
#: A device that stays offline has few health rows: the last one stands for so long.
OFFLINE_NS: Final = RECENT_NS + int(OFFLINE_ROW_S * 1e9)
_COUNTED: Final = ("values", "good", "bad")
#: What one row can cover at the most: a day.
_MOST_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class DeviceNow:
    """One device at this moment; counts are those of the last day, from its first full hour on."""

    state: str
    """Empty: no row has come of late."""
    reason: str
    last_good_t: int | None
    values_per_s: float
    values: int
    good: int
    bad: int


NOTHING_RECENT: Final = DeviceNow("", "", None, 0.0, 0, 0, 0)


@dataclass(slots=True)
class _Hole:
    """As `Silence`, and ns that its second row speaks of."""

    since: int
    until: int
    state: str
    covered: int
    before: str = ""
    """What its first row says. Where both say offline it is no silence, but rows may still come
    late for it."""


@dataclass(slots=True)
class _Device:
    first_t: int
    last_t: int
    place: int
    last_good_t: int | None = None
    newest: deque[tuple[int, int, float]] = field(default_factory=lambda: deque(maxlen=32))
    """(t, values, scheduled seconds) of the newest rows."""
    states: list[tuple[int, str, str]] = field(default_factory=list)
    """(t, state, reason): what rows say from `t` on."""
    holes: list[_Hole] = field(default_factory=list)
    moves: list[dict[str, Any]] = field(default_factory=list)
    """Transitions, sorted."""
    starts: dict[int, int] = field(default_factory=dict)
    """Time at which the device started anew -> time of the last row before it; 0: none is known."""
    first_covered: int = 0
    """ns that the first row speaks of."""
    late_t: int = 0
    """Time of the last row that came late."""


class RecentHealth:
    """Fed with health rows as they are stored; safe from any thread. Times are ns."""

    def __init__(self, silent_ns: int) -> None:
        """`silent_ns`: a device without rows for longer than this is silent."""
        self._silent = silent_ns
        self._lock = threading.Lock()
        self._waiting: list[Row] | None = []
        """Rows that came while the past was being read; None: it is not."""
        self.complete = False
        """Whether the past has been read."""
        self._state = _State(silent_ns)
        self.outdated = False
        """Whether the past is to be read again: rows came late while it was."""

    def take(self, rows: Iterable[Row], now_ns: int) -> None:
        """Rows that are in the store now."""
        with self._lock:
            rows = [row for row in rows if row["t"] <= now_ns + AHEAD_NS]
            if self._waiting is not None:
                self._waiting += rows
            self._state.take(rows, now_ns)

    def read_past(self, store: HealthStore, now_ns: int) -> Iterator[None]:
        """Read the last day from the store, step by step; in the end all is known. Raises
        StoreError."""
        with self._lock:
            self._waiting = []
        past = _State(self._silent)
        yield from past.read(store, now_ns)
        with self._lock:
            rows, newest = (
                self._waiting or [],
                max((row["t"] for row in self._waiting or []), default=now_ns),
            )
            past.take([row for row in rows if row["t"] > now_ns], max(now_ns, newest))
            # What came late meanwhile may belong to an hour that had been read already.
            self.outdated = any(row["t"] <= now_ns - MINUTE_NS for row in rows)
            self._state = past
            self._waiting = None
            self.complete = True

    def now(self, now_ns: int) -> dict[str, DeviceNow]:
        """Every device of which rows came within the day."""
        with self._lock:
            return self._state.now(now_ns)

    def evidence(self, from_ns: int, to_ns: int) -> dict[str, DeviceEvidence]:
        """What there is of every device in a window of a day at the most, which begins with a full
        minute and ends now."""
        with self._lock:
            return self._state.evidence(from_ns, to_ns)

    def tag_moves(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """Transitions of tags in `from < t <= to`, sorted."""
        with self._lock:
            return [row for row in self._state.tag_moves if from_ns < row["t"] <= to_ns]


class _State:
    def __init__(self, silent_ns: int) -> None:
        self.devices: dict[str, _Device] = {}
        self.tag_moves: list[dict[str, Any]] = []
        self._silent = silent_ns
        self._head = 0
        """The newest minute there is room for, by its number."""
        self._covered = np.zeros((0, _MINUTES), np.uint32)
        """By device and minute, modulo _MINUTES: milliseconds."""
        self._counts = np.zeros((0, _HOURS, len(_COUNTED)), np.int64)

    # --- rows -------------------------------------------------------------------------------------

    def take(self, rows: Sequence[Row], now_ns: int) -> None:
        """Rows as they come."""
        self._make_room(now_ns)
        counted: list[tuple[int, int, int]] = []
        counts = []
        for row in rows:
            device = self._device(row["device"], row["t"])
            t = row["t"]
            if t > device.last_t or not device.states:
                self._take_newer_row(device, row)
            elif t < device.last_t:
                self._take_late_row(device, row)
            else:
                continue  # it came twice
            counted.append((device.place, t, round(1000 * (row.get("covered_s") or 0))))
            counts.append([row.get(name) or 0 for name in _COUNTED])
        if counted:
            place, times, covered_ms = np.array(counted, np.int64).T
            self._cover(place, -(-times // MINUTE_NS), covered_ms)
            self._count(place, times, np.array(counts, np.int64))
        self.add_moves(transitions(rows))

    def _device(self, key: str, t: int) -> _Device:
        device = self.devices.get(key)
        if device is None:
            device = self.devices[key] = _Device(t, t, len(self.devices))
            if device.place >= len(self._covered):
                more = max(64, len(self._covered))
                self._covered = np.pad(self._covered, ((0, more), (0, 0)))
                self._counts = np.pad(self._counts, ((0, more), (0, 0), (0, 0)))
        return device

    def _take_newer_row(self, device: _Device, row: Row) -> None:
        t = row["t"]
        covered = int(1e9 * (row.get("covered_s") or 0))
        state = row.get("state") or ""
        reason = row.get("reason") or ""
        before = device.states[-1][1] if device.states else ""
        spoken_of = covered
        if before == state == "offline":  # such rows come seldom, and say since when they speak
            spoken_of = max(covered, int(1e9 * (row.get("scheduled_s") or 0)))
        if device.states and t - device.last_t - spoken_of > self._silent:
            device.holes.append(_Hole(device.last_t, t, state, covered, before))
        if _starts(row):
            device.starts[t] = device.last_t if device.states else 0
        if not device.states:
            device.first_t = t
            device.first_covered = covered
        if not device.states or device.states[-1][1:] != (state, reason):
            device.states.append((t, state, reason))
        device.last_t = t
        good = row.get("last_good_t")
        if good is not None:
            device.last_good_t = max(good, device.last_good_t or good)
        device.newest.append((t, row.get("values") or 0, row.get("scheduled_s") or 0.0))

    def _take_late_row(self, device: _Device, row: Row) -> None:
        t = row["t"]
        covered = int(1e9 * (row.get("covered_s") or 0))
        state = row.get("state") or ""
        reason = row.get("reason") or ""
        for start, last in device.starts.items():
            if last < t < start:
                device.starts[start] = t
        if _starts(row):
            device.starts[t] = self._last_before(device, t)
        device.late_t = t
        if t < device.first_t:
            _, first_state, _ = device.states[0]
            holes = [_Hole(t, device.first_t, first_state, device.first_covered, state)]
            until = device.first_t
            place = 0
            device.first_t = t
            device.first_covered = covered
        else:
            hole = next((hole for hole in device.holes if hole.since < t < hole.until), None)
            if hole is None:
                return
            holes = [
                _Hole(hole.since, t, state, covered, hole.before),
                _Hole(t, hole.until, hole.state, hole.covered, state),
            ]
            until = hole.until
            place = device.holes.index(hole)
            del device.holes[place]
        device.holes[place:place] = [
            hole for hole in holes if hole.until - hole.since - hole.covered > self._silent
        ]
        self._insert_state(device, (t, state, reason), until)

    def _insert_state(self, device: _Device, entry: tuple[int, str, str], until: int) -> None:
        """What a row in a hole says holds up to the hole's end, where what was said there goes
        on."""
        after = self._state_at(device, until)
        place = bisect_right(device.states, (entry[0], "\uffff", ""))
        if place and device.states[place - 1][1:] == entry[1:]:
            return
        device.states.insert(place, entry)
        if after is not None and self._state_at(device, until) != after:
            insort(device.states, (until, *after))

    def _state_at(self, device: _Device, t: int) -> tuple[str, str] | None:
        place = bisect_right(device.states, (t, "\uffff", ""))
        return device.states[place - 1][1:] if place else None

    def _last_before(self, device: _Device, t: int) -> int:
        """The time of the last row before `t`, as far as it is known."""
        if t <= device.first_t:
            return 0
        for hole in device.holes:
            if hole.since < t <= hole.until:
                return hole.since
        near = device.late_t if t - self._silent <= device.late_t < t else t - 1
        return min(device.last_t, near)

    def add_moves(self, moves: Iterable[dict[str, Any]]) -> None:
        """Transitions of devices and tags."""
        for move in moves:
            if move.get("tag"):
                insort(self.tag_moves, move, key=_time)
                continue
            device = self._device(move["device"], move["t"])
            insort(device.moves, move, key=_time)

    def _make_room(self, now_ns: int) -> None:
        head = -(-(now_ns + AHEAD_NS) // MINUTE_NS)
        if head <= self._head:
            return
        gone = np.arange(max(self._head + 1, head - _MINUTES + 1), head + 1) % _MINUTES
        self._covered[:, gone] = 0
        hour = head // 60
        before = self._head // 60
        self._counts[:, np.arange(max(before + 1, hour - _HOURS + 1), hour + 1) % _HOURS] = 0
        if hour != before:
            self._forget_before(now_ns - DAY_NS - HOUR_NS)
        self._head = head

    def _forget_before(self, t: int) -> None:
        self.tag_moves = [row for row in self.tag_moves if row["t"] > t]
        for device in self.devices.values():
            device.holes = [hole for hole in device.holes if hole.until > t]
            # the last one stands on
            del device.moves[: max(0, bisect_right(device.moves, t, key=_time) - 1)]
            device.starts = {start: last for start, last in device.starts.items() if start > t}
            del device.states[: max(0, bisect_right(device.states, (t, "\uffff", "")) - 1)]

    def _cover(self, place: Longs, minute: Longs, covered_ms: Longs) -> None:
        """Good values for so long in these minutes (by number) of the devices at these places;
        aligned."""
        known = (minute > self._head - _MINUTES) & (minute <= self._head)
        where = place[known], minute[known] % _MINUTES
        np.add.at(self._covered, where, np.clip(covered_ms[known], 0, _MOST_MS).astype(np.uint32))

    def _count(self, place: Longs, times: Longs, counts: Longs) -> None:
        """Counts of rows of these times; aligned."""
        hour = (times - 1) // HOUR_NS
        head = self._head // 60
        known = (hour > head - _HOURS) & (hour <= head)
        np.add.at(self._counts, (place[known], hour[known] % _HOURS), counts[known])

    # --- the past ---------------------------------------------------------------------------------

    def read(self, store: HealthStore, now_ns: int) -> Iterator[None]:
        """A day from the store; between the steps others may work."""
        start = hour_of(now_ns - DAY_NS) - HOUR_NS
        self._make_room(now_ns)
        for key, row in store.health(start - BEFORE_NS, start).items():
            self._summary(key, row)
        yield
        for begin in range(start, now_ns, HOUR_NS):
            end = min(begin + HOUR_NS, now_ns)
            rows = store.health(begin, end)
            for key, row in rows.items():
                self._summary(key, row)
            if rows:
                places = np.array([self.devices[key].place for key in rows], np.int64)
                counts = np.array(
                    [(row.values, row.good, row.bad) for row in rows.values()], np.int64
                )
                self._count(places, np.full(len(rows), end, np.int64), counts)
            yield
            sums = store.health_sums(begin, end, MINUTE_NS)
            if sums:
                known = [
                    self._device(key, int(minutes[0, 0])).place for key, minutes in sums.items()
                ]
                place = np.repeat(
                    np.array(known, np.int64), [len(minutes) for minutes in sums.values()]
                )
                minutes = np.concatenate(list(sums.values()))
                self._cover(place, minutes[:, 0] // MINUTE_NS, minutes[:, 2])
            yield
        silences = store.silences(start, now_ns, self._silent)
        for key, found in silences.items():
            device = self._device(key, found[0].since)
            device.holes = [_Hole(hole.since, hole.until, hole.state, 0) for hole in found]
        yield
        self._read_moves(store, start, now_ns)

    def _summary(self, key: str, row: HealthSummary) -> None:
        device = self._device(key, row.first_t)
        if row.last_t >= device.last_t:
            if not device.states or device.states[-1][1:] != (row.state, row.reason):
                device.states.append((row.last_t, row.state, row.reason))
            device.last_t = row.last_t
            good = row.last_good_t
            device.last_good_t = good if good is None else max(good, device.last_good_t or good)

    def _read_moves(self, store: HealthStore, start: int, now_ns: int) -> None:
        """Transitions say to the nanosecond when a state changed, of which the hours know that it
        did."""
        moves = store.transitions(start, now_ns)
        self.add_moves(moves)
        before: dict[int, dict[str, HealthSummary]] = {}
        for move in moves:
            if move.get("tag"):
                continue
            device = self.devices[move["device"]]
            entry = (move["t"], move["to"], move["reason"])
            place = bisect_left(device.states, entry)
            if not place or device.states[place - 1][1:] != entry[1:]:
                device.states.insert(place, entry)
            if move["from"] == "starting":
                t = move["t"]
                if t not in before:
                    before[t] = store.health(t - HOUR_NS, t - 1)
                last = before[t].get(move["device"])
                known = [last.last_t] if last is not None else []
                known += [hole.since for hole in device.holes if hole.since < t <= hole.until]
                if known:
                    device.starts[t] = max(known)

    # --- answers ----------------------------------------------------------------------------------

    def now(self, now_ns: int) -> dict[str, DeviceNow]:
        """Of every device."""
        first = (now_ns - DAY_NS) // HOUR_NS
        hours = np.arange(first, now_ns // HOUR_NS + 1) % _HOURS
        counts = self._counts[:, hours].sum(axis=1).tolist()
        found = {}
        for key, device in self.devices.items():
            recent = [row for row in device.newest if now_ns - RECENT_NS < row[0] <= now_ns]
            _, state, reason = device.states[-1] if device.states else (0, "", "")
            lasts = OFFLINE_NS if state == "offline" else RECENT_NS
            if not now_ns - lasts < device.last_t <= now_ns + AHEAD_NS:
                state = reason = ""
            scheduled = sum(row[2] for row in recent)
            rate = sum(row[1] for row in recent) / scheduled if scheduled else 0.0
            values, good, bad = counts[device.place]
            found[key] = DeviceNow(state, reason, device.last_good_t, rate, values, good, bad)
        return found

    def evidence(self, from_ns: int, to_ns: int) -> dict[str, DeviceEvidence]:
        """Of every device that has rows."""
        minutes = np.arange(from_ns // MINUTE_NS + 1, -(-to_ns // MINUTE_NS) + 1) % _MINUTES
        covered = (self._covered[:, minutes].sum(axis=1, dtype=np.int64) / 1000).tolist()
        return {
            key: self._device_evidence(device, from_ns, to_ns, covered[device.place])
            for key, device in self.devices.items()
            if device.states
        }

    def _device_evidence(
        self, device: _Device, from_ns: int, to_ns: int, covered_s: float
    ) -> DeviceEvidence:
        before = within = None
        state = self._state_at(device, from_ns)
        if device.first_t <= from_ns and state is not None:
            last = min(device.last_t, self._last_before(device, from_ns + 1))
            before = HealthSpan(device.first_t, last, *state, 0.0)
        if device.last_t > from_ns:
            first = device.first_t if before is None else from_ns
            within = HealthSpan(first, device.last_t, *device.states[-1][1:], covered_s)
        return DeviceEvidence(
            before,
            within,
            [row for row in device.moves if from_ns < row["t"] <= to_ns],
            [
                Silence(hole.since, hole.until, hole.state)
                for hole in device.holes
                if hole.until > from_ns and not hole.before == hole.state == "offline"
            ],
            {start: last for start, last in device.starts.items() if last},
            _why_at(device.moves, from_ns),
            device.states,
        )


def _why_at(moves: Sequence[Mapping[str, Any]], t: int) -> tuple[str, str] | None:
    """The exact sentence of the newest transition up to `t`."""
    place = bisect_right(moves, t, key=_time)
    row = moves[place - 1] if place else {}
    return (row["zh"], row["en"]) if row.get("zh") and row.get("en") else None


def _starts(row: Row) -> bool:
    """Whether the device started anew with it."""
    return (row.get("transition") or {}).get("from") == "starting"


def _time(row: Mapping[str, Any]) -> int:
    return int(row["t"])
