"""What fails because this process itself stood still is not the device's fault, nor the disk's."""

from __future__ import annotations

import asyncio
import contextlib
import time

from edge_agent.app.agent.self_health import _Disk
from edge_agent.errors import DeviceError
from edge_agent.model import STATUS
from edge_agent.polling.standstill import LATE_S, PULSE_S, Standstill
from tests.support.aio import run

SILENCE = ["BadTimeout", "BadConnectionClosed", "BadSessionIdInvalid", "BadCommunicationError"]
ANSWERS = ["BadConfigurationError", "BadNodeIdUnknown", "BadSensorFailure"]


@contextlib.asynccontextmanager
async def pulsing():
    standstill = Standstill()
    task = asyncio.create_task(standstill.run())
    await asyncio.sleep(0)
    try:
        yield standstill
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_what_fails_while_we_stood_still_is_ours() -> None:
    async def scenario() -> None:
        async with pulsing() as standstill:
            began = time.monotonic()
            time.sleep(PULSE_S + LATE_S + 0.2)  # as if suspended: nothing else runs
            for pulse_was_first in (False, True):
                for name in SILENCE:
                    fault = DeviceError(STATUS[name], "silent", lost=True)
                    ours = standstill.excused(fault, began)
                    assert ours.cause.name == "agent_paused", pulse_was_first
                    assert "并非设备故障" in ours.cause.zh
                    assert (ours.status, ours.lost) == (STATUS[name], True)
                for name in ANSWERS:
                    answer = DeviceError(STATUS[name], "refused")
                    assert standstill.excused(answer, began) is answer, "that was no silence"
                await asyncio.sleep(PULSE_S / 2)
            later = DeviceError(STATUS["BadTimeout"], "silent")
            assert standstill.excused(later, time.monotonic()) is later, "begun after that"
            assert standstill.until() > began

    run(scenario())


def test_a_device_that_is_silent_while_we_run_is_to_blame() -> None:
    async def scenario() -> None:
        async with pulsing() as standstill:
            began = time.monotonic()
            await asyncio.sleep(PULSE_S)
            fault = DeviceError(STATUS["BadTimeout"], "silent")
            assert standstill.excused(fault, began) is fault

    run(scenario())


def test_the_disk_is_not_behind_for_the_time_we_stood_still() -> None:
    disk = _Disk()
    never = float("-inf")
    assert disk.look(0, 5, 0.0, never) == 0.0
    assert disk.look(0, 5, 8.0, never) == 8.0
    assert disk.look(0, 5, 9.0, 9.0) == 0.0
    assert disk.look(0, 5, 15.0, 9.0) == 6.0, "and from then on it is"
