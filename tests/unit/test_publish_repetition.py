"""Documents for a broker that keeps none: each of them once a minute, evenly."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.publish.retransmit_schedule import PERIOD_S, RetransmitSchedule


@pytest.mark.slow
@given(st.integers(1, 300), st.lists(st.floats(0.5, 3), min_size=80, max_size=120))
def test_each_document_comes_once_in_each_period(count: int, steps: list[float]) -> None:
    topics = [str(number) for number in range(count)]
    repetition, now, last = RetransmitSchedule(0.0), 0.0, dict.fromkeys(topics, 0.0)
    for step in steps:
        now += step
        for topic in repetition.due(topics, now):
            last[topic] = now
        assert all(now - at <= PERIOD_S + 2 * 3.0 for at in last.values())


def test_they_do_not_come_all_at_once() -> None:
    topics = [str(number) for number in range(600)]
    repetition = RetransmitSchedule(0.0)
    sent = [repetition.due(topics, float(second)) for second in range(1, 61)]
    assert max(map(len, sent)) <= 11
    assert set(Counter(topic for some in sent for topic in some).values()) == {1}


@pytest.mark.parametrize("pause", [600.0, 1e6])
def test_after_a_pause_each_is_sent_once(pause: float) -> None:
    repetition = RetransmitSchedule(0.0)
    assert sorted(repetition.due(["a", "b"], pause)) == ["a", "b"]
    assert repetition.due([], pause + 1) == []
