"""From a counter's stored runs to the readings that count: judged by what is possible, epoch by
epoch.

In: the runs of a store, where the tag's definition changed, and what register, configuration and
persons say of the counter (`CounterAbout`). Out: `CountedReadings`, the part of them that figures
of a window rest on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np
import orjson

from edge_agent.metrics.counters import CounterEvent, CounterRule
from edge_agent.metrics.epochs import (
    UNDEFINED,
    Epoch,
    JudgedReadings,
    TagDefinition,
    by_definition,
    cut,
    joined,
    judged,
)
from edge_agent.metrics.learning import DAY_NS
from edge_agent.metrics.plausibility import (
    HORIZON_NS,
    Bounds,
    CounterRuns,
    Decision,
    Floats,
    StepLimit,
    by_rate,
)
from edge_agent.metrics.readings import Longs, Number, Readings, exact
from edge_agent.production import thinning
from edge_agent.production.roles import conversion
from edge_agent.stores import SampleRuns
from edge_agent.stores.definitions import DefinitionChange
from edge_agent.stores.evidence import Span

#: A counter whose next reading has not come is not known beyond its last one; so long that is no
#: matter.
PATIENCE_NS: Final = 120_000_000_000
#: Readings before a window are judged by what was learned so long before it at the most.
LEARNED_BACK_NS: Final = 62 * DAY_NS


@dataclass(frozen=True, slots=True)
class CounterExchange:
    """A meter was exchanged at about `t` (ns): the last reading of the old one and the first of the
    new one, where known."""

    t: int
    last: Fraction | None = None
    first: Fraction | None = None


@dataclass(frozen=True, slots=True)
class CounterAbout:
    """What is known of a counter beside its readings."""

    parts: bool = False
    """It counts parts: it may be set to zero on purpose, and stands until the next one. Else it
    counts energy."""
    definition: TagDefinition = UNDEFINED
    """As the configuration has it, for what no birth document says."""
    physical: tuple[StepLimit, ...] = ()
    """By the register's nominal cycle or rated power, in the counter's own unit."""
    exchanges: tuple[CounterExchange, ...] = ()
    decisions: tuple[Decision, ...] = ()


#: Nothing beside the readings.
UNKNOWN: Final = CounterAbout()


@dataclass(frozen=True, slots=True)
class CountedReadings:
    """The readings that count in a window, with the last one before it and the first one after
    it."""

    readings: Readings
    modulus: Number | None = None
    epochs: tuple[tuple[int, Number | None], ...] = ()
    """(from, modulus): nothing is counted across these moments."""
    events: tuple[CounterEvent, ...] = ()
    """Inside the window."""
    unknown_since: int | None = None
    """The next reading has not come: from here to the window's end nothing is known (ns)."""


@dataclass(frozen=True, slots=True)
class TagMeanings:
    """What the numbers of a tag mean over time, by its birth documents."""

    first: TagDefinition
    changes: tuple[tuple[int, TagDefinition], ...] = ()
    """In the unit that the configuration has, each with the factor by which its readings become
    that."""

    @classmethod
    def of(cls, meta: str, changes: Sequence[DefinitionChange], own: TagDefinition) -> TagMeanings:
        """`meta`: the newest birth entry as JSON, empty without any; `own`: as the configuration
        has it."""
        if not changes:
            newest = TagDefinition.of(orjson.loads(meta)) if meta else own
            return cls(_filled(replace(newest, unit=newest.unit or own.unit), own))
        said = [
            orjson.loads(text)
            for text in (changes[0].before, *(change.after for change in changes))
        ]
        definitions = [TagDefinition.of(each) for each in said]
        # What a row of before units were kept does not say is as the next one has it.
        for place in reversed(range(len(said))):
            if "unit" not in said[place]:
                later = definitions[place + 1 :]
                unit = later[0].unit if later else own.unit
                definitions[place] = replace(definitions[place], unit=unit)
        definitions[-1] = replace(definitions[-1], unit=definitions[-1].unit or own.unit)
        for place in reversed(range(len(said) - 1)):
            if not definitions[place].unit and not _rescaled(
                definitions[place], definitions[place + 1]
            ):
                definitions[place] = replace(definitions[place], unit=definitions[place + 1].unit)
        first, *later_ones = [_filled(each, own) for each in definitions]
        return cls(first, tuple(zip((change.t for change in changes), later_ones, strict=True)))

    @property
    def converted(self) -> bool:
        """Whether the unit ever was another one."""
        return any(each.factor != 1 for each in (self.first, *(each for _, each in self.changes)))

    def at(self, t: int) -> TagDefinition:
        """What held at a moment (ns)."""
        return next((each for begin, each in reversed(self.changes) if begin <= t), self.first)

    def bounded(self, about: CounterAbout) -> bool:
        """Whether physics or the configuration bounds the counter."""
        return bool(about.physical) or any(
            each.max_rate for each in (self.first, *(d for _, d in self.changes))
        )


def _rescaled(old: TagDefinition, new: TagDefinition) -> bool:
    """Whether a reading without unit may have been in another one than the next definition says."""
    return (old.address, old.scale, old.offset, old.exponent_from) != (
        new.address, new.scale, new.offset, new.exponent_from,
    )  # fmt: skip


def _filled(said: TagDefinition, own: TagDefinition) -> TagDefinition:
    """In the configuration's unit; what a birth document of an earlier agent does not say is as the
    configuration has it."""
    if not said.address:
        said = replace(
            said,
            scale=own.scale,
            offset=own.offset,
            exponent_from=own.exponent_from,
            modulus=own.modulus,
        )
    said = said.converted(conversion(said.unit, own.unit))
    return replace(
        said,
        kind=said.kind or own.kind,
        low=own.low if said.low is None else said.low,
        high=own.high if said.high is None else said.high,
        max_rate=own.max_rate if said.max_rate is None else said.max_rate,
    )


def judged_counter(
    changes: SampleRuns,
    about: CounterAbout,
    meanings: TagMeanings,
    learned: Sequence[StepLimit] = (),
) -> tuple[SampleRuns, JudgedReadings]:
    """The runs that count, among those that are bad, and what was judged of them."""
    good = changes.good
    read = in_one_unit(
        CounterRuns(changes.first[good], changes.last[good], changes.num[good]), meanings
    )
    exchanges = tuple(
        _exchange_in_unit(each, meanings.at(each.t).factor) for each in about.exchanges
    )
    about = replace(about, exchanges=exchanges)
    learned = _learned_in_unit(learned, meanings)
    rule, bounds = _rules(meanings.first, about, learned)
    epochs = _epochs(replace(about, exchanges=placed(about.exchanges, read)), meanings, learned)
    found = judged(read, rule, bounds, epochs, about.decisions)
    runs = found.runs
    bad = ~good
    first = np.concatenate([changes.first[bad], runs.first])
    order = np.argsort(first, kind="stable")
    status = np.concatenate([changes.status[bad], np.zeros(len(runs), np.uint32)])
    last = np.concatenate([changes.last[bad], runs.last])
    number = np.concatenate([changes.num[bad], runs.value])
    return SampleRuns(
        first[order], last[order], number[order], status[order].astype(np.uint32)
    ), found


def in_one_unit(runs: CounterRuns, meanings: TagMeanings) -> CounterRuns:
    """Readings in the unit of the configuration, each the double nearest to its decimal; those in a
    unit that cannot be converted stay as they are."""
    if not meanings.converted:
        return runs
    factors = [meanings.first.factor, *(each.factor for _, each in meanings.changes)]
    pieces = cut(runs, [t for t, _ in meanings.changes])
    return joined([_times(piece, factor) for piece, factor in zip(pieces, factors, strict=True)])


def _times(runs: CounterRuns, factor: Fraction | None) -> CounterRuns:
    if factor is None or factor == 1 or not len(runs):
        return runs
    numbers = [
        float(exact(value) * factor) if np.isfinite(value) else value
        for value in runs.value.tolist()
    ]
    return CounterRuns(runs.first, runs.last, np.array(numbers, np.float64))


def _exchange_in_unit(exchange: CounterExchange, factor: Fraction | None) -> CounterExchange:
    if factor is None or factor == 1:
        return exchange
    last, first = (
        None if each is None else each * factor for each in (exchange.last, exchange.first)
    )
    return replace(exchange, last=last, first=first)


def _learned_in_unit(learned: Sequence[StepLimit], meanings: TagMeanings) -> Sequence[StepLimit]:
    """Limits are learned from the numbers as stored: those that rest on numbers in two units teach
    nothing, and the last one before, converted, goes on."""
    if not meanings.converted:
        return learned
    begin = meanings.changes[0][0]
    end = meanings.changes[-1][0] + LEARNED_BACK_NS
    factor = float(meanings.first.factor or 1)
    early = [
        replace(each, per_hour=each.per_hour * factor, burst=each.burst * factor)
        for each in learned
        if (each.since or 0) < begin
    ]
    return [*early, *(each for each in learned if (each.since or 0) >= end)]


def _rules(
    definition: TagDefinition, about: CounterAbout, learned: Sequence[StepLimit]
) -> tuple[CounterRule, Bounds]:
    rates = () if definition.max_rate is None else (by_rate(definition.max_rate),)
    bounds = Bounds(definition.low, definition.high, (*about.physical, *rates), tuple(learned))
    return CounterRule(definition.rolls_over_at, restarts=about.parts), bounds


def placed(exchanges: Sequence[CounterExchange], runs: CounterRuns) -> tuple[CounterExchange, ...]:
    """Exchanges where the readings show them, up to `HORIZON_NS` from the time a person wrote down:
    where a reading nearer to the old meter's last one is followed by one nearer to the new meter's
    first one."""
    return tuple(sorted((_placed(each, runs) for each in exchanges), key=lambda each: each.t))


def _placed(exchange: CounterExchange, runs: CounterRuns) -> CounterExchange:
    if exchange.last is None or exchange.first is None or len(runs) < 2:
        return exchange
    is_new = np.abs(runs.value - float(exchange.first)) < np.abs(runs.value - float(exchange.last))
    before = runs.last[:-1]
    after = runs.first[1:]
    near = (after >= exchange.t - HORIZON_NS) & (before <= exchange.t + HORIZON_NS)
    steps = np.flatnonzero(~is_new[:-1] & is_new[1:] & near & (after - before > 2))
    if not len(steps):
        return exchange
    since = before[steps] + 2
    until = after[steps] - 1
    place = int(np.argmin(np.maximum(since - exchange.t, exchange.t - until)))
    return replace(exchange, t=max(int(since[place]), min(int(until[place]), exchange.t)))


def _epochs(
    about: CounterAbout, meanings: TagMeanings, learned: Sequence[StepLimit]
) -> list[Epoch]:
    found: list[Epoch] = []
    old = meanings.first
    definitions = list(meanings.changes)
    moments = sorted(
        [*((t, 0) for t, _ in definitions), *((each.t, 1) for each in about.exchanges)]
    )
    exchanges = sorted(about.exchanges, key=lambda each: each.t)
    for t, kind in moments:
        if kind == 0:
            _, new = definitions.pop(0)
            rule, bounds = _rules(
                new, about, [limit for limit in learned if (limit.since or 0) >= t]
            )
            if new.changed_from(old):
                found.append(by_definition(t, new, old, rule, bounds))
            old = new
        else:
            each = exchanges.pop(0)
            rule, bounds = _rules(old, about, learned)
            found.append(Epoch(t, "exchange", rule, bounds, last=each.last, first=each.first))
    return found


def counted_readings(
    changes: SampleRuns,
    about: CounterAbout,
    meanings: TagMeanings,
    *,
    at: Longs,
    known: Sequence[Span],
    learned: Sequence[StepLimit] = (),
    from_ns: int,
    to_ns: int,
) -> CountedReadings | None:
    """The readings of a window, thinned; None where nothing is said of it: no reading in it, nor
    one on both sides. Of a meter that was last read before the window its last reading, and that
    nothing is known since: whoever adds meters up must not miss that one is silent.

    `at`: moments (ns) at which energy is divided; `known`: when the device's values were current.
    """
    runs, found = judged_counter(changes, about, meanings, learned)
    t, value = thinning.counter_readings(runs, known if about.parts else ())
    inside = bool(np.any((t >= from_ns) & (t <= to_ns)))
    around = len(t) > 0 and t[0] <= from_ns and t[-1] >= to_ns
    if not (inside or around):
        return (
            None
            if about.parts or not len(t) or t[0] > from_ns
            else _silent(t, value, about, meanings, known, to_ns)
        )
    start = max(0, int(np.searchsorted(t, from_ns, "right")) - 1)
    end = int(np.searchsorted(t, to_ns, "left")) + 1
    t = t[start:end]
    value = value[start:end]
    kept = thinning.deciding_readings(t, value, at)
    kept[[0, -1]] = True
    joints = np.searchsorted(
        t, np.array([begin for begin, _ in found.epochs if t[0] < begin <= t[-1]], np.int64)
    )
    kept[joints] = kept[joints - 1] = True
    events = [*found.events, *_unit_events(meanings, t, value, from_ns, to_ns)]
    return CountedReadings(
        Readings(t[kept], value[kept]),
        _modulus_at(meanings, about, int(t[0])),
        tuple(epoch for epoch in found.epochs if t[0] < epoch[0] <= t[-1]),
        tuple(event for event in events if from_ns < event.t <= to_ns),
        _unknown_since(int(t[-1]), known, to_ns),
    )


def _silent(
    t: Longs,
    value: Floats,
    about: CounterAbout,
    meanings: TagMeanings,
    known: Sequence[Span],
    to_ns: int,
) -> CountedReadings:
    last = int(t[-1])
    return CountedReadings(
        Readings(t[-1:], value[-1:]),
        _modulus_at(meanings, about, last),
        unknown_since=_unknown_since(last, known, to_ns),
    )


def _modulus_at(meanings: TagMeanings, about: CounterAbout, t: int) -> Number | None:
    """As the tag was defined when the readings begin."""
    return _rules(meanings.at(t), about, ())[0].modulus


def _unit_events(
    meanings: TagMeanings, t: Longs, value: Floats, from_ns: int, to_ns: int
) -> list[CounterEvent]:
    """Where readings are in a unit that cannot be converted in some part of a window: its count is
    not known."""
    found = list[CounterEvent]()
    begins = [0, *(begin for begin, _ in meanings.changes)]
    units = [meanings.first, *(each for _, each in meanings.changes)]
    for place, definition in enumerate(units):
        begin = begins[place]
        end = begins[place + 1] if place + 1 < len(begins) else to_ns + 1
        inside = np.flatnonzero((t >= begin) & (t < end))
        if definition.factor is None and len(inside) and max(begin, from_ns) < min(end, to_ns):
            number = exact(float(value[inside[0]]))
            found.append(
                CounterEvent(
                    max(begin, from_ns + 1), "unit", number, number, basis=definition.unit or "?"
                )
            )
    return found


def _unknown_since(last: int, known: Sequence[Span], to_ns: int) -> int | None:
    """From when on nothing is known of the count. While the device's values were current, no
    reading is no change."""
    stood = max([last, *(min(end, to_ns) for begin, end in known if begin <= last <= end)])
    return stood if stood < to_ns - PATIENCE_NS else None
