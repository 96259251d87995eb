"""Whoever multiplies, adds and splits the figures of any history finds nothing, and no impossible
one stands bare.

Whole histories of two lines with three machines and three meters, through payloads, decoder and
DuckDB, meters exchanged among them, and all that is published of them: machines, lines, the site,
and a report's JSON, HTML, XLSX and CSV.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import openpyxl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_agent.metrics.calendar import Calendar, load_calendar
from edge_agent.metrics.rollup import ALL
from edge_agent.production.figures import FigureOptions, production_figures
from edge_agent.production.plant import Plant
from edge_agent.register.model import Equipment, Register
from edge_agent.report import html, tables
from edge_agent.report.document import ReportSetting, build
from tests.support.count_plant import DAY, DEVICES, HOUR, MINUTE, REGISTER, T0, CountPlant, S
from tests.support.exploration import FREELY, examples

#: From two days before the end of October to two days behind it.
FIRST, MONTH_END, LAST = 18 * DAY, 20 * DAY, 22 * DAY
EVERY: Final = 30 * MINUTE
COUNTERS: Final = (
    ("m1", "parts_total"),
    ("m1", "parts_ng"),
    ("meter", "import"),
    ("m2", "parts_total"),
    ("m2", "parts_ng"),
    ("m2", "import"),
    ("meter-3", "import"),
)
METERS: Final = [place for place, (_, tag) in enumerate(COUNTERS) if tag == "import"]
#: A second line without a meter of its own: its energy is that of its machines, one with a counter,
#: one with a meter.
MORE_DEVICES: Final = """\
  - id: m2
    connector: modbus
    url: tcp://127.0.0.1:3
    every: 1m
    state: {item: [{gives: Executing}], mode: [{gives: Processing}]}
    tags:
      parts_total: {address: holding/0, type: uint16}
      parts_ng: {address: holding/2, type: uint32}
      import: {address: holding/4, type: uint32, unit: kWh}
  - id: meter-3
    connector: modbus
    url: tcp://127.0.0.1:4
    every: 1m
    tags:
      import: {address: holding/0, type: uint32, unit: kWh}
"""
MORE_MACHINES: Final = (
    Equipment("EQ-2", line="L2", gateway_device="m2", nominal_cycle_s=Decimal(60)),
    Equipment("EQ-3", line="L2", meter_id="meter-3"),
)
#: By reading, with a machine of 40 s a part: at most 45 parts, and as many kWh.
STEPS: Final = {"parts_total": 40, "parts_ng": 3, "import": 12}
_NOT_POSSIBLE: Final = re.compile("超出可能范围|not possible")
_SHARE: Final = re.compile(r"(-?[\d,]+\.\d\d)\s*%")
CALENDAR: Final = """\
timezone: {zone}
schedules:
  default:
    shifts: [{{name: day, start: '8:00', end: '20:00'}}, {{name: late, start: '20:00', end: '2:00'}}]
    breaks: [{{start: '12:00', end: '12:30'}}]
"""


@dataclass(frozen=True)
class Trouble:
    """What happens to one counter: `at` is a share of the history, 0 to 1."""

    counter: int
    kind: str
    at: float
    size: int


@dataclass(frozen=True)
class MeterExchange:
    """`at` is a share of the history; the new meter begins at `first`. `noted`: minutes by which
    the note is wrong, None: without readings."""

    counter: int
    at: float
    first: int
    noted: int | None


EXCHANGES = st.lists(
    st.builds(
        MeterExchange,
        counter=st.sampled_from(METERS),
        at=st.floats(0, 1),
        first=st.sampled_from([0, 7, 900, 88_000]),
        noted=st.sampled_from([None, 0, 0, 40, -200]),
    ),
    max_size=3,
)
TROUBLES = st.lists(
    st.builds(
        Trouble,
        counter=st.integers(0, len(COUNTERS) - 1),
        kind=st.sampled_from(
            ["glitch", "zero", "restart", "silence", "jump", "late", "twice", "back"]
        ),
        at=st.floats(0, 1),
        size=st.integers(1, 60),
    ),
    max_size=9,
)
#: Also midnights of the plant and of UTC, the month's end, and moments beside all of them.
CUTS = st.lists(
    st.one_of(
        st.integers(FIRST // S, LAST // S).map(lambda second: second * S),
        st.tuples(
            st.sampled_from(
                [MONTH_END, MONTH_END - DAY, MONTH_END + 8 * HOUR, MONTH_END + 20 * HOUR]
            ),
            st.sampled_from([-1, 0, 1, -EVERY, 7 * S]),
        ).map(sum),
    ),
    min_size=1,
    max_size=4,
    unique=True,
).map(sorted)


def history(
    counter: int,
    steps: Sequence[int],
    troubles: Sequence[Trouble],
    exchanges: Sequence[MeterExchange] = (),
) -> tuple[list[tuple[int, int]], list[str]]:
    """(ns after T0, reading), in the order in which they come; and what persons wrote down of its
    exchanges."""
    tag, count, value = COUNTERS[counter][1], (LAST - FIRST) // EVERY, 1000
    rows = []
    for place in range(count + 1):
        value += steps[place % len(steps)] * STEPS[tag] // 10
        rows.append((FIRST + place * EVERY, value))
    late: list[tuple[int, int]] = []
    notes = []
    for exchange in (exchange for exchange in exchanges if exchange.counter == counter):
        at = min(int(exchange.at * len(rows)), len(rows) - 1)
        t, reading = rows[at]
        rows[at:] = [(later, exchange.first + value - reading) for later, value in rows[at:]]
        written = datetime.fromtimestamp((T0 + t) // S - 600 + 60 * (exchange.noted or 0), UTC)
        readings = "," if exchange.noted is None else f"{reading},{exchange.first}"
        notes.append(f"{COUNTERS[counter][0]},{written:%Y-%m-%d %H:%M:%S}Z,{readings}")
    for each in (each for each in troubles if each.counter == counter and rows):
        at = min(int(each.at * len(rows)), len(rows) - 1)
        t, reading = rows[at]
        if each.kind in ("glitch", "zero"):
            rows[at] = t, 0 if each.kind == "zero" else 65_535 * each.size
        elif each.kind == "restart":
            rows[at:] = [(t, max(0, later - reading)) for t, later in rows[at:]]
        elif each.kind == "jump":
            rows[at:] = [(t, later + 500 * each.size) for t, later in rows[at:]]
        elif each.kind == "back":
            rows[at:] = [(t, max(0, later - each.size)) for t, later in rows[at:]]
        elif each.kind == "silence":
            del rows[at : at + each.size]
        elif each.kind == "late":
            late += rows[at : at + each.size]
            del rows[at : at + each.size]
        else:
            rows[at:at] = rows[at : at + each.size]
    return [*rows, *late], notes


@pytest.mark.timeout(3600 if FREELY else 120)
@settings(max_examples=examples(2), deadline=None)
@example(  # a factor above 100 %, and OEE below
    ([10], [0], [1], [5], [1], [1], [2]), [], [MeterExchange(5, 0.5, 88_000, 40), MeterExchange(2, 0.3, 0, 0)],
    [MONTH_END], "Asia/Shanghai", Decimal(40),
)  # fmt: skip
@given(
    st.tuples(*[st.lists(st.integers(0, 11), min_size=1, max_size=12) for _ in COUNTERS]),
    TROUBLES,
    EXCHANGES,
    CUTS,
    st.sampled_from(["Asia/Shanghai", "Europe/Berlin"]),
    st.sampled_from([Decimal(40), Decimal(200), None]),
)
def test_figures_of_any_history_add_up_multiply_and_say_what_cannot_be(
    steps: tuple[Sequence[int], ...],
    troubles: list[Trouble],
    exchanges: list[MeterExchange],
    cuts: list[int],
    zone: str,
    cycle: Decimal | None,
) -> None:
    machine: Equipment = replace(REGISTER.equipment[0], nominal_cycle_s=cycle)
    with TemporaryDirectory() as folder:
        register = Register((machine, *REGISTER.equipment[1:], *MORE_MACHINES))
        made = CountPlant(Path(folder), register, devices=DEVICES + MORE_DEVICES)
        with closing(made.store):
            (Path(folder) / "calendar.yaml").write_text(CALENDAR.format(zone=zone))
            calendar = load_calendar(Path(folder) / "calendar.yaml")
            histories = [
                history(place, each, troubles, exchanges) for place, each in enumerate(steps)
            ]
            notes = [note for _, written in histories for note in written]
            made.files = {"meters": "\n".join(["device,time,last_old,first_new", *notes]) + "\n"}
            made.born(FIRST)
            for number, device in enumerate(("m1", "m2")):
                states = [
                    (t, 3 if (place + number) % 5 else 2)
                    for place, t in enumerate(range(FIRST, LAST, HOUR))
                ]
                made.write(device, "machine_state", states)
                made.write(device, "operation_mode", [(t, 3) for t, _ in states])
                made.alive(device, FIRST, LAST)
            for (device, tag), (readings, _) in zip(COUNTERS, histories, strict=True):
                made.write(device, tag, readings)
            check_sums(made, calendar, [FIRST, *cuts, LAST])
            for window in [
                (FIRST, LAST),
                (cuts[0], cuts[0] + 12 * HOUR),
                (MONTH_END - 12 * HOUR, MONTH_END),
            ]:
                check_window(made, calendar, *window)


def check_sums(made: CountPlant, calendar: Calendar, edges: list[int]) -> None:
    """Every sum of the whole is exactly those of its parts."""
    whole = summed(made, calendar, edges[0], edges[-1])
    parts = [summed(made, calendar, *pair) for pair in pairwise(edges) if pair[0] < pair[1]]
    for name, amount in whole.items():
        assert sum(part.get(name, Fraction(0)) for part in parts) == amount, name


def summed(made: CountPlant, calendar: Calendar, start: int, end: int) -> dict[str, Fraction]:
    plant = made.plant(start, end, calendar)
    found = {}
    for counter in plant.facts.counters:
        counted = plant.counted(counter.device, counter.role)
        if counted is None:
            assert counter.unknown_since is not None, "silent since before the window"
            continue
        found[f"{counter.device}/{counter.tag}"] = counted.between(
            plant.facts.start, plant.facts.end
        )
    for each in plant.working:
        if each.production is not None and each.production.whole_pq is not None:
            found[f"{each.id} parts"] = each.production.whole_pq
            found[f"{each.id} busy"] = each.production.pbt
    for line in plant.lines:
        used, _ = plant.line_energy(line)
        if used is not None:
            found[line] = used.between(plant.facts.start, plant.facts.end)
    return found


def check_window(made: CountPlant, calendar: Calendar, start: int, end: int) -> None:
    """What the service says of a window, and a report of it."""
    start, end = start // MINUTE * MINUTE, end // MINUTE * MINUTE
    document = made.document(start, end, calendar)
    scopes = [*document["machines"].values(), *document["lines"].values(), document["site"]]
    for scope in scopes:
        check_row(scope["results"])
        for metric, result in scope["results"].items():
            check_range(metric, result)
    plant = made.plant(start, end, calendar)
    check_levels(plant)
    setting = ReportSetting(
        "health-check",
        "p",
        "e",
        "s",
        "ipc-01",
        FigureOptions(),
        {},
        timezone="UTC",
        issued_ns=T0 + LAST,
    )
    report = build(plant, setting)
    for figure in report["figures"]:
        check_range(figure["key"], figure)
    for line in printed(report):
        shares = [float(text.replace(",", "")) for text in _SHARE.findall(line)]
        assert all(0 <= share <= 100 for share in shares) or _NOT_POSSIBLE.search(line), line
    check_cells(report)


def check_levels(plant: Plant) -> None:
    """The sums of a line, a workshop and the site are exactly those of their machines; the site's
    energy is that of its lines, and that of a line without a meter its machines'."""
    found = production_figures(plant, FigureOptions())
    for key, result in found.items():
        metric, _, scope = key.partition("@")
        if metric in ("M-12", "M-15", "M-18", "M-19") or scope.startswith("EQ-"):
            continue
        for part in ("numerator", "denominator"):
            own = [
                getattr(found[f"{ALL.get(metric, metric)}@{each}"], part)
                for each in result.numerator_ids
            ]
            assert (sum(own) if own else None) == getattr(result, part), (key, part)
    lines = [found[f"M-19@line:{line}"].numerator for line in plant.lines]
    known = [kgce for kgce in lines if kgce is not None]
    assert found["M-19"].numerator == (sum(known) if known else None)
    window = plant.facts.start, plant.facts.end
    used, _ = plant.line_energy("L2")
    machines = [
        each.energy.between(*window)
        for each in plant.working
        if each.equipment.line == "L2" and each.energy
    ]
    assert (None if used is None else used.between(*window)) == (
        sum(machines) if machines else None
    )


def check_row(results: Mapping[str, Any]) -> None:
    """M-14 = M-11 x M-13 x M-12, exactly and as it is printed."""
    row = [results.get(metric) for metric in ("M-14", "M-11", "M-13", "M-12")]
    if any(each is None or each["value"] is None for each in row):
        return
    oee, *factors = (Fraction(each["value_exact"]) for each in row)
    assert oee == factors[0] * factors[1] * factors[2]
    shown = [round(100 * float(each), 2) for each in (oee, *factors)]
    most = (
        0.005
        + 0.005 * sum(shown[1] * shown[2] * shown[3] / each for each in shown[1:] if each) / 10_000
        + 1e-4
    )
    assert abs(shown[0] - shown[1] * shown[2] * shown[3] / 10_000) <= most


def check_range(name: str, figure: Mapping[str, Any]) -> None:
    value = figure["value"]
    if value is None:
        assert figure["reason"] is not None, name
    elif value < 0 or (figure["unit"] == "1" and value > 1):
        assert any(_NOT_POSSIBLE.search(note["en"]) for note in figure["notes"]), (name, value)


def printed(report: Mapping[str, Any]) -> Iterator[str]:
    """The rows of the page and of the tables of text."""
    page = html.render(report, "both")
    yield from (
        re.sub(r"<[^>]+>", " ", row)
        for row in re.findall(r"<tr.*?</tr>|<li.*?</li>|<p.*?</p>", page, re.S)
    )
    for _, content in tables.csv_files(report, "both"):
        for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))):
            yield " ".join(row)


def check_cells(report: Mapping[str, Any]) -> None:
    book = openpyxl.load_workbook(io.BytesIO(tables.workbook(report, "both")))
    for sheet in book:
        for line in sheet.iter_rows():
            cells = [
                c.value
                for c in line
                if c.number_format == "0.00%" and isinstance(c.value, int | float)
            ]
            text = " ".join(str(c.value) for c in line)
            assert all(0 <= share <= 1 for share in cells) or _NOT_POSSIBLE.search(text), (
                sheet.title,
                text,
            )
