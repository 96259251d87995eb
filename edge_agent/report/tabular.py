"""Facts as CSV tables and back again, digit by digit: what an evidence pack holds and a stranger
reads."""

from __future__ import annotations

import csv
import io
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, cast, get_args

from edge_agent.metrics.readings import Number, Readings
from edge_agent.metrics.timemodel import ItemState, OperationMode, Plan
from edge_agent.production.facts import (
    EVENT_KINDS,
    AssessedDevice,
    ConnectionChange,
    CounterEvent,
    CounterReadings,
    DroppedValues,
    InterfaceTag,
    MinuteHealth,
    PlannedChange,
    ReadingQuality,
    Role,
    StateChange,
    StoredSignals,
    WindowFacts,
)

Row = Mapping[str, str]
Cells = Iterable[Sequence[object]]

#: File -> its columns, in order. The README of a pack explains them.
TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "devices": (
        "device",
        "name",
        "line",
        "area",
        "connector",
        "endpoint",
        "unit",
        "security",
        "access",
        "profile",
        "every_s",
        "tags",
        "controller",
        "normalised",
        "business_links",
    ),
    "tags": ("device", "tag", "type", "unit", "low", "high", "business_link", "description"),
    "first_good": ("device", "t_ns"),
    "health_minutes": (
        "device",
        "end_ns",
        "scheduled_s",
        "covered_s",
        "due",
        "done",
        "good",
        "bad",
        "values",
        "overruns",
        "last_good_ns",
    ),
    "states": ("device", "t_ns", "item_state", "operation_mode", "order", "why"),
    "counters": ("device", "role", "tag", "ratio", "modulus", "epoch", "t_ns", "reading"),
    "counter_events": (
        "device",
        "role",
        "tag",
        "t_ns",
        "kind",
        "before",
        "after",
        "amount",
        "readings",
        "basis",
        "counted",
    ),
    "plan": ("schedule", "t_ns", "plan"),
    "lateness": ("device", "late_ms", "messages"),
    "quality": ("device", "readings", "not_good", "out_of_range", "unchanged", "skew_ms"),
    "connections": ("t_ns", "device", "from", "to", "reason"),
    "gaps": ("t_ns", "agent", "stream", "from_ns", "to_ns", "values"),
    "stored": ("device", "last_sample_ns", "last_change_ns"),
}
#: What packs of format 1 do not have: then nobody looked.
_SINCE_LATER: Final = ("stored", "counter_events")
#: Beside the kinds of events: from here on nothing is known, the next reading has not come.
UNKNOWN_SINCE: Final = "unknown_since"

_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+|/0*[1-9]\d*)?", re.ASCII)
_LONGEST: Final = 400
#: A text that begins with one of these could be taken for a formula by a spreadsheet.
_RISKY: Final = ("=", "+", "-", "@", "\t", "\r")
_ORDERS: Final = {None: "", True: "Y", False: "N"}


def write(columns: Sequence[str], rows: Cells) -> bytes:
    """CSV, UTF-8 with BOM; None is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
    return text.getvalue().encode("utf-8-sig")


def harmless(cell: object) -> object:
    """A cell for a spreadsheet: a text that it would take for a formula begins with an
    apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_RISKY) else cell


def for_people(columns: Sequence[str], rows: Cells) -> bytes:
    """`write` for a table that people open and no program reads back."""
    return write(columns, ([harmless(cell) for cell in row] for row in rows))


def read(content: bytes) -> list[dict[str, str]]:
    """The rows of a CSV file. Raises ValueError for one that is none."""
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a row has more or fewer cells than the header")
    return rows


def digits(number: Fraction) -> str:
    """A fraction of decimal digits as these digits; any other as `a/b`."""
    if number.denominator == 1:
        return str(number.numerator)
    shift = 0
    scaled = number
    while scaled.denominator != 1 and shift < 40:
        scaled *= 10
        shift += 1
    if scaled.denominator != 1:
        return str(number)
    # a Decimal would round to its context's 28 digits
    figures = str(abs(scaled.numerator)).rjust(shift + 1, "0")
    return f"{'-' if number < 0 else ''}{figures[:-shift]}.{figures[-shift:]}"


def number(text: str) -> Fraction:
    """What `digits` wrote. Raises ValueError for anything else: `1e999999999` would be a billion
    digits."""
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        raise ValueError(f"no number: {text[:40]}")
    return Fraction(text)


def tables(facts: WindowFacts) -> Iterator[tuple[str, bytes]]:
    """(name, CSV) of every table."""
    for name, columns in TABLES.items():
        yield name, write(columns, _ROWS[name](facts))


def _devices(facts: WindowFacts) -> Cells:
    for each in facts.devices.values():
        flags = ["Y" if flag else "N" for flag in (each.controller, each.normalised)]
        yield [
            each.id,
            each.name,
            each.line,
            each.area,
            each.connector,
            each.endpoint,
            each.unit,
            each.security,
            each.access,
            each.profile,
            each.every_s,
            each.tags,
            *flags,
            ";".join(each.business_links),
        ]


def _minutes(facts: WindowFacts) -> Cells:
    for device, minutes in facts.minutes.items():
        for end, scheduled, covered, *counts, last_good in minutes.rows.tolist():
            told = None if last_good < 0 else last_good
            yield [device, end, _seconds(scheduled), _seconds(covered), *counts, told]


def _seconds(ms: int) -> str:
    return digits(Fraction(ms, 1000))


def _counters(facts: WindowFacts) -> Cells:
    for each in facts.counters:
        head = (each.device, each.role, each.tag)
        ratio = digits(each.ratio)
        begins = [t for t, _ in each.epochs]
        moduli = [
            None if modulus is None else digits(Fraction(modulus)) for modulus in _moduli(each)
        ]
        readings = each.readings.texts() if isinstance(each.readings, Readings) else None
        for t, reading in readings or ((t, digits(number)) for t, number in each.readings):
            epoch = bisect_right(begins, t)
            yield [*head, ratio, moduli[epoch], epoch, t, reading]


def _moduli(counter: CounterReadings) -> list[Number | None]:
    return [counter.modulus, *(modulus for _, modulus in counter.epochs)]


def _counter_events(facts: WindowFacts) -> Cells:
    """What was seen besides counting on; where the next reading has not come, since when."""
    for each in facts.counters:
        head = (each.device, each.role, each.tag)
        for event in each.events:
            exact = (
                digits(Fraction(number)) for number in (event.before, event.after, event.amount)
            )
            yield [
                *head,
                event.t,
                event.kind,
                *exact,
                event.readings,
                event.basis,
                _ORDERS[event.counted],
            ]
        if each.unknown_since is not None:
            yield [*head, each.unknown_since, UNKNOWN_SINCE, "", "", "", "", "", ""]


_ROWS: Final[Mapping[str, Callable[[WindowFacts], Cells]]] = {
    "devices": _devices,
    "tags": lambda facts: (
        [
            tag.device,
            tag.tag,
            tag.type,
            tag.unit,
            tag.low,
            tag.high,
            tag.business_link,
            tag.description,
        ]
        for tag in facts.tags
    ),
    "first_good": lambda facts: facts.first_good.items(),
    "health_minutes": _minutes,
    "states": lambda facts: (
        [device, row.t, row.item, row.mode, _ORDERS[row.order], row.why]
        for device, rows in facts.states.items()
        for row in rows
    ),
    "counters": _counters,
    "counter_events": _counter_events,
    "plan": lambda facts: ([row.schedule, row.t, row.plan] for row in facts.plan),
    "lateness": lambda facts: (
        [device, late, number]
        for device, counts in facts.lateness.items()
        for late, number in counts.items()
    ),
    "quality": lambda facts: (
        [device, row.readings, row.not_good, row.out_of_range, ";".join(row.unchanged), row.skew_ms]
        for device, row in facts.quality.items()
    ),
    "connections": lambda facts: (
        [row.t, row.device, row.before, row.after, row.reason] for row in facts.connections
    ),
    "gaps": lambda facts: (
        [row.t, row.agent, row.stream, row.from_t, row.to_t, row.values] for row in facts.gaps
    ),
    "stored": lambda facts: (
        [device, row.last_sample, row.last_change] for device, row in facts.stored.items()
    ),
}


def facts(start: int, end: int, files: Mapping[str, bytes]) -> WindowFacts:
    """The facts again. Raises ValueError or KeyError for tables that are not as `tables` writes
    them."""
    found = {
        name: read(files[name]) for name in TABLES if name in files or name not in _SINCE_LATER
    }
    return WindowFacts(
        start,
        end,
        {row["device"]: _device(row) for row in found["devices"]},
        tags=[InterfaceTag(*row.values()) for row in found["tags"]],
        first_good={row["device"]: int(row["t_ns"]) for row in found["first_good"]},
        minutes=_read_minutes(found["health_minutes"]),
        states=_by_device(found["states"], _state),
        counters=_read_counters(found["counters"], found.get("counter_events", [])),
        lateness=_read_lateness(found["lateness"]),
        quality={row["device"]: _quality(row) for row in found["quality"]},
        connections=[
            ConnectionChange(int(r["t_ns"]), r["device"], r["from"], r["to"], r["reason"])
            for r in found["connections"]
        ],
        gaps=[_gap(row) for row in found["gaps"]],
        plan=[
            PlannedChange(row["schedule"], int(row["t_ns"]), Plan(row["plan"]).value)
            for row in found["plan"]
        ],
        stored={row["device"]: _stored(row) for row in found.get("stored", ())},
    )


def _stored(row: Row) -> StoredSignals:
    sample, change = (int(row[name]) if row[name] else None for name in TABLES["stored"][1:])
    return StoredSignals(sample, change)


def _device(row: Row) -> AssessedDevice:
    texts = {name: row[name] for name in TABLES["devices"][1:11]}
    return AssessedDevice(
        row["device"],
        **texts,
        tags=int(row["tags"]),
        controller=row["controller"] == "Y",
        normalised=row["normalised"] == "Y",
        business_links=tuple(link for link in row["business_links"].split(";") if link),
    )


def _by_device(rows: Iterable[Row], one: Callable[[Row], Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row["device"], []).append(one(row))
    return found


def _read_minutes(rows: Iterable[Row]) -> dict[str, MinuteHealth]:
    found: dict[str, list[list[int]]] = {}
    for row in rows:
        seconds = [number(row[name]) * 1000 for name in ("scheduled_s", "covered_s")]
        if any(ms.denominator != 1 for ms in seconds):
            raise ValueError("seconds have at most three decimals")
        counts = [int(row[name]) for name in ("due", "done", "good", "bad", "values", "overruns")]
        last_good = int(row["last_good_ns"]) if row["last_good_ns"] else -1
        found.setdefault(row["device"], []).append(
            [int(row["end_ns"]), *map(int, seconds), *counts, last_good]
        )
    return {device: MinuteHealth(minutes) for device, minutes in found.items()}


def _state(row: Row) -> StateChange:
    order = {word: known for known, word in _ORDERS.items()}
    return StateChange(
        int(row["t_ns"]),
        ItemState(int(row["item_state"])),
        OperationMode(int(row["operation_mode"])),
        order[row["order"]],
        row["why"],
    )


def _read_counters(table: Iterable[Row], events: Iterable[Row]) -> list[CounterReadings]:
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in table:
        found.setdefault((row["device"], row["role"], row["tag"]), []).append(row)
    seen: dict[tuple[str, str, str], list[Row]] = {}
    for row in events:
        seen.setdefault((row["device"], row["role"], row["tag"]), []).append(row)
    return [_read_counter(*key, rows, seen.get(key, ())) for key, rows in found.items()]


def _read_counter(
    device: str, role: str, tag: str, rows: Sequence[Row], seen: Iterable[Row]
) -> CounterReadings:
    if role not in get_args(Role):
        raise ValueError(f"no such role: {role}")
    epochs: dict[str, tuple[int, Number | None]] = {}
    for row in rows:
        epochs.setdefault(
            row.get("epoch", "0"),
            (int(row["t_ns"]), number(row["modulus"]) if row["modulus"] else None),
        )
    (_, modulus), *later = epochs.values()
    if len({row["ratio"] for row in rows}) > 1:
        raise ValueError(f"two ratios of one counter: {device} {tag}")
    unknown = [int(row["t_ns"]) for row in seen if row["kind"] == UNKNOWN_SINCE]
    return CounterReadings(
        device,
        cast("Role", role),
        tag,
        number(rows[0]["ratio"]),
        modulus,
        _column([(int(row["t_ns"]), number(row["reading"])) for row in rows]),
        tuple(later),
        tuple(_counter_event(row) for row in seen if row["kind"] != UNKNOWN_SINCE),
        unknown[0] if unknown else None,
    )


def _counter_event(row: Row) -> CounterEvent:
    if row["kind"] not in EVENT_KINDS:
        raise ValueError(f"no such event: {row['kind']}")
    return CounterEvent(
        int(row["t_ns"]),
        cast("Any", row["kind"]),
        number(row["before"]),
        number(row["after"]),
        number(row["amount"]),
        int(row["readings"]),
        row["basis"],
        {word: known for known, word in _ORDERS.items()}[row["counted"]],
    )


def _column(rows: Sequence[tuple[int, Fraction]]) -> Readings:
    return Readings.written([t for t, _ in rows], [reading for _, reading in rows])


def _read_lateness(rows: Iterable[Row]) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for row in rows:
        found.setdefault(row["device"], {})[int(row["late_ms"])] = int(row["messages"])
    return found


def _quality(row: Row) -> ReadingQuality:
    unchanged = tuple(tag for tag in row["unchanged"].split(";") if tag)
    skew = int(row["skew_ms"]) if row["skew_ms"] else None
    return ReadingQuality(
        int(row["readings"]), int(row["not_good"]), int(row["out_of_range"]), unchanged, skew
    )


def _gap(row: Row) -> DroppedValues:
    return DroppedValues(
        int(row["t_ns"]),
        row["agent"],
        row["stream"],
        int(row["from_ns"]),
        int(row["to_ns"]),
        int(row["values"]),
    )
