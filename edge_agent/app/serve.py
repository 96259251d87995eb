"""`edge-agent serve`: ingest, store, metrics on schedule, and answers for other commands."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import orjson

from edge_agent.app import overview
from edge_agent.app.figures import Figures
from edge_agent.clock import Clock
from edge_agent.config.models import Site
from edge_agent.errors import StoreError
from edge_agent.health import watchdog
from edge_agent.ingest import api
from edge_agent.ingest.quarantine import Quarantine
from edge_agent.ingest.service import Ingest
from edge_agent.sdk import within
from edge_agent.stores import open_store
from edge_agent.topics import Topics

log = logging.getLogger(__name__)

#: How often the metrics are computed: often while a plant is young, later each minute.
FIRST_S: Final = 5.0
LATER_S: Final = 60.0
YOUNG_S: Final = 600.0


class StoreService:
    """Everything behind the broker. `run` works until `stop` is set."""

    def __init__(self, site: Site, clock: Clock) -> None:
        self._site = site
        self._clock = clock
        self._topics = Topics(site.mqtt.topic_prefix, site.agent.enterprise, site.agent.site)
        self._figures = Figures(site)
        self._store = open_store(site.store)
        self._ingest = Ingest(
            site.mqtt,
            self._store,
            self._topics,
            Quarantine(site.store.quarantine),
            client_id=site.mqtt.client_id or f"{site.agent.id}-ingest",
            clock=clock,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. What is not committed by then stays with the broker."""
        operations = api.operations(self._store) | {"status": self._status, "metrics": self._metrics}
        try:
            async with api.serving(api.socket_path(self._site.store.path), operations), asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._ingest.run(), name="ingest"),
                    group.create_task(self._keep_computing(), name="metrics"),
                    group.create_task(watchdog.feed(list), name="watchdog"),
                ]
                watchdog.notify("READY=1")
                await stop.wait()
                watchdog.notify("STOPPING=1")
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._store.close()
            log.info("serve-stop counters=%s", self._counters())

    async def _keep_computing(self) -> None:
        started = self._clock.monotonic()
        while self._figures.ready:
            young = self._clock.monotonic() - started < YOUNG_S
            await within(FIRST_S if young else LATER_S, self._clock)
            try:
                await self._compute()
            except StoreError as error:
                log.warning("metrics-postponed reason=%s", error)

    async def _compute(self) -> list[dict[str, Any]]:
        """Compute, keep in the store, publish retained."""
        now = self._clock.time_ns()
        results = await self._ingest.call(self._figures.compute, self._store, now)
        for result in results:
            await self._ingest.call(self._store.put_metric, result["id"], now, result)
            self._ingest.publish(self._topics.metric(result["id"]), orjson.dumps(result))
        return results

    async def _metrics(self, *, fresh: bool = False) -> list[dict[str, Any]]:
        """The newest results; `fresh` computes them now."""
        if fresh and self._figures.ready:
            return await self._compute()
        return await self._ingest.call(self._store.metrics)

    async def _status(self) -> dict[str, Any]:
        now = self._clock.time_ns()
        return {
            "t": now,
            "devices": await asyncio.to_thread(overview.devices, self._store, now),
            "counters": self._counters(),
            "broker_connected": self._ingest.connected,
            "problem": self._ingest.problem,
            "lag_s": self._ingest.lag(),
        }

    def _counters(self) -> dict[str, int]:
        counters = self._ingest.counters
        return {
            "stored": counters.stored,
            "duplicates_ignored": counters.duplicates_ignored,
            "quarantined": counters.quarantined,
        }
