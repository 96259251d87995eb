"""An OPC UA server that answers Read and Publish from prepared arrays, so that it is never the
limit.

asyncua's own server does all that is not hot: secure channel, session, address space, and every
service but those below. `python -m benchmarks.opcua_canned PORT VARIABLES SPREAD [CERTIFICATE KEY]`
serves `ns=2;s=v0`, `ns=2;s=v1`, ... as Double; every value changes with every read and with every
publishing interval. SPREAD is the 100 ns ticks between the source times of one variable and the
next: 0 as in one PLC scan. A line on stdin asks for the totals; it ends when stdin closes.
`benchmarks.opcua_check` compares its answers with those of asyncua's server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from asyncua import Server, ua
from asyncua.server import binary_server_asyncio
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import struct_from_binary

TICKS_1970 = 116_444_736_000_000_000
NAMESPACE = 2

#: DataValue with value, status, source and server time (OPC 10000-6 §5.2.2.17), as asyncua's server
#: sends it.
_MASK, _DOUBLE = 0x0F, 11
_DATA_VALUE = [
    ("mask", "u1"),
    ("type", "u1"),
    ("value", "<f8"),
    ("status", "<u4"),
    ("source", "<i8"),
    ("server", "<i8"),
]
RECORD = np.dtype(_DATA_VALUE)
ITEM = np.dtype([("handle", "<u4"), *_DATA_VALUE])

_READ, _CREATE_SUBSCRIPTION, _DELETE_SUBSCRIPTIONS = 631, 787, 847
_CREATE_ITEMS, _DELETE_ITEMS, _PUBLISH = 751, 781, 826
_READ_RESPONSE, _PUBLISH_RESPONSE, _DATA_CHANGE = 634, 829, 811

_NO_DIAGNOSTICS = struct.pack("<i", 0)

spread = 0
totals = {"values": 0, "requests": 0, "late": 0}


def _ticks() -> int:
    return time.time_ns() // 100 + TICKS_1970


def _header(kind: int, handle: int) -> bytes:
    """Type id and ResponseHeader: time, request handle, Good, no diagnostics, an empty string
    table, nothing more."""
    return struct.pack("<BBHqIIBi3x", 1, 0, kind, _ticks(), handle, 0, 0, 0)


class Signals:
    """So many Doubles as the records of a response; each `turn` changes all of them."""

    def __init__(self, layout: np.dtype[Any], handles: Sequence[int], count: int) -> None:
        self._records = np.zeros(count, layout)
        self._records["mask"], self._records["type"] = _MASK, _DOUBLE
        self._records["value"] = np.arange(count) / 1000
        self._age = np.arange(count, dtype="<i8") * spread
        if handles:
            self._records["handle"] = handles

    def turn(self) -> bytes:
        """The array's length and its records."""
        records = self._records
        records["value"] += 1.0
        now = _ticks()
        records["source"], records["server"] = now - self._age, now
        totals["values"] += len(records)
        return struct.pack("<I", len(records)) + records.tobytes()


class Subscription:
    """All its items change once per publishing interval and go into one notification."""

    def __init__(self, number: int, interval: float, session: CannedProcessor) -> None:
        self.number = number
        self._interval = interval
        self._session = session
        self._handles: list[int] = []
        self._signals: Signals | None = None
        self._sequence = 0
        self.available: list[int] = []
        self.task = asyncio.create_task(self._run())

    def monitor(self, handles: Sequence[int]) -> None:
        self._handles += handles
        self._signals = Signals(ITEM, self._handles, len(self._handles))

    async def _run(self) -> None:
        due = time.monotonic()
        while True:
            due += self._interval
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self._signals is not None:
                self._session.publish(self, self._signals)

    def message(self, signals: Signals) -> bytes:
        """The next NotificationMessage, and before it what the response says of this
        subscription."""
        self._sequence += 1
        self.available.append(self._sequence)
        held = struct.pack(
            f"<Ii{len(self.available)}I?", self.number, len(self.available), *self.available, False
        )
        items = signals.turn() + _NO_DIAGNOSTICS
        extension = struct.pack(
            "<IqiBBHBi", self._sequence, _ticks(), 1, 1, 0, _DATA_CHANGE, 1, len(items)
        )
        return held + extension + items


class CannedProcessor(UaProcessor):
    """asyncua's side of a connection, with the hot services answered here."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._reads: dict[bytes, Signals | None] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._waiting: deque[tuple[Any, Any, int]] = deque()
        self._backlog: deque[bytes] = deque()

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> bool:
        service = {
            _READ: self._read, _PUBLISH: self._ask, _CREATE_SUBSCRIPTION: self._subscribe,
            _CREATE_ITEMS: self._monitor, _DELETE_SUBSCRIPTIONS: self._unsubscribe,
        }.get(typeid.Identifier)  # fmt: skip
        if service is None or not service(requesthdr, seqhdr, body.copy()):
            return bool(await super()._process_message(typeid, requesthdr, seqhdr, body))
        self.session_last_activity = time.monotonic()
        if self.session is not None:
            self.session.touch()
        return True

    def _send(self, seqhdr: Any, body: bytes) -> None:
        self._transport.write(self._connection.message_to_binary(body, request_id=seqhdr.RequestId))

    def _read(self, header: Any, seqhdr: Any, body: Any) -> bool:
        """Values of our own variables; False for all else. A request is decoded once and known by
        its bytes."""
        key = bytes(body.read(len(body)))
        if key not in self._reads:
            wanted = struct_from_binary(ua.ReadParameters, ua.utils.Buffer(key)).NodesToRead
            ours = all(
                n.NodeId.NamespaceIndex == NAMESPACE and n.AttributeId == ua.AttributeIds.Value
                for n in wanted
            )
            self._reads[key] = Signals(RECORD, (), len(wanted)) if ours else None
        signals = self._reads[key]
        if signals is None:
            return False
        totals["requests"] += 1
        self._send(
            seqhdr, _header(_READ_RESPONSE, header.RequestHandle) + signals.turn() + _NO_DIAGNOSTICS
        )
        return True

    def _subscribe(self, header: Any, seqhdr: Any, body: Any) -> bool:
        wanted = struct_from_binary(ua.CreateSubscriptionParameters, body)
        number = len(self._subscriptions) + 1
        interval = max(wanted.RequestedPublishingInterval, 10.0)
        self._subscriptions[number] = Subscription(number, interval / 1000, self)
        response = ua.CreateSubscriptionResponse()
        response.Parameters = ua.CreateSubscriptionResult(
            number, interval, wanted.RequestedLifetimeCount, wanted.RequestedMaxKeepAliveCount
        )
        self.send_response(header.RequestHandle, seqhdr, response)
        return True

    def _monitor(self, header: Any, seqhdr: Any, body: Any) -> bool:
        wanted = struct_from_binary(ua.CreateMonitoredItemsParameters, body)
        parameters = [item.RequestedParameters for item in wanted.ItemsToCreate]
        self._subscriptions[wanted.SubscriptionId].monitor(
            [int(p.ClientHandle) for p in parameters]
        )
        response = ua.CreateMonitoredItemsResponse()
        response.Results = [
            ua.MonitoredItemCreateResult(
                ua.StatusCode(0),
                int(p.ClientHandle) + 1,
                p.SamplingInterval,
                p.QueueSize,
                ua.ExtensionObject(),
            )
            for p in parameters
        ]
        self.send_response(header.RequestHandle, seqhdr, response)
        return True

    def _unsubscribe(self, header: Any, seqhdr: Any, body: Any) -> bool:
        numbers = struct_from_binary(ua.DeleteSubscriptionsParameters, body).SubscriptionIds
        for number in numbers:
            self._subscriptions.pop(number).task.cancel()
        response = ua.DeleteSubscriptionsResponse()
        response.Results = [ua.StatusCode(0) for _ in numbers]
        self.send_response(header.RequestHandle, seqhdr, response)
        return True

    def _ask(self, header: Any, seqhdr: Any, body: Any) -> bool:
        """A PublishRequest: take its acknowledgements, answer with what waits, or keep it."""
        totals["requests"] += 1
        (count,) = struct.unpack("<i", body.read(4))
        for _ in range(count):
            number, sequence = struct.unpack("<II", body.read(8))
            if number in self._subscriptions:
                with contextlib.suppress(ValueError):
                    self._subscriptions[number].available.remove(sequence)
        self._waiting.append((header, seqhdr, max(count, 0)))
        if self._backlog:
            self._answer(self._backlog.popleft())
        return True

    def publish(self, subscription: Subscription, signals: Signals) -> None:
        """Send a notification now, or with the next request when none waits."""
        message = subscription.message(signals)
        if self._waiting and not self._backlog:
            self._answer(message)
        else:
            totals["late"] += 1
            self._backlog.append(message)

    def _answer(self, message: bytes) -> None:
        header, seqhdr, count = self._waiting.popleft()
        results = struct.pack(f"<i{count}Ii", count, *[0] * count, 0)
        self._send(seqhdr, _header(_PUBLISH_RESPONSE, header.RequestHandle) + message + results)

    async def close(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.task.cancel()
        await super().close()


async def _totals() -> None:
    """Answer each line of stdin with the totals so far; return at its end."""
    while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        print(json.dumps(totals), flush=True)


async def main(port: int, variables: int, ticks: int, certificate: str = "", key: str = "") -> None:
    """Serve until stdin closes."""
    global spread
    spread = ticks
    logging.disable(logging.CRITICAL)
    binary_server_asyncio.UaProcessor = CannedProcessor  # type: ignore[misc]
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/bench")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    if certificate:
        await server.set_application_uri("urn:bench")
        await server.load_certificate(certificate)
        await server.load_private_key(key)
        policies = [
            ua.SecurityPolicyType.NoSecurity,
            ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
        ]
        server.set_security_policy(policies)
    await add_variables(server, variables)
    async with server:
        print("ready", flush=True)
        await _totals()


async def add_variables(server: Server, variables: int) -> list[ua.NodeId]:
    """The variables, for clients that browse; 50 to a folder, because one large folder costs the
    square of its size."""
    await server.register_namespace("urn:bench")
    nodes = []
    for start in range(0, variables, 50):
        folder = await server.nodes.objects.add_folder(
            ua.NodeId(f"f{start}", NAMESPACE), f"2:f{start}"
        )
        for i in range(start, min(start + 50, variables)):
            node = await folder.add_variable(ua.NodeId(f"v{i}", NAMESPACE), f"2:v{i}", 0.0)
            nodes.append(node.nodeid)
    return nodes


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]))
