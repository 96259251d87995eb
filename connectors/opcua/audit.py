"""Once a minute every subscribed tag is read besides: what a subscription keeps quiet about must
not stay good.

An item that a server lost reports nothing, as one whose value does not change reports nothing. Only
a read tells them apart. A value may change while it is read, so a difference counts when it is
there twice and nothing was reported between: then the read is right, and the item is made anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua

from connectors.opcua.absent_tags import AbsentTagResolver
from connectors.opcua.asker import NodeReader
from connectors.opcua.columns import Columns
from connectors.opcua.delivery import Delivery
from connectors.opcua.messages import ServiceFault
from connectors.opcua.monitored_table import GrantedSubscription, MonitoredTable
from connectors.opcua.session import OpcuaSession
from edge_agent.sdk import Cause, Clock, status_name

log = logging.getLogger(__name__)

_PER_READ: Final = 1000
"""Nodes in one request, one request at a time: a small controller has other things to do."""
_SLACK_S: Final = 1.0
"""A notification may be late by this, besides its sampling and publishing interval."""
#: A server may let us subscribe to what it does not let us read: nothing can be compared then.
_NOT_READABLE: Final = frozenset({0x803A0000, 0x801F0000})
_CODE_BITS: Final = 0xFFFF0000


@dataclass(slots=True)
class SubscriptionMismatch:
    """One tag whose read says something else than its subscription."""

    subscription: GrantedSubscription
    feed: MonitoredTable
    position: int
    node: ua.NodeId
    value: Any
    code: int
    why: Cause | None


class Audit:
    """Compares what the subscriptions brought with what the server says when it is asked."""

    def __init__(
        self, session: OpcuaSession, delivery: Delivery, seeker: AbsentTagResolver, clock: Clock
    ) -> None:
        self._session = session
        self._delivery = delivery
        self._seeker = seeker
        self._clock = clock
        self._logged: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Never returns, unless the server refuses to be read. Raises what the connection
        raises."""
        every = self._session.audit_s
        await asyncio.sleep(every * random.uniform(0.5, 1.0))  # noqa: S311 - a site's servers not all at once
        while True:
            try:
                await self.look()
            except TimeoutError:
                # Whether it is silent altogether is the business of `pulse`.
                log.info(
                    "opcua-audit-skipped endpoint=%s reason='no answer in time'",
                    self._session.options.endpoint,
                )
            except ServiceFault as fault:
                log.warning(
                    "opcua-audit-ended endpoint=%s reason=%s", self._session.options.endpoint, fault
                )
                return
            await asyncio.sleep(every)

    async def look(self) -> None:
        """Read all, and those that differ once more after a notification should have come."""
        for _, feed in self._delivery.feeds:
            feed.reported = set()
        try:
            differing = await self._read_all()
            if not differing:
                return
            await asyncio.sleep(max(map(_grace, differing)))
            differing = await self._read_again(_unreported(differing))
        finally:
            for _, feed in self._delivery.feeds:
                feed.reported = None
        if differing:
            await self._correct(differing)

    async def _read_all(self) -> list[SubscriptionMismatch]:
        found: list[SubscriptionMismatch] = []
        feeds = [
            (subscription, feed, list(feed.resolved.positions))
            for subscription, feed in self._delivery.feeds
        ]
        columns, _ = await self._read(
            [node for _, feed, _ in feeds for node in feed.resolved.nodes]
        )
        start = 0
        for subscription, feed, positions in feeds:
            part = _cut(columns, start, len(positions))
            start += len(positions)
            found += compare(subscription, feed, positions, feed.resolved.nodes, part)
        return found

    async def _read_again(
        self, differing: list[SubscriptionMismatch]
    ) -> list[SubscriptionMismatch]:
        """Those that differ still, with what they are now."""
        if not differing:
            return []
        columns, _ = await self._read([each.node for each in differing])
        found: list[SubscriptionMismatch] = []
        for at, each in enumerate(differing):
            part = _cut(columns, at, 1)
            found += compare(each.subscription, each.feed, [each.position], [each.node], part)
        return _unreported(found)

    async def _read(self, nodes: Sequence[ua.NodeId]) -> tuple[Columns, int]:
        reader = NodeReader(self._session, self._clock, _PER_READ, together=1)
        reader.prepare(nodes)
        return await reader.read()

    async def _correct(self, differing: list[SubscriptionMismatch]) -> None:
        """The read is right: its values go to the agent, and the items are made anew."""
        t = self._clock.time_ns()
        by_feed: dict[MonitoredTable, list[SubscriptionMismatch]] = {}
        for each in differing:
            by_feed.setdefault(each.feed, []).append(each)
        for feed, found in by_feed.items():
            self._log(feed, found)
            positions = [each.position for each in found]
            status = {at: each.code for at, each in enumerate(found) if each.code}
            causes = {at: each.why for at, each in enumerate(found) if each.why is not None}
            self._delivery.put(feed, positions, [each.value for each in found], status, causes, t)
            await self._seeker.renew(found[0].subscription, feed, positions)

    def _log(self, feed: MonitoredTable, found: list[SubscriptionMismatch]) -> None:
        """Once for each tag: which one its subscription had kept quiet about."""
        device = feed.table.device
        names = feed.table.names
        fresh = [each for each in found if (device, names[each.position]) not in self._logged]
        if not fresh:
            return
        self._logged.update((device, names[each.position]) for each in fresh)
        log.warning(
            "opcua-item-silent device=%s tag=%s status=%s count=%d",
            device,
            names[fresh[0].position],
            status_name(fresh[0].code),
            len(fresh),
        )


def compare(
    subscription: GrantedSubscription,
    feed: MonitoredTable,
    positions: Sequence[int],
    nodes: Sequence[ua.NodeId],
    read: Columns,
) -> list[SubscriptionMismatch]:
    """The tags that were read with another value or quality than was reported; those the server
    lacks are sought elsewhere."""
    causes = feed.shape.coerce(read.values, read.status, positions) or {}
    believed = [feed.believed[position] for position in positions]
    if believed == read.values and not read.status and not feed.codes:
        return []
    absent = feed.refused.keys() | feed.gone
    found = []
    for at, position in enumerate(positions):
        value = read.values[at]
        code = read.status.get(at, 0)
        if position in absent or code & _CODE_BITS in _NOT_READABLE:
            continue
        if not _same(value, believed[at]) or _severity(code) != _severity(
            feed.codes.get(position, 0)
        ):
            found.append(
                SubscriptionMismatch(
                    subscription, feed, position, nodes[at], value, code, causes.get(at)
                )
            )
    return found


def _same(a: Any, b: Any) -> bool:
    """Equal values; not-a-number is itself here, and True is not 1."""
    return type(a) is type(b) and (a == b or (a != a and b != b))


def _severity(code: int) -> int:
    return code >> 30


def _grace(each: SubscriptionMismatch) -> float:
    """Seconds in which a change is reported by an item that lives."""
    return each.subscription.interval_s + each.feed.sampling_s + _SLACK_S


def _unreported(differing: list[SubscriptionMismatch]) -> list[SubscriptionMismatch]:
    return [
        each
        for each in differing
        if each.feed.reported is None or each.position not in each.feed.reported
    ]


def _cut(columns: Columns, start: int, count: int) -> Columns:
    """The columns of `count` nodes from `start` on."""
    end = start + count
    status = {at - start: code for at, code in columns.status.items() if start <= at < end}
    return Columns(columns.values[start:end], status, columns.source[start:end])
