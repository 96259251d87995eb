"""Tags that the server does not have, refused, or lost: sought again, their monitored items made
anew."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence

from connectors.opcua import subscriptions
from connectors.opcua.delivery import Delivery
from connectors.opcua.monitored_table import GrantedSubscription, MonitoredTable
from connectors.opcua.options import OpcuaDevice
from connectors.opcua.session import OpcuaSession
from edge_agent.sdk import Clock, TagTable

log = logging.getLogger(__name__)


class AbsentTagResolver:
    """Looks for absent tags with a growing pause: a PLC loads its program in seconds, or hours
    later."""

    def __init__(
        self,
        session: OpcuaSession,
        delivery: Delivery,
        options_of: Mapping[TagTable, OpcuaDevice],
        clock: Clock,
        at_once: asyncio.Event,
    ) -> None:
        """`at_once`: set by who wants no pause before the next look."""
        self._session = session
        self._delivery = delivery
        self._options_of = options_of
        self._clock = clock
        self._at_once = at_once
        self._busy = asyncio.Lock()
        """Held while items are made anew: the audit does so too."""

    async def run(self) -> None:
        """Never returns. Raises what the connection raises."""
        pause = self._session.seek_first_s
        last = 0.0
        loop = asyncio.get_running_loop()
        while True:
            await self._delivery.absent.wait()
            self._delivery.absent.clear()
            if loop.time() - last > self._session.seek_s:
                pause = self._session.seek_first_s
            while absent := self._absent():
                await self._pause(pause)
                # A tag that comes and goes at once must not be asked for all the time, so the pause
                # only grows here.
                pause = min(2 * pause, self._session.seek_s)
                last = loop.time()
                for subscription, feed in absent:
                    await self._seek(subscription, feed)

    async def _pause(self, seconds: float) -> None:
        self._at_once.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._at_once.wait()

    def _absent(self) -> list[tuple[GrantedSubscription, MonitoredTable]]:
        return [
            (subscription, feed)
            for subscription, feed in self._delivery.feeds
            if feed.refused or feed.gone
        ]

    async def _seek(self, subscription: GrantedSubscription, feed: MonitoredTable) -> None:
        positions = sorted(feed.refused.keys() | feed.gone)
        if not positions:
            return
        gone = feed.gone - feed.refused.keys()
        if gone:
            log.info("opcua-nodes-gone device=%s count=%d", feed.table.device, len(gone))
        await self.renew(subscription, feed, positions)

    async def renew(
        self, subscription: GrantedSubscription, feed: MonitoredTable, positions: Sequence[int]
    ) -> None:
        """Find these tags anew, and make their monitored items anew."""
        async with self._busy:
            found = await self._session.seek(feed.table, positions)
            feed.resolved = feed.resolved.with_found(found)
            await subscriptions.discard(self._session, subscription, feed, positions)
            options = self._options_of[feed.table]
            refused = await subscriptions.monitor(
                self._session, subscription, feed, found, options, self._clock
            )
            feed.gone.difference_update(positions)
            feed.fresh.update(positions)
            others = {at: code for at, code in feed.refused.items() if at not in positions}
            await self._delivery.refuse(feed, others | refused)
