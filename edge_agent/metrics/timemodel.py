"""Machine states become time buckets (ISO 22400-2): a total table, every second of POT in exactly
one bucket.

The table follows OPC 40001-1 Annex C (which uses the order state), with the calendar first: outside
the shifts, planned stop, no good state, maintenance, set-up, executing, failure, standing with and
without an order. Times are integer nanoseconds (Unix, UTC); spans are half open, `start <= t <
end`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from itertools import pairwise
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

DEBOUNCE_NS: Final = 30_000_000_000
"""An OutOfService spell shorter than this is no failure."""


class ItemState(IntEnum):
    """OPC 40001-1 ItemState."""

    NOT_AVAILABLE = 0
    OUT_OF_SERVICE = 1
    NOT_EXECUTING = 2
    EXECUTING = 3


class OperationMode(IntEnum):
    """OPC 40001-1 OperationMode."""

    NONE = 0
    MAINTENANCE = 1
    SETUP = 2
    PROCESSING = 3


class Plan(StrEnum):
    """What the calendar says of a moment."""

    SHIFT = "shift"
    STOP = "stop"
    MAINTENANCE = "maintenance"
    """A planned stop for preventive maintenance."""
    OFF = "off"


class Bucket(StrEnum):
    """Where a second goes. `OVERTIME` and `OFF` lie outside POT, `PLANNED` inside POT and outside
    PBT."""

    APT = "APT"
    ASUT = "ASUT"
    ADET = "ADET"
    ADOT = "ADOT"
    PLANNED = "planned_down"
    OVERTIME = "overtime"
    OFF = "off"


_PBT: Final = (Bucket.APT, Bucket.ASUT, Bucket.ADET, Bucket.ADOT)


class Reason(StrEnum):
    """The part of a bucket that is shown apart."""

    NONE = ""
    UNKNOWN = "unknown"
    FAILURE = "failure"
    SHORT_STOP = "short_stop"
    """OutOfService, not long enough for a failure."""
    STANDING = "standing"
    CORRECTIVE = "corrective_maintenance"
    MAINTENANCE = "maintenance"
    PLANNED_MAINTENANCE = "planned_maintenance"
    WORK_IN_STOP = "work_in_planned_stop"


@dataclass(frozen=True, slots=True)
class Track(Generic[T]):
    """A value over time: `values[i]` holds from `times[i]` until the next. `times` rise
    strictly."""

    times: Sequence[int]
    values: Sequence[T]

    def __post_init__(self) -> None:
        if len(self.times) != len(self.values) or any(a >= b for a, b in pairwise(self.times)):
            raise ValueError("times and values must be of one length, and times rise strictly")

    def at(self, t: int, before: T) -> T:
        """The value at `t`; `before` applies until the first."""
        index = bisect_right(self.times, t) - 1
        return self.values[index] if index >= 0 else before

    def over(self, moments: Sequence[int], before: T) -> list[T]:
        """The values at rising moments; `before` applies until the first."""
        found = []
        now = before
        index = 0
        times = self.times
        values = self.values
        last = len(self.times)
        for t in moments:
            while index < last and times[index] <= t:
                now = values[index]
                index += 1
            found.append(now)
        return found


class StateSpan(NamedTuple):
    """A stretch of time in which nothing changes."""

    start: int
    end: int
    item: ItemState
    """NOT_AVAILABLE whenever there was no good state: stale, no health row, a number outside the
    map."""
    mode: OperationMode
    order: bool
    plan: Plan


class Slice(NamedTuple):
    """A span with its bucket."""

    start: int
    end: int
    bucket: Bucket
    reason: Reason
    idle: bool
    """The item stood still (NotExecuting): its energy is idle energy, whatever the bucket."""

    @property
    def length(self) -> int:
        return self.end - self.start


def item_of(value: object) -> ItemState:
    """A stored machine state; anything that is none of the vocabulary's numbers is NotAvailable."""
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and value in ItemState._value2member_map_
    ):
        return ItemState(value)
    return ItemState.NOT_AVAILABLE


def mode_of(value: object) -> OperationMode:
    """A stored operation mode; anything outside the vocabulary is None."""
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and value in OperationMode._value2member_map_
    ):
        return OperationMode(value)
    return OperationMode.NONE


def spans(
    start: int,
    end: int,
    item: Track[ItemState],
    mode: Track[OperationMode],
    order: Track[bool] | None,
    plan: Track[Plan],
) -> Iterator[StateSpan]:
    """Cut `start..end` wherever something changes. `order` None: the calendar is the order (every
    second has one).

    Before its first entry an item is NotAvailable, a mode None, an order absent, and the calendar
    says off.
    """
    tracks: tuple[Track[ItemState] | Track[OperationMode] | Track[bool] | Track[Plan], ...] = (
        item,
        mode,
        plan,
    )
    cuts = {t for track in tracks for t in track.times if start < t < end}
    if order is not None:
        cuts.update(t for t in order.times if start < t < end)
    begins = [start, *sorted(cuts)] if start < end else []
    return map(
        StateSpan,
        begins,
        [*begins[1:], end],
        item.over(begins, ItemState.NOT_AVAILABLE),
        mode.over(begins, OperationMode.NONE),
        [True] * len(begins) if order is None else order.over(begins, False),
        plan.over(begins, Plan.OFF),
    )


def bucket_of(span: StateSpan) -> tuple[Bucket, Reason]:
    """The total table, first row that fits. A failure and a correction are told from the
    neighbours, in `classify`."""
    if span.plan is Plan.OFF:
        return (Bucket.OVERTIME if span.item is ItemState.EXECUTING else Bucket.OFF), Reason.NONE
    if span.plan is not Plan.SHIFT:
        return Bucket.PLANNED, _planned_reason(span)
    if span.item is ItemState.NOT_AVAILABLE:
        return (Bucket.ADET if span.order else Bucket.ADOT), Reason.UNKNOWN
    if span.mode is OperationMode.MAINTENANCE:
        return Bucket.ADET, Reason.MAINTENANCE
    if span.mode is OperationMode.SETUP:
        return Bucket.ASUT, Reason.NONE
    if span.item is ItemState.EXECUTING:
        return Bucket.APT, Reason.NONE
    if not span.order:
        return Bucket.ADOT, Reason.NONE
    return (
        Bucket.ADET,
        Reason.SHORT_STOP if span.item is ItemState.OUT_OF_SERVICE else Reason.STANDING,
    )


def _planned_reason(span: StateSpan) -> Reason:
    if span.item is ItemState.EXECUTING:
        return Reason.WORK_IN_STOP
    return Reason.PLANNED_MAINTENANCE if span.plan is Plan.MAINTENANCE else Reason.NONE


@dataclass(frozen=True, slots=True)
class Timeline:
    """A machine's whole known time, classified once. Windows are cut from it, so they add up."""

    slices: tuple[Slice, ...]
    failures: tuple[int, ...]
    """When each failure began."""
    repairs: tuple[int, ...] = ()
    """How long each of them was being put right (ns): out of service, and the maintenance that
    followed. It belongs to the failure, whole, in whichever windows the time lies."""
    open: bool = False
    """The last failure is not over where the timeline ends."""


def classify(parts: Iterable[StateSpan]) -> Timeline:
    """Buckets for spans in order of time, with failures (debounced) and the maintenance that mends
    them."""
    pieces = list(parts)
    known: dict[
        tuple[object, ...], tuple[Bucket, Reason]
    ] = {}  # a month has few kinds of spans, and many of each
    buckets = [
        known.get(span[2:]) or known.setdefault(span[2:], bucket_of(span)) for span in pieces
    ]
    spells = [spell for spell, down in _spells(pieces, buckets) if down >= DEBOUNCE_NS]
    failing = {index: failure for failure, spell in enumerate(spells) for index in spell}
    slices = []
    repairs = [0] * len(spells)
    failure = -1
    mending = False
    for index, (span, (bucket, reason)) in enumerate(zip(pieces, buckets, strict=True)):
        if index in failing:
            failure = failing[index]
            mending = True
            reason = Reason.FAILURE
        elif reason is Reason.MAINTENANCE and mending:
            reason = Reason.CORRECTIVE
        elif span.item is ItemState.EXECUTING or bucket is Bucket.ASUT:
            mending = False
        if reason in (Reason.FAILURE, Reason.CORRECTIVE):
            repairs[failure] += span.end - span.start
        slices.append(
            Slice(span.start, span.end, bucket, reason, span.item is ItemState.NOT_EXECUTING)
        )
    began = tuple(pieces[spell[0]].start for spell in spells)
    return Timeline(tuple(slices), began, tuple(repairs), bool(spells) and mending)


def _spells(
    pieces: Sequence[StateSpan], buckets: Sequence[tuple[Bucket, Reason]]
) -> Iterator[tuple[list[int], int]]:
    """Spans of one failure each, by their places, with the time it was out of service (ns).

    A spell ends only when the machine was seen up for the debounce time: neither lost
    communication, nor maintenance, nor a break, nor a flapping contact makes two failures of one.
    """
    spell: list[int] = []
    up = down = 0
    for index, (span, (_, reason)) in enumerate(zip(pieces, buckets, strict=True)):
        length = span.end - span.start
        if span.item is ItemState.OUT_OF_SERVICE:
            if up >= DEBOUNCE_NS:
                if spell:
                    yield spell, down
                spell = []
                down = 0
            up = 0
            down += length
            if reason is Reason.SHORT_STOP:
                spell.append(index)
        elif (
            span.item is not ItemState.NOT_AVAILABLE and span.mode is not OperationMode.MAINTENANCE
        ):
            up += length
    if spell:
        yield spell, down


@dataclass(frozen=True, slots=True)
class Totals:
    """Nanoseconds by bucket and reason in a window. Totals of adjoining windows add up to those of
    the whole."""

    parts: Mapping[tuple[Bucket, Reason], int]
    failures: int
    """Those that began in the window."""
    repair: int = 0
    """How long these were being put right, also after the window's end."""

    def __add__(self, other: Totals) -> Totals:
        keys = self.parts.keys() | other.parts.keys()
        parts = {key: self.parts.get(key, 0) + other.parts.get(key, 0) for key in keys}
        return Totals(parts, self.failures + other.failures, self.repair + other.repair)

    def bucket(self, *buckets: Bucket) -> int:
        return sum(length for (bucket, _), length in self.parts.items() if bucket in buckets)

    def reason(self, *reasons: Reason) -> int:
        return sum(length for (_, reason), length in self.parts.items() if reason in reasons)

    @property
    def pbt(self) -> int:
        """Planned busy time: the calendar's shifts without its planned stops."""
        return self.bucket(*_PBT)

    @property
    def pot(self) -> int:
        """Planned operation time: the calendar's shifts."""
        return self.pbt + self.bucket(Bucket.PLANNED)

    @property
    def unknown(self) -> int:
        """Time without a good state, inside PBT."""
        return self.reason(Reason.UNKNOWN)


def totals(timeline: Timeline, start: int, end: int) -> Totals:
    """What falls into `start <= t < end`; a failure belongs to the window in which it began, with
    all of its repair."""
    parts: dict[tuple[Bucket, Reason], int] = {}
    for piece in timeline.slices:
        length = min(end, piece.end) - max(start, piece.start)
        if length > 0:
            key = (piece.bucket, piece.reason)
            parts[key] = parts.get(key, 0) + length
    own = [start <= began < end for began in timeline.failures]
    repair = sum(length for length, inside in zip(timeline.repairs, own, strict=True) if inside)
    return Totals(parts, sum(own), repair)


def planned_busy(timeline: Timeline, start: int, end: int) -> list[tuple[int, int]]:
    """PBT in `start..end` as spans, adjoining ones as one: the parts that OEE speaks of were made
    in them."""
    found: list[tuple[int, int]] = []
    for piece in timeline.slices:
        begin = max(start, piece.start)
        stop = min(end, piece.end)
        if piece.bucket not in _PBT or begin >= stop:
            continue
        if found and found[-1][1] == begin:
            begin = found.pop()[0]
        found.append((begin, stop))
    return found


def pareto(window: Totals) -> list[tuple[str, int]]:
    """The losses inside PBT, largest first: set-up, no order, and each part of ADET, in ns."""
    losses: dict[str, int] = {}
    for (bucket, reason), length in window.parts.items():
        if bucket in (Bucket.ASUT, Bucket.ADET, Bucket.ADOT):
            name = reason.value or ("no_order" if bucket is Bucket.ADOT else "setup")
            losses[name] = losses.get(name, 0) + length
    return sorted(losses.items(), key=lambda loss: (-loss[1], loss[0]))
