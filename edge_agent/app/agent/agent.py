"""`edge-agent run`: connections, polling, normalisation, outbox and publisher of one
configuration."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_agent.app.agent.control_socket import serve_control
from edge_agent.app.agent.delivery_counters import figures, sum_documents
from edge_agent.app.agent.device_factory import DeviceFactory
from edge_agent.app.agent.device_registry import DeviceRegistry
from edge_agent.app.agent.orphaned_outboxes import OrphanedOutboxes
from edge_agent.app.agent.outbox_shares import divided
from edge_agent.app.agent.own_rows import OwnRows
from edge_agent.app.agent.reload import Reload
from edge_agent.app.agent.self_health import SelfHealth
from edge_agent.app.status.ask import agent_status, save_final_status
from edge_agent.app.values.current import current_values, tag_names
from edge_agent.app.values.names import selected
from edge_agent.clock import Clock
from edge_agent.config.models import Site
from edge_agent.config.plugins import Plugins, plugins_or_installed
from edge_agent.control.server import Operation
from edge_agent.health import watchdog
from edge_agent.outbox import Outbox
from edge_agent.outbox.folders import bytes_in, learned_folder
from edge_agent.polling.device import PolledDevice
from edge_agent.polling.poll_timer import PollTimer
from edge_agent.process import own_version, process_usage, release_free_memory, state_folder
from edge_agent.publish import Publisher
from edge_agent.sdk import within
from edge_agent.tasks import cancel_and_wait
from edge_agent.topics import Topics

log = logging.getLogger(__name__)

#: A stopping agent is gone within 5 s: so long it waits for what it holds to be acknowledged; the
#: rest stays in the outbox. Saying goodbye to the broker takes at most one second more, and the
#: disk has what is left.
STOP_LIMIT_S = 4.5
DRAIN_LIMIT_S = 2.5
CLOSE_AT_LEAST_S = 0.5

#: How often staleness and the agent's own health are looked at: seconds of its clock, and the
#: shortest real pause.
LOOK_S = 1.0
LOOK_AT_LEAST_S = 0.1
#: A look that comes so many seconds late says that the whole process stood still: silence is then
#: no device's fault.
PAUSED_S = 2.0

#: Health rows written, and devices looked at, in one go: a thousand at once would hold up the
#: values of that moment.
DEVICES_AT_ONCE = 20


class EdgeAgent:
    """All parts of one agent. `run` works until `stop` is set, then drains and closes."""

    def __init__(
        self,
        site: Site,
        clock: Clock,
        plugins: Plugins | None = None,
        source: Path | None = None,
    ) -> None:
        """`source`: the file `site` was loaded from, which a reload reads again."""
        self.site = site
        self._clock = clock
        self._plugins = plugins_or_installed(plugins)
        topics = Topics(site.mqtt.topic_prefix, site.agent.enterprise, site.agent.site)
        self._former = OrphanedOutboxes(site, topics, clock)
        self._outbox = Outbox(
            site.outbox.path,
            agent=site.agent.id,
            max_bytes=self._room(),
            fsync_ms=site.outbox.fsync_ms,
        )
        self._publisher = Publisher(site.mqtt, self._outbox, topics, site.agent.id, clock)
        self._publisher.other_streams = self._former.pending_from
        self._publisher.backlog = self._backlog
        workshop = DeviceFactory(
            site.agent, topics, self._outbox, clock, learned_folder(site.outbox.path)
        )
        metronome = PollTimer(self._publisher.flush_now)
        self.fleet = DeviceRegistry(
            site, workshop, self._plugins, clock, self._publisher, metronome
        )
        self.health = SelfHealth(self._outbox, self._publisher, clock, self.fleet.standstill)
        self._own = OwnRows(site.agent, topics, self._outbox, clock)
        # at once: a kill would take the knowledge of the hole with it
        self._outbox.on_dropped = self._publish_gap_records
        self._reload = Reload(site, source, self._plugins, self.fleet, self.health)
        self._started = time.monotonic()

    def _room(self) -> int:
        """Bytes that the outbox may hold at first."""
        most = self.site.outbox.max_bytes
        closed = self._former.closed
        return divided(most, bytes_in(self.site.outbox.path), {}, closed)[0] if closed else most

    @property
    def devices(self) -> list[PolledDevice]:
        return self.fleet.devices

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. What could not be sent stays in the outbox for the next
        start."""
        log.info("agent-start agent=%s version=%s", self.site.agent.id, own_version())
        log.info("agent-reads devices=%d connections=%d", len(self.devices), self.fleet.connections)
        ends = time.monotonic() + STOP_LIMIT_S
        try:
            async with self._serve_control(), asyncio.TaskGroup() as group:
                publishers = [
                    group.create_task(self._publisher.run(), name="publisher"),
                    group.create_task(self._former.run(), name="leftovers"),
                ]
                self.fleet.start(group)
                keepers = [
                    group.create_task(self._write_health_periodically(), name="health"),
                    group.create_task(self._look(), name="look"),
                    group.create_task(self.fleet.standstill.run(), name="standstill"),
                    group.create_task(self._reload.run(), name="reload"),
                    group.create_task(watchdog.feed(self.fleet.stalled), name="watchdog"),
                ]
                watchdog.notify("READY=1")
                await stop.wait()
                watchdog.notify("STOPPING=1")
                ends = time.monotonic() + STOP_LIMIT_S
                await cancel_and_wait(keepers)
                leaving = self.fleet.cancel()
                self._write_health_rows(self.devices)
                await self._publisher.drain(DRAIN_LIMIT_S)
                await cancel_and_wait([*publishers, *leaving])
        finally:
            await self._outbox.close(max(CLOSE_AT_LEAST_S, ends - time.monotonic()))
            save_final_status(self.site, self.status())
            log.info("agent-stop agent=%s counters=%s", self.site.agent.id, self.counters())

    def _serve_control(self) -> contextlib.AbstractAsyncContextManager[None]:
        operations: dict[str, Operation] = {
            "reload": self._reload.ask,
            "settle": self._return_free_memory,
            "values": self._values,
            "keep_segments": self._keep_segments,
        }
        return serve_control(self.site, self._answer, operations, self.health)

    def request_reload(self) -> None:
        """SIGHUP: read the configuration again."""
        self._reload.request()

    async def _write_health_periodically(self) -> None:
        """Each device once in `agent.health` seconds, some at a time."""
        while True:
            goes = self._health_rounds()
            for number in range(goes):
                await within(self.site.agent.health / goes, self._clock)
                self._write_due_health_rows(self.devices[number::goes])

    def _health_rounds(self) -> int:
        """In how many goes all devices are served. Who is served is looked up each time: a reload
        may come between."""
        return max(1, -(-len(self.devices) // DEVICES_AT_ONCE))

    def _write_due_health_rows(self, devices: Sequence[PolledDevice]) -> None:
        t = self._clock.time_ns()
        for device in devices:
            device.write_health_row_if_due(t)
        self.fleet.learn_kinds(devices)
        self._publish_gap_records()

    def _write_health_rows(self, devices: Sequence[PolledDevice]) -> None:
        for device in devices:
            device.write_health_row()
        self.fleet.learn_kinds(devices)
        self._publish_gap_records()

    def _publish_gap_records(self) -> None:
        self._own.gaps([*self._outbox.gaps(), *self._former.gaps()])

    async def _look(self) -> None:
        """Staleness, gaps, and the agent's own health."""
        pause = max(LOOK_AT_LEAST_S, self._clock.real(LOOK_S))
        looked = time.monotonic()
        while True:
            late = time.monotonic() - looked - pause
            paused = late if late > PAUSED_S else 0.0
            devices = self.devices
            watched = [device for device in devices if device.watched]
            for first in range(0, len(watched), DEVICES_AT_ONCE):
                if devices is not self.devices:  # a reload came between
                    break
                for device in watched[first : first + DEVICES_AT_ONCE]:
                    device.watch(self._clock.monotonic(), self._clock.time_ns(), paused)
                await asyncio.sleep(0)
            self._publish_gap_records()
            self._share()
            self._own.health(self.health.look(self.devices, self.fleet.stalled()), self.counters)
            looked = time.monotonic()
            await asyncio.sleep(pause)

    def _share(self) -> None:
        """The bound is shared with the outboxes of former workers while there are any."""
        process_usage, closed, most = (
            self._former.bytes_by_outbox(),
            self._former.closed,
            self.site.outbox.max_bytes,
        )
        if not process_usage and not closed:
            if self._outbox.limit < most:
                self._outbox.resize(most)
            return
        own, others = divided(most, self._outbox.stats.bytes, process_usage, closed)
        self._outbox.resize(own)
        self._former.resize(others)

    def counters(self) -> dict[str, int]:
        """Values since the start, one tag once; `published` alone counts a value as often as it was
        sent."""
        found: dict[str, int] = self._figures()["counters"]
        return found

    def _figures(self) -> dict[str, Any]:
        read = self.fleet.values_gone + sum(device.health.values_total for device in self.devices)
        return sum_documents(
            [figures(self._outbox, self._publisher, read), *self._former.figures()]
        )

    def _backlog(self) -> tuple[int, int]:
        process_usage = [figures(self._outbox, self._publisher), *self._former.figures()]
        whole = sum_documents(process_usage)["outbox"]
        return whole["pending_values"], whole["pending_entries"]

    async def _return_free_memory(self) -> dict[str, Any]:
        """Give free memory back; what is held then would grow only by a leak."""
        release_free_memory()
        return process_usage()

    async def _keep_segments(self, seconds: float) -> dict[str, Any]:
        """For a backup: no file of the outboxes goes for so long; 0 ends it."""
        self._outbox.keep_segments(seconds)
        self._former.keep_segments(seconds)
        return {"state_folder": str(state_folder())}

    async def _values(self, names: Sequence[str] = (), *, raw: bool = False) -> dict[str, Any]:
        """The newest values of the tags that `names` mean. Raises FindingsError for a name that
        means none."""
        known = {
            device.config.id: tag_names(device.config, device.plugin)
            for device in self.fleet.readable()
        }
        tags = selected(names, dict.fromkeys(known, self.site.agent.id), known)
        return await current_values(
            self.site.agent.id, self.fleet.readable(tags), tags, self._clock, ask=raw
        )

    async def _answer(self) -> dict[str, Any]:
        return self.status()

    def status(self) -> dict[str, Any]:
        """What `edge-agent status` shows of this agent, and what its metrics are made from."""
        self.health.look(self.devices, self.fleet.stalled())
        pending_from = self._former.pending_from() | self._outbox.pending_from()
        document = {
            "agent": self.site.agent.id,
            "version": own_version(),
            "stream": self._outbox.stream,
            "streams": list(pending_from),
            "pending_from": pending_from,
            "uptime_s": time.monotonic() - self._started,
            "ne107": self.health.judgement.full(self.health.times.since),
            "broker_connected": self._publisher.connected,
            "ack_age_s": self._publisher.ack_age(),
            **self._figures(),
            "process": process_usage(),
            "devices": [agent_status(device) for device in self.devices],
        }
        document["outbox"]["limit_bytes"] = self.site.outbox.max_bytes
        return document
