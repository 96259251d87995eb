"""More devices than descriptors: those that fit are read, the rest say why, and the agent answers
for itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_agent.app.status.ask import ask_agent
from edge_agent.config import load
from edge_agent.errors import FindingsError
from tests.support.agents import Plc, configuration, online, running
from tests.support.aio import run, until

DESCRIPTORS = 48


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


@contextlib.contextmanager
def agent_process(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_agent", "run", str(path)],
        stderr=subprocess.PIPE,
        preexec_fn=few_descriptors,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
        assert process.returncode == 0, log.decode()[-3000:]


def test_devices_beyond_the_descriptors_are_findings_and_status_answers(tmp_path: Path) -> None:
    async def go() -> None:
        async with contextlib.AsyncExitStack() as stack:
            plcs = [await stack.enter_async_context(Plc().on()) for _ in range(DESCRIPTORS)]
            tags = "every: 200ms, tags: {a: {address: holding/0, type: uint16}}"
            devices = {
                f"plc-{number}": f"url: '{plc.url}', {tags}" for number, plc in enumerate(plcs)
            }
            path = configuration(tmp_path, 1, devices)  # no broker: the outbox takes it all
            site = load(path)
            process = stack.enter_context(agent_process(path))

            def answered() -> dict[str, Any] | None:
                assert process.poll() is None
                try:
                    found = ask_agent(site)
                except FindingsError:
                    return None
                if found is None:
                    return None
                rows = found["devices"]
                done = [
                    row for row in rows if row["state"] == "online" or "descriptor" in row["detail"]
                ]
                return found if len(done) == len(rows) else None

            deadline = time.monotonic() + 30
            while (status := await asyncio.to_thread(answered)) is None:
                assert time.monotonic() < deadline, "the agent did not answer for all its devices"
                await asyncio.sleep(0.1)  # poll
            read = [row for row in status["devices"] if row["state"] == "online"]
            refused = [row for row in status["devices"] if "descriptor" in row["detail"]]
            assert len(read) > DESCRIPTORS // 4
            assert len(read) + len(refused) == len(plcs)
            reasons = {notice["reason"] for row in refused for notice in row["ne107"]["notices"]}
            assert "BadResourceUnavailable" in reasons
            assert status["process"]["descriptors"] < DESCRIPTORS - 4, "no reserve left"

    run(go(), timeout=60)


def test_a_crowd_behind_one_switch_is_back_as_fast_as_it_answers(tmp_path: Path) -> None:
    """More dead devices than retries a second: those that answer free their places for the others
    at once."""

    async def go() -> None:
        async with contextlib.AsyncExitStack() as stack:
            plcs = [await stack.enter_async_context(Plc().on()) for _ in range(120)]
            tags = "timeout: 200ms, every: 200ms, tags: {a: {address: holding/0, type: uint16}}"
            devices = {f"plc-{n}": f"url: '{plc.url}', {tags}" for n, plc in enumerate(plcs)}
            path = configuration(tmp_path, 1, devices)
            path.write_text(
                path.read_text(encoding="utf-8").replace(" timeout: 500ms,", ""), "utf-8"
            )
            async with running(path) as agent:
                names = list(devices)
                await until(online(agent, *names))
                for plc in plcs:
                    plc.silent = True
                await until(lambda: all(d.health.state != "online" for d in agent.devices))
                for plc in plcs:
                    plc.silent = False
                await until(online(agent, *names))

    run(go(), timeout=90)
