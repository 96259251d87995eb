"""An agent that is stopped and goes on (SIGSTOP, a paused machine): that was us, and no device, disk
or broker is blamed for it."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.agents import configuration
from tests.support.aio import run, until
from tests.support.modbus_wire import Device, honest, tcp_device
from tests.support.servers import free_port

BLAME = re.compile(r"did not answer|power|wiring|disk|电源")


def test_a_request_that_was_under_way_is_no_fault_of_the_device(tmp_path: Path) -> None:
    device = Device({0: 7})
    owed: list[int] = []
    going = asyncio.Event()
    going.set()

    async def slow(writer: asyncio.StreamWriter, tid: int, unit: int, pdu: bytes) -> None:
        owed.append(tid)
        await asyncio.sleep(0.3)
        await going.wait()
        owed.clear()
        await honest(writer, tid, unit, pdu, device)

    async def scenario() -> str:
        async with tcp_device(slow) as url:
            keys = f"url: '{url}', every: 500ms, tags: {{a: {{address: holding/0}}}}"
            config = configuration(tmp_path, free_port(), {"d": keys})
            with (tmp_path / "log").open("wb") as log:
                argv = [sys.executable, "-m", "edge_agent", "run", str(config)]
                agent = subprocess.Popen(argv, stderr=log)
            try:
                await until(lambda: len(device.asked) >= 2)
                await until(lambda: owed)
                agent.send_signal(signal.SIGSTOP)
                going.clear()
                before = len(device.asked)
                await asyncio.sleep(2.0)  # what is tried: it is stopped for so long
                agent.send_signal(signal.SIGCONT)
                await asyncio.sleep(0.1)
                going.set()
                await until(lambda: len(device.asked) > before + 3)
            finally:
                agent.terminate()
                await asyncio.to_thread(agent.wait, 30)
        return (tmp_path / "log").read_text()

    text = run(scenario())
    failed = [line for line in text.splitlines() if "device-failed" in line]
    assert failed, "a read was under way"
    assert all("The agent itself stood still for" in line for line in failed)
    assert not [line for line in text.splitlines() if BLAME.search(line)]
