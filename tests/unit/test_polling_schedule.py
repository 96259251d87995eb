"""The absolute schedule, the breaker's share of the bus, and the back-off's bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.model import Tag, TagTable
from edge_agent.polling.backoff import DeviceBackoff
from edge_agent.polling.breaker import PROBE_SHARE, Breaker
from edge_agent.polling.schedule import PollSchedule

pytestmark = pytest.mark.slow


@given(
    period=st.sampled_from([0.1, 0.25, 1.0, 60.0]),
    delays=st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=60),
)
def test_turns_stay_on_the_grid_and_every_turn_is_served_or_counted(
    period: float, delays: list[float]
) -> None:
    schedule = PollSchedule(100.0, period)
    now, skipped = 100.0, 0
    for served, delay in enumerate(delays, 1):
        now = max(now, schedule.due) + delay
        skipped += schedule.advance(now)
        turns = (schedule.due - 100.0) / period
        assert abs(turns - round(turns)) < 1e-6
        assert round(turns) == served + skipped
        assert schedule.due > now - 1e-9


def test_a_fast_reader_never_drifts() -> None:
    schedule = PollSchedule(0.0, 0.1)
    for _ in range(10_000):
        assert schedule.advance(schedule.due + 0.01) == 0
    assert schedule.due == 10_000 * 0.1


TABLE, *_ = TABLES = [TagTable("m1", 1.0, (Tag(name, "float", None),)) for name in "abcd"]
HEARD = TagTable("m1", 1.0, (Tag("heard", "float", None),))


@given(cost=st.floats(0.06, 10), tables=st.integers(1, 4), answers=st.booleans())
def test_probes_of_a_dead_unit_take_at_most_their_share_of_the_bus(
    cost: float, tables: int, answers: bool
) -> None:
    """And those of silent tables no more, whether or not the unit `answers` for another one all the
    time."""
    breaker, now, busy = Breaker(), 0.0, 0.0
    while now < 1000 * cost:
        for table in TABLES[:tables]:
            if breaker.allows(table, now):
                now += cost
                busy += cost
                breaker.failed(table, now, cost)
        if answers:
            breaker.answered(HEARD)
        now += cost / 7
    assert busy / now <= PROBE_SHARE + 5 * tables * cost / now
    assert breaker.is_open is not answers


def test_a_table_that_stays_silent_is_set_aside_by_itself() -> None:
    breaker = Breaker()
    for now in (0.0, 1.0):
        breaker.failed(TABLE, now, 1.0)
        breaker.answered(HEARD)
    assert not breaker.allows(TABLE, 2.0)
    assert breaker.allows(HEARD, 2.0)
    assert (breaker.alone(TABLE), breaker.alone(HEARD)) == (True, False)
    assert not breaker.moved(), "the unit is not set aside, so there is nothing to tell of it"


def test_what_a_dead_unit_was_never_asked_for_is_asked_once() -> None:
    breaker = Breaker()
    for now in (0.0, 1.0):
        breaker.failed(TABLE, now, 1.0)
    assert breaker.allows(HEARD, 1.0)
    assert not breaker.alone(TABLE)
    breaker.failed(HEARD, 2.0, 1.0)
    assert not breaker.allows(HEARD, 3.0)


def test_a_unit_that_is_back_is_asked_for_all_its_tables_at_once() -> None:
    breaker = Breaker()
    for now in range(4):
        breaker.failed((TABLE, HEARD)[now % 2], float(now), 1.0)
    breaker.answered(HEARD)
    assert breaker.allows(TABLE, 4.0)
    breaker.failed(TABLE, 5.0, 1.0)
    breaker.answered(HEARD)
    assert not breaker.allows(TABLE, 6.0), "an answer that is no news does not hurry the silent one"


def test_one_failure_does_not_set_a_unit_aside_and_an_answer_brings_it_back() -> None:
    breaker = Breaker()
    breaker.failed(TABLE, 0.0, 1.0)
    assert breaker.allows(TABLE, 0.0)
    breaker.failed(TABLE, 1.0, 1.0)
    assert not breaker.allows(TABLE, 2.0)
    assert (breaker.moved(), breaker.moved()) == (True, False), "told once"
    assert breaker.allows(TABLE, 20.5)
    breaker.answered(TABLE)
    assert breaker.allows(TABLE, 2.0)
    assert (breaker.moved(), breaker.moved()) == (True, False)


def test_back_off_grows_is_bounded_on_both_sides_and_starts_again_after_success() -> None:
    backoff = DeviceBackoff()
    waits = [backoff.wait() for _ in range(50)]
    assert all(0.05 <= wait <= 1.6 for wait in waits)
    assert min(waits[10:]) >= 0.8
    backoff.reset()
    assert backoff.wait() <= 0.1
