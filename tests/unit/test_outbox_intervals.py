from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.intervals import IntervalSet

NUMBERS = st.integers(1, 40)
PAIRS = st.tuples(NUMBERS, NUMBERS).map(lambda p: (min(p), max(p)))
STEPS = st.lists(st.tuples(st.booleans(), PAIRS), max_size=30)


def _both(steps: list[tuple[bool, tuple[int, int]]]) -> tuple[IntervalSet, set[int]]:
    ours, model = IntervalSet(), set[int]()
    for add, (first, last) in steps:
        if add:
            ours.add(first, last)
            model |= set(range(first, last + 1))
        else:
            ours.discard(first, last)
            model -= set(range(first, last + 1))
    return ours, model


def _numbers(pairs: list[tuple[int, int]]) -> list[int]:
    return [n for first, last in pairs for n in range(first, last + 1)]


@given(STEPS, PAIRS)
def test_behaves_like_a_set_of_integers(
    steps: list[tuple[bool, tuple[int, int]]], window: tuple[int, int]
) -> None:
    ours, model = _both(steps)
    span = set(range(window[0], window[1] + 1))
    assert _numbers(ours.pairs()) == sorted(model)
    assert ours.total == len(model)
    assert bool(ours) == bool(model)
    assert [n in ours for n in range(45)] == [n in model for n in range(45)]
    assert _numbers(ours.missing(*window)) == sorted(span - model)
    assert _numbers(ours.within(*window)) == sorted(span & model)
    assert ours.covers(*window) == (span <= model)
    assert ours.next_missing(window[0]) == next(n for n in range(window[0], 99) if n not in model)


@given(STEPS)
def test_intervals_are_disjoint_sorted_and_never_adjacent(
    steps: list[tuple[bool, tuple[int, int]]],
) -> None:
    pairs = _both(steps)[0].pairs()
    assert all(first <= last for first, last in pairs)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(pairs))


def test_equal_members_are_equal_sets_however_they_came_in() -> None:
    assert IntervalSet([(1, 3), (4, 6)]) == IntervalSet([(5, 6), (1, 4)])


def test_an_empty_interval_is_refused() -> None:
    with pytest.raises(ValueError, match=r"empty interval 3\.\.2"):
        IntervalSet().add(3, 2)
