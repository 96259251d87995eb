"""The time-out that moves with every request, on one timer."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

from edge_agent.sdk import Deadline
from tests.support.aio import run


def test_it_is_over_once_and_not_before_its_time() -> None:
    async def scenario() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        told: list[float] = []

        def expired() -> None:
            told.append(loop.time())
            over.set()

        began = loop.time()
        Deadline(expired).set(0.01)
        await over.wait()
        assert told[0] - began >= 0.01
        assert len(told) == 1

    run(scenario())


def test_requests_answered_in_time_share_one_timer() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        deadline = Deadline(lambda: None)
        with patch.object(loop, "call_at", wraps=loop.call_at) as timers:
            for _ in range(100):
                deadline.set(30.0)
                deadline.clear()
            assert timers.call_count == 1
        deadline.stop()

    run(scenario())


def test_a_timer_that_fires_too_early_looks_again() -> None:
    async def scenario() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        deadline = Deadline(over.set)
        deadline.set(0.005)
        moved = loop.time()
        deadline.set(0.02)
        await over.wait()
        assert loop.time() - moved >= 0.02

    run(scenario())


def test_a_shorter_time_out_is_not_held_up_by_a_longer_one() -> None:
    async def scenario() -> None:
        over = asyncio.Event()
        deadline = Deadline(over.set)
        deadline.set(3600.0)
        deadline.set(0.001)
        await over.wait()

    run(scenario(), timeout=30)


def test_what_is_not_waited_for_is_never_over() -> None:
    async def scenario() -> None:
        told: list[int] = []
        cleared, stopped = (Deadline(lambda: told.append(1)) for _ in range(2))
        cleared.set(0.001)
        cleared.clear()
        stopped.set(0.001)
        stopped.stop()
        later = asyncio.Event()
        Deadline(later.set).set(0.01)
        await later.wait()
        assert not told

    run(scenario())
