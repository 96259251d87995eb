"""The production figures of a running store service: computed on schedule, kept, published
retained, answered."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

import orjson

from edge_agent.clock import Clock
from edge_agent.errors import PoisonError, StoreError
from edge_agent.ingest.service import Ingest
from edge_agent.production.schedule import Document, Period, ProductionFigures
from edge_agent.stores import Store
from edge_agent.topics import Topics

log = logging.getLogger(__name__)

#: Between two rounds: seconds of the clock, but (with `--speed`) never fewer real ones than this,
#: nor fewer than so many times what the last round took. Figures may be late, collecting may not.
EVERY_S: Final = 60.0
LEAST_S: Final = 5.0
SHARE: Final = 15.0
#: Hours kept as runs per round.
_HOURS: Final = 4


class ProductionService:
    """One task. Reads in a thread of its own, writes in the store's."""

    def __init__(
        self, figures: ProductionFigures, store: Store, ingest: Ingest, topics: Topics, clock: Clock
    ) -> None:
        self._figures = figures
        self._store = store
        self._ingest = ingest
        self._topics = topics
        self._clock = clock
        self._computing = asyncio.Lock()
        self._kept: list[Document] | None = None
        """The newest that is kept of every metric, as it stood after the last window; None: not
        read yet."""

    async def run(self) -> None:
        """Until cancelled."""
        await self._watch()
        pause = LEAST_S
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            try:
                await self._round()
            except (StoreError, PoisonError) as error:
                log.warning("production-postponed reason=%s", error)
            except Exception:
                # As broad as that, because a fault in a figure must not end the storing beside it;
                # it is seen.
                log.exception("production-failed")
            pause = max(self._clock.real(EVERY_S), LEAST_S, SHARE * (time.monotonic() - began))

    async def _round(self) -> None:
        async with self._computing:
            await self._watch()
            now = self._clock.time_ns()
            for period in self._figures.due(now, self._store.take_touched()):
                await self._compute(period, now)
        await self._ingest.call(self._store.compact, now, _HOURS)

    async def _watch(self) -> None:
        """Have the store keep what figures are asked for; devices of other agents become known as
        they are born."""
        figures = self._figures
        if await asyncio.to_thread(figures.refresh, self._store):
            await self._ingest.call(
                self._store.watch, figures.steady, figures.powers, figures.counters
            )

    async def _compute(self, period: Period, now: int) -> None:
        documents = await asyncio.to_thread(self._figures.compute, self._store, period, now)
        if documents and documents[0]["complete"]:
            closed = documents
            documents, self._kept = await self._ingest.call(self._keep, period, closed)
            self._figures.end_running(closed)
        for document in documents:
            self._ingest.publish(self._topics.metric(document["id"]), orjson.dumps(document))

    def _keep(
        self, period: Period, documents: list[Document]
    ) -> tuple[list[Document], list[Document]]:
        """In the thread that writes: what is new or changed, and the newest of all figures after
        it."""
        changed = self._figures.keep(self._store, period, documents)
        return changed, self._store.metrics()

    async def production(self, from_ns: int, to_ns: int) -> Document:
        """Everything of a window, machine by machine."""
        now = self._clock.time_ns()
        return await asyncio.to_thread(self._figures.production, self._store, from_ns, to_ns, now)

    async def newest(self) -> list[dict[str, Any]]:
        """The newest figures of every line: of the window that runs, else of the last one that is
        over."""
        if self._kept is None:
            # not behind what is being written
            self._kept = await asyncio.to_thread(self._store.metrics)
        found = {
            document["id"]: document for document in self._kept if "period" in document
        } | self._figures.running
        return [found[key] for key in sorted(found)]
