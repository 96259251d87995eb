"""Report by exception: a value leaves when it left its deadband, changed its quality, or was silent
too long."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.model import GOOD, Batch, Report, Tag, TagTable, Value


class ChangeFilter:
    """The last values sent of one table. Health counts readings before this filter, so coverage
    does not suffer."""

    def __init__(self, table: TagTable) -> None:
        self._rules = table.once(_rules)
        self._limits = table.once(_limits)
        width = len(table)
        self._sent: list[Value] = [None] * width
        self._code = [-1] * width
        self._at = [0] * width

    @classmethod
    def for_table(cls, table: TagTable) -> ChangeFilter | None:
        """A filter, or None when every tag of the table is always reported."""
        return cls(table) if any(rule.on_change for rule in table.once(_rules)) else None

    def apply(self, batch: Batch) -> Batch | None:
        """The batch without what need not be said; None when nothing is left."""
        columns = range(len(batch.values)) if batch.columns is None else batch.columns
        status = batch.status
        keep: list[int] = []
        for index, (position, value) in enumerate(zip(columns, batch.values, strict=True)):
            code = status.get(index, GOOD) if status else GOOD
            if self._is_reportable(position, value, code, batch.t):
                self._sent[position], self._code[position], self._at[position] = (
                    value,
                    code,
                    batch.t,
                )
                keep.append(index)
        if len(keep) == len(batch.values):
            return batch
        if not keep:
            return None
        return Batch(
            batch.table,
            batch.t,
            [batch.values[index] for index in keep],
            {new: status[index] for new, index in enumerate(keep) if index in status},
            None if batch.source is None else [batch.source[index] for index in keep],
            [columns[index] for index in keep],
        )

    def _is_reportable(self, position: int, value: Value, code: int, t: int) -> bool:
        rule: Report = self._rules[position]
        if not rule.on_change or code != self._code[position]:
            return True
        age = t - self._at[position]
        if age < 0 or age >= rule.max_silence * 1e9:  # a clock set back must not silence a tag
            return True
        before = self._sent[position]
        if value == before:
            return False
        absolute, percent = self._limits[position]
        if (
            not isinstance(value, int | float)
            or not isinstance(before, int | float)
            or isinstance(value, bool)
        ):
            return True
        return abs(value - before) > max(absolute, percent * abs(before))


def _rules(tags: Sequence[Tag]) -> list[Report]:
    return [tag.report for tag in tags]


def _limits(tags: Sequence[Tag]) -> list[tuple[float, float]]:
    return [_limit(tag) for tag in tags]


def _limit(tag: Tag) -> tuple[float, float]:
    """(absolute limit, fraction of the last value sent): a percent deadband is of the range where
    the tag has one."""
    fraction = tag.report.deadband_percent / 100.0
    if fraction and tag.low is not None and tag.high is not None:
        return max(tag.report.deadband, fraction * (tag.high - tag.low)), 0.0
    return tag.report.deadband, fraction
