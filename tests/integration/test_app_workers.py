"""`workers: N`: several processes, one agent. Real devices, broker and store service; every process is a real one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.app.status.ask import ask_agent, last_words
from edge_agent.app.workers import hand as module_of_hand
from edge_agent.app.workers.hand import Hand
from edge_agent.cli.main import main
from edge_agent.config import load
from edge_agent.config.plugins import Installed
from edge_agent.errors import FindingsError
from edge_agent.ingest.api import ask, socket_path
from edge_agent.intervals import IntervalSet
from edge_agent.outbox import Outbox
from edge_agent.outbox.acks import FILE, Kind, read
from edge_agent.outbox.folders import in_use, outboxes
from edge_agent.outbox.survey import verify
from faults.rig import Child, Site, module, plant, restarted, wait_for
from tests.support.agents import Plc, configuration
from tests.support.aio import run, until
from tests.support.servers import Server, free_port

TAGS = 5


def agent_of(site: Site, **env: str) -> Child:
    return site.start(module("edge_agent", "run", site.config()), "agent.log", env)


def status(site: Site) -> dict[str, Any]:
    try:
        document: dict[str, Any] = ask(socket_path(site.outbox / "agent"), "status")
    except (ConnectionError, FindingsError):
        return {"devices": [], "workers": []}
    return document


def states(document: dict[str, Any], key: str = "devices") -> list[str]:
    return [row["state"] for row in document[key]]


def all_online(site: Site) -> Callable[[], bool]:
    def check() -> bool:
        document = status(site)
        return bool(document["devices"]) and set(states(document)) == {"online"}

    return check


def alive(pid: int) -> bool:
    """Whether the process works (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def retained(port: int, topic: str) -> dict[str, Any]:
    """The retained document of a topic."""
    found: list[bytes] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "looker")
    client.on_message = lambda _, __, message: found.append(message.payload)
    client.on_connect = lambda one, *_: one.subscribe(topic, 1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        wait_for(lambda: found, 10, f"a retained message at {topic}")
    finally:
        client.disconnect()
        client.loop_stop()
    document: dict[str, Any] = json.loads(found[0])
    return document


def stored(site: Site) -> tuple[int, int, dict[str, IntervalSet]]:
    """Reads in the store, values in it that are there twice, and per stream what of it is there."""
    with duckdb.connect(str(site.database), read_only=True) as connection:
        (reads,) = connection.execute(
            "select count(distinct (device, t)) from samples join series using (sid) where num is not null"
        ).fetchone() or (0,)
        (twice,) = connection.execute(
            "select count(*) - count(distinct (device, tag, t)) from samples join series using (sid)"
        ).fetchone() or (0,)
        marks: dict[str, IntervalSet] = {}
        for stream, first, last in connection.execute("select stream, first, last from marks").fetchall():
            marks.setdefault(stream, IntervalSet()).add(first, last)
    return reads, twice, marks


def whole(marks: dict[str, IntervalSet]) -> bool:
    """No stream has a hole."""
    return all(len(have.pairs()) == 1 and 1 in have for have in marks.values())


def all_acknowledged_is_stored(site: Site) -> bool:
    """Whether the store's marks reach every number that the broker acknowledged."""
    marks: dict[str, list[tuple[int, int]]] = site.ask("marks") or {}
    acks = [ack for folder in outboxes(site.outbox) for ack in read(folder / FILE) if ack.kind == Kind.ACKED]
    return bool(acks) and all(any(last >= ack.last for _, last in marks.get(ack.stream, ())) for ack in acks)


def waiting(site: Site) -> int:
    """Entries in all outboxes of the agent that are not delivered yet."""
    return verify(*outboxes(site.outbox)).pending_entries


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Server, Child, Child]]:
    """Six devices, broker, store service, and an agent of three workers that reads all of them."""
    folder = tmp_path_factory.mktemp("three")
    port = free_port()
    with contextlib.ExitStack() as stack:
        plan = {"workers": 3, "listen": f"127.0.0.1:{port}"}
        site, broker = stack.enter_context(plant(folder, devices=6, agent=plan))
        service = site.service_up()
        manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        manager.bind(str(folder / "notify"))
        agent = agent_of(site, NOTIFY_SOCKET=str(folder / "notify"), WATCHDOG_USEC="60000000")
        wait_for(all_online(site), 60, "all devices online", 0.1)
        heard = [manager.recvmsg(100, 100) for _ in range(2)]
        assert [message for message, *_ in heard] == [b"READY=1", b"WATCHDOG=1"]
        assert {struct.unpack("3i", more[0][2])[0] for _, more, *_ in heard} == {agent.pid}, "it alone speaks"
        yield site, broker, agent, service


def test_the_agent_speaks_as_one(three: Any, capsys: pytest.CaptureFixture[str]) -> None:
    site, broker, _, _ = three
    config = site.folder / "site.yaml"
    wait_for(lambda: status(site)["ne107"]["name"] == "NORMAL", 10, "all to be well")
    document = status(site)
    assert [row["id"] for row in document["devices"]] == [f"plc-{n:02}" for n in range(6)]
    assert [row["devices"] for row in document["workers"]] == [2, 2, 2]
    assert document["counters"]["read"] >= sum(row["values"] for row in document["devices"]) > 0
    assert document["broker_connected"]
    assert sorted(stream.split("/")[1] for stream in document["streams"]) == ["0", "1", "2", "3"]
    assert sum(row["limit_bytes"] for row in document["workers"]) < document["outbox"]["limit_bytes"] == 2_000_000_000
    told = retained(broker.port, "edge/enterprise/site/agents/ipc-01")
    assert (told["state"], sorted(told["streams"])) == ("online", sorted(document["streams"]))
    address = load(config).agent.listen
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        text = answer.read().decode()
    assert text.count("edge_agent_device_up{") == 6
    assert 'edge_agent_worker_up{worker="3"} 1' in text
    with urllib.request.urlopen(f"http://{address}/healthz") as answer:
        assert json.load(answer)["status"] == "ok"
    assert main(["status", str(config)]) == 0
    assert "worker 2: 运行 up, 2 台设备 devices" in capsys.readouterr().out
    assert main(["outbox", "verify", str(config)]) == 0
    assert len(outboxes(site.outbox)) == 4
    assert in_use(site.outbox / "worker-2")
    with pytest.raises(FindingsError, match="used by another process"):
        Outbox(site.outbox / "worker-2", agent="x", max_bytes=1_000_000, fsync_ms=100)


def test_a_killed_worker_comes_back_and_the_others_do_not_notice(three: Any) -> None:
    site, _, _, _ = three
    before = {row["worker"]: row["pid"] for row in status(site)["workers"]}
    os.kill(before[2], signal.SIGKILL)
    wait_for(lambda: status(site)["workers"][1]["state"] == "down", 10, "its end to be noticed")
    document = status(site)
    assert [row["id"] for row in document["devices"]] == [f"plc-{n:02}" for n in range(6)], "its devices stay listed"
    away = [row for row in document["devices"] if row["state"] != "online"]
    assert {row["reason"] for row in away} <= {"worker_down"}
    wait_for(all_online(site), 60, "all devices online again", 0.1)
    document = status(site)
    after = {row["worker"]: row["pid"] for row in document["workers"]}
    assert (after[1], after[3]) == (before[1], before[3])
    assert after[2] != before[2]
    assert [row["restarts"] for row in document["workers"]] == [0, 1, 0]
    assert sum(row["totals"]["overruns"] for row in document["devices"] if row["id"] in ("plc-00", "plc-05")) < 50
    assert document["counters"]["read"] > sum(row["values"] for row in document["devices"]), "counters never run back"


def test_the_end_is_in_order_and_every_value_is_there_once(three: Any) -> None:
    site, broker, agent, service = three
    pids = [row["pid"] for row in status(site)["workers"]]
    agent.stop()
    assert agent.process.returncode == 0
    assert not any(map(alive, pids))
    words = last_words(load(site.folder / "site.yaml"))
    assert words is not None
    assert len(words["devices"]) == 6
    assert retained(broker.port, "edge/enterprise/site/agents/ipc-01")["state"] == "offline"
    wait_for(lambda: all_acknowledged_is_stored(site), 60, "all that the broker acknowledged to be stored")
    service.stop()
    reads, twice, marks = stored(site)
    assert twice == 0
    assert whole(marks)
    assert sorted(stream.split("/")[1] for stream in marks) == ["0", "1", "2", "2", "3"]
    assert reads * TAGS >= words["counters"]["enqueued"], "what the killed worker read last was not counted any more"


def test_a_killed_agent_leaves_no_worker_and_any_number_of_workers_delivers_what_others_left(tmp_path: Path) -> None:
    """1 -> 3 -> (kill -9) -> 2 -> 1 without a broker; then it comes, and all of it arrives."""
    with plant(tmp_path, devices=4, every="100ms") as (site, broker):
        broker.stop()
        read, orphans = 0, [0]
        for workers in (1, 3, 2):
            site.changes = {"agent": {"workers": workers}}
            agent = agent_of(site)
            wait_for(all_online(site), 60, f"all devices online with {workers} workers", 0.1)
            document = status(site)
            pids = [row["pid"] for row in document.get("workers", ())]
            if workers == 3:
                read += document["counters"]["read"]
                agent.kill()
                orphans = pids  # they still hold their outboxes when the next agent starts
            else:
                agent.stop()
                words = last_words(load(site.folder / "site.yaml"))
                assert words is not None
                read += words["counters"]["enqueued"]
                assert words["outbox"]["pending_values"] >= read, "what others left is told as well"
        assert not any(map(alive, orphans))
        assert len([folder for folder in outboxes(site.outbox) if verify(folder).pending_entries]) == 4
        with restarted(broker, tmp_path):
            service = site.service_up()
            site.changes = {}
            agent = agent_of(site)
            wait_for(all_online(site), 60, "all devices online with one process", 0.1)
            wait_for(
                lambda: "leftover-empty worker=3" in agent.said(), 60, "the outboxes of former workers to be empty"
            )
            wait_for(lambda: agent.said().count("leftover-empty") == 3, 60, "the other two as well")
            agent.stop()
            service.stop()
        reads, twice, marks = stored(site)
        assert (twice, whole(marks)) == (0, True)
        assert reads * TAGS > read
        assert {verify(folder).pending_entries for folder in outboxes(site.outbox)[1:]} == {0}


def command(*words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "edge_agent", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def test_a_reload_reaches_all_workers_and_touches_only_what_changed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stack:
            plcs = [await stack.enter_async_context(Plc().on()) for _ in range(5)]
            devices = {
                f"d{n}": f"url: '{plc.url}', every: 200ms, tags: {{a: {{address: holding/0}}}}"
                for n, plc in enumerate(plcs)
            }
            first = {name: devices[name] for name in ("d0", "d1", "d2", "d3")}
            port = free_port()
            path = configuration(tmp_path, port, first, ", workers: 2")
            log = tmp_path / "agent.log"
            with log.open("wb") as out:
                agent = subprocess.Popen([sys.executable, "-m", "edge_agent", "run", str(path)], stderr=out)
            try:
                site = load(path)

                async def told() -> dict[str, Any]:
                    await asyncio.sleep(0.05)  # poll interval of those who wait
                    return await asyncio.to_thread(ask_agent, site) or {"devices": []}

                async def online(*names: str) -> bool:
                    rows = (await told())["devices"]
                    return {row["id"] for row in rows if row["state"] == "online"} == set(names)

                await until(lambda: online(*first), 60)
                pids = [row["pid"] for row in (await told())["workers"]]
                configuration(tmp_path, port, first | {"e": "urll: x"}, ", workers: 2")
                refused = await asyncio.to_thread(command, "reload", path)
                assert (refused.returncode, "urll" in refused.stderr) == (2, True)
                agent.send_signal(signal.SIGHUP)
                await until(lambda: "reload-refused" in log.read_text())
                document = await told()
                assert "reload_refused" in [notice["reason"] for notice in document["ne107"]["notices"]]
                assert states(document) == ["online"] * 4
                second = {name: devices[name] for name in ("d0", "d2", "d3", "d4")}
                second["d3"] = second["d3"].replace("holding/0", "holding/1")
                configuration(tmp_path, port, second, ", workers: 3")
                applied = await asyncio.to_thread(command, "reload", path, "--json")
                outcome = json.loads(applied.stdout)
                assert outcome == {
                    "added": ["d4"], "changed": ["d3"], "removed": ["d1"], "unchanged": 2,
                    "reopened": outcome["reopened"], "restart": ["agent"], "restart_serve": [],
                }  # fmt: skip
                assert len(outcome["reopened"]) == 2
                await until(lambda: online(*second), 60)
                assert [row["pid"] for row in (await told())["workers"]] == pids
                assert [len(plc.connections) for plc in plcs] == [1, 1, 1, 2, 1]
                where = {row["id"]: row["worker"] for row in (await told())["devices"]}
                other = next(name for name in ("d2", "d3", "d4") if where[name] != where["d0"])
                second[other] = f"unit: 2, {second['d0']}"
                configuration(tmp_path, port, second, ", workers: 2")
                applied = await asyncio.to_thread(command, "reload", path)
                assert f"更改 changed: {other}" in applied.stdout, "it shares a connection now, and follows it"
                assert f"moved to another worker: {other}" in applied.stdout
                await until(lambda: online(*second), 60)
                assert {row["worker"] for row in (await told())["devices"] if row["id"] in ("d0", other)} == {
                    where["d0"]
                }
                os.kill(pids[0], signal.SIGKILL)
                path.write_text("agent: [", encoding="utf-8")  # being edited while a worker has to start again
                await until(lambda: "worker-ended" in log.read_text())
                await until(lambda: online(*second), 60)
                agent.terminate()
                assert await asyncio.to_thread(agent.wait, 10) == 0
            finally:
                agent.kill()
                agent.wait()

    run(scenario())


def test_a_worker_that_stands_still_is_told_ended_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with Plc().on() as plc:
            keys = f"url: '{plc.url}', every: 200ms, tags: {{a: {{address: holding/0}}}}"
            hand = Hand(1, load(configuration(tmp_path, free_port(), {"d": keys})), Installed(), "INFO")
            keeping = asyncio.create_task(hand.keep())
            try:
                await until(lambda: hand.state == "up" and plc.polls, 30)
                assert not hand.silent()
                first = hand.pid
                assert first is not None
                os.kill(first, signal.SIGSTOP)
                with monkeypatch.context() as patience:
                    patience.setattr(module_of_hand, "STALL_S", 0.3)
                    patience.setattr(module_of_hand, "_SILENT_S", 0.1)
                    await until(lambda: hand.state == "down")
                    await until(hand.silent, what="the watchdog to be told")
                    await until(lambda: hand.restarts == 1)
                await until(lambda: hand.state == "up", 30)
                assert hand.pid != first
                assert not alive(first)
                await hand.stop()
                await asyncio.wait_for(keeping, 10)
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)

    run(scenario())
