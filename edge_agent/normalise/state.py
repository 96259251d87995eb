"""One vocabulary of machine state for every maker's own numbers.

Item state and operation mode follow OPC 40001-1, execution follows MTConnect (OPC UA companion
specification 2.00.01, ExecutionDataType). The number travels; the birth document carries the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from edge_agent.config.models import StateConfig, StateMap, StateRule
from edge_agent.model import GOOD, STATUS, Batch, Tag, TagTable, Value, is_not_there
from edge_agent.normalise.conditions import Compiler, Condition, LastingCondition, Now, Seen

ITEM_STATE: Final = ("NotAvailable", "OutOfService", "NotExecuting", "Executing")
OPERATION_MODE: Final = ("None", "Maintenance", "Setup", "Processing")
EXECUTION: Final = (
    "ACTIVE",
    "FEED_HOLD",
    "INTERRUPTED",
    "OPTIONAL_STOP",
    "READY",
    "PROGRAM_COMPLETED",
    "PROGRAM_STOPPED",
    "STOPPED",
)

#: part of `state:` -> (name of the derived tag, its words)
VOCABULARY: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "item": ("machine_state", ITEM_STATE),
    "mode": ("operation_mode", OPERATION_MODE),
    "execution": ("execution", EXECUTION),
}

_DERIVED: Final[Mapping[str, Tag]] = {
    name: Tag(name, "int", None, labels=dict(enumerate(words)))
    for name, words in VOCABULARY.values()
}

_UNDECIDED = (0, STATUS["UncertainInitialValue"])
"""Not available, and said to be uncertain: no rule's time has been over since the values were last
good."""
_OUTSIDE = STATUS["UncertainEngineeringUnitsExceeded"]
_NEVER_SEEN: Final = (None, GOOD)


@dataclass(frozen=True, slots=True)
class _Rule:
    condition: Condition | None
    """None: it always fits."""
    number: int


@dataclass(slots=True)
class _Part:
    """A derived tag and its rules. One object for each device."""

    tag: Tag
    rules: tuple[_Rule, ...]
    lasting: tuple[LastingCondition, ...] = ()
    """The conditions of its rules that need time."""
    optional: tuple[str, ...] = ()
    """The tags of its rules, where the device may be without every one of them."""
    _last: tuple[int | None, int] = _UNDECIDED

    def evaluate(self, seen: Seen, now: float) -> tuple[int | None, int]:
        """(number, status): the first rule that fits; what a rule needs and is bad makes the state
        bad.

        While only the time of a rule is not over, the state stays as it was. An optional tag that
        the device does not have fits no rule; where it has none of the tags, the state is bad: it
        would rest on nothing.
        """
        for lasting in self.lasting:  # their time runs on, or ends, whichever rule fits
            lasting.judge(seen, now)
        found = self._first(seen, now)
        if found is None:
            return self._last
        if self.lasting:
            self._last = _UNDECIDED if found[0] is None else found
        return found

    def _first(self, seen: Seen, now: float) -> tuple[int | None, int] | None:
        if self.optional and (code := self._all_absent(seen)) is not None:
            return None, code
        rests_on = GOOD
        for rule in self.rules:
            if rule.condition is None:
                return rule.number, rests_on
            holds, code = rule.condition.judge(seen, now)
            if holds is None:
                return None, code
            if code != GOOD:
                rests_on = code
            if holds:
                return rule.number, rests_on
        if any(lasting.since is not None for lasting in self.lasting):
            return None
        # the device speaks a word that its map does not know: not available, and said so
        return (
            0,
            _OUTSIDE,
        )

    def _all_absent(self, seen: Seen) -> int | None:
        """The status of the tags when the device has none of them; None when it has one, or that is
        not known yet."""
        code = None
        for name in self.optional:
            _, code = seen.get(name, _NEVER_SEEN)
            if not is_not_there(code):
                return None
        return code


@dataclass(slots=True)
class StateMachine:
    """The derived tags of one device, fed by all its tables; they travel with the table of their
    first source tag."""

    parts: tuple[_Part, ...]
    home: TagTable
    derived: bool = False
    """Concluded from measurements, lamps or contacts (`DeviceCommon.derives_state`)."""
    _now: Now = monotonic
    _evaluated: float = 0.0
    _seen: dict[str, tuple[Value, int]] = field(default_factory=dict)
    _sources: frozenset[str] = frozenset()
    _lasting: tuple[LastingCondition, ...] = ()
    _positions: dict[TagTable, dict[int, str]] = field(default_factory=dict)

    def derived_for(self, table: TagTable) -> tuple[Tag, ...]:
        return tuple(part.tag for part in self.parts) if table is self.home else ()

    def observe(self, batch: Batch) -> None:
        """Remember what the rules look at. `batch.table` is still the table as read."""
        watched = self._positions.get(batch.table)
        if watched is None:
            watched = self._positions[batch.table] = batch.table.once(_watched, self._sources)
        values = batch.values
        status = batch.status
        columns = batch.columns
        if columns is None:
            for index, name in watched.items():
                self._seen[name] = (values[index], status.get(index, GOOD))
        else:
            for index, position in enumerate(columns):
                if position in watched:
                    self._seen[watched[position]] = (values[index], status.get(index, GOOD))

    def evaluate(self) -> list[tuple[int | None, int]]:
        """(number, status) of each derived tag, in their order."""
        if self._lasting:
            self._evaluated = self._now()
        return [part.evaluate(self._seen, self._evaluated) for part in self.parts]

    def notes(self) -> dict[str, str]:
        """Derived tag -> what it is concluded from, for its entry in the birth document."""
        text = f"derived from {', '.join(sorted(self._sources))}, not stated by a controller"
        return {part.tag.name: text for part in self.parts}

    @property
    def timed(self) -> bool:
        """Whether the state may change while no value does: a rule has a `for`."""
        return bool(self._lasting)

    def due(self, now: float) -> bool:
        """Whether the time of a condition has ended since the last evaluation."""
        return any(
            each.due is not None and self._evaluated < each.due <= now for each in self._lasting
        )

    @classmethod
    def compile(
        cls,
        state: StateConfig | None,
        tables: tuple[TagTable, ...],
        own: frozenset[str],
        *,
        derived: bool = False,
        now: Now = monotonic,
    ) -> StateMachine | None:
        """None when the device has no rules. `own`: the tags the device reads itself, never
        overwritten; `derived`: see the attribute; `now`: the clock of rules with a `for`."""
        if state is None or not tables:
            return None
        optional = frozenset(tag.name for table in tables for tag in table.tags if tag.optional)
        sources: frozenset[str] = frozenset()
        lasting: tuple[LastingCondition, ...] = ()
        parts = []
        for key, (name, words) in VOCABULARY.items():
            source = getattr(state, key)
            if source is not None and name not in own:
                compiler = Compiler(optional)
                rules = _rules(source, words, compiler)
                may_be_absent = tuple(sorted(compiler.tags)) if compiler.tags <= optional else ()
                parts.append(_Part(_DERIVED[name], rules, tuple(compiler.lasting), may_be_absent))
                sources |= compiler.tags
                lasting += tuple(compiler.lasting)
        if not parts:
            return None
        home = next((table for table in tables if sources & set(table.names)), tables[0])
        return cls(tuple(parts), home, derived, now, _sources=sources, _lasting=lasting)


def with_derived(table: TagTable, derived: Sequence[Tag]) -> TagTable:
    """The table with tags of the vocabulary behind its own."""
    return table.once(_extended, table.every, *(tag.name for tag in derived)).same_for(table.device)


def _extended(tags: tuple[Tag, ...], every: float, *derived: str) -> TagTable:
    return TagTable("", every, tags + tuple(_DERIVED[name] for name in derived))


def _watched(tags: Sequence[Tag], sources: frozenset[str]) -> dict[int, str]:
    """Position -> name of the tags that rules look at."""
    return {position: tag.name for position, tag in enumerate(tags) if tag.name in sources}


def _rules(
    source: StateMap | list[StateRule], words: tuple[str, ...], compiler: Compiler
) -> tuple[_Rule, ...]:
    if isinstance(source, StateMap):
        compiler.tags.add(source.tag)
        return tuple(
            _Rule(compiler.equal(source.tag, [key]), words.index(word))
            for key, word in source.map.items()
        )
    return tuple(_Rule(compiler.condition(rule), words.index(rule.gives)) for rule in source)
