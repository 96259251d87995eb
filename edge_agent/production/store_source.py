"""What figures ask of a store, and a store's answers, in columns: thinned, so that a month of a
plant fits in memory.

`FactSource` is the set of questions. `StoreFacts` answers them from a store that this process has
opened; a command asks the running service the same questions through its socket
(`app.figures.served_facts`). Devices stand here by their keys, moments are integer ns, `from_ns <=
t < to_ns`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import orjson

from edge_agent.metrics.learning import DAY_NS, first_day, limits
from edge_agent.metrics.live import StoredSignals
from edge_agent.metrics.plausibility import StepLimit
from edge_agent.metrics.readings import Readings
from edge_agent.model import status_name
from edge_agent.production import thinning
from edge_agent.production.counting import (
    LEARNED_BACK_NS,
    UNKNOWN,
    CountedReadings,
    CounterAbout,
    TagMeanings,
    counted_readings,
)
from edge_agent.production.facts import BEFORE_NS, MINUTE_NS, Longs, ReadingQuality
from edge_agent.production.power_energy import UnitSpan, energy_while_known, in_units, moments
from edge_agent.production.states import TagChanges
from edge_agent.stores import SampleRuns
from edge_agent.stores.base import AROUND_NS, NEXT_NS, Name, TagCounts, step_below
from edge_agent.stores.evidence import SEAM_NS, Span, bridged
from edge_agent.stores.last_changes import stored_values
from edge_agent.stores.protocols import FactStore
from edge_agent.stores.registers import RegisterStore, RegisterVersion

_ENOUGH: Final = 600
"""A float that has one value in this many readings is named as unchanged."""
_MS: Final = 1_000_000
#: Of energy in kWh or Wh: finer than any meter.
_DIGITS: Final = 9
#: The health rows that speak of a window's end, and of a counter's readings after it, come later.
AFTER_NS: Final = AROUND_NS + NEXT_NS
#: So many moments of powers are asked of the store at once: it adds up in memory, at every moment
#: of each power.
_MOMENTS: Final = 1_000_000
#: From here on a double does not hold every integer.
_EXACT: Final = 2.0**53


@dataclass(frozen=True, slots=True, eq=False)
class CounterQuestion:
    """One counter or power tag, and where it must be exact."""

    name: Name
    at: Longs
    """Moments (ns, rising) at which it is divided: there the machine's state changed."""
    known: Sequence[Span] = ()
    """When its device's values were current; a count stands until the next one inside such a span
    only."""
    about: CounterAbout = UNKNOWN
    """Of a counter: what is known of it beside its readings."""


class FactSource(RegisterStore, Protocol):
    """The questions. Raises StoreError or FindingsError when they cannot be answered."""

    def known_devices(self, agents: Collection[str]) -> Mapping[str, Any]:
        """Whom the store has heard of, as `Catalogue.known_devices` says it."""

    def newest_rows(self, from_ns: int, to_ns: int) -> dict[str, int]:
        """Device -> time of its newest health row."""

    def first_good(self, to_ns: int) -> dict[str, int]:
        """Device -> read time of its first good reading of all time, if that was up to `to_ns`."""

    def series(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Device -> tag -> its entry in the birth document."""

    def minutes(self, from_ns: int, to_ns: int) -> dict[str, Longs]:
        """Device -> its health by minute, int64 rows with the columns of `facts.Minutes`."""

    def known(self, from_ns: int, to_ns: int) -> dict[str, list[Span]]:
        """Device -> spans in which its values were current: between two of them a value went
        stale."""

    def changes(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, TagChanges]:
        """Tags at their changes, led by the last reading before; a tag without readings is
        missing."""

    def counters(
        self, wanted: Sequence[CounterQuestion], from_ns: int, to_ns: int
    ) -> dict[Name, CountedReadings]:
        """Counters by those readings that decide what was counted: with the last reading before the
        window and the first after it. One without a reading in the window, nor on both sides of it,
        is missing: that says nothing, rather than 0."""

    def energies(
        self, wanted: Sequence[CounterQuestion], from_ns: int, to_ns: int
    ) -> dict[Name, Readings]:
        """Powers as counters: (t, unit-hours since `from_ns`) at every minute in which they rose,
        and at `at`."""

    def lateness(
        self, names: Sequence[Name], from_ns: int, to_ns: int
    ) -> dict[str, dict[int, int]]:
        """Device -> milliseconds from source (or read) time to store time -> samples of these
        tags."""

    def quality(
        self, devices: Sequence[str], from_ns: int, to_ns: int
    ) -> dict[str, ReadingQuality]:
        """Device -> counts over all its tags, and how far its clock is from ours."""

    def stored_values(self, since: Mapping[str, int], to_ns: int) -> dict[str, StoredSignals]:
        """Device of `since` -> what the store has of its own values up to `to_ns`; a change is
        looked for from there (ns) on."""

    def transitions(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """As `HealthStore.transitions`."""

    def gaps(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """As `HealthStore.gaps`."""

    def stored(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """The results kept of metrics, as `ResultStore.metrics`."""

    def newest_stored(self, from_ns: int, to_ns: int) -> int | None:
        """When the newest of them was kept, as `ResultStore.newest_metric`."""


class StoreFacts:
    """The answers of a store of this process; safe from any thread, as reading a store is."""

    def __init__(self, store: FactStore) -> None:
        self._store = store

    def known_devices(self, agents: Collection[str]) -> Mapping[str, Any]:
        return self._store.catalogue.known_devices(agents)

    def newest_rows(self, from_ns: int, to_ns: int) -> dict[str, int]:
        return {device: row.last_t for device, row in self._store.health(from_ns, to_ns).items()}

    def first_good(self, to_ns: int) -> dict[str, int]:
        # the first connection is of all time, whatever the window
        facts = self._store.live_facts(to_ns - 1, to_ns)
        return {device: row.first_ns for device, row in facts.items() if row.first_ns is not None}

    def series(self) -> dict[str, dict[str, dict[str, Any]]]:
        found: dict[str, dict[str, Any]] = {}
        for entry in list(self._store.catalogue.series):
            found.setdefault(entry.device, {})[entry.tag] = (
                orjson.loads(entry.meta) if entry.meta else {}
            )
        return found

    def minutes(self, from_ns: int, to_ns: int) -> dict[str, Longs]:
        return self._store.health_sums(from_ns, to_ns, MINUTE_NS)

    def known(self, from_ns: int, to_ns: int) -> dict[str, list[Span]]:
        births = self._store.catalogue.devices
        found = {}
        for device, spans in self._store.evidence(from_ns, to_ns).items():
            staleness_s = (
                orjson.loads(births[device]).get("staleness", 0.0) if device in births else 0.0
            )
            # What lies closer together than a value may be old did not go stale in between.
            found[device] = bridged(spans, max(SEAM_NS, int(1e9 * staleness_s)))
        return found

    def changes(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, TagChanges]:
        found = {}
        for name, runs in self._store.changes(names, from_ns, to_ns).items():
            why = [""] * len(runs)
            for place in np.flatnonzero(~runs.good).tolist():
                why[place] = status_name(int(runs.status[place]))
            found[name] = TagChanges(runs.first, np.where(runs.good, runs.num, np.nan), why)
        return found

    def counters(
        self, wanted: Sequence[CounterQuestion], from_ns: int, to_ns: int
    ) -> dict[Name, CountedReadings]:
        questions = {question.name: question for question in wanted}
        runs_of = self._store.counted(
            {name: each.at for name, each in questions.items()}, from_ns, to_ns
        )
        reach = [
            int(edge)
            for runs in runs_of.values()
            if runs.good.any()
            for edge in (runs.first[0], runs.last[-1])
        ]
        first = min(reach, default=from_ns)
        last = max(reach, default=to_ns)
        near = first >= from_ns - BEFORE_NS and last <= to_ns + AROUND_NS
        far: Mapping[str, Sequence[Span]] = (
            {} if near else self.known(first - SEAM_NS, last + NEXT_NS)
        )
        meanings = {name: self._meanings(name, questions[name].about) for name in runs_of}
        unbounded = {
            name: runs
            for name, runs in runs_of.items()
            if not meanings[name].bounded(questions[name].about)
        }
        learned = self._learned(unbounded, from_ns, to_ns)
        found = {}
        for name, runs in runs_of.items():
            question = questions[name]
            counted = counted_readings(
                runs,
                question.about,
                meanings[name],
                at=question.at,
                known=far.get(name[0], question.known),
                learned=learned.get(name, ()),
                from_ns=from_ns,
                to_ns=to_ns,
            )
            if counted is not None:
                found[name] = counted
        return found

    def _learned(
        self, runs_of: Mapping[Name, SampleRuns], from_ns: int, to_ns: int
    ) -> dict[Name, tuple[StepLimit, ...]]:
        """What counters without a physical bound make possible by their own past. Where the next
        reading comes after a silence, up to its day: a window on the other side judges the step by
        the same limit."""
        start = from_ns - AROUND_NS
        end = to_ns + AROUND_NS
        found: dict[Name, tuple[StepLimit, ...]] = {}
        far = [
            name for name, runs in runs_of.items() if runs.last[-1] > end or runs.first[0] < start
        ]
        near = [name for name in runs_of if name not in far]
        reach = [
            edge
            for name in far
            for edge in (int(runs_of[name].first[0]), int(runs_of[name].last[-1]))
        ]
        spans = [(near, start, end), (far, min([start, *reach]), max([end, *reach]))]
        for names, since, until in spans:
            since = max(since, start - LEARNED_BACK_NS)
            days_of = (
                self._store.steps(names, first_day(since), until // DAY_NS * DAY_NS)
                if names
                else {}
            )
            found |= {
                name: limits(days, step_below, since, until) for name, days in days_of.items()
            }
        return found

    def _meanings(self, name: Name, about: CounterAbout) -> TagMeanings:
        catalogue = self._store.catalogue
        sid = catalogue.find(*name)
        meta = "" if sid is None else catalogue.series[sid].meta
        return TagMeanings.of(meta, catalogue.definition_changes(name), about.definition)

    def energies(
        self, wanted: Sequence[CounterQuestion], from_ns: int, to_ns: int
    ) -> dict[Name, Readings]:
        found = {}
        for some in _power_groups(wanted, from_ns, to_ns):
            meanings = {each.name: self._meanings(each.name, each.about) for each, _ in some}
            units = {
                each.name: self._unit_spans(each.name, meanings[each.name], from_ns, to_ns)
                for each, _ in some
                if meanings[each.name].converted
            }
            some = [
                (each, _with_moments(at, units.get(each.name, ()), from_ns, to_ns))
                for each, at in some
            ]
            used_of = self._store.energy({each.name: at for each, at in some})
            for each, at in some:
                used = used_of.get(each.name)
                if used is not None and each.name in units:
                    used = in_units(at, used, units[each.name])
                sums = None if used is None else energy_while_known(at, used, each.known)
                if sums is not None:
                    found[each.name] = _thinned_energy(at, sums, each.at, from_ns, to_ns)
        return found

    def _unit_spans(
        self, name: Name, meanings: TagMeanings, from_ns: int, to_ns: int
    ) -> list[UnitSpan]:
        """From when on a power's sum is in which unit: a reading in the old one holds until the
        first one after."""
        found = [UnitSpan(0, meanings.first.factor)]
        for begin, definition in meanings.changes:
            if definition.factor == found[-1].factor:
                continue
            first = begin
            if from_ns - BEFORE_NS <= begin < to_ns:
                runs = self._store.changes([name], begin, to_ns).get(name)
                after = [] if runs is None else runs.first[runs.last >= begin].tolist()
                first = max(begin, after[0]) if after else to_ns
            found.append(UnitSpan(first, definition.factor))
        return found

    def lateness(
        self, names: Sequence[Name], from_ns: int, to_ns: int
    ) -> dict[str, dict[int, int]]:
        return self._store.lateness(names, from_ns, to_ns)

    def quality(
        self, devices: Sequence[str], from_ns: int, to_ns: int
    ) -> dict[str, ReadingQuality]:
        catalogue = self._store.catalogue
        tags = {device: dict(sorted(catalogue.of_device(device).items())) for device in devices}
        found = self._store.seen(
            [(device, tag) for device, own in tags.items() for tag in own], from_ns, to_ns
        )
        answer = {}
        for device, own in tags.items():
            about = {
                tag: orjson.loads(catalogue.series[sid].meta or "{}") for tag, sid in own.items()
            }
            seen = {
                tag: _expected(found[device, tag], about[tag])
                for tag in own
                if (device, tag) in found
            }
            skew = [ns // _MS for each in seen.values() for ns in each.skews]
            unchanged = [
                tag
                for tag, each in seen.items()
                if about[tag].get("type", "float") == "float"
                and each.numbers >= _ENOUGH
                and each.low == each.high
            ]
            answer[device] = ReadingQuality(
                sum(each.readings for each in seen.values()),
                sum(each.not_good for each in seen.values()),
                sum(each.out_of_range for each in seen.values()),
                tuple(unchanged),
                int(np.median(skew)) if skew else None,
            )
        return answer

    def stored_values(self, since: Mapping[str, int], to_ns: int) -> dict[str, StoredSignals]:
        found = stored_values(self._store, since, to_ns)
        return {
            device: StoredSignals(each.last_sample, each.last_change)
            for device, each in found.items()
        }

    def transitions(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        return self._store.transitions(from_ns, to_ns)

    def gaps(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        return self._store.gaps(from_ns, to_ns)

    def stored(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        return self._store.metrics(from_ns, to_ns)

    def newest_stored(self, from_ns: int, to_ns: int) -> int | None:
        return self._store.newest_metric(from_ns, to_ns)

    def keep_register(self, version: RegisterVersion, document: str) -> None:
        self._store.keep_register(version, document)

    def register_versions(self) -> list[RegisterVersion]:
        return self._store.register_versions()

    def register_document(self, version: str) -> str | None:
        return self._store.register_document(version)


def _power_groups(
    wanted: Sequence[CounterQuestion], from_ns: int, to_ns: int
) -> Iterator[list[tuple[CounterQuestion, Longs]]]:
    """Powers with the moments at which their energy must be known, as many at once as _MOMENTS
    allows."""
    some: list[tuple[CounterQuestion, Longs]] = []
    room = _MOMENTS
    for each in wanted:
        at = moments(from_ns, to_ns, MINUTE_NS, [each.at], each.known)
        if some and len(at) > room:
            yield some
            some = []
            room = _MOMENTS
        some.append((each, at))
        room -= len(at)
    if some:
        yield some


def _with_moments(at: Longs, spans: Sequence[UnitSpan], from_ns: int, to_ns: int) -> Longs:
    begins = [span.begin for span in spans if from_ns < span.begin < to_ns]
    return np.union1d(at, np.array(begins, np.int64)) if begins else at


def _expected(seen: TagCounts, about: Mapping[str, Any]) -> TagCounts:
    """The readings of a tag without those that say of an optional one that this device does not
    have it."""
    if not about.get("optional"):
        return seen
    readings = seen.readings - seen.not_there
    not_good = seen.not_good - seen.not_there
    return replace(seen, readings=readings, not_good=not_good, not_there=0)


def _thinned_energy(
    at: Longs, sums: thinning.Floats, changes: Longs, from_ns: int, to_ns: int
) -> Readings:
    """(t, unit-hours) at every minute in which they rose, at the `changes`, and at the window's
    end."""
    t = moments(from_ns, to_ns, MINUTE_NS, [changes], [])
    # From the window's start on, because a double holds nanoseconds since 1970 to 256 ns only.
    energy = _rounded(np.interp(t - from_ns, at - from_ns, sums))
    kept = thinning.deciding_readings(t, energy, changes)
    kept[-1] = True
    return Readings(t[kept], energy[kept])


def _rounded(numbers: thinning.Floats) -> thinning.Floats:
    """To _DIGITS decimals, each the double nearest to its decimal, so that it is written with no
    more digits."""
    whole = np.rint(numbers * 10.0**_DIGITS)
    rounded: thinning.Floats = whole / 10.0**_DIGITS
    for place in np.flatnonzero(np.abs(whole) >= _EXACT).tolist():
        rounded[place] = round(float(numbers[place]), _DIGITS)
    return rounded
