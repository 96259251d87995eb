"""Sequence numbers, repeated messages, silence: the part of a subscription that must not lose
anything."""

from __future__ import annotations

import asyncio
import struct
from types import SimpleNamespace
from typing import Any, cast

import pytest
from asyncua import ua

from connectors.opcua import chunk, raw_transport, subscriptions
from connectors.opcua.binary import DecodeError
from connectors.opcua.columns import Columns
from connectors.opcua.delivery import Delivery
from connectors.opcua.faults import device_errors, explain
from connectors.opcua.messages import Published, ServiceFault
from connectors.opcua.monitored_table import GrantedSubscription
from connectors.opcua.options import OpcuaDevice, OpcuaTag
from connectors.opcua.session import OpcuaSession
from edge_agent.sdk import STATUS, Batch, Clock, DeviceError, Tag, TagTable, status_name
from tests.support.aio import run

TABLE = TagTable("d", 0.5, (Tag("a", "float", OpcuaTag(node="i=1")),))


class Server:
    """Stands in for the session: repeats the messages it still has."""

    def __init__(self, kept: dict[int, float]) -> None:
        self.options = OpcuaDevice(endpoint="opc.tcp://h", timeout=0.05)
        self.service = self
        self.kept = kept
        self.asked: list[int] = []

    async def republish(self, subscription: int, sequence: int) -> ua.NotificationMessage:
        self.asked.append(sequence)
        await asyncio.sleep(0)
        if sequence not in self.kept:
            raise ua.UaStatusCodeError(0x807B0000)  # BadMessageNotAvailable
        item = ua.MonitoredItemNotification(0, ua.DataValue(ua.Variant(self.kept[sequence])))
        change = ua.DataChangeNotification(MonitoredItems=[item])
        return ua.NotificationMessage(SequenceNumber=sequence, NotificationData=[change])


def message(sequence: int, available: tuple[int, ...] = (), data: bool = True) -> Published:
    columns = Columns([float(sequence)], {}, [None], [0]) if data else None
    return Published(7, sequence, available, columns, None, data)


class Delivered:
    """A delivery with one feed, and what came out of it."""

    def __init__(self, kept: dict[int, float] | None = None) -> None:
        self.batches: list[Batch] = []
        self.alive: list[str] = []
        self.server = Server(kept or {})
        session = cast(OpcuaSession, self.server)
        self.delivery = Delivery(session, Clock(), self.batches.append, self.alive.append)
        subscription = GrantedSubscription(7, 0.01, 0.02)
        self.feed = subscription.add(TABLE)
        self.delivery.add(subscription)

    @property
    def values(self) -> list[Any]:
        return [value for batch in self.batches for value in batch.values]


def test_opcua_messages_in_order_are_delivered_and_keep_alives_are_signs_of_life() -> None:
    async def case() -> None:
        out = Delivered()
        for t, one in enumerate(
            [message(1, data=False), message(1), message(2), message(3, data=False), message(3)]
        ):
            await out.delivery.take(one, t)
        assert out.values == [1.0, 2.0, 3.0]
        assert [batch.t for batch in out.batches] == [1, 2, 4]
        assert out.alive == ["d"] * 5

    run(case())


def test_opcua_missing_messages_are_fetched_and_come_first() -> None:
    async def case() -> None:
        out = Delivered({2: 2.0, 3: 3.0})
        await out.delivery.take(message(1), 100)
        late = message(4, available=(2, 3, 4))
        await asyncio.gather(out.delivery.take(late, 200), out.delivery.take(message(5), 300))
        assert out.values == [1.0, 2.0, 3.0, 4.0, 5.0]
        assert [batch.t for batch in out.batches] == [100, 198, 199, 200, 300]
        assert out.server.asked == [2, 3]

    run(case())


def test_opcua_a_gap_shown_by_a_keep_alive_is_fetched_too() -> None:
    async def case() -> None:
        out = Delivered({1: 1.0})
        await out.delivery.take(message(2, available=(1,), data=False), 100)
        await out.delivery.take(message(2), 200)
        assert out.values == [1.0, 2.0]

    run(case())


@pytest.mark.parametrize(
    "available", [(), (1, 2)], ids=["not kept", "said to be kept and not there"]
)
def test_opcua_a_lost_message_ends_the_connection(available: tuple[int, ...]) -> None:
    async def case() -> None:
        out = Delivered()
        with pytest.raises((DeviceError, ua.UaStatusCodeError)) as failed:
            await out.delivery.take(message(3, available=available), 100)
        assert explain(failed.value, "x").lost
        assert out.values == []

    run(case())


def test_opcua_the_sequence_number_after_the_largest_is_one() -> None:
    async def case() -> None:
        out = Delivered()
        out.delivery.subscriptions[0].expected = 0xFFFFFFFF
        await out.delivery.take(message(0xFFFFFFFF), 1)
        await out.delivery.take(message(1), 2)
        assert len(out.values) == 2
        assert out.server.asked == []

    run(case())


def test_opcua_messages_of_unknown_subscriptions_are_ignored() -> None:
    async def case() -> None:
        out = Delivered()
        await out.delivery.take(Published(99, 1), 1)
        assert (out.values, out.alive) == ([], [])

    run(case())


def test_opcua_a_subscription_ended_by_the_server_ends_the_stream() -> None:
    async def case() -> None:
        out = Delivered()
        with pytest.raises(DeviceError) as failed:
            await out.delivery.take(Published(7, 1, ended=0x800A0000, data=True), 1)
        assert (failed.value.lost, failed.value.status) == (True, 0x800A0000)

    run(case())


@pytest.mark.parametrize("code", [0x002D0000, 0x40000000, 0])
def test_opcua_a_subscription_ended_with_a_code_that_is_not_bad_is_gone_all_the_same(
    code: int,
) -> None:
    async def case() -> None:
        out = Delivered()
        with pytest.raises(DeviceError) as failed:
            await out.delivery.take(Published(7, 1, ended=code, data=True), 1)
        assert (failed.value.lost, failed.value.status) == (
            True,
            STATUS["BadSubscriptionIdInvalid"],
        )
        assert f"({status_name(code)})" in failed.value.detail

    run(case())


@pytest.mark.parametrize("code", [0x80330000, 0x80340000, 0x803F0000])
def test_opcua_a_tag_whose_node_is_gone_is_to_be_sought_until_it_reports(code: int) -> None:
    async def case() -> None:
        out = Delivered()
        await out.delivery.take(
            Published(7, 1, (), Columns([None], {0: code}, [None], [0]), None, True), 1
        )
        assert out.delivery.absent.is_set()
        assert out.feed.gone == {0}
        await out.delivery.take(message(2), 2)
        assert out.feed.gone == set()

    run(case())


def test_opcua_a_shared_subscription_gives_each_table_its_own() -> None:
    async def case() -> None:
        out = Delivered()
        other = TagTable(
            "e", 5.0, tuple(Tag(name, "float", OpcuaTag(node="i=2")) for name in ("b", "c"))
        )
        out.delivery.subscriptions[0].add(other)
        changes = Columns(
            [3.0, None, 1.0, 2.0, 4.0], {1: 0x808C0000}, [1, 2, 3, 4, 5], [2, 0, 0, 1, 2]
        )
        await out.delivery.take(Published(7, 1, (), changes, None, True), 10)
        told = [(b.table.device, b.columns, b.values, b.status, b.source, b.t) for b in out.batches]
        assert sorted(told, key=lambda row: (row[0], row[-1])) == [
            ("d", [0], [None], {0: 0x808C0000}, [2], 10), ("d", [0], [1.0], {}, [3], 11),
            ("e", [1, 0], [3.0, 2.0], {}, [1, 4], 10), ("e", [1], [4.0], {}, [5], 11),
        ]  # fmt: skip
        assert out.alive == ["d", "e"]
        beyond = Columns([1.0], {}, [None], [3])
        with pytest.raises(DecodeError):
            await out.delivery.take(Published(7, 2, (), beyond, None, True), 20)

    run(case())


def test_opcua_silence_beyond_keep_alive_and_timeout_is_death() -> None:
    async def case() -> None:
        out = Delivered()
        with pytest.raises(DeviceError) as failed:
            await out.delivery.watch()
        assert (failed.value.lost, failed.value.status) == (True, STATUS["BadTimeout"])

    run(case())


def test_opcua_a_failing_sink_reaches_the_stream_through_asyncuas_callback() -> None:
    async def case() -> None:
        out = Delivered()

        def full(_: Batch) -> None:
            raise OSError("no space left")

        out.delivery.sink = full
        item = ua.MonitoredItemNotification(0, ua.DataValue(ua.Variant(1.0)))
        data = [ua.DataChangeNotification(MonitoredItems=[item])]
        message = ua.NotificationMessage(SequenceNumber=1, NotificationData=data)
        await out.delivery.from_stock(ua.PublishResult(7, NotificationMessage=message))
        with pytest.raises(OSError, match="no space left"), device_errors("opc.tcp://h"):
            await out.delivery.failure

    run(case())


@pytest.mark.parametrize(
    ("every", "options", "speed", "expected"),
    [
        (1.0, {}, 1.0, (1000, 1, 30)), (0.1, {}, 1.0, (100, 10, 300)), (60.0, {}, 1.0, (1000, 1, 30)),
        (60.0, {"publishing_ms": "60s"}, 1.0, (60_000, 1, 3)),
        (1.0, {"publishing_ms": 250}, 1.0, (250, 4, 120)), (1.0, {}, 10.0, (100, 10, 300)),
    ],
)  # fmt: skip
def test_opcua_subscription_parameters(
    every: float, options: dict[str, Any], speed: float, expected: tuple[float, int, int]
) -> None:
    device = OpcuaDevice(endpoint="opc.tcp://h", **options)
    made = subscriptions.parameters(TagTable("d", every, ()), device, Clock(speed))
    assert (
        round(made.RequestedPublishingInterval, 6),
        made.RequestedMaxKeepAliveCount,
        made.RequestedLifetimeCount,
    ) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (1000, 10)), ({"sampling_ms": 10}, (10, 200)), ({"sampling_ms": 0}, (0, 10)), ({"queue": 3}, (1000, 3)),
        ({"sampling_ms": 100, "publishing_ms": 5000}, (100, 100)),
    ],
)  # fmt: skip
def test_opcua_sampling_and_queue(options: dict[str, Any], expected: tuple[float, int]) -> None:
    device = OpcuaDevice(endpoint="opc.tcp://h", **options)
    assert subscriptions.sampling(TagTable("d", 1.0, ()), device, Clock()) == expected


def test_opcua_another_asyncua_means_the_stock_path_and_one_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(raw_transport.STOCK_ONLY, raising=False)
    raw_transport._warn_once.cache_clear()
    strange = cast(
        Any, SimpleNamespace(uaclient=SimpleNamespace(protocol=SimpleNamespace(_callbackmap={})))
    )
    assert raw_transport.open_wire(strange) is None
    assert raw_transport.open_wire(strange) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert not raw_transport.has_bounded_seam(strange)


@pytest.mark.parametrize(
    "name", ["_peer_sequence_number", "security_token", "_limits", "_incoming_parts"]
)
def test_opcua_an_asyncua_that_keeps_a_channel_elsewhere_judges_every_chunk_itself(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(chunk, "_STATE", (*chunk._STATE, f"{name}_of_another_version"))
    judged: list[bytes] = []

    async def case() -> None:
        protocol = raw_transport.BoundedProtocol(1.0)
        protocol.transport = cast(Any, SimpleNamespace(is_closing=lambda: False))
        monkeypatch.delattr(protocol._connection, name)
        monkeypatch.setattr(protocol, "_process_received_data", judged.append)
        raw_transport.limit_messages(
            cast(Any, SimpleNamespace(uaclient=SimpleNamespace(protocol=protocol)))
        )
        protocol.data_received(struct.pack("<4sIIIII", b"MSGF", 28, 0, 0, 1, 1) + b"body")

    run(case())
    assert len(judged) == 1


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (TimeoutError(), STATUS["BadTimeout"], "in time"),
        (ConnectionRefusedError(), STATUS["BadNoCommunication"], "listens"),
        (ConnectionError("gone"), STATUS["BadNoCommunication"], "gone"),
        (ServiceFault(0x80130000), 0x80130000, "own.der"),
        (ua.UaStatusCodeError(0x801F0000), 0x801F0000, "user.name"),
        (ua.UaStatusCodeError(0x80AB0000), 0x80AB0000, "BadInvalidArgument"),
        (KeyError("x"), STATUS["BadCommunicationError"], "KeyError"),
    ],
)
def test_opcua_every_failure_is_one_plain_sentence(
    error: Exception, status: int, word: str
) -> None:
    found = explain(error, "opc.tcp://h", "/pki/own.der")
    assert (found.status, found.lost) == (status, True)
    assert word in found.detail
    assert "opc.tcp://h" in found.detail
    assert "opc.tcp://h" in found.cause.zh
