"""Any timeline: every second in one bucket, windows add up, identities hold. Any counter: windows
add up."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.metrics.counters import U16, CounterRule, count
from edge_agent.metrics.oee import Production, evaluate
from edge_agent.metrics.timemodel import (
    Bucket,
    ItemState,
    OperationMode,
    Plan,
    Timeline,
    Track,
    classify,
    spans,
    totals,
)

S = 1_000_000_000
END = 4000 * S


def tracks(values: st.SearchStrategy[object]) -> st.SearchStrategy[Track[object]]:
    times = st.lists(st.integers(0, 4000), max_size=12, unique=True).map(sorted)
    return times.flatmap(
        lambda ts: st.lists(values, min_size=len(ts), max_size=len(ts)).map(
            lambda vs: Track(tuple(t * S for t in ts), tuple(vs))
        )
    )


timelines = st.builds(
    lambda item, mode, order, plan: classify(spans(0, END, item, mode, order, plan)),
    tracks(st.sampled_from(ItemState)),
    tracks(st.sampled_from(OperationMode)),
    st.none() | tracks(st.booleans()),
    tracks(st.sampled_from(Plan)),
)
counts = st.none() | st.fractions(0, 500, max_denominator=1)


@given(timelines)
def test_every_second_is_in_exactly_one_bucket(timeline: Timeline) -> None:
    assert all(a.end == b.start for a, b in pairwise(timeline.slices))
    window = totals(timeline, 0, END)
    assert sum(window.parts.values()) == END
    assert window.bucket(Bucket.APT, Bucket.ASUT, Bucket.ADET, Bucket.ADOT) == window.pbt
    assert window.pot + window.bucket(Bucket.OVERTIME, Bucket.OFF) == END
    assert 0 <= window.unknown <= window.pbt


@given(timelines, st.lists(st.integers(0, 4000), max_size=5))
def test_windows_add_up(timeline: Timeline, cuts: list[int]) -> None:
    edges = [0, *sorted(cut * S for cut in cuts), END]
    parts = [totals(timeline, a, b) for a, b in pairwise(edges)]
    *_, summed = accumulate(parts, lambda one, other: one + other)
    whole = totals(timeline, 0, END)
    assert {key: length for key, length in summed.parts.items() if length} == whole.parts
    assert summed.failures == whole.failures


@given(
    timelines,
    counts,
    st.none() | st.integers(0, 100),
    st.none() | st.fractions(0, 100, max_denominator=10),
)
def test_oee_identities(
    timeline: Timeline, pq: Fraction | None, good: int | None, pru: Fraction | None
) -> None:
    gq = None if pq is None or good is None else pq * good / 100
    results = evaluate(Production("EQ-1", totals(timeline, 0, END), pq, gq, pru))
    for metric, result in results.items():
        assert (result.value is None) == (result.reason is not None), metric
    for metric in (
        "M-11",
        "M-12",
        "M-16-allocation",
        "M-16-utilisation",
        "M-16-technical",
        "M-16-setup",
        "M-17-corrective",
    ):
        value = results[metric].value
        assert value is None or 0 <= value <= 1, metric
    assert results["M-14"].details.get("identity_holds", True) is True
    oee, nee = results["M-14"].value, results["M-15"].value
    assert oee is None or nee is None or nee >= oee


readings = st.lists(st.tuples(st.integers(1, 100), st.integers(0, U16 - 1)), max_size=20).map(
    lambda rows: list(
        zip(accumulate(row[0] * S for row in rows), (row[1] for row in rows), strict=True)
    )
)
rules = st.builds(CounterRule, modulus=st.sampled_from([None, U16]), restarts=st.booleans())


@given(readings, rules, st.lists(st.integers(0, 2000), max_size=5))
def test_counted_windows_add_up_and_are_never_negative(
    rows: list[tuple[int, int]], rule: CounterRule, cuts: list[int]
) -> None:
    counted = count(rows, rule)
    edges = [0, *sorted(cut * S for cut in cuts), 2001 * S]
    parts = [counted.between(a, b) for a, b in pairwise(edges)]
    assert all(part >= 0 for part in parts)
    assert sum(parts, Fraction(0)) == counted.total


@given(st.lists(st.integers(0, U16 // 16), max_size=50), st.integers(0, U16 - 1))
def test_a_rolling_counter_counts_what_was_counted(increments: list[int], first: int) -> None:
    truth = list(accumulate([first, *increments]))
    rows = [(index * S, value % U16) for index, value in enumerate(truth)]
    assert count(rows, CounterRule(U16)).total == truth[-1] - truth[0]
