"""A plant of one shift through the real doors: payloads through the decoder into DuckDB, register
as a file.

The shift is 08:00 to 16:00 of 2026-10-12 in Dongguan, a Monday; every value is written by the
minute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from edge_agent.config import load
from edge_agent.ingest import decode
from edge_agent.stores import Rows, Store, WriteBatch, open_store
from tests.support.sites import write

S = 1_000_000_000
MINUTE, HOUR, DAY = 60 * S, 3600 * S, 86_400 * S
T0 = 1_791_763_200 * S
MINUTES = 480
END = T0 + MINUTES * MINUTE

Values = Mapping[str, Any]
#: The columns of the registers in these tests; what a row leaves out is empty.
COLUMNS = [
    "equipment_id",
    "name_zh",
    "category",
    "in_scope",
    "status",
    "workshop",
    "line",
    "process_id",
    "control_class",
    "digital",
    "interface",
    "networked_declared",
    "gateway_device",
    "is_robot",
    "brand_origin",
    "machine_kind",
    "commissioned",
    "retired_on",
    "purchase_cny",
    "nominal_cycle_s",
    "schedule_id",
    "project_id",
]
USUAL = {
    "in_scope": "Y",
    "status": "in_use",
    "workshop": "W1",
    "line": "L1",
    "process_id": "P10",
    "control_class": "cnc",
    "digital": "Y",
    "interface": "modbus_tcp",
    "networked_declared": "Y",
    "is_robot": "N",
    "schedule_id": "day",
    "name_zh": "机床",
    "category": "machining",
}
PROCESSES = (
    "process_id,name_zh,is_key,industry_type,reviewer\nP10,车削,Y,discrete,张\n"
    "P11,铣削,Y,discrete,张\n"
)
CALENDAR = "schedules: {day: {shifts: [{name: day, start: '8:00', end: '16:00'}]}}\n"
_DEVICE = """\
  - id: {id}
    connector: modbus
    url: tcp://127.0.0.1:15020
    every: 1s
    state:
      item: {{tag: run, map: {{0: NotExecuting, 1: Executing, 2: OutOfService}}}}
      mode: {{tag: run, map: {{0: Processing, 1: Processing, 2: Processing}}}}
    tags:
      run: {{address: holding/0}}
      parts_total: {{address: holding/2, type: uint16}}
      parts_scrap: {{address: holding/3}}
      heartbeat: {{address: holding/4}}
"""


def register(*rows: Values) -> str:
    """The text of a register; each row over the usual cells."""
    lines = [
        ",".join(str((USUAL | dict(row)).get(column, "")) for column in COLUMNS) for row in rows
    ]
    return "\n".join([",".join(COLUMNS), *lines]) + "\n"


def plant(
    folder: Path,
    devices: Sequence[str],
    rows: Sequence[Values],
    processes: str = PROCESSES,
    more: str = "",
) -> Path:
    """A configuration with its register, processes and calendar; `more`: further keys of
    `register`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "equipment.csv").write_text(register(*rows), encoding="utf-8")
    (folder / "processes.csv").write_text(processes, encoding="utf-8")
    (folder / "calendar.yaml").write_text(CALENDAR, encoding="utf-8")
    files = "equipment: equipment.csv, processes: processes.csv, calendar: calendar.yaml"
    text = (
        "store: {kind: duckdb, path: store.duckdb, quarantine: quarantine}\noutbox: {path: "
        "outbox}\n"
    )
    text += f"register: {{{files}{more}}}\ndevices:\n" + "".join(
        _DEVICE.format(id=device) for device in devices
    )
    return write(folder, text)


def opened(config: Path) -> closing[Store]:
    """The store of a configuration."""
    site = load(config, secrets=False)
    return closing(open_store(site.store, site.agent.id))


def tell(
    store: Store,
    device: str,
    values: Callable[[int], Values] | None,
    minutes: Sequence[int] = range(MINUTES),
    *,
    good: bool = True,
) -> None:
    """What a device sent at these minutes after T0, and its health rows; without `values` health
    alone."""
    documents = (
        [
            {"v": 1, "device": device, "t": T0 + minute * MINUTE, "values": dict(values(minute))}
            for minute in minutes
        ]
        if values
        else []
    )
    rows = Rows.of(
        [
            decode.data(orjson.loads(orjson.dumps(document)), store.catalogue)
            for document in documents
        ]
    )
    store.catalogue.born({"device": device, "staleness": 90.0, "tags": {}})
    health = [_health(device, T0 + (minute + 1) * MINUTE, good=good) for minute in minutes]
    store.write(WriteBatch(rows, T0 + 2 * DAY, health=health))


def _health(device: str, t: int, *, good: bool) -> dict[str, Any]:
    count = 60 if good else 0
    return {
        "device": device,
        "t": t,
        "period_s": 60.0,
        "scheduled_s": 60.0,
        "covered_s": float(count),
        "due": 60,
        "done": 60,
        "good": count,
        "bad": 60 - count,
        "values": 60,
        "latency_ms": 1.0,
        "latency_max_ms": 1.0,
        "overruns": 0,
        "state": "online" if good else "offline",
        "reason": "",
        "last_good_t": t - S if good else None,
    }


def working(stops: int, scrap: int, heartbeat: bool = True) -> Callable[[int], Values]:
    """It works but for every `stops`-th minute; a part a minute worked, every `scrap`-th of them
    scrap."""

    def values(minute: int) -> Values:
        made = minute - minute // stops
        return {
            "run": 1 if minute % stops else 0,
            "machine_state": 3 if minute % stops else 2,
            "operation_mode": 3,
            "parts_total": made,
            "parts_scrap": made // scrap,
            "heartbeat": minute if heartbeat else 0,
        }

    return values


def constant(_: int) -> Values:
    """A gateway that repeats its cache: running, and always the same."""
    return {
        "run": 1,
        "machine_state": 3,
        "operation_mode": 3,
        "parts_total": 7,
        "parts_scrap": 1,
        "heartbeat": 5,
    }
