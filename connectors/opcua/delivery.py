"""From publish responses to batches in the sink, complete and in order, and the watch over
silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from asyncua import ua

from connectors.opcua import stock
from connectors.opcua.faults import SinkError, explain
from connectors.opcua.messages import Published
from connectors.opcua.monitored_table import GrantedSubscription, MonitoredTable
from connectors.opcua.session import OpcuaSession
from edge_agent.sdk import STATUS, Batch, Cause, Clock, DeviceError, Sink, Value, cause, status_name

log = logging.getLogger(__name__)

_BAD: Final = 0x80000000


class Delivery:
    """What comes of the subscriptions of one session, and where it goes."""

    def __init__(
        self, session: OpcuaSession, clock: Clock, sink: Sink, alive: Callable[[str], None]
    ) -> None:
        self.sink = sink
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Ends with an error that came up in a call from asyncua, which would only log it."""
        self.absent = asyncio.Event()
        """Set when a tag turns out to be refused by the server, or gone from it."""
        self._session = session
        self._clock = clock
        self._alive = alive
        self._subscriptions: dict[int, GrantedSubscription] = {}

    def add(self, subscription: GrantedSubscription) -> None:
        subscription.heard = asyncio.get_running_loop().time()
        self._subscriptions[subscription.number] = subscription

    def __len__(self) -> int:
        return len(self._subscriptions)

    @property
    def subscriptions(self) -> list[GrantedSubscription]:
        """All of them, in the order in which they were granted."""
        return list(self._subscriptions.values())

    @property
    def feeds(self) -> Iterator[tuple[GrantedSubscription, MonitoredTable]]:
        """All tables, each with the subscription it is in."""
        for subscription in self._subscriptions.values():
            for feed in subscription.feeds:
                yield subscription, feed

    def last_message_at(self) -> float:
        """When the last message of any subscription came, by the event loop's time."""
        return max(subscription.heard for subscription in self._subscriptions.values())

    async def take(self, message: Published, t: int) -> None:
        """Deliver one message that arrived at `t`. Raises DeviceError when one before it cannot be
        had any more."""
        subscription = self._subscriptions.get(message.subscription)
        if subscription is None:
            return
        subscription.heard = asyncio.get_running_loop().time()
        async with subscription.order:
            if message.sequence != subscription.expected:
                await self._fetch_missing(subscription, message, t)
            self._deliver(subscription, message, t)
        for device in subscription.devices:
            self._alive(device)

    def _deliver(self, subscription: GrantedSubscription, message: Published, t: int) -> None:
        if message.ended is not None:
            raise self._ended(subscription, message.ended)
        if message.data:
            subscription.expected = _following(message.sequence)
        if message.changes is not None:
            for batch in subscription.batches(message.changes, t):
                self.deliver(batch)
            if any(feed.gone for feed in subscription.feeds):
                self.absent.set()

    def _ended(self, subscription: GrantedSubscription, status: int) -> DeviceError:
        """The server ended a subscription. It may call that good (it went to another session): for
        us it is not."""
        why = cause(
            "opcua_subscription_ended", **self._facts(subscription), status=status_name(status)
        )
        return DeviceError(
            status if status & _BAD else STATUS["BadSubscriptionIdInvalid"], why, lost=True
        )

    async def refuse(self, feed: MonitoredTable, refused: dict[int, int]) -> None:
        """Note which tags of a table the server does not give us; those that are new among them
        turn bad."""
        before = feed.refused
        feed.refused = refused
        feed.causes = await self._session.report(feed.table, before, refused, feed.causes)
        positions = sorted(at for at, code in refused.items() if before.get(at) != code)
        if positions:
            status = {at: refused[position] for at, position in enumerate(positions)}
            causes = {
                at: feed.causes[position]
                for at, position in enumerate(positions)
                if position in feed.causes
            }
            self.put(
                feed, positions, [None] * len(positions), status, causes, self._clock.time_ns()
            )
        if refused:
            self.absent.set()

    def put(
        self,
        feed: MonitoredTable,
        positions: list[int],
        values: list[Value],
        status: dict[int, int],
        causes: Mapping[int, Cause],
        t: int,
    ) -> None:
        """Hand over values of a table that did not come with a notification, and so without a time
        of the device. `status` and `causes` by index in `positions`."""
        for position, value in zip(positions, values, strict=True):
            feed.believed[position] = value
        feed.note(positions, status)
        batch = Batch(feed.table, t, values, status, None, positions)
        batch.causes = causes or None
        self.deliver(batch)

    def deliver(self, batch: Batch) -> None:
        """Give one batch to the agent."""
        try:
            self.sink(batch)
        except Exception as error:
            raise SinkError(error) from error

    async def _fetch_missing(
        self, subscription: GrantedSubscription, message: Published, t: int
    ) -> None:
        """Have the server repeat what lies between the last message and this one (OPC 10000-4
        §5.14.5)."""
        gap = (message.sequence - subscription.expected) % 0xFFFFFFFF
        devices = ",".join(subscription.devices)
        log.warning(
            "opcua-gap device=%s expected=%s got=%s",
            devices,
            subscription.expected,
            message.sequence,
        )
        if gap > len(message.available):
            raise DeviceError.of("opcua_skipped", lost=True, **self._facts(subscription), count=gap)
        for left in range(gap, 0, -1):
            repeated = await self._session.service.republish(
                subscription.number, subscription.expected
            )
            self._deliver(subscription, stock.republished(subscription.number, repeated), t - left)

    def _facts(self, subscription: GrantedSubscription) -> dict[str, str]:
        return {"where": self._session.options.endpoint, "device": ", ".join(subscription.devices)}

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
        """Wait until a subscription has been silent for longer than its keep-alive and our timeout;
        raises then."""
        loop = asyncio.get_running_loop()
        timeout = self._session.options.timeout
        while True:
            first = min(self._subscriptions.values(), key=lambda s: s.heard + s.keep_alive_s)
            left = first.heard + first.keep_alive_s + timeout - loop.time()
            if left <= 0:
                raise DeviceError.of("opcua_subscription_silent", lost=True, **self._facts(first))
            await asyncio.sleep(left)


def _following(sequence: int) -> int:
    """The next sequence number; after the largest comes 1 (OPC 10000-4 §7.8: 0 is never used)."""
    return 1 if sequence >= 0xFFFFFFFF else sequence + 1
