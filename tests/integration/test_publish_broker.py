"""The publisher against real brokers, with an independent subscriber as witness."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.clock import Clock
from edge_agent.config.models import Mqtt
from edge_agent.outbox import Outbox
from edge_agent.publish import Publisher
from edge_agent.topics import Topics
from tests.support.aio import run, until
from tests.support.servers import Server, free_port, mosquitto, nats

TOPICS = Topics("edge", "demo", "dongguan")
DATA = TOPICS.device("area", "line", "vmc-01") + "/data"


class Witness:
    """Another MQTT client that writes down everything it sees, in order; its session survives
    broker restarts."""

    def __init__(self, port: int, **options: Any) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, "witness", clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_message = lambda client, _, m: self.messages.append(
            (m.topic, m.payload, m.retain)
        )
        self.client.on_connect = lambda client, *_: client.subscribe("edge/#", 1)
        self.subscribed = False
        self.client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        self.client.connect("127.0.0.1", port, 60)
        self.client.loop_start()

    def entries(self, topic: str = DATA) -> list[tuple[str, int]]:
        documents = [json.loads(p) for t, p, _ in self.messages if t == topic]
        return [(d["stream"], d["seq"]) for d in documents]

    def last(self, topic: str) -> Any:
        payloads = [p for t, p, _ in self.messages if t == topic]
        return json.loads(payloads[-1]) if payloads else None


@contextmanager
def witness(port: int) -> Iterator[Witness]:
    seen = Witness(port)
    try:
        yield seen
    finally:
        seen.client.disconnect()
        seen.client.loop_stop()


@contextmanager
def outbox(path: Path, max_bytes: int = 50_000_000) -> Iterator[Outbox]:
    box = Outbox(path, agent="ipc-01", max_bytes=max_bytes, fsync_ms=20)
    try:
        yield box
    finally:
        box.close_now()


@asynccontextmanager
async def publishing(box: Outbox, port: int, **keys: Any) -> AsyncIterator[Publisher]:
    config = Mqtt(**{"url": f"mqtt://127.0.0.1:{port}", **keys})
    publisher = Publisher(config, box, TOPICS, "ipc-01", Clock())
    task = asyncio.create_task(publisher.run(), name="publisher")
    try:
        yield publisher
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def put(box: Outbox, count: int, size: int = 20) -> None:
    head = json.dumps({"v": 1, "stream": box.stream})[:-1].encode() + b',"seq":'
    for _ in range(count):
        box.append(DATA, head, b',"x":"' + b"x" * size + b'"}', 1, 5)


def sequence(box: Outbox, first: int, last: int) -> list[tuple[str, int]]:
    return [(box.stream, n) for n in range(first, last + 1)]


@pytest.fixture(params=[mosquitto, nats], ids=["mosquitto", "nats"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with request.param(tmp_path / "broker") as server:
        yield server


def test_everything_arrives_once_and_in_order(broker: Server, tmp_path: Path) -> None:
    async def scenario() -> None:
        with witness(broker.port) as seen, outbox(tmp_path / "box") as box:
            await until(lambda: seen.subscribed)
            put(box, 300)
            async with publishing(box, broker.port) as publisher:
                await until(lambda: box.pending == 0)
                put(box, 200)
                await until(lambda: len(seen.entries()) >= 500)
                assert seen.entries() == sequence(box, 1, 500)
                # a witness may hear of it before we do
                await until(lambda: publisher.confirmed == 2500)
                assert (publisher.published, publisher.acknowledged) == (2500, 2500)
                assert publisher.connected
                assert publisher.ack_age() is not None

    run(scenario())


def test_state_is_online_then_offline_and_documents_are_retained(
    broker: Server, tmp_path: Path
) -> None:
    async def scenario() -> None:
        state, birth = TOPICS.agent("ipc-01"), TOPICS.device("area", "line", "vmc-01") + "/birth"
        with witness(broker.port) as seen, outbox(tmp_path / "box") as box:
            await until(lambda: seen.subscribed)
            async with publishing(box, broker.port) as publisher:
                publisher.retain(birth, b'{"n":1}')
                await until(lambda: seen.last(birth) == {"n": 1})
                online = await until(lambda: seen.last(state))
                publisher.retain(birth, b'{"n":2}')
                await until(lambda: seen.last(birth) == {"n": 2})
            offline = await until(lambda: (d := seen.last(state))["state"] == "offline" and d)
        assert (online["state"], online["agent"], online["streams"]) == (
            "online",
            "ipc-01",
            [box.stream],
        )
        assert offline.keys() == online.keys() >= {"v", "t", "version"}
        with retained(broker.port) as late:
            await until(lambda: late.last(birth) == {"n": 2} and late.last(state))
            assert all(retained for *_, retained in late.messages)

    run(scenario())


@contextmanager
def retained(port: int) -> Iterator[Witness]:
    seen = Witness.__new__(Witness)
    seen.messages = []
    seen.client = mqtt.Client(CallbackAPIVersion.VERSION2, "late", clean_session=True)
    seen.client.on_message = lambda client, _, m: seen.messages.append(
        (m.topic, m.payload, m.retain)
    )
    seen.client.on_connect = lambda client, *_: client.subscribe("edge/#", 1)
    seen.client.connect("127.0.0.1", port, 60)
    seen.client.loop_start()
    try:
        yield seen
    finally:
        seen.client.disconnect()
        seen.client.loop_stop()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_a_restarted_broker_loses_nothing(tmp_path: Path, sig: signal.Signals) -> None:
    """mosquitto saves its state every second (autosave_interval) and when it is stopped."""

    async def scenario() -> None:
        port = free_port()
        with outbox(tmp_path / "box") as box:
            async with publishing(box, port) as publisher:
                with mosquitto(tmp_path / "broker", port) as first, witness(port) as seen:
                    await until(lambda: seen.subscribed and publisher.connected)
                    put(box, 100)
                    await until(lambda: len(seen.entries()) >= 100)
                    db = tmp_path / "broker" / "mosquitto.db"
                    await until(
                        db.exists,
                        what="the broker has saved its subscriber, which a kill would take else",
                    )
                    first.stop(sig)
                    await until(lambda: not publisher.connected)
                    put(box, 100)
                    with mosquitto(tmp_path / "broker", port):
                        await until(lambda: publisher.connected)
                        put(box, 100)
                        await until(lambda: box.pending == 0 and len(set(seen.entries())) >= 300)
                assert set(seen.entries()) == set(sequence(box, 1, 300))
                assert len(seen.entries()) <= 300 + 50, "more repeated than were under way"

    run(scenario())


def test_a_frozen_broker_is_noticed_and_nothing_is_lost_when_it_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        with (
            mosquitto(tmp_path / "broker") as server,
            outbox(tmp_path / "box") as box,
            witness(server.port) as seen,
        ):
            await until(lambda: seen.subscribed)
            async with publishing(box, server.port, keepalive=1) as publisher:
                await until(lambda: publisher.connected)
                put(box, 20)
                await until(lambda: box.pending == 0)
                server.pause()
                put(box, 120)
                await until(
                    lambda: not publisher.connected, what="a broker that does not answer is dropped"
                )
                await until(lambda: publisher.problem is not None)
                server.resume()
                await until(lambda: box.pending == 0 and len(set(seen.entries())) == 140)
                assert len(seen.entries()) <= 140 + 50

    run(scenario())


def test_no_more_than_the_window_is_ever_under_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        with mosquitto(tmp_path / "broker") as server, outbox(tmp_path / "box") as box:
            put(box, 300)
            most = 0
            async with publishing(box, server.port, window=7) as publisher:
                await until(lambda: publisher.connected)
                put(box, 100)
                while box.pending:
                    session = publisher._session
                    most = max(most, session.in_flight if session else 0)
                    await asyncio.sleep(0)  # poll interval: every turn of the loop
            assert 0 < most <= 7

    run(scenario())


def test_live_data_does_not_wait_behind_the_backlog(tmp_path: Path) -> None:
    async def scenario() -> None:
        with (
            mosquitto(tmp_path / "broker") as server,
            outbox(tmp_path / "box") as box,
            witness(server.port) as seen,
        ):
            await until(lambda: seen.subscribed)
            put(box, 5000, size=200)
            async with publishing(box, server.port) as publisher:
                await until(lambda: len(seen.entries()) >= 200)
                before = box.pending
                put(box, 10)
                await until(lambda: (box.stream, 5010) in seen.entries())
                assert before > 1000, "the backlog was through before the test began"
                place = seen.entries().index((box.stream, 5010))
                await until(lambda: box.pending == 0 and len(seen.entries()) == 5010, timeout=40)
                entries = [n for _, n in seen.entries()]
                assert place < 4000, "live entries came last"
                assert [n for n in entries if n > 5000] == list(range(5001, 5011))
                assert [n for n in entries if n <= 5000] == list(range(1, 5001))
                assert publisher.published == 5 * 5010

    run(scenario())


def test_a_part_of_the_window_is_kept_for_live_data(tmp_path: Path) -> None:
    """Else a live value would wait until the broker has answered for something of the backlog, as
    slow as it is."""

    async def scenario() -> None:
        with mosquitto(tmp_path / "broker") as server, outbox(tmp_path / "box") as box:
            put(box, 5000, size=200)
            async with publishing(box, server.port, window=4) as publisher:
                await until(lambda: publisher.acknowledged > 0)
                session = publisher._session
                assert session is not None
                server.pause()
                await until(lambda: stopped(server))
                # turns of the loop, in which it reads what the broker said before
                for _ in range(10):
                    await asyncio.sleep(0)
                assert session._backlog_under_way == session.in_flight > 0
                assert box.pending > 1000, "the backlog was through before the test began"
                put(box, 1)
                await until(lambda: not session.live_done() and not box.live_waiting)
                assert session.in_flight <= 4
                server.resume()

    run(scenario())


def stopped(server: Server) -> bool:
    """Whether a paused process really stands still."""
    return Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_the_drain_limit_is_kept_while_live_data_passes(tmp_path: Path) -> None:
    async def scenario() -> None:
        with (
            mosquitto(tmp_path / "broker") as server,
            outbox(tmp_path / "box") as box,
            witness(server.port) as seen,
        ):
            await until(lambda: seen.subscribed)
            put(box, 400)
            async with publishing(box, server.port, drain=50) as publisher:
                await until(lambda: publisher.connected)
                put(box, 200)
                await until(lambda: {n for _, n in seen.entries()} >= set(range(401, 601)))
                assert len(seen.entries()) < 600, "the backlog was not held back"
                await until(
                    lambda: len(seen.entries()) > 220, what="the backlog drains slowly, but it does"
                )

    run(scenario())


@pytest.mark.parametrize("window", [1, 50, 500])
def test_mqtt_5_with_the_broker_s_own_limit(tmp_path: Path, window: int) -> None:
    async def scenario() -> None:
        extra = "max_inflight_messages 10"
        with (
            mosquitto(tmp_path / "broker", extra=extra) as server,
            outbox(tmp_path / "box") as box,
            witness(server.port) as seen,
        ):
            await until(lambda: seen.subscribed)
            put(box, 300)
            async with publishing(box, server.port, version="5", window=window) as publisher:
                await until(lambda: publisher.connected)
                session = publisher._session
                assert session is not None
                assert session._window == min(window, session._link.receive_maximum)
                put(box, 100)
                await until(lambda: box.pending == 0 and len(seen.entries()) == 400)
            assert sorted(seen.entries()) == sequence(box, 1, 400)

    run(scenario())


def test_drain_waits_for_live_entries_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        with mosquitto(tmp_path / "broker") as server, outbox(tmp_path / "box") as box:
            async with publishing(box, server.port) as publisher:
                await publisher.drain(5)
                await until(lambda: publisher.connected)
                put(box, 500)
                await publisher.drain(20)
                assert box.pending == 0

    run(scenario())


def test_a_killed_connection_publishes_the_last_will(tmp_path: Path) -> None:
    async def scenario() -> None:
        with (
            mosquitto(tmp_path / "broker") as server,
            outbox(tmp_path / "box") as box,
            witness(server.port) as seen,
        ):
            state = TOPICS.agent("ipc-01")
            async with publishing(box, server.port) as publisher:
                await until(lambda: (seen.last(state) or {}).get("state") == "online")
                assert publisher._session is not None
                publisher._session._link.close()
                will = await until(lambda: (d := seen.last(state))["state"] == "offline" and d)
                assert will["streams"] == [box.stream]

    run(scenario())
