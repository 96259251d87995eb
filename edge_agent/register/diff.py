"""What changed between two versions of a register."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edge_agent.register.columns import EQUIPMENT, PROCESSES, RegisterColumn
from edge_agent.register.model import Register, canonical_rows


@dataclass(frozen=True, slots=True)
class RegisterChange:
    """One cell that differs, or a whole row (`column` empty) that only one of the two has."""

    table: str
    """`equipment` or `processes`."""
    key: str
    column: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.column:
            return f"~ {self.key} {self.column}: {self.before or '-'} -> {self.after or '-'}"
        return f"- {self.key} {self.before}" if self.after is None else f"+ {self.key} {self.after}"


def diff(before: Register, after: Register) -> list[RegisterChange]:
    """All changes, equipment first, by id and then by column; empty when the versions are equal."""
    return [
        *_table("equipment", EQUIPMENT, "equipment_id", before.equipment, after.equipment),
        *_table("processes", PROCESSES, "process_id", before.processes, after.processes),
    ]


def _table(
    name: str,
    columns: Sequence[RegisterColumn],
    key: str,
    old: Sequence[object],
    new: Sequence[object],
) -> Iterator[RegisterChange]:
    before = {row[key]: row for row in canonical_rows(columns, old, key)}
    after = {row[key]: row for row in canonical_rows(columns, new, key)}
    for each in sorted(before.keys() | after.keys()):
        if each not in after:
            yield RegisterChange(name, each, "", _title(before[each]), None)
        elif each not in before:
            yield RegisterChange(name, each, "", None, _title(after[each]))
        else:
            yield from _cells(name, each, columns, before[each], after[each])


def _cells(
    name: str,
    key: str,
    columns: Sequence[RegisterColumn],
    old: Mapping[str, str],
    new: Mapping[str, str],
) -> Iterator[RegisterChange]:
    for column in columns:
        if old.get(column.name) != new.get(column.name):
            yield RegisterChange(name, key, column.name, old.get(column.name), new.get(column.name))


def _title(row: Mapping[str, str]) -> str:
    return row.get("name_zh") or row.get("name_en") or ""
