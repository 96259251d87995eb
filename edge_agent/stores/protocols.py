"""What a store is, as small protocols: whoever asks a store is typed by the part he needs.

`SampleStore` and `HealthStore` are the data, `ResultStore` what was computed of them. `FigureStore`
answers what figures ask of samples; it stands above the data: `from_samples` makes its answers of
any store's samples, and a store has answers of its own where it knows them at less cost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from edge_agent.intervals import IntervalSet
from edge_agent.reasons import Cause
from edge_agent.stores.base import (
    DaySteps,
    DeviceReadings,
    GoodValues,
    HealthSummary,
    LatestSample,
    LiveFacts,
    Name,
    Refusal,
    Silence,
    StoreCounts,
    TagCounts,
    WriteBatch,
)
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.columns import Floats, Longs, SampleRuns, Samples
from edge_agent.stores.forgotten import Entry
from edge_agent.stores.registers import RegisterStore
from edge_agent.stores.rollups import HealthTotals, RolledHour


class StoreIdentity(Protocol):
    """Which store this is, and whether it is there."""

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


class SampleReader(Protocol):
    """Samples by tag, and the newest of each. Safe from any thread."""

    catalogue: Catalogue

    def samples(self, device: str, tag: str, from_ns: int, to_ns: int) -> Samples:
        """One tag in `from <= t < to`, sorted by `t`."""

    def last_before(self, name: Name, from_ns: int, to_ns: int) -> int | None:
        """Time of a tag's newest sample in `from <= t < to`; exact to a millisecond."""

    def latest(self, device: str | None = None) -> dict[str, dict[str, LatestSample]]:
        """Device -> tag -> newest sample, from memory."""

    def latest_of(self, device: str, tag: str) -> LatestSample | None:
        """The newest sample of one tag, from memory."""

    def readings(self, now_ns: int) -> dict[str, DeviceReadings]:
        """Device -> its newest samples, counted; from memory, without an object for each tag."""

    def good_values(self) -> GoodValues:
        """The newest samples that are good, by series; from memory."""


class SampleStore(StoreIdentity, SampleReader, Protocol):
    """Takes batches, and says what it has of which stream. `write`, `forget`, `retain` and
    `release_caches` belong to one thread; reading is safe from any."""

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

    def forget(self, entry: Entry, t: int) -> None:
        """List an agent, a device of it or a tag no more, from `t` (ns) until it speaks. Raises
        StoreError."""

    def retain(self, now_ns: int) -> int:
        """Delete what is older or more than configured; returns how many samples went (0 where the
        server does it)."""

    def release_caches(self) -> None:
        """Give memory back that only saves work; by the thread that writes."""

    def close(self) -> None:
        """Make everything durable and release it."""


class HealthStore(Protocol):
    """What devices and agents said of themselves. Safe from any thread."""

    def health(self, from_ns: int, to_ns: int) -> dict[str, HealthSummary]:
        """Device -> summary of its health rows in the window."""

    def health_totals(self, from_ns: int, to_ns: int) -> dict[str, HealthTotals]:
        """Device -> what the rows of `health` add up to, which is cheaper to know."""

    def health_by(
        self, from_ns: int, to_ns: int, step_ns: int
    ) -> dict[str, list[tuple[int, HealthSummary]]]:
        """Device -> (end, summary) of every step with health rows, sorted; steps end at multiples
        of `step_ns`."""

    def health_sums(self, from_ns: int, to_ns: int, step_ns: int) -> dict[str, Longs]:
        """The same for long windows, as rows of integers: (end, scheduled ms, covered ms, due,
        done, good, bad, values, overruns, last good time or -1)."""

    def silences(self, from_ns: int, to_ns: int, longest_ns: int) -> dict[str, list[Silence]]:
        """Device -> holes between its health rows in `from < t <= to`, sorted: more than
        `longest_ns` lie between two rows of which the second one's `covered_s` does not speak, and
        which do not both say that it was offline."""

    def evidence(self, from_ns: int, to_ns: int) -> dict[str, list[tuple[int, int]]]:
        """Device -> spans inside the window in which its health rows show that its values were
        current."""

    def live_facts(self, from_ns: int, to_ns: int) -> dict[str, LiveFacts]:
        """Every device ever heard of -> facts; rows counted once per (device, t)."""

    def transitions(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """`{"t", "device", "from", "to", "reason", "zh", "en"}` in `from < t <= to`, sorted; `tag`
        if of a tag."""

    def gaps(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """Gap records told in `from < t <= to`: `{"t", "agent", "stream", "from_seq", ...}`,
        sorted."""


class HealthRollup(Protocol):
    """Health by hour, made while the service runs."""

    def read_open_hours(self, now_ns: int, hours: int) -> list[RolledHour]:
        """Read up to so many past hours of health rows that are not kept by hour yet. Safe from any
        thread."""

    def keep_hours(self, hours: Sequence[RolledHour]) -> int:
        """Keep what was read, in the thread that writes; returns how many were still as they were
        read."""


class FigureStore(Protocol):
    """What figures ask of samples. Safe from any thread."""

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


class FigureIndex(Protocol):
    """What is prepared so that `FigureStore` answers at less cost."""

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


class ResultStore(RegisterStore, Protocol):
    """What was computed, and from which register."""

    def put_metric(self, metric: str, t: int, document: Mapping[str, Any]) -> None:
        """Keep a metric's result. Raises StoreError."""

    def metrics(self, from_ns: int | None = None, to_ns: int | None = None) -> list[dict[str, Any]]:
        """The newest result of each metric, or all results with `from <= t < to`."""

    def newest_metric(self, from_ns: int, to_ns: int) -> int | None:
        """The time of the newest result with `from <= t < to`; None without one."""


class MonitoredStore(SampleStore, HealthStore, Protocol):
    """What `status` and `missing` ask."""


class FactStore(SampleReader, HealthStore, FigureStore, ResultStore, Protocol):
    """What figures and reports are made of."""


class Store(MonitoredStore, HealthRollup, FactStore, FigureIndex, Protocol):
    """One time-series store with all its parts: what `serve` opens."""
