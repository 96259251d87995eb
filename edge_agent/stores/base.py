"""What a store is: it takes columns, says what it has, and answers the questions metrics and status
ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from edge_agent.intervals import IntervalSet
from edge_agent.reasons import Cause
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.columns import NO_TIME, Floats, Longs, Rows, SampleRuns, Samples
from edge_agent.stores.forgotten import Entry
from edge_agent.stores.registers import RegisterStore
from edge_agent.stores.rollups import HealthTotals, RolledHour

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


class Store(RegisterStore, Protocol):
    """One time-series store. `write` and `retain` belong to one thread; reading is safe from
    any."""

    catalogue: Catalogue
    store_id: str
    """What the marks belong to: written into the store itself, random. Empty until `identify` has
    learned it."""

    def identify(self) -> None:
        """Learn `store_id`, and with it which marks are this store's. StoreError: it cannot be
        asked now, repeat."""

    def recheck(self) -> bool:
        """Whether it is another store by now than the one that was identified: emptied, or another
        at its address. Then `store_id` and the marks are the other one's. StoreError: it cannot be
        asked now, repeat."""

    def misplaced(self) -> Cause | None:
        """Why what is written goes to a place where nobody will look for it: the store's file was
        moved, replaced or removed. Nothing is to be acknowledged or confirmed then. Cheap; None
        when all is well."""

    def ask_for_life(self) -> None:
        """Before much is asked while somebody waits: StoreError, within seconds, when the store
        does not answer."""

    def forget(self, entry: Entry, t: int) -> None:
        """List an agent, a device of it or a tag no more, from `t` (ns) until it speaks. Raises
        StoreError."""

    def check(self, batch: WriteBatch) -> list[Refusal]:
        """Samples that would be refused or silently dropped; the caller quarantines and removes
        them."""

    def write(self, batch: WriteBatch) -> None:
        """Take the batch. StoreError: nothing was acknowledged, repeat. PoisonError: repeating does
        not help."""

    def marks(self, streams: Collection[str] | None = None) -> dict[str, IntervalSet]:
        """Stream -> what is dealt with, as committed; `streams`: of these only."""

    def incomplete_marks(self) -> dict[str, IntervalSet]:
        """The same of the streams in which a number from 1 to the highest may be missing."""

    def counts(self) -> StoreCounts:
        """Values stored and quarantined."""

    def latest(self, device: str | None = None) -> dict[str, dict[str, LatestSample]]:
        """Device -> tag -> newest sample, from memory."""

    def readings(self, now_ns: int) -> dict[str, DeviceReadings]:
        """Device -> its newest samples, counted; from memory, without an object for each tag."""

    def good_values(self) -> GoodValues:
        """The newest samples that are good, by series; from memory."""

    def latest_of(self, device: str, tag: str) -> LatestSample | None:
        """The newest sample of one tag, from memory."""

    def samples(self, device: str, tag: str, from_ns: int, to_ns: int) -> Samples:
        """One tag in `from <= t < to`, sorted by `t`."""

    def last_before(self, name: Name, from_ns: int, to_ns: int) -> int | None:
        """Time of a tag's newest sample in `from <= t < to`; exact to a millisecond."""

    def changes(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, SampleRuns]:
        """Tags as runs of equal readings in `from <= t < to`, led by the last reading before (up to
        LOOKBACK_NS).

        A tag without readings is missing. This is what states and counters are computed from.
        """

    def counted(
        self, moments: Mapping[Name, Longs], from_ns: int, to_ns: int
    ) -> dict[Name, SampleRuns]:
        """Counters as those of their runs that tell what was counted: in `from - AROUND_NS <= t <
        to + AROUND_NS`, and beyond that on each side as many more as make AROUND good readings,
        however far away they are.

        The same as from `changes` comes out at `from_ns` and `to_ns`, at full quarters of an hour,
        and at those of `moments` (ns) at which a tag changed that `watch` names beside the counter,
        or its device's evidence.
        """

    def steps(
        self, names: Sequence[Name], first_day: int, end_day: int
    ) -> dict[Name, Mapping[int, DaySteps]]:
        """Counter -> day (UTC, ns of its start, `first_day <= day < end_day`) -> how far it rose
        between readings. A store that would have to fetch weeks of samples for it says nothing."""

    def seen(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, TagCounts]:
        """What the readings of these tags were in `from <= t < to`; a tag without any is
        missing."""

    def evidence(self, from_ns: int, to_ns: int) -> dict[str, list[tuple[int, int]]]:
        """Device -> spans inside the window in which its health rows show that its values were
        current."""

    def lateness(
        self, names: Sequence[Name], from_ns: int, to_ns: int
    ) -> dict[str, dict[int, int]]:
        """Device -> milliseconds from source (or read) time to store time -> samples of these
        tags."""

    def energy(self, moments: Mapping[Name, Longs]) -> dict[Name, Floats]:
        """What powers add up to, in unit-hours, from the first of these moments (ns, rising) to
        each of them.

        A reading holds until the next one (looked for up to LOOKBACK_NS before), a bad one adds
        nothing. A tag without any is missing. Exact at full minutes, at the edges of `evidence`,
        and where a tag changed that `watch` names beside it; a moment of another kind is so at the
        ends of the window only.
        """

    def watch(
        self,
        names: Sequence[Name],
        powers: Mapping[Name, Sequence[Name]] | None = None,
        counters: Mapping[Name, Sequence[Name]] | None = None,
    ) -> None:
        """Tags of which `changes` will be asked over long windows, powers of which `energy` and
        counters of which `counted` will be asked. Beside each power and counter stand the tags at
        whose changes it is told apart."""

    def compact(self, now_ns: int, hours: int) -> int:
        """Prepare up to so many past hours of what is watched; returns how many (0: none is left to
        do)."""

    def take_touched(self) -> set[int]:
        """Starts of the hours (ns) into which something was written since the last call."""

    def health(self, from_ns: int, to_ns: int) -> dict[str, HealthSummary]:
        """Device -> summary of its health rows in the window."""

    def health_totals(self, from_ns: int, to_ns: int) -> dict[str, HealthTotals]:
        """Device -> what the rows of `health` add up to, which is cheaper to know."""

    def read_open_hours(self, now_ns: int, hours: int) -> list[RolledHour]:
        """Read up to so many past hours of health rows that are not kept by hour yet. Safe from any
        thread."""

    def keep_hours(self, hours: Sequence[RolledHour]) -> int:
        """Keep what was read, in the thread that writes; returns how many were still as they were
        read."""

    def health_by(
        self, from_ns: int, to_ns: int, step_ns: int
    ) -> dict[str, list[tuple[int, HealthSummary]]]:
        """Device -> (end, summary) of every step with health rows, sorted; steps end at multiples
        of `step_ns`."""

    def silences(self, from_ns: int, to_ns: int, longest_ns: int) -> dict[str, list[Silence]]:
        """Device -> holes between its health rows in `from < t <= to`, sorted: more than
        `longest_ns` lie between two rows of which the second one's `covered_s` does not speak, and
        which do not both say that it was offline."""

    def health_sums(self, from_ns: int, to_ns: int, step_ns: int) -> dict[str, Longs]:
        """The same for long windows, as rows of integers: (end, scheduled ms, covered ms, due,
        done, good, bad, values, overruns, last good time or -1)."""

    def live_facts(self, from_ns: int, to_ns: int) -> dict[str, LiveFacts]:
        """Every device ever heard of -> facts; rows counted once per (device, t)."""

    def transitions(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """`{"t", "device", "from", "to", "reason", "zh", "en"}` in `from < t <= to`, sorted; `tag`
        if of a tag."""

    def gaps(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """Gap records told in `from < t <= to`: `{"t", "agent", "stream", "from_seq", ...}`,
        sorted."""

    def put_metric(self, metric: str, t: int, document: Mapping[str, Any]) -> None:
        """Keep a metric's result. Raises StoreError."""

    def metrics(self, from_ns: int | None = None, to_ns: int | None = None) -> list[dict[str, Any]]:
        """The newest result of each metric, or all results with `from <= t < to`."""

    def newest_metric(self, from_ns: int, to_ns: int) -> int | None:
        """The time of the newest result with `from <= t < to`; None without one."""

    def retain(self, now_ns: int) -> int:
        """Delete what is older or more than configured; returns how many samples went (0 where the
        server does it)."""

    def release_caches(self) -> None:
        """Give memory back that only saves work; by the thread that writes."""

    def close(self) -> None:
        """Make everything durable and release it."""


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
