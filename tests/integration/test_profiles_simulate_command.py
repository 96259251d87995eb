"""`edge-agent simulate CONFIG` as an integrator runs it: announces, serves, writes the file, ends
on Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.config import load
from edge_agent.config.compile import plans
from edge_agent.config.plugins import InstalledPlugins
from edge_agent.model import STATUS
from edge_agent.sdk import Clock, DeviceError, Pollable
from tests.support.aio import run

SITE = """
agent: {id: ipc-01}
mqtt: {url: mqtt://127.0.0.1:1883}
devices:
  - {id: meter-a, url: tcp://10.0.1.50:502, unit: 3, profile: eastron-sdm120}
  - {id: meter-b, url: tcp://10.0.1.50:502, unit: 4, profile: carlo-gavazzi-em24}
"""


@contextmanager
def simulating(config: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command and what it said until it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_agent", "simulate", str(config), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Ctrl-C"):
                break
        yield process, said
    finally:
        process.kill()
        process.communicate(timeout=20)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "plant.yaml"
    file.write_text(SITE, encoding="utf-8")
    return file


def test_the_command_serves_every_device_and_ends_on_ctrl_c(config: Path) -> None:
    redirected = config.with_name("plant.simulated.yaml")

    async def read_both() -> dict[str, object]:
        members = plans(load(redirected))
        plugin = InstalledPlugins()["modbus"]
        assert len({plugin.connection_key(plan.options) for plan in members}) == 1
        connection = plugin.connect(members, Clock())
        assert isinstance(connection, Pollable)
        await connection.open()
        try:
            return {plan.id: (await connection.read(plan.tables[0])).status for plan in members}
        finally:
            await connection.close()

    with simulating(config) as (process, said):
        assert "meter-a" in said
        assert str(redirected) in said
        assert run(read_both()) == {"meter-a": {}, "meter-b": {}}
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_a_fault_on_the_command_line_is_felt_through_the_wire(config: Path) -> None:
    async def read_one() -> int:
        plan = plans(load(config.with_name("plant.simulated.yaml")))[1]
        connection = InstalledPlugins()["modbus"].connect([plan], Clock())
        assert isinstance(connection, Pollable)
        await connection.open()
        try:
            batch = await connection.read(plan.tables[0])
            return next(iter(batch.status.values()), 0)
        except DeviceError as error:
            return error.status
        finally:
            await connection.close()

    with simulating(config, "--fault", "meter-b:slave_timeout"):
        assert run(read_one()) == STATUS["BadNoCommunication"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--fault", "meter-x:frozen"), "meter-x"),
        (("--fault", "meter-a:explode"), "explode"),
        (("--out", "nowhere/at/all.yaml"), "--out"),
    ],
)
def test_wrong_words_end_with_status_2_and_a_sentence(
    config: Path, words: tuple[str, str], expected: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", "simulate", str(config), *words],
        capture_output=True, text=True, encoding="utf-8", timeout=60, cwd=config.parent,
    )  # fmt: skip
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_the_simulators_end_when_the_command_is_killed(config: Path) -> None:
    with simulating(config) as (process, said):
        url = next(line.split()[1] for line in said.splitlines() if "meter-a" in line)
        process.kill()
        process.wait(20)
    port = int(url.rsplit(":", 1)[1])

    async def refused() -> None:
        import asyncio

        from tests.support.aio import until

        async def gone() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return True
            writer.close()
            return False

        await until(gone, what="the simulators' port to close")

    run(refused())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_simulators_start_is_an_orderly_end(
    config: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_agent", "simulate", str(config)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    ends = time.monotonic() + 60
    while not (found := children.read_text().split()):
        assert time.monotonic() < ends
        assert process.poll() is None
        time.sleep(0.005)  # poll interval of this waiter
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    assert not any(Path(f"/proc/{child}").exists() for child in found)


def test_a_standard_node_is_the_one_that_every_server_has(tmp_path: Path) -> None:
    """`i=2258`, the server's time: many a tag list has it, to see that the server lives."""
    file = tmp_path / "plant.yaml"
    tags = "{now: {node: 'i=2258'}, speed: {node: 'nsu=urn:machine;s=Speed'}}"
    device = (
        f"{{id: cnc-1, connector: opcua, endpoint: 'opc.tcp://10.0.0.1:4840', mode: read, tags: "
        f"{tags}}}"
    )
    file.write_text(
        f"agent: {{id: a}}\nmqtt: {{url: 'mqtt://127.0.0.1:1'}}\ndevices:\n  - {device}\n",
        encoding="utf-8",
    )
    with simulating(file) as (_, said):
        assert "cnc-1" in said
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "edge_agent",
                "read",
                str(file.with_name("plant.simulated.yaml")),
                "--json",
            ],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )
    assert [row["quality"] for row in json.loads(done.stdout)["values"]] == ["Good", "Good"], (
        done.stderr
    )
