"""Effective networking, grades and provisional results at their exact limits; null with a
reason."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from edge_agent.errors import FindingsError
from edge_agent.metrics import bands
from edge_agent.metrics.assessment import Assessment
from edge_agent.metrics.definitions import BY_ID, DEFINITIONS
from edge_agent.metrics.evaluate import METRICS, compute, evaluate
from edge_agent.metrics.evidence import DAY_S, collect
from edge_agent.metrics.live import (
    DeviceFacts,
    HealthSums,
    LiveEvidence,
    from_health,
    parse_live,
    read_live,
)
from edge_agent.register.model import Equipment, Process, Register

MACHINE = Equipment(
    "EQ-1",
    gateway_device="d1",
    networked_declared=True,
    digital=True,
    interface="opc_ua",
    control_class="cnc",
    process_id="P1",
)
REGISTER = Register((MACHINE,), (Process("P1", is_key=True, reviewer="Li"),))
GOOD = DeviceFacts(Fraction(1), Fraction(1), connected=True, history_s=40 * DAY_S)


def evidence(facts: DeviceFacts, machine: Equipment = MACHINE, **rest: object):  # type: ignore[no-untyped-def]
    return collect(Register((machine,)), LiveEvidence({"d1": facts}), **rest)["EQ-1"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "live"),
    [
        (GOOD, True),
        (replace(GOOD, last_good_age_s=7 * DAY_S), True),
        (replace(GOOD, last_good_age_s=7 * DAY_S + Fraction(1, 1000)), False),
        (replace(GOOD, coverage=Fraction(9, 10)), True),
        (replace(GOOD, coverage=Fraction(9, 10) - Fraction(1, 10**9)), False),
        (replace(GOOD, coverage=None), False),
        (replace(GOOD, last_good_age_s=None), False),
        (DeviceFacts(), False),
    ],
)
def test_the_limits_of_the_rule(facts: DeviceFacts, live: bool) -> None:
    assert evidence(facts).effective is live
    assert (evidence(facts).why_not is None) is live


@pytest.mark.parametrize(
    ("facts", "grade"),
    [
        (DeviceFacts(), "E0"),
        (DeviceFacts(connected=True), "E1"),
        (GOOD, "E2"),
        (replace(GOOD, controller=True), "E3"),
        (replace(GOOD, last_good_age_s=8 * DAY_S, controller=True), "E1"),
    ],
)
def test_grades(facts: DeviceFacts, grade: str) -> None:
    assert evidence(facts).grade == grade


def test_a_gateway_that_answers_for_a_dead_slave_is_not_networked() -> None:
    assert (
        evidence(DeviceFacts(connected=True, coverage=Fraction(1))).why_not.en
        == "connected, and no good value in this window"
    )


def test_a_device_that_is_not_configured_is_no_evidence() -> None:
    assert "not configured" in evidence(GOOD, configured={"d2"}).why_not.en


def test_of_two_devices_the_first_speaks_and_one_device_is_no_evidence_for_two_machines() -> None:
    assert evidence(GOOD, replace(MACHINE, gateway_device="d1;d2")).grade == "E2"
    assert (
        evidence(GOOD, replace(MACHINE, gateway_device="d2;d1"), configured={"d1", "d2"}).grade
        == "E0"
    )
    twins = Register((MACHINE, replace(MACHINE, equipment_id="EQ-2")))
    assert not any(each.live for each in collect(twins, LiveEvidence({"d1": GOOD})).values())


def test_a_scrapped_twin_does_not_take_the_evidence_away() -> None:
    twins = Register((MACHINE, replace(MACHINE, equipment_id="EQ-2", status="scrapped")))
    assert collect(twins, LiveEvidence({"d1": GOOD}))["EQ-1"].effective


def test_live_and_not_declared_is_listed_and_not_counted() -> None:
    register = Register((replace(MACHINE, networked_declared=False),))
    document = evaluate(register, LiveEvidence({"d1": GOOD}))
    assert document["networked_effective"] == 0
    assert document["live_not_declared"] == ["EQ-1"]


@pytest.mark.parametrize(
    ("history", "provisional"), [(30 * DAY_S, False), (30 * DAY_S - 1, True), (None, False)]
)
def test_provisional_under_thirty_days(history: Fraction | None, provisional: bool) -> None:
    live = LiveEvidence({"d1": replace(GOOD, history_s=history)}, end_ns=10**18)
    result = compute(Assessment(REGISTER, live))["M-04a-effective"]
    assert result.provisional is provisional
    assert result.window.end == 10**18
    expected = 30 * DAY_S if history is None else min(history, 30 * DAY_S)
    assert result.window.start == 10**18 - int(expected * 10**9)


def test_an_empty_register_gives_nulls_with_reasons() -> None:
    scrapped = Register((replace(MACHINE, status="scrapped"),), ())
    for metric, result in compute(Assessment(scrapped)).items():
        assert result.value is None, metric
        assert result.reason is not None
        assert result.reason.zh
        assert result.to_full_json()["value_pct"] is None


def test_a_key_process_without_machines_counts_as_zero_and_machines_without_key_process_as_null() -> (
    None
):
    results = compute(Assessment(Register((), REGISTER.processes)))
    assert results["M-01-prorata"].value == 0
    assert results["M-02"].value is None


def test_the_process_industry_counts_its_own_control_systems() -> None:
    process = Process("P1", is_key=True, industry_type="process")
    plc = replace(MACHINE, control_class="plc")
    assert compute(Assessment(Register((plc,), (process,))))["M-02"].value == 1
    assert compute(Assessment(Register((plc,), REGISTER.processes)))["M-02"].value == 0
    assert compute(Assessment(Register((MACHINE,), (process,))))["M-02"].value == 0


def test_exactly_half_does_not_meet_the_target() -> None:
    half = Register((MACHINE,), (*REGISTER.processes, Process("P2", is_key=True)))
    result = compute(Assessment(half))["M-01-strict"]
    assert result.value == Fraction(1, 2)
    assert result.to_full_json()["target"]["met"] is False


def test_a_missing_price_makes_the_value_share_null_and_names_the_machine() -> None:
    result = compute(Assessment(REGISTER))["M-08-value"]
    assert result.value is None
    assert "EQ-1" in result.reason.en  # type: ignore[union-attr]
    priced = Register((replace(MACHINE, purchase_cny=Decimal("3.5")),))
    assert compute(Assessment(priced))["M-08-value"].value == 1


def test_online_and_acquisition_sum_over_devices() -> None:
    facts = replace(GOOD, online_s=Fraction(50), scheduled_s=Fraction(60), good=90, expected=100)
    results = compute(Assessment(REGISTER, LiveEvidence({"d1": facts}, 10**18, 60)))
    assert results["M-04d"].value == Fraction(5, 6)
    assert results["M-05"].value == Fraction(9, 10)
    assert results["M-05"].window.start == 10**18 - 60 * 10**9


def test_links_and_interfaces() -> None:
    facts = replace(
        GOOD, normalised=True, business_links=frozenset({"设备管理", "能耗管理", "别的"})
    )
    results = compute(Assessment(REGISTER, LiveEvidence({"d1": facts})))
    assert results["M-06"].value == Fraction(2, 14)
    assert results["M-07"].value == 1


def test_every_metric_has_its_definition_in_both_languages() -> None:
    assert set(METRICS) <= set(BY_ID)
    assert len(BY_ID) == len(DEFINITIONS)
    for definition in DEFINITIONS:
        assert all((*definition.name, *definition.formula, definition.source))
        if definition.basis == "M":
            assert definition.assumptions, definition.id


@pytest.mark.parametrize(
    ("numerator", "denominator", "more"),
    [(0, 19, 2), (2, 20, 1), (11, 19, 1), (12, 19, None), (0, 0, None)],
)
def test_machines_to_the_next_band(numerator: int, denominator: int, more: int | None) -> None:
    assert bands.machines_to_next_band(numerator, denominator) == more


def test_bands_are_right_closed_and_judged_exactly() -> None:
    assert bands.points(Fraction(60, 100)) == Fraction(9, 2)
    assert bands.points(Fraction(60, 100) + Fraction(1, 10**12)) == 6
    assert bands.band(Fraction(0)) == "[0, 10]"
    assert bands.band(Fraction(1)) == "(60, 100]"
    with pytest.raises(ValueError, match="from 0 to 1"):
        bands.points(Fraction(2))


NS = 1_000_000_000


def test_health_rows_become_facts_and_missing_rows_are_uncovered() -> None:
    sums = HealthSums(scheduled_s=60.0, covered_s=54.0, good=500, bad=40)
    facts = from_health(1000 * NS, 900 * NS, 995 * NS, (0, sums), (0, sums))
    assert facts.coverage == Fraction(54, 100)
    assert facts.last_good_age_s == 5
    assert facts.online_s == 54
    assert facts.scheduled_s == 100
    assert facts.expected == 900
    assert facts.history_s == 100


def test_coverage_never_exceeds_one_and_a_device_never_seen_is_due_while_the_agent_tries() -> None:
    sums = HealthSums(scheduled_s=60.0, covered_s=60.0, good=1, bad=0)
    assert from_health(50 * NS, 0, 0, (0, sums), (0, sums)).coverage == 1
    never = from_health(
        50 * NS, None, None, (0, HealthSums(0, 0, 0, 0)), (20 * NS, HealthSums(12.5, 0, 0, 0))
    )
    assert (never.connected, never.scheduled_s, never.online_s, never.coverage) == (
        False,
        12.5,
        0,
        None,
    )


def test_live_facts_are_exact_decimals() -> None:
    live = parse_live(
        json.loads('{"d1": {"last_good_age_h": 0.01, "coverage": 0.9}}', parse_float=Decimal)
    )
    assert live.devices["d1"].coverage == Fraction(9, 10)
    assert live.devices["d1"].last_good_age_s == 36


def test_a_live_file_with_header() -> None:
    live = parse_live(
        {"end": "2026-05-01T08:00:00+08:00", "recent_s": 3600, "devices": {"d1": {"good": 3}}}
    )
    assert live.end_ns == 1_777_593_600 * NS
    assert live.devices["d1"].good == 3


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"d1": {"coverage": 1.2}}', "live.json:d1.coverage"),
        ('{"d1": {"coverage": "x"}}', "live.json:d1.coverage"),
        ('{"d1": {"last_good_age_h": -1}}', "live.json:d1.last_good_age_h"),
        ('{"d1": {"covrage": 1}}', "live.json:d1.covrage"),
        ('{"d1": 3}', "live.json:d1"),
        ('{"end": "2026-05-01T08:00", "devices": {}}', "live.json:end"),
        ("[1]", "live.json"),
        ("{", "live.json"),
    ],
)
def test_bad_live_files_are_refused_by_place(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "live.json"
    path.write_text(text)
    with pytest.raises(FindingsError) as caught:
        read_live(path)
    assert caught.value.findings[0].where == where


def test_a_missing_live_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FindingsError, match="cannot be read"):
        read_live(tmp_path / "none.json")


@pytest.mark.parametrize(
    "text",
    [
        '{"d": {"coverage": NaN}}', '{"d": {"coverage": Infinity}}', '{"d": {"coverage": 1e999999999}}',
        '{"d": {"last_good_age_h": 1e-999999999}}', '{"devices": {"d": {}}, "recent_s": "an hour"}',
        '{"devices": {"d": {}}, "recent_s": 99999999999999}',
    ],
)  # fmt: skip
def test_a_number_beyond_all_measure_is_a_finding(tmp_path: Path, text: str) -> None:
    """It filled the memory, or came out as a traceback."""
    path = tmp_path / "live.json"
    path.write_text(text)
    with pytest.raises(FindingsError) as caught:
        read_live(path)
    assert [finding.code for finding in caught.value.findings] == ["live-value"]
