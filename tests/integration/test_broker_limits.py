"""Brokers that lack something or are faulty, real where one can be made so: no loss, and the right
key is named."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import orjson
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.app.agent.agent import EdgeAgent
from edge_agent.app.serve import StoreService
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.config.models import Mqtt
from edge_agent.errors import Finding
from edge_agent.health import agent as own
from edge_agent.mqtt import MqttConnection, MqttMessage
from edge_agent.mqtt.trouble import LinkError
from edge_agent.outbox import Outbox
from edge_agent.publish import Publisher, retransmit_schedule
from edge_agent.topics import Topics
from tests.support.agents import Plc, configuration, running
from tests.support.aio import run, until
from tests.support.servers import free_port, mosquitto, nats, nats_program, serving

TOPICS = Topics("edge", "demo", "dongguan")
NO_RETAIN = "retain_available false"


@contextmanager
def witness(port: int) -> Iterator[list[mqtt.MQTTMessage]]:
    """All that arrives from now on."""
    found: list[mqtt.MQTTMessage] = []
    subscribed: list[bool] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "witness")
    client.on_connect = lambda c, *_: c.subscribe("edge/#", 1)
    client.on_subscribe = lambda *_: subscribed.append(True)
    client.on_message = lambda _, __, message: found.append(message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield found
    finally:
        client.disconnect()
        client.loop_stop()


def _arrived(found: list[mqtt.MQTTMessage], kind: str) -> bool:
    return any(message.topic.endswith(kind) and message.payload for message in found)


@asynccontextmanager
async def storing(path: Path) -> AsyncIterator[StoreService]:
    """`serve` of a file."""
    service, stop = StoreService(load(path), Clock()), asyncio.Event()
    task = asyncio.create_task(service.run(stop), name="serve")
    try:
        yield service
    finally:
        stop.set()
        await task


@pytest.mark.parametrize("keys", ["version: 5", "version: 3.1.1, retain: false"])
def test_without_retained_messages_values_births_and_confirmations_arrive(
    tmp_path: Path, keys: str
) -> None:
    """`auto` finds out by itself where the broker says it, which is with MQTT 5."""

    async def scenario(port: int) -> None:
        async with Plc().on() as plc:
            device = {
                "d": f"url: '{plc.url}', every: 200ms, tags: {{a: {{address: holding/0, unit: "
                f"mm}}}}"
            }
            path = configuration(tmp_path, port, device, mqtt=f", confirm: store, {keys}")
            async with storing(path) as service, running(path) as agent:
                await until(lambda: service._ingest.counters.stored > 10)
                await until(
                    lambda: agent._publisher.confirmed > 5, what="confirm: store frees entries"
                )
                assert "d" in service._store.catalogue.devices, "the birth came"
                assert [
                    orjson.loads(series.meta)["unit"] for series in service._store.catalogue.series
                ] == ["mm"]
                with witness(port) as found:  # comes later, as an ingest without a memory would
                    for kind in ("/birth", "/agents/ipc-01", "/watermark"):
                        await until(partial(_arrived, found, kind), what=kind)
                assert not any(message.retain for message in found)
                assert agent.health.judgement.reasons == []

    with (
        mosquitto(tmp_path / "broker", extra=NO_RETAIN) as broker,
        patch.object(retransmit_schedule, "PERIOD_S", 1.0),
    ):
        run(scenario(broker.port))


def test_after_a_restart_of_such_a_broker_births_come_again_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        async with Plc().on() as plc:
            device = {"d": f"url: '{plc.url}', every: 200ms, tags: {{a: {{address: holding/0}}}}"}
            path = configuration(tmp_path, port, device, mqtt=", version: 5")
            async with running(path) as agent:
                for _ in range(2):
                    with mosquitto(tmp_path / "broker", port, NO_RETAIN), witness(port) as found:
                        await until(lambda: [m for m in found if m.topic.endswith("/birth")])
                        await until(lambda: agent._publisher.connected)

    run(scenario())


async def refusal(url: str, version: str = "3.1.1", **more: bool) -> Finding:
    """Why an agent's connection with its retained last will is not accepted."""
    link = MqttConnection(
        Mqtt(url=url, version=version), "ipc", will=MqttMessage("w", b"x", retained=True), **more
    )
    with pytest.raises(LinkError) as caught:
        await link.open(None)
    return caught.value.finding


def test_the_refusal_of_a_retained_last_will_names_its_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        with mosquitto(tmp_path / "broker", extra=NO_RETAIN) as broker:
            said = await refusal(f"mqtt://127.0.0.1:{broker.port}", "5")
            assert said.code == "mqtt-retain-not-supported"
            assert "keeps no retained messages" in said.en
            silent = await refusal(f"mqtt://127.0.0.1:{broker.port}")
            assert "mqtt.retain: false" in silent.en
            assert "mqtt.cert" not in silent.en

    run(scenario())


@contextmanager
def nats_without_quorum(folder: Path) -> Iterator[int]:
    """One node of three: it takes connections and cannot serve them."""
    folder.mkdir()
    port, client, route, *others = (free_port() for _ in range(5))
    routes = ", ".join(f'"nats://127.0.0.1:{other}"' for other in (route, *others))
    (folder / "nats.conf").write_text(
        f'server_name: one\nlisten: "127.0.0.1:{client}"\njetstream {{ store_dir: "{folder}/js" '
        f"}}\n"
        f'cluster {{ name: c, listen: "127.0.0.1:{route}", routes: [{routes}] }}\n'
        f'mqtt {{ listen: "127.0.0.1:{port}", stream_replicas: 3, js_api_timeout: "1s" }}\n'
    )
    with serving([nats_program(), "-c", folder / "nats.conf"], port, folder / "nats.log"):
        yield port


def test_a_cluster_without_a_quorum_is_no_certificate_fault(tmp_path: Path) -> None:
    async def scenario() -> None:
        with nats_without_quorum(tmp_path / "nats") as port:
            found = await refusal(f"mqtt://127.0.0.1:{port}", accepted_before=True)
            assert found.code == "mqtt-not-ready"
            assert "quorum" in found.en
            assert "mqtt.cert" not in found.en
            assert "accepted the same settings before" in found.en

    run(scenario())


def test_mqtt_5_at_a_broker_of_3_1_1_and_the_clients_port_of_nats(tmp_path: Path) -> None:
    async def scenario() -> None:
        with nats(tmp_path / "nats") as broker:
            assert "mqtt.version" in (await refusal(f"mqtt://127.0.0.1:{broker.port}", "5")).en
            listen = (
                (tmp_path / "nats" / "nats.conf")
                .read_text()
                .split('listen: "127.0.0.1:')[1]
                .split('"')[0]
            )
            found = await refusal(f"mqtt://127.0.0.1:{listen}")
            assert "NATS client protocol" in found.en

    run(scenario())


class WrongAcks:
    """A broker that takes everything and acknowledges other packet ids; from `well` on it is
    honest."""

    def __init__(self) -> None:
        self.well = False
        self.seqs: list[int] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, body = await _packet(reader)
                if kind & 0xF0 == 0x10:
                    writer.write(b"\x20\x02\0\0")
                elif kind & 0xF0 == 0x30:
                    writer.write(self._answer(body))
                elif kind & 0xF0 == 0xC0:
                    writer.write(b"\xd0\0")
        writer.close()

    def _answer(self, body: bytes) -> bytes:
        length = int.from_bytes(body[:2], "big")
        topic, mid, payload = (
            body[2 : 2 + length],
            int.from_bytes(body[2 + length : 4 + length], "big"),
            body[4 + length :],
        )
        if topic.endswith(b"/data"):
            self.seqs.append(orjson.loads(payload)["seq"])
        return struct.pack(">BBH", 0x40, 2, mid if self.well else (mid + 5000) % 65_536)


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind, length, shift = (await reader.readexactly(1))[0], 0, 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            return kind, await reader.readexactly(length)


def test_a_broker_that_acknowledges_other_packet_ids_is_a_finding_and_costs_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_AGENT_STOCK", "0")
    box = Outbox(tmp_path / "box", agent="ipc-01", max_bytes=20_000_000, fsync_ms=20)

    async def scenario() -> None:
        broker = WrongAcks()
        server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        publisher = Publisher(Mqtt(url=url, keepalive="1s"), box, TOPICS, "ipc-01", Clock())
        for _ in range(20):
            box.append("edge/x/data", b'{"seq":', b"}", 1, 1)
        task = asyncio.create_task(publisher.run(), name="publisher")
        await until(lambda: publisher.fault is not None)
        facts = own.AgentFacts(connected=publisher.connected, broker_fault=publisher.fault)
        notice = next(notice for notice in own.notices(facts) if notice.reason == "broker_faulty")
        assert "never sent" in notice.en
        assert "从未发送过" in notice.zh
        assert "mqtt.url" in notice.zh
        await until(lambda: broker.seqs.count(1) > 1, what="it is sent again")
        assert publisher.problem is None or publisher.problem.code == "mqtt-unknown-acks"
        assert box.pending == 20
        broker.well = True
        await until(lambda: box.pending == 0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()
        await server.wait_closed()

    try:
        run(scenario())
    finally:
        box.close_now()


def test_such_a_finding_reaches_the_agents_health(tmp_path: Path) -> None:
    site = load(
        configuration(
            tmp_path,
            free_port(),
            {"d": "url: 'tcp://127.0.0.1:1', tags: {a: {address: holding/0}}"},
        )
    )

    async def scenario() -> None:
        agent = EdgeAgent(site, Clock())
        agent._publisher._unknown_acks, agent._publisher._unknown_ack_at = 7, float("inf")
        assert "broker_faulty" in agent.health.look([], []).reasons
        await agent._outbox.close(1.0)

    run(scenario())
