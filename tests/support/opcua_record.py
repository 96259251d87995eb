"""Record what the three servers answer, for the contract of both decoders: `python -m
tests.support.opcua_record`.

Only bodies of Read and Publish responses and of faults are kept: those hold no address and no name
of a machine. The contract is tests/property/test_opcua_recorded.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from connectors.opcua.messages import ServiceFault, publish_response
from connectors.opcua.raw_transport import RawTransport
from connectors.opcua.session import OpcuaSession
from tests.support.opcua_devices import plan, table, tag
from tests.support.opcua_foreign import SERVERS, VERSIONS
from tests.support.opcua_server import KINDS, URI, endpoint

FOLDER = Path(__file__).parents[1] / "data" / "opcua"

_NAMES = [*KINDS, "Bad", "Uncertain", "nowhere"]
_STANDARD = [2258, 2259, 2267, 7612, 11493]
"""CurrentTime, State, ServiceLevel, an array of LocalizedTexts, one of structures."""
_ATTRIBUTES = (
    "NodeId",
    "NodeClass",
    "BrowseName",
    "DisplayName",
    "DataType",
    "ValueRank",
    "ArrayDimensions",
)
_TIMES = ("Both", "Source", "Server", "Neither")
_PATIENCE_S = 4.0
"""A server that has not answered by then will not: some say nothing where others send a fault."""


@dataclass(frozen=True)
class Recorded:
    """The body of one response, and to which service."""

    server: str
    service: str
    what: str
    body: bytes

    def __str__(self) -> str:
        return f"{self.server}: {self.service} {self.what}"


def load(path: Path) -> list[Recorded]:
    """The responses of one server's file, whose first line says which version it was."""
    _, *lines = map(json.loads, path.read_text().splitlines())
    return [
        Recorded(path.stem, line["service"], line["what"], bytes.fromhex(line["body"]))
        for line in lines
    ]


class _Recorder:
    """Asks one server, and keeps what it answers."""

    def __init__(self, server: str, session: OpcuaSession, wire: RawTransport, index: int) -> None:
        self.kept: list[Recorded] = []
        self._server, self._session, self._wire, self._index = server, session, wire, index

    async def _ask(self, request: Any, token: ua.NodeId | None = None) -> bytes:
        request.RequestHeader.AuthenticationToken = (
            token or self._session.service.authentication_token
        )
        (body,) = await self._wire.ask([struct_to_binary(request)], _PATIENCE_S)
        return body

    def _keep(self, service: str, what: str, body: bytes) -> None:
        assert socket.gethostname().encode() not in body, what
        self.kept.append(Recorded(self._server, service, what, body))

    def _own(self, name: str, attribute: str = "Value", part: str | None = None) -> ua.ReadValueId:
        return ua.ReadValueId(
            ua.NodeId(name, self._index), ua.AttributeIds[attribute], IndexRange=part
        )

    async def _read(self, what: str, asked: Iterable[ua.ReadValueId], times: str = "Both") -> None:
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn[times]
        request.Parameters.NodesToRead = list(asked)
        self._keep("Read", what, await self._ask(request))

    async def reads(self) -> None:
        """Every kind with and without times, bad ones, long runs, other attributes, structures,
        parts of arrays."""
        for times in _TIMES:
            await self._read(f"all kinds, times: {times}", map(self._own, _NAMES), times)
        long = (
            ["Counter"] * 60
            + ["Bad", "String"]
            + ["Int32"] * 40
            + ["nowhere"] * 3
            + ["Double[]", "Float", "Float"]
        )
        for times in ("Both", "Neither"):
            await self._read(f"long runs, times: {times}", map(self._own, long), times)
        await self._read(
            "attributes",
            [self._own(name, a) for name in ("Float", "Double[]") for a in _ATTRIBUTES],
        )
        value = ua.AttributeIds.Value
        await self._read(
            "standard nodes", [ua.ReadValueId(ua.NodeId(number), value) for number in _STANDARD]
        )
        await self._read(
            "parts of values", [self._own(n, part="0:1") for n in ("Double[]", "String", "Double")]
        )
        await self._read("one value", [self._own("Double")])
        with contextlib.suppress(TimeoutError):
            await self._read("nothing asked", [])

    async def publishes(self) -> None:
        """Data changes of all kinds and of a counter, cut into several messages, keep-alives."""
        many = await self._subscribe("Both", [*_NAMES, "Counter"], 1000)
        await self._published("all kinds", 6)
        await self._unsubscribe(many)
        for times in ("Source", "Neither"):
            few = await self._subscribe(times, ["Counter", "Bad", "Int32", "String[]"], 3)
            await self._published(f"few at a time, times: {times}", 5)
            await self._unsubscribe(few)
        quiet = await self._subscribe("Both", ["Float"], 1000)
        await self._published("a quiet one", 3)
        await self._unsubscribe(quiet)

    async def ends(self) -> None:
        """A subscription that ran out while nobody fetched, and requests that are refused; in this
        order."""
        await self._subscribe("Both", ["Float"], 1000, lifetime=3)
        # no answer to wait for: that nobody asks is what ends it
        await asyncio.sleep(3 * _PATIENCE_S)
        await self._published("run out", 2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            request = ua.ReadRequest()
            request.Parameters.NodesToRead = [self._own("Double")]
            self._keep(
                "Read", "an unknown session", await self._ask(request, ua.NodeId(b"nobody's", 0))
            )

    async def _subscribe(
        self, times: str, names: Sequence[str], most: int, lifetime: int = 1000
    ) -> int:
        service = self._session.service
        request = ua.CreateSubscriptionRequest()
        request.Parameters = ua.CreateSubscriptionParameters(200.0, lifetime, 1, most, True)
        made = ua.ua_binary.struct_from_binary(
            ua.CreateSubscriptionResponse, await service._send_request(request)
        )
        number = int(made.Parameters.SubscriptionId)
        items = [
            ua.MonitoredItemCreateRequest(
                self._own(name),
                ua.MonitoringMode.Reporting,
                ua.MonitoringParameters(at, 10.0, QueueSize=20),
            )
            for at, name in enumerate(names)
        ]
        wanted = ua.CreateMonitoredItemsParameters(number, ua.TimestampsToReturn[times], items)
        await service.create_monitored_items(wanted)
        return number

    async def _unsubscribe(self, number: int) -> None:
        await self._session.service.delete_subscriptions([number])

    async def _published(self, what: str, count: int) -> None:
        acknowledge: list[ua.SubscriptionAcknowledgement] = []
        for at in range(count):
            request = ua.PublishRequest()
            request.Parameters.SubscriptionAcknowledgements = acknowledge
            try:
                body = await self._ask(request)
                self._keep("Publish", f"{what}, {at + 1}", body)
                message = publish_response(body)
            except (TimeoutError, ServiceFault):
                return
            acknowledge = [ua.SubscriptionAcknowledgement(message.subscription, message.sequence)]


@contextlib.asynccontextmanager
async def _session(port: int) -> AsyncIterator[OpcuaSession]:
    session = OpcuaSession(
        [plan(endpoint(port), table([tag("Double", node=f"nsu={URI};s=Double")]))]
    )
    await session.open()
    try:
        yield session
    finally:
        await session.close()


async def record(server: str, port: int) -> list[Recorded]:
    """All responses of one server. The last part has a session of its own: it may cost it."""
    kept: list[Recorded] = []
    for parts in (("reads", "publishes"), ("ends",)):
        async with _session(port) as session:
            assert session.wire is not None
            index = await session.client.get_namespace_index(URI)
            recorder = _Recorder(server, session, session.wire, index)
            for part in parts:
                await getattr(recorder, part)()
            kept += recorder.kept
    return kept


def main() -> None:
    """Write one file per server, or only those of the servers named."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or SERVERS:
        with tempfile.TemporaryDirectory() as folder, SERVERS[name](Path(folder)) as server:
            kept = asyncio.run(record(name, server.port))
        lines = [{"server": name, "version": VERSIONS[name]()}]
        lines += [
            {"service": one.service, "what": one.what, "body": one.body.hex()} for one in kept
        ]
        path = FOLDER / f"{name}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        print(f"{path}: {len(kept)} responses")


if __name__ == "__main__":
    main()
