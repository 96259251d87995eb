"""Paging through the past: every reading once and in order, and a long emptiness costs some
questions only."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.app.values.source import ReadingsPage, StoredDevice, pages

S = 1_000_000_000
DAY = 86_400 * S
MS = 1_000_000


class Readings:
    """A source of readings at these times that counts what it is asked."""

    def __init__(self, times: list[int]) -> None:
        self.times = sorted(times)
        self.asked = 0

    def devices(self) -> dict[str, StoredDevice]:
        return {}

    def newest(self, device: str, tag: str) -> int | None:
        return self.times[-1] if self.times else None

    def evidence(self, device: str, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
        return []

    def page(self, device: str, tag: str, from_ns: int, to_ns: int) -> ReadingsPage:
        self.asked += 1
        found = self._between(from_ns, to_ns)
        size = len(found)
        return ReadingsPage(
            np.array(found, np.int64), np.zeros(size), np.zeros(size, np.uint32), [0.0] * size
        )

    def any(self, device: str, tag: str, from_ns: int, to_ns: int) -> bool:
        """As inexact as a store may be: what lies within a millisecond of an end is overlooked."""
        self.asked += 1
        return bool(self._between(from_ns + MS, to_ns - MS))

    def _between(self, from_ns: int, to_ns: int) -> list[int]:
        return self.times[bisect_left(self.times, from_ns) : bisect_left(self.times, to_ns)]


def read(source: Readings, begin: int, until: int) -> list[int]:
    found: list[int] = []
    for page in pages(source, "plc-1", "speed", begin, until):
        found += page.t.tolist()
    return found


@given(
    st.lists(
        st.integers(0, 4000 * DAY) | st.integers(0, 16_000).map(lambda n: n * DAY // 4), max_size=20
    ),
    st.integers(0, 2000 * DAY),
    st.integers(1, 4000 * DAY),
)
def test_every_reading_of_the_window_comes_once_and_in_order(
    times: list[int], begin: int, length: int
) -> None:
    source = Readings(times)
    until = begin + length
    assert read(source, begin, until) == [t for t in source.times if begin <= t < until]


def test_years_without_readings_take_some_questions() -> None:
    """`history --from 2000-01-01` of a tag that began this morning asked the store once for each
    six hours."""
    until = 20_000 * DAY
    source = Readings([until - 3600 * S, until - 1])
    assert read(source, 0, until) == source.times
    assert source.asked < 100
    nothing = Readings([])
    assert read(nothing, 0, until) == []
    assert nothing.asked < 100
