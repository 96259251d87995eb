"""The question to a silent server: any answer will do, none is the end of the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
from asyncua import ua

from connectors.opcua import pulse
from connectors.opcua.options import OpcuaDevice
from connectors.opcua.session import OpcuaSession
from edge_agent.sdk import STATUS, DeviceError
from tests.support.aio import run, until


class Server:
    """Stands in for the session; `answer` is what a read does."""

    def __init__(self, answer: Callable[[], object]) -> None:
        self.options = OpcuaDevice(endpoint="opc.tcp://h", timeout=0.05)
        self.service = self
        self.answer = answer
        self.asked = 0

    async def read(self, _: ua.ReadParameters) -> None:
        self.asked += 1
        if self.answer() is None:
            await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_LEAST_PATIENCE_S", 0.01)


async def watched(server: Server, heard: Callable[[], float], times: int) -> bool:
    """Whether the watch went on through so many questions."""
    task = asyncio.create_task(pulse.watch(cast(OpcuaSession, server), heard))
    try:
        await until(lambda: server.asked >= times or task.done())
        return not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def refuse() -> object:
    raise ua.UaStatusCodeError(0x801F0000)  # BadUserAccessDenied


@pytest.mark.parametrize("answer", [object, refuse], ids=["a value", "a refusal"])
def test_opcua_a_silent_server_that_answers_is_kept(answer: Callable[[], object]) -> None:
    assert run(watched(Server(answer), lambda: 0.0, 3))


def test_opcua_a_server_that_answers_nothing_is_dropped() -> None:
    async def case() -> None:
        with pytest.raises(DeviceError) as failed:
            await pulse.watch(cast(OpcuaSession, Server(lambda: None)), lambda: 0.0)
        assert (failed.value.lost, failed.value.status) == (True, STATUS["BadTimeout"])

    run(case())


def test_opcua_a_server_that_is_busy_but_reports_is_kept() -> None:
    async def case() -> bool:
        loop, reports = asyncio.get_running_loop(), [0.0]
        # Each question goes unanswered, but a notification comes while it waits.
        server = Server(lambda: reports.append(loop.time()))
        return await watched(server, lambda: reports[-1], 3)

    assert run(case())


def test_opcua_a_server_that_reports_is_not_asked() -> None:
    async def case() -> int:
        loop = asyncio.get_running_loop()
        server = Server(object)
        task = asyncio.create_task(pulse.watch(cast(OpcuaSession, server), loop.time))
        await asyncio.wait([task], timeout=0.3)  # many times the patience
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return server.asked

    assert run(case()) == 0
