"""The Value attributes of a list of nodes, read with requests encoded once; by either codec."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua import stock
from connectors.opcua.binary import DecodeError
from connectors.opcua.columns import Columns, joined
from connectors.opcua.limits import TOO_MUCH, chunks, value_of_node
from connectors.opcua.messages import EncodedRequest, ServiceFault, read_request, read_response
from connectors.opcua.raw_transport import RawTransport
from connectors.opcua.session import OpcuaSession
from edge_agent.sdk import Clock

log = logging.getLogger(__name__)

_TOGETHER: Final = 4
"""Requests of one table under way at the same time: hides the network's latency, and no server
minds."""


class NodeReader:
    """Reads the same nodes again and again, in as many calls as the server's limit demands."""

    def __init__(
        self,
        session: OpcuaSession,
        clock: Clock,
        most: int | None = None,
        together: int = _TOGETHER,
    ) -> None:
        """`most`: nodes in one call at the most; default: what the server allows."""
        self._session = session
        self._clock = clock
        self._together = together
        self._size = session.limits.read if most is None else min(most, session.limits.read)
        self._nodes: Sequence[ua.NodeId] = ()
        self._asker: _RawAsker | _StockAsker | None = None

    def prepare(self, nodes: Sequence[ua.NodeId]) -> None:
        """Read these nodes from now on."""
        self._nodes = nodes
        self._asker = None

    async def read(self) -> tuple[Columns, int]:
        """One column entry for each node, and when the last response arrived. Raises ServiceFault,
        DecodeError, TimeoutError, and what the connection raises."""
        while True:
            if self._asker is None:
                self._asker = self._made()
            try:
                parts, t = await self._asker.ask()
                return joined(parts), t
            except ServiceFault as fault:
                if fault.code not in TOO_MUCH or self._size <= 1:
                    raise
            # The server meant less than it announced. Learned once, kept for the life of the
            # connection.
            self._size = max(1, min(self._size, len(self._nodes)) // 2)
            log.info(
                "opcua-read-limit endpoint=%s limit=%s", self._session.options.endpoint, self._size
            )
            self._asker = None

    def _made(self) -> _RawAsker | _StockAsker:
        groups = list(chunks(self._nodes, self._size))
        if self._session.wire is None:
            return _StockAsker(self._session, groups, self._clock)
        return _RawAsker(self._session, self._session.wire, groups, self._clock, self._together)


class _RawAsker:
    """Our own bytes both ways."""

    def __init__(
        self,
        session: OpcuaSession,
        wire: RawTransport,
        groups: Sequence[Sequence[ua.NodeId]],
        clock: Clock,
        together: int,
    ) -> None:
        token = nodeid_to_binary(session.service.authentication_token)
        self._wire = wire
        self._clock = clock
        self._together = together
        self._timeout = session.options.timeout
        self._requests: list[tuple[int, EncodedRequest]] = [
            (
                len(group),
                read_request(token, list(map(nodeid_to_binary, group)), int(self._timeout * 1000)),
            )
            for group in groups
        ]

    async def ask(self) -> tuple[list[Columns], int]:
        """The columns of each request, and when the last response arrived."""
        parts: list[Columns] = []
        t = self._clock.time_ns()
        for group in chunks(self._requests, self._together):
            bodies = await self._wire.ask([request.at(t) for _, request in group], self._timeout)
            t = self._clock.time_ns()
            for (count, _), body in zip(group, bodies, strict=True):
                parts.append(_checked(read_response(body), count))
        return parts, t


class _StockAsker:
    """asyncua's own codec, its parameters built once."""

    def __init__(
        self, session: OpcuaSession, groups: Sequence[Sequence[ua.NodeId]], clock: Clock
    ) -> None:
        self._session = session
        self._clock = clock
        self._requests = [
            ua.ReadParameters(
                MaxAge=0,
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                NodesToRead=[value_of_node(node) for node in group],
            )
            for group in groups
        ]

    async def ask(self) -> tuple[list[Columns], int]:
        """As `_RawAsker.ask`; the time is that after decoding, since asyncua does both in one
        call."""
        parts: list[Columns] = []
        for request in self._requests:
            try:
                answer = await self._session.service.read(request)
            except UaStatusCodeError as error:
                raise ServiceFault(int(error.code)) from error
            parts.append(_checked(stock.columns(answer), len(request.NodesToRead)))
        return parts, self._clock.time_ns()


def _checked(part: Columns, count: int) -> Columns:
    """Values belong to tags by their place alone, so one more or less and none of them can be
    trusted."""
    if len(part.values) != count:
        raise DecodeError(f"{len(part.values)} values for {count} nodes")
    return part
