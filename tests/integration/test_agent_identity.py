"""Two agents on one broker: the births of twins, and what an agent believes when the store behind
it is another."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Literal

import orjson

from edge_agent import payload
from edge_agent.clock import Clock
from edge_agent.config.models import Mqtt
from edge_agent.ingest.quarantine import MessageQuarantine
from edge_agent.ingest.service import Ingest
from edge_agent.intervals import IntervalSet
from edge_agent.outbox import Outbox
from edge_agent.publish import Publisher, confirm
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.topics import Topics
from tests.support.aio import run, until
from tests.support.servers import mosquitto

TOPICS = Topics("edge", "e", "s")
PATH = TOPICS.device("area", "line", "plc-1")
T0 = 1_763_900_000_000_000_000


class Agent:
    """An outbox with its publisher, and a device of which it reads one number."""

    def __init__(
        self, name: str, folder: Path, port: int, confirming: Literal["broker", "store"]
    ) -> None:
        self.name = name
        self.box = Outbox(folder / name, agent=name, max_bytes=20_000_000, fsync_ms=20)
        config = Mqtt(url=f"mqtt://127.0.0.1:{port}", client_id=name, confirm=confirming)
        self.publisher = Publisher(config, self.box, TOPICS, name, Clock())
        born = {
            "v": 1,
            "device": "plc-1",
            "name": f"of {name}",
            "agent": name,
            "t": T0,
            "tags": {"x": {}},
        }
        self.publisher.retain(f"{PATH}/birth", orjson.dumps(born))

    def read(self, value: float, count: int = 1) -> None:
        head = payload.head("plc-1", self.box.stream)
        for _ in range(count):
            t = T0 + (self.box.last_seq + 1) * 1_000_000
            self.box.append(
                f"{PATH}/data", head, payload.stamp(t) + b',"values":{"x":%f}}' % value, t, 1
            )


@asynccontextmanager
async def agent(
    name: str, folder: Path, port: int, confirming: Literal["broker", "store"] = "broker"
) -> AsyncIterator[Agent]:
    made = Agent(name, folder, port, confirming)
    task = asyncio.create_task(made.publisher.run(), name=name)
    try:
        await until(lambda: made.publisher.connected)
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await made.box.close()


@asynccontextmanager
async def ingesting(port: int, store: DuckDbStore, folder: Path) -> AsyncIterator[Ingest]:
    config = Mqtt(url=f"mqtt://127.0.0.1:{port}")
    ingest = Ingest(
        config, store, TOPICS, MessageQuarantine(folder / "q"), client_id="ingest", clock=Clock()
    )
    task = asyncio.create_task(ingest.run())
    try:
        await until(lambda: ingest.connected or task.done())
        yield ingest
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_births_of_twins_on_one_path_both_reach_a_service_that_starts_later(tmp_path: Path) -> None:
    """The broker keeps the later one of the two; the service asks the other agent for its own."""

    async def scenario() -> None:
        with mosquitto(tmp_path / "b") as broker:
            async with (
                agent("ipc-01", tmp_path, broker.port) as one,
                agent("ipc-02", tmp_path, broker.port) as two,
            ):
                for each in (one, two):
                    each.read(1.0)
                await until(lambda: one.box.pending == two.box.pending == 0)
                with closing(DuckDbStore(tmp_path / "s.duckdb", agent="server")) as store:
                    async with ingesting(broker.port, store, tmp_path) as ingest:
                        one.read(62.5)
                        two.read(65411.0)
                        born = store.catalogue.devices
                        await until(lambda: len(born) == 2)
                        await until(lambda: ingest.counters.stored >= 2)
                        assert {key: json.loads(text)["name"] for key, text in born.items()} == {
                            "ipc-01:plc-1": "of ipc-01", "ipc-02:plc-1": "of ipc-02",
                        }  # fmt: skip
                        assert not ingest.agents.without_birth(
                            "ipc-01"
                        ) | ingest.agents.without_birth("ipc-02")
                        state = ingest.agents.states()["ipc-01"]
                        assert (state.online, state.backlog_messages is not None) == (True, True)
                        assert state.version
                        assert ingest.counters.malformed == 0
                    assert store.samples("ipc-01:plc-1", "x", 0, 2 * T0).values() == [62.5]
                    assert store.samples("ipc-02:plc-1", "x", 0, 2 * T0).values() == [65411.0]

    run(scenario())


def test_another_store_gets_what_the_one_before_it_confirmed_and_is_still_here(
    tmp_path: Path,
) -> None:
    """`confirm: store`: the agent forgets what it believed of the entries it still has; once, and
    after a restart."""

    async def scenario() -> None:
        with mosquitto(tmp_path / "b") as broker:
            with closing(DuckDbStore(tmp_path / "a.duckdb", agent="ipc-01")) as first:
                async with agent("ipc-01", tmp_path, broker.port, "store") as one:
                    async with ingesting(broker.port, first, tmp_path):
                        one.read(1.0, 20)
                        await until(lambda: one.box.pending == 0)
                        assert one.box.store == first.store_id
                    stream = one.box.stream
                    with closing(DuckDbStore(tmp_path / "b.duckdb", agent="ipc-01")) as second:
                        # so long ago was the first one heard
                        one.publisher._store_seen_at -= confirm.LIFE_S
                        async with ingesting(broker.port, second, tmp_path):
                            one.read(2.0)
                            await until(lambda: one.box.store == second.store_id)
                            await until(lambda: one.box.pending == 0)
                            assert second.marks()[stream].pairs() == [(1, 21)]
            async with agent("ipc-01", tmp_path, broker.port, "store") as again:
                assert again.box.store == second.store_id

    run(scenario())


def test_two_stores_at_work_at_once_do_not_take_turns(tmp_path: Path) -> None:
    box = Outbox(tmp_path, agent="ipc-01", max_bytes=20_000_000, fsync_ms=20)
    publisher = Publisher(
        Mqtt(url="mqtt://127.0.0.1:1", confirm="store"), box, TOPICS, "ipc-01", Clock()
    )
    try:
        for now in range(100):
            for store in ("a", "b"):
                publisher._follow_store(store, float(now), live=True)
        assert box.store == "a"
        publisher._follow_store("b", 99 + confirm.LIFE_S, live=True)
        assert box.store == "b"
    finally:
        box.close_now()


def test_an_outbox_hands_out_again_what_it_can_read_and_counts_it_right(tmp_path: Path) -> None:
    box = Outbox(tmp_path, agent="ipc-01", max_bytes=20_000_000, fsync_ms=20)
    try:
        head = payload.head("d", box.stream)
        box.attach()
        for n in range(10):
            box.append("t", head, b"}", n, 3)
        taken = [entry for _ in range(8) if (entry := box.take_live()) is not None]
        box.acknowledge(taken, release=False)
        assert box.follow_store("a") == 0, (
            "the first store ever is believed, and nothing was told before it"
        )
        box.confirm(box.stream, [(1, 5)])
        assert (box.pending, box.unconfirmed, box.stats.confirmed) == (5, 3, 15)
        assert box.follow_store("a") == 0
        assert box.follow_store("b") == 8
        assert (box.pending, box.unconfirmed, box.stats.pending, box.stats.confirmed) == (
            10,
            0,
            30,
            0,
        )
        again = []
        while (entry := box.take_backlog()) is not None:
            again.append(entry.seq)
        assert IntervalSet((seq, seq) for seq in again).covers(1, 8)
        box.confirm(box.stream, [(1, 10)])
        assert (box.pending, box.stats.pending) == (0, 0)
    finally:
        box.close_now()
    reopened = Outbox(tmp_path, agent="ipc-01", max_bytes=20_000_000, fsync_ms=20)
    assert (reopened.store, reopened.pending) == ("b", 0)
    reopened.close_now()
