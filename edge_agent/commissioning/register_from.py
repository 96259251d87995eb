"""A first equipment register from the configured devices: what the configuration knows, and empty
cells for the rest.

What a count rests on (关键工序, 数控类型, 纳入统计, 联网申报 ...) is a person's statement, and is
never inferred.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from edge_agent.commissioning.lists.columns import Language
from edge_agent.commissioning.lists.writing import Cell, csv_bytes, fill, harmless
from edge_agent.config.models import DeviceCommon
from edge_agent.register.columns import EQUIPMENT, PROCESSES, RegisterColumn
from edge_agent.register.sheet import SHEET_NAMES

_INTERFACES: Final = {
    "tcp": "modbus_tcp", "udp": "modbus_tcp", "tls": "modbus_tcp",
    "rtu-tcp": "modbus_rtu", "rtu": "modbus_rtu", "ascii": "modbus_rtu",
}  # fmt: skip

Rows = list[dict[str, str]]


def rows_from(devices: Iterable[DeviceCommon]) -> tuple[Rows, Rows]:
    """(equipment, processes): a machine for each device, a process for each work cell of a line."""
    equipment: Rows = []
    processes: dict[tuple[str, str], str] = {}
    for device in devices:
        row = {
            "equipment_id": device.id,
            "name_zh": device.name,
            "line": device.line,
            "gateway_device": device.id,
        }
        if not device.derives_state:  # else the interface is that of a module beside the machine
            row["interface"] = _interface(device)
        if device.cell:
            row["process_id"] = processes.setdefault(
                (device.line, device.cell), f"P{len(processes) + 1:02}"
            )
        equipment.append({key: value for key, value in row.items() if value})
    return equipment, [
        {"process_id": number, "name_zh": cell} for (_, cell), number in processes.items()
    ]


def _interface(device: DeviceCommon) -> str:
    """How the device is read, in the register's words; empty where there is none."""
    if hasattr(device, "endpoint"):
        return "opc_ua"
    return _INTERFACES.get(str(getattr(device, "url", "")).partition(":")[0], "")


def table(rows: Rows, columns: Sequence[RegisterColumn], language: Language) -> list[list[Cell]]:
    """Head and rows."""
    head: list[Cell] = [column.zh if language == "zh" else column.name for column in columns]
    return [
        head,
        *(
            [harmless(_word(row.get(column.name), column, language)) for column in columns]
            for row in rows
        ),
    ]


def _word(text: str | None, column: RegisterColumn, language: Language) -> str | None:
    also: Mapping[str, tuple[str, ...]] = column.words
    return also[text][0] if text is not None and language == "zh" and text in also else text


def to_csv(
    rows: Rows, columns: Sequence[RegisterColumn], language: Language, encoding: str
) -> bytes:
    """CSV bytes. Raises FindingsError for a character that the encoding does not have."""
    return csv_bytes(table(rows, columns, language), encoding)


def to_xlsx(equipment: Rows, processes: Rows, language: Language) -> bytes:
    """A workbook with both sheets."""
    import openpyxl  # heavy, and only XLSX needs it

    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for which, rows, columns in (
        ("equipment", equipment, EQUIPMENT),
        ("processes", processes, PROCESSES),
    ):
        fill(book.create_sheet(SHEET_NAMES[which][0]), table(rows, columns, language))
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def to_fill_in(columns: Sequence[RegisterColumn] = (*EQUIPMENT, *PROCESSES)) -> list[str]:
    """The columns that a person must fill in, in Chinese: those needed that no configuration
    knows."""
    known = {"equipment_id", "interface", "process_id"}
    return list(
        dict.fromkeys(
            column.zh for column in columns if column.required and column.name not in known
        )
    )
