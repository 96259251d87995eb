"""Counters that roll over, restart and break; energy on top of them; lateness."""

from __future__ import annotations

from fractions import Fraction

import pytest

from edge_agent.metrics.counters import U16, U32, CounterRule, count
from edge_agent.metrics.energy import (
    KGCE_PER_KWH,
    EnergyScope,
    demand,
    disagreement,
    idle_share,
    integrated,
    peak,
    per_good_part,
    standard_coal,
)
from edge_agent.metrics.lateness import lateness, percentile
from edge_agent.metrics.timemodel import ItemState, OperationMode, Plan, StateSpan, classify

S = 1_000_000_000
MINUTE, HOUR = 60 * S, 3600 * S


@pytest.mark.parametrize(
    ("values", "rule", "total", "events"),
    [
        ([5, 5, 8, 12], CounterRule(), 7, []),
        ([65530, 4], CounterRule(U16), 10, ["rollover"]),
        ([U32 - 1, 0], CounterRule(U32), 1, ["rollover"]),
        ([200, 0, 3], CounterRule(restarts=True), 3, ["restart"]),
        ([200, 2, 3], CounterRule(restarts=True), 3, ["restart"]),
        ([200, 0, 3], CounterRule(U16, restarts=True), 3, ["restart"]),
        ([200, 199, 201], CounterRule(restarts=True), 2, ["break"]),
        ([5000, 12, 14], CounterRule(), 2, ["break"]),
        ([30000, 4], CounterRule(U16), 0, ["break"]),
        ([10, 1_000_000, 1_000_001], CounterRule(max_step=50), 1, ["jump"]),
        ([1, 3], CounterRule(ratio=Fraction(40)), 80, []),
        ([7], CounterRule(), 0, []),
        ([], CounterRule(), 0, []),
    ],
)
def test_falling_counters(
    values: list[int], rule: CounterRule, total: int, events: list[str]
) -> None:
    counted = count([(index * S, value) for index, value in enumerate(values)], rule)
    assert counted.total == total
    assert [event.kind for event in counted.events] == events


def test_events_keep_what_was_seen() -> None:
    event = count([(0, 65530), (S, 4)], CounterRule(U16)).events[0]
    assert (event.t, event.before, event.after) == (S, 65530, 4)


def test_replayed_duplicates_change_nothing_and_disorder_is_refused() -> None:
    readings = [(0, 1), (S, 4), (2 * S, 6)]
    assert count(sorted(readings * 2)) == count(readings)
    with pytest.raises(ValueError, match="sorted"):
        count(readings[::-1])


def test_float_resolution_is_kept_exactly() -> None:
    assert count([(0, 1_000_000.0), (S, 1_000_000.0625)]).total == Fraction(1, 16)


SCOPE = EnergyScope("ML1", 0, HOUR)
ENERGY = count([(0, 100), (30 * MINUTE, 106), (HOUR, 108)])


def test_energy_per_good_part() -> None:
    result = per_good_part(SCOPE, ENERGY, Fraction(4))
    assert (result.value, result.numerator, result.denominator) == (2, 8, 4)
    assert per_good_part(SCOPE, ENERGY, Fraction(0)).reason is not None
    assert per_good_part(SCOPE, ENERGY, None).value is None
    assert "meter" in per_good_part(SCOPE, None, Fraction(4)).reason.en  # type: ignore[union-attr]


def test_standard_coal_prints_its_coefficient() -> None:
    result = standard_coal(SCOPE, ENERGY)
    assert result.value == 8 * KGCE_PER_KWH / 1000
    assert result.to_full_json()["details"] == {"kgce_per_kwh": 0.1229, "kwh": 8}
    assert any("0.1229" in note["en"] for note in result.to_full_json()["notes"])
    assert standard_coal(SCOPE, ENERGY, Fraction("0.3")).value == Fraction("0.0024")
    assert standard_coal(SCOPE, None).value is None


def test_idle_share_follows_the_item_state() -> None:
    rows = [
        StateSpan(0, 45 * MINUTE, ItemState.EXECUTING, OperationMode.PROCESSING, True, Plan.SHIFT),
        StateSpan(45 * MINUTE, HOUR, ItemState.NOT_EXECUTING, OperationMode.NONE, True, Plan.OFF),
    ]
    assert idle_share(SCOPE, ENERGY, classify(rows)).value == Fraction(1, 8)
    assert idle_share(SCOPE, count([]), classify(rows)).value is None
    assert idle_share(SCOPE, None, classify(rows)).value is None


def test_fifteen_minute_demand_and_its_peak() -> None:
    profile = demand(ENERGY, 0, HOUR)
    assert profile == [(0, 12), (15 * MINUTE, 12), (30 * MINUTE, 4), (45 * MINUTE, 4)]
    assert peak(profile) == (0, 12)
    assert peak([]) is None
    assert [t for t, _ in demand(ENERGY, 20 * MINUTE, 40 * MINUTE)] == [15 * MINUTE, 30 * MINUTE]


def test_the_meter_is_checked_against_integrated_power() -> None:
    power = [(0, 4.0), (30 * MINUTE, 4.0), (HOUR, 8.0), (10 * HOUR, 8.0)]
    assert integrated(power, HOUR) == 5
    assert disagreement(Fraction(8), Fraction(5)) == Fraction(3, 8)
    assert disagreement(Fraction(0), Fraction(5)) is None


@pytest.mark.parametrize(
    ("share", "value"),
    [(Fraction(1, 2), 50), (Fraction(95, 100), 95), (Fraction(1), 100), (Fraction(1, 1000), 1)],
)
def test_nearest_rank(share: Fraction, value: int) -> None:
    assert percentile(range(1, 101), share) == value


def test_lateness_in_seconds_with_a_flag_for_skewed_clocks() -> None:
    results = lateness([3 * S, S, -S], ["d1"])
    assert results["M-21-p50"].value == 1
    assert results["M-21-p95"].value == 3
    assert results["M-21-p50"].details == {"values": 3, "source_ahead": 1}
    assert results["M-21-p50"].notes
    assert lateness([])["M-21-p95"].reason is not None
