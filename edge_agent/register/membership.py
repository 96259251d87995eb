"""Which machines a window counts, by scope, status and dates of the register, and why the others
are not among them.

A day of the register begins at midnight of the plant's zone. `commissioned` is the first day on
which a machine counts, `retired_on` the first on which it counts no more; a status other than
in_use speaks of the time from `retired_on` on, or without that date of all time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import cached_property
from itertools import pairwise
from typing import Final, Literal

from edge_agent.register.model import Equipment, Register

Absence = Literal[
    "out_of_scope", "not_commissioned", "retired", "mothballed", "under_repair", "scrapped"
]
Span = tuple[int, int]

#: In this order they are listed.
ABSENCES: Final[tuple[Absence, ...]] = (
    "out_of_scope", "not_commissioned", "under_repair", "mothballed", "retired", "scrapped",
)  # fmt: skip
_STATUSES: Final[dict[str, Absence]] = {
    "mothballed": "mothballed", "under_repair": "under_repair", "scrapped": "scrapped",
}  # fmt: skip
_S: Final = 1_000_000_000
_FOREVER: Final = 2**62


@dataclass(frozen=True)
class Membership:
    """A register in a window of `start..end` (ns; `start` None: a snapshot at its end).

    Without an `end` nobody says of what time the question is: then dates are not looked at.
    """

    register: Register
    start: int | None = None
    end: int | None = None
    zone: tzinfo = UTC

    @cached_property
    def machines(self) -> tuple[Equipment, ...]:
        """Production equipment at the window's end, by id: every count of machines rests on
        these."""
        return tuple(row for row in self._rows if self.absence(row) is None)

    @cached_property
    def absent(self) -> tuple[tuple[Equipment, Absence], ...]:
        """The other machines, by id, each with why."""
        return tuple((row, why) for row in self._rows if (why := self.absence(row)) is not None)

    @cached_property
    def working(self) -> tuple[Equipment, ...]:
        """Production equipment that was in service in some part of the window, by id: what it made
        counts."""
        return tuple(row for row in self._rows if row.in_scope and self.span(row) is not None)

    @cached_property
    def in_service(self) -> tuple[Equipment, ...]:
        """What was in service in some part of the window, in scope or not, by id: meters are among
        it."""
        return tuple(row for row in self._rows if self.span(row) is not None)

    @cached_property
    def standing(self) -> tuple[Equipment, ...]:
        """What is in service at the window's end, in scope or not, by id."""
        return tuple(row for row in self._rows if self._out_of_service(row) is None)

    def absence(self, machine: Equipment) -> Absence | None:
        """Why a machine does not count at the window's end; None when it does."""
        return self._out_of_service(machine) if machine.in_scope else "out_of_scope"

    def span(self, machine: Equipment) -> Span | None:
        """The part of the window in which a machine was in service (ns), None without any; of a
        snapshot its end."""
        if machine.status != "in_use" and machine.retired_on is None:
            return None
        if self.end is None or self.start is None or self.start >= self.end:
            moment = self.end or 0
            return (moment, moment) if self._out_of_service(machine) is None else None
        since = (
            self.start
            if machine.commissioned is None
            else max(self.start, self._midnight(machine.commissioned))
        )
        until = (
            self.end
            if machine.retired_on is None
            else min(self.end, self._midnight(machine.retired_on))
        )
        return (since, until) if since < until else None

    @classmethod
    def of_all_time(cls, register: Register, zone: tzinfo) -> Membership:
        """A register by its dates alone, whatever window is asked for."""
        return cls(register, 0, _FOREVER, zone)

    def metered_alone(self, meter: str) -> bool:
        """Whether a device is the meter (`meter_id`) of machines in service, of one at a time."""
        spans = sorted(
            span for row in self.in_service if row.meter_id == meter and (span := self.span(row))
        )
        return bool(spans) and not any(_overlap(*pair) for pair in pairwise(spans))

    def alone(self, machine: Equipment) -> bool:
        """Whether a machine has a primary device that no other one has while this one is in
        service."""
        own = self.span(machine)
        if own is None or not machine.device:
            return False
        others = (row for row in self._by_device[machine.device] if row is not machine)
        return not any(_overlap(own, self.span(row)) for row in others)

    @cached_property
    def _rows(self) -> tuple[Equipment, ...]:
        return tuple(sorted(self.register.equipment, key=lambda row: row.equipment_id))

    @cached_property
    def _by_device(self) -> dict[str, list[Equipment]]:
        """Primary device -> the machines in service that have it."""
        found: dict[str, list[Equipment]] = {}
        for row in self.in_service:
            found.setdefault(row.device, []).append(row)
        return found

    def _out_of_service(self, machine: Equipment) -> Absence | None:
        """Why a machine is not in service at the window's end."""
        stated = _STATUSES.get(machine.status)
        if self.end is None:
            return stated
        if machine.commissioned is not None and self._midnight(machine.commissioned) >= self.end:
            return "not_commissioned"
        if machine.retired_on is None:
            return stated
        return (stated or "retired") if self._midnight(machine.retired_on) < self.end else None

    def _midnight(self, day: date) -> int:
        return int(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp()) * _S


def _overlap(one: Span, other: Span | None) -> bool:
    """Whether two spans have a moment in common; a snapshot's spans are its one moment."""
    return other is not None and (one == other or (one[0] < other[1] and other[0] < one[1]))
