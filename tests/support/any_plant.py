"""Plants of all kinds for the replay tests, drawn from a seed: odd cases come more often than in
life."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from edge_agent.metrics.live import StoredSignals
from edge_agent.production.facts import (
    BEFORE_NS,
    AssessedDevice,
    CounterReadings,
    MinuteHealth,
    PlannedChange,
    Role,
    StateChange,
    WindowFacts,
)
from edge_agent.production.figures import FigureOptions, plant_of
from edge_agent.production.plant import Plant
from edge_agent.register.model import Equipment, Register
from tests.support.report_plant import DAY, MINUTE, register

SECOND: Final = 10**9
END: Final = 1_777_881_600_000_000_000
START: Final = END - 480 * MINUTE
_ROLES: Final[tuple[Role, ...]] = ("produced", "good", "scrap", "energy", "integrated_power")
_DEVICES: Final = tuple(f"d{number:02}" for number in range(24))


def any_plant(seed: int) -> tuple[Plant, FigureOptions]:
    """A plant and the options it is computed with; of one seed always the same."""
    chance = Random(seed)
    options = FigureOptions(
        chance.random() < 0.5,
        Fraction(chance.choice(["0.1229", "0.3"])),
        ZoneInfo(chance.choice(["UTC", "Asia/Shanghai", "America/New_York"])),
        Fraction(chance.choice([1, 8, 24]) * 3600),
    )
    facts = replace(_facts(chance), timezone=str(options.zone))
    return plant_of(facts, _register(chance), options), options


def _register(chance: Random) -> Register:
    known = register()
    processes = tuple(
        replace(row, industry_type=chance.choice(["discrete", "process"]))
        for row in known.processes
    )
    rows = [_row(chance, row) for row in known.equipment]
    priced = chance.random() < 0.5
    return Register(
        tuple(replace(row, purchase_cny=Decimal(1000)) if priced else row for row in rows),
        processes,
    )


def _row(chance: Random, row: Equipment) -> Equipment:
    meter = row.equipment_id in ("EQ-018", "EQ-021")
    last = {"EQ-001": "L1", "EQ-002": "L2"}.get(row.equipment_id)
    mine = f"d{int(row.equipment_id[3:]):02}"
    own = [mine] * 8 + [f"{mine};d05", "", "d00;d01", "elsewhere", chance.choice(_DEVICES)]
    return replace(
        row,
        category="meter"
        if meter
        else "inspection"
        if last
        else chance.choice(["machining"] * 30 + ["inspection"]),
        line=last or chance.choice(["L1", "L2", ""]),
        status=chance.choice(["in_use"] * 7 + ["mothballed", "scrapped"]),
        commissioned=_day(chance) if chance.random() < 0.2 else None,
        retired_on=_day(chance) if chance.random() < 0.2 else None,
        process_id=chance.choice(
            [row.process_id] * 5 + [f"{row.process_id};P30", "P20+P70", "P10、P99", "P10 P40"]
        ),
        machine_kind=chance.choice(["", "", "smt_placer", "conveyor", "industrial_robot"]),
        digital=chance.random() < 0.7,
        control_class=chance.choice(["cnc", "robot", "plc", "manual"]),
        interface=chance.choice(["opc_ua", "modbus_tcp", "focas", "none"]),
        networked_declared=chance.random() < 0.8,
        is_robot=chance.random() < 0.3,
        brand_origin=chance.choice(["imported", "domestic", "local"]),
        gateway_device=chance.choice(_DEVICES[-8:])
        if meter
        else own[0]
        if last
        else chance.choice(own),
        meter_id=chance.choice(["", *_DEVICES[-8:]]),
        nominal_cycle_s=chance.choice([None, Decimal(60), Decimal("7.5")]),
        schedule_id=chance.choice(["A", "A", "C", "C", "B", ""]),
    )


def _day(chance: Random) -> date:
    """A day near the window, which lies in 2026-05-04 of two zones and has a midnight of the third
    inside."""
    return date(2026, 5, 4) + timedelta(days=chance.randrange(-2, 3))


def _facts(chance: Random) -> WindowFacts:
    first = {
        device: END - chance.choice([-MINUTE, 2 * 60 * MINUTE, 3 * DAY, 90 * DAY])
        for device in _DEVICES[:21]
    }
    return WindowFacts(
        START,
        END,
        {device: _device(chance, device) for device in _DEVICES},
        first_good=first,
        minutes={device: _minutes(chance) for device in _DEVICES[:22]},
        states={device: _states(chance) for device in _DEVICES if chance.random() < 0.8},
        counters=[
            _counter(chance, device, role)
            for device in _DEVICES
            for role in _ROLES
            if chance.random() < 0.7
        ],
        lateness={
            device: {chance.randrange(-50, 900): chance.randrange(1, 9) for _ in range(9)}
            for device in _DEVICES
        }
        if chance.random() < 0.9
        else {},
        plan=_plan(chance) if chance.random() < 0.8 else (),
        stored={device: _stored(chance) for device in _DEVICES if chance.random() < 0.8},
    )


def _stored(chance: Random) -> StoredSignals:
    sample = chance.choice([END - MINUTE] * 7 + [None])
    change = END - chance.choice([MINUTE, 3 * 60 * MINUTE, 9 * 60 * MINUTE, 3 * DAY])
    return StoredSignals(sample, None if sample is None or chance.random() < 0.1 else change)


def _device(chance: Random, device: str) -> AssessedDevice:
    links = (
        ()
        if chance.random() < 0.7
        else tuple(
            chance.sample(
                ["设备管理", "能耗管理", "生产管控", "采购管理", "其他"], chance.randrange(3)
            )
        )
    )
    return AssessedDevice(device, normalised=chance.random() < 0.7, business_links=links)


def _minutes(chance: Random) -> MinuteHealth:
    """Few rows; those before the window stand for days of scheduled and covered time."""
    share, rows = chance.choice([0.5, 0.89, 0.95, 1]), []
    silent = END - chance.choice([-1, -1, -1, 8]) * DAY
    ends = {END - chance.randrange(31 * 24 * 60) * MINUTE for _ in range(20)}
    for end in sorted(ends | {END - chance.randrange(480) * MINUTE for _ in range(20)}):
        scheduled = chance.randrange(1, 4) * 86_400_000 if end <= START else 60_000
        last = chance.choice([-1, end - MINUTE // 2, end - 8 * DAY]) if end < silent else -1
        good, bad = chance.randrange(90), chance.randrange(9)
        rows.append([end, scheduled, int(scheduled * share), 9, 9, good, bad, good + bad, 0, last])
    return MinuteHealth(rows)


def _states(chance: Random) -> list[StateChange]:
    """Mostly at work, with stops about as long as what makes one a failure."""
    orders, unseen = chance.random() < 0.7, chance.random() < 0.1
    rows, t = [], START - BEFORE_NS
    while t < END:
        item, mode = chance.choice([0, 1, 1, 2, 3, 3, 3]), chance.choice([0, 1, 2, 3, 3, 3])
        order = chance.random() < 0.8 if orders else None
        rows.append(StateChange(t, 0 if unseen else item, mode, order))
        t += chance.choice([9, 29, 30, 31, 600, 3600]) * SECOND
    return rows


def _counter(chance: Random, device: str, role: Role) -> CounterReadings:
    """It rises, restarts, breaks, rolls over; some readings are told twice."""
    modulus, reading, t, readings = chance.choice([None, 1 << 16]), 65_000, START - 7 * MINUTE, []
    while t < END + 9 * MINUTE:
        readings.append((t, Fraction(reading, 4 if role == "energy" else 1)))
        reading = chance.choice(
            [reading + chance.choice([60, 300, 6000])] * 8 + [0, reading * 2 // 3]
        )
        reading = reading % (modulus or 1 << 40)
        t += chance.choice([0, 1, 7, 13, 40, chance.randrange(50)]) * MINUTE
    ratio = (
        Fraction(1)
        if role in ("produced", "good", "scrap")
        else chance.choice([Fraction(40), Fraction(1, 1000)])
    )
    return CounterReadings(device, role, role, ratio, modulus, tuple(readings))


def _plan(chance: Random) -> list[PlannedChange]:
    """Schedules A and C are drawn; B is off all along; machines without a schedule have none of
    it."""
    rows = [PlannedChange("B", END - 40 * DAY, "off")]
    for schedule in "AC":
        t = END - chance.choice([20, 40]) * DAY
        while t < END:
            rows.append(
                PlannedChange(
                    schedule, t, chance.choice(["shift", "shift", "stop", "maintenance", "off"])
                )
            )
            t += chance.choice([1, 30, 600]) * MINUTE if t > END - 2 * DAY else 600 * MINUTE
    return rows
