"""Numbers on the wire as people write them: single precision, and integers with a scale."""

from __future__ import annotations

import struct
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import decimals
from edge_agent.decimals import integer_scale, shortest_single, shortest_singles
from edge_agent.model import Batch, Tag, TagTable
from edge_agent.normalise import Normaliser

SINGLES = st.floats(width=32)


def single(value: float) -> float:
    """The nearest number of single precision, as a double."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


@pytest.mark.parametrize(
    "written", [230.7, 0.1, -12.34, 1e-7, 3.4e38, 1e20, 0.0, 16777215.0, 1e-45]
)
def test_single_precision_reads_as_it_was_written(written: float) -> None:
    assert shortest_single(single(written)) == written
    assert shortest_singles([single(written)] * 20) == [written] * 20


@given(SINGLES)
def test_the_shortest_decimal_reads_back_and_none_is_shorter(value: float) -> None:
    found = shortest_single(value)
    assert struct.pack("f", found) == struct.pack("f", value) or value != value
    assert len(repr(found)) <= len(repr(value))
    if value == value and not 2**24 <= abs(value) < 2**53:
        assert found == float(str(np.float32(value)))


@given(st.lists(SINGLES, min_size=decimals._FEW, max_size=40))
def test_a_column_is_what_its_numbers_are(values: list[float]) -> None:
    assert list(map(repr, shortest_singles(values))) == list(
        map(repr, map(shortest_single, values))
    )


@pytest.mark.parametrize("counter", [71687208.0, -16777218.0, 2.0**52, 4294967296.0])
def test_a_counter_of_single_precision_keeps_its_last_digit(counter: float) -> None:
    assert shortest_single(counter) == counter
    assert shortest_singles([0.5, counter] * 10) == [0.5, counter] * 10


@pytest.mark.parametrize(
    ("raw", "scale", "offset", "expected"),
    [
        (2307, 0.1, 0.0, 230.7), (-2307, 0.1, 0.0, -230.7), (12345, 0.001, -50.0, -37.655), (7, 0.01, 0.05, 0.12),
        (3, 10.0, 0.0, 30.0), (2**64 - 1, 0.001, 0.0, 18446744073709551.615), (1, 1e-5, 273.15, 273.15001),
        (500, 0.1, -40.0, 10.0), (1, 2.5, 1e-10, 2.5000000001),
    ],
)  # fmt: skip
def test_a_scaled_integer_has_the_decimals_of_its_scale(
    raw: int, scale: float, offset: float, expected: float
) -> None:
    table = TagTable("d", 1.0, (Tag("v", "float", None, scale=scale, offset=offset),))
    for columns in (None, [0]):
        batch = Batch(table, 1, [raw], columns=columns)
        Normaliser(table).apply(batch)
        assert batch.values == [expected]
    batch = Batch(table, 1, [[raw, raw]])
    Normaliser(table).apply(batch)
    assert batch.values == [[expected, expected]]


@given(
    st.integers(-(2**63), 2**64 - 1),
    st.decimals(-1000, 1000, places=4).map(float).filter(bool),
    st.decimals(-1000, 1000, places=3).map(float),
)
def test_a_scaled_integer_is_the_double_nearest_to_the_exact_result(
    raw: int, scale: float, offset: float
) -> None:
    scaled = integer_scale(scale, offset)
    assert scaled is not None
    exact = Fraction(raw) * Fraction(Decimal(repr(scale))) + Fraction(Decimal(repr(offset)))
    assert scaled(raw) == float(exact)


@pytest.mark.parametrize("scale", [1e-300, 1e300, 5e-324])
def test_a_scale_that_is_no_decimal_of_a_few_places_is_a_product(scale: float) -> None:
    assert integer_scale(scale, 0.0) is None
    table = TagTable("d", 1.0, (Tag("v", "float", None, scale=scale),))
    batch = Batch(table, 1, [3])
    Normaliser(table).apply(batch)
    assert batch.values == [3 * scale]
