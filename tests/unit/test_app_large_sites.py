"""What keeps a site of a thousand devices smooth: not all of them in one go, and nothing kept in
vain."""

from __future__ import annotations

import asyncio
import gc
import weakref
from itertools import pairwise
from pathlib import Path

import pytest

from edge_agent.app import logs, service
from edge_agent.app.agent import agent as agent_module
from edge_agent.app.agent.agent import DEVICES_AT_ONCE, EdgeAgent
from edge_agent.app.service import YOUNG_OBJECTS, run_service
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.config.places import YamlMapping
from tests.support.aio import run, until
from tests.support.sites import write

DEVICES = 2 * DEVICES_AT_ONCE + 5


def many(folder: Path) -> Path:
    return write(
        folder,
        f"outbox: {{path: {folder}/outbox}}\ndevices:\n  - {{for: {{i: 1..{DEVICES}}}, id: "
        f"'d{{i}}', connector: modbus,"
        " url: 'tcp://h{i}', tags: {a: {address: holding/0}}}\n",
    )


def test_health_rows_are_spread_and_each_device_has_one_in_a_period(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = EdgeAgent(load(many(tmp_path)), Clock())
    waits: list[float] = []
    written: list[int] = []

    async def waited(seconds: float, clock: Clock) -> None:
        waits.append(seconds)
        written.append(made._outbox.last_seq)
        if len(waits) == 4:
            raise asyncio.CancelledError

    monkeypatch.setattr(agent_module, "within", waited)

    async def scenario() -> None:
        with pytest.raises(asyncio.CancelledError):
            await made._write_health_periodically()
        await made._outbox.close(1.0)

    run(scenario())
    assert sum(waits[:3]) == pytest.approx(made.site.agent.health)
    steps = [after - before for before, after in pairwise(written)]
    assert sum(steps) == DEVICES
    assert max(steps) <= DEVICES_AT_ONCE
    assert all(
        device.health.row(device.health._row_start)["period_s"] == 0 for device in made.devices
    )


def test_nothing_of_the_written_file_stays_behind(tmp_path: Path) -> None:
    """Not even until the collector comes: by then the memory is full of holes and does not go
    back."""
    path = many(tmp_path)
    write(
        tmp_path,
        "devices:\n  - {id: x, connector: modbus, url: 'tcp://x', tags: {a: {address: 40001}}}\n",
        "p.yaml",
        "",
    )
    path.write_text(path.read_text() + "include: p.yaml\n")
    load(path)
    gc.collect()
    gc.disable()
    try:
        site = load(path)
        left = [one for one in gc.get_objects() if isinstance(one, YamlMapping)]
    finally:
        gc.enable()
    assert len(site.devices) == DEVICES + 1
    assert left == []


def test_a_service_is_frozen_when_it_is_built_and_collects_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the test run's own logs stay as they are
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    before = gc.get_threshold()
    seen: list[object] = []

    class Service:
        def __init__(self) -> None:
            seen.append(gc.isenabled())

        async def run(self, stop: asyncio.Event) -> None:
            seen.extend([gc.isenabled(), gc.get_threshold()[0], gc.get_freeze_count() > 0])

    try:
        run_service(Service, "ERROR")
    finally:
        gc.set_threshold(*before)
    assert seen == [False, True, YOUNG_OBJECTS, True]
    assert gc.get_freeze_count() == 0


def test_cycles_do_not_gather_while_a_service_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    monkeypatch.setattr(service, "COLLECT_S", 0.01)
    before = gc.get_threshold()
    gone: list[bool] = []

    class Knot:
        """Refers to itself, as an exception and its traceback do by way of a frame."""

        def __init__(self) -> None:
            self.me = self

    class Service:
        async def run(self, stop: asyncio.Event) -> None:
            left = weakref.ref(Knot())
            await until(lambda: left() is None, what="the collector")
            gone.append(True)

    try:
        run_service(Service, "ERROR")
    finally:
        gc.set_threshold(*before)
    assert gone == [True]
