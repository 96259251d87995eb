"""The conditions of state rules, compiled once for a device: comparisons, `all`, `any`, and how
long they have held.

A condition holds, or not, or cannot be known because a value it needs is bad. As in three-valued
logic `any` needs one that holds whatever the others are, and `all` fails with one that does not.
What rests on an uncertain value is uncertain itself. An optional tag that the device does not have
is no value that is missing: what is asked of it does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from edge_agent.config.models import StateComparison, StateGroup
from edge_agent.model import GOOD, STATUS, Value, is_bad, is_not_there

Seen = Mapping[str, tuple[Value, int]]
"""Tag -> (newest value, its status)."""
Verdict = tuple[bool | None, int]
"""(whether it holds, status): None and a bad status when that cannot be known."""

_WAITING: Final = STATUS["BadWaitingForInitialData"]
_NO_NUMBER: Final = STATUS["BadTypeMismatch"]
_NEVER_SEEN: Final = (None, _WAITING)
_DOES_NOT_HOLD: Final = (False, GOOD)


class Condition(Protocol):
    """Something that holds or not at a moment (seconds of the monotonic clock)."""

    def judge(self, seen: Seen, now: float) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class EqualsOneOf:
    """A tag has one of some values."""

    tag: str
    accepted: frozenset[bool | int | str]
    optional: bool = False
    """Whether the device may be without the tag."""

    def judge(self, seen: Seen, now: float) -> Verdict:
        value, code = seen.get(self.tag, _NEVER_SEEN)
        return _unknown(code, self.optional) if is_bad(code) else (value in self.accepted, code)


@dataclass(frozen=True, slots=True)
class WithinBounds:
    """A tag is a number between bounds; `strict` bounds are not included."""

    tag: str
    low: float
    high: float
    strict: bool
    optional: bool = False
    """Whether the device may be without the tag."""

    def judge(self, seen: Seen, now: float) -> Verdict:
        value, code = seen.get(self.tag, _NEVER_SEEN)
        if is_bad(code):
            return _unknown(code, self.optional)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None, _NO_NUMBER
        return (
            self.low < value < self.high if self.strict else self.low <= value <= self.high
        ), code


def _unknown(code: int, optional: bool) -> Verdict:
    """The verdict on a tag without a value."""
    return _DOES_NOT_HOLD if optional and is_not_there(code) else (None, code)


@dataclass(frozen=True, slots=True)
class CombinedCondition:
    """All, or any, of several conditions."""

    parts: tuple[Condition, ...]
    decisive: bool
    """The verdict of a part that decides whatever the others are: False for `all`, True for
    `any`."""

    def judge(self, seen: Seen, now: float) -> Verdict:
        """Every part is asked each time: those with a duration count the time for which they
        held."""
        verdicts = [part.judge(seen, now) for part in self.parts]
        deciding = [code for holds, code in verdicts if holds is self.decisive]
        if deciding:
            return self.decisive, min(deciding)  # the surest of them: good before uncertain
        unknown = [code for holds, code in verdicts if holds is None]
        return (
            (None, unknown[0])
            if unknown
            else (not self.decisive, max(code for _, code in verdicts))
        )


@dataclass(slots=True)
class LastingCondition:
    """A condition that must have held for some seconds without a break. One object for each
    device."""

    condition: Condition
    seconds: float
    since: float | None = None
    """From when on it has held; None while it does not."""

    def judge(self, seen: Seen, now: float) -> Verdict:
        holds, code = self.condition.judge(seen, now)
        if not holds:
            self.since = None
            return holds, code
        if self.since is None:
            self.since = now
        return now - self.since >= self.seconds, code

    @property
    def due(self) -> float | None:
        """When it will have held for long enough; None while it does not hold."""
        return None if self.since is None else self.since + self.seconds


@dataclass(slots=True)
class Compiler:
    """Conditions from a configuration; collects the tags they look at and those that last."""

    optional: frozenset[str] = frozenset()
    """The tags that the device may be without."""
    tags: set[str] = field(default_factory=set)
    lasting: list[LastingCondition] = field(default_factory=list)

    def equal(self, tag: str, accepted: Iterable[bool | int | str]) -> EqualsOneOf:
        """The condition that a tag has one of these values."""
        self.tags.add(tag)
        return EqualsOneOf(tag, frozenset(accepted), tag in self.optional)

    def condition(self, asked: StateComparison) -> Condition | None:
        """None for one that always holds."""
        parts = [make for make in (self._comparisons(asked), self._groups(asked)) if make]
        found = [condition for part in parts for condition in part]
        if not found:
            return None
        made = found[0] if len(found) == 1 else CombinedCondition(tuple(found), False)
        if asked.for_ is None:
            return made
        lasting = LastingCondition(made, asked.for_)
        self.lasting.append(lasting)
        return lasting

    def _comparisons(self, asked: StateComparison) -> list[Condition]:
        tag = asked.tag
        if tag is None:
            return []
        self.tags.add(tag)
        optional = tag in self.optional
        made: list[Condition] = []
        numeric = asked.above is not None or asked.below is not None
        if asked.equals is not None or not (numeric or asked.between is not None):
            accepted = (
                asked.equals
                if isinstance(asked.equals, list)
                else []
                if asked.equals is None
                else [asked.equals]
            )
            made.append(self.equal(tag, accepted))
        if numeric:
            low = float("-inf") if asked.above is None else asked.above
            high = float("inf") if asked.below is None else asked.below
            made.append(WithinBounds(tag, low, high, strict=True, optional=optional))
        if asked.between is not None:
            made.append(WithinBounds(tag, *asked.between, strict=False, optional=optional))
        return made

    def _groups(self, asked: StateComparison) -> list[Condition]:
        if not isinstance(asked, StateGroup):
            return []
        return [
            CombinedCondition(self._parts(parts), decisive)
            for parts, decisive in ((asked.all, False), (asked.any, True))
            if parts
        ]

    def _parts(self, parts: Sequence[StateComparison]) -> tuple[Condition, ...]:
        return tuple(made for part in parts if (made := self.condition(part)) is not None)


def _listed(value: list[bool | int | str] | bool | int | str | None) -> list[bool | int | str]:
    """One value as a list of it, nothing as an empty one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


Now = Callable[[], float]
"""Seconds of the monotonic clock."""
