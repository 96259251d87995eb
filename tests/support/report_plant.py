"""Facts for report tests: the golden factory with one machine that works the golden shift."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from edge_agent.production.facts import (
    BEFORE_NS,
    AssessedDevice,
    CounterReadings,
    MinuteHealth,
    PlannedChange,
    StateChange,
    WindowFacts,
)
from edge_agent.production.figures import FigureOptions, plant_of
from edge_agent.production.plant import Plant
from edge_agent.register.importing import load
from edge_agent.register.model import Equipment, Register

GOLDEN = Path(__file__).parents[1] / "cases" / "golden_factory"
MINUTE = 60_000_000_000
DAY = 86_400_000_000_000
#: 2026-05-04 08:00 in Dongguan, a full minute.
START = 1_777_852_800_000_000_000
END = START + 480 * MINUTE
#: When its planned maintenance begins.
UPKEEP = START + 450 * MINUTE
#: The planned working time of the 30 days up to its end, seconds.
SCHEDULED_S = (UPKEEP - START + (START - BEFORE_NS) - (END - 30 * DAY)) // 10**9

_ITEMS = {"NotAvailable": 0, "OutOfService": 1, "NotExecuting": 2, "Executing": 3}
_MODES = {"None": 0, "Maintenance": 1, "Setup": 2, "Processing": 3}


def register() -> Register:
    """The golden factory; EQ-001 gets the golden shift's nominal cycle, one machine a project with
    a price."""
    found, _ = load(GOLDEN / "equipment_register.csv", GOLDEN / "processes.csv")
    return with_row(found, "EQ-001", nominal_cycle_s=Decimal(60))


def with_row(known: Register, key: str, **cells: Any) -> Register:
    """The register with other cells in one row."""
    rows = tuple(
        replace(row, **cells) if row.equipment_id == key else row for row in known.equipment
    )
    return Register(rows, known.processes)


def only(known: Register, *rows: Equipment) -> Register:
    """A register of these rows alone."""
    return Register(rows, known.processes)


def golden_shift() -> dict[str, Any]:
    """The hand-checked shift."""
    document: dict[str, Any] = json.loads((GOLDEN / "oee_golden.json").read_text(encoding="utf-8"))
    return document


def shift_states() -> tuple[StateChange, ...]:
    """Its segments as states, from a day before the window on (not known)."""
    rows = [StateChange(START - BEFORE_NS, 0, 0, True, "no-coverage")]
    for begin, _, item, mode, order, *_ in golden_shift()["segments"]:
        rows.append(
            StateChange(
                START + begin * MINUTE, _ITEMS[item], _MODES[mode.split(" ")[0]], order == "order"
            )
        )
    return tuple(rows)


def shift_plan() -> tuple[PlannedChange, ...]:
    """Its calendar: work around the clock until a day off before it; the last half hour is planned
    maintenance."""
    rows = (
        (END - 30 * DAY, "shift"),
        (START - BEFORE_NS, "off"),
        (START, "shift"),
        (UPKEEP, "maintenance"),
    )
    return tuple(PlannedChange("", t, plan) for t, plan in rows)


def shift_counters(device: str = "lathe01") -> list[CounterReadings]:
    """330 parts, 9 of them scrap, over a counter that is set to zero once; and 12.5 kWh. None in
    the maintenance."""
    made = [
        (START, 1000),
        (START + 150 * MINUTE, 1120),
        (START + 200 * MINUTE, 0),
        (UPKEEP, 210),
        (END, 210),
    ]
    scrap = [(START, 7), (UPKEEP, 16), (END, 16)]
    kwh = [(START, Fraction("327136.25")), (END, Fraction("327148.75"))]
    return [
        CounterReadings(
            device,
            "produced",
            "parts_total",
            Fraction(1),
            None,
            tuple((t, Fraction(n)) for t, n in made),
        ),
        CounterReadings(
            device,
            "scrap",
            "parts_scrap",
            Fraction(1),
            None,
            tuple((t, Fraction(n)) for t, n in scrap),
        ),
        CounterReadings(device, "energy", "import", Fraction(1), None, tuple(kwh)),
    ]


def facts(**changes: Any) -> WindowFacts:
    """Live facts as golden/live.json has them: one row per device says what 30 days of minutes
    would add up to.

    It ends with the shift's last minute of work."""
    live = json.loads((GOLDEN / "live.json").read_text(encoding="utf-8"), parse_float=Decimal)
    devices, first, minutes = {}, {}, {}
    for name, fact in live.items():
        devices[name] = AssessedDevice(
            name,
            f"设备 {name}",
            "ML1",
            connector="modbus",
            endpoint="tcp://10.0.0.1:502",
            tags=3,
            controller=True,
            normalised=True,
            business_links=("设备管理",),
        )
        if fact.get("last_good_age_h") is None:
            continue
        covered = Fraction(fact["coverage"]) * SCHEDULED_S
        age = int(Fraction(fact["last_good_age_h"]) * 3_600_000_000_000)
        first[name] = END - 30 * DAY
        minutes[name] = MinuteHealth(
            [[UPKEEP, 1000 * SCHEDULED_S, int(1000 * covered), 10, 10, 90, 10, 100, 0, END - age]]
        )
    known = WindowFacts(
        START,
        END,
        devices,
        first_good=first,
        minutes=minutes,
        states={"lathe01": shift_states()},
        counters=shift_counters(),
        lateness={"lathe01": {120: 3, 900: 1}},
        plan=shift_plan(),
    )
    return replace(known, **changes)


def plant(known: Register | None = None, **changes: Any) -> Plant:
    """The golden factory with these facts."""
    return plant_of(facts(**changes), known or register(), FigureOptions())
