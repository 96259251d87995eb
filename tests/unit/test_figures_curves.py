"""Columns behind the figures: energy of a power, runs of readings, spans of evidence."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.metrics.counters import count
from edge_agent.metrics.lateness import from_histogram, lateness
from edge_agent.metrics.readings import Readings
from edge_agent.metrics.result import Window
from edge_agent.production.power_energy import energy_while_known, moments
from edge_agent.production.store_source import _rounded
from edge_agent.stores import SampleRuns
from edge_agent.stores.evidence import bridged, clipped, joined
from edge_agent.stores.stretch_integrals import StretchTotals, piece
from edge_agent.stores.stretch_integrals import joined as joined_pieces

pytestmark = pytest.mark.slow

HOUR = 3_600_000_000_000


def test_a_power_holds_until_the_next_reading_and_only_where_it_was_known() -> None:
    t = np.array([0, 2, 3], np.int64) * HOUR
    kw, bad = np.array([1.0, 10.0, np.nan]), np.zeros(3, np.uint32)
    known = [(HOUR // 2, 5 * HOUR // 2), (11 * HOUR // 4, 5 * HOUR)]
    at = moments(0, 9 * HOUR, HOUR, [], known)
    adding = StretchTotals(at, None)
    adding.add(piece(t, kw, bad, 9 * HOUR), 9 * HOUR)
    used = energy_while_known(at, adding.total, known)
    assert used is not None
    counted = count(Readings(at, used))
    assert counted.between(0, 9 * HOUR) == Fraction(3, 2) + 5 + Fraction(5, 2)
    assert counted.between(2 * HOUR, 3 * HOUR) == Fraction(15, 2)
    assert counted.profile(np.array([0, HOUR, 3 * HOUR, 4 * HOUR])) == [
        Fraction(1, 2),
        Fraction(17, 2),
        0,
    ]
    assert energy_while_known(at, adding.total, []) is None
    assert energy_while_known(at, adding.total, [(20 * HOUR, 21 * HOUR)]) is None


@given(
    st.lists(
        st.floats(0, 1e12) | st.decimals(0, 10**6, places=9).map(float), min_size=1, max_size=20
    )
)
def test_an_energy_is_rounded_to_the_double_its_decimals_are_written_as(
    numbers: list[float],
) -> None:
    found = _rounded(np.array(numbers)).tolist()
    assert found == [round(number, 9) for number in found], (
        "no more digits are written than nine decimals"
    )
    assert found == pytest.approx(numbers, rel=1e-15, abs=0.6e-9)


@given(
    st.lists(
        st.tuples(st.integers(1, 400), st.one_of(st.none(), st.integers(0, 50)), st.booleans()),
        max_size=60,
    ),
    st.sets(st.integers(0, 6000), min_size=2, max_size=20),
    st.sets(st.integers(0, 6000), max_size=8),
    st.one_of(st.none(), st.integers(0, 50)),
)
def test_a_total_is_the_same_however_the_readings_are_cut(
    readings: list[tuple[int, int | None, bool]], asked: set[int], cuts: set[int], lead: int | None
) -> None:
    """Against a sum by hand; stretches are also kept as their values at the moments alone."""
    t = (
        np.cumsum([step for step, _, _ in readings], dtype=np.int64)
        if readings
        else np.zeros(0, np.int64)
    )
    num = np.array([np.nan if value is None else value for _, value, _ in readings], np.float64)
    status = np.array([0x80000000 if bad else 0 for *_, bad in readings], np.uint32)
    at = np.array(sorted(asked), np.int64)
    first, last = int(at[0]), int(at[-1])
    before = np.flatnonzero(t < first)
    held = (
        lead
        if not len(before)
        else float(np.nan_to_num(num[before[-1]])) * (status[before[-1]] == 0)
    )
    bounds = [first, *sorted(cut for cut in cuts if first < cut < last), last]
    whole, thinned = StretchTotals(at, held), StretchTotals(at, held)
    for start, end in pairwise(bounds):
        own = (t >= start) & (t < end)
        part = piece(t[own], num[own], status[own], end)
        whole.add(part, end)
        thinned.add(None if part is None else part.cut(at), end)
    rate = np.where(status == 0, np.nan_to_num(num), 0.0)
    second = np.arange(first, last)
    place = np.searchsorted(t, second, "right") - 1
    by_hand = np.where(
        place >= len(before) if len(before) else place >= 0,
        rate[place] if len(t) else 0.0,
        held or 0.0,
    )
    expected = np.concatenate([[0.0], np.cumsum(by_hand)])[at - first] / HOUR
    assert whole.total == pytest.approx(expected, abs=1e-15)
    assert thinned.total == pytest.approx(expected, abs=1e-15)
    assert whole.seen == (held is not None or bool(np.any((t >= first) & (t < last))))


def test_kept_stretches_join_over_what_was_held_between_them() -> None:
    nan = np.nan
    at = np.array([10, 60, 60, 100, 130, 160]) * 36_000_000_000
    one = joined_pieces(
        at, np.array([0.0, 5, 0, 2, 0, 1]), np.array([nan, 50.0, nan, 20.0, nan, 7.0])
    )
    assert one.used.tolist() == [0, 5, 5, 7, 13, 14]
    assert one.rate == 7.0


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40), st.integers(0, 40))
def test_runs_are_the_same_however_the_samples_are_cut(
    samples: list[tuple[int, bool]], cut: int
) -> None:
    t = np.arange(len(samples), dtype=np.int64)
    num = np.array([np.nan if value == 3 else float(value) for value, _ in samples])
    status = np.array([0x80000000 if bad else 0 for _, bad in samples], np.uint32)
    whole = SampleRuns.of(t, num, status)
    parts = [SampleRuns.of(t[a], num[a], status[a]) for a in (slice(0, cut), slice(cut, None))]
    assert told(SampleRuns.join(parts)) == told(whole)
    assert sum(whole.last - whole.first + 1) == len(samples)
    assert len(SampleRuns.join([])) == 0


def told(runs: SampleRuns) -> list[tuple[int, int, str, int]]:
    columns = (
        runs.first.tolist(),
        runs.last.tolist(),
        map(str, runs.num.tolist()),
        runs.status.tolist(),
    )
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
