"""The absolute schedule, the breaker's share of the bus, and the back-off's bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.polling.backoff import Backoff
from edge_agent.polling.breaker import PROBE_SHARE, Breaker
from edge_agent.polling.schedule import Schedule


@given(
    period=st.sampled_from([0.1, 0.25, 1.0, 60.0]),
    delays=st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=60),
)
def test_turns_stay_on_the_grid_and_every_turn_is_served_or_counted(period: float, delays: list[float]) -> None:
    schedule = Schedule(100.0, period)
    now, skipped = 100.0, 0
    for served, delay in enumerate(delays, 1):
        now = max(now, schedule.due) + delay
        skipped += schedule.advance(now)
        turns = (schedule.due - 100.0) / period
        assert abs(turns - round(turns)) < 1e-6
        assert round(turns) == served + skipped
        assert schedule.due > now - 1e-9


def test_a_fast_reader_never_drifts() -> None:
    schedule = Schedule(0.0, 0.1)
    for _ in range(10_000):
        assert schedule.advance(schedule.due + 0.01) == 0
    assert schedule.due == 10_000 * 0.1


@given(cost=st.floats(0.06, 10))
def test_probes_of_a_dead_unit_take_at_most_their_share_of_the_bus(cost: float) -> None:
    breaker, now, busy = Breaker(), 0.0, 0.0
    while now < 1000 * cost:
        if breaker.allows(now):
            now += cost
            busy += cost
            breaker.failed(now, cost)
        else:
            now += cost / 7
    assert busy / now <= PROBE_SHARE + 3 * cost / now


def test_one_failure_does_not_set_a_unit_aside_and_an_answer_brings_it_back() -> None:
    breaker = Breaker()
    breaker.failed(0.0, 1.0)
    assert breaker.allows(0.0)
    breaker.failed(1.0, 1.0)
    assert not breaker.allows(2.0)
    assert (breaker.moved(), breaker.moved()) == (True, False), "told once"
    assert breaker.allows(20.5)
    breaker.answered()
    assert breaker.allows(20.5)
    assert (breaker.moved(), breaker.moved()) == (True, False)


def test_back_off_grows_is_bounded_on_both_sides_and_starts_again_after_success() -> None:
    backoff = Backoff()
    waits = [backoff.wait() for _ in range(50)]
    assert all(0.05 <= wait <= 1.6 for wait in waits)
    assert min(waits[10:]) >= 0.8
    backoff.reset()
    assert backoff.wait() <= 0.1
