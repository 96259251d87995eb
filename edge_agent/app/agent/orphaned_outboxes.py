"""Outboxes of worker processes of a former version: what they hold is sent until nothing is left.

An agent could be several processes once, each with an outbox below that of the agent. What those
read and did not deliver is sent beside the agent's own; nobody appends to these outboxes, and each
is let go when it is empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.app.agent.delivery_counters import Document, ended, figures
from edge_agent.clock import Clock
from edge_agent.config.models import Mqtt, Site
from edge_agent.errors import FindingsError
from edge_agent.outbox import Outbox, UndeliveredRange
from edge_agent.outbox.folders import bytes_in, folder_of, holds_segments, workers_with_folder
from edge_agent.publish import Publisher
from edge_agent.topics import Topics

log = logging.getLogger(__name__)

_LOOK_S = 0.2
#: A worker of an agent that was just killed may still hold its outbox for some seconds.
_AGAIN_S = 1.0
_CLOSE_S = 0.5


@dataclass(frozen=True, slots=True)
class _Open:
    outbox: Outbox
    publisher: Publisher


class OrphanedOutboxes:
    """The outboxes below `site.outbox.path`."""

    def __init__(self, site: Site, topics: Topics, clock: Clock) -> None:
        self._site = site
        self._topics = topics
        self._clock = clock
        path = site.outbox.path
        self._waiting = {
            worker: bytes_in(folder_of(path, worker))
            for worker in workers_with_folder(path)
            if holds_segments(folder_of(path, worker))
        }
        self._open: dict[int, _Open] = {}
        self._ended: list[Document] = []
        self._gaps: list[UndeliveredRange] = []

    @property
    def closed(self) -> int:
        """Bytes of those that could not be opened yet."""
        return sum(self._waiting.values())

    def bytes_by_outbox(self) -> dict[int, int]:
        """Bytes of each that is being emptied."""
        return {worker: one.outbox.stats.bytes for worker, one in self._open.items()}

    def resize(self, limits: Mapping[int, int]) -> None:
        """They give way like any other outbox when the whole bound is used up: the oldest is
        dropped, and told."""
        for worker, one in self._open.items():
            if worker in limits:
                one.outbox.resize(limits[worker])

    def keep_segments(self, seconds: float) -> None:
        """As `Outbox.keep_segments`, of each that is being emptied."""
        for one in self._open.values():
            one.outbox.keep_segments(seconds)

    def figures(self) -> list[Document]:
        """The counters of each, also of those that were let go."""
        return [*self._ended, *(figures(one.outbox, one.publisher) for one in self._open.values())]

    def pending_from(self) -> dict[str, int]:
        """The streams that something is left of, each with the number from which on it is."""
        found: dict[str, int] = {}
        for one in self._open.values():
            found |= one.outbox.pending_from()
        return found

    def gaps(self) -> list[UndeliveredRange]:
        """What was found missing in them since the last call."""
        found = self._gaps
        self._gaps = []
        for one in self._open.values():
            found += one.outbox.gaps()
        return found

    async def run(self) -> None:
        """Return when all are empty."""
        async with asyncio.TaskGroup() as group:
            for worker in list(self._waiting):
                group.create_task(self._empty(worker), name=f"leftover {worker}")

    async def _empty(self, worker: int) -> None:
        outbox = await self._opened(worker)
        mqtt = client_of(self._site, worker)
        publisher = Publisher(
            mqtt, outbox, self._topics, self._site.agent.id, self._clock, speaks=False
        )
        del self._waiting[worker]
        self._open[worker] = _Open(outbox, publisher)
        sending = asyncio.create_task(publisher.run(), name=f"publisher of leftover {worker}")
        try:
            while outbox.pending:  # noqa: ASYNC110 - an outbox calls nobody when it becomes empty
                await asyncio.sleep(_LOOK_S)
            log.info("leftover-empty worker=%d", worker)
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
            self._gaps += outbox.gaps()
            last = figures(outbox, publisher)
            self._ended.append(last if outbox.pending else ended(last))
            del self._open[worker]
            await outbox.close(_CLOSE_S)

    async def _opened(self, worker: int) -> Outbox:
        site = self._site
        told = ""
        while True:
            try:
                outbox = await asyncio.to_thread(
                    Outbox,
                    folder_of(site.outbox.path, worker),
                    agent=site.agent.id,
                    worker=worker,
                    max_bytes=site.outbox.max_bytes,
                    fsync_ms=site.outbox.fsync_ms,
                )
            except FindingsError as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("leftover-waits worker=%d reason=%s", worker, error.findings[0].en)
                await asyncio.sleep(_AGAIN_S)
                continue
            log.info("leftover-open worker=%d pending=%d", worker, outbox.pending)
            return outbox


def client_of(site: Site, worker: int) -> Mqtt:
    """The broker's keys for a worker: a client id of its own, since a broker ends the older of two
    equal ones."""
    client = site.mqtt.client_id or site.agent.id
    return site.mqtt.model_copy(update={"client_id": f"{client}-w{worker}"})
