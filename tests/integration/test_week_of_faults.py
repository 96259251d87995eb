"""A week with glitches, zeros, restarts, exchanges, outages over every kind of edge: the truth is
met, windows add up, and every fault is named. Through payloads, decoder and DuckDB; figures as the
service and as reports have them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import openpyxl
import pytest

from edge_agent.app.reports.command import monthly, subject
from edge_agent.config import load
from edge_agent.metrics.calendar import Calendar, load_calendar
from edge_agent.metrics.remarks import beyond_range
from edge_agent.production.plant import Plant
from edge_agent.register.importing import load as load_register
from edge_agent.report.issue import Issue
from edge_agent.stores.duckdb.store import DuckDbStore
from tests.support import fault_week as week
from tests.support.count_plant import MINUTE, T0, CountPlant
from tests.support.fault_week import FIRST, LAST, MONTH_END, WEEK, FaultWeek, clock, ns

SEEDS: Final = (20_261_028, 7, 4242)
MACHINES: Final = {"EQ-1": "m1", "EQ-2": "m2", "EQ-3": "m3", "EQ-4": "m4", "EQ-5": "m3"}
#: The minutes in which a machine was in service, where the register's dates lie in the week.
IN_SERVICE: Final = {"EQ-3": (FIRST, 2 * 1440), "EQ-5": (3 * 1440, LAST)}
DAYS: Final = [(day * 1440, (day + 1) * 1440) for day in range(7)]
SHIFTS: Final = [
    (day * 1440 + a, day * 1440 + b) for day in range(7) for a, b in ((480, 1200), (1200, 1680))
]
_NOT_POSSIBLE: Final = re.compile("超出可能范围|not possible")


class Story:
    """One seed's week in a store, and what was seen of October on the way."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self._documents: dict[tuple[int, int], dict[str, Any]] = {}
        self.truth = FaultWeek(seed)
        self.made = self.truth.plant(folder)
        self.made.site()  # writes the files
        self.calendar: Calendar = load_calendar(folder / "calendar.csv")
        self.made.register = load_register(
            folder / "equipment.csv", None, ["m1", "m2", "m3", "m4", "meter"]
        )[0]
        self.truth.tell(self.made, FIRST, MONTH_END - 60)
        self.before = self.document(*OCTOBER) if seed == SEEDS[0] else {}
        self.made.files = {**self.made.files, "meters": self.truth.exchange_file}
        self.truth.tell(self.made, MONTH_END - 60, LAST + 1)
        self._documents.clear()
        self.without_late = self.document(*OCTOBER) if seed == SEEDS[0] else {}
        self.truth.tell_late(self.made, "m2")
        self._documents.clear()

    @contextmanager
    def set_down(self) -> Iterator[None]:
        """Others may open the store meanwhile."""
        self.made.store.close()
        try:
            yield
        finally:
            self.made.store = DuckDbStore(
                self.folder / "store.duckdb", days=100_000.0, agent="ipc-01"
            )

    def document(self, start: int, end: int) -> dict[str, Any]:
        """What the service says of a window."""
        if (start, end) not in self._documents:
            self._documents[start, end] = self.made.document(ns(start), ns(end), self.calendar)
        return self._documents[start, end]

    def plant(self, start: int, end: int) -> Plant:
        return self.made.plant(ns(start), ns(end), self.calendar)


#: In minutes of the week, as far as there are data.
OCTOBER: Final = (FIRST, MONTH_END)


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Story]]:
    """The week of a seed, made once."""
    found: dict[int, Story] = {}

    def of(seed: int) -> Story:
        if seed not in found:
            found[seed] = Story(tmp_path_factory.mktemp("week"), seed)
        return found[seed]

    yield of
    for each in found.values():
        each.made.store.close()


@pytest.fixture(scope="module")
def story(stories: Callable[[int], Story]) -> Story:
    """The week of the fixed seed."""
    return stories(SEEDS[0])


# --- the truth ------------------------------------------------------------------------------------


LONGER: Final = [(0, WEEK), OCTOBER, (MONTH_END, LAST - 60)]


@pytest.mark.parametrize(
    ("seed", "windows"), [*((seed, LONGER) for seed in SEEDS), (SEEDS[0], DAYS), (SEEDS[0], SHIFTS)]
)
def test_times_parts_and_energy_are_the_truth(
    stories: Callable[[int], Story], seed: int, windows: list[tuple[int, int]]
) -> None:
    story = stories(seed)
    for start, end in windows:
        document = story.document(start, end)
        for key, machine in document["machines"].items():
            since, until = IN_SERVICE.get(key, (FIRST, LAST))
            span = max(start, since), min(end, until)
            where = (key, clock(start), clock(end))
            assert machine["seconds"] == {
                **machine["seconds"],
                **true_seconds(story, MACHINES[key], *span),
            }, where
            check_parts(story, MACHINES[key], span, machine["parts"], where)
            if key != "EQ-1":
                kwh = story.truth.truth[MACHINES[key]].between("energy", *span)
                assert machine["energy"]["kwh"] == float(kwh), where
        used = {
            "L1": story.truth.truth["meter"].between("import", start, end),
            "L2": second_line(story, start, end),
        }
        for line, kwh in used.items():
            assert document["lines"][line]["energy"]["kwh"] == float(kwh), (
                line,
                clock(start),
                clock(end),
            )
        assert document["site"]["energy"]["kwh"] == float(sum(used.values()))


def true_seconds(story: Story, device: str, start: int, end: int) -> dict[str, float]:
    """Buckets by the minute; what was not read is unknown, and never anything else."""
    truth, places = story.truth.truth[device], slice(start - FIRST, end - FIRST)
    known, planned, shift = truth.known[places], week.PLANNED[places], week.SHIFT[places]
    works = truth.item[places] == week.EXECUTING
    return {
        "PBT": 60 * planned.sum(),
        "APT": 60 * (works & known & planned).sum(),
        "ADET": 60 * (planned & ~(works & known)).sum(),
        "unknown": 60 * (planned & ~known).sum(),
        "planned_down": 60 * (shift & ~planned).sum(),
        "overtime": 60 * (works & known & ~shift).sum(),
    }


def check_parts(
    story: Story,
    device: str,
    span: tuple[int, int],
    parts: dict[str, Any],
    where: tuple[str, str, str],
) -> None:
    """Exactly, but where an edge lies on a reading that was set aside: what was made in that minute
    may be on either side of it; and scrap of an outage is shared by time."""
    truth, (start, end) = story.truth.truth[device], span
    planned = week.PLANNED[start - FIRST : end - FIRST]
    made, scrap = (
        np.diff(truth.counted[tag][start - FIRST : end - FIRST + 1])
        for tag in ("parts_total", "parts_scrap")
    )
    busy = np.flatnonzero(np.diff(np.concatenate([[False], planned, [False]]))) + start
    edges = {start, end, *busy.tolist()}
    aside = {
        fault.minute + place
        for fault in story.truth.faults
        if (fault.device, fault.tag) == (device, "parts_total")
        for place in range(len(fault.shown))
    }
    slack = 2 * len(edges & aside)
    shared = sum(
        truth.between("parts_scrap", a, b)
        for a, b in story.truth.outages(device)
        if not truth.known[a - FIRST]
        for edge in edges
        if a < edge < b
    )
    assert abs(parts["produced"] - made[planned].sum()) <= slack, where
    assert abs(parts["produced_outside_planned"] - made[~planned].sum()) <= slack, where
    assert abs(parts["good"] - (made - scrap)[planned].sum()) <= slack + shared, where


def second_line(story: Story, start: int, end: int) -> Fraction:
    """m4, and m3 in the time in which it belonged to a machine."""
    m3, m4 = story.truth.truth["m3"], story.truth.truth["m4"]
    own = [(max(start, since), min(end, until)) for since, until in IN_SERVICE.values()]
    return m4.between("energy", start, end) + sum(
        m3.between("energy", a, b) for a, b in own if a < b
    )


def test_what_is_told_of_rates_is_what_the_truth_says(story: Story) -> None:
    results = story.document(0, WEEK)["machines"]["EQ-4"]["results"]
    truth, seconds = story.truth.truth["m4"], true_seconds(story, "m4", 0, WEEK)
    assert Fraction(results["M-13"]["value_exact"]) == 100 * truth.between(
        "parts_total", 0, WEEK
    ) / int(seconds["APT"])
    failed = story.document(0, WEEK)["machines"]["EQ-2"]
    down = 60 * int((story.truth.truth["m2"].item == week.OUT_OF_SERVICE).sum())
    assert down
    assert (failed["failures"], failed["results"]["M-17-mttr"]["value"]) == (1, down)
    assert story.document(*DAYS[2])["machines"]["EQ-2"]["failures"] == 0, (
        "it is the day's in which it began"
    )


# --- sums -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_windows_add_up_exactly(stories: Callable[[int], Story], seed: int) -> None:
    """Cut at odd moments: inside outages, on faults and beside them, at the month's end."""
    story = stories(seed)
    odd = {
        1437,
        MONTH_END,
        1440 + 1200,
        2 * 1440 + 1201,
        MONTH_END - 7,
        week.EXCHANGED + 2,
        5 * 1440 + 1200,
    }
    whole = everything(story, 0, WEEK)
    parts = [everything(story, *pair) for pair in pairwise(sorted({0, WEEK, *odd}))]
    for name, amount in whole.items():
        assert sum(part.get(name, Fraction(0)) for part in parts) == amount, name


def everything(story: Story, start: int, end: int) -> dict[str, Fraction]:
    """All that is summed in a window, exactly: counters, machines' times and parts, lines."""
    plant = story.plant(start, end)
    found: dict[str, Fraction] = {}
    for counter in plant.facts.counters:
        # nobody's for a day: what its machines have of it is summed below
        if counter.device == "m3":
            continue
        counted = plant.counted(counter.device, counter.role)
        assert counted is not None
        found[f"{counter.device}/{counter.tag}"] = counted.between(
            plant.facts.start, plant.facts.end
        )
    for machine in plant.working:
        made = machine.production
        assert made is not None
        assert made.whole_pq is not None
        found[f"{machine.id} parts"] = made.whole_pq
        found[f"{machine.id} busy"], found[f"{machine.id} unknown"] = (
            made.pbt,
            Fraction(made.totals.unknown),
        )
        found[f"{machine.id} failures"] = Fraction(made.totals.failures)
    for line in plant.lines:
        used, _ = plant.line_energy(line)
        assert used is not None
        found[line] = used.between(plant.facts.start, plant.facts.end)
    return found


# --- every fault is named -------------------------------------------------------------------------


def injected(story: Story) -> dict[tuple[str, str, int], tuple[tuple[str, ...], Fraction, int]]:
    """(device, tag, ns) -> (kinds, amount, readings) of every fault and epoch of the week."""
    found = {}
    for fault in story.truth.faults:
        truth = story.truth.truth[fault.device]
        before = truth.shown[fault.tag][fault.minute - 1 - FIRST]
        amount = abs(int(fault.shown[0] - before)) * truth.unit[fault.tag]
        found[fault.device, fault.tag, T0 + ns(fault.minute)] = (
            fault.kinds,
            amount,
            len(fault.shown),
        )
    found["m4", "energy", T0 + ns(week.RESCALED) - 30 * 10**9] = (("epoch",), Fraction(0), 1)
    found["m2", "energy", T0 + ns(5 * 1440 + 300)] = (("break",), Fraction(0), 1)
    found["meter", "import", T0 + ns(week.EXCHANGED)] = (("exchange",), Fraction(0), 1)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_every_fault_is_an_event_and_nothing_else_is(
    stories: Callable[[int], Story], seed: int
) -> None:
    story = stories(seed)
    expected = injected(story)
    events = {(c.device, c.tag, e.t): e for c, e in story.plant(0, WEEK).counter_events}
    everyday = {key: e.kind for key, e in events.items() if e.kind in ("restart", "rollover")}
    assert events.keys() - everyday.keys() == expected.keys()
    for key, (kinds, amount, readings) in expected.items():
        event = events[key]
        assert event.kind in kinds, key
        assert (Fraction(event.amount), event.readings) == (amount, readings), key
    assert [kind for (device, *_), kind in everyday.items() if device == "m1"] == ["rollover"]
    assert [kind for (device, *_), kind in everyday.items() if device == "m2"] == ["restart"] * 8


def test_the_service_names_every_fault_of_a_machine_in_service(story: Story) -> None:
    document = story.document(0, WEEK)
    told = {(each["device"], each["tag"], each["t"]): each for each in document["site"]["events"]}
    by_line = {
        (e["device"], e["tag"], e["t"])
        for line in document["lines"].values()
        for e in line["events"]
    }
    for key, (kinds, amount, _) in injected(story).items():
        assert told[key]["kind"] in kinds
        assert told[key]["amount"] == float(amount)
        assert key in by_line
    set_aside = document["lines"]["L2"]["results"]["M-19"]["details"]["set_aside"]
    assert {(each["device"], each["tag"]) for each in set_aside} == {("m4", "energy")}


# --- provisional, and healed ----------------------------------------------------------------------


def test_a_month_whose_next_readings_have_not_come_is_provisional_and_heals(story: Story) -> None:
    coal = story.before["lines"]["L1"]["results"]["M-19"]
    assert coal["provisional"]
    assert coal["details"]["unknown_since"] is not None
    meter = story.truth.truth["meter"]
    assert story.before["lines"]["L1"]["energy"]["kwh"] == float(
        meter.between("import", FIRST, MONTH_END - 240)
    )
    assert (
        story.before["machines"]["EQ-2"]["results"]["M-12"]["details"]["unknown_since"] is not None
    )
    healed = story.without_late
    assert healed["lines"]["L1"]["energy"]["kwh"] == float(meter.between("import", *OCTOBER))
    assert "unknown_since" not in healed["lines"]["L1"]["results"]["M-19"]["details"]
    parts = healed["machines"]["EQ-2"]["parts"]["produced"]
    lost = healed["machines"]["EQ-2"]["seconds"]["unknown"]
    now = story.document(*OCTOBER)["machines"]["EQ-2"]
    assert abs(parts - now["parts"]["produced"]) <= 2, "a steady machine: shared by time, as it was"
    assert (lost, now["seconds"]["unknown"]) == (110 * 60, 0), "the states came late"


def test_what_a_person_decided_is_provisional_no_more(story: Story) -> None:
    ids = ("M-12", "M-14", "M-19")
    before = story.document(0, WEEK)
    assert all(before["site"]["results"][metric]["provisional"] for metric in ids)
    files, story.made.files = (
        story.made.files,
        {**story.made.files, "events": story.truth.decisions_file()},
    )
    try:
        after = story.made.document(ns(0), ns(WEEK), story.calendar)
    finally:
        story.made.files = files
    assert not any(after["site"]["results"][metric]["provisional"] for metric in ids)
    assert after["site"]["results"]["M-14"]["value"] == before["site"]["results"]["M-14"]["value"]
    assert {each["counted"] for each in after["site"]["events"] if each["kind"] == "glitch"} == {
        False
    }


# --- what people are shown ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def months(story: Story, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Issue, Path]]:
    """The reports of both months, from the files and the store alone."""
    out = tmp_path_factory.mktemp("out")
    about = replace(subject(story.folder / "site.yaml"), now_ns=T0 + ns(LAST))
    with story.set_down():
        return [(monthly(about, out, month, ["both"]), out) for month in ("2026-10", "2026-11")]


def test_the_months_are_the_truth_and_name_every_fault(
    story: Story, months: list[tuple[Issue, Path]]
) -> None:
    rows = []
    for (issue, _), closed in zip(months, (True, False), strict=True):
        start, end = (
            (issue.document["window"][key] - T0 - ns(0)) // MINUTE for key in ("from_ns", "to_ns")
        )
        assert (start, end) == ((FIRST + 10, MONTH_END) if closed else (MONTH_END, LAST)), (
            "from the first health row on"
        )
        figures = {each["key"]: each for each in issue.document["figures"]}
        kwh = {line: figures[f"M-19@line:{line}"]["details"]["kwh"] for line in ("L1", "L2")}
        used = story.truth.truth["meter"].between("import", start, end)
        assert kwh == {"L1": float(used), "L2": float(second_line(story, start, end))}
        tables = {
            b["name"]: b
            for part in issue.document["parts"]
            for b in part["blocks"]
            if b["kind"] == "table"
        }
        rows += tables["counter_events"]["rows"]
        assert issue.document["closed"] == closed
    named = {(row[2], row[3][:19]): row for row in rows}
    zones = {key: np.datetime64(key[2] // 10**9, "s").astype(str) for key in injected(story)}
    for key, (_, amount, readings) in injected(story).items():
        row = named[f"{key[0]}/{key[1]}", zones[key]]
        assert row[7] in (None, float(amount))
        assert (row[7] is not None) == (amount > 0)
        assert row[8] == readings
    assert next(row[0] for row in rows if row[2] == "m3/parts_total") == "EQ-3", (
        "whose device it was then"
    )


def test_no_figure_outside_its_range_stands_bare(months: list[tuple[Issue, Path]]) -> None:
    beyond = 0
    for issue, out in months:
        for figure in issue.document["figures"]:
            note = beyond_range(figure)
            if note is not None:
                beyond += 1
                assert note._asdict() in figure["notes"], figure["key"]
        html = (out / f"{issue.stem}.both.html").read_text(encoding="utf-8")
        for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL):
            shares = [
                float(text.replace(",", "")) for text in re.findall(r"(-?[\d,]+\.\d\d)\s*%", row)
            ]
            assert all(0 <= share <= 100 for share in shares) or _NOT_POSSIBLE.search(row), row
        book = openpyxl.load_workbook(io.BytesIO((out / f"{issue.stem}.both.xlsx").read_bytes()))
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
    assert beyond > 4, "the week has figures that are not possible"


def test_more_scrap_than_parts_is_no_quality(story: Story) -> None:
    shift = story.document(4 * 1440 + 1200, 5 * 1440 + 240)
    machine = shift["machines"]["EQ-4"]
    assert machine["parts"]["good"] < 0 == machine["parts"]["produced"]
    for metric in ("M-12", "M-14", "M-18"):
        assert machine["results"][metric]["value"] is None
        assert machine["results"][metric]["reason"] is not None, metric
    assert "EQ-4" not in shift["lines"]["L2"]["results"]["M-14"]["numerator_ids"]


def test_the_files_are_read_as_a_user_wrote_them(story: Story) -> None:
    """What `edge-agent` would load is what the figures above were made with."""
    site = load(story.folder / "site.yaml")
    assert site.register_.equipment is not None
    made: CountPlant = story.made
    assert load_register(site.register_.equipment, None, [])[0].version == made.register.version
