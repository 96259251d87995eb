"""The shift calendar of both lines: two shifts of ten hours, a break in each, the night off."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_DAY = 86400
_HOUR = 3600
_BREAKS = ((12 * _HOUR, 12 * _HOUR + 1800), (22 * _HOUR, 22 * _HOUR + 1800))


class Duty(Enum):
    """What the calendar asks of a machine."""

    OFF = "off"
    WARM_UP = "warm-up"
    WORK = "work"
    BREAK = "break"


@dataclass(frozen=True, slots=True)
class ShiftCalendar:
    """Day shift 8-18 h, late shift 18-4 h; breaks 12:00-12:30 and 22:00-22:30; ten minutes of
    warm-up at 8 h.

    `start_hour` is the hour of the simulated day at t = 0, whatever the wall clock says, so that a
    demo shows running machines at any time of day.
    """

    start_hour: float = 9.0

    def second_of_day(self, t: float) -> float:
        """Seconds since the simulated midnight, at `t` seconds after the epoch."""
        return (self.start_hour * _HOUR + t) % _DAY

    def at(self, t: float) -> Duty:
        """The duty at `t`; every instant has exactly one."""
        second = self.second_of_day(t)
        if 4 * _HOUR <= second < 8 * _HOUR:
            return Duty.OFF
        if 8 * _HOUR <= second < 8 * _HOUR + 600:
            return Duty.WARM_UP
        return Duty.BREAK if any(first <= second < last for first, last in _BREAKS) else Duty.WORK
