"""The recent health of a running service: read from the store once, fed by the ingest from then
on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from edge_agent.app.status.missing import silent_ns
from edge_agent.app.status.recent_health import RecentHealth
from edge_agent.clock import Clock
from edge_agent.errors import StoreError
from edge_agent.stores.protocols import MonitoredStore

log = logging.getLogger(__name__)

#: Who asks waits so long for the last day to be read after a start.
PATIENCE_S: Final = 3.0
#: So long after a store that did not answer it is asked again.
_AGAIN_S: Final = 5.0
#: Between two times that the day is read, where rows keep coming late.
_CALM_S: Final = 120.0
_OVER: Final = object()


class RecentDay:
    """`run` is a task; `take` belongs to its loop."""

    def __init__(self, store: MonitoredStore, clock: Clock, row_s: float) -> None:
        """`row_s`: how often health rows come."""
        self.health = RecentHealth(silent_ns(row_s))
        self._store = store
        self._clock = clock
        self._renamed: Mapping[str, str] = store.catalogue.former.current
        self._to_read, self._read = asyncio.Event(), asyncio.Event()
        self._to_read.set()

    @property
    def known(self) -> bool:
        """Whether the last day has been read."""
        return self.health.complete

    async def is_known(self) -> bool:
        """The same; waits for it, but not for long."""
        if not self.known:
            try:
                await asyncio.wait_for(self._read.wait(), PATIENCE_S)
            except TimeoutError:
                log.debug("recent-health-not-read-yet")
        return self.known

    def take(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Health rows that are in the store now."""
        current = self._store.catalogue.former.current
        if current is not self._renamed:  # a device is another now, and its past is that one's
            self._renamed = current
            self.read_again()
        if current:
            rows = [{**row, "device": current.get(row["device"], row["device"])} for row in rows]
        self.health.take(rows, self._clock.time_ns())

    def read_again(self) -> None:
        """Something of the past was changed in the store."""
        self._to_read.set()

    async def run(self) -> None:
        """Read the last day, now and whenever it is to be read again; until cancelled."""
        while True:
            await self._to_read.wait()
            self._to_read.clear()
            try:
                await self._read_past()
                self._read.set()
                if self.health.outdated:
                    await asyncio.sleep(_CALM_S)
                    self._to_read.set()
            except StoreError as error:
                log.warning("recent-health-postponed reason=%s", error)
                await asyncio.sleep(_AGAIN_S)
                self._to_read.set()
            except Exception:  # reason: a strange old row must never stop the storing
                log.exception("recent-health-failed")

    async def _read_past(self) -> None:
        steps = self.health.read_past(self._store, self._clock.time_ns())
        while await asyncio.to_thread(next, steps, _OVER) is not _OVER:
            pass  # each step is an hour, and leaves the loop to others
