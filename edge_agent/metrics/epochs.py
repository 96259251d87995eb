"""Epochs of a counter: where what its numbers mean changed, and what may be counted across such a
moment.

Nothing is counted across the beginning of an epoch, but for two stated rules. Where only the
scaling changed (same address, both numeric), the last reading before is restated in the new
scaling, and the step across is the counter's own. Where the unit changed, readings are converted
before they come here; if the scaling as converted changed too, a first reading that continues
either the raw number or the converted one is counted from that, by the shorter step. Where a person
wrote down a meter exchange (last reading of the old, first reading of the new), what the old one
counted until then and the new one since then is counted, and the difference between the two
readings is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final, NamedTuple

import numpy as np

from edge_agent.metrics.counters import CounterEvent, CounterRule
from edge_agent.metrics.plausibility import Bounds, CounterRuns, Decision, judge
from edge_agent.metrics.readings import Number, exact

_NUMERIC: Final = frozenset({"bool", "int", "float"})


@dataclass(frozen=True, slots=True)
class TagDefinition:
    """What a tag's numbers mean, as far as its birth document says it. An empty text: it does not
    say."""

    kind: str = ""
    address: str = ""
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    exponent_from: str = ""
    modulus: int | None = None
    """Of the raw number."""
    device: str = ""
    """Whose it was, where a device was replaced."""
    low: float | None = None
    high: float | None = None
    max_rate: float | None = None
    unit: str = ""
    factor: Fraction | None = Fraction(1)
    """By which its readings were converted into the unit they are counted in; None: nobody can
    say."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> TagDefinition:
        """From a tag's entry in a birth document; what is not of its type is left out."""
        low, high = _pair(entry.get("range"))
        return cls(
            _text(entry, "type"),
            _text(entry, "address"),
            _number(entry.get("scale"), 1),
            _number(entry.get("offset"), 0),
            _text(entry, "exponent_from"),
            entry["modulus"]
            if type(entry.get("modulus")) is int and entry["modulus"] > 1
            else None,
            _text(entry, "device"),
            low,
            high,
            float(entry["max_rate"])
            if _is_number(entry.get("max_rate")) and entry["max_rate"] > 0
            else None,
            _text(entry, "unit"),
        )

    def converted(self, factor: Fraction | None) -> TagDefinition:
        """The same with its numbers in another unit."""
        if factor is None or factor == 1:
            return replace(self, factor=factor)
        low, high, rate = (
            None if number is None else float(Fraction(number) * factor)
            for number in (self.low, self.high, self.max_rate)
        )
        return replace(
            self,
            scale=self.scale * factor,
            offset=self.offset * factor,
            low=low,
            high=high,
            max_rate=rate,
            factor=factor,
        )

    def another_unit(self, other: TagDefinition) -> bool:
        """Whether their units differ; no unit is one too, that of pieces."""
        return self.unit != other.unit

    @property
    def rolls_over_at(self) -> Number | None:
        """In the tag's own unit."""
        return (
            None if self.modulus is None or self.exponent_from else self.modulus * abs(self.scale)
        )

    def changed_from(self, other: TagDefinition) -> tuple[str, ...]:
        """What differs from an earlier definition, of what both of them say."""
        pairs = {
            "device": (self.device, other.device),
            "address": (self.address, other.address)
            if self.address and other.address
            else ("", ""),
            "kind": (self.kind, other.kind) if self.kind and other.kind else ("", ""),
            "scale": (
                (self.scale, self.offset, self.exponent_from) if self.address else None,
                (other.scale, other.offset, other.exponent_from) if other.address else None,
            ),
        }
        known = {name: pair for name, pair in pairs.items() if None not in pair}
        found = [name for name, (new, old) in known.items() if new != old]
        silent = not self.address or not other.address
        if self.factor != other.factor and (
            None in (self.factor, other.factor) or silent or "scale" in found
        ):
            found.append("unit")
        return tuple(found)

    def rescaled(self, value: Number, other: TagDefinition) -> Fraction | None:
        """A reading under another definition, as it would have been under this one; None where
        nobody can say."""
        changed = self.changed_from(other)
        numeric = self.kind in _NUMERIC and other.kind in _NUMERIC
        scaled = not self.exponent_from and not other.exponent_from and other.scale != 0
        known = self.factor is not None and other.factor is not None
        alike = "scale" in changed or self.another_unit(other)
        if (
            not set(changed) <= {"scale", "kind", "unit"}
            or not alike
            or not (numeric and scaled and known)
        ):
            return None
        return (Fraction(value) - other.offset) / other.scale * self.scale + self.offset


#: Nobody has said anything.
UNDEFINED: Final = TagDefinition()


@dataclass(frozen=True, slots=True)
class Epoch:
    """From `t` (ns) on a counter is another one."""

    t: int
    why: str
    """What changed: `scale`, `kind`, `address`, `device`, `unit`, joined by commas; or
    `exchange`."""
    rule: CounterRule
    bounds: Bounds
    restate: tuple[Fraction, Fraction] | None = None
    """(factor, shift) by which a reading before becomes one of this epoch."""
    continues: bool = False
    """A reading before, as it is, may be what the first one of this epoch continues: the unit
    changed."""
    last: Number | None = None
    """The last reading of the old meter, and the first of the new one."""
    first: Number | None = None


def by_definition(
    t: int, new: TagDefinition, old: TagDefinition, rule: CounterRule, bounds: Bounds
) -> Epoch:
    """The epoch that a changed definition begins."""
    zero = new.rescaled(0, old)
    one = new.rescaled(1, old)
    restate = None if zero is None or one is None else (one - zero, zero)
    why = new.changed_from(old)
    return Epoch(
        t, ",".join(why), rule, bounds, restate, continues=restate is not None and "unit" in why
    )


@dataclass(frozen=True, slots=True, eq=False)
class JudgedReadings:
    """What of a counter's readings counts: runs, the epochs they are in (from, modulus), and what
    was seen."""

    runs: CounterRuns
    epochs: tuple[tuple[int, Number | None], ...]
    events: tuple[CounterEvent, ...]


def judged(
    runs: CounterRuns,
    rule: CounterRule,
    bounds: Bounds,
    epochs: Sequence[Epoch] = (),
    decisions: Sequence[Decision] = (),
) -> JudgedReadings:
    """Good readings of a counter, judged epoch by epoch. `rule`, `bounds`: of what was before the
    first epoch."""
    pieces, marks, events = (
        list[CounterRuns](),
        list[tuple[int, Number | None]](),
        list[CounterEvent](),
    )
    before: Known | None = None
    begun: list[Epoch] = []
    """Epochs that began since the last reading."""
    for place, piece in enumerate(cut(runs, [epoch.t for epoch in epochs])):
        epoch = epochs[place - 1] if place else None
        own_rule, own_bounds = (rule, bounds) if epoch is None else (epoch.rule, epoch.bounds)
        if epoch is not None:
            begun.append(epoch)
            if (
                before is not None
                and before.carried is not None
                and len(begun) > 1
                and epoch.last is not None
            ):
                # What the old meter counted in an epoch without a reading begins at the reading
                # that was carried on.
                pieces.append(_one(*before.carried))
                marks.append((before.carried[0], begun[-2].rule.modulus))
            pieces, piece, carried = _across(pieces, piece, epoch, before)
            if before is not None and len(piece):
                marks.append((int(piece.first[0]), own_rule.modulus))
                events += [_event(each, before, piece) for each in begun]
            if before is not None:
                before = Known(before.t, before.value, carried)
        found = judge(piece, own_bounds, own_rule, decisions)
        kept = piece.only(found.keep)
        pieces.append(kept)
        marks += [(t, own_rule.modulus) for t in found.epochs]
        events += found.events
        if len(piece):
            begun = []
        if len(kept):
            last = int(kept.last[-1]), float(kept.value[-1])
            before = Known(*last, last)
    return JudgedReadings(
        joined(pieces), tuple(sorted(marks, key=lambda mark: mark[0])), tuple(events)
    )


class Known(NamedTuple):
    """The last reading that counts."""

    t: int
    value: float
    carried: tuple[int, float] | None
    """(t, reading) that the next one is counted from, by the rules of the epochs that began since,
    in the scaling of the last of them; None: nothing is counted across."""


def cut(runs: CounterRuns, begins: Sequence[int]) -> list[CounterRuns]:
    """The runs between these moments; one that lies across is cut there."""
    found = list[CounterRuns]()
    rest = runs
    for t in begins:
        early = rest.first < t
        late = rest.last >= t
        found.append(
            CounterRuns(rest.first[early], np.minimum(rest.last[early], t - 1), rest.value[early])
        )
        rest = CounterRuns(np.maximum(rest.first[late], t), rest.last[late], rest.value[late])
    return [*found, rest]


def _across(
    pieces: list[CounterRuns], piece: CounterRuns, epoch: Epoch, before: Known | None
) -> tuple[list[CounterRuns], CounterRuns, tuple[int, float] | None]:
    """The readings that a stated rule adds on both sides of an epoch's beginning, and what the next
    epoch may count from, if this one has no reading."""
    carried = None if before is None else before.carried
    if epoch.last is not None and carried is not None and epoch.last >= exact(carried[1]):
        pieces = [*pieces, _one(epoch.t - 1, float(epoch.last))]
    if epoch.first is not None:
        if len(piece) and epoch.first <= exact(piece.value[0]) and piece.first[0] > epoch.t:
            piece = joined([_one(epoch.t, float(epoch.first)), piece])
        return pieces, piece, (epoch.t, float(epoch.first))
    if epoch.restate is None or carried is None:
        return pieces, piece, None
    factor, shift = epoch.restate
    t = carried[0] + 1
    restated = float(exact(carried[1]) * factor + shift)
    if epoch.continues:
        nearer = _continued((restated, carried[1]), piece)
        if nearer is None:
            return pieces, piece, None
        restated = nearer
    return pieces, joined([_one(t, restated), piece]) if len(piece) else piece, (t, restated)


def _continued(candidates: Sequence[float], piece: CounterRuns) -> float | None:
    """Which of these readings the next ones continue, by the smaller rise; None where they are
    below both, or there is none yet. Of the first three the median speaks, as one of them may be a
    glitch."""
    if not len(piece):
        return None
    first = float(np.sort(piece.value[:3])[min(len(piece), 3) // 2 if len(piece) > 2 else 0])
    return max((each for each in candidates if each <= first), default=None)


def _event(epoch: Epoch, before: Known, piece: CounterRuns) -> CounterEvent:
    if epoch.last is not None or epoch.first is not None:
        old = exact(before.value) if epoch.last is None else epoch.last
        new = exact(piece.value[0]) if epoch.first is None else epoch.first
        return CounterEvent(epoch.t, "exchange", old, new, basis=epoch.why)
    return CounterEvent(
        epoch.t, "epoch", exact(before.value), exact(piece.value[0]), basis=epoch.why
    )


def _one(t: int, value: float) -> CounterRuns:
    return CounterRuns(
        np.array([t], np.int64), np.array([t], np.int64), np.array([value], np.float64)
    )


def joined(pieces: Sequence[CounterRuns]) -> CounterRuns:
    """Runs one behind the other."""
    return CounterRuns(
        np.concatenate([np.zeros(0, np.int64), *(piece.first for piece in pieces)]),
        np.concatenate([np.zeros(0, np.int64), *(piece.last for piece in pieces)]),
        np.concatenate([np.zeros(0), *(piece.value for piece in pieces)]),
    )


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key, "")
    return value if isinstance(value, str) else ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _number(value: Any, default: int) -> Fraction:
    return (
        Fraction(repr(value))
        if _is_number(value) and abs(value) != float("inf")
        else Fraction(default)
    )


def _pair(value: object) -> tuple[float | None, float | None]:
    if isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)):
        return float(value[0]), float(value[1])
    return None, None
