"""A broker that does not take some messages, or some clients: the others' data passes, and it is
said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.clock import Clock
from edge_agent.config.models import Mqtt
from edge_agent.ingest.quarantine import MessageQuarantine
from edge_agent.ingest.service import Ingest
from edge_agent.mqtt.flap_detector import LONGEST_S, MANY, SHORT_S, FlapDetector
from edge_agent.outbox import Outbox
from edge_agent.publish import Publisher
from edge_agent.publish.suspect_messages import HANGS_UP_S, SuspectMessages
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.topics import Topics
from tests.support.aio import run, until
from tests.support.servers import mosquitto

TOPICS = Topics("edge", "demo", "dongguan")
BIG = TOPICS.device("area", "line", "big") + "/data"
SMALL = TOPICS.device("area", "line", "small") + "/data"


def put(box: Outbox, topic: str, size: int = 0) -> None:
    box.append(topic, b'{"seq":', b',"x":"' + b"x" * size + b'"}', 1000, 1)


@contextmanager
def seen(port: int) -> Iterator[list[tuple[str, int]]]:
    """(topic, size of the payload) of all data that arrives."""
    found: list[tuple[str, int]] = []
    subscribed: list[bool] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "witness")
    client.on_connect = lambda c, *_: c.subscribe("edge/+/+/+/+/+/data", 1)
    client.on_subscribe = lambda *_: subscribed.append(True)
    client.on_message = lambda c, _, m: found.append((m.topic, len(m.payload)))
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield found
    finally:
        client.disconnect()
        client.loop_stop()


def publisher(box: Outbox, port: int, **keys: Any) -> Publisher:
    return Publisher(
        Mqtt(**{"url": f"mqtt://127.0.0.1:{port}", **keys}), box, TOPICS, "ipc-01", Clock()
    )


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path / "box", agent="ipc-01", max_bytes=50_000_000, fsync_ms=20)
    yield made
    made.close_now()


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_a_message_too_large_for_the_broker_does_not_stop_the_others(
    tmp_path: Path, box: Outbox, version: str
) -> None:
    """MQTT 5 brokers say their limit; others hang up, and the message is found by sending one at a
    time."""

    async def scenario() -> None:
        with (
            mosquitto(tmp_path / "m", extra="max_packet_size 2000") as broker,
            seen(broker.port) as found,
        ):
            for number in range(20):
                put(box, BIG if number % 4 == 0 else SMALL, 3000 if number % 4 == 0 else 10)
            running = publisher(box, broker.port, version=version)
            running.retain(f"{BIG}/birth", b"y" * 5000)
            task = asyncio.create_task(running.run())
            await until(lambda: len(found) == 15, 60)
            await until(lambda: box.pending == 5)
            put(box, SMALL)
            await until(lambda: len(found) == 16, 60)
            assert {topic for topic, _ in found} == {SMALL}
            await until(lambda: box.pending == 5)  # what could not be sent is kept
            assert running.refusal is not None
            assert "big" in running.refusal.where
            assert "消息服务器" in running.refusal.zh
            await stopped(task)

    run(scenario())


def test_a_topic_that_is_not_allowed_is_a_finding_and_arrives_when_it_is(
    tmp_path: Path, box: Outbox
) -> None:
    rules = tmp_path / "acl"
    rules.write_text(
        "topic read #\ntopic write edge/+/+/agents/#\ntopic write edge/+/+/+/+/small/#\n"
    )

    async def scenario() -> None:
        with (
            mosquitto(tmp_path / "m", extra=f"acl_file {rules}") as broker,
            seen(broker.port) as found,
        ):
            for _ in range(300):
                put(box, BIG)
                put(box, SMALL)
            running = publisher(box, broker.port, version="5")
            task = asyncio.create_task(running.run())
            await until(lambda: len(found) == 300 and box.pending == 300)
            assert running.refusal is not None
            assert (running.refusal.zh, running.refusal.en) == (
                "没有写权限，请检查消息服务器的权限（ACL）（Not authorized）",
                "no permission to publish: check the broker's access rules (Not authorized)",
            )
            sent = running.messages
            assert sent < 300 + 200, "one window of refusals, not one for each message"
            await stopped(task)

    run(scenario())


def test_two_agents_of_one_name_are_told_so_and_do_not_fight_all_the_time(
    tmp_path: Path, box: Outbox
) -> None:
    other = Outbox(tmp_path / "other", agent="ipc-01", max_bytes=50_000_000, fsync_ms=20)

    async def scenario() -> None:
        with mosquitto(tmp_path / "m") as broker:
            both = [publisher(one, broker.port) for one in (box, other)]
            tasks = [asyncio.create_task(one.run()) for one in both]
            await until(lambda: all(one.problem is not None for one in both), 60)
            await until(
                lambda: any(one.problem and one.problem.code == "mqtt-restless" for one in both), 60
            )
            (problem, *_) = [
                one.problem for one in both if one.problem and one.problem.code == "mqtt-restless"
            ]
            assert "'ipc-01'" in problem.en
            for task in tasks:
                await stopped(task)

    try:
        run(scenario())
    finally:
        other.close_now()


def test_only_connections_that_were_accepted_and_did_not_hold_count() -> None:
    restless = FlapDetector()
    for _ in range(MANY):
        assert not restless.now
        assert restless.wait(0.2) == 0.2
        restless.ended(1.0)
    assert restless.now
    assert restless.wait(0.2) == pytest.approx(LONGEST_S / 5)
    for _ in range(9):
        restless.ended(1.0)
    assert restless.wait(0.2) == LONGEST_S
    restless.refused()
    assert not restless.now, "the broker was away in between: nothing is wrong with us"
    for _ in range(MANY):
        restless.ended(1.0)
    restless.ended(SHORT_S)
    assert not restless.now


def test_a_topic_is_held_after_the_second_time_and_not_for_ever() -> None:
    holds = SuspectMessages()
    for topic in ("a", "b", None, "a", None, "b"):
        holds.note_disconnect(topic and (topic, (topic, 0)), 0.0)
    assert holds.until == {}
    holds.note_disconnect(("b", ("b", 0)), 5.0)
    assert set(holds.until) == {"b"}
    assert not holds.expired(HANGS_UP_S[0])
    assert holds.expired(HANGS_UP_S[0] + 5.0)
    assert holds.until == {}


def test_two_store_services_of_one_name_are_told_so(tmp_path: Path) -> None:
    """They would share one session, and each would have a part of the data."""

    def service(name: str, port: int) -> tuple[Ingest, DuckDbStore]:
        store = DuckDbStore(tmp_path / f"{name}.duckdb")
        config = Mqtt(url=f"mqtt://127.0.0.1:{port}")
        return Ingest(
            config, store, TOPICS, MessageQuarantine(tmp_path / name), client_id="i", clock=Clock()
        ), store

    async def scenario() -> None:
        with mosquitto(tmp_path / "m") as broker:
            both = [service(name, broker.port) for name in ("a", "b")]
            tasks = [asyncio.create_task(one.run()) for one, _ in both]
            await until(lambda: any("client id 'i'" in one.problem for one, _ in both), 60)
            await stopped(tasks[0])
            (left, _) = both[1]
            await until(lambda: left.connected and not left.problem, 60)
            await stopped(tasks[1])
            for _, store in both:
                store.close()

    run(scenario())


def test_a_topic_at_which_the_broker_hangs_up_is_tried_ever_more_seldom() -> None:
    holds, now, pauses, a = SuspectMessages(), 0.0, [], ("a", ("stream", 1))
    holds.note_disconnect(a, now)
    for _ in range(6):
        holds.note_disconnect(a, now)
        pauses.append(holds.until["a"] - now)
        now = holds.until["a"]
        assert holds.expired(now)
    assert pauses == [*HANGS_UP_S, HANGS_UP_S[-1]]
    holds.taken("a", ("stream", 2))
    holds.note_disconnect(a, now)
    assert holds.until["a"] - now == HANGS_UP_S[0]
