"""`confirm: store` over the wire: a small ingest of the test's own says what is stored, or does
not."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from unittest.mock import patch

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.app.agent.self_health import SelfHealth
from edge_agent.clock import Clock
from edge_agent.config.models import Mqtt
from edge_agent.health import agent as own
from edge_agent.intervals import IntervalSet
from edge_agent.outbox import Outbox
from edge_agent.publish import Publisher, confirm, session
from edge_agent.topics import Topics
from tests.support.aio import run, until
from tests.support.servers import Server, mosquitto, nats

TOPICS = Topics("edge", "demo", "dongguan")
DATA = TOPICS.device("area", "line", "vmc-01") + "/data"


class FakeIngest:
    """Notes what arrives; forgets what `keep` does not want; tells the rest when asked to."""

    def __init__(self, port: int) -> None:
        self.stored: dict[str, IntervalSet] = {}
        self.arrived: list[int] = []
        self.keep: Callable[[int], bool] = lambda seq: True
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, "ingest", clean_session=True)
        self.client.on_message = self._on_message
        self.client.on_connect = lambda client, *_: client.subscribe(DATA, 1)
        self.subscribed = False
        self.store = ""
        self.client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        self.client.connect("127.0.0.1", port, 60)
        self.client.loop_start()

    def _on_message(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        document = json.loads(message.payload)
        self.arrived.append(document["seq"])
        if self.keep(document["seq"]):
            self.stored.setdefault(document["stream"], IntervalSet()).add(document["seq"])

    def tell(self) -> mqtt.MQTTMessageInfo:
        streams = {stream: numbers.pairs() for stream, numbers in self.stored.items()}
        document = {"v": 1, "ingest": "fake", "t": 1, "streams": streams, "store": self.store}
        return self.client.publish(TOPICS.watermark("ipc-01"), json.dumps(document), 1, retain=True)


@contextmanager
def ingesting(port: int) -> Iterator[FakeIngest]:
    ingest = FakeIngest(port)
    try:
        yield ingest
    finally:
        ingest.client.disconnect()
        ingest.client.loop_stop()


@asynccontextmanager
async def publishing(
    path: Path, port: int, max_bytes: int = 20_000_000
) -> AsyncIterator[tuple[Outbox, Publisher]]:
    box = Outbox(path, agent="ipc-01", max_bytes=max_bytes, fsync_ms=20)
    config = Mqtt(url=f"mqtt://127.0.0.1:{port}", confirm="store")
    publisher = Publisher(config, box, TOPICS, "ipc-01", Clock())
    task = asyncio.create_task(publisher.run(), name="publisher")
    try:
        yield box, publisher
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await box.close()


def put(box: Outbox, count: int, filling: int = 0) -> None:
    head = json.dumps({"v": 1, "stream": box.stream})[:-1].encode() + b',"seq":'
    for _ in range(count):
        box.append(DATA, head, b',"filling":"%b"}' % (b"x" * filling), 1, 5)


@pytest.fixture(params=[mosquitto, nats], ids=["mosquitto", "nats"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with request.param(tmp_path / "broker") as server:
        yield server


def test_an_entry_leaves_when_the_store_has_it_and_not_before(
    broker: Server, tmp_path: Path
) -> None:
    async def scenario() -> None:
        with ingesting(broker.port) as ingest:
            await until(lambda: ingest.subscribed)
            async with publishing(tmp_path / "box", broker.port) as (box, publisher):
                put(box, 60)
                await until(lambda: publisher.acknowledged == 300 and len(ingest.arrived) == 60)
                assert (box.pending, publisher.confirmed) == (60, 0)
                ingest.stored[box.stream].discard(31, 40)
                ingest.tell()
                await until(lambda: box.pending == 10)
                assert box.awaiting() == {box.stream: [(31, 40)]}
                assert publisher.confirmed == 250

    run(scenario())


def test_the_retained_watermark_frees_but_is_no_sign_of_life(
    broker: Server, tmp_path: Path
) -> None:
    async def scenario() -> None:
        with ingesting(broker.port) as ingest:
            await until(lambda: ingest.subscribed)
            async with publishing(tmp_path / "box", broker.port) as (box, _):
                put(box, 20)
                await until(lambda: len(ingest.arrived) == 20 and box.unconfirmed == 20)
            await until(ingest.tell().is_published)
            async with publishing(tmp_path / "box", broker.port) as (box, publisher):
                await until(lambda: box.pending == 0)
                assert publisher._watch._life_at is None
                ingest.tell()
                await until(lambda: publisher._watch._life_at is not None)
                assert not publisher.ingest_silent

    run(scenario())


def test_a_living_ingest_gets_again_what_it_lacks(tmp_path: Path) -> None:
    async def scenario() -> None:
        with (
            mosquitto(tmp_path / "broker") as server,
            ingesting(server.port) as ingest,
            patch.object(confirm, "OVERDUE_S", 1.5),
        ):
            await until(lambda: ingest.subscribed)
            ingest.keep = lambda seq: seq % 10 != 0 or ingest.arrived.count(seq) > 1
            async with publishing(tmp_path / "box", server.port) as (box, publisher):
                put(box, 50)
                await until(lambda: len(ingest.arrived) == 50)
                ingest.tell()
                await until(lambda: box.pending == 5)
                await until(lambda: len(ingest.arrived) == 55, what="what is missing comes again")
                ingest.tell()
                await until(lambda: box.pending == 0)
                assert publisher.resent == 5
                assert sorted(ingest.arrived[50:]) == [10, 20, 30, 40, 50]

    run(scenario())


def test_without_an_ingest_nothing_is_sent_twice_and_that_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        with (
            mosquitto(tmp_path / "broker") as server,
            ingesting(server.port) as ingest,
            patch.object(confirm, "OVERDUE_S", 0.5),
            patch.object(confirm, "SILENT_S", 2.5),
        ):
            await until(lambda: ingest.subscribed)
            async with publishing(tmp_path / "box", server.port) as (box, publisher):
                put(box, 20)
                await until(lambda: publisher.ingest_silent)
                assert (box.pending, publisher.resent, len(ingest.arrived)) == (20, 0, 20)

    run(scenario())


def test_the_backlog_waits_for_the_store_and_live_data_does_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        with (
            mosquitto(tmp_path / "broker") as server,
            ingesting(server.port) as ingest,
            patch.object(session, "UNCONFIRMED_LIMIT", 100),
        ):
            await until(lambda: ingest.subscribed)
            async with publishing(tmp_path / "box", server.port) as (box, publisher):
                put(box, 1000)
                await until(lambda: publisher.connected and box.unconfirmed >= 100)
                put(box, 20)
                await until(lambda: set(range(1001, 1021)) <= set(ingest.arrived))
                assert len(ingest.arrived) < 400, "the backlog ran ahead of the store"
                while box.pending:
                    ingest.tell()
                    await asyncio.sleep(0.02)  # poll interval of an ingest that commits
                assert sorted(ingest.arrived) == list(range(1, 1021))

    run(scenario())


def test_changing_to_confirm_broker_frees_what_the_broker_has(tmp_path: Path) -> None:
    async def scenario() -> None:
        with mosquitto(tmp_path / "broker") as server:
            async with publishing(tmp_path / "box", server.port) as (box, publisher):
                put(box, 20)
                await until(lambda: publisher.acknowledged == 100)
            box = Outbox(tmp_path / "box", agent="ipc-01", max_bytes=20_000_000, fsync_ms=20)
            assert box.pending == 20
            Publisher(Mqtt(url=f"mqtt://127.0.0.1:{server.port}"), box, TOPICS, "ipc-01", Clock())
            assert box.pending == 0
            await box.close()

    run(scenario())


SMALL = 1_000_000
"""Bytes of an outbox that some hundred entries of 5 kB fill to four fifths."""


def share(box: Outbox) -> float:
    return box.stats.bytes / box.limit


def test_an_outbox_that_never_met_an_ingest_lets_the_oldest_go_at_four_fifths(
    tmp_path: Path,
) -> None:
    """Nothing is dropped, each value that went is counted, and the agent's health says why."""

    async def scenario() -> None:
        with mosquitto(tmp_path / "broker") as server, ingesting(server.port) as ingest:
            await until(lambda: ingest.subscribed)
            async with publishing(tmp_path / "box", server.port, SMALL) as (box, publisher):
                put(box, 100, filling=5000)
                await until(lambda: box.unconfirmed == 100)
                assert (box.pending, publisher.freed_before_store) == (100, 0), (
                    "half full: nothing goes"
                )
                for first in range(100, 400, 10):
                    put(box, 10, filling=5000)
                    await until(lambda count=first + 10: len(ingest.arrived) == count)  # type: ignore[misc]
                await until(lambda: box.pending == box.unconfirmed)
                stats = box.stats
                assert 0.7 < share(box) <= 0.85
                assert (stats.dropped, box.gaps()) == (0, [])
                assert (
                    publisher.freed_before_store
                    == stats.unseen
                    == stats.confirmed
                    == (400 - box.pending) * 5
                )
                assert box.awaiting()[box.stream][-1] == (401 - box.pending, 400), "the newest stay"
                facts = SelfHealth(box, publisher, Clock()).facts([], [])
                assert "ingest_never_seen" in [notice.reason for notice in own.notices(facts)]

    run(scenario())


def test_an_outbox_that_met_an_ingest_keeps_all_for_it_also_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        with mosquitto(tmp_path / "broker") as server:
            with ingesting(server.port) as ingest:
                async with publishing(tmp_path / "box", server.port, SMALL) as (box, publisher):
                    await until(lambda: publisher.connected and ingest.subscribed)
                    while not box.ingest_seen:
                        ingest.tell()
                        await asyncio.sleep(0.02)  # poll interval of an ingest that shows itself
            async with publishing(tmp_path / "box", server.port, SMALL) as (box, publisher):
                put(box, 180, filling=5000)
                await until(lambda: box.unconfirmed == 180)
                assert share(box) > 0.85
                assert (box.pending, publisher.freed_before_store, box.stats.dropped) == (180, 0, 0)

    run(scenario())


def test_a_backlog_longer_than_the_outbox_share_goes_on_without_an_ingest(tmp_path: Path) -> None:
    """What is at the broker and not in a store must not hold up for ever what the broker lacks."""

    async def scenario() -> None:
        with (
            mosquitto(tmp_path / "broker") as server,
            ingesting(server.port) as ingest,
            patch.object(session, "UNCONFIRMED_LIMIT", 20),
        ):
            await until(lambda: ingest.subscribed)
            box = Outbox(tmp_path / "box", agent="ipc-01", max_bytes=SMALL, fsync_ms=20)
            put(box, 180, filling=5000)
            await box.close()
            async with publishing(tmp_path / "box", server.port, SMALL) as (box, _):
                await until(lambda: share(box) < 0.8)
                assert len(ingest.arrived) >= 180 - 160
                assert box.stats.dropped == 0

    run(scenario())


def test_a_store_that_was_put_back_to_an_older_copy_gets_again_what_is_still_here(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        with (
            mosquitto(tmp_path / "broker") as server,
            ingesting(server.port) as ingest,
            patch.object(confirm, "OVERDUE_S", 1.5),
        ):
            await until(lambda: ingest.subscribed)
            ingest.store = "s1"
            async with publishing(tmp_path / "box", server.port) as (box, publisher):
                put(box, 20)
                await until(lambda: len(ingest.arrived) == 20)
                ingest.tell()
                await until(lambda: box.pending == 0)
                ingest.stored[box.stream].discard(11, 20)
                ingest.tell()
                await until(lambda: box.pending == 10)
                await until(lambda: len(ingest.arrived) == 30, what="it comes again")
                ingest.tell()
                await until(lambda: box.pending == 0)
                assert sorted(ingest.arrived[20:]) == list(range(11, 21))
                assert publisher.resent == 10

    run(scenario())
