"""`mode: subscribe`: the server reports changes; we see to it that none is lost and that silence is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary

from connectors.opcua import pulse, stock, subscriptions
from connectors.opcua.faults import SinkError, device_errors, explain
from connectors.opcua.feed import Feed
from connectors.opcua.messages import Published, ServiceFault, publish_request, publish_response
from connectors.opcua.options import OpcuaDevice, device_options
from connectors.opcua.raw import read_raw
from connectors.opcua.resolve import Resolved, report
from connectors.opcua.session import Session
from connectors.opcua.wire import Wire
from edge_agent.sdk import STATUS, Batch, Clock, DeviceError, DevicePlan, Sink, TagTable, Value, cause, status_name

log = logging.getLogger(__name__)

_MOST_REQUESTS: Final = 20
_BAD_TOO_MANY_PUBLISH_REQUESTS: Final = 0x80780000
_BAD_TIMEOUT: Final = 0x800A0000


class StreamingConnection:
    """A session whose devices are subscribed to (sdk.Streaming)."""

    def __init__(self, plans: Sequence[DevicePlan], clock: Clock) -> None:
        self._session = Session(plans)
        self._tables = [(device_options(plan.options), table) for plan in plans for table in plan.tables]
        self._clock = clock
        self._resolved: dict[TagTable, Resolved] = {}
        self._seek_now = asyncio.Event()

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
        self._seek_now.set()

    async def close(self) -> None:
        """Release the session and with it its subscriptions; never raises."""
        self._resolved.clear()
        await self._session.close()

    async def raw(self, table: TagTable, *, ask: bool) -> list[str | None]:
        """Each value with its type, read now when `ask` is set. Raises DeviceError."""
        resolved = self._resolved.get(table)
        return await read_raw(self._session, table, resolved) if ask and resolved else [None] * len(table)

    async def stream(self, sink: Sink, alive: Callable[[str], None]) -> None:
        """Push batches until cancelled. Raises DeviceError(lost=True) when the session or a subscription is dead."""
        delivery = _Delivery(self._session, self._clock, sink, alive)
        with device_errors(self._session.options.endpoint):
            wire = self._session.wire
            feeds = [await self._subscribe(delivery, *pair, stock_path=wire is None) for pair in self._tables]
            async with asyncio.TaskGroup() as group:
                group.create_task(delivery.watch(), name="opcua-watch")
                group.create_task(pulse.watch(self._session, delivery.heard), name="opcua-pulse")
                group.create_task(self._seek(delivery, feeds), name="opcua-seek")
                if wire is None:
                    group.create_task(delivery.stock_failure(), name="opcua-stock-failure")
                else:
                    _RawPublishing(self._session, wire, delivery, self._clock).start(group)

    async def _subscribe(
        self, delivery: _Delivery, options: OpcuaDevice, table: TagTable, stock_path: bool
    ) -> tuple[OpcuaDevice, Feed]:
        session, clock = self._session, self._clock
        resolved = self._resolved.get(table)
        if resolved is None:
            raise DeviceError.of("not_connected", lost=True, where=session.options.endpoint)
        callback = delivery.from_stock if stock_path else None
        feed = await subscriptions.create(session, table, options, clock, callback)
        delivery.add(feed)
        delivery.refuse(feed, await subscriptions.monitor(session, feed, resolved, options, clock))
        feed.heard = asyncio.get_running_loop().time()
        return options, feed

    async def _seek(self, delivery: _Delivery, feeds: Sequence[tuple[OpcuaDevice, Feed]]) -> None:
        """Now and then, look again for the tags that the server did not have or refused."""
        while any(feed.refused for _, feed in feeds):
            self._seek_now.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._session.seek_s):
                    await self._seek_now.wait()
            for options, feed in feeds:
                if feed.refused:
                    found = await self._session.seek(feed.table, list(feed.refused))
                    still = await subscriptions.monitor(self._session, feed, found, options, self._clock)
                    delivery.refuse(feed, still)
                    self._resolved[feed.table] = self._resolved[feed.table].with_found(found)


class _Delivery:
    """From publish responses to batches in the sink, complete and in order, and the watch over silence."""

    def __init__(self, session: Session, clock: Clock, sink: Sink, alive: Callable[[str], None]) -> None:
        self.sink = sink
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Ends with an error that came up in a call from asyncua, which would only log it."""
        self._session, self._clock, self._alive = session, clock, alive
        self._feeds: dict[int, Feed] = {}

    def add(self, feed: Feed) -> None:
        feed.heard = asyncio.get_running_loop().time()
        self._feeds[feed.subscription] = feed

    def __len__(self) -> int:
        return len(self._feeds)

    def heard(self) -> float:
        """When the last message of any subscription came, by the event loop's time."""
        return max(feed.heard for feed in self._feeds.values())

    async def take(self, message: Published, t: int) -> None:
        """Deliver one message that arrived at `t`. Raises DeviceError when one before it cannot be had any more."""
        feed = self._feeds.get(message.subscription)
        if feed is None:
            return
        feed.heard = asyncio.get_running_loop().time()
        async with feed.order:
            if message.sequence != feed.expected:
                await self._fetch_missing(feed, message, t)
            self._deliver(feed, message, t)
        self._alive(feed.table.device)

    def _deliver(self, feed: Feed, message: Published, t: int) -> None:
        if message.ended is not None:
            status = message.ended or STATUS["BadCommunicationError"]
            why = cause("opcua_subscription_ended", **self._facts(feed), status=status_name(status))
            raise DeviceError(status, why, lost=True)
        if message.data:
            feed.expected = _following(message.sequence)
        if message.changes is not None:
            for batch in feed.batches(message.changes, t):
                self.hand_over(batch)

    def refuse(self, feed: Feed, refused: dict[int, int]) -> None:
        """Note which tags of a table the server does not give us; those that are new among them turn bad."""
        before, feed.refused = feed.refused, refused
        report(feed.table, before, refused)
        positions = sorted(at for at, code in refused.items() if before.get(at) != code)
        if positions:
            status = {at: refused[position] for at, position in enumerate(positions)}
            nothing: list[Value] = [None] * len(positions)
            self.hand_over(Batch(feed.table, self._clock.time_ns(), nothing, status, None, positions))

    def hand_over(self, batch: Batch) -> None:
        """Give one batch to the agent."""
        try:
            self.sink(batch)
        except Exception as error:
            raise SinkError(error) from error

    async def _fetch_missing(self, feed: Feed, message: Published, t: int) -> None:
        """Have the server repeat what lies between the last message and this one (OPC 10000-4 §5.14.5)."""
        gap = (message.sequence - feed.expected) % 0xFFFFFFFF
        log.warning("opcua-gap device=%s expected=%s got=%s", feed.table.device, feed.expected, message.sequence)
        if gap > len(message.available):
            raise DeviceError.of("opcua_skipped", lost=True, **self._facts(feed), count=gap)
        for left in range(gap, 0, -1):
            repeated = await self._session.service.republish(feed.subscription, feed.expected)
            self._deliver(feed, stock.republished(feed.subscription, repeated), t - left)

    def _facts(self, feed: Feed) -> dict[str, str]:
        return {"where": self._session.options.endpoint, "device": feed.table.device}

    async def from_stock(self, result: ua.PublishResult) -> None:
        """asyncua's callback for a publish response."""
        try:
            await self.take(stock.published(result), self._clock.time_ns())
        except Exception as error:  # noqa: BLE001 - asyncua would log it and go on; the stream has to end with it
            if not self.failure.done():
                self.failure.set_exception(error)

    async def stock_failure(self) -> None:
        """Wait until something fails on the stock path, where asyncua fetches the notifications."""
        self._session.client.connection_lost_callback = self._lost
        await self.failure

    async def _lost(self, error: Exception) -> None:
        """asyncua's callback for a connection that broke."""
        if not self.failure.done():
            self.failure.set_exception(explain(error, self._session.options.endpoint))

    async def watch(self) -> None:
        """Wait until a subscription has been silent for longer than its keep-alive and our timeout; raises then."""
        loop, timeout = asyncio.get_running_loop(), self._session.options.timeout
        while True:
            feed = min(self._feeds.values(), key=lambda f: f.heard + f.keep_alive_s)
            left = feed.heard + feed.keep_alive_s + timeout - loop.time()
            if left <= 0:
                raise DeviceError.of("opcua_subscription_silent", lost=True, **self._facts(feed))
            await asyncio.sleep(left)


def _following(sequence: int) -> int:
    """The next sequence number; after the largest comes 1 (OPC 10000-4 §7.8: 0 is never used)."""
    return 1 if sequence >= 0xFFFFFFFF else sequence + 1


class _RawPublishing:
    """Our own publish requests: several outstanding, so that a slow link does not hold up the server."""

    def __init__(self, session: Session, wire: Wire, delivery: _Delivery, clock: Clock) -> None:
        self._wire, self._delivery, self._clock = wire, delivery, clock
        self._token = nodeid_to_binary(session.service.authentication_token)
        self._acknowledge: list[tuple[int, int]] = []
        self._requests = min(max(2, len(delivery) + 1), _MOST_REQUESTS)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start the tasks that keep requests outstanding."""
        for number in range(self._requests):
            group.create_task(self._publish(), name=f"opcua-publish-{number}")

    async def _publish(self) -> None:
        """Keep one request outstanding. Responses wake these tasks in the order in which they came."""
        while True:
            acknowledge, self._acknowledge = self._acknowledge, []
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
