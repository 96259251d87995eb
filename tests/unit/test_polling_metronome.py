"""What connections share: one alarm for all, the end of a round of reads, one grid for equal
periods."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.polling.poll_timer import BURST_VALUES, SLOT_S, TOGETHER, PollTimer
from tests.support.aio import run


def test_sleepers_wake_in_order_and_none_before_its_time() -> None:
    woken: list[float] = []

    async def scenario() -> None:
        metronome, loop = PollTimer(), asyncio.get_running_loop()

        async def sleeper(seconds: float) -> None:
            began = loop.time()
            await metronome.sleep(seconds)
            assert loop.time() - began >= seconds
            woken.append(seconds)

        await asyncio.gather(*(sleeper(n / 1000) for n in (9, 3, 12, 1, 6, 3)))

    run(scenario())
    assert woken == [0.001, 0.003, 0.003, 0.006, 0.009, 0.012]


def test_a_hundred_sleepers_with_one_moment_are_one_timer() -> None:
    async def scenario() -> None:
        metronome, loop = PollTimer(), asyncio.get_running_loop()
        with (
            patch.object(loop, "time", lambda: 5.0),
            patch.object(loop, "call_at", wraps=loop.call_at) as timers,
        ):
            sleepers = [asyncio.create_task(metronome.sleep(0.01)) for _ in range(100)]
            await asyncio.sleep(0)
            assert timers.call_count == 1
        await asyncio.gather(*sleepers)

    run(scenario())


def test_a_crowd_is_woken_in_groups() -> None:
    async def scenario() -> None:
        metronome, loop = PollTimer(), asyncio.get_running_loop()
        crowd = [asyncio.create_task(metronome.sleep(3600.0)) for _ in range(2 * TOGETHER + 5)]
        await asyncio.sleep(0)
        left, later = [], loop.time() + 7200.0
        with patch.object(loop, "time", lambda: later):
            for _ in range(3):
                metronome._ring(loop)
                left.append(len(metronome._sleepers))
        assert left == [TOGETHER + 5, 5, 0]
        await asyncio.gather(*crowd)

    run(scenario())


def test_one_cancelled_in_its_sleep_holds_up_nobody() -> None:
    async def scenario() -> None:
        metronome = PollTimer()
        first, second = (asyncio.create_task(metronome.sleep(0.01)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert first.cancelled()

    run(scenario())


def test_the_end_of_the_last_read_is_told_and_of_no_other() -> None:
    told: list[int] = []
    metronome = PollTimer(lambda: told.append(1))
    metronome.begin()
    metronome.begin()
    metronome.end()
    assert not told
    metronome.end()
    assert told == [1]


@given(
    st.floats(0, 1e6),
    st.lists(st.floats(0, 1e5), min_size=1),
    st.sampled_from((0.05, 0.1, 0.25, 1.0, 60.0, 86_400.0)),
)
def test_whoever_begins_later_falls_in_with_the_others(
    origin: float, later: list[float], period: float
) -> None:
    metronome = PollTimer()
    assert metronome.on_grid(origin, period, 1) == origin
    for wait in later:
        now = origin + wait
        begin = metronome.on_grid(now, period, 1)
        assert abs(now - begin) <= period * 0.5 + 1e-6
        turns = (begin - origin) / period
        assert turns == pytest.approx(round(turns), abs=1e-4)


@given(
    st.lists(st.integers(1, 2 * BURST_VALUES), min_size=1, max_size=100),
    st.sampled_from((0.1, 1.0, 60.0)),
)
def test_no_moment_gets_more_than_a_burst_and_one_table_until_the_period_is_full(
    sizes: list[int], period: float
) -> None:
    metronome, at = PollTimer(), defaultdict[int, list[int]](list)
    for size in sizes:
        at[
            round(metronome.on_grid(1000.0, period, size) % period / SLOT_S)
            % round(period / SLOT_S)
        ].append(size)
    rounds = 1 + sum(sizes) // BURST_VALUES // round(period / SLOT_S)
    assert all(
        sum(read) - max(read) <= rounds * BURST_VALUES + (rounds - 1) * max(sizes)
        for read in at.values()
    )
    if sum(sizes) <= BURST_VALUES:
        assert len(at) == 1, "a small site is read together"
