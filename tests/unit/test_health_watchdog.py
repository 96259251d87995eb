"""The watchdog is fed by progress, and by nothing else."""

from __future__ import annotations

import asyncio
import socket
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


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    assert not watchdog.notify("READY=1")
    run(watchdog.feed(list))
