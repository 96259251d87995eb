"""Files in, a checked register out: everything that is wrong at once, or the register with what to
know about it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edge_agent.errors import Finding, RegisterError
from edge_agent.identity import DeviceKeys, DeviceNames
from edge_agent.register.check import check_equipment, check_processes
from edge_agent.register.columns import EQUIPMENT, PROCESSES
from edge_agent.register.model import Equipment, Process, Register
from edge_agent.register.parse import SheetRow, parse
from edge_agent.register.sheet import has_sheet, read_sheet

T = TypeVar("T", Equipment, Process)


@dataclass(frozen=True, slots=True)
class Inspection:
    """`register` is None exactly when there are errors."""

    register: Register | None
    errors: tuple[Finding, ...]
    notes: tuple[Finding, ...]


def inspect(
    equipment: Path,
    processes: Path | None = None,
    devices: Collection[str] | DeviceNames | None = None,
    encoding: str | None = None,
) -> Inspection:
    """Read and check both files; an equipment workbook with a process sheet needs no second file.

    `devices`: the configured devices, to check the links; `encoding`: of both where they are CSV
    and it is stated. Raises RegisterError for a file that cannot be read.
    """
    sheet = parse(read_sheet(equipment, "equipment", encoding), EQUIPMENT)
    if processes is None and has_sheet(equipment, "processes"):
        processes = equipment
    steps = parse(read_sheet(processes, "processes", encoding), PROCESSES) if processes else None
    if steps is not None:
        check_processes(steps)
    names = (
        devices if isinstance(devices, DeviceNames | None) else DeviceNames(DeviceKeys(), devices)
    )
    check_equipment(sheet, steps, names)
    parts = [sheet, *([steps] if steps else [])]
    errors = tuple(finding for part in parts for finding in sorted(part.errors, key=_by_row))
    notes = tuple(finding for part in parts for finding in sorted(part.notes, key=_by_row))
    if errors:
        return Inspection(None, errors, notes)
    rows = _build(Equipment, sheet.rows)
    return Inspection(Register(rows, _build(Process, steps.rows) if steps else ()), (), notes)


def load(
    equipment: Path,
    processes: Path | None = None,
    devices: Collection[str] | DeviceNames | None = None,
    encoding: str | None = None,
) -> tuple[Register, tuple[Finding, ...]]:
    """The register and what to know about it, see `inspect`. RegisterError with every error when
    there is one."""
    inspection = inspect(equipment, processes, devices, encoding)
    if inspection.register is None:
        raise RegisterError(inspection.errors)
    return inspection.register, inspection.notes


def _by_row(finding: Finding) -> int:
    row = finding.where.split(":")[-2] if finding.where.count(":") >= 2 else ""
    return int(row) if row.isdigit() else 0


def _build(kind: Callable[..., T], rows: Sequence[SheetRow]) -> tuple[T, ...]:
    """Cells absent or empty take the dataclass's default; a flag left empty is N (required flags
    cannot be)."""
    return tuple(
        kind(**{name: cell for name, cell in row.cells.items() if cell is not None}) for row in rows
    )
