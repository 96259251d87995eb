"""Run a coroutine in a fresh loop and fail if it leaves a task behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T], timeout: float = 60.0) -> T:
    """The result of the coroutine; AssertionError for a leftover task, TimeoutError after `timeout`
    seconds."""

    async def main() -> T:
        result = await asyncio.wait_for(coroutine, timeout)
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, f"tasks left behind: {left}"
        return result

    return asyncio.run(main())


async def until(
    condition: Callable[[], object | Awaitable[object]], timeout: float = 20.0, what: str = ""
) -> Any:
    """Poll `condition` (plain or async) every 10 ms until it is true; returns its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        await asyncio.sleep(0.01)  # poll interval of this waiter
