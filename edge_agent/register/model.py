"""The equipment register (设备台账) as values: what a machine is, what a process is, and which
version this is."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

from edge_agent.register.columns import EQUIPMENT, PROCESSES, RegisterColumn

Cell = str | bool | Decimal | date | None

#: Between several processes in one cell; spaces and joining signs too, where the parts are
#: processes and the whole is none: an id may have them itself.
_SEVERAL: Final = re.compile(r"[;,、|\n]")
_FINER: Final = re.compile(r"[/+\s]+")


@dataclass(frozen=True, slots=True)
class Equipment:
    """One row of the register; words as in `columns`, money in yuan, power in kW, the nominal cycle
    (PRU) in s."""

    equipment_id: str
    asset_no: str = ""
    name_zh: str = ""
    name_en: str = ""
    category: str = ""
    in_scope: bool = True
    status: str = "in_use"
    ownership: str = ""
    workshop: str = ""
    line: str = ""
    process_id: str = ""
    control_class: str = "none"
    controller_brand: str = ""
    controller_model: str = ""
    digital: bool = False
    interface: str = "none"
    networked_declared: bool = False
    gateway_device: str = ""
    is_robot: bool = False
    robot_type: str = ""
    machine_kind: str = ""
    """A kind of the reviewed table (`kinds`); empty: not stated."""
    brand_origin: str = ""
    commissioned: date | None = None
    """The first day on which it counts; None: it always did."""
    retired_on: date | None = None
    """The first day on which it counts no more; a status other than in_use speaks of the time from
    then on."""
    purchase_cny: Decimal | None = None
    rated_power_kw: Decimal | None = None
    meter_id: str = ""
    project_id: str = ""
    serial_no: str = ""
    photo_ref: str = ""
    invoice_ref: str = ""
    contract_ref: str = ""
    nominal_cycle_s: Decimal | None = None
    schedule_id: str = ""
    reviewer: str = ""
    reviewed_on: date | None = None
    remark: str = ""

    @property
    def counted(self) -> bool:
        """Production equipment as the register stands, whatever its dates: in scope and in use,
        leased ones included.

        Which machines a window counts is said by `membership`."""
        return self.in_scope and self.status == "in_use"

    @property
    def devices(self) -> tuple[str, ...]:
        """The configured devices it is linked to, each once; the first is the primary one."""
        if ";" not in self.gateway_device:
            return (self.gateway_device,) if self.gateway_device else ()
        return tuple(dict.fromkeys(part for part in self.gateway_device.split(";") if part))

    @property
    def device(self) -> str:
        """The primary device, which speaks for the machine; empty without one."""
        return self.devices[0] if self.devices else ""

    def processes(self, known: Collection[str]) -> tuple[str, ...]:
        """The processes it serves, each once. `known`: the ids of the process list; what is none of
        them stays as it is written, for a finding."""
        return split_processes(self.process_id, known)


def split_processes(text: str, known: Collection[str]) -> tuple[str, ...]:
    """`P10;P11` -> both. A text that is the id of one process is that one, whatever signs it
    has."""
    found: list[str] = []
    for part in (text,) if text in known else _SEVERAL.split(text):
        piece = part.strip()
        finer = [each for each in _FINER.split(piece) if each]
        found += finer if piece not in known and all(each in known for each in finer) else [piece]
    return tuple(dict.fromkeys(each for each in found if each))


@dataclass(frozen=True, slots=True)
class Process:
    """One process (工序). Which are key is the enterprise's own, reviewed statement and never
    inferred."""

    process_id: str
    name_zh: str = ""
    name_en: str = ""
    is_key: bool = False
    industry_type: str = "discrete"
    reviewer: str = ""
    reviewed_on: date | None = None
    remark: str = ""


@dataclass(frozen=True)
class Register:
    """Machines and processes. Equal content has an equal `version`, whatever the file it came
    from."""

    equipment: tuple[Equipment, ...]
    processes: tuple[Process, ...] = ()

    @cached_property
    def schedules(self) -> dict[str, str]:
        """Device -> the schedule of the one machine in use that it is linked to."""
        return schedules_of(machine for machine in self.equipment if machine.status == "in_use")

    @cached_property
    def process_ids(self) -> frozenset[str]:
        """The ids of the process list."""
        return frozenset(process.process_id for process in self.processes)

    def processes_of(self, machine: Equipment) -> tuple[str, ...]:
        """The processes a machine serves; every one of them counts it."""
        return machine.processes(self.process_ids)

    @cached_property
    def version(self) -> str:
        """sha256 of the canonical form: independent of row order, encoding, headers and file
        format."""
        return hashlib.sha256(canonical(self)).hexdigest()


def schedules_of(machines: Iterable[Equipment]) -> dict[str, str]:
    """Device -> the schedule of the one of these machines that it is linked to."""
    users: dict[str, list[str]] = {}
    for machine in machines:
        for device in machine.devices:
            users.setdefault(device, []).append(machine.schedule_id)
    return {device: schedules[0] for device, schedules in users.items() if len(schedules) == 1}


def canonical(register: Register) -> bytes:
    """JSON with sorted keys: rows by id, cells as canonical text (NFKC), empty cells left out."""
    document = {
        "equipment": canonical_rows(EQUIPMENT, register.equipment, "equipment_id"),
        "processes": canonical_rows(PROCESSES, register.processes, "process_id"),
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def canonical_rows(
    columns: Sequence[RegisterColumn], rows: Iterable[object], key: str
) -> list[dict[str, str]]:
    """Every row as column -> text, sorted by `key`."""
    texts = (
        {column.name: cell_text(getattr(row, column.name)) for column in columns} for row in rows
    )
    full = [
        {name: unicodedata.normalize("NFKC", text) for name, text in row.items() if text}
        for row in texts
    ]
    return sorted(full, key=lambda row: row[key])


def cell_text(cell: Cell) -> str:
    """A cell as canonical text: Y/N, ISO dates, decimals without trailing zeros, no surrounding
    space."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "Y" if cell else "N"
    if isinstance(cell, Decimal):
        text = format(cell, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return cell.isoformat() if isinstance(cell, date) else cell.strip()


def from_canonical(document: bytes) -> Register:
    """The register that `canonical` wrote, with the same version. Raises ValueError or KeyError for
    another document.

    Columns this program does not know are left out.
    """
    rows: Mapping[str, list[dict[str, str]]] = json.loads(document)
    return Register(
        tuple(Equipment(**_cells(EQUIPMENT, row)) for row in rows["equipment"]),
        tuple(Process(**_cells(PROCESSES, row)) for row in rows["processes"]),
    )


def _cells(columns: Sequence[RegisterColumn], row: Mapping[str, str]) -> dict[str, Any]:
    return {
        column.name: _cell(column, row[column.name]) for column in columns if column.name in row
    }


def _cell(column: RegisterColumn, text: str) -> Cell:
    if column.kind == "flag":
        return text == "Y"
    if column.kind in ("decimal", "positive"):
        return Decimal(text)
    return date.fromisoformat(text) if column.kind == "date" else text
