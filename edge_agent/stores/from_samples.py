"""Answers made from samples alone, a day at a time: for servers that know no runs of equal
readings, and for tags that had another name before, whose history is several series."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from edge_agent.model import NOT_THERE, STATUS
from edge_agent.stores.base import AROUND, AROUND_NS, LOOKBACK_NS, SKEWS, Name, TagCounts
from edge_agent.stores.columns import NO_TIME, Floats, Longs, SampleRuns, Samples
from edge_agent.stores.decisive_readings import counted as telling
from edge_agent.stores.decisive_readings import in_order
from edge_agent.stores.stretch_integrals import StretchTotals, piece

_DAY: Final = 86_400_000_000_000
_MINUTES_NS: Final = 600_000_000_000
_MS: Final = 1_000_000
#: What is older than this is no neighbour of a window.
_OLDEST: Final = 400 * _DAY
#: A silence is read through in stretches of at most this.
_LONGEST: Final = 30 * _DAY

#: The samples of a device's tag in `from <= t < to`.
Read = Callable[[str, str, int, int], Samples]
#: Time of the newest sample of a tag in `from <= t < to`; None without any.
LastBefore = Callable[[Name, int, int], int | None]


def changes(
    read: Read, last_before: LastBefore, names: Sequence[Name], from_ns: int, to_ns: int
) -> dict[Name, SampleRuns]:
    """Runs of equal readings per tag, led by the last reading before."""
    found = {}
    for name in names:
        spans = [*_lead(last_before, name, from_ns)]
        spans += [(start, min(to_ns, start + _DAY)) for start in range(from_ns, to_ns, _DAY)]
        parts = [read(*name, first, last) for first, last in spans]
        runs = SampleRuns.join([SampleRuns.of(part.t, part.num, part.status) for part in parts])
        if len(runs):
            found[name] = runs
    return found


def counted(
    read: Read,
    last_before: LastBefore,
    newest: Callable[[Name], int | None],
    moments: Mapping[Name, Longs],
    from_ns: int,
    to_ns: int,
) -> dict[Name, SampleRuns]:
    """Counters as those of their runs that tell what was counted."""
    found = {}
    for name, asked in moments.items():
        at = np.append(asked, [from_ns, to_ns])
        start = from_ns - AROUND_NS
        end = to_ns + AROUND_NS
        days = range(start - start % _DAY, end, _DAY)
        parts = [
            _read_decisive(read, name, at, max(day, start), min(end, day + _DAY)) for day in days
        ]
        parts = [*_before(read, last_before, name, at, start, parts, from_ns), *parts]
        parts += _after(read, newest(name), name, at, end, parts, to_ns)
        runs = in_order(parts)
        if len(runs):
            found[name] = runs
    return found


def _read_decisive(read: Read, name: Name, at: Longs, first: int, last: int) -> SampleRuns:
    part = read(*name, first, last)
    return telling(part.t, part.num, part.status, at)


def good_readings(
    parts: Sequence[SampleRuns], from_ns: int | None = None, to_ns: int | None = None
) -> int:
    """How many good readings there are at the least, of those at and after `from_ns`, or before
    `to_ns`."""
    number = 0
    for part in parts:
        chosen = part.good
        if from_ns is not None:
            chosen &= part.last >= from_ns
        if to_ns is not None:
            chosen &= part.first < to_ns
        number += int(chosen.sum() + (part.last[chosen] > part.first[chosen]).sum())
    return number


def _before(
    read: Read,
    last_before: LastBefore,
    name: Name,
    at: Longs,
    start: int,
    parts: Sequence[SampleRuns],
    from_ns: int,
) -> list[SampleRuns]:
    """The last readings before `start`, as many as are missing before the window."""
    found: list[SampleRuns] = []
    length = _MINUTES_NS
    for begin in (start - LOOKBACK_NS, start - _OLDEST):
        while good_readings([*found, *parts], to_ns=from_ns) < AROUND:
            newest = last_before(name, begin, start) if begin < start else None
            if newest is None:
                break
            first = newest - length
            found = [_read_decisive(read, name, at, first, min(start, newest + _MS)), *found]
            start = first
            length = min(2 * length, _LONGEST)
    return found


def _after(
    read: Read,
    newest: int | None,
    name: Name,
    at: Longs,
    end: int,
    parts: Sequence[SampleRuns],
    to_ns: int,
) -> list[SampleRuns]:
    """The first readings from `end` on, as many as are missing after the window; `newest`: of all,
    its time."""
    found: list[SampleRuns] = []
    length = AROUND_NS
    while (
        newest is not None
        and end <= newest
        and good_readings([*parts, *found], from_ns=to_ns) < AROUND
    ):
        found.append(_read_decisive(read, name, at, end, end + length))
        end = end + length
        length = min(2 * length, _LONGEST)
    return found


def _lead(last_before: LastBefore, name: Name, from_ns: int) -> Iterator[tuple[int, int]]:
    """The millisecond that holds the last reading before."""
    newest = last_before(name, from_ns - LOOKBACK_NS, from_ns)
    if newest is not None:
        yield newest, min(from_ns, newest + 1_000_000)


def energy(
    read: Read, last_before: LastBefore, moments: Mapping[Name, Longs]
) -> dict[Name, Floats]:
    """Unit-hours of powers; of the samples only what they add up to is kept."""
    found = {}
    for name, asked in moments.items():
        first = int(asked[0])
        last = int(asked[-1])
        adding = StretchTotals(asked, _rate(read, last_before, name, first))
        for start in range(first, last, _DAY):
            end = min(last, start + _DAY)
            part = read(*name, start, end)
            adding.add(piece(part.t, part.num, part.status, end), end)
        if adding.seen:
            found[name] = adding.total
    return found


def _rate(read: Read, last_before: LastBefore, name: Name, at: int) -> float | None:
    """The rate that holds at a moment: that of the last reading before; None without any."""
    newest = last_before(name, at - LOOKBACK_NS, at)
    if newest is None:
        return None
    part = read(*name, newest, min(at, newest + 1_000_000))
    lead = piece(part.t, part.num, part.status, at)
    return None if lead is None else lead.rate


def seen(read: Read, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, TagCounts]:
    """Readings, counted."""
    found = {}
    for name in names:
        samples = read(*name, from_ns, to_ns)
        if len(samples):
            found[name] = _seen(samples)
    return found


def _seen(samples: Samples) -> TagCounts:
    status = samples.status.astype(np.int64)
    usable = samples.num[((status & 0x80000000) == 0) & ~np.isnan(samples.num)]
    stamped = samples.source != NO_TIME
    bad = ((status & 0x80000000) != 0).tolist()
    texts = [
        text
        for text, wrong in zip(samples.text, bad, strict=True)
        if text is not None and not wrong
    ]
    return TagCounts(
        len(samples),
        int(np.count_nonzero(status & 0xC0000000)),
        int(np.count_nonzero((status & 0xFFFF0000) == STATUS["UncertainEngineeringUnitsExceeded"])),
        len(usable),
        float(usable.min()) if len(usable) else None,
        float(usable.max()) if len(usable) else None,
        tuple((samples.t[stamped] - samples.source[stamped]).tolist()[:SKEWS]),
        int(np.count_nonzero(np.isin(status & 0xFFFF0000, sorted(NOT_THERE)))),
        (min(texts), max(texts)) if texts else None,
    )


def lateness(
    read: Read, names: Sequence[Name], from_ns: int, to_ns: int
) -> dict[str, dict[int, int]]:
    """Device -> milliseconds from source (or read) to store -> samples."""
    found: dict[str, dict[int, int]] = {}
    for device, tag in names:
        rows = read(device, tag, from_ns, to_ns)
        late = rows.stored - np.where(rows.source == NO_TIME, rows.t, rows.source)
        own = found.setdefault(device, {})
        for ms, count in zip(
            *np.unique((late + 500_000) // 1_000_000, return_counts=True), strict=True
        ):
            own[int(ms)] = own.get(int(ms), 0) + int(count)
    return {device: own for device, own in found.items() if own}
