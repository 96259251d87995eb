"""The hand-checked factory: every figure of expected.json comes out exactly, through the API and
the command."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from edge_agent.cli import main
from edge_agent.metrics.assessment import Assessment
from edge_agent.metrics.evaluate import compute, evaluate
from edge_agent.metrics.live import LiveEvidence, read_live
from edge_agent.register.importing import load
from edge_agent.register.model import Register

FACTORY = Path(__file__).parents[1] / "cases" / "golden_factory"
EXPECTED = json.loads((FACTORY / "expected.json").read_text(encoding="utf-8"))
REGISTER, NOTES = load(FACTORY / "equipment_register.csv", FACTORY / "processes.csv")
LIVE = read_live(FACTORY / "live.json")


@pytest.mark.parametrize("key", sorted(EXPECTED))
def test_every_expected_figure(key: str) -> None:
    assert evaluate(REGISTER, LIVE)[key] == EXPECTED[key]


def test_exact_fractions_behind_the_percentages() -> None:
    results = compute(Assessment(REGISTER, LIVE))
    assert (
        results["M-01-prorata"].value
        == (Fraction(2, 3) + 1 + Fraction(1, 2) + 1 + 1 + Fraction(3, 5)) / 7
    )
    assert results["M-04a-effective"].value == Fraction(11, 19)


def test_ids_are_those_of_the_machines_and_processes() -> None:
    results = compute(Assessment(REGISTER, LIVE))
    assert results["M-01-any"].numerator_ids == ("P10", "P20", "P30", "P40", "P50", "P60")
    assert results["M-01-any"].denominator_ids == ("P10", "P20", "P30", "P40", "P50", "P60", "P65")
    declared, effective = (
        set(results[f"M-04a-{kind}"].numerator_ids) for kind in ("declared", "effective")
    )
    assert declared - effective == {"EQ-005", "EQ-012"}


def test_why_a_declared_machine_is_not_effective() -> None:
    rows = {row["equipment_id"]: row for row in evaluate(REGISTER, LIVE)["evidence"]}
    assert "62.00 %" in rows["EQ-005"]["why_not"]["en"]
    assert "8.3 days" in rows["EQ-012"]["why_not"]["en"]
    assert rows["EQ-001"] == {
        "equipment_id": "EQ-001", "device": "lathe01", "declared": True, "effective": True,
        "grade": "E2", "why_not": None,
    }  # fmt: skip


def test_every_result_says_what_it_rests_on() -> None:
    document = evaluate(REGISTER, LIVE, computed_at=1_763_900_000_000_000_000)
    for metric, result in document["results"].items():
        assert result["id"] == result["definition_id"] == metric
        assert result["register_version"] == REGISTER.version
        assert result["computed_at"] == "2025-11-23T12:13:20+00:00"
        assert result["name_zh"]
        assert result["formula_zh"]
        assert (result["value"] is None) == (result["reason"] is not None)


def test_the_assumption_is_printed_and_the_target_is_strict() -> None:
    result = evaluate(REGISTER, LIVE)["results"]["M-01-prorata"]
    assert any("assumption" in note["en"] for note in result["notes"])
    assert any("robot_is_nc: true" in note["en"] for note in result["notes"])
    assert result["target"]["strictly"] is True
    assert result["target"]["met"] is True


def test_robots_count_only_by_the_flag() -> None:
    result = evaluate(REGISTER, LIVE, robot_is_nc=False)
    assert result["key_process_nc"]["P60"] == "0/5"
    assert result["key_equipment_nc"] == 9


def test_without_live_facts_nothing_is_said_of_what_data_would_show() -> None:
    document = evaluate(REGISTER)
    for metric in ("M-04a-effective", "M-04b-effective", "M-04c-effective", "M-04d", "M-05", "M-05-process", "M-06",
                   "M-07"):  # fmt: skip
        result = document["results"][metric]
        assert (result["value"], result["numerator"], result["grade"]) == (None, None, None), metric
        assert result["reason"] == {
            "zh": "窗口内没有采集数据",
            "en": "no collected data in the window",
        }, metric
    assert document["networked_effective"] is None
    assert document["networking_rate_miit_effective_pct"] is None
    assert document["miit_score_networked_effective"] is None
    assert document["networked_declared"] == evaluate(REGISTER, LIVE)["networked_declared"]


def test_devices_that_were_tried_in_vain_are_networked_at_nought() -> None:
    dark = {
        device: replace(fact, last_good_age_s=None, connected=False)
        for device, fact in LIVE.devices.items()
    }
    assert evaluate(REGISTER, LiveEvidence(dark))["networked_effective"] == 0
    never = {device: replace(fact, collected=False) for device, fact in dark.items()}
    assert evaluate(REGISTER, LiveEvidence(never))["networked_effective"] is None


def test_where_there_is_nothing_to_divide_by_that_is_the_reason() -> None:
    bare = Register(
        tuple(replace(row, digital=False) for row in REGISTER.equipment), REGISTER.processes
    )
    assert "digital" in evaluate(bare)["results"]["M-04b-effective"]["reason"]["en"]


def test_the_findings_name_the_digital_machines_without_interface() -> None:
    bare = [finding.where for finding in NOTES if finding.code == "digital-without-interface"]
    assert bare == ["equipment_register.csv:8:interface", "equipment_register.csv:10:interface"]


def test_the_command_prints_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    files = {
        "--register": "equipment_register.csv",
        "--processes": "processes.csv",
        "--live": "live.json",
    }
    words = [word for option, name in files.items() for word in (option, str(FACTORY / name))]
    parser = main.parser(["metrics"])
    args = parser.parse_args(["metrics", "evaluate", *words, "--json"])
    assert args.func(args) == 0
    document = json.loads(capsys.readouterr().out)
    assert {key: document[key] for key in EXPECTED} == EXPECTED
    assert set(document["results"]) >= {
        "M-01-strict",
        "M-01-prorata",
        "M-01-any",
        "M-02",
        "M-03",
        "M-04d",
        "M-05",
    }


def test_the_table_for_people_is_bilingual(capsys: pytest.CaptureFixture[str]) -> None:
    args = main.parser(["metrics"]).parse_args(
        ["metrics", "evaluate", "--register", str(FACTORY / "equipment_register.csv"),
         "--processes", str(FACTORY / "processes.csv"), "--live", str(FACTORY / "live.json")]
    )  # fmt: skip
    assert args.func(args) == 0
    text = capsys.readouterr().out
    assert "关键工序数控化率" in text
    assert "68.10 %" in text
    assert "11 / 19 台生产设备" in text
    assert "11 of 19 machines" in text
    assert "MIIT-2024 (40, 60] %" in text
    assert "EQ-005, EQ-012" in text
    assert REGISTER.version in text
