"""A connection for which nobody waits any more is closed, whenever that happens."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from edge_agent.mqtt import dial
from tests.support.aio import run


class Inline:
    """A thread whose work is done when it is started, so that the order of events is known."""

    def __init__(self, target: Callable[[], None], **_: object) -> None:
        self.start = target


def test_a_connection_made_in_the_turn_of_the_cancellation_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = socket.socketpair()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        def connected(*_: object) -> socket.socket:
            # after the result came, before its waiter runs
            loop.call_soon(lambda: loop.call_soon(task.cancel))
            return ours

        monkeypatch.setattr(dial, "dial", connected)
        monkeypatch.setattr(dial, "threading", SimpleNamespace(Thread=Inline))
        task = asyncio.create_task(dial.dial_async("broker", 1883, None, 1.0))
        with pytest.raises(asyncio.CancelledError):
            await task

    run(scenario())
    assert ours.fileno() == -1
    theirs.close()
