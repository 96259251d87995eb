"""What connecting may cost: retries share a rate, successes cost nothing of it, descriptors are
counted."""

from __future__ import annotations

import asyncio
import errno

import pytest

from edge_agent.errors import DeviceError
from edge_agent.model import STATUS
from edge_agent.polling.attempts import ConnectionSlots, RetryBudget, as_descriptor_fault
from tests.support.aio import run


def test_failed_attempts_share_the_rate() -> None:
    async def attempts() -> tuple[int, int]:
        budget = RetryBudget(rate=0.001, burst=3)  # the bucket does not fill within this test
        made = 0

        async def retry() -> None:
            nonlocal made
            await budget.take()
            made += 1

        tasks = [asyncio.create_task(retry()) for _ in range(10)]
        for _ in range(20):
            await asyncio.sleep(0)
        before = made
        for _ in range(4):  # four of them got an answer
            budget.refund()
        for _ in range(20):
            await asyncio.sleep(0)
        after = made
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return before, after

    assert run(attempts()) == (3, 7)


def test_the_bucket_fills_with_time() -> None:
    async def attempts() -> int:
        budget = RetryBudget(rate=2000.0, burst=1)
        for _ in range(10):
            await budget.take()
        return 10

    assert run(asyncio.wait_for(attempts(), 10)) == 10


def test_who_gives_up_takes_no_place() -> None:
    async def attempts() -> bool:
        budget = RetryBudget(rate=0.001, burst=1)
        await budget.take()
        gone = asyncio.create_task(budget.take())
        waits = asyncio.create_task(budget.take())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        budget.refund()
        await asyncio.wait_for(waits, 5)
        return True

    assert run(attempts())


def test_a_token_given_to_a_cancelled_attempt_returns() -> None:
    async def attempts() -> bool:
        budget = RetryBudget(rate=0.001, burst=1)
        await budget.take()
        first = asyncio.create_task(budget.take())
        second = asyncio.create_task(budget.take())
        await asyncio.sleep(0)
        budget.refund()  # the token is first's, who is cancelled before it wakes
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await asyncio.wait_for(second, 5)
        return True

    assert run(attempts())


def test_a_connection_beyond_the_descriptors_is_a_finding_of_its_device() -> None:
    slots = ConnectionSlots(2)
    slots.acquire()
    slots.acquire()
    with pytest.raises(DeviceError, match="descriptor") as caught:
        slots.acquire()
    assert caught.value.status == STATUS["BadResourceUnavailable"]
    assert caught.value.lost
    slots.release()
    slots.acquire()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_connector_that_runs_out_of_descriptors_says_so(number: int) -> None:
    fault = DeviceError(STATUS["BadNoCommunication"], "cannot connect", lost=True)
    fault.__cause__ = OSError(number, "Too many open files")
    found = as_descriptor_fault(fault)
    assert found is not None
    assert found.status == STATUS["BadResourceUnavailable"]
    assert as_descriptor_fault(OSError(errno.ECONNREFUSED, "refused")) is None
