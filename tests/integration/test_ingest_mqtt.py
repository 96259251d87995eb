"""The ingest against real brokers: what was acknowledged is stored, exactly once, and told to the
agents."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.clock import Clock
from edge_agent.config.models import Mqtt
from edge_agent.errors import PoisonError, StoreError
from edge_agent.ingest.quarantine import MessageQuarantine
from edge_agent.ingest.service import Ingest
from edge_agent.mqtt.trouble import silent
from edge_agent.stores import WriteBatch
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.topics import Topics
from tests.support import servers
from tests.support.aio import run, until

TOPICS = Topics("edge", "ent", "site")
T0 = 1_763_900_000_000_000_000


def data(
    seq: int, values: dict[str, Any] | None = None, stream: str = "ipc-01/0/9f3c", **extra: Any
) -> bytes:
    values = {"speed": seq + 0.5, "count": seq} if values is None else values
    t = T0 + seq * 1_000_000
    document = {
        "v": 1,
        "device": "m1",
        "stream": stream,
        "seq": seq,
        "ts": t // 10**6,
        "t": t,
        "values": values,
    }
    return orjson.dumps(document | extra)


class Agent:
    """A plain MQTT client that stands in for the agent: publishes, and hears the watermark."""

    def __init__(self, port: int) -> None:
        self.marks: list[dict[str, Any]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="agent")
        self._client.max_inflight_messages_set(20)
        self._client.on_message = lambda _c, _d, message: self.marks.append(
            orjson.loads(message.payload)
        )
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(TOPICS.watermark("ipc-01"), 1)
        self._client.loop_start()

    def send(self, kind: str, *payloads: bytes, device: str = "m1", retain: bool = False) -> None:
        topic = f"{TOPICS.device('area', 'line', device)}/{kind}"
        infos = [self._client.publish(topic, payload, 1, retain) for payload in payloads]
        for info in infos:
            info.wait_for_publish(20)

    def state(self, **fields: Any) -> None:
        self._client.publish(
            TOPICS.agent("ipc-01"), orjson.dumps({"v": 1, "agent": "ipc-01", **fields}), 1, True
        )

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def marked(self, stream: str = "ipc-01/0/9f3c") -> list[list[int]] | None:
        return self.marks[-1]["streams"].get(stream) if self.marks else None


class FaultyStore(DuckDbStore):
    """The embedded store with a switch: away, or refusing what holds a certain tag."""

    away = False
    poison = ""
    writes = 0

    def write(self, batch: WriteBatch) -> None:
        self.writes += 1
        if self.away:
            raise StoreError("503")
        if self.poison and any(
            self.catalogue.series[sid].tag == self.poison for sid in batch.rows.sid.tolist()
        ):
            raise PoisonError("400 bad line")
        super().write(batch)


@pytest.fixture(params=["mosquitto", "nats"])
def broker(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[servers.Server]]:
    return getattr(servers, request.param)  # type: ignore[no-any-return]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[FaultyStore]:
    store = FaultyStore(path, agent="ipc-01")
    try:
        yield store
    finally:
        store.close()


@contextlib.asynccontextmanager
async def ingesting(
    port: int, store: FaultyStore, folder: Path, version: str = "3.1.1"
) -> AsyncIterator[Ingest]:
    config = Mqtt.model_validate({"url": f"mqtt://127.0.0.1:{port}", "version": version})
    quarantine = MessageQuarantine(folder / "quarantine")
    ingest = Ingest(config, store, TOPICS, quarantine, client_id="ipc-01-ingest", clock=Clock())
    task = asyncio.create_task(ingest.run())
    try:
        await until(lambda: ingest.connected or task.done(), what="connected")
        yield ingest
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.contextmanager
def agent(port: int) -> Iterator[Agent]:
    client = Agent(port)
    try:
        yield client
    finally:
        client.close()


def speeds(store: DuckDbStore) -> list[float]:
    return store.samples("m1", "speed", 0, 2 * T0).values()


def test_values_reach_the_store_and_the_watermark_follows(broker: Any, tmp_path: Path) -> None:
    async def main() -> None:
        with (
            broker(tmp_path / "b") as server,
            opened(tmp_path / "s.duckdb") as store,
            agent(server.port) as sender,
        ):
            async with ingesting(server.port, store, tmp_path) as ingest:
                sender.state(state="online", streams=["ipc-01/0/old1"])
                await asyncio.to_thread(sender.send, "data", *[data(seq) for seq in range(1, 301)])
                await until(lambda: sender.marked() == [[1, 300]], what=f"{sender.marks[-1:]}")
                assert sender.marked("ipc-01/0/old1") == []
                assert sender.marks[-1]["ingest"] == "ipc-01-ingest"
                await asyncio.to_thread(sender.send, "data", data(5), data(301), data(301))
                await until(lambda: sender.marked() == [[1, 301]])
                await until(lambda: ingest.counters.duplicates_ignored == 4)
                c = ingest.counters
                assert (c.received, c.stored, c.quarantined) == (606, 602, 0)
            assert speeds(store) == [seq + 0.5 for seq in range(1, 302)]
            assert store.counts().stored == 602

    run(main())


def test_a_file_that_is_moved_away_confirms_nothing_until_it_is_back(tmp_path: Path) -> None:
    path, away = tmp_path / "s.duckdb", tmp_path / "moved.duckdb"

    async def main() -> None:
        with (
            servers.mosquitto(tmp_path / "b") as server,
            opened(path) as store,
            agent(server.port) as sender,
        ):
            async with ingesting(server.port, store, tmp_path) as ingest:
                await asyncio.to_thread(sender.send, "data", data(1))
                await until(lambda: sender.marked() == [[1, 1]])
                path.rename(away)
                told = len(sender.marks)
                await asyncio.to_thread(sender.send, "data", data(2))
                await until(lambda: ingest.trouble is not None)
                assert ingest.trouble is not None
                assert "被移走或删除了" in ingest.trouble.zh
                assert [
                    marks["streams"]
                    for marks in sender.marks[told:]
                    if marks["streams"] != {"ipc-01/0/9f3c": [[1, 1]]}
                ] == []
                away.rename(path)
                await until(lambda: sender.marked() == [[1, 2]])
                assert ingest.trouble is None
            assert speeds(store) == [1.5, 2.5]

    run(main())


@pytest.mark.parametrize("how", ["removed", "renamed over", "copied over", "older backup"])
def test_what_came_after_the_file_was_replaced_is_in_the_one_that_is_opened_next(
    how: str, tmp_path: Path
) -> None:
    path, other = tmp_path / "s.duckdb", tmp_path / "other.duckdb"

    async def main() -> None:
        with servers.mosquitto(tmp_path / "b") as server, agent(server.port) as sender:
            with opened(path) as store:
                if how == "older backup":
                    store._checkpoint()
                    shutil.copyfile(path, other)
                else:
                    DuckDbStore(other).close()
                async with ingesting(server.port, store, tmp_path) as ingest:
                    await asyncio.to_thread(sender.send, "data", data(1))
                    await until(lambda: sender.marked() == [[1, 1]])
                    await ingest.call(store._checkpoint)
                    changes: dict[str, Callable[[], object]] = {
                        "removed": path.unlink,
                        "renamed over": lambda: other.rename(path),
                        "copied over": lambda: shutil.copyfile(other, path),
                        "older backup": lambda: shutil.copyfile(other, path),
                    }
                    changes[how]()
                    await asyncio.to_thread(sender.send, "data", data(2))
                    await until(lambda: ingest.trouble is not None)
                    assert sender.marked() == [[1, 1]]
            with opened(path) as store:
                async with ingesting(server.port, store, tmp_path):
                    await until(lambda: sender.marked() == [[2, 2]])
                assert speeds(store) == [2.5]

    run(main())


def test_what_came_while_the_ingest_was_away_waits_at_the_broker(
    broker: Any, tmp_path: Path
) -> None:
    async def main() -> None:
        with broker(tmp_path / "b") as server, agent(server.port) as sender:
            for first in (1, 101):
                with opened(tmp_path / "s.duckdb") as store:
                    async with ingesting(server.port, store, tmp_path):
                        if first == 1:
                            await asyncio.to_thread(sender.send, "data", data(1))
                        await until(
                            lambda f=first: sender.marked() == [[1, f]], what=f"{sender.marks[-1:]}"
                        )
                await asyncio.to_thread(
                    sender.send, "data", *[data(s) for s in range(first + 1, first + 101)]
                )
            with opened(tmp_path / "s.duckdb") as store:
                async with ingesting(server.port, store, tmp_path):
                    await until(lambda: sender.marked() == [[1, 201]])
                assert speeds(store) == [seq + 0.5 for seq in range(1, 202)]

    run(main())


def test_a_store_outage_loses_nothing_and_broker_restarts_bring_no_doubles(tmp_path: Path) -> None:
    async def main() -> None:
        port = servers.free_port()
        with opened(tmp_path / "s.duckdb") as store:
            with servers.mosquitto(tmp_path / "b", port), agent(port) as sender:
                async with ingesting(port, store, tmp_path) as ingest:
                    store.away = True
                    await asyncio.to_thread(
                        sender.send, "data", *[data(seq) for seq in range(1, 501)]
                    )
                    await until(lambda: store.writes > 2, what="retries")
                    assert ingest.lag() > 0
                    assert ingest.problem
                    assert speeds(store) == []
                    assert ingest._session is not None
                    ingest._session._connection.drop(silent("cut by the test"))
                    await until(lambda: ingest.connected)
                    await until(lambda: ingest.counters.duplicates_ignored > 0, what="redelivery")
                    store.away = False
                    await until(lambda: sender.marked() == [[1, 500]], what=f"{sender.marks[-1:]}")
                    await until(lambda: ingest.lag() == 0)
                    c = ingest.counters
                    assert c.stored == 1000
                    assert c.received == c.stored + c.duplicates_ignored
                    assert not ingest.problem
            with servers.mosquitto(tmp_path / "b", port), agent(port) as sender:
                async with ingesting(port, store, tmp_path) as again:
                    await asyncio.to_thread(sender.send, "data", data(500), data(501))
                    await until(lambda: sender.marked() == [[1, 501]])
                    assert again.counters.stored == 2
            assert speeds(store) == [seq + 0.5 for seq in range(1, 502)]

    run(main())


def test_poison_never_blocks_its_neighbours(tmp_path: Path) -> None:
    async def main() -> None:
        with servers.mosquitto(tmp_path / "b") as server, opened(tmp_path / "s.duckdb") as store:
            store.poison = "poison"
            with agent(server.port) as sender:
                async with ingesting(server.port, store, tmp_path) as ingest:
                    messages = [data(seq) for seq in range(1, 41)]
                    messages[20] = data(21, {"poison": 1, "speed": 3.0})
                    messages[25] = data(26, {"speed": {"no": "value"}})
                    messages[30:30] = [b"\xff\xfenot json", b"[]", data(99)[:-1]]
                    await asyncio.to_thread(sender.send, "data", *messages)
                    await asyncio.to_thread(sender.send, "data", orjson.dumps({"v": 2}))
                    await until(lambda: sender.marked() == [[1, 40]], what=f"{sender.marks[-1:]}")
                    await until(lambda: ingest.counters.malformed == 6)
                    c = ingest.counters
                    assert (c.received, c.stored, c.quarantined) == (79, 76, 3)
                    assert len(speeds(store)) == 38
                    quarantine = MessageQuarantine(tmp_path / "quarantine")
                    assert sum(entry.values for entry in quarantine.entries()) == 3
                    assert store.counts().quarantined == 3
                    store.poison = ""
                    done = await ingest.replay([])
                    assert (done["stored"], len(done["taken"]), len(done["refused"])) == (2, 1, 5)
                    assert len(list(quarantine.entries())) == 5
            assert len(speeds(store)) == 39
            assert store.counts().stored == 78

    run(main())


def test_a_stream_or_an_agent_that_no_topic_can_name_ends_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        with (
            servers.mosquitto(tmp_path / "b") as server,
            opened(tmp_path / "s.duckdb") as store,
            agent(server.port) as a,
        ):
            async with ingesting(server.port, store, tmp_path) as ingest:
                a.state(agent="+", streams=[])
                await asyncio.to_thread(
                    a.send, "data", data(1, stream="#/0/1"), data(2, stream="a\u3000/0/1")
                )
                # a space beyond ASCII is not printable: refused
                await until(lambda: ingest.counters.stored == 2)
                await asyncio.to_thread(a.send, "data", data(3))
                await until(lambda: a.marked() == [[3, 3]], what=f"{a.marks[-1:]}")
                assert ingest.counters.malformed == 1

    run(main())


def test_health_birth_and_gaps_are_stored(tmp_path: Path) -> None:
    async def main() -> None:
        with servers.mosquitto(tmp_path / "b") as server, opened(tmp_path / "s.duckdb") as store:
            with agent(server.port) as sender:
                async with ingesting(server.port, store, tmp_path, version="5"):
                    tags = {"speed": {"type": "float", "unit": "rpm"}}
                    birth = {"v": 1, "device": "m1", "agent": "ipc-01", "t": T0, "tags": tags}
                    sender.send("birth", orjson.dumps(birth), retain=True)
                    row = {
                        "v": 1,
                        "device": "m1",
                        "stream": "ipc-01/0/9f3c",
                        "seq": 1,
                        "t": T0 + 1,
                        "period_s": 5.0,
                        "scheduled_s": 5.0,
                        "covered_s": 4.0,
                        "due": 5,
                        "done": 4,
                        "good": 8,
                        "bad": 2,
                        "values": 8,
                        "latency_ms": None,
                        "latency_max_ms": 3.5,
                        "overruns": 0,
                        "state": "online",
                        "reason": "",
                        "last_good_t": T0,
                        "transition": {
                            "from": "starting",
                            "to": "online",
                            "reason": "",
                            "zh": "设备正常",
                            "en": "fine",
                        },
                    }
                    gap = {
                        "v": 1,
                        "device": "ipc-01",
                        "stream": "ipc-01/0/9f3c",
                        "seq": 2,
                        "t": T0 + 2,
                        "gap": {
                            "stream": "ipc-01/0/9f3c",
                            "from_seq": 3,
                            "to_seq": 9,
                            "from_t": T0,
                            "to_t": T0 + 1,
                            "values": 70,
                            "acknowledged": 0,
                        },
                    }
                    sender.send("health", orjson.dumps(row))
                    topic = TOPICS.device("area", "_agent", "ipc-01") + "/health"
                    sender._client.publish(topic, orjson.dumps(gap), 1).wait_for_publish(10)
                    await until(lambda: sender.marked() == [[1, 2]], what=f"{sender.marks[-1:]}")
            assert store.catalogue.series[0].meta == '{"type":"float","unit":"rpm"}'
            assert orjson.loads(store.catalogue.devices["m1"])["agent"] == "ipc-01"
            facts = store.live_facts(0, 2 * T0)["m1"]
            assert (facts.first_ns, facts.last_good_ns, facts.covered_s, facts.good) == (
                T0 + 1,
                T0,
                4.0,
                8,
            )
            assert store.gaps(0, 2 * T0)[0]["values"] == 70
            assert store.transitions(0, 2 * T0)[0]["zh"] == "设备正常"

    run(main())


def test_what_the_store_has_not_committed_is_not_acknowledged(tmp_path: Path) -> None:
    """The service ends while the store is away: the broker still has everything, and gives it to
    the next service."""

    async def main() -> None:
        with (
            servers.mosquitto(tmp_path / "b") as server,
            opened(tmp_path / "s.duckdb") as store,
            agent(server.port) as sender,
        ):
            async with ingesting(server.port, store, tmp_path) as ingest:
                store.away = True
                await asyncio.to_thread(sender.send, "data", *[data(seq) for seq in range(1, 16)])
                await until(lambda: store.writes > 1, what="tried again and again")
                assert ingest.counters.stored == 0
            store.away = False
            async with ingesting(server.port, store, tmp_path) as ingest:
                await until(lambda: ingest.counters.stored == 30, what=f"{ingest.counters}")
            assert speeds(store) == [seq + 0.5 for seq in range(1, 16)]

    run(main())
