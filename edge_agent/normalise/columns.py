"""Normalisation compiled once for all devices with equal tags, and applied to whole columns.

Only the positions that need a step are visited; a table of plain numbers costs one `sum` (which is
not finite if any of them is not).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from operator import itemgetter
from typing import Any

from edge_agent.decimals import integer_scale
from edge_agent.model import STATUS, Batch, Tag, TagTable, Value, is_good
from edge_agent.normalise.change import ChangeFilter
from edge_agent.normalise.exponents import Exponents
from edge_agent.normalise.state import StateMachine, with_derived
from edge_agent.reasons import cause

_SENSOR_FAILURE = STATUS["BadSensorFailure"]
_EXCEEDED = STATUS["UncertainEngineeringUnitsExceeded"]
_UNDECIDED = STATUS["UncertainInitialValue"]
_WHY_UNDECIDED = cause("state_undecided")


class Normaliser:
    """All steps for one table of one device, in their order. Not shared between tables."""

    def __init__(self, table: TagTable, state: StateMachine | None = None) -> None:
        derived = state.derived_for(table) if state is not None else ()
        self._state = state if derived else None
        self._watched = state
        self.table = with_derived(table, derived) if derived else table
        self._width = len(table)
        program = table.once(_Program)
        self._steps = program.steps
        self._by_position = program.by_position
        self._floats = program.floats
        self._pick = program.pick
        self._change = ChangeFilter.for_table(self.table)
        self._exponents = Exponents(table) if program.exponents else None

    def apply(self, batch: Batch) -> None:
        """Normalise the batch in place; its table becomes `self.table`, which may carry derived
        state tags."""
        if self._exponents is not None:
            self._exponents.apply(batch)
        if batch.columns is None and not batch.status:
            self._whole(batch.values, batch.status)
        else:
            self._partial(batch, batch.columns)
        if self._watched is not None:
            self._watched.observe(batch)
        batch.table = self.table
        if self._state is not None:
            self._append_state(batch, self._state)

    @property
    def timed(self) -> bool:
        """Whether its derived tags may change while no value does (`StateMachine.due` says
        when)."""
        return self._state is not None and self._state.timed

    def due(self, now: float) -> bool:
        """Whether its derived tags are to be looked at again, by an empty batch."""
        return self._state is not None and self._state.due(now)

    def reportable(self, batch: Batch) -> Batch | None:
        """What of a normalised batch is to be reported: all of it, or by change; None when nothing
        is."""
        return batch if self._change is None else self._change.apply(batch)

    def _whole(self, values: list[Value], status: dict[int, int]) -> None:
        if self._floats:
            picked: Any = values if self._pick is None else self._pick(values)
            try:
                finite = isfinite(sum(picked))
            except TypeError:
                picked = self._learn_floats(values)
                finite = isfinite(sum(picked))
            if not finite:
                for position, value in zip(self._floats, picked, strict=True):
                    if not isfinite(value):
                        values[position] = None
                        status[position] = _SENSOR_FAILURE
        for step in self._steps:
            if step.position not in status:
                step.apply(step.position, values, status)

    def _learn_floats(self, values: list[Value]) -> Sequence[Any]:
        """Of tags whose type only the device knows, some are texts or lists: from now on those are
        passed over."""
        self._floats = [at for at in self._floats if isinstance(values[at], int | float)]
        self._pick = _picker(self._floats, len(values))
        if not self._floats:
            return ()
        return values if self._pick is None else self._pick(values)

    def _partial(self, batch: Batch, columns: Sequence[int] | None) -> None:
        values = batch.values
        status = batch.status
        for index, value in enumerate(values):
            if value is None:
                continue
            if type(value) is float and not isfinite(value):
                values[index] = None
                status[index] = _SENSOR_FAILURE
                continue
            step = self._by_position.get(index if columns is None else columns[index])
            if step is not None:
                step.apply(index, values, status)

    def _append_state(self, batch: Batch, state: StateMachine) -> None:
        words = state.evaluate()
        if batch.columns is not None:
            batch.columns = [*batch.columns, *range(self._width, self._width + len(words))]
        if batch.source is not None:
            batch.source = [*batch.source, *[None] * len(words)]
        for number, code in words:
            if not is_good(code):
                batch.status[len(batch.values)] = code
                if code == _UNDECIDED:
                    batch.causes = {**(batch.causes or {}), len(batch.values): _WHY_UNDECIDED}
            batch.values.append(number)


class _Program:
    """What the steps are. The same for all devices with these tags."""

    __slots__ = ("by_position", "exponents", "floats", "pick", "steps")

    def __init__(self, tags: Sequence[Tag]) -> None:
        self.steps = [
            _Steps(position, tag) for position, tag in enumerate(tags) if _Steps.needed(tag)
        ]
        self.exponents = any(tag.scale_exponent_from is not None for tag in tags)
        self.by_position = {step.position: step for step in self.steps}
        self.floats = [
            position for position, tag in enumerate(tags) if tag.kind in ("float", "any")
        ]
        self.pick = _picker(self.floats, len(tags))


def _picker(positions: list[int], width: int) -> Callable[[list[Value]], Sequence[Value]] | None:
    """From a column of `width` values to those at `positions`; None when that is all of them, or
    there are none."""
    if len(positions) in (0, width):
        return None
    first = positions[0]
    return itemgetter(*positions) if len(positions) > 1 else itemgetter(slice(first, first + 1))


class _Steps:
    """What happens to one tag: sentinel, scale, then enumeration or range."""

    __slots__ = (
        "_high",
        "_labels",
        "_low",
        "_of_integer",
        "_offset",
        "_scale",
        "_scaled",
        "_sentinels",
        "position",
    )

    def __init__(self, position: int, tag: Tag) -> None:
        self.position = position
        # With an exponent the raw number is gone by now: `Exponents` has looked.
        self._sentinels = frozenset(() if tag.scale_exponent_from is not None else tag.sentinels)
        self._scale = tag.scale
        self._offset = tag.offset
        self._scaled = tag.scale != 1.0 or tag.offset != 0.0
        self._of_integer = integer_scale(tag.scale, tag.offset) if self._scaled else None
        self._low = float("-inf") if tag.low is None else tag.low
        self._high = float("inf") if tag.high is None else tag.high
        self._labels = None if tag.labels is None else frozenset(tag.labels)

    @staticmethod
    def needed(tag: Tag) -> bool:
        plain = tag.scale == 1.0 and tag.offset == 0.0 and tag.low is None and tag.high is None
        return not (plain and tag.labels is None and not tag.sentinels)

    def apply(self, index: int, values: list[Value], status: dict[int, int]) -> None:
        value = values[index]
        if isinstance(value, list):
            self._apply_to_list(index, value, values, status)
            return
        if not isinstance(value, int | float):
            return
        if value in self._sentinels:
            values[index] = None
            status[index] = _SENSOR_FAILURE
            return
        if self._scaled:
            values[index] = value = self._scale_of(value)
        if not self._low <= value <= self._high or (
            self._labels is not None and value not in self._labels
        ):
            status.setdefault(index, _EXCEEDED)

    def _apply_to_list(
        self, index: int, value: list[Any], values: list[Value], status: dict[int, int]
    ) -> None:
        """An array with one element that is no value is bad as a whole: nobody can tell which one
        was meant."""
        if not self._sentinels.isdisjoint(value):
            values[index] = None
            status[index] = _SENSOR_FAILURE
        elif self._scaled:
            values[index] = list(map(self._scale_of, value))

    def _scale_of(self, value: int | float) -> float:
        if self._of_integer is not None and isinstance(value, int):
            return self._of_integer(value)
        return value * self._scale + self._offset
