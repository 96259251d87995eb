"""A changed configuration in a running agent: only what changed is touched, and a bad file touches
nothing (F23)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app.agent.agent import EdgeAgent
from edge_agent.app.status.ask import agent_socket
from edge_agent.control.client import ask
from edge_agent.errors import FindingsError
from edge_agent.outbox.survey import export
from tests.support.agents import Plc, configuration, online, running
from tests.support.aio import run, until
from tests.support.servers import free_port, mosquitto

TAGS = "tags: {a: {address: holding/0}}"


def device(plc: Plc, more: str = TAGS) -> str:
    return f"url: '{plc.url}', every: 500ms, {more}"


async def asked(agent: EdgeAgent, **arguments: Any) -> dict[str, Any]:
    outcome: dict[str, Any] = await asyncio.to_thread(
        ask, agent_socket(agent.site), "reload", **arguments
    )
    return outcome


def told(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """(topic, document) of everything that went into the outbox."""
    entries = [json.loads(line) for line in export(folder, everything=True)]
    return [(entry["topic"], entry["payload"]) for entry in entries]


def test_only_what_changed_is_touched_and_the_others_miss_no_poll(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stack:
            kept, changed, gone, new = [
                await stack.enter_async_context(Plc().on()) for _ in range(4)
            ]
            port = free_port()
            before = {"kept": device(kept), "changed": device(changed), "gone": device(gone)}
            path = configuration(tmp_path, port, before)
            agent = await stack.enter_async_context(running(path))
            await until(online(agent, *before))
            old = agent.devices[0]
            more = "tags: {b: {address: holding/1}}"
            configuration(
                tmp_path,
                port,
                {"kept": device(kept), "changed": device(changed, more), "new": device(new)},
            )
            outcome = await asked(agent)
            assert outcome == {
                "added": ["new"], "changed": ["changed"], "removed": ["gone"], "unchanged": 1,
                "reopened": outcome["reopened"], "restart": [], "restart_serve": [],
            }  # fmt: skip
            assert len(outcome["reopened"]) == 2
            await until(online(agent, "kept", "changed", "new"))
            assert [one.plan.id for one in agent.devices] == ["kept", "changed", "new"]
            assert agent.devices[0] is old
            polls = kept.polls
            await until(lambda: kept.polls >= polls + 2)
            assert len(kept.connections) == 1, "its connection was left alone"
            assert len(changed.connections) == 2
            totals = old.health.totals
            assert totals["bad"] == totals["overruns"] == 0
            assert totals["due"] == totals["done"]
            polls = gone.polls
            await until(lambda: kept.polls >= polls + 2)
            assert gone.polls == polls
            assert (
                agent.counters()["read"] >= kept.polls + changed.polls + gone.polls + new.polls - 4
            )

    run(scenario())
    documents = told(tmp_path / "data" / "outbox")
    quality = [
        d["quality"]
        for topic, d in documents
        if topic.endswith("changed/data") and d.get("quality")
    ]
    assert {"a": "BadOutOfService"} in quality, "a tag that went is not left good"
    (last,) = [
        d for t, d in documents if t.endswith("gone/health") and d["reason"] == "BadOutOfService"
    ]
    assert last["transition"]["to"] == "offline"
    assert {"a": "BadOutOfService"} in [
        d.get("quality") for t, d in documents if t.endswith("gone/data")
    ]


def test_devices_that_share_a_connection_are_reopened_together_and_nobody_else(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with Plc().on() as shared, Plc().on() as apart:
            port = free_port()
            devices = {
                "u1": device(shared, f"unit: 1, {TAGS}"),
                "u2": device(shared, f"unit: 2, {TAGS}"),
            }
            path = configuration(tmp_path, port, devices | {"apart": device(apart)})
            async with running(path) as agent:
                await until(online(agent, "u1", "u2", "apart"))
                u1 = agent.devices[0]
                devices["u2"] = device(
                    shared, f"unit: 2, every: 250ms, {TAGS}".replace("every: 500ms, ", "")
                )
                devices["u2"] = f"url: '{shared.url}', every: 250ms, unit: 2, {TAGS}"
                configuration(tmp_path, port, devices | {"apart": device(apart)})
                outcome = await asked(agent)
                assert (outcome["changed"], outcome["unchanged"], len(outcome["reopened"])) == (
                    ["u2"],
                    2,
                    1,
                )
                await until(online(agent, "u1", "u2", "apart"))
                assert agent.devices[0] is u1, "the unchanged unit keeps its state and its counters"
                assert len(apart.connections) == 1

    run(scenario())


def test_a_bad_file_is_refused_as_a_whole_with_every_finding(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            Plc().on() as plc,
            running(configuration(tmp_path, free_port(), {"d": device(plc)})) as agent,
        ):
            await until(online(agent, "d"))
            old = agent.devices[0]
            configuration(
                tmp_path, 1883, {"d": device(plc), "e": "urll: x", "f": "url: 'tcp://h', tags: {}"}
            )
            with pytest.raises(FindingsError) as caught:
                await asked(agent)
            assert {"unknown-key", "no-tags"} <= {finding.code for finding in caught.value.findings}
            assert all("site.yaml:" in finding.where for finding in caught.value.findings)
            agent.request_reload()
            await until(lambda: "reload_refused" in reasons(agent))
            assert agent.devices == [old]
            polls = plc.polls
            await until(lambda: plc.polls >= polls + 2)
            assert (len(plc.connections), old.health.totals["bad"]) == (1, 0)
            configuration(tmp_path, 1884, {"d": device(plc)}, mqtt=", window: 10")
            agent.request_reload()
            await until(lambda: "restart_needed" in reasons(agent))
            assert "reload_refused" not in reasons(agent)
            assert agent.devices == [old]

    run(scenario())


def reasons(agent: EdgeAgent) -> list[str]:
    return [notice["reason"] for notice in agent.status()["ne107"]["notices"]]


def test_a_restart_never_stamps_old_values_as_new(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        async with Plc().on() as plc:
            path = configuration(tmp_path, port, {"d": device(plc)})
            async with running(path) as agent:
                await until(online(agent, "d"))
        async with running(path) as agent:
            await until(lambda: agent.devices[0].health.state == "offline")

    run(scenario())
    data = [
        document
        for topic, document in told(tmp_path / "data" / "outbox")
        if topic.endswith("/data")
    ]
    first, second = dict.fromkeys(document["stream"] for document in data)
    assert any(document["values"] for document in data if document["stream"] == first)
    assert [document["values"] for document in data if document["stream"] == second] == [{}]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Any]:
    """`edge-agent run` with a real broker and a device out of reach."""
    with mosquitto(tmp_path / "broker") as broker:
        nowhere = f"url: 'tcp://127.0.0.1:{free_port()}', {TAGS}"
        path = configuration(tmp_path, broker.port, {"d": nowhere})
        with (tmp_path / "log").open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "edge_agent", "run", str(path)], stderr=log
            )
        try:
            run(until(lambda: "mqtt-connected" in (tmp_path / "log").read_text()))
            yield child, path, broker
        finally:
            child.kill()
            child.wait()


def command(*words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "edge_agent", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def test_the_reload_command_and_sighup_reach_the_process(process: Any, tmp_path: Path) -> None:
    child, path, _ = process
    log = tmp_path / "log"
    done = command("reload", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "untouched: 1" in done.stdout
    path.write_text(path.read_text() + "outboks: {}\n", encoding="utf-8")
    refused = command("reload", path)
    assert refused.returncode == 2
    assert "outboks" in refused.stderr
    child.send_signal(signal.SIGHUP)
    run(until(lambda: log.read_text().count("reload-finding code=unknown-key") == 2))
    path.write_text(path.read_text().replace("outboks: {}\n", ""), encoding="utf-8")
    child.send_signal(signal.SIGHUP)
    run(until(lambda: log.read_text().count("reload-applied") == 2))
    child.terminate()
    assert child.wait(20) == 0
    away = command("reload", path)
    assert away.returncode == 1
    assert "no agent runs" in away.stdout


def test_sigterm_ends_it_in_time_although_the_broker_went_silent(
    process: Any, tmp_path: Path
) -> None:
    child, _, broker = process
    broker.process.send_signal(signal.SIGSTOP)
    try:
        child.terminate()
        assert child.wait(5.0) == 0, "F22: SIGTERM, < 5 s"
    finally:
        broker.process.send_signal(signal.SIGCONT)
    assert "agent-stop" in (tmp_path / "log").read_text()


def test_a_reload_tries_again_at_once_what_was_refused_or_away(tmp_path: Path) -> None:
    """Somebody has corrected the device and says so: nothing waits for its back-off, its probe or
    its 64th read."""

    async def scenario() -> None:
        async with Plc(r0=7, r9=8).on() as plc:
            plc.device.holes = {9}
            tags = "tags: {a: {address: holding/0}, b: {address: holding/9}}"
            path = configuration(tmp_path, free_port(), {"d": device(plc, tags)})
            async with running(path) as agent:
                await until(lambda: agent.devices[0].health.state == "degraded")
                assert agent.devices[0].health.cause is not None
                assert agent.devices[0].health.cause.name == "modbus_exception_2"
                plc.device.holes = set()
                polls = plc.polls
                outcome = await asked(agent)
                assert outcome["retried"] == [plc.url]
                assert outcome["unchanged"] == 1
                await until(online(agent, "d"))
                assert plc.polls - polls < 30, (
                    "long before the read in which it would have been asked again"
                )
                assert len(plc.connections) == 1, "the connection stood, and stays"
                assert "retried" not in await asked(agent), "all is well"

    run(scenario())
