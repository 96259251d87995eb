"""Steps over readings: what each one says is what the readings say, however they come in pages."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.app.values.gaps import UnknownSpan
from edge_agent.app.values.source import ReadingsPage
from edge_agent.app.values.steps import HistoryStep, HistorySteps, plain_step
from edge_agent.model import STATUS

S = 1_000_000_000
BAD = STATUS["BadTimeout"]
UNCERTAIN = STATUS["UncertainSubNormal"]


def page(*readings: tuple[float, Any] | tuple[float, Any, int]) -> ReadingsPage:
    """Readings as (second, value[, status])."""
    rows = [(*reading, 0)[:3] for reading in readings]
    values = [value for _, value, _ in rows]
    return ReadingsPage(
        np.array([int(at * S) for at, _, _ in rows], np.int64),
        np.array([float(v) if isinstance(v, int | float) else np.nan for v in values], np.float64),
        np.array([code for _, _, code in rows], np.uint32),
        values,
    )


def stepped(
    *pages: ReadingsPage, until: int = 40, step: int = 10, limit: float = 25, vouched: bool = False
) -> HistorySteps:
    steps = HistorySteps(
        0, until * S, step * S, origin=0, limit=int(limit * S), vouched=lambda begin, end: vouched
    )
    for one in pages:
        steps.feed(one)
    return steps


def test_the_mean_weighs_a_reading_as_long_as_it_held() -> None:
    found = stepped(page((0, 10.0), (2, 20.0), (10, 0.0), (19, 100.0), (20, 7.0))).finish()
    assert found[0] == HistoryStep(0, 10.0, 20.0, pytest.approx((2 * 10 + 8 * 20) / 10), 20.0, 2, 0)
    assert found[1].mean == pytest.approx(10.0)
    assert (found[1].low, found[1].high) == (0.0, 100.0)


def test_what_holds_is_in_every_step_and_a_gap_in_none() -> None:
    steps = stepped(page((5, 3.0), (28, 4.0), (29, "x")), until=100)
    found = steps.finish()
    assert [step.t // S for step in found] == [0, 10, 20, 30, 40, 50][: len(found)]
    assert [(step.low, step.mean, step.last, step.readings) for step in found[:3]] == [
        (3.0, 3.0, 3.0, 1), (3.0, 3.0, 3.0, 0), (3.0, pytest.approx((8 * 3 + 1 * 4) / 9), "x", 2),
    ]  # fmt: skip
    assert steps.gaps == [UnknownSpan(29 * S, 100 * S, 0)]
    assert len(found) == 3


def test_silence_that_is_vouched_for_is_no_gap() -> None:
    steps = stepped(page((5, 3.0)), until=100, vouched=True)
    assert [step.last for step in steps.finish()] == [3.0] * 10
    assert steps.gaps == []


def test_the_worst_quality_of_a_step_is_told_and_bad_readings_have_no_part_in_its_numbers() -> None:
    readings = page((1, 5.0), (2, None, BAD), (3, 9.0, UNCERTAIN), (12, 1.0))
    found = stepped(readings, until=20).finish()
    assert (found[0].status, found[0].low, found[0].high, found[0].readings) == (BAD, 5.0, 9.0, 3)
    assert found[0].mean == pytest.approx((1 * 5 + 7 * 9) / 8)
    assert found[1].status == UNCERTAIN, "it held into the second step"


def test_a_window_that_begins_long_before_the_first_reading_begins_with_a_gap() -> None:
    steps = stepped(page((35, 1.0)))
    assert [step.t // S for step in steps.finish()] == [30]
    assert steps.gaps == [UnknownSpan(0, 35 * S, None)]


readings_ = st.lists(
    st.tuples(
        st.integers(0, 99_999),
        st.one_of(
            st.none(), st.booleans(), st.integers(-5, 5), st.floats(-1e6, 1e6), st.text(max_size=2)
        ),
        st.sampled_from([0, 0, 0, BAD, UNCERTAIN]),
    ),
    unique_by=lambda reading: reading[0],
    max_size=30,
)


@pytest.mark.slow
@given(readings=readings_, cuts=st.lists(st.integers(0, 30), max_size=3), step=st.integers(1, 40))
def test_pages_make_no_difference_and_nothing_is_counted_twice(
    readings: Any, cuts: list[int], step: int
) -> None:
    rows = [
        (at / 1000, value, code) for at, value, code in sorted(readings, key=lambda row: row[0])
    ]
    whole = stepped(page(*rows), until=100, step=step, limit=7)
    edges = [0, *sorted(cuts), len(rows)]
    parts = stepped(*(page(*rows[a:b]) for a, b in pairwise(edges)), until=100, step=step, limit=7)
    found, again = whole.finish(), parts.finish()
    assert [tuple(map(repr, one[:3] + one[4:])) for one in found] == [
        tuple(map(repr, one[:3] + one[4:])) for one in again
    ]
    assert [one.mean for one in found] == [
        one.mean and pytest.approx(one.mean, rel=1e-6) for one in again
    ]
    assert whole.gaps == parts.gaps
    assert sum(one.readings for one in found) == len(rows)
    for one in found:
        if one.mean is not None:
            assert one.low is not None
            assert one.high is not None
            assert one.low <= one.mean <= one.high


def test_steps_are_of_lengths_that_people_think_in() -> None:
    assert [plain_step(int(s * S)) // S for s in (0.1, 7, 61, 4000, 86_401)] == [
        1,
        10,
        120,
        7200,
        172_800,
    ]
