"""From the points of a table to the fewest requests, and what a device's refusals teach. Pure.

A *span* is the range of one or more points in one table; a *group* the spans one request reads. A
value is never split over two requests. What a device refused is remembered as *barriers*, ranges
that no request of several spans may contain, and as *missing* spans, which were refused when asked
for alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from operator import attrgetter
from typing import NamedTuple

from connectors.modbus.options import ModbusDevice, ObjectName
from connectors.modbus.point import is_bits


class AddressSpan(NamedTuple):
    """Addresses `start` to `end` (exclusive) of one table."""

    table: ObjectName
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one request may carry."""

    registers: int = 125
    bits: int = 2000
    gap: int = 32
    """Unwanted registers read along between two spans."""

    @classmethod
    def of(cls, device: ModbusDevice) -> RequestLimits:
        """The limits a device's options state."""
        return cls(device.max_registers, device.max_bits, device.max_gap)

    def size(self, table: ObjectName) -> int:
        """Points of a table in one request."""
        return self.bits if is_bits(table) else self.registers

    def between(self, table: ObjectName) -> int:
        """Unwanted points of a table in a row."""
        return self.gap * 16 if is_bits(table) else self.gap


@dataclass(slots=True)
class Knowledge:
    """What the refusals of one device have taught so far."""

    barriers: set[AddressSpan] = field(default_factory=set)
    missing: dict[AddressSpan, int] = field(default_factory=dict)
    """Refused alone, with the exception code."""
    tentative: frozenset[AddressSpan] = frozenset()
    """Barriers on trial, after failures without a refusal (`failures`)."""
    costly: dict[AddressSpan, float] = field(default_factory=dict)
    """Spans that cost the connection or a time-out when asked for, and when each is to be tried
    again."""
    partial: frozenset[AddressSpan] = frozenset()
    """Numbers that the device gives only in parts (`parts`)."""

    @property
    def plain(self) -> bool:
        """Whether there is nothing that changes the plan."""
        return not (self.barriers or self.missing or self.tentative or self.costly or self.partial)


class _Fences:
    """The barriers of one table, in order, so that a plan over many of them stays cheap."""

    def __init__(self, table: ObjectName, barriers: Iterable[AddressSpan]) -> None:
        mine = sorted((b.start, b.end) for b in barriers if b.table == table)
        self._starts = [start for start, _ in mine]
        self._ends = list(accumulate((end for _, end in reversed(mine)), min))[::-1]
        """The least end of this barrier and all behind it."""

    def cross(self, start: int, end: int) -> bool:
        """Whether a range contains one that the device refused: then it would refuse the range as
        well."""
        n = bisect_left(self._starts, start)
        return n < len(self._ends) and self._ends[n] <= end


@dataclass(eq=False, slots=True)
class Split:
    """A refused request, cut in two. Two accepted halves mean that only the seam between them
    cannot be read."""

    seam: AddressSpan
    accepted: int = 0


@dataclass(eq=False, slots=True)
class RequestSpans:
    """The spans of one request, in order."""

    spans: tuple[AddressSpan, ...]
    split: Split | None = None
    """The refused request that this is a half of."""

    @property
    def table(self) -> ObjectName:
        return self.spans[0].table

    @property
    def start(self) -> int:
        return self.spans[0].start

    @property
    def end(self) -> int:
        return max(span.end for span in self.spans)

    @property
    def hull(self) -> AddressSpan:
        """All that is asked for, with what is read along."""
        return AddressSpan(self.table, self.start, self.end)


def plan(
    spans: Iterable[AddressSpan], limits: RequestLimits, known: Knowledge
) -> list[RequestSpans]:
    """The fewest requests that read every span that is not missing.

    Taking spans by start and stopping at the first that does not fit is optimal: a request has to
    start with the leftmost span left over, what may be merged may also be merged in part, and a
    later span that still fits where an earlier one did not lies within the earlier one, so it costs
    nothing there. (A span that contains a barrier by itself fits nowhere and is asked for alone.)
    """
    groups: list[RequestSpans] = []
    wanted = sorted(set(spans) - known.missing.keys() - known.costly.keys() - known.partial)
    barriers = known.barriers | known.tentative if known.tentative else known.barriers
    for table, members in groupby(wanted, key=attrgetter("table")):
        groups += _plan_table(
            list(members), limits.size(table), limits.between(table), _Fences(table, barriers)
        )
    return groups


def _plan_table(
    spans: Sequence[AddressSpan], size: int, gap: int, fences: _Fences
) -> list[RequestSpans]:
    groups = [RequestSpans((span,)) for span in spans if fences.cross(span.start, span.end)]
    members: list[AddressSpan] = []
    end = 0
    for span in (span for span in spans if not fences.cross(span.start, span.end)):
        last = max(end, span.end)
        if members and (
            span.start - end > gap
            or last - members[0].start > size
            or fences.cross(members[0].start, last)
        ):
            groups.append(RequestSpans(tuple(members)))
            members = []
        end = last if members else span.end
        members.append(span)
    if members:
        groups.append(RequestSpans(tuple(members)))
    return sorted(groups, key=lambda group: group.spans)


def accepted(group: RequestSpans, known: Knowledge) -> bool:
    """The device answered the group. Whether that taught something the next plan should heed."""
    span = group.spans[0]
    # refused once, and now it is there: look at the others too
    if len(group.spans) == 1 and span in known.barriers:
        known.barriers.discard(span)
        known.missing.clear()
        return True
    split = group.split
    group.split = None
    if split is not None:
        split.accepted += 1
        if split.accepted == 2:
            known.barriers.add(split.seam)
    return split is not None


def refused(group: RequestSpans, code: int, known: Knowledge) -> tuple[RequestSpans, ...]:
    """The device refused the group: the two halves to ask for instead, or none when a single span
    is missing."""
    if len(group.spans) == 1:
        known.missing[group.spans[0]] = code
        known.barriers.add(group.spans[0])
        return ()
    middle = len(group.spans) // 2
    left = RequestSpans(group.spans[:middle])
    right = RequestSpans(group.spans[middle:])
    left.split = right.split = Split(seam(left, right))
    return left, right


def seam(left: RequestSpans, right: RequestSpans) -> AddressSpan:
    """The smallest range that a request for both halves contains and neither half does.

    From the last address of the left half to the first of the right one: the gap between them, or
    the border that may not be crossed. Halves that overlap are only refused together as a whole.
    """
    if left.end <= right.start:
        return AddressSpan(left.table, left.end - 1, right.start + 1)
    return AddressSpan(left.table, left.start, max(left.end, right.end))
