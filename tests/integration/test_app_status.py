"""`edge-agent status` and the loopback pages of a whole agent: what is wrong, in sentences, and
what is missing."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app.serve import StoreService
from edge_agent.app.status.ask import agent_socket, ask_missing, serve_socket
from edge_agent.cli.main import main
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.control.client import ask
from edge_agent.outbox.survey import export
from edge_agent.stores import open_store
from edge_agent.stores.base import WriteBatch
from edge_agent.stores.columns import Rows
from tests.support.agents import Plc, configuration, online, running
from tests.support.aio import run, until
from tests.support.modbus_wire import Device, honest, tcp_device
from tests.support.servers import free_port, mosquitto

S = 1_000_000_000


def keep_an_outage(path: Path) -> None:
    """A store in which the night's power cut is to be found: rows end two hours ago, and begin
    again one hour ago."""
    now = time.time_ns()
    common = {
        "device": "d",
        "state": "online",
        "reason": "",
        "scheduled_s": 60.0,
        "covered_s": 60.0,
        "good": 60,
    }
    rows = [
        common | {"t": now - s * S} for s in (*range(10_800, 7_199, -60), *range(3_600, 0, -60), 5)
    ]
    started = {
        "from": "starting",
        "to": "online",
        "reason": "",
        "zh": "设备正常应答。",
        "en": "It answers.",
    }
    rows[61]["transition"] = started
    gap = {
        "stream": "ipc-01/0/a",
        "from_seq": 1,
        "to_seq": 9,
        "from_t": now - 9000 * S,
        "to_t": now - 8000 * S,
    }
    gap |= {"values": 1234, "acknowledged": 0, "reason": "full"}
    agent = {"device": "ipc-01", "t": now - 3000 * S, "gap": gap}
    store = open_store(load(path).store)
    store.write(WriteBatch(Rows.empty(), now, health=rows, agents=[agent]))
    store.close()


def test_one_command_tells_what_is_missing_from_when_to_when_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configuration(
        tmp_path, free_port(), {"d": "url: 'tcp://127.0.0.1:1', tags: {a: {address: holding/0}}"}
    )
    keep_an_outage(path)
    assert main(["status", str(path)]) == 1, "nothing runs"
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if "outage d" in line]
    assert re.search(r"\d\d:\d\d:\d\d – \d\d-\d\d \d\d:\d\d:\d\d, 3,600 s \[agent_stopped\]", line)
    assert "断电" in text
    assert "The agent did not run" in text
    assert "9 条消息 messages, 1,234 个值 values" in text
    assert "[full]" in text
    assert "raise outbox.max_bytes" in text
    assert re.search(r"covered d: 67\.\d %", text)
    assert main(["status", str(path), "--since", "30m", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)["missing"]
    assert document["outages"] == []
    assert document["to"] - document["from"] == 1800 * S


def test_without_a_store_it_says_so_and_creates_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configuration(
        tmp_path, free_port(), {"d": "url: 'tcp://127.0.0.1:1', tags: {a: {address: holding/0}}"}
    )
    assert main(["status", str(path)]) == 1
    assert "There is no store yet" in capsys.readouterr().out
    assert not (tmp_path / "data").exists()


def test_a_wrong_time_span_is_a_plain_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["status", str(tmp_path / "x.yaml"), "--since", "yesterday"])
    assert caught.value.code == 2
    assert "a duration such as 30m" in capsys.readouterr().err


def fetched(port: int, page: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_running_agent_says_what_is_wrong_in_two_languages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()

    async def scenario() -> None:
        async with Plc().on() as plc:
            tag = "tags: {a: {address: holding/0}, b: {address: holding/1}}"
            devices = {
                "well": f"url: '{plc.url}', every: 200ms, {tag}",
                "gone": f"url: 'tcp://127.0.0.1:{free_port()}', {tag}",
            }
            path = configuration(
                tmp_path, free_port(), devices, extra=f", listen: '127.0.0.1:{port}'"
            )
            async with running(path) as agent:
                await until(online(agent, "well"))
                await until(lambda: "broker_away" in agent.health.judgement.reasons)
                await until(lambda: agent.devices[1].health.state == "offline")
                assert await asyncio.to_thread(main, ["status", str(path)]) == 1
                text = capsys.readouterr().out
                assert "[broker_away] 连不上消息服务器" in text
                assert "gone: 故障 failure" in text
                assert "[BadNoCommunication]" in text
                assert "拒绝连接，该端口上没有程序在监听" in text
                assert "nothing listens on that port" in text
                assert "waiting, not lost" in text
                code, body = await asyncio.to_thread(fetched, port, "/metrics")
                assert code == 200
                assert (
                    'edge_agent_finding{reason="broker_away",health="MAINTENANCE_REQUIRED"} 1'
                    in body
                )
                assert 'edge_agent_device_up{device="well"} 1' in body
                assert 'edge_agent_device_up{device="gone"} 0' in body
                code, body = await asyncio.to_thread(fetched, port, "/healthz")
                assert (code, json.loads(body)["status"]) == (200, "ok"), (
                    "an absent broker loses nothing"
                )
                agent.fleet.stalled = lambda: ["tcp://stuck"]  # type: ignore[method-assign]
                code, body = await asyncio.to_thread(fetched, port, "/healthz")
                assert code == 503
                assert json.loads(body)["ne107"]["notices"][0]["reason"] == "loop_stalled"

    run(scenario())


def test_both_processes_say_what_they_hold_and_settle_when_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Plc().on() as plc:
            devices = {"d": f"url: '{plc.url}', tags: {{a: {{address: holding/0}}}}"}
            path = configuration(tmp_path, free_port(), devices)
            site = load(path)
            stop = asyncio.Event()
            serving = asyncio.create_task(StoreService(site, Clock()).run(stop))
            async with running(path) as agent:
                await until(online(agent, "d"))
                for door in (agent_socket(site), serve_socket(site)):
                    await until(door.exists)
                    settled = await asyncio.to_thread(ask, door, "settle")
                    assert settled["settled_bytes"] > 0
                    held = (await asyncio.to_thread(ask, door, "status"))["process"]
                    assert held["tasks"] > 3
                    assert held["resident_bytes"] > 0
                    assert held.keys() == settled.keys()
            stop.set()
            await serving

    run(scenario())


def test_an_agent_that_is_stopped_sends_what_it_has_before_it_ends(tmp_path: Path) -> None:
    """The last health row of each device is written while it stops: drained, nothing waits for the
    next start.

    One message at a time, so that what is not drained is not taken along by chance.
    """

    async def scenario() -> None:
        with mosquitto(tmp_path / "broker") as server:
            async with Plc().on() as plc:
                devices = {
                    "d": f"url: '{plc.url}', every: 100ms, tags: {{a: {{address: holding/0}}}}"
                }
                path = configuration(
                    tmp_path, server.port, devices, mqtt=", confirm: broker, window: 1"
                )
                async with running(path) as agent:
                    await until(online(agent, "d"))
                    await until(lambda: agent._publisher.connected)
                    await until(
                        lambda: (
                            agent._outbox.stats.confirmed_entries > 3 and agent._outbox.pending == 0
                        )
                    )
                assert agent._outbox.pending == 0
                assert list(export(agent.site.outbox.path)) == []

    run(scenario())


def test_a_port_that_is_taken_is_a_finding_and_the_data_comes_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        server: Any = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with Plc().on() as plc:
                devices = {"d": f"url: '{plc.url}', tags: {{a: {{address: holding/0}}}}"}
                path = configuration(
                    tmp_path, free_port(), devices, extra=f", listen: '127.0.0.1:{port}'"
                )
                async with running(path) as agent:
                    await until(online(agent, "d"))
                    assert "listen_failed" in agent.status()["ne107"]["notices"][-1]["reason"]
        finally:
            server.close()

    run(scenario())


def test_a_breaker_that_opens_and_closes_is_told_in_the_health_rows(tmp_path: Path) -> None:
    dead, device = {2}, Device({0: 7})

    async def answer(writer: asyncio.StreamWriter, tid: int, unit: int, pdu: bytes) -> None:
        if unit not in dead:
            await honest(writer, tid, unit, pdu, device)

    def moves(folder: Path) -> list[tuple[str, str, str]]:
        rows = [json.loads(line)["payload"] for line in export(folder)]
        told = [(row["device"], move) for row in rows for move in row.get("tag_transitions", ())]
        return [
            (name, move["from"], move["to"]) for name, move in told if move["tag"] == "(breaker)"
        ]

    async def scenario() -> None:
        async with tcp_device(answer) as url:
            keys = f"url: '{url}', every: 100ms, tags: {{a: {{address: holding/0}}}}"
            path = configuration(
                tmp_path, free_port(), {"well": f"unit: 1, {keys}", "gone": f"unit: 2, {keys}"}
            )
            async with running(path) as agent:
                folder = agent.site.outbox.path
                await until(lambda: ("gone", "closed", "open") in moves(folder), 30)
                assert agent.status()["devices"][1]["set_aside"]
                dead.clear()
                await until(lambda: ("gone", "open", "closed") in moves(folder), 30)
                assert moves(folder) == [("gone", "closed", "open"), ("gone", "open", "closed")], (
                    "each once"
                )

    run(scenario())


def test_a_device_that_falls_silent_over_an_open_connection_is_bad_and_told_once(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with Plc().on() as plc:
            devices = {"d": f"url: '{plc.url}', every: 200ms, tags: {{a: {{address: holding/0}}}}"}
            async with running(configuration(tmp_path, free_port(), devices)) as agent:
                await until(online(agent, "d"))
                plc.silent = True
                (device,) = agent.devices
                await until(lambda: device.health.state == "offline")
                assert device.health.reason in ("BadTimeout", "BadNoCommunication")
                assert "all_devices_offline" in [
                    n["reason"] for n in agent.status()["ne107"]["notices"]
                ]
                plc.silent = False
                await until(online(agent, "d"))

    run(scenario())


def test_what_a_broker_acknowledged_before_anyone_subscribed_is_told_as_before_this_stores_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real broker keeps nothing for a store service that has never subscribed, and acknowledges
    all the same."""

    async def scenario() -> None:
        with mosquitto(tmp_path / "broker") as server:
            async with Plc().on() as plc:
                devices = {
                    "d": f"url: '{plc.url}', every: 100ms, tags: {{a: {{address: holding/0}}}}"
                }
                path = configuration(tmp_path, server.port, devices, mqtt=", confirm: broker")
                site = load(path)
                async with running(path) as agent:
                    await until(lambda: agent._outbox.stats.confirmed_entries > 10)
                    before, stream = agent._outbox.stats.confirmed_entries, agent._outbox.stream
                    stop = asyncio.Event()
                    serving = asyncio.create_task(StoreService(site, Clock()).run(stop))
                    await until(serve_socket(site).exists)

                    def early() -> list[dict[str, Any]]:
                        found: list[dict[str, Any]] = ask(serve_socket(site), "missing")["before"]
                        return found

                    async def told() -> bool:
                        return bool(await asyncio.to_thread(early))

                    await until(told)
                    hole = (await asyncio.to_thread(early))[0]
                    assert hole["stream"] == stream
                    assert hole["from_seq"] == 1
                    assert hole["entries"] >= before
                    await asyncio.to_thread(main, ["status", str(path)])
                    text = capsys.readouterr().out
                    assert f"before this store's time {stream} 1–{hole['to_seq']}" in text
                    assert "no data lost" not in text
                    ever = await asyncio.to_thread(ask_missing, site, 999_999 * 86_400.0)
                    assert abs(ever["from"]) < 60 * S, "more than there is time: from 1970 on"
                stop.set()
                await serving

    run(scenario())
