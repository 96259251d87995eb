"""A site that protects its channels is rehearsed with them protected: the simulators' certificates
are trusted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge_agent.app.demo import rehearse
from edge_agent.config import load
from edge_agent.config.compile import plans
from edge_agent.config.plugins import InstalledPlugins
from edge_agent.sdk import Batch, Clock, Connection, DevicePlan, Pollable, Streaming
from tests.support.aio import run, until

SITE = """
agent: {id: ipc-01}
mqtt: {url: mqtt://127.0.0.1:1883}
defaults: {opcua: {security: {policy: Basic256Sha256}}}
devices:
  - {id: anonymous, profile: siemens-sinumerik, endpoint: opc.tcp://10.0.1.9:4840}
  - id: by-name
    profile: siemens-sinumerik
    endpoint: opc.tcp://10.0.1.8:4840
    security: {policy: Aes256_Sha256_RsaPss, mode: SignAndEncrypt}
    user: {name: operator, password: of-the-machine}
  - {id: meter, profile: eastron-sdm120, url: "tls://10.0.1.7:802"}
"""


async def first_batch(connection: Connection, plan: DevicePlan) -> Batch:
    if isinstance(connection, Pollable):
        return await connection.read(plan.tables[0])
    assert isinstance(connection, Streaming)
    batches: list[Batch] = []
    task = asyncio.create_task(connection.stream(batches.append, lambda _: None), name="stream")
    try:
        await until(lambda: batches or task.done(), what="a batch")
        return batches[0]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def good_devices(folder: Path) -> dict[str, bool]:
    original, simulation = folder / "plant.yaml", rehearse.SimulatorProcess()
    original.write_text(SITE, encoding="utf-8")
    site = load(original)
    try:
        endpoints = await simulation.start(rehearse.spec(site, plans(site), Clock()))
        assert set(simulation.certificates) == {"anonymous", "by-name", "meter"}
        redirected = folder / "plant.simulated.yaml"
        redirected.write_text(
            rehearse.redirect(original, endpoints, certificates=simulation.certificates),
            encoding="utf-8",
        )
        site = load(redirected)
        good = {}
        for device, plan in zip(site.devices, plans(site), strict=True):
            connection = InstalledPlugins()[device.connector].connect([plan], Clock())
            try:
                await connection.open()
                batch = await first_batch(connection, plan)
                good[device.id] = bool(batch.values) and not batch.status
            finally:
                await connection.close()
        return good
    finally:
        await simulation.stop()


def test_protected_devices_are_read_over_their_protected_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert run(good_devices(tmp_path)) == {"anonymous": True, "by-name": True, "meter": True}
