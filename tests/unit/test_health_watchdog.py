"""The watchdog is fed by progress, and by nothing else."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from edge_agent.health import watchdog
from tests.support.aio import run, until


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    door.bind(str(tmp_path / "notify"))
    door.setblocking(False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    return door


def test_progress_feeds_and_a_stalled_loop_stops_feeding(manager: socket.socket) -> None:
    stuck: list[str] = []

    def told() -> bool:
        try:
            return manager.recv(100) == b"WATCHDOG=1"
        except BlockingIOError:
            return False

    async def scenario() -> None:
        task = asyncio.create_task(watchdog.feed(lambda: stuck))
        await until(told)
        stuck.append("tcp://plc")
        asked = 0

        def count() -> list[str]:
            nonlocal asked
            asked += 1
            return stuck

        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        while told():
            continue
        task = asyncio.create_task(watchdog.feed(count))
        await until(lambda: asked >= 3)
        assert not told()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario())
    manager.close()


def test_a_manager_that_takes_nothing_holds_nobody_up(manager: socket.socket) -> None:
    told: list[bool] = []

    def tell_until_refused() -> None:
        while not told or told[-1]:
            told.append(watchdog.notify("WATCHDOG=1"))

    teller = threading.Thread(target=tell_until_refused, daemon=True)
    teller.start()
    teller.join(20)
    waits = teller.is_alive()
    manager.close()  # which lets go of one that waits
    assert not waits
    assert told[0]
    assert not told[-1]


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    assert not watchdog.notify("READY=1")
    run(watchdog.feed(list))
