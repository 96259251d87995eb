"""The equipment register as a CSV file: findings in both languages, or a register that survives
being written again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from edge_agent.errors import Finding, RegisterError
from edge_agent.register.columns import EQUIPMENT, PROCESSES
from edge_agent.register.exporting import to_csv
from edge_agent.register.importing import Inspection, inspect
from edge_agent.register.model import Equipment, Process, Register
from fuzz.target import FuzzInput, FuzzTarget, demand, rewritten

_MACHINES: Final = (
    "equipment_id,in_scope,status,control_class,digital,interface,networked_declared,is_robot,"
)
_OPTIONAL: Final = (
    "process_id,gateway_device,commissioned,purchase_cny,rated_power_kw,nominal_cycle_s,remark\n"
)
_STEPS: Final = "process_id,name_zh,is_key,industry_type\n"
_DEVICES: Final = frozenset({"lathe01", "m2"})


def register(data: bytes) -> None:
    """The first byte says what of both files is given, the second how long the first of them is."""
    feed = FuzzInput(data)
    form, cut = feed.number(8), feed.number(256)
    machines, steps = feed.take(cut), feed.rest()
    if form & 1:
        machines = (_MACHINES + _OPTIONAL).encode() + machines
    if form & 2:
        steps = _STEPS.encode() + steps
    equipment = rewritten("register.csv", machines)
    processes = rewritten("processes.csv", steps) if form & 4 else None
    found = _inspected(equipment, processes)
    if found is None or found.register is None:
        return
    again = _inspected(*_written(found.register, bool(processes)))
    demand(
        again is not None and again.register is not None, "not read again:", found.register, again
    )
    if again is not None and again.register is not None:
        demand(
            again.register.version == found.register.version,
            "altered:",
            found.register,
            again.register,
        )


def _inspected(equipment: Path, processes: Path | None) -> Inspection | None:
    try:
        found = inspect(equipment, processes, _DEVICES)
    except RegisterError as error:
        _whole(error.findings)
        demand(bool(error.findings), "refused without a finding")
        return None
    _whole((*found.errors, *found.notes))
    demand(
        (found.register is None) == bool(found.errors),
        "errors",
        found.errors,
        "and",
        found.register,
    )
    return found


def _whole(findings: Iterable[Finding]) -> None:
    demand(all(f.code and f.zh and f.en for f in findings), "half a finding:", findings)


def _written(known: Register, with_steps: bool) -> tuple[Path, Path | None]:
    machines = rewritten("register.csv", to_csv(known.equipment, EQUIPMENT))
    return machines, rewritten(
        "processes.csv", to_csv(known.processes, PROCESSES)
    ) if with_steps else None


def _seeds() -> Iterable[bytes]:
    row = (
        "EQ-1,Y,in_use,cnc,是,modbus_tcp,N,否,P10,lathe01;m2,2016-05-01,168000,7.5,60,=1+1\n"
    ).encode()
    other = 'EQ-2,√,在用,机器人,1,OPC UA,0,x,P9,,2016年5月1日,1E+99,nan,-1,"a\n""b"\n'.encode()
    step = "P10,车削,Y,discrete\n".encode()
    yield bytes((7, len(row))) + row + step
    yield bytes((7, len(row + other))) + row + other + step * 2
    yield bytes((3, len(row))) + row
    known = Register((Equipment("EQ-1", remark="x"),), (Process("P1", is_key=True),))
    for encoding in ("gb18030", "utf-16"):
        text = to_csv(known.equipment[:1], EQUIPMENT[:8], "zh", encoding)
        yield bytes((0, len(text))) + text
    yield bytes((0, 9)) + b"\xd0\xcf\x11\xe0PK\x03\x04,"
    yield bytes((1, 4)) + b"\xff\xfe,\n"


_WORDS: Final = (
    "设备编号 纳入统计 是 否 在用 报废 数控 无 Y N in_use cnc opc_ua 1E+99 2016-05-01 EQ-1 P10 "
    "lathe01 m2"
)

TARGETS = (
    FuzzTarget(
        "register",
        register,
        _seeds,
        15_000,
        words=tuple(w.encode() for w in _WORDS.split()),
        longest=400,
        full=100_000,
    ),
)
