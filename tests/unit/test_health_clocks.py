"""A device's clock is judged by values that have just changed, ours by the monotonic one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.health.clocks import EPOCH_NS, OwnClock, SourceClock
from edge_agent.model import Batch, Tag, TagTable

TABLE = TagTable("dev", 1.0, tuple(Tag(name, "float", None) for name in "abc"))
T0 = 1_763_900_000_000_000_000
S = 1_000_000_000


def read(clock: SourceClock, second: float, sources: list[int | None]) -> None:
    clock.polled(Batch(TABLE, T0 + int(second * S), [1.0] * 3, source=sources), second)


def test_a_value_that_stands_still_says_nothing_about_the_clock() -> None:
    clock = SourceClock(60.0)
    for second in range(100):
        read(clock, second, [T0 - 86_400 * S, None, T0 - 7 * S])
    assert clock.offset is None
    assert not clock.off


def test_the_offset_is_taken_from_what_changed_between_two_reads() -> None:
    clock = SourceClock(60.0)
    for second in range(10):
        read(clock, second, [T0 - 86_400 * S, T0 + int((second + 3600 - 0.25) * S), None])
    assert clock.offset == pytest.approx(3599.75)
    assert clock.off


@given(st.floats(-1e7, 1e7), st.floats(0.1, 1000))
def test_the_tolerance_decides_but_not_below_two_periods(offset: float, tolerance: float) -> None:
    clock = SourceClock(tolerance)
    for second in range(3):
        read(clock, second, [T0 + int((second + offset) * S), None, None])
    assert clock.off == (abs(clock.offset or 0.0) > max(tolerance, 2.0))


def test_drift_needs_a_baseline_and_a_set_clock_begins_a_new_one() -> None:
    clock = SourceClock(60.0)
    gain = 5.0 / 86_400
    for second in range(0, 590, 10):
        read(clock, second, [T0 + int((second * (1 + gain)) * S), None, None])
    assert clock.drift is None
    for second in range(590, 2000, 10):
        read(clock, second, [T0 + int((second * (1 + gain)) * S), None, None])
    assert clock.drift == pytest.approx(5.0, rel=0.01)
    read(clock, 2010, [T0 + 5610 * S, None, None])
    assert clock.offset == pytest.approx(3600)
    assert clock.drift is None


def test_notifications_are_sampled_once_a_second() -> None:
    clock = SourceClock(60.0)
    clock.told(Batch(TABLE, T0, [1.0], source=[T0 - 2 * S], columns=[1]), 0.0)
    assert clock.offset == -2.0
    clock.told(Batch(TABLE, T0, [1.0], source=[T0 - 9 * S], columns=[1]), 0.5)
    assert clock.offset == -2.0
    clock.told(Batch(TABLE, T0, [1.0], source=[None], columns=[1]), 5.0)
    assert clock.offset == -2.0


def test_our_own_clock_being_set_is_a_finding_for_an_hour_and_slewing_is_none() -> None:
    own = OwnClock(T0, 0.0)
    for second in range(1, 4000):  # 0.5 ms/s, the fastest that NTP slews
        assert not own.look(T0 + int(second * 1.0005 * S), second)
    assert own.findings(4000) == []
    assert own.look(T0 + 4000 * S - 7200 * S, 4000)
    assert own.jump == pytest.approx(-7202, abs=0.1)
    assert own.findings(4001) == ["clock_jump"]
    assert own.findings(7601) == []


def test_a_machine_that_starts_in_1970_says_so_until_its_clock_is_set() -> None:
    own = OwnClock(5 * S, 5.0)
    assert own.findings(6) == ["clock_unset"]
    assert own.look(EPOCH_NS + 1, 10.0)
    assert own.findings(10) == ["clock_jump"]
