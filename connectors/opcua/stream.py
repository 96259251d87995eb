"""`mode: subscribe`: the server reports changes; we see to it that none is lost and that silence is
noticed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from asyncua.ua.ua_binary import nodeid_to_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua import pulse, subscriptions
from connectors.opcua.absent_tags import AbsentTagResolver
from connectors.opcua.audit import Audit
from connectors.opcua.delivery import Delivery
from connectors.opcua.faults import device_errors
from connectors.opcua.messages import ServiceFault, publish_request, publish_response
from connectors.opcua.monitored_table import GrantedSubscription, MonitoredTable
from connectors.opcua.options import OpcuaDevice, device_options
from connectors.opcua.raw import read_raw
from connectors.opcua.raw_transport import RawTransport
from connectors.opcua.resolve import Resolved
from connectors.opcua.session import OpcuaSession
from connectors.opcua.values import ValueShape
from edge_agent.sdk import Clock, DeviceError, DevicePlan, Sink, TagTable

log = logging.getLogger(__name__)

_MOST_REQUESTS: Final = 20
_BAD_TOO_MANY_PUBLISH_REQUESTS: Final = 0x80780000
_BAD_TOO_MANY_SUBSCRIPTIONS: Final = 0x80770000
_BAD_TIMEOUT: Final = 0x800A0000


class StreamingConnection:
    """A session whose devices are subscribed to (sdk.Streaming)."""

    def __init__(self, plans: Sequence[DevicePlan], clock: Clock) -> None:
        self._session = OpcuaSession(plans)
        tables = [(device_options(plan.options), table) for plan in plans for table in plan.tables]
        # The shortest publishing interval first: should the server grant too few subscriptions, the
        # tables that follow join one that publishes at least as often as they need it.
        self._tables = sorted(
            tables, key=lambda pair: subscriptions.publishing_ms(pair[1], pair[0])
        )
        self._shapes = {table: ValueShape(table) for _, table in self._tables}
        self._clock = clock
        self._resolved: dict[TagTable, Resolved] = {}
        self._feeds: dict[TagTable, MonitoredTable] = {}
        self._seek_at_once = asyncio.Event()
        self._shared = False
        """Whether the log has it that the server grants too few subscriptions."""

    async def open(self) -> None:
        """Connect and find every tag. Raises DeviceError(lost=True)."""
        await self._session.open()
        try:
            with device_errors(self._session.options.endpoint):
                for _, table in self._tables:
                    self._resolved[table] = await self._session.resolve(table)
        except BaseException:
            await self.close()
            raise

    def retry_refused(self) -> None:
        """Look at once for every tag that the server did not have or refused."""
        self._seek_at_once.set()

    async def close(self) -> None:
        """Release the session and with it its subscriptions; never raises."""
        self._resolved.clear()
        self._feeds.clear()
        await self._session.close()

    async def raw(self, table: TagTable, *, ask: bool) -> list[str | None]:
        """Each value with its type, read now when `ask` is set. Raises DeviceError."""
        feed = self._feeds.get(table)
        return (
            await read_raw(self._session, table, feed.resolved)
            if ask and feed
            else [None] * len(table)
        )

    async def stream(self, sink: Sink, alive: Callable[[str], None]) -> None:
        """Push batches until cancelled. Raises DeviceError(lost=True) when the session or a
        subscription is dead."""
        delivery = Delivery(self._session, self._clock, sink, alive)
        with device_errors(self._session.options.endpoint):
            wire = self._session.wire
            options_of: dict[TagTable, OpcuaDevice] = {}
            for options, table in self._tables:
                options_of[table] = options
                await self._subscribe(delivery, options, table, stock_path=wire is None)
            seeker = AbsentTagResolver(
                self._session, delivery, options_of, self._clock, self._seek_at_once
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(delivery.watch(), name="opcua-watch")
                group.create_task(
                    pulse.watch(self._session, delivery.last_message_at), name="opcua-pulse"
                )
                group.create_task(seeker.run(), name="opcua-seek")
                group.create_task(
                    Audit(self._session, delivery, seeker, self._clock).run(), name="opcua-audit"
                )
                if wire is None:
                    group.create_task(delivery.stock_failure(), name="opcua-stock-failure")
                else:
                    _RawPublishing(self._session, wire, delivery, self._clock).start(group)

    async def _subscribe(
        self, delivery: Delivery, options: OpcuaDevice, table: TagTable, *, stock_path: bool
    ) -> None:
        session = self._session
        clock = self._clock
        resolved = self._resolved.get(table)
        if resolved is None:
            raise DeviceError.of("not_connected", lost=True, where=session.options.endpoint)
        subscription = await self._granted(delivery, options, table, stock_path=stock_path)
        feed = subscription.add(table, self._shapes[table])
        feed.resolved = resolved
        self._feeds[table] = feed
        refused = await subscriptions.monitor(session, subscription, feed, resolved, options, clock)
        await delivery.refuse(feed, refused)
        subscription.heard = asyncio.get_running_loop().time()

    async def _granted(
        self, delivery: Delivery, options: OpcuaDevice, table: TagTable, *, stock_path: bool
    ) -> GrantedSubscription:
        """A subscription for a table: one of its own, or the last one that the server was ready to
        grant."""
        callback = delivery.from_stock if stock_path else None
        try:
            made = await subscriptions.create(self._session, table, options, self._clock, callback)
        except UaStatusCodeError as error:
            if int(error.code) != _BAD_TOO_MANY_SUBSCRIPTIONS or not len(delivery):
                raise
            if not self._shared:
                self._shared = True
                log.warning(
                    "opcua-subscriptions-shared endpoint=%s granted=%d wanted=%d",
                    self._session.options.endpoint,
                    len(delivery),
                    len(self._tables),
                )
            return delivery.subscriptions[-1]
        delivery.add(made)
        return made


class _RawPublishing:
    """Our own publish requests: several outstanding, so that a slow link does not hold up the
    server."""

    def __init__(
        self, session: OpcuaSession, wire: RawTransport, delivery: Delivery, clock: Clock
    ) -> None:
        self._wire = wire
        self._delivery = delivery
        self._clock = clock
        self._token = nodeid_to_binary(session.service.authentication_token)
        self._acknowledge: list[tuple[int, int]] = []
        self._requests = min(max(2, len(delivery) + 1), _MOST_REQUESTS)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start the tasks that keep requests outstanding."""
        for number in range(self._requests):
            group.create_task(self._publish(), name=f"opcua-publish-{number}")

    async def _publish(self) -> None:
        """Keep one request outstanding. Responses wake these tasks in the order in which they
        came."""
        while True:
            acknowledge = self._acknowledge
            self._acknowledge = []
            now = self._clock.time_ns()
            body = await self._wire.send(publish_request(self._token, acknowledge).at(now))
            t = self._clock.time_ns()
            try:
                message = publish_response(bytes(body))
            except ServiceFault as fault:
                self._acknowledge += acknowledge
                if fault.code == _BAD_TOO_MANY_PUBLISH_REQUESTS and self._requests > 1:
                    self._requests -= 1
                    return
                if fault.code == _BAD_TIMEOUT:
                    continue
                raise
            if message.data:
                self._acknowledge.append((message.subscription, message.sequence))
            await self._delivery.take(message, t)
