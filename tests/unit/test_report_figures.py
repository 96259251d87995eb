"""The figures of a report: the golden factory and the golden shift exactly, and whatever can be
missing is null."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from edge_agent.metrics.definitions import Text
from edge_agent.metrics.result import percent
from edge_agent.production.facts import CounterReadings, PlannedChange, StateChange, WindowFacts
from edge_agent.production.figures import FigureOptions, figures
from edge_agent.register.importing import load
from edge_agent.report.document import ReportSetting, build
from tests.support import report_plant as golden
from tests.support.report_plant import END, START

HOUR = 3600 * 10**9
SETTING = ReportSetting("health-check", "test", "测试厂", "dongguan", "ipc-01", issued_ns=END)


def table(document: dict, name: str) -> list[list]:
    return next(b["rows"] for p in document["parts"] for b in p["blocks"] if b.get("name") == name)


def test_golden_factory_through_facts() -> None:
    found = figures(golden.plant(), FigureOptions())
    expected = json.loads((golden.GOLDEN / "expected.json").read_text(encoding="utf-8"))
    assert percent(found["M-03"].value) == expected["digital_rate_pct"]
    assert percent(found["M-04a-effective"].value) == expected["networking_rate_miit_effective_pct"]
    assert (
        percent(found["M-04b-effective"].value)
        == expected["networking_rate_of_digital_effective_pct"]
    )
    assert percent(found["M-01-prorata"].value) == expected["cnc_rate_prorata_pct"]


def test_golden_shift_through_facts() -> None:
    found, expected = figures(golden.plant(), FigureOptions()), golden.golden_shift()["expected"]
    pairs = {
        "M-11": "availability",
        "M-12": "quality_ratio",
        "M-13": "effectiveness",
        "M-14": "oee",
        "M-15": "nee",
        "M-16-allocation": "allocation_efficiency",
        "M-16-utilisation": "utilization_efficiency",
        "M-16-technical": "technical_efficiency",
        "M-16-setup": "setup_ratio",
    }
    for metric, name in pairs.items():
        value = found[f"{metric}@EQ-001"].value
        assert value is not None
        assert round(float(value), 6) == pytest.approx(expected[name], abs=1e-6), metric
    assert found["M-17-mtbf@EQ-001"].value == 375 * 60
    assert found["M-17-mttr@EQ-001"].value == 15 * 60
    assert found["M-18@EQ-001"].value == Fraction(25, 2) / 321


def test_parts_of_overtime_are_no_part_of_oee() -> None:
    """Of two hours at work one is a shift: its time and its parts, 60 of 180; energy goes over all
    of them."""
    plan = (
        PlannedChange("", START - golden.DAY, "off"),
        PlannedChange("", START, "shift"),
        PlannedChange("", START + HOUR, "off"),
    )
    made = tuple(
        (START + hour * HOUR, Fraction(parts)) for hour, parts in ((0, 5), (1, 65), (2, 185))
    )
    kwh = ((START, Fraction(0)), (START + 2 * HOUR, Fraction(9)))
    counters = [CounterReadings("lathe01", "produced", "parts", Fraction(1), None, made),
                CounterReadings("lathe01", "good", "ok", Fraction(1), None, made),
                CounterReadings("lathe01", "energy", "import", Fraction(1), None, kwh)]  # fmt: skip
    plant = golden.plant(end=START + 2 * HOUR, plan=plan, counters=counters,
                         states={"lathe01": (StateChange(START - golden.DAY, 3, 3),)})  # fmt: skip
    found = figures(plant, FigureOptions())
    # a nominal cycle of a minute
    assert (found["M-11@EQ-001"].value, found["M-14@EQ-001"].value) == (
        1,
        1,
    )
    assert found["M-13@EQ-001"].numerator == 3600
    assert (found["M-12@EQ-001"].numerator, found["M-12@EQ-001"].denominator) == (60, 60)
    assert found["M-14"].value == 1
    assert found["M-18@EQ-001"].value == Fraction(9, 180)
    row = next(row for row in table(build(plant, SETTING), "parts") if row[0] == "EQ-001")
    assert row[3:6] == [60, 60, 120]


def test_a_step_across_a_shifts_end_is_shared_by_time() -> None:
    plan = (
        PlannedChange("", START - golden.DAY, "off"),
        PlannedChange("", START, "shift"),
        PlannedChange("", START + HOUR, "stop"),
        PlannedChange("", START + 2 * HOUR, "shift"),
    )
    made = ((START, Fraction(0)), (START + 4 * HOUR, Fraction(40)))
    plant = golden.plant(
        end=START + 3 * HOUR,
        plan=plan,
        states={"lathe01": (StateChange(START - golden.DAY, 3, 3),)},
        counters=[CounterReadings("lathe01", "produced", "parts", Fraction(1), None, made)],
    )
    assert figures(plant, FigureOptions())["M-13@EQ-001"].numerator == 20 * 60


@pytest.mark.parametrize("text", ["0", "0.0"])
def test_a_nominal_cycle_of_nothing_is_none_and_not_an_oee_of_zero(
    tmp_path: Path, text: str
) -> None:
    """In the file it is listed and left empty; and a register that has it all the same gets the
    reason."""
    lines = (golden.GOLDEN / "equipment_register.csv").read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("EQ-001"))
    cells = ["nominal_cycle_s", *[""] * (len(lines) - 1)]
    cells[first] = text
    file = tmp_path / "register.csv"
    file.write_text(
        "\n".join(f"{line},{cell}" for line, cell in zip(lines, cells, strict=True)),
        encoding="utf-8",
    )
    register, noted = load(file, golden.GOLDEN / "processes.csv")
    assert (
        next(row for row in register.equipment if row.equipment_id == "EQ-001").nominal_cycle_s
        is None
    )
    assert [each.en for each in noted if "nominal_cycle_s" in each.where] == [
        f"“{text}” is not a number above 0; nominal_cycle_s was left empty, correct it."
    ]
    for known in (
        register,
        golden.with_row(golden.register(), "EQ-001", nominal_cycle_s=Decimal(text)),
    ):
        found = figures(golden.plant(known), FigureOptions())
        for key in ("M-13@EQ-001", "M-14@EQ-001", "M-15@EQ-001", "M-14", "M-14@line:ML1"):
            reason = found[key].reason
            assert found[key].value is None
            assert reason is not None
            assert "nominal cycle" in reason.en, key


def test_a_machine_connected_inside_the_window_makes_provisional_figures() -> None:
    late = golden.plant(first_good={"lathe01": START + 2 * HOUR})
    found = figures(late, FigureOptions())
    for key in ("M-11@EQ-001", "M-14@EQ-001", "M-11@line:ML1", "M-14"):
        assert found[key].provisional, key
        assert any("before the first connection" in note.en for note in found[key].notes)
    known = figures(golden.plant(), FigureOptions())
    assert known["M-14"].value == found["M-14"].value
    assert not known["M-11@EQ-001"].provisional
    assert not known["M-14"].provisional


def test_a_window_that_is_not_all_of_its_period_says_so_first() -> None:
    why = Text("不是整月。", "Not the whole month.")
    document = build(golden.plant(), replace(SETTING, partial=why))
    assert document["summary"][0]["items"][0] == why._asdict()


def test_a_line_is_the_sum_of_its_machines() -> None:
    found = figures(golden.plant(), FigureOptions())
    assert found["M-14@line:ML1"].value == found["M-14@EQ-001"].value == found["M-14"].value
    left_out = found["M-14@line:ML1"].details["without_states"]
    assert "EQ-002" in left_out
    assert "EQ-001" not in left_out


def test_a_lines_row_says_how_many_machines_are_behind_each_figure() -> None:
    """The second machine of the line has states and counts, and no nominal cycle: in no figure of
    the row, and in what all machines say."""
    counters = [*golden.shift_counters(), *golden.shift_counters("lathe02")]
    plant = golden.plant(
        states={name: golden.shift_states() for name in ("lathe01", "lathe02")}, counters=counters
    )
    block = next(
        b
        for p in build(plant, SETTING)["parts"]
        for b in p["blocks"]
        if b.get("name") == "oee_behind"
    )
    row = next(row for row in block["rows"] if row[1] == "ML1")
    assert row[2:6] == [1, 1, 1, 1]
    everyone = next(
        b for p in build(plant, SETTING)["parts"] for b in p["blocks"] if b.get("name") == "oee_all"
    )
    assert [(row[6], row[8]) for row in everyone["rows"] if row[1] == "ML1"] == [(2, 2)]
    assert block["columns"][6]["title"]["en"] == "left out of OEE"
    assert "EQ-002" in str(row[6])


def test_lateness_is_ranked_over_all_messages() -> None:
    found = figures(golden.plant(), FigureOptions())
    assert (found["M-21-p50"].value, found["M-21-p95"].value) == (Fraction("0.12"), Fraction("0.9"))


def test_the_twelve_parts_stand_on_the_golden_factory() -> None:
    document = build(golden.plant(), SETTING)
    assert [part["number"] for part in document["parts"]] == list(range(1, 13))
    missing = {row[0]: row[3] for row in table(document, "gap_declared")}
    assert sorted(missing) == ["EQ-005", "EQ-012"]
    assert "62.00 %" in missing["EQ-005"]["en"]
    assert [row[0] for row in table(document, "gap_key_processes")] == ["P10", "P30", "P60", "P65"]


def test_the_plan_counts_on_to_the_next_band() -> None:
    rows = table(build(golden.plant(), SETTING), "plan")
    # 11 of 19 are networked; the twelfth machine reaches the band above 60 %.
    assert rows[0][6] == pytest.approx(12 / 19)
    assert rows[0][10]["zh"] == "联网率"
    assert rows[-1][6] == pytest.approx(1.0)


def test_a_month_without_data_is_null_with_reasons() -> None:
    # one connected later, one before
    first = {
        "lathe01": END + HOUR,
        "lathe02": START - 60 * golden.DAY,
    }
    plant = golden.plant(minutes={}, first_good=first, states={}, counters=(), lateness={})
    found = figures(plant, FigureOptions())
    for key in ("M-11", "M-14", "M-18", "M-19", "M-21-p95", "M-05"):
        assert found[key].value is None, key
        assert found[key].reason, key
    for key in (
        *(f"M-04{kind}-effective" for kind in "abc"),
        "M-04d",
        "M-05",
        "M-05-process",
        "M-06",
        "M-07",
    ):
        reason = found[key].reason
        assert reason is not None
        assert (found[key].value, reason.en) == (None, "no collected data in the window"), key
    assert found["M-03"].value == Fraction(16, 19)
    document = build(plant, SETTING)
    assert [part["number"] for part in document["parts"]] == list(range(1, 13))
    steps = document["summary"][1]["items"]
    assert steps[0]["en"].startswith("No data were collected in the window")
    assert not any("not shown by data" in step["en"] for step in steps)
    whys = {row[3]["en"] for row in table(document, "gap_declared")}
    assert whys == {"connected, and no good value in this window", "not connected in this window"}


def test_all_machines_scrapped() -> None:
    rows = [replace(row, status="scrapped") for row in golden.register().equipment]
    plant = golden.plant(golden.only(golden.register(), *rows))
    found = figures(plant, FigureOptions())
    for key in ("M-03", "M-04a-effective", "M-02"):
        assert found[key].value is None, key
        assert found[key].reason is not None, key
    assert found["M-01-prorata"].value == 0  # key processes without a machine count as manual
    assert build(plant, SETTING)["figures"]


def test_an_empty_register() -> None:
    plant = golden.plant(golden.only(replace(golden.register(), processes=())))
    document = build(plant, SETTING)
    values = {figure["key"]: figure["value"] for figure in document["figures"]}
    assert values["M-01-prorata"] is None
    assert values["M-03"] is None


def test_a_key_process_without_machines_counts_as_zero_and_is_listed() -> None:
    row = next(
        row for row in table(build(golden.plant(), SETTING), "gap_key_processes") if row[0] == "P65"
    )
    assert row[2:5] == [0, 0, 0]
    assert "人工" in row[5]["zh"]


def test_a_gap_of_three_days_is_unknown_time_and_the_rest_stands() -> None:
    start = END - 4 * golden.DAY
    states = (StateChange(start, 3, 3), StateChange(start + golden.DAY, 0, 0, None, "no-coverage"))
    plant = golden.plant(start=start, states={"lathe01": states}, counters=(), plan=())
    found = figures(plant, FigureOptions())
    assert found["M-11@EQ-001"].value == Fraction(1, 4)
    assert found["M-11@EQ-001"].details["data_coverage"] == 0.25
    assert found["M-12@EQ-001"].value is None
    time = table(build(plant, SETTING), "oee_lines")
    assert next(row for row in time if row[1] == "ML1")[4] == 72


def test_a_device_shared_by_two_machines_speaks_for_neither() -> None:
    plant = golden.plant(golden.with_row(golden.register(), "EQ-002", gateway_device="lathe01"))
    found = figures(plant, FigureOptions())
    assert "M-11@EQ-001" not in found
    assert found["M-11@line:ML1"].value is None


def test_an_empty_window_gives_nulls() -> None:
    plant = golden.plant(start=END, plan=())
    assert figures(plant, FigureOptions())["M-11@EQ-001"].value is None
    assert plant.facts.hours == 0


def test_energy_of_a_line_from_its_meter_and_its_last_station() -> None:
    known = golden.with_row(golden.register(), "EQ-021", line="ML1", status="in_use")
    meter = next(row for row in known.equipment if row.category == "meter")
    counters = [
        *golden.shift_counters(),
        replace(golden.shift_counters()[2], device=meter.gateway_device),
    ]
    found = figures(golden.plant(known, counters=counters), FigureOptions())
    assert found["M-19@line:ML1"].value == Fraction(25, 2) * Fraction("0.1229") / 1000
    assert found["M-18@line:ML1"].value is None  # the inspection machine counts no good parts
    assert found["M-18@line:ML1"].reason is not None


def test_equal_facts_give_an_equal_content_hash() -> None:
    first = build(golden.plant(), SETTING)
    again = build(golden.plant(), replace(SETTING, issued_ns=END + 1))
    other = build(
        golden.plant(golden.with_row(golden.register(), "EQ-001", nominal_cycle_s=Decimal(61))),
        SETTING,
    )
    assert first["content_sha256"] == again["content_sha256"] != other["content_sha256"]


def test_a_window_needs_no_whole_history() -> None:
    assert WindowFacts(START, END).history_start == END - 30 * golden.DAY


def test_a_target_for_the_local_market_is_not_judged_by_the_factorys_share() -> None:
    document = build(golden.plant(), SETTING)
    told = {figure["key"]: figure["target"] for figure in document["figures"]}
    assert (told["M-09"]["above"], told["M-09"]["met"], told["M-10"]["met"]) == (0.5, None, None)
    assert told["M-01-prorata"]["met"] is not None
    targets = {row[0]: row[-1] for row in table(document, "rates")}
    assert targets["M-10"]["en"] == "local market > 25 %: not judged"
    assert targets["M-01-prorata"]["en"] in ("> 50 % met", "> 50 % not met")


def test_what_a_headline_assumes_names_the_figure_it_speaks_of() -> None:
    blocks = build(golden.plant(), SETTING)["parts"][1]["blocks"]
    notes = [block["text"]["en"] for block in blocks if block.get("level") == "assumption"]
    assert notes
    assert all(note.startswith("M-0") for note in notes)


def test_the_tier_of_the_plans_steps_is_said_once() -> None:
    blocks = build(golden.plant(), SETTING)["parts"][9]["blocks"]
    plan = next(block for block in blocks if block.get("name") == "plan")
    assert "tier" not in [column["title"]["en"] for column in plan["columns"]]
    told = [block["text"]["en"] for block in blocks if block["kind"] == "paragraph"]
    assert "Tier of all these steps: intelligent upgrade (20 %)." in told
