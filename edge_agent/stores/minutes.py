"""Health by minute, an hour of all devices as one small piece of bytes: what reports rest on, for
years.

Devices that are well add nearly the same to every minute, so a column is kept as differences, its
low bytes apart from its high ones, and compressed: about half a byte a device and minute. Sums are
exact; the last good reading of a minute is kept to the second, and never later than it was.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_agent.stores.columns import Longs
from edge_agent.stores.rollups import SUMMED

MINUTE_NS: Final = 60_000_000_000
_SECOND: Final = 1_000_000_000
#: Columns that lie about a minute whatever comes before them.
_OF_A_MINUTE: Final = ("scheduled_ms", "covered_ms")
_COLUMNS: Final = 3 + len(SUMMED)
#: Seconds: no reading was ever good.
_NEVER: Final = -(2**40)


@dataclass(frozen=True, slots=True, eq=False)
class MinuteRows:
    """Aligned columns, sorted by device and minute; `sums` has a column for each of SUMMED."""

    did: Longs
    end: Longs
    """Ends of the minutes, ns."""
    sums: Longs
    last_good: Longs
    """ns; -1: none."""

    def __len__(self) -> int:
        return len(self.did)

    @classmethod
    def of(cls, parts: Sequence[MinuteRows]) -> MinuteRows:
        """Several parts, whose rows of one device and minute are added up."""
        did, end = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("did", "end")
        )
        sums, last_good = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("sums", "last_good")
        )
        order = np.lexsort((end, did))
        did = did[order]
        end = end[order]
        sums = sums[order]
        last_good = last_good[order]
        if not len(did):
            return cls(did, end, sums, last_good)
        starts = np.flatnonzero(np.append(True, (did[1:] != did[:-1]) | (end[1:] != end[:-1])))
        return cls(
            did[starts],
            end[starts],
            np.add.reduceat(sums, starts, axis=0),
            np.maximum.reduceat(last_good, starts),
        )

    def inside(self, from_ns: int, to_ns: int) -> MinuteRows:
        """Minutes that end in `from < t <= to`."""
        chosen = (self.end > from_ns) & (self.end <= to_ns)
        return MinuteRows(
            self.did[chosen], self.end[chosen], self.sums[chosen], self.last_good[chosen]
        )

    def by_step(self, step_ns: int) -> MinuteRows:
        """In steps that end at multiples of `step_ns`, a whole number of minutes."""
        if step_ns == MINUTE_NS:
            return self
        return MinuteRows.of(
            [MinuteRows(self.did, -(-self.end // step_ns) * step_ns, self.sums, self.last_good)]
        )

    @classmethod
    def empty(cls) -> MinuteRows:
        none = np.zeros(0, np.int64)
        return cls(none, none, np.zeros((0, len(SUMMED)), np.int64), none)


def packed(hour: int, rows: MinuteRows) -> bytes:
    """One hour as bytes; `hour`: its end, ns."""
    lag = np.where(rows.last_good < 0, _NEVER, -((rows.last_good - rows.end) // _SECOND))
    columns = [
        _differences(rows.did),
        _differences((hour - rows.end) // MINUTE_NS),
        _differences(lag),
    ]
    for place, name in enumerate(SUMMED):
        column = rows.sums[:, place]
        columns.append(
            column - MINUTE_NS // 1_000_000 if name in _OF_A_MINUTE else _differences(column)
        )
    folded = np.stack(columns)
    folded = (folded << 1) ^ (folded >> 63)  # so that small negative numbers are small too
    planes = folded.view(np.uint8).reshape(_COLUMNS, len(rows), 8)
    return zlib.compress(np.ascontiguousarray(planes.transpose(0, 2, 1)).tobytes(), 6)


def unpacked(hour: int, data: bytes, newest: Mapping[int, int] | None = None) -> MinuteRows:
    """The inverse. `newest`: device -> its last good reading of the hour, exact; it stands for that
    of its second."""
    planes = np.frombuffer(zlib.decompress(data), np.uint8).reshape(_COLUMNS, 8, -1)
    folded = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(np.uint64)[:, :, 0]
    columns = (folded >> np.uint64(1)).view(np.int64) ^ -(folded & np.uint64(1)).view(np.int64)
    did, back, lag = (np.cumsum(column) for column in columns[:3])
    end = hour - back * MINUTE_NS
    sums = np.stack(
        [
            columns[3 + place] + MINUTE_NS // 1_000_000
            if name in _OF_A_MINUTE
            else np.cumsum(columns[3 + place])
            for place, name in enumerate(SUMMED)
        ],
        axis=1,
    )
    last_good = np.where(lag == _NEVER, np.int64(-1), end - lag * _SECOND)
    devices, place = np.unique(did, return_inverse=True)
    exact = np.array([(newest or {}).get(device, -1) for device in devices.tolist()], np.int64)[
        place
    ]
    same = (last_good >= 0) & (exact >= last_good) & (exact - last_good < _SECOND)
    return MinuteRows(did, end, sums, np.where(same, exact, last_good))


def _differences(column: Longs) -> Longs:
    return np.diff(column, prepend=0)
