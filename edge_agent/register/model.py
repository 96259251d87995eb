"""The equipment register (设备台账) as values: what a machine is, what a process is, and which version this is."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property

from edge_agent.register.columns import EQUIPMENT, PROCESSES, Column

Cell = str | bool | Decimal | date | None


@dataclass(frozen=True, slots=True)
class Equipment:
    """One row of the register; words as in `columns`, money in yuan, power in kW, the nominal cycle (PRU) in s."""

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
    brand_origin: str = ""
    commissioned: date | None = None
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
        """Production equipment: in scope and in use, leased machines included. Every denominator starts here."""
        return self.in_scope and self.status == "in_use"

    @property
    def devices(self) -> tuple[str, ...]:
        """The configured devices it is linked to; more than one is a listed finding."""
        return tuple(part for part in self.gateway_device.split(";") if part)


@dataclass(frozen=True, slots=True)
class Process:
    """One process (工序). Which are key is the enterprise's own, reviewed statement and never inferred."""

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
    """Machines and processes. Equal content has an equal `version`, whatever the file it came from."""

    equipment: tuple[Equipment, ...]
    processes: tuple[Process, ...] = ()

    @cached_property
    def schedules(self) -> dict[str, str]:
        """Device -> the schedule of the one machine in use that it speaks for."""
        users: dict[str, list[str]] = {}
        for machine in self.equipment:
            for device in machine.devices if machine.status == "in_use" else ():
                users.setdefault(device, []).append(machine.schedule_id)
        return {device: schedules[0] for device, schedules in users.items() if len(schedules) == 1}

    @cached_property
    def version(self) -> str:
        """sha256 of the canonical form: independent of row order, encoding, headers and file format."""
        return hashlib.sha256(canonical(self)).hexdigest()


def canonical(register: Register) -> bytes:
    """JSON with sorted keys: rows by id, cells as canonical text (NFKC), empty cells left out."""
    document = {
        "equipment": canonical_rows(EQUIPMENT, register.equipment, "equipment_id"),
        "processes": canonical_rows(PROCESSES, register.processes, "process_id"),
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def canonical_rows(columns: Sequence[Column], rows: Iterable[object], key: str) -> list[dict[str, str]]:
    """Every row as column -> text, sorted by `key`."""
    texts = ({column.name: cell_text(getattr(row, column.name)) for column in columns} for row in rows)
    full = [{name: unicodedata.normalize("NFKC", text) for name, text in row.items() if text} for row in texts]
    return sorted(full, key=lambda row: row[key])


def cell_text(cell: Cell) -> str:
    """A cell as canonical text: Y/N, ISO dates, decimals without trailing zeros, no surrounding space."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "Y" if cell else "N"
    if isinstance(cell, Decimal):
        text = format(cell, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return cell.isoformat() if isinstance(cell, date) else cell.strip()
