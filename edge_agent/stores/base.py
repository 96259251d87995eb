"""What a store is: it takes columns, says what it has, and answers the questions metrics and status
ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_agent.intervals import IntervalSet
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.columns import NO_TIME, Floats, Longs, Rows
from edge_agent.stores.rollups import HealthTotals

#: One tag of one device, which stands here and everywhere above the stores by its key
#: (`identity.DeviceKeys`).
Name = tuple[str, str]

#: After a window so much more evidence is read, which speaks of its end.
NEXT_NS: Final = 3_600_000_000_000
#: On both sides of a window so much more of a counter is read, and so many good readings at least,
#: however far away they are: they decide which readings are possible, and what the steps across the
#: window's edges counted. A decision looks at three readings, and each of these was decided by
#: others: with ten, windows agree about it.
AROUND_NS: Final = 6 * NEXT_NS
AROUND: Final = 10
#: A reading made longer than this before a window says nothing about the window any more.
LOOKBACK_NS: Final = 7 * 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class StreamMark:
    """One entry of a stream that is dealt with: stored, or in quarantine."""

    stream: str
    seq: int
    values: int
    """How many values it brought into the store."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One sample this store would refuse or drop, found before it is sent."""

    row: int
    reason: str


@dataclass(slots=True, eq=False)
class WriteBatch:
    """What one commit takes: all of it or nothing, marks together with the data they speak of."""

    rows: Rows
    stored: int
    """Store time of all its samples, ns."""
    health: Sequence[Mapping[str, Any]] = ()
    """Health documents of devices (the wire's own, but `device` is the key), transitions inside."""
    agents: Sequence[Mapping[str, Any]] = ()
    """Health documents of agents, gap records inside."""
    marks: Sequence[StreamMark] = ()
    quarantined: Mapping[str, int] = field(default_factory=dict)
    """Reason -> values that went to quarantine with this batch."""


@dataclass(slots=True)
class DeviceReadings:
    """The newest samples of one device's tags, counted."""

    tags: int = 0
    newest_t: int = NO_TIME
    """ns; NO_TIME without any."""
    good_t: int = NO_TIME
    """The newest of those that are good and not from ahead of now."""
    not_good: list[tuple[str, int]] = field(default_factory=list)
    """(tag, status) of those that are not good."""


@dataclass(frozen=True, slots=True, eq=False)
class GoodValues:
    """The newest samples whose value is good, as columns by series id: comparing a plant's makes no
    object per tag."""

    t: Longs
    """ns; NO_TIME where there is none."""
    num: Floats
    texts: Mapping[int, str]
    """Series id -> what is kept as text."""

    def differs(self, before: GoodValues) -> npt.NDArray[np.bool_]:
        """Where there was another value before; not where there was none."""
        known = np.zeros(len(self.t), np.bool_)
        count = min(len(self.t), len(before.t))
        a = self.num[:count]
        b = before.num[:count]
        known[:count] = (self.t[:count] != NO_TIME) & (before.t[:count] != NO_TIME)
        other = np.zeros(len(self.t), np.bool_)
        other[:count] = (a != b) & ~(np.isnan(a) & np.isnan(b))
        for sid in self.texts.keys() | before.texts.keys():
            if sid < count and self.texts.get(sid) != before.texts.get(sid):
                other[sid] = True
        return known & other

    def over(self, before: GoodValues) -> GoodValues:
        """These, and where there are none those of before."""
        t = self.t.copy()
        num = self.num.copy()
        count = len(before.t)
        kept = np.flatnonzero((t[:count] == NO_TIME) & (before.t != NO_TIME))
        t[kept], num[kept] = before.t[kept], before.num[kept]
        texts = {sid: before.texts[sid] for sid in kept.tolist() if sid in before.texts}
        return GoodValues(t, num, {**self.texts, **texts})


@dataclass(frozen=True, slots=True)
class LatestSample:
    """The newest sample of a tag."""

    value: Any
    status: int
    t: int


_COUNTS: Final = ("due", "done", "good", "bad", "values", "overruns")


@dataclass(frozen=True, slots=True)
class HealthSummary:
    """One device over a window; a row counts in the window its end `t` lies in, `from < t <=
    to`."""

    scheduled_s: float
    covered_s: float
    due: int
    done: int
    good: int
    bad: int
    values: int
    overruns: int
    first_t: int
    last_t: int
    last_good_t: int | None
    state: str
    reason: str
    latency_ms: float | None

    @classmethod
    def of(cls, parts: Sequence[HealthSummary]) -> HealthSummary:
        """The rows of several series of one device, summed up apart, as one; at least one."""
        if len(parts) == 1:
            return parts[0]
        last = max(parts, key=lambda part: part.last_t)
        good = [part.last_good_t for part in parts if part.last_good_t is not None]
        measured = [part for part in parts if part.latency_ms is not None]
        return replace(
            last,
            scheduled_s=sum(round(1000 * part.scheduled_s) for part in parts) / 1000,
            covered_s=sum(round(1000 * part.covered_s) for part in parts) / 1000,
            first_t=min(part.first_t for part in parts),
            last_good_t=max(good, default=None),
            latency_ms=max(measured, key=lambda part: part.last_t).latency_ms if measured else None,
            **{name: sum(getattr(part, name) for part in parts) for name in _COUNTS},
        )


@dataclass(frozen=True, slots=True)
class Silence:
    """Two health rows of a device in a row, far apart, and the second one covers too little of the
    time between."""

    since: int
    until: int
    """Times of the two rows, ns."""
    state: str
    """What the second row says the device's state is."""


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """What the metrics rest on for one device: its first connection ever, and its window's sums."""

    first_ns: int | None
    """Read time of the first health row with a good reading, of all time."""
    last_good_ns: int | None
    """Last good reading up to the window's end."""
    scheduled_s: float
    covered_s: float
    good: int
    bad: int


#: Readings of which the distance between read and source time is told.
SKEWS: Final = 1000


@dataclass(frozen=True, slots=True)
class TagCounts:
    """One tag's readings in a window, counted."""

    readings: int
    not_good: int
    out_of_range: int
    """Those with the status that says so."""
    numbers: int
    """Those with a number that is not bad; `low` and `high` are the least and the greatest."""
    low: float | None
    high: float | None
    skews: tuple[int, ...]
    """Read time - source time in ns, of the first SKEWS that have both."""
    not_there: int = 0
    """Those with a status that says that the device has no such tag: where it may be missing, they
    are no readings."""
    texts: tuple[str, str] | None = None
    """The least and the greatest text that is not bad; None without any."""


@dataclass(slots=True)
class DaySteps:
    """The steps of one counter in one day (UTC)."""

    sizes: dict[int, int] = field(default_factory=dict)
    """Size -> how many; the steps of a size are less than `step_below(size)`."""
    busiest: int = 0
    """The most steps of an hour."""


#: Sizes of steps to a doubling.
STEP_SIZES: Final = 8


def step_below(size: int) -> float:
    """What steps of a size stay below."""
    return float(2.0 ** ((size + 1) / STEP_SIZES))


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """Values, over the life of the store; retention does not lower them."""

    stored: int
    quarantined: int


def merged(marks: Sequence[StreamMark]) -> list[tuple[str, int, int, int]]:
    """Marks as (stream, first, last, values) rows: intervals, the stream's values beside its
    first."""
    intervals: dict[str, IntervalSet] = defaultdict(IntervalSet)
    values: dict[str, int] = defaultdict(int)
    for mark in marks:
        intervals[mark.stream].add(mark.seq)
        values[mark.stream] += mark.values
    return [
        (stream, first, last, values.pop(stream, 0))
        for stream, found in intervals.items()
        for first, last in found.pairs()
    ]


def transitions(health: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The transitions of devices and of their tags in these health rows."""
    return [
        {"t": row["t"], "device": row["device"], **move}
        for row in health
        for move in ([row["transition"]] if row.get("transition") else [])
        + list(row.get("tag_transitions") or [])
    ]


def live_facts(
    catalogue: Catalogue,
    first_good: Mapping[str, int],
    sums: Mapping[str, HealthTotals],
    to_ns: int,
) -> dict[str, LiveFacts]:
    """Every device ever heard of -> facts: what its health rows in a window add up to, and its
    first connection."""
    former = catalogue.former
    first = {key: t for key, t in first_good.items() if t <= to_ns}
    facts: dict[str, LiveFacts] = {}
    for key in sorted({*sums, *first, *catalogue.devices} - former.current.keys()):
        began = min((first[each] for each in former.devices(key) if each in first), default=None)
        row = sums.get(key)
        if row is None:
            facts[key] = LiveFacts(began, None, 0.0, 0.0, 0, 0)
        else:
            facts[key] = LiveFacts(
                began, row.last_good_t, row.scheduled_s, row.covered_s, row.good, row.bad
            )
    return facts


def new_first_good(health: Sequence[Mapping[str, Any]], known: Mapping[str, int]) -> dict[str, int]:
    """Devices whose first good reading of all time is in these health rows; late rows may bring an
    earlier one."""
    first: dict[str, int] = {}
    for row in health:
        device = row["device"]
        t = row["t"]
        before = first.get(device, known.get(device))
        if row.get("good") and (before is None or t < before):
            first[device] = t
    return first
