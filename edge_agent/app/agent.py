"""`edge-agent run`: connections, polling, normalisation, outbox and publisher of one configuration."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edge_agent import payload
from edge_agent.app.devices import Workshop
from edge_agent.app.fleet import Fleet
from edge_agent.app.reload import Reload
from edge_agent.app.self_health import SelfHealth
from edge_agent.app.status import agent_door, agent_status, leave_last_words
from edge_agent.clock import Clock
from edge_agent.config.models import Site
from edge_agent.config.plugins import Plugins, plugins_or_installed
from edge_agent.health import watchdog
from edge_agent.ingest import api
from edge_agent.outbox import Outbox
from edge_agent.polling.device import PolledDevice
from edge_agent.process import give_back, held
from edge_agent.publish import Publisher
from edge_agent.sdk import within
from edge_agent.topics import Topics

log = logging.getLogger(__name__)

#: A stopping agent is gone within 5 s: so long it waits for what it holds to be acknowledged; the rest stays in the
#: outbox. Saying goodbye to the broker takes at most one second more, and the disk has what is left.
STOP_LIMIT_S = 4.5
DRAIN_LIMIT_S = 2.5
CLOSE_AT_LEAST_S = 0.5

#: How often staleness and the agent's own health are looked at: seconds of its clock, and the shortest real pause.
LOOK_S = 1.0
LOOK_AT_LEAST_S = 0.1

#: The agent's own health is written when it changes, and so often when it does not.
OWN_ROW_S = 60.0


class EdgeAgent:
    """All parts of one agent. `run` works until `stop` is set, then drains and closes."""

    def __init__(self, site: Site, clock: Clock, plugins: Plugins | None = None, source: Path | None = None) -> None:
        """`source`: the file `site` was loaded from, which a reload reads again."""
        self.site = site
        self._clock = clock
        self._plugins = plugins_or_installed(plugins)
        self._topics = Topics(site.mqtt.topic_prefix, site.agent.enterprise, site.agent.site)
        self._outbox = Outbox(
            site.outbox.path,
            agent=site.agent.id,
            max_bytes=site.outbox.max_bytes,
            fsync_ms=site.outbox.fsync_ms,
        )
        self._publisher = Publisher(site.mqtt, self._outbox, self._topics, site.agent.id, clock)
        workshop = Workshop(site.agent, self._topics, self._outbox, clock)
        self.fleet = Fleet(site, workshop, self._plugins, clock, self._publisher.retain)
        self.health = SelfHealth(site, self._outbox, self._publisher, clock)
        self._reload = Reload(site, source, self._plugins, self.fleet, self.health)
        own = self._topics.device(site.agent.area, "_agent", site.agent.id)
        self._own_topic, self._own_head = f"{own}/health", payload.head(site.agent.id, self._outbox.stream)
        self._started = time.monotonic()

    @property
    def devices(self) -> list[PolledDevice]:
        return self.fleet.devices

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. What could not be sent stays in the outbox for the next start."""
        log.info("agent-start agent=%s version=%s", self.site.agent.id, version("shopfloor-edge-agent"))
        log.info("agent-reads devices=%d connections=%d", len(self.devices), self.fleet.connections)
        ends = time.monotonic() + STOP_LIMIT_S
        try:
            async with self._answering(), asyncio.TaskGroup() as group:
                publisher = group.create_task(self._publisher.run(), name="publisher")
                self.fleet.start(group)
                keepers = [
                    group.create_task(self._tell_health(), name="health"),
                    group.create_task(self._look(), name="look"),
                    group.create_task(self._reload.run(), name="reload"),
                    group.create_task(watchdog.feed(self.fleet.stalled), name="watchdog"),
                ]
                watchdog.notify("READY=1")
                await stop.wait()
                watchdog.notify("STOPPING=1")
                ends = time.monotonic() + STOP_LIMIT_S
                await _cancel(keepers)
                leaving = self.fleet.cancel()
                self._tell_all()
                await self._publisher.drain(DRAIN_LIMIT_S)
                await _cancel([publisher, *leaving])
        finally:
            await self._outbox.close(max(CLOSE_AT_LEAST_S, ends - time.monotonic()))
            leave_last_words(self.site, self.status())
            log.info("agent-stop agent=%s counters=%s", self.site.agent.id, self.counters())

    @contextlib.asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """The doors through which others ask: a Unix socket, and the loopback address if one is configured."""
        operations = {"status": self._answer, "reload": self._reload.ask, "settle": self._settle}
        async with contextlib.AsyncExitStack() as doors:
            await doors.enter_async_context(api.serving(agent_door(self.site), operations))
            if self.site.agent.listen is not None:
                from edge_agent.app.loopback import pages, serving

                try:
                    await doors.enter_async_context(serving(self.site.agent.listen, pages(self._answer, "agent")))
                except OSError as error:
                    # The data matters more than the figures about it: say so, and work.
                    self.health.listen = f"{self.site.agent.listen}: {error.strerror}"
                    log.error("listen-failed address=%s reason=%s", self.site.agent.listen, error)
            yield

    def hang_up(self) -> None:
        """SIGHUP: read the configuration again."""
        self._reload.request()

    async def _tell_health(self) -> None:
        while True:
            await within(self.site.agent.health, self._clock)
            self._tell_all()

    def _tell_all(self) -> None:
        for device in self.devices:
            device.tell()
        for gap in self._outbox.gaps():
            self._tell_own({"gap": gap.to_json()})

    async def _look(self) -> None:
        """Staleness, and the agent's own health: told when it changes, and once a minute."""
        told, said = float("-inf"), list[str]()
        while True:
            devices, now = self.devices, self._clock.monotonic()
            for device in devices:
                device.watch(now, self._clock.time_ns())
            judgement = self.health.look(devices, self.fleet.stalled())
            if judgement.reasons != said:
                said, told = judgement.reasons, float("-inf")
                level = logging.WARNING if judgement.health else logging.INFO
                log.log(level, "agent-health ne107=%s reasons=%s", judgement.health.name, ",".join(said))
            if now - told >= OWN_ROW_S:
                told = now
                self._tell_own({"ne107": judgement.full(), "counters": self.counters()})
            await asyncio.sleep(max(LOOK_AT_LEAST_S, self._clock.real(LOOK_S)))

    def _tell_own(self, fields: dict[str, Any]) -> None:
        t = self._clock.time_ns()
        self._outbox.append(self._own_topic, self._own_head, payload.document_tail(t, fields), t, 0)

    def counters(self) -> dict[str, int]:
        """Values since the start, one tag once; `published` alone counts a value as often as it was sent."""
        stats = self._outbox.stats
        return {
            "read": self.fleet.values_gone + sum(device.health.values_total for device in self.devices),
            "enqueued": stats.enqueued,
            "published": self._publisher.published,
            "acknowledged": stats.acknowledged,
            "dropped": stats.dropped,
        }

    async def _settle(self) -> dict[str, Any]:
        """Give free memory back; what is held then would grow only by a leak."""
        give_back()
        return held()

    async def _answer(self) -> dict[str, Any]:
        return self.status()

    def status(self) -> dict[str, Any]:
        """What `edge-agent status` shows of this agent, and what its metrics are made from."""
        self.health.look(self.devices, self.fleet.stalled())
        stats, publisher = self._outbox.stats, self._publisher
        return {
            "agent": self.site.agent.id,
            "version": version("shopfloor-edge-agent"),
            "stream": self._outbox.stream,
            "uptime_s": time.monotonic() - self._started,
            "ne107": self.health.judgement.full(),
            "broker_connected": publisher.connected,
            "ack_age_s": publisher.ack_age(),
            "counters": self.counters(),
            "entries": {
                "enqueued": stats.enqueued_entries,
                "published": publisher.messages,
                "acknowledged": stats.acknowledged_entries,
                "dropped": stats.dropped_entries,
                "resent": publisher.resent,
                "refused": publisher.refused,
            },
            "outbox": {
                "pending_values": stats.pending,
                "pending_entries": stats.pending_entries,
                "unconfirmed_entries": stats.unconfirmed_entries,
                "bytes": stats.bytes,
                "limit_bytes": self.site.outbox.max_bytes,
                "oldest_t": stats.oldest_t,
                "quarantined_values": stats.quarantined,
                "quarantined_bytes": stats.quarantined_bytes,
            },
            "process": held(),
            "devices": [agent_status(device) for device in self.devices],
        }


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    waiting = list(tasks)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
