"""Handed histories D1, E1, E3, F1 to F4, G1, G2 and variants: through the decoder, the store and
the report."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from fractions import Fraction
from html import unescape
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from edge_agent.app.figures.served_facts import fact_source
from edge_agent.app.reports import command
from edge_agent.app.reports.command import health_check, monthly, subject
from edge_agent.cli.main import main
from edge_agent.metrics.result import MetricResult
from edge_agent.production.figures import figures
from edge_agent.production.live_rates import LiveRates
from edge_agent.report.issue import Issue
from tests.support.shift_plant import (
    DAY,
    END,
    HOUR,
    MINUTE,
    MINUTES,
    T0,
    constant,
    opened,
    plant,
    register,
    tell,
    working,
)
from tests.support.stranger import claimed, stranger

FACTORS = ("M-11", "M-13", "M-12")
SCOPES = ("", "@line:L1", "@workshop:W1")
ROWS = [
    {
        "equipment_id": "EQ-1",
        "gateway_device": "a1",
        "nominal_cycle_s": 50,
        "process_id": "P10;P11",
        "purchase_cny": 100000,
        "project_id": "PRJ",
    },
    {
        "equipment_id": "EQ-2",
        "gateway_device": "a2;meter",
        "nominal_cycle_s": 20,
        "process_id": "P11",
    },
    # It stands half of the time, counts, and has no nominal cycle: in what all machines say, and in
    # no OEE.
    {
        "equipment_id": "EQ-3",
        "gateway_device": "a3",
        "process_id": "P11",
        "control_class": "plc",
        "is_robot": "Y",
        "brand_origin": "domestic",
    },
    {
        "equipment_id": "EQ-4",
        "gateway_device": "cache",
        "process_id": "P11",
        "control_class": "plc",
        "machine_kind": "贴片机",
    },
    {
        "equipment_id": "EQ-5",
        "gateway_device": "ghost",
        "process_id": "P10",
        "control_class": "plc",
    },
    {"equipment_id": "EQ-6", "in_scope": "N", "purchase_cny": 1000, "networked_declared": "N"},
    {
        "equipment_id": "EQ-7",
        "status": "mothballed",
        "purchase_cny": 2000,
        "networked_declared": "N",
    },
    {"equipment_id": "EQ-8", "status": "under_repair", "networked_declared": "N"},
]
DEVICES = ("a1", "a2", "a3", "meter", "cache", "ghost")


def at(moment: int, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("edge_agent.app.reports.command.Clock.time_ns", lambda _: moment)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A line whose machines do what the handed histories do, each in the same shift."""
    path = plant(tmp_path_factory.mktemp("site"), DEVICES, ROWS)
    with opened(path) as store:
        tell(store, "a1", working(5, 10))
        tell(store, "a2", working(8, 50))
        tell(store, "a3", working(2, 30))
        tell(store, "meter", constant)
        tell(store, "cache", constant)
        tell(store, "ghost", None)
    return path


@pytest.fixture(scope="module")
def issued(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Issue]]:
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        at(END, patch)
        yield out, health_check(subject(config), out, None, ["both"])


def computed(config: Path, start: int, end: int) -> dict[str, MetricResult]:
    """All figures of a window, from the store to the result, as a report has them."""
    about = subject(config)
    with fact_source(about.site) as source:
        return figures(command._plant(about, source, start, end), about.options)


def figure(issue: Issue, key: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in issue.document["figures"] if each["key"] == key)
    return found


def exact(issue: Issue, key: str) -> Fraction:
    return Fraction(figure(issue, key)["value_exact"])


def block(issue: Issue, name: str) -> dict[str, Any]:
    parts = issue.document["parts"]
    found: dict[str, Any] = next(
        b for part in parts for b in part["blocks"] if b.get("name") == name
    )
    return found


def workbook(issued: tuple[Path, Issue]) -> openpyxl.Workbook:
    out, issue = issued
    return openpyxl.load_workbook(io.BytesIO((out / f"{issue.stem}.both.xlsx").read_bytes()))


@pytest.mark.parametrize("scope", SCOPES)
def test_d1_the_row_of_every_level_multiplies(issued: tuple[Path, Issue], scope: str) -> None:
    _, issue = issued
    product = Fraction(1)
    for metric in FACTORS:
        product *= exact(issue, metric + scope)
    oee = figure(issue, f"M-14{scope}")
    assert product == exact(issue, f"M-14{scope}") > 0
    assert oee["details"]["identity_holds"]
    assert {*oee["numerator_ids"]} == {"EQ-1", "EQ-2"}
    for metric in FACTORS:
        assert figure(issue, metric + scope)["numerator_ids"] == oee["numerator_ids"]
    # Parts of two kinds are added by the standard time they are worth.
    good = [figure(issue, f"M-12@{key}") for key in ("EQ-1", "EQ-2")]
    top = 50 * good[0]["numerator"] + 20 * good[1]["numerator"]
    planned_s = sum(figure(issue, f"M-11@{key}")["denominator"] for key in ("EQ-1", "EQ-2"))
    assert exact(issue, f"M-14{scope}") == Fraction(top, planned_s)
    # The wider availability stands apart: EQ-3 and EQ-4 have states, and no OEE.
    wide = figure(issue, f"M-11-all{scope}")
    assert {*wide["numerator_ids"]} == {"EQ-1", "EQ-2", "EQ-3", "EQ-4"}
    assert wide["value"] != figure(issue, f"M-11{scope}")["value"]


def test_d1_the_row_is_equal_in_html_xlsx_and_json(issued: tuple[Path, Issue]) -> None:
    out, issue = issued
    sheet = {row[0].value: row[5].value for row in workbook(issued)["figures"].iter_rows(min_row=2)}
    html = (out / f"{issue.stem}.both.html").read_text(encoding="utf-8")
    table = next(
        part for part in re.findall(r"<table.*?</table>", html, re.S) if "effectiveness" in part
    )
    for scope, name in (("@line:L1", "L1"), ("@workshop:W1", "W1")):
        values = [figure(issue, metric + scope)["value"] for metric in (*FACTORS, "M-14")]
        assert [sheet[metric + scope] for metric in (*FACTORS, "M-14")] == pytest.approx(
            values, rel=1e-14
        )
        row = next(row for row in re.findall(r"<tr.*?</tr>", table, re.S) if f">{name}<" in row)
        assert re.findall(r"([\d.]+) %", row) == [f"{100 * value + 1e-9:.2f}" for value in values]
    shown = next(row for row in block(issue, "oee_lines")["rows"] if row[1] == "L1")
    assert shown[3] / shown[2] == pytest.approx(shown[5]), (
        "APT / PBT as printed is the availability beside them"
    )


def test_d1_a_machine_with_parts_in_no_production_time_has_no_oee(tmp_path: Path) -> None:
    """Variant: its state says that it stood all along, and its counter went on."""
    path = plant(
        tmp_path, ["s1"], [{"equipment_id": "EQ-1", "gateway_device": "s1", "nominal_cycle_s": 50}]
    )
    with opened(path) as store:
        tell(
            store,
            "s1",
            lambda minute: {**working(5, 10)(minute), "run": 0, "machine_state": 2},
            range(120),
        )
    found = computed(path, T0, T0 + 2 * HOUR)
    assert [found[f"{metric}@EQ-1"].value for metric in ("M-11", "M-14")] == [0, None]
    assert "no production time" in (found["M-14"].reason or ("", ""))[1]


def test_e1_every_printed_judgement_is_that_of_the_json(issued: tuple[Path, Issue]) -> None:
    out, issue = issued
    judged = {each["key"]: each["target"] for each in issue.document["figures"] if each["target"]}
    words = {True: ("达到", "met"), False: ("未达到", "not met")}
    names = [column["title"]["en"] for column in block(issue, "rates")["columns"]]
    rows = {row[0]: row[names.index("target")] for row in block(issue, "rates")["rows"]}
    assert {"M-01-strict", "M-01-prorata", "M-01-any", "M-09", "M-10"} <= judged.keys()
    assert None in {target["met"] for target in judged.values()}
    for key, target in judged.items():
        said = rows[key]
        if target["met"] is None:
            assert said is None or "not judged" in said["en"], key
        else:
            zh, en = words[target["met"]]
            assert said["zh"].split()[-1] == zh, key
            assert re.search(r"(not )?met$", said["en"])[0] == en, key  # type: ignore[index]
    html = unescape((out / f"{issue.stem}.both.html").read_text(encoding="utf-8")).replace(
        "\xa0", " "
    )
    sheets = " ".join(
        str(cell.value) for sheet in workbook(issued) for line in sheet.iter_rows() for cell in line
    )
    for text in (html, sheets):
        assert all(rows[key] is None or rows[key]["zh"] in text for key in judged)
    first = issue.document["summary"][0]["items"][0]
    above = judged["M-01-prorata"]["met"]
    assert ("not above" not in first["en"]) is above
    assert ("未超过" not in first["zh"]) is above


def test_f2_a_machine_of_several_processes_counts_in_each(issued: tuple[Path, Issue]) -> None:
    _, issue = issued
    # P10: EQ-1 cnc, EQ-5 plc. P11: EQ-1 and EQ-2 cnc, EQ-3 a robot, EQ-4 a placer.
    assert figure(issue, "M-01-prorata")["details"]["nc_by_process"] == {"P10": "1/2", "P11": "4/4"}
    assert exact(issue, "M-01-prorata") == Fraction(3, 4)
    assert figure(issue, "M-02")["denominator_ids"].count("EQ-1") == 1
    assert exact(issue, "M-02") == Fraction(4, 5)
    assert "unknown-process" not in json.dumps(block(issue, "register_remarks"))


@pytest.mark.parametrize(
    ("written", "served"),
    [
        ("P10;P11", "P10 P11"), ("P10；P11", "P10 P11"), ("P10、P11", "P10 P11"), ("P10,P11", "P10 P11"),
        ("P10 P11", "P10 P11"), ("P10/P11", "P10 P11"), ("P11;P11", "P11"), ("P 20", "P 20"), ("P 20;P10", "P 20 P10"),
        ("P10;P99", "P10"),
    ],
)  # fmt: skip
def test_f2_several_processes_as_people_write_them(
    tmp_path: Path, written: str, served: str
) -> None:
    from edge_agent.register.importing import load

    processes = "process_id,is_key,industry_type\nP10,Y,discrete\nP11,Y,discrete\nP 20,Y,discrete\n"
    cell = f'"{written}"'
    (tmp_path / "r.csv").write_text(
        register({"equipment_id": "EQ-1", "process_id": cell}), encoding="utf-8"
    )
    (tmp_path / "p.csv").write_text(processes, encoding="utf-8")
    found, notes = load(tmp_path / "r.csv", tmp_path / "p.csv")
    ids = [each for each in found.processes_of(found.equipment[0]) if each in found.process_ids]
    assert " ".join(ids) == served
    assert ("unknown-process" in {note.code for note in notes}) is ("P99" in written)


def test_f2_the_first_of_several_devices_speaks(issued: tuple[Path, Issue]) -> None:
    """EQ-2 has a2 and a meter that never changes: networked by a2, OEE from a2; and both are
    acquired from."""
    _, issue = issued
    assert "EQ-2" in figure(issue, "M-04a-effective")["numerator_ids"]
    assert figure(issue, "M-14@EQ-2")["grade"] == "E3"
    row = next(row for row in block(issue, "evidence")["rows"] if row[0] == "EQ-2")
    assert row[3] == "a2 (+ meter)"
    per_device = 60 * MINUTES
    assert figure(issue, "M-05")["denominator"] == pytest.approx(6 * per_device, rel=0.01), (
        "five machines, six devices"
    )


def test_f2_a_dead_primary_device_is_not_saved_by_a_live_second_one(tmp_path: Path) -> None:
    """Variant: the other way round, and a device named with its agent."""
    rows = [{"equipment_id": "EQ-1", "gateway_device": "dead;ipc-01:live"},
            {"equipment_id": "EQ-2", "gateway_device": "ipc-01:live;dead"}]  # fmt: skip
    path = plant(tmp_path, ["dead", "live"], rows)
    with opened(path) as store:
        tell(store, "live", working(5, 10))
        tell(store, "dead", None, good=False)
        results = {each["id"]: each for each in LiveRates(subject(path).site).compute(store, END)}
    assert results["M-04a-effective"]["numerator_ids"] == ["EQ-2"]


def test_f3_kinds_count_as_numerically_controlled_with_their_reason(
    issued: tuple[Path, Issue],
) -> None:
    _, issue = issued
    assert figure(issue, "M-01-prorata")["details"]["nc_by_kind"] == {
        "EQ-3": "industrial_robot",
        "EQ-4": "smt_placer",
    }
    rows = {row[0]: row for row in block(issue, "nc_kinds")["rows"]}
    assert rows.keys() == {"EQ-3", "EQ-4"}
    assert rows["EQ-3"][2] == "plc"
    assert "ISO 8373" in rows["EQ-3"][5]
    assert rows["EQ-4"][4]["zh"]
    assert rows["EQ-4"][4]["en"]
    notes = " ".join(note["en"] for note in figure(issue, "M-01-strict")["notes"])
    assert "Counted as NC by kind (SMT placer): EQ-4" in notes


@pytest.mark.parametrize(
    ("cells", "robot_is_nc", "counts"),
    [
        ({"is_robot": "Y", "control_class": "plc"}, True, True),
        ({"is_robot": "Y", "control_class": "plc"}, False, False),
        ({"is_robot": "Y", "control_class": "manual"}, True, False),
        ({"is_robot": "Y", "control_class": "cnc"}, False, True),
        ({"machine_kind": "smt_placer", "control_class": "plc"}, False, True),
        ({"machine_kind": "自动测试机", "control_class": "plc"}, True, True),
        ({"machine_kind": "ICT", "control_class": "dcs"}, True, True),
        ({"machine_kind": "贴片机", "control_class": "none"}, True, False),
        ({"machine_kind": "回流焊", "control_class": "plc"}, True, False),
        ({"machine_kind": "", "control_class": "plc", "name_zh": "高速贴片机"}, True, False),
    ],
)
def test_f3_what_counts_as_numerically_controlled(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    cells: dict[str, str],
    robot_is_nc: bool,
    counts: bool,
) -> None:
    (tmp_path / "r.csv").write_text(register({"equipment_id": "EQ-1", **cells}), encoding="utf-8")
    (tmp_path / "p.csv").write_text(
        "process_id,is_key,industry_type\nP10,Y,discrete\n", encoding="utf-8"
    )
    files = [
        "--register",
        str(tmp_path / "r.csv"),
        "--processes",
        str(tmp_path / "p.csv"),
        "--json",
    ]
    assert (
        main(["metrics", "evaluate", *files, *([] if robot_is_nc else ["--no-robot-is-nc"])]) == 0
    )
    document = json.loads(capsys.readouterr().out)
    assert document["cnc_rate_strict_pct"] == (100.0 if counts else 0.0)
    codes = {finding["code"] for finding in document["findings"]}
    assert ("kind-not-stated" in codes) is ("name_zh" in cells), (
        "a name is a hint, and nothing is inferred from it"
    )
    assert ("kind-contradicts-control" in codes) is (cells["control_class"] in ("manual", "none"))


def test_f4_what_left_the_denominator_is_listed_by_number_and_value(
    issued: tuple[Path, Issue],
) -> None:
    _, issue = issued
    rows = {row[0]["en"]: row[1:] for row in block(issue, "not_counted")["rows"]}
    assert rows == {
        "out of scope": [1, 1000, 0, "EQ-6"],
        "under repair": [1, 0, 1, "EQ-8"],
        "mothballed": [1, 2000, 0, "EQ-7"],
    }
    assert exact(issue, "M-03") == 1
    assert figure(issue, "M-03")["denominator"] == 5


def test_g1_a_gateway_that_repeats_its_cache_proves_a_connection_only(
    issued: tuple[Path, Issue],
) -> None:
    _, issue = issued
    assert "EQ-4" not in figure(issue, "M-04a-effective")["numerator_ids"]
    row = next(row for row in block(issue, "evidence")["rows"] if row[0] == "EQ-4")
    assert row[6] == "E1"
    assert "repeats its cache" in row[-1]["en"]
    assert "8" in row[-1]["en"]
    assert [
        each[0] for each in block(issue, "data_remarks")["rows"] if "cache" in each[2]["en"]
    ] == ["meter", "cache"]


@pytest.mark.parametrize(
    ("values", "alive"),
    [
        (lambda minute: {"heartbeat": minute % 2, "run": 1}, True),
        (lambda minute: {"heartbeat": 0, "run": 1, "program": f"O{minute // 100}"}, True),
        (
            lambda minute: {"heartbeat": 0 if minute < 1 else 1, "run": 1},
            False,
        ),  # 7 h 59 min of planned time ago
        (
            lambda minute: {"run": 1, "machine_state": 3 if minute % 60 else 0},
            False,
        ),  # lost and found again: its own
        (lambda minute: {"run": 1, "parts_total": 7}, False),
    ],
)
def test_g1_a_change_of_any_value_within_the_planned_hours(
    tmp_path: Path, values: Any, alive: bool
) -> None:
    """By the running service and by the report alike; the third one would be alive with one minute
    more to spare."""
    rows = [{"equipment_id": "EQ-1", "gateway_device": "d1"}]
    path = plant(tmp_path, ["d1"], rows, more=", change_within: 7h")
    with opened(path) as store:
        tell(store, "d1", values)
        rates = LiveRates(subject(path).site)
        first = {each["id"]: each for each in rates.compute(store, END)}
        again = {each["id"]: each for each in rates.compute(store, END)}
    for results in (first, again):
        assert (results["M-04a-effective"]["numerator_ids"] == ["EQ-1"]) is alive
    assert (computed(path, T0, END)["M-04a-effective"].numerator_ids == ("EQ-1",)) is alive


def test_g1_in_its_first_planned_hour_a_device_may_have_shown_no_change_yet(tmp_path: Path) -> None:
    path = plant(tmp_path, ["d1"], [{"equipment_id": "EQ-1", "gateway_device": "d1"}])
    grades = []
    with opened(path) as store:
        for first, last in ((0, 40), (40, 70)):
            tell(store, "d1", constant, range(first, last))
            results = LiveRates(subject(path).site).compute(store, T0 + last * MINUTE)
            grades.append(
                next(each for each in results if each["id"] == "M-04a-effective")["numerator"]
            )
    assert grades == [1, 0]


def test_g1_what_is_sent_by_change_alone_is_compared_with_what_was_before(tmp_path: Path) -> None:
    """Variant: one reading in the whole shift, another one than the day before."""
    path = plant(tmp_path, ["d1"], [{"equipment_id": "EQ-1", "gateway_device": "d1"}])
    with opened(path) as store:
        tell(store, "d1", None)
        tell(store, "d1", lambda minute: {"parts_total": 7 if minute < 0 else 8}, [-16 * 60, 200])
        results = {each["id"]: each for each in LiveRates(subject(path).site).compute(store, END)}
    assert results["M-04a-effective"]["numerator_ids"] == ["EQ-1"]


def test_g2_health_rows_without_samples_are_a_finding_and_no_evidence(
    issued: tuple[Path, Issue], config: Path, tmp_path: Path
) -> None:
    _, issue = issued
    assert "EQ-5" not in figure(issue, "M-04a-effective")["numerator_ids"]
    row = next(row for row in block(issue, "evidence")["rows"] if row[0] == "EQ-5")
    assert row[6] == "E1"
    assert "the store has no value" in row[-1]["en"]
    (remark,) = [each for each in block(issue, "data_remarks")["rows"] if each[0] == "ghost"]
    assert "28,800 good readings" in remark[2]["en"]
    assert figure(issue, "M-05")["numerator"] == pytest.approx(5 * 60 * MINUTES, rel=0.01), (
        "none of the ghost's"
    )


def test_g2_health_rows_added_to_a_pack_do_not_verify(config: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at(END, patch)
        assert (
            main(["report", "evidence", str(config), "--out", str(tmp_path), "--project", "PRJ"])
            == 0
        )
    folder = tmp_path / "evidence-PRJ-001"
    assert main(["verify", str(folder)]) == 0
    assert stranger(folder) == claimed(folder)
    text = (folder / "facts" / "stored.csv").read_text(encoding="utf-8-sig")
    assert re.search(r"^ghost,,\r?$", text, re.M), "the pack says that nothing is stored of it"
    assert claimed(folder)["M-04a-effective"] == "3/5"


def test_e3_a_first_connection_on_a_holiday_is_not_judged_until_eight_planned_hours(
    tmp_path: Path,
) -> None:
    """Connected 16 hours before the first shift, 12 of them covered: no verdict; covered work from
    then on is one."""
    path = plant(tmp_path, ["d1"], [{"equipment_id": "EQ-1", "gateway_device": "d1"}])
    (tmp_path / "calendar.yaml").write_text(
        "schedules: {day: {shifts: [{start: '8:00', end: '16:00'}], holidays: [2026-10-11]}}\n",
        encoding="utf-8",
    )
    with opened(path) as store:
        before = [*range(-16 * 60, -15 * 60), *range(-11 * 60, 0)]
        tell(store, "d1", working(5, 10), before)
        rates = LiveRates(subject(path).site)
        holiday = {each["id"]: each for each in rates.compute(store, T0)}["M-04a-effective"]
        tell(store, "d1", working(5, 10))
        noon = {each["id"]: each for each in rates.compute(store, T0 + 4 * HOUR)}["M-04a-effective"]
        evening = {each["id"]: each for each in rates.compute(store, END)}["M-04a-effective"]
    assert holiday["now_online"] == [1, 1]
    assert holiday["effective_after"]["so_far"] == 0
    assert noon["effective_after"]["so_far"] == pytest.approx(4, abs=0.1)
    assert (evening["effective_after"], evening["value"]) == (None, 1)


# --- F1 -------------------------------------------------------------------------------------------

NOVEMBER_30 = T0 + 49 * DAY
TWO: list[dict[str, Any]] = [
    {"equipment_id": "EQ-1", "gateway_device": "d1"},
    {"equipment_id": "EQ-2", "control_class": "manual", "networked_declared": "N"},
]


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plant of two machines of October, one of them numerically controlled; today is 30
    November."""
    path = plant(tmp_path / "site", ["d1"], TWO)
    with opened(path) as store:
        tell(store, "d1", working(5, 10), range(60))
        tell(store, "d1", working(5, 10), range(30 * 1440, 30 * 1440 + 5))
    at(NOVEMBER_30, monkeypatch)
    return path


def rewrite(config: Path, *rows: dict[str, Any]) -> None:
    (config.parent / "equipment.csv").write_text(register(*rows), encoding="utf-8")


def october(config: Path, out: Path) -> Issue:
    """The last days of the month, again; `monthly` goes the same way and is the slower one."""
    return health_check(subject(config), out, "2026-10-30..2026-10-31", ["zh"])


def part_1(issue: Issue) -> str:
    return json.dumps(issue.document["parts"][0], ensure_ascii=False)


def test_f1_a_machine_scrapped_today_changes_no_closed_month(closed: Path, tmp_path: Path) -> None:
    first = monthly(subject(closed), tmp_path / "out", "2026-10", ["zh"])
    assert exact(first, "M-02") == Fraction(1, 2)
    rewrite(closed, TWO[0], {**TWO[1], "status": "scrapped"})
    again = monthly(subject(closed), tmp_path / "out", "2026-10", ["zh"])
    assert exact(again, "M-02") == Fraction(1, 2)
    assert not again.new, "the register of October did not change, nor does its report"
    assert again.document["register_version"] == first.document["register_version"]
    assert "register keep --valid-from" in part_1(again)
    assert first.document["register_version"][:12] in part_1(again)
    today = computed(closed, NOVEMBER_30 - DAY, NOVEMBER_30)
    assert today["M-02"].value == 1, "what runs is of today's register"


def test_f1_a_correction_says_from_when_it_is_valid(
    closed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    october(closed, tmp_path / "out")
    rewrite(closed, TWO[0], {**TWO[1], "control_class": "cnc"})
    assert exact(october(closed, tmp_path / "out"), "M-02") == Fraction(1, 2)
    assert main(["register", "keep", str(closed), "--valid-from", "2026-10-01"]) == 0
    assert main(["register", "keep", str(closed), "--valid-from", "2026-12-01"]) == 2
    corrected = october(closed, tmp_path / "out")
    assert exact(corrected, "M-02") == 1
    assert corrected.document["revision"] == 2
    capsys.readouterr()
    assert main(["register", "versions", str(closed), "--json"]) == 0
    versions = json.loads(capsys.readouterr().out)
    assert [row["valid_from"] for row in versions] == ["2026-11-30", "2026-11-30", "2026-10-01"]
    target = tmp_path / "kept.csv"
    assert main(["register", "export", str(closed), versions[0]["version"][:10], str(target)]) == 0
    assert "EQ-2" in target.read_text(encoding="utf-8-sig")


@pytest.mark.parametrize(
    ("cells", "counts"),
    [
        ({"status": "scrapped", "retired_on": "2026-11-05"}, True),
        ({"status": "scrapped", "retired_on": "2026-11-01"}, True),
        ({"status": "scrapped", "retired_on": "2026-10-31"}, False),
        ({"status": "in_use", "retired_on": "2026-10-20"}, False),
        ({"status": "mothballed", "retired_on": "2026-12-05"}, True),
        ({"status": "scrapped"}, False),
        ({"commissioned": "2026-11-01"}, False),
        ({"commissioned": "2026-10-31"}, True),
        ({"commissioned": "2026-10-20", "retired_on": "2026-10-25"}, False),
    ],
)
def test_f1_membership_by_the_dates_of_the_register(
    closed: Path, cells: dict[str, str], counts: bool
) -> None:
    rewrite(closed, TWO[0], {**TWO[1], **cells})
    november = T0 - 8 * HOUR + 20 * DAY
    with fact_source(subject(closed).site) as source:
        plant = command._plant(subject(closed), source, november - DAY, november)
    assert len(plant.assessment.machines) == (2 if counts else 1)
    assert [machine.equipment_id for machine, _ in plant.assessment.members.absent] == (
        [] if counts else ["EQ-2"]
    )


def test_f1_a_machine_retired_inside_the_window_keeps_what_it_made(tmp_path: Path) -> None:
    """EQ-1 gives its device to EQ-2 at midnight: each has its own day, and a window of both days
    has both."""
    rows = [
        {
            "equipment_id": "EQ-1",
            "gateway_device": "d1",
            "status": "scrapped",
            "retired_on": "2026-10-13",
        },
        {"equipment_id": "EQ-2", "gateway_device": "d1", "commissioned": "2026-10-13"},
    ]
    path = plant(tmp_path / "site", ["d1"], rows)
    with opened(path) as store:
        for day in (0, 1):
            tell(
                store,
                "d1",
                lambda minute: working(5, 10)(minute % 1440),
                range(day * 1440, day * 1440 + 60),
            )
    midnight, made = T0 - 8 * HOUR, []
    for start, days in ((0, 1), (1, 1), (0, 2)):
        found = computed(path, midnight + start * DAY, midnight + (start + days) * DAY)
        made.append(
            {key: result.denominator for key, result in found.items() if key.startswith("M-12@EQ")}
        )
        assert found["M-03"].denominator == 1
    assert made[0].keys() == {"M-12@EQ-1"}
    assert made[1].keys() == {"M-12@EQ-2"}
    assert made[2] == made[0] | made[1]


def test_f1_an_old_register_without_the_new_columns_is_read_as_before(tmp_path: Path) -> None:
    from edge_agent.register.importing import load

    header = (
        "equipment_id,in_scope,status,control_class,digital,interface,networked_declared,is_robot"
    )
    (tmp_path / "old.csv").write_text(f"{header}\nEQ-1,Y,in_use,plc,Y,none,N,N\n")
    (tmp_path / "new.csv").write_text(
        f"{header},machine_kind,retired_on\nEQ-1,Y,in_use,plc,Y,none,N,N,,\n"
    )
    versions = {load(tmp_path / name)[0].version for name in ("old.csv", "new.csv")}
    assert len(versions) == 1, "a column that is empty is none"
    assert main(["register", "diff", str(tmp_path / "old.csv"), str(tmp_path / "new.csv")]) == 0


def test_f1_the_running_service_keeps_its_register_and_closed_windows_theirs(closed: Path) -> None:
    from edge_agent.production.registers import keep, valid_register
    from edge_agent.production.schedule import Period, ProductionFigures

    about = subject(closed)
    rewrite(closed, TWO[0])
    later = subject(closed)
    period = Period(T0, T0 + MINUTES * MINUTE, "shift", "day")
    with opened(closed) as store:
        keep(store, about.register, about.checked, T0 - DAY, about.zone)
        assert keep(store, about.register, about.checked, T0, about.zone) is None, (
            "the same version is kept once"
        )
        keep(store, later.register, later.checked, NOVEMBER_30, about.zone)
        found = valid_register(store, period.end)
        assert found is not None
        assert found[1] == about.register or found[1].version == about.register.version
        documents = ProductionFigures(later.site, later.register).compute(
            store, period, NOVEMBER_30
        )
    assert {document["register_version"] for document in documents} >= {about.register.version}
    assert later.register.version not in {document["register_version"] for document in documents}
