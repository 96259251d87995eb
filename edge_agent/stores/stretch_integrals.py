"""A power as what it adds up to: each reading holds until the next one, a bad one adds nothing.

A power that is measured never repeats itself, so it cannot be kept as runs; but figures ask for it
at few moments only. `StretchIntegral` is one stretch of readings as a rising total, `StretchTotals`
puts stretches together and answers at moments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_agent.stores.columns import Codes, Floats, Longs

_HOUR_NS: Final = 3.6e12


@dataclass(frozen=True, slots=True, eq=False)
class StretchIntegral:
    """One stretch: `used[i]` unit-hours from its first reading `at[0]` to `at[i]`; its end is the
    last of `at`."""

    at: Longs
    used: Floats
    rate: float
    """What holds at its end."""

    def cut(self, moments: Longs) -> StretchIntegral:
        """Known at these moments (and at its two ends) only."""
        inside = moments[(moments > self.at[0]) & (moments < self.at[-1])]
        at = np.unique(np.concatenate([self.at[:1], inside, self.at[-1:]]))
        return StretchIntegral(
            at, np.interp(at - self.at[0], self.at - self.at[0], self.used), self.rate
        )


def piece(t: Longs, num: Floats, status: Codes, end: int) -> StretchIntegral | None:
    """From readings sorted by `t` and before `end`; None without any."""
    if not len(t):
        return None
    rate = np.where((status & np.uint32(0x80000000)) == 0, np.nan_to_num(num), 0.0)
    at = np.append(t, end)
    return StretchIntegral(
        at, np.concatenate([[0.0], np.cumsum(rate * np.diff(at) / _HOUR_NS)]), float(rate[-1])
    )


def joined(at: Longs, used: Floats, rate: Floats) -> StretchIntegral:
    """Pieces one after the other, as one: `rate` is NaN but at the end of each, and holds until the
    next begins."""
    grown = np.diff(used)
    ends = np.flatnonzero(~np.isnan(rate[:-1]))
    grown[ends] = rate[ends] * np.diff(at)[ends] / _HOUR_NS
    return StretchIntegral(at, np.concatenate([[0.0], np.cumsum(grown)]), float(rate[-1]))


class StretchTotals:
    """The total of one series from the first of its moments to each of them, stretch by stretch in
    order of time."""

    def __init__(self, moments: Longs, rate: float | None) -> None:
        """`rate` holds at the first moment; None: no reading before it is known."""
        self.seen = rate is not None
        self.total = np.zeros(len(moments))
        self._moments = moments
        self._done = 0
        self._now, self._sum, self._rate = int(moments[0]), 0.0, rate or 0.0

    def add(self, found: StretchIntegral | None, end: int) -> None:
        """The stretch up to `end`: its readings, or that there are none."""
        at = np.array([end])
        used = np.zeros(1)
        rate = self._rate
        if found is not None:
            self.seen = True
            at = found.at
            used = found.used
            rate = found.rate
            if at[-1] < end:
                at, used = (
                    np.append(at, end),
                    np.append(used, used[-1] + rate * (end - at[-1]) / _HOUR_NS),
                )
        before = self._sum + self._rate * (at[0] - self._now) / _HOUR_NS
        x = np.concatenate([[0], at - self._now]).astype(np.float64)
        y = np.concatenate([[self._sum], before + used])
        stop = int(np.searchsorted(self._moments, end, "right"))
        self.total[self._done : stop] = np.interp(
            self._moments[self._done : stop] - self._now, x, y
        )
        self._done, self._now, self._sum, self._rate = stop, end, float(y[-1]), rate
