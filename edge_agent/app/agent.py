"""`edge-agent run`: connections, polling, normalisation, outbox and publisher of one configuration."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

from edge_agent import payload
from edge_agent.app.births import birth
from edge_agent.app.status import agent_door, leave_last_words
from edge_agent.clock import Clock
from edge_agent.config.compile import plans, staleness, values_per_second
from edge_agent.config.models import DeviceCommon, Site
from edge_agent.config.plugins import Plugins, plugins_or_installed
from edge_agent.health import DeviceHealth, watchdog
from edge_agent.ingest import api
from edge_agent.model import Batch
from edge_agent.normalise import Normaliser
from edge_agent.normalise.state import StateMachine
from edge_agent.outbox import Outbox
from edge_agent.polling.device import PolledDevice
from edge_agent.polling.loop import ConnectionLoop
from edge_agent.publish import Publisher
from edge_agent.sdk import DevicePlan, Pollable, Sink, within
from edge_agent.topics import Topics

log = logging.getLogger(__name__)

#: How long a stopping agent waits for what it still holds to be acknowledged; the rest stays in the outbox.
DRAIN_LIMIT_S = 3.0


class EdgeAgent:
    """All parts of one agent. `run` works until `stop` is set, then drains and closes."""

    def __init__(self, site: Site, clock: Clock, plugins: Plugins | None = None) -> None:
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
        self._heads: dict[str, tuple[str, bytes]] = {}
        own = self._topics.device(site.agent.area, "_agent", site.agent.id)
        self._agent_head = self._head(own, site.agent.id)
        self.devices = [
            self._device(device, plan) for device, plan in zip(site.devices, plans(site, self._plugins), strict=True)
        ]
        self._loops = list(self._connection_loops())

    def _head(self, path: str, device: str) -> tuple[str, bytes]:
        return f"{path}/health", payload.head(device, self._outbox.stream)

    def _device(self, device: DeviceCommon, plan: DevicePlan) -> PolledDevice:
        agent, clock = self.site.agent, self._clock
        area = device.area or agent.area
        path = self._topics.device(area, device.line, device.id)
        self._heads[device.id] = self._head(path, device.id)
        own = frozenset(name for table in plan.tables for name in table.names)
        state = StateMachine.compile(device.state, plan.tables, own)
        normalisers = {table: Normaliser(table, state) for table in plan.tables}
        tables = [normaliser.table for normaliser in normalisers.values()]
        oldest = max((staleness(device, table.every) for table in tables), default=0.0)
        document = birth(device, tables, agent=agent.id, area=area, staleness=oldest, t=clock.time_ns())
        self._publisher.retain(f"{path}/birth", document)
        health = DeviceHealth(
            device.id,
            sum(map(len, tables)),
            values_per_second(tables),
            clock.monotonic(),
        )
        return PolledDevice(plan, normalisers, health, self._sender(path, device.id), self._tell)

    def _sender(self, path: str, device: str) -> Sink:
        append, topic = self._outbox.append, f"{path}/data"
        head = payload.head(device, self._outbox.stream)

        def send(batch: Batch) -> None:
            append(topic, head, payload.data_tail(batch), batch.t, len(batch.values))

        return send

    def _connection_loops(self) -> Iterable[ConnectionLoop]:
        """Devices with one connection share one loop."""
        shared: dict[tuple[str, str], list[PolledDevice]] = {}
        for device, polled in zip(self.site.devices, self.devices, strict=True):
            key = self._plugins[device.connector].connection_key(polled.plan.options)
            shared.setdefault((device.connector, key), []).append(polled)
        for (connector, key), members in shared.items():
            connection = self._plugins[connector].connect([member.plan for member in members], self._clock)
            for member in members:
                member.health.streaming = not isinstance(connection, Pollable)
            yield ConnectionLoop(key, connection, members, self._clock)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. What could not be sent stays in the outbox for the next start."""
        log.info("agent-start agent=%s version=%s", self.site.agent.id, version("shopfloor-edge-agent"))
        log.info("agent-reads devices=%d connections=%d", len(self.devices), len(self._loops))
        try:
            door = api.serving(agent_door(self.site), {"status": self._answer})
            async with door, asyncio.TaskGroup() as group:
                publisher = group.create_task(self._publisher.run(), name="publisher")
                readers = [group.create_task(loop.run(), name=f"connection {loop.key}") for loop in self._loops]
                readers.append(group.create_task(self._tell_health(), name="health"))
                readers.append(group.create_task(watchdog.feed(self._stalled), name="watchdog"))
                watchdog.notify("READY=1")
                await stop.wait()
                watchdog.notify("STOPPING=1")
                await _cancel(readers)
                self._tell_all()
                await self._publisher.drain(DRAIN_LIMIT_S)
                await _cancel([publisher])
        finally:
            await self._outbox.close(DRAIN_LIMIT_S)
            leave_last_words(self.site, self.status())
            log.info("agent-stop agent=%s counters=%s", self.site.agent.id, self.counters())

    async def _tell_health(self) -> None:
        while True:
            await within(self.site.agent.health, self._clock)
            self._tell_all()

    def _tell_all(self) -> None:
        for device in self.devices:
            self._tell(device)
        for gap in self._outbox.gaps():
            self._tell_agent({"gap": gap.to_json()})

    def _tell(self, device: PolledDevice) -> None:
        topic, head = self._heads[device.plan.id]
        t = self._clock.time_ns()
        row = device.health.row(self._clock.monotonic())
        self._outbox.append(topic, head, payload.document_tail(t, row), t, 0)

    def _tell_agent(self, fields: dict[str, Any]) -> None:
        topic, head = self._agent_head
        t = self._clock.time_ns()
        self._outbox.append(topic, head, payload.document_tail(t, fields), t, 0)

    def counters(self) -> dict[str, int]:
        """Values (one tag once) since the start."""
        stats = self._outbox.stats
        return {
            "read": sum(device.health.values_total for device in self.devices),
            "enqueued": stats.enqueued,
            "published": self._publisher.published,
            "acknowledged": self._publisher.acknowledged,
            "dropped": stats.dropped,
        }

    def _stalled(self) -> list[str]:
        return [loop.key for loop in self._loops if loop.stalled()]

    async def _answer(self) -> dict[str, Any]:
        return self.status()

    def status(self) -> dict[str, Any]:
        """What `edge-agent status` shows of this agent."""
        return {
            "agent": self.site.agent.id,
            "stream": self._outbox.stream,
            "broker_connected": self._publisher.connected,
            "ack_age_s": self._publisher.ack_age(),
            "counters": self.counters(),
            "devices": [
                {
                    "id": device.plan.id,
                    "state": device.health.state,
                    "reason": device.health.reason,
                    "detail": device.health.detail,
                    "last_good_t": device.health.last_good_t,
                    "values": device.health.values_total,
                    "overruns": device.health.overruns_total,
                }
                for device in self.devices
            ],
        }


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
