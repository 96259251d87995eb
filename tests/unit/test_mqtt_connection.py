"""The connection over a socket pair: what it does with whole, halved, wrong and missing answers."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.config.models import Mqtt
from edge_agent.mqtt import Inbound, MqttConnection, MqttMessage, connection, packets
from edge_agent.mqtt.trouble import LinkError
from tests.support.aio import run, until
from tests.support.exploration import examples

ACCEPTED = {"3.1.1": b"\x20\x02\x00\x00", "5": b"\x20\x03\x00\x00\x00"}
REFUSED = {"3.1.1": b"\x20\x02\x00\x05", "5": b"\x20\x03\x00\x87\x00"}


@pytest.fixture(autouse=True)
def _own_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the rest of the tests run with."""
    monkeypatch.setenv("EDGE_AGENT_STOCK", "0")


class Broker:
    """The other end of the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.got = b""

    async def read(self) -> bytes:
        """What came since the beginning."""
        loop = asyncio.get_running_loop()
        self.got += await loop.sock_recv(self.sock, 1 << 20)
        return self.got

    async def until(self, size: int) -> bytes:
        while len(self.got) < size:
            await self.read()
        return self.got

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)


@asynccontextmanager
async def connected(
    version: str = "3.1.1", answer: bytes | None = None, **options: Any
) -> AsyncIterator[tuple[MqttConnection, Broker]]:
    """An open connection and its broker; CONNECT is not among what the broker got."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    broker = Broker(theirs)

    async def dialled(*_: object) -> socket.socket:
        return ours

    link = MqttConnection(Mqtt(url="mqtt://broker", version=version), "test", **options)
    with patch.object(connection, "dial_async", dialled), theirs:
        opening = asyncio.create_task(link.open(None))
        await broker.read()
        broker.say(ACCEPTED[version] if answer is None else answer)
        try:
            await opening
            broker.got = b""
            yield link, broker
        finally:
            link.close()


def puback(mid: int) -> bytes:
    return struct.pack(">BBH", 0x40, 2, mid)


def incoming(topic: str, payload: bytes, mid: int) -> bytes:
    return packets.publish(topic, len(payload), mid, retained=False, five=False) + payload


def test_a_burst_is_one_send_and_its_answers_come_back_in_order() -> None:
    async def scenario() -> None:
        async with connected() as (link, broker):
            answers: list[list[tuple[int, str]]] = []
            link.on_acked = answers.append
            mids = [link.publish(f"a/{n}", b"x" * 1000, retained=False) for n in range(10)]
            assert len(set(mids)) == 10
            with patch.object(link._pipe, "_sock", wraps=link._pipe._sock) as sock:  # type: ignore[union-attr]
                link.flush()
                assert sock.send.call_count == 1
            await broker.until(10_000)
            broker.say(b"".join(map(puback, mids))[:-1])
            await until(lambda: answers)
            broker.say(puback(mids[-1])[-1:])
            await until(lambda: len(answers) == 2)
            assert [mid for group in answers for mid, refusal in group if not refusal] == mids

    run(scenario())


def test_strangers_and_doubles_are_no_acknowledgements() -> None:
    async def scenario() -> None:
        async with connected() as (link, broker):
            answers: list[tuple[int, str]] = []
            link.on_acked = answers.extend
            mid = link.publish("a", b"", retained=False)
            link.flush()
            broker.say(puback(mid) + puback(mid) + puback(7) + puback(mid + 1))
            second = link.publish("a", b"", retained=False)
            assert second == mid + 1
            await until(lambda: answers)
            assert answers[0] == (mid, "")
            assert len(answers) == 2, "the second was published before its answer was read"

    run(scenario())


def test_mqtt_5_says_why() -> None:
    async def scenario() -> None:
        async with connected("5") as (link, broker):
            answers: list[tuple[int, str]] = []
            link.on_acked = answers.extend
            first, second, third = (link.publish("a", b"", retained=False) for _ in range(3))
            broker.say(
                struct.pack(">BBHB", 0x40, 3, first, 0x97)
                + struct.pack(">BBHB", 0x40, 3, second, 0xEE)
            )
            broker.say(struct.pack(">BBHBB", 0x40, 4, third, 0x10, 0))
            await until(lambda: len(answers) == 3)
            assert answers == [(first, "Quota exceeded"), (second, "0xEE"), (third, "")]

    run(scenario())


@pytest.mark.parametrize(
    "wrong", [b"\x40\x01\x00", b"\x40\x03\x00\x01\x00", b"\x40\xff\xff\xff\xff\x01", b"\xf0\x00"]
)
def test_what_is_no_mqtt_ends_the_connection(wrong: bytes) -> None:
    async def scenario() -> None:
        async with connected() as (link, broker):
            lost = asyncio.Event()
            link.on_lost = lost.set
            broker.say(wrong)
            await lost.wait()
            assert link.error is not None
            assert link.error.finding.code == "mqtt-lost"
            assert not link.error.slow

    run(scenario())


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_a_refusal_and_an_end_without_a_word_are_told_apart(version: str) -> None:
    async def scenario(answer: bytes, code: str, slow: bool) -> None:
        with pytest.raises(LinkError) as caught:
            async with connected(version, answer):
                pass
        assert (caught.value.finding.code, caught.value.slow) == (code, slow)

    run(scenario(REFUSED[version], "mqtt-login", True))
    run(scenario(b"\x20\xff\xff\xff\xff\xff", "mqtt-closed-early", False))


def test_what_the_socket_does_not_take_follows_when_it_does() -> None:
    async def scenario() -> None:
        async with connected() as (link, broker):
            payloads = [bytes([n]) * 400_000 for n in range(10)]
            mids = []
            for payload in payloads:
                mids.append(link.publish("a", payload, retained=False))
                link.flush()
            sent = b"".join(
                packets.publish("a", 400_000, mid, retained=False, five=False) + payload
                for mid, payload in zip(mids, payloads, strict=True)
            )
            assert await broker.until(len(sent)) == sent
            link.disconnect()
            assert (await broker.until(len(sent) + 2))[-2:] == packets.DISCONNECT

    run(scenario())


def test_a_paused_connection_delivers_nothing_and_forgets_nothing() -> None:
    async def scenario() -> None:
        async with connected(inbound=Inbound(60, 10)) as (link, broker):
            messages: list[MqttMessage] = []

            def take(message: MqttMessage) -> None:
                messages.append(message)
                if len(messages) == 2:
                    link.pause()

            link.on_message = take
            stream = b"".join(incoming("t", b"%d" % n, n) for n in range(1, 6))
            broker.say(stream[:-1])
            await until(lambda: link.paused)
            broker.say(stream[-1:])
            assert [m.payload for m in messages] == [b"1", b"2"]
            link.resume()
            await until(lambda: len(messages) == 5)
            assert [(m.topic, m.payload, m.mid, m.qos) for m in messages] == [
                ("t", b"%d" % n, n, 1) for n in range(1, 6)
            ]
            assert not broker.got, "nothing is acknowledged by itself"
            for message in messages:
                link.acknowledge(message.mid, message.qos)
                link.flush_soon()
            assert await broker.until(20) == b"".join(map(puback, range(1, 6)))

    run(scenario())


def test_the_filters_that_the_broker_refuses_are_named() -> None:
    async def scenario() -> None:
        async with connected() as (link, broker):
            refusals: list[dict[int, str]] = []
            link.on_subscribed = refusals.append
            link.subscribe(["a", "b", "c"])
            request = await broker.read()
            assert request[0] == 0x82
            broker.say(b"\x90\x05" + request[2:4] + b"\x01\x80\x01")
            await until(lambda: refusals)
            assert refusals == [{1: "Unspecified error"}]

    run(scenario())


def test_ids_of_messages_under_way_are_not_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_LAST_ID", connection._FIRST_ID + 3)

    async def scenario() -> None:
        async with connected() as (link, broker):
            answers: list[tuple[int, str]] = []
            link.on_acked = answers.extend
            mids = [link.publish("a", b"", retained=False) for _ in range(4)]
            broker.say(puback(mids[2]))
            await until(lambda: answers)
            assert link.publish("a", b"", retained=False) == mids[2]
            link.publish("a", b"", retained=False)
            assert link.error is not None
            assert link.error.finding.code == "mqtt-silent"

    run(scenario())


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_the_stock_path_sends_the_same_bytes_and_hears_the_same_answers(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> tuple[bytes, list[str]]:
        async with connected(version) as (link, broker):
            answers: list[tuple[int, str]] = []
            link.on_acked = answers.extend
            mids = []
            for n, size in enumerate((0, 1, 200, 20_000)):
                mids.append(link.publish(f"t/{n}", b"x" * size, retained=n == 1))
                link.flush()
            sent = await broker.until(20_201 + 4 * 9 + 3 + 4 * (version == "5"))
            refusal = (
                struct.pack(">BBHB", 0x40, 3, mids[3], 0x97) if version == "5" else puback(mids[3])
            )
            broker.say(b"".join(map(puback, mids[:3])) + refusal)
            await until(lambda: len(answers) == 4)
            assert [mid for mid, _ in answers] == mids
            return sent, [refusal for _, refusal in answers]

    monkeypatch.setattr(connection, "_FIRST_ID", 1)  # where paho begins too
    ours = run(scenario())
    monkeypatch.setenv("EDGE_AGENT_STOCK", "1")
    assert run(scenario()) == ours


@given(st.binary(min_size=1, max_size=300))
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_bytes_of_a_broker_end_more_than_the_connection(noise: bytes) -> None:
    async def scenario() -> None:
        problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: problems.append(context)
        )
        async with connected() as (link, broker):
            link.publish("a", b"x", retained=False)
            link.flush()
            broker.say(noise)
            broker.sock.shutdown(socket.SHUT_WR)
            await until(lambda: link.error is not None)
        assert not problems

    run(scenario())
