"""Columns behind the figures: energy curves, runs of readings, spans of evidence."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.metrics.counters import U16, Rule, count
from edge_agent.metrics.curve import integrated, metered
from edge_agent.metrics.lateness import from_histogram, lateness
from edge_agent.metrics.result import Window
from edge_agent.stores import Changes
from edge_agent.stores.evidence import bridged, clipped, joined

HOUR = 3_600_000_000_000
READINGS = st.lists(st.integers(0, 65535), min_size=1, max_size=30)


@given(READINGS, st.data())
def test_a_meters_curve_counts_what_a_counter_counts(values: list[int], data: st.DataObject) -> None:
    rule = data.draw(st.sampled_from([Rule(), Rule(U16), Rule(restarts=True), Rule(U16, ratio=Fraction(40))]))
    t = np.arange(len(values), dtype=np.int64) * HOUR
    curve = metered(t, np.array(values, np.float64), rule)
    exact = count([(int(when), value) for when, value in zip(t, values, strict=True)], rule)
    assert curve.between(0, int(t[-1])) == exact.total
    assert curve.events == exact.events
    cut = data.draw(st.integers(0, int(t[-1])))
    assert float(curve.between(0, cut)) == pytest.approx(float(exact.between(0, cut)), abs=1e-6)
    whole = curve.between(0, cut) + curve.between(cut, int(t[-1]))
    assert float(whole) == pytest.approx(float(exact.total), abs=1e-8)
    assert curve.over([(0, cut), (cut, int(t[-1]))]) == curve.between(0, int(t[-1]))


def test_a_power_holds_until_the_next_reading_and_only_where_it_was_known() -> None:
    t = np.array([0, 2, 3], np.int64) * HOUR
    kw = np.array([1.0, 10.0, np.nan])
    known = [(HOUR // 2, 5 * HOUR // 2), (11 * HOUR // 4, 5 * HOUR)]
    curve = integrated(t, kw, known)
    assert curve.between(0, 9 * HOUR) == Fraction(3, 2) + 5 + Fraction(5, 2)
    assert curve.between(2 * HOUR, 3 * HOUR) == Fraction(15, 2)
    assert curve.seen(0, HOUR)
    assert not curve.seen(6 * HOUR, 7 * HOUR)
    assert integrated(t, kw, []).between(0, HOUR) == 0
    assert metered(t[:0], kw[:0], Rule()).resolution == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40), st.integers(0, 40))
def test_runs_are_the_same_however_the_samples_are_cut(samples: list[tuple[int, bool]], cut: int) -> None:
    t = np.arange(len(samples), dtype=np.int64)
    num = np.array([np.nan if value == 3 else float(value) for value, _ in samples])
    status = np.array([0x80000000 if bad else 0 for _, bad in samples], np.uint32)
    whole = Changes.of(t, num, status)
    parts = [Changes.of(t[a], num[a], status[a]) for a in (slice(0, cut), slice(cut, None))]
    assert told(Changes.join(parts)) == told(whole)
    assert sum(whole.last - whole.first + 1) == len(samples)
    assert len(Changes.join([])) == 0


def told(runs: Changes) -> list[tuple[int, int, str, int]]:
    columns = (runs.first.tolist(), runs.last.tolist(), map(str, runs.num.tolist()), runs.status.tolist())
    return list(zip(*columns, strict=True))


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 20)), max_size=12), st.integers(0, 5))
def test_joined_spans_cover_what_they_were_made_of(raw: list[tuple[int, int]], seam: int) -> None:
    since = np.array([start for start, _ in raw], np.int64)
    until = since + np.array([length for _, length in raw], np.int64)
    spans = joined(since, until, seam)
    assert all(a[1] + seam < b[0] for a, b in pairwise(spans))
    for start, length in raw:
        assert any(a <= start and start + length <= b for a, b in spans)
    assert bridged(spans, seam) == spans
    assert all(10 <= a < b <= 50 for a, b in clipped(spans, 10, 50) if a != b)


@given(st.lists(st.integers(-50, 3000), min_size=1, max_size=60))
def test_lateness_of_a_histogram_is_that_of_its_values(delays: list[int]) -> None:
    counts = {ms: delays.count(ms) for ms in set(delays)}
    by_value = lateness([ms * 1_000_000 for ms in delays])
    by_count = from_histogram(counts, [], Window())
    assert {key: result.value for key, result in by_count.items()} == {
        key: result.value for key, result in by_value.items()
    }
    assert by_count["M-21-p50"].details == by_value["M-21-p50"].details
