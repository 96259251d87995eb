"""The hand-checked shift: every figure of oee_golden.json, and the rows of the total table one by
one."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest

from edge_agent.metrics.oee import Production, evaluate, losses
from edge_agent.metrics.result import MetricResult
from edge_agent.metrics.timemodel import (
    DEBOUNCE_NS,
    Bucket,
    ItemState,
    OperationMode,
    Plan,
    Reason,
    StateSpan,
    Track,
    bucket_of,
    classify,
    item_of,
    mode_of,
    spans,
    totals,
)

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "cases" / "golden_factory" / "oee_golden.json").read_text()
)
S = 1_000_000_000
MINUTE = 60 * S
ITEMS = {"NotAvailable": 0, "OutOfService": 1, "NotExecuting": 2, "Executing": 3}
MODES = {"None": 0, "Maintenance": 1, "Setup": 2, "Processing": 3}


def shift() -> tuple[list[StateSpan], Production]:
    rows = [
        (
            a * MINUTE,
            ItemState(ITEMS[item]),
            OperationMode(MODES[mode.split()[0]]),
            order == "order",
        )
        for a, _, item, mode, order, *_ in GOLDEN["segments"]
    ]
    times = tuple(row[0] for row in rows)
    stops = [edge * MINUTE for stop in GOLDEN["planned_down"] for edge in stop[:2]]
    parts = list(
        spans(
            0,
            GOLDEN["pot_min"] * MINUTE,
            Track(times, tuple(row[1] for row in rows)),
            Track(times, tuple(row[2] for row in rows)),
            Track(times, tuple(row[3] for row in rows)),
            Track((0, stops[0]), (Plan.SHIFT, Plan.MAINTENANCE)),
        )
    )
    window = totals(classify(parts), 0, GOLDEN["pot_min"] * MINUTE)
    machine = Production(
        "EQ-1",
        window,
        Fraction(GOLDEN["pq"]),
        Fraction(GOLDEN["gq"]),
        Fraction(str(GOLDEN["pru_min"])) * 60,
    )
    return parts, machine


def test_each_segment_falls_into_its_bucket() -> None:
    parts, _ = shift()
    assert [bucket_of(part)[0].value for part in parts] == [row[5] for row in GOLDEN["segments"]]


def figures(machine: Production, results: dict[str, MetricResult]) -> dict[str, Fraction | None]:
    minutes = {bucket.value: machine.seconds(bucket) / 60 for bucket in Bucket}
    return {
        **minutes,
        "AUBT": (machine.aubt or Fraction(0)) / 60,
        "AUPT": machine.aupt / 60,
        "availability": results["M-11"].value,
        "quality_ratio": results["M-12"].value,
        "effectiveness": results["M-13"].value,
        "oee": results["M-14"].value,
        "nee": results["M-15"].value,
        "allocation_efficiency": results["M-16-allocation"].value,
        "utilization_efficiency": results["M-16-utilisation"].value,
        "technical_efficiency": results["M-16-technical"].value,
        "setup_ratio": results["M-16-setup"].value,
        "mttr_min": (results["M-17-mttr"].value or Fraction(0)) / 60,
        "mtbf_min": (results["M-17-mtbf"].value or Fraction(0)) / 60,
        "data_coverage": machine.coverage,
        "availability_unknown_excluded": Fraction(
            str(results["M-11"].details["availability_unknown_excluded"])
        ),
    }


@pytest.mark.parametrize("key", sorted(GOLDEN["expected"]))
def test_every_expected_figure(key: str) -> None:
    _, machine = shift()
    value = figures(machine, evaluate(machine))[key]
    assert value is not None
    assert round(float(value), 6) == GOLDEN["expected"][key]


def test_the_shift_adds_up() -> None:
    _, machine = shift()
    assert machine.totals.pbt == GOLDEN["pbt_min"] * MINUTE
    assert machine.totals.pot == GOLDEN["pot_min"] * MINUTE
    assert machine.totals.failures == GOLDEN["failures"]
    oee = evaluate(machine)["M-14"]
    assert oee.details["identity_holds"] is True
    assert oee.value == Fraction(321, 450)


def test_the_loss_pareto_is_sorted_and_complete() -> None:
    _, machine = shift()
    assert [(loss["loss"], loss["seconds"]) for loss in losses(machine)] == [
        ("no_order", 1800), ("setup", 1800), ("standing", 1200), ("failure", 900), ("unknown", 600),
    ]  # fmt: skip


def span(
    item: ItemState,
    mode: OperationMode = OperationMode.PROCESSING,
    order: bool = True,
    plan: Plan = Plan.SHIFT,
    s: int = 60,
) -> StateSpan:
    return StateSpan(0, s * S, item, mode, order, plan)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (span(ItemState.EXECUTING, plan=Plan.OFF), (Bucket.OVERTIME, Reason.NONE)),
        (span(ItemState.NOT_AVAILABLE, plan=Plan.OFF), (Bucket.OFF, Reason.NONE)),
        (span(ItemState.NOT_EXECUTING, plan=Plan.STOP), (Bucket.PLANNED, Reason.NONE)),
        (span(ItemState.EXECUTING, plan=Plan.STOP), (Bucket.PLANNED, Reason.WORK_IN_STOP)),
        (
            span(ItemState.NOT_EXECUTING, plan=Plan.MAINTENANCE),
            (Bucket.PLANNED, Reason.PLANNED_MAINTENANCE),
        ),
        (span(ItemState.NOT_AVAILABLE), (Bucket.ADET, Reason.UNKNOWN)),
        (span(ItemState.NOT_AVAILABLE, order=False), (Bucket.ADOT, Reason.UNKNOWN)),
        (span(ItemState.EXECUTING, OperationMode.MAINTENANCE), (Bucket.ADET, Reason.MAINTENANCE)),
        (
            span(ItemState.NOT_EXECUTING, OperationMode.MAINTENANCE, order=False),
            (Bucket.ADET, Reason.MAINTENANCE),
        ),
        (span(ItemState.EXECUTING, OperationMode.SETUP), (Bucket.ASUT, Reason.NONE)),
        (
            span(ItemState.OUT_OF_SERVICE, OperationMode.SETUP, order=False),
            (Bucket.ASUT, Reason.NONE),
        ),
        (span(ItemState.EXECUTING), (Bucket.APT, Reason.NONE)),
        (span(ItemState.EXECUTING, OperationMode.NONE, order=False), (Bucket.APT, Reason.NONE)),
        (span(ItemState.OUT_OF_SERVICE), (Bucket.ADET, Reason.SHORT_STOP)),
        (span(ItemState.NOT_EXECUTING), (Bucket.ADET, Reason.STANDING)),
        (span(ItemState.NOT_EXECUTING, order=False), (Bucket.ADOT, Reason.NONE)),
        (span(ItemState.OUT_OF_SERVICE, order=False), (Bucket.ADOT, Reason.NONE)),
    ],
)
def test_the_rows_of_the_table(row: StateSpan, expected: tuple[Bucket, Reason]) -> None:
    assert bucket_of(row) == expected


def test_the_table_is_total() -> None:
    for item, mode, order, plan in product(ItemState, OperationMode, (True, False), Plan):
        assert bucket_of(span(item, mode, order, plan))[0] in Bucket


def story(*parts: tuple[ItemState, int] | tuple[ItemState, int, OperationMode]) -> list[StateSpan]:
    rows, t = [], 0
    for item, seconds, *mode in parts:
        rows.append(
            StateSpan(
                t,
                t + seconds * S,
                item,
                mode[0] if mode else OperationMode.PROCESSING,
                True,
                Plan.SHIFT,
            )
        )
        t += seconds * S
    return rows


UP, DOWN, LOST, IDLE = (
    ItemState.EXECUTING,
    ItemState.OUT_OF_SERVICE,
    ItemState.NOT_AVAILABLE,
    ItemState.NOT_EXECUTING,
)


@pytest.mark.parametrize(
    ("parts", "failures"),
    [
        (((UP, 60), (DOWN, 29), (UP, 60)), 0),
        (((UP, 60), (DOWN, 30), (UP, 60)), 1),
        (((UP, 60), (DOWN, 60), (UP, 29), (DOWN, 60), (UP, 60)), 1),
        (((UP, 60), (DOWN, 60), (UP, 30), (DOWN, 60), (UP, 60)), 2),
        (((UP, 60), (DOWN, 60), (LOST, 600), (DOWN, 60), (UP, 60)), 1),
        (((UP, 60), (LOST, 600), (UP, 60)), 0),
        (((UP, 60), (DOWN, 60), (IDLE, 600, OperationMode.MAINTENANCE), (DOWN, 60), (UP, 60)), 1),
        (((UP, 60), *((DOWN, 5), (UP, 5)) * 6, (UP, 60)), 1),
        (((UP, 60), *((DOWN, 5), (UP, 5)) * 5, (UP, 60)), 0),
        (((DOWN, 60),), 1),
        ((), 0),
    ],
)
def test_failures_are_debounced(parts: tuple[tuple[ItemState, int], ...], failures: int) -> None:
    assert DEBOUNCE_NS == 30 * S
    assert len(classify(story(*parts)).failures) == failures


def test_maintenance_after_a_failure_is_corrective() -> None:
    line = classify(
        story(
            (UP, 60),
            (DOWN, 60),
            (IDLE, 600, OperationMode.MAINTENANCE),
            (UP, 60),
            (IDLE, 300, OperationMode.MAINTENANCE),
        )
    )
    machine = Production("EQ-1", totals(line, 0, 10**15))
    results = evaluate(machine)
    assert results["M-17-mttr"].value == 660
    assert results["M-17-corrective"].value == Fraction(600, 900)


def test_without_failures_mtbf_is_null_and_the_operating_time_is_told() -> None:
    result = evaluate(Production("EQ-1", totals(classify(story((UP, 60))), 0, 10**15)))["M-17-mtbf"]
    assert (result.value, result.numerator) == (None, 60)
    assert result.reason is not None


def test_order_from_the_calendar_makes_adot_and_its_company_null() -> None:
    machine = Production(
        "EQ-1", totals(classify(story((UP, 60), (IDLE, 60))), 0, 10**15), order_source="calendar"
    )
    results = evaluate(machine)
    assert results["M-11"].value == Fraction(1, 2)
    for metric in ("M-16-allocation", "M-16-utilisation"):
        assert results[metric].value is None
        assert "order_source: calendar" in results[metric].reason.en  # type: ignore[union-attr]
    assert any("order_source" in note.en for note in results["M-11"].notes)


def test_missing_counters_are_null_and_never_a_hundred_percent() -> None:
    window = totals(classify(story((UP, 60))), 0, 10**15)
    results = evaluate(Production("EQ-1", window, pq=Fraction(10), pru_s=Fraction(6)))
    assert results["M-13"].value == 1
    assert results["M-12"].value is None
    assert results["M-14"].value is None
    assert "GQ" in results["M-12"].reason.zh  # type: ignore[union-attr]


def test_effectiveness_above_one_is_flagged_and_not_clipped() -> None:
    window = totals(classify(story((UP, 60))), 0, 10**15)
    result = evaluate(Production("EQ-1", window, Fraction(12), Fraction(12), Fraction(6)))["M-13"]
    assert result.value == Fraction(6, 5)
    assert any("Above 100 %" in note.en for note in result.notes)


def test_numbers_outside_the_vocabulary_are_no_state() -> None:
    assert [item_of(value) for value in (3, 9, None, True, 2.5, "3")] == [
        UP,
        LOST,
        LOST,
        LOST,
        LOST,
        LOST,
    ]
    assert [mode_of(value) for value in (1, 9, None)] == [
        OperationMode.MAINTENANCE,
        OperationMode.NONE,
        OperationMode.NONE,
    ]


def test_tracks_are_checked() -> None:
    with pytest.raises(ValueError, match="rise strictly"):
        Track((1, 1), (UP, UP))
    with pytest.raises(ValueError, match="one length"):
        Track((1,), ())
