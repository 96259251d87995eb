"""The answers of a store that only reads back samples and health rows: all that figures and status
ask is made of these two here, above the store.

A subclass reads a series and the health rows of devices, under the names they had; here they become
what is called by that name now.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from edge_agent.identity import DeviceKeys
from edge_agent.stores import from_samples
from edge_agent.stores.base import (
    DaySteps,
    DeviceReadings,
    GoodValues,
    HealthSummary,
    LatestSample,
    LiveFacts,
    Name,
    Silence,
    TagCounts,
    live_facts,
)
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.changed_series import ChangedSeries
from edge_agent.stores.columns import Floats, Longs, SampleRuns, Samples
from edge_agent.stores.evidence import REACH_NS, SEAM_NS, clipped, joined
from edge_agent.stores.health_rows import HealthRows, in_time
from edge_agent.stores.newest_samples import NewestSamples
from edge_agent.stores.rollups import (
    HOUR_NS,
    HealthTotals,
    OpenHours,
    RolledHour,
    hour_of,
    split_window,
)

_DAY: Final = 86_400_000_000_000
#: Figures ask for 30 days of health.
_LOOK_BACK: Final = 31 * _DAY


class DerivedStore(ABC):
    """The reading half of a store. What is newest, and first, it knows from memory."""

    catalogue: Catalogue
    store_id: str

    def __init__(self, keys: DeviceKeys) -> None:
        self._keys = keys
        self.store_id = ""
        self._newest = NewestSamples()
        self._first_good: dict[str, int] = {}
        self._touched = ChangedSeries()
        self._open_health = OpenHours()
        self._looked_for_health = False

    @abstractmethod
    def samples_of(self, device: str, tag: str, from_ns: int, to_ns: int) -> Samples:
        """One series in `from <= t < to`, sorted by `t`."""

    @abstractmethod
    def last_of(self, device: str, tag: str, from_ns: int, to_ns: int) -> int | None:
        """Time of the newest sample of a series in `from <= t < to`."""

    @abstractmethod
    def evidence_rows(self, from_ns: int, to_ns: int) -> dict[str, tuple[Longs, Longs]]:
        """Device -> (last good time, covered ns) of its health rows with coverage in `from < t <=
        to`."""

    @abstractmethod
    def health_rows(self, from_ns: int, to_ns: int) -> dict[str, HealthRows]:
        """Device -> its health rows in `from < t <= to`, sorted."""

    @abstractmethod
    def health_of(self, from_ns: int, to_ns: int) -> dict[str, list[HealthSummary]]:
        """Device -> summaries of its health rows in `from < t <= to`, one for each of its
        series."""

    @abstractmethod
    def kept_hours(self, from_ns: int, to_ns: int) -> set[int]:
        """Hours of health that are kept as totals, in `from < t <= to`."""

    @abstractmethod
    def hour_totals(self, from_ns: int, to_ns: int) -> dict[str, HealthTotals]:
        """Device -> what the hours that are kept add up to."""

    @abstractmethod
    def keep_hour(self, hour: int, totals: Mapping[str, HealthTotals]) -> None:
        """Keep an hour as totals."""

    def readings(self, now_ns: int) -> dict[str, DeviceReadings]:
        """From memory."""
        return self._newest.by_device(self.catalogue, now_ns)

    def good_values(self) -> GoodValues:
        """From memory."""
        return self._newest.good_values()

    def latest_of(self, device: str, tag: str) -> LatestSample | None:
        """From memory."""
        return self._newest.of_tag(self.catalogue, device, tag)

    def samples(self, device: str, tag: str, from_ns: int, to_ns: int) -> Samples:
        """One tag in `from <= t < to`, sorted by `t`, under all its names."""
        parts = [
            self.samples_of(*name, from_ns, to_ns) for name in self.catalogue.history(device, tag)
        ]
        return parts[0] if len(parts) == 1 else Samples.joined(parts)

    def last_before(self, name: Name, from_ns: int, to_ns: int) -> int | None:
        """Time of the newest sample, under all the tag's names."""
        times = [self.last_of(*each, from_ns, to_ns) for each in self.catalogue.history(*name)]
        return max((t for t in times if t is not None), default=None)

    def changes(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, SampleRuns]:
        """The server's samples, cut down here: its query language knows no runs of equal
        readings."""
        return from_samples.changes(self.samples, self.last_before, names, from_ns, to_ns)

    def counted(
        self, moments: Mapping[Name, Longs], from_ns: int, to_ns: int
    ) -> dict[Name, SampleRuns]:
        """The server's samples, of which only the runs that tell are kept."""
        return from_samples.counted(
            self.samples, self.last_before, self._newest_of, moments, from_ns, to_ns
        )

    def steps(
        self, names: Sequence[Name], first_day: int, end_day: int
    ) -> dict[Name, Mapping[int, DaySteps]]:
        """Nothing: weeks of samples would have to be fetched for each figure."""
        return {}

    def _newest_of(self, name: Name) -> int | None:
        return self._newest.time(self.catalogue.sids(name))

    def seen(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, TagCounts]:
        """From the server's samples."""
        return from_samples.seen(self.samples, names, from_ns, to_ns)

    def evidence(self, from_ns: int, to_ns: int) -> dict[str, list[tuple[int, int]]]:
        """From the server's health rows."""
        parts: dict[str, list[tuple[Longs, Longs]]] = defaultdict(list)
        for device, rows in self.evidence_rows(from_ns - SEAM_NS, to_ns + REACH_NS).items():
            parts[self._now(device)].append(rows)
        found = {}
        for device, rows_of in sorted(parts.items()):
            until, covered = (np.concatenate(columns) for columns in zip(*rows_of, strict=True))
            if spans := clipped(joined(until - covered, until), from_ns, to_ns):
                found[device] = spans
        return found

    def _now(self, device: str) -> str:
        """What a device is called now, which may have had another name."""
        return self.catalogue.former.current.get(device, device)

    def lateness(
        self, names: Sequence[Name], from_ns: int, to_ns: int
    ) -> dict[str, dict[int, int]]:
        """From the server's samples."""
        return from_samples.lateness(self.samples, names, from_ns, to_ns)

    def energy(self, moments: Mapping[Name, Longs]) -> dict[Name, Floats]:
        """The server's samples, of which only what they add up to is kept."""
        return from_samples.energy(self.samples, self.last_before, moments)

    def health(self, from_ns: int, to_ns: int) -> dict[str, HealthSummary]:
        """Device -> summary of its health rows in `from < t <= to`."""
        parts: dict[str, list[HealthSummary]] = defaultdict(list)
        for device, summaries in self.health_of(from_ns, to_ns).items():
            parts[self._now(device)] += summaries
        return {device: HealthSummary.of(summaries) for device, summaries in sorted(parts.items())}

    def watch(  # noqa: B027 - nothing to do is its meaning here
        self,
        names: Sequence[Name],
        powers: Mapping[Name, Sequence[Name]] | None = None,
        counters: Mapping[Name, Sequence[Name]] | None = None,
    ) -> None:
        """The server keeps what it has as it likes."""

    def compact(self, now_ns: int, hours: int) -> int:
        """Nothing: compaction is the server's."""
        return 0

    def take_touched(self) -> set[int]:
        """Hours written to since the last call."""
        return self._touched.take()

    def latest(self, device: str | None = None) -> dict[str, dict[str, LatestSample]]:
        """From memory."""
        return self._newest.latest(self.catalogue, device)

    def health_by(
        self, from_ns: int, to_ns: int, step_ns: int
    ) -> dict[str, list[tuple[int, HealthSummary]]]:
        """By halving: a stretch without health rows is one question, however long it is."""
        found: dict[str, list[tuple[int, HealthSummary]]] = defaultdict(list)
        open_spans = [(from_ns // step_ns, -(-to_ns // step_ns))]
        while open_spans:
            first, last = open_spans.pop()
            summaries = self.health(max(from_ns, first * step_ns), min(to_ns, last * step_ns))
            if summaries and last - first > 1:
                middle = (first + last) // 2
                open_spans += [(middle, last), (first, middle)]  # the earlier half comes first
                continue
            for device, summary in summaries.items():
                found[device].append((last * step_ns, summary))
        return dict(found)

    def silences(self, from_ns: int, to_ns: int, longest_ns: int) -> dict[str, list[Silence]]:
        """From the server's health rows, a day at a time."""
        found: dict[str, list[Silence]] = defaultdict(list)
        last: dict[str, tuple[int, str]] = {}
        for start in range(from_ns, to_ns, _DAY):
            for device, (t, covered, states) in self._health_rows(
                start, min(to_ns, start + _DAY)
            ).items():
                last_t, last_state = last.get(device, (t[0], ""))
                before = np.append(last_t, t[:-1])
                states_before = [last_state, *states[:-1]]
                last[device] = int(t[-1]), states[-1]
                found[device] += [
                    Silence(int(before[i]), int(t[i]), states[i])
                    for i in np.flatnonzero(t - before - covered > longest_ns).tolist()
                    if not states[i] == states_before[i] == "offline"
                ]
        return {device: silences for device, silences in found.items() if silences}

    def _health_rows(self, from_ns: int, to_ns: int) -> dict[str, HealthRows]:
        """Health rows by what the devices are called now."""
        parts: dict[str, list[HealthRows]] = defaultdict(list)
        for device, rows in self.health_rows(from_ns, to_ns).items():
            parts[self._now(device)].append(rows)
        return {device: in_time(rows) for device, rows in sorted(parts.items())}

    def health_sums(self, from_ns: int, to_ns: int, step_ns: int) -> dict[str, Longs]:
        """From the summaries."""
        return {
            device: np.array(
                [
                    [
                        end,
                        round(1000 * row.scheduled_s),
                        round(1000 * row.covered_s),
                        row.due,
                        row.done,
                        row.good,
                        row.bad,
                        row.values,
                        row.overruns,
                        -1 if row.last_good_t is None else row.last_good_t,
                    ]
                    for end, row in rows
                ],
                np.int64,
            )
            for device, rows in self.health_by(from_ns, to_ns, step_ns).items()
        }

    def live_facts(self, from_ns: int, to_ns: int) -> dict[str, LiveFacts]:
        """The server's sums, and the first connections from the sidecar."""
        return live_facts(
            self.catalogue, self._first_good, self.health_totals(from_ns, to_ns), to_ns
        )

    def health_totals(self, from_ns: int, to_ns: int) -> dict[str, HealthTotals]:
        """Whole hours from the sidecar, as far as they are kept there, and the rest from the
        server."""
        hours, rest = split_window(self.kept_hours(from_ns, to_ns), from_ns, to_ns)
        parts: dict[str, list[HealthTotals]] = defaultdict(list)
        found = [self.hour_totals(*span) for span in hours] + [
            self._totals_of_rows(*span) for span in rest
        ]
        for each in found:
            for device, totals in each.items():
                parts[self._now(device)].append(totals)
        return {device: HealthTotals.of(parts[device]) for device in sorted(parts)}

    def _totals_of_rows(self, from_ns: int, to_ns: int) -> dict[str, HealthTotals]:
        """By the names the devices had."""
        return {
            device: HealthTotals.of(
                [
                    HealthTotals(row.scheduled_s, row.covered_s, row.good, row.bad, row.last_good_t)
                    for row in rows
                ]
            )
            for device, rows in self.health_of(from_ns, to_ns).items()
        }

    def read_open_hours(self, now_ns: int, hours: int) -> list[RolledHour]:
        """Ask the server for past hours, one question each; at first those that figures look back
        on."""
        if not self.store_id:
            return []
        if not self._looked_for_health:
            looked_back = range(hour_of(now_ns) - _LOOK_BACK, hour_of(now_ns), HOUR_NS)
            self._open_health.found({*looked_back} - self.kept_hours(looked_back[0] - 1, now_ns))
            self._looked_for_health = True
        due = self._open_health.due(now_ns, hours)
        return [
            RolledHour(hour, write, self._totals_of_rows(hour - HOUR_NS, hour))
            for hour, write in due.items()
        ]

    def keep_hours(self, hours: Sequence[RolledHour]) -> int:
        """In the sidecar."""
        kept = [each for each in hours if self._open_health.unchanged(each.hour, each.write)]
        for each in kept:
            self.keep_hour(each.hour, each.content)
            self._open_health.rolled_up(each.hour)
        return len(kept)
