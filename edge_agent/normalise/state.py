"""One vocabulary of machine state for every maker's own numbers.

Item state and operation mode follow OPC 40001-1, execution follows MTConnect (OPC UA companion
specification 2.00.01, ExecutionDataType). The number travels; the birth document carries the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge_agent.config.models import State, StateMap, StateRule
from edge_agent.model import GOOD, STATUS, Batch, Tag, TagTable, Value, is_bad

ITEM_STATE: Final = ("NotAvailable", "OutOfService", "NotExecuting", "Executing")
OPERATION_MODE: Final = ("None", "Maintenance", "Setup", "Processing")
EXECUTION: Final = (
    "ACTIVE", "FEED_HOLD", "INTERRUPTED", "OPTIONAL_STOP", "READY", "PROGRAM_COMPLETED", "PROGRAM_STOPPED", "STOPPED",
)  # fmt: skip

#: part of `state:` -> (name of the derived tag, its words)
VOCABULARY: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "item": ("machine_state", ITEM_STATE),
    "mode": ("operation_mode", OPERATION_MODE),
    "execution": ("execution", EXECUTION),
}

_DERIVED: Final[Mapping[str, Tag]] = {
    name: Tag(name, "int", None, labels=dict(enumerate(words))) for name, words in VOCABULARY.values()
}

_WAITING = STATUS["BadWaitingForInitialData"]
_OUTSIDE = STATUS["UncertainEngineeringUnitsExceeded"]


@dataclass(frozen=True, slots=True)
class _Rule:
    tag: str | None
    accepted: frozenset[bool | int | str]
    number: int


@dataclass(slots=True)
class _Part:
    tag: Tag
    rules: tuple[_Rule, ...]

    def evaluate(self, seen: Mapping[str, tuple[Value, int]]) -> tuple[int | None, int]:
        """(number, status): the first rule that fits; what a rule needs and is bad makes the state bad."""
        for rule in self.rules:
            if rule.tag is None:
                return rule.number, GOOD
            value, code = seen.get(rule.tag, (None, _WAITING))
            if is_bad(code):
                return None, code
            if value in rule.accepted:
                return rule.number, GOOD
        return 0, _OUTSIDE  # the device speaks a word that its map does not know: not available, and said so


@dataclass(slots=True)
class StateMachine:
    """The derived tags of one device, fed by all its tables; they travel with the table of their first source tag."""

    parts: tuple[_Part, ...]
    home: TagTable
    _seen: dict[str, tuple[Value, int]] = field(default_factory=dict)
    _sources: frozenset[str] = frozenset()
    _positions: dict[TagTable, dict[int, str]] = field(default_factory=dict)

    def derived_for(self, table: TagTable) -> tuple[Tag, ...]:
        return tuple(part.tag for part in self.parts) if table is self.home else ()

    def observe(self, batch: Batch) -> None:
        """Remember what the rules look at. `batch.table` is still the table as read."""
        watched = self._positions.get(batch.table)
        if watched is None:
            watched = self._positions[batch.table] = batch.table.once(_watched, self._sources)
        values, status, columns = batch.values, batch.status, batch.columns
        if columns is None:
            for index, name in watched.items():
                self._seen[name] = (values[index], status.get(index, GOOD))
        else:
            for index, position in enumerate(columns):
                if position in watched:
                    self._seen[watched[position]] = (values[index], status.get(index, GOOD))

    def evaluate(self) -> list[tuple[int | None, int]]:
        """(number, status) of each derived tag, in their order."""
        return [part.evaluate(self._seen) for part in self.parts]

    @classmethod
    def compile(cls, state: State | None, tables: tuple[TagTable, ...], own: frozenset[str]) -> StateMachine | None:
        """None when the device has no rules. `own`: the tags the device reads itself, never overwritten."""
        if state is None or not tables:
            return None
        parts = []
        for key, (name, words) in VOCABULARY.items():
            source = getattr(state, key)
            if source is not None and name not in own:
                parts.append(_Part(_DERIVED[name], _rules(source, words)))
        if not parts:
            return None
        sources = frozenset(rule.tag for part in parts for rule in part.rules if rule.tag is not None)
        home = next((table for table in tables if sources & set(table.names)), tables[0])
        return cls(tuple(parts), home, _sources=sources)


def with_derived(table: TagTable, derived: Sequence[Tag]) -> TagTable:
    """The table with tags of the vocabulary behind its own."""
    return table.once(_extended, table.every, *(tag.name for tag in derived)).same_for(table.device)


def _extended(tags: tuple[Tag, ...], every: float, *derived: str) -> TagTable:
    return TagTable("", every, tags + tuple(_DERIVED[name] for name in derived))


def _watched(tags: Sequence[Tag], sources: frozenset[str]) -> dict[int, str]:
    """Position -> name of the tags that rules look at."""
    return {position: tag.name for position, tag in enumerate(tags) if tag.name in sources}


def _rules(source: StateMap | list[StateRule], words: tuple[str, ...]) -> tuple[_Rule, ...]:
    if isinstance(source, StateMap):
        return tuple(_Rule(source.tag, frozenset([key]), words.index(word)) for key, word in source.map.items())
    rules = []
    for rule in source:
        accepted = rule.equals if isinstance(rule.equals, list) else [] if rule.equals is None else [rule.equals]
        rules.append(_Rule(rule.tag, frozenset(accepted), words.index(rule.gives)))
    return tuple(rules)
