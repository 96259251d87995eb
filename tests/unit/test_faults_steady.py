"""The judge of growth: swings are not growth, growth is not hidden by swings, and too short a run
says so."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.steady import Sample, Trend, floors, settled, trend

pytestmark = pytest.mark.slow


def swinging(per_hour: float, seconds: int = 1800, noise: float = 5.0) -> list[Sample]:
    """A sample every two seconds: a sawtooth of 20 000 over 150 s, noise, and growth beneath."""
    chance = random.Random(1)
    return [
        (
            float(t),
            100_000 + per_hour * t / 3600 + 20_000 * (t % 150) / 150 + noise * chance.random(),
        )
        for t in range(0, seconds, 2)
    ]


def test_a_sawtooth_alone_is_no_growth() -> None:
    found = trend(floors(swinging(0.0), 180.0))
    assert not found.exceeds(100)
    assert abs(found.per_hour) <= found.resolution


def test_growth_beneath_a_sawtooth_is_found() -> None:
    found = trend(floors(swinging(5000.0), 180.0))
    assert found.exceeds(100)
    assert abs(found.per_hour - 5000) <= found.resolution


def test_the_warm_up_does_not_count() -> None:
    samples = [(float(t), min(t, 300) * 100.0) for t in range(0, 1800, 2)]
    assert trend(settled(samples, 300.0)) == Trend(0.0, 0.0)
    assert settled(samples[:150], 300.0)[0][0] == 100.0, "a third of a run that is shorter"


def test_a_short_run_resolves_nothing() -> None:
    found = trend([(0.0, 1.0), (60.0, 2.0)])
    assert found.resolution == math.inf
    assert found.unresolved(1e9)
    assert not found.exceeds(0)
    assert trend([]).unresolved(100)
    assert str(found) == "not resolved"
    points = [(float(60 * i), float(i % 2)) for i in range(6)]
    assert trend(points[:5]).resolution == math.inf
    assert trend(points).resolution < math.inf


@given(
    slope=st.floats(-1e4, 1e4),
    times=st.lists(st.integers(0, 10_000), min_size=8, max_size=30, unique=True),
    outliers=st.floats(0, 1e6),
)
def test_a_line_is_found_in_spite_of_an_outlier(
    slope: float, times: list[int], outliers: float
) -> None:
    points = [(float(t), slope * t / 3600) for t in sorted(times)]
    assert math.isclose(trend(points).per_hour, slope, rel_tol=1e-6, abs_tol=1e-6)
    points[len(points) // 2] = (points[len(points) // 2][0], outliers)
    assert math.isclose(trend(points).per_hour, slope, rel_tol=1e-6, abs_tol=1e-6)
