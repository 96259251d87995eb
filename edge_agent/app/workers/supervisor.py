"""`edge-agent run` with `workers: N`: a small parent that reads no device, and N processes that do.

It alone speaks for the agent: status, pages, retained state with its last will, the service manager, reload. It keeps
the workers alive, shares the outbox's bound out among them, and delivers what former workers, or a former single
process, left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_agent.app.agent.agent import CLOSE_AT_LEAST_S, DRAIN_LIMIT_S, LOOK_AT_LEAST_S, LOOK_S, STOP_LIMIT_S
from edge_agent.app.agent.doors import answering
from edge_agent.app.agent.leftovers import Leftovers
from edge_agent.app.agent.own_rows import OwnRows
from edge_agent.app.agent.reload import Reload
from edge_agent.app.agent.self_health import SelfHealth
from edge_agent.app.agent.whole import added, figures, processes, together
from edge_agent.app.service import end
from edge_agent.app.status.ask import leave_last_words
from edge_agent.app.workers.crew import Crew
from edge_agent.clock import Clock
from edge_agent.config.models import Site
from edge_agent.config.plugins import Plugins, plugins_or_installed
from edge_agent.health import watchdog
from edge_agent.health.agent import Facts
from edge_agent.outbox import Outbox
from edge_agent.outbox.folders import bytes_in, folder_of
from edge_agent.process import held, own_version
from edge_agent.publish import Publisher
from edge_agent.sdk import within
from edge_agent.topics import Topics

log = logging.getLogger(__name__)

#: How often the outbox's bound is divided anew, real seconds.
SHARE_S = 5.0


class Supervisor:
    """The agent as several processes. `run` works until `stop` is set, then ends the workers and itself in order."""

    def __init__(
        self,
        site: Site,
        clock: Clock,
        plugins: Plugins | None = None,
        source: Path | None = None,
        *,
        level: str = "INFO",
    ) -> None:
        """`source`: the file `site` was loaded from, which a reload reads again. `level`: of the workers' logs."""
        self.site = site
        self._clock = clock
        known = plugins_or_installed(plugins)
        topics = Topics(site.mqtt.topic_prefix, site.agent.enterprise, site.agent.site)
        workers = range(1, site.agent.workers + 1)
        self._former = Leftovers(site, topics, clock, present=workers)
        held = {worker: bytes_in(folder_of(site.outbox.path, worker)) for worker in (0, *workers)}
        self.crew = Crew(site, known, held, self._former.closed, level)
        self._outbox = Outbox(
            site.outbox.path, agent=site.agent.id, max_bytes=self.crew.own_limit, fsync_ms=site.outbox.fsync_ms
        )
        self._publisher = Publisher(site.mqtt, self._outbox, topics, site.agent.id, clock)
        self._publisher.other_streams = self._other_streams
        self._publisher.backlog = self._backlog
        self.health = SelfHealth(self._outbox, self._publisher, clock)
        self._own = OwnRows(site.agent, topics, self._outbox, clock)
        self._reload = Reload(site, source, known, self.crew, self.health)
        self._started = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. What could not be sent stays in the outboxes for the next start."""
        agent = self.site.agent
        log.info("agent-start agent=%s version=%s workers=%d", agent.id, own_version(), agent.workers)
        ends = time.monotonic() + STOP_LIMIT_S
        try:
            async with self._answering(), asyncio.TaskGroup() as group:
                workers = group.create_task(self.crew.run(), name="workers")
                sending = [
                    group.create_task(self._publisher.run(), name="publisher"),
                    group.create_task(self._former.run(), name="leftovers"),
                ]
                keepers = [
                    group.create_task(self._tell_gaps(), name="gaps"),
                    group.create_task(self._look(), name="look"),
                    group.create_task(self._share(), name="share"),
                    group.create_task(self._reload.run(), name="reload"),
                    group.create_task(watchdog.feed(self.crew.stalled), name="watchdog"),
                ]
                watchdog.notify("READY=1")
                await stop.wait()
                watchdog.notify("STOPPING=1")
                ends = time.monotonic() + STOP_LIMIT_S
                await end(keepers)
                self._own.gaps(self._gaps())
                await asyncio.gather(self._end_workers(workers), self._end_sending(sending))
        finally:
            await self._outbox.close(max(CLOSE_AT_LEAST_S, ends - time.monotonic()))
            leave_last_words(self.site, self._document(over=True))
            log.info("agent-stop agent=%s counters=%s", agent.id, self._counters())

    async def _end_workers(self, workers: asyncio.Task[None]) -> None:
        await self.crew.stop(STOP_LIMIT_S - CLOSE_AT_LEAST_S)
        await asyncio.wait([workers], timeout=CLOSE_AT_LEAST_S)  # they have said all, and are about to exit
        await end([workers])

    async def _end_sending(self, sending: list[asyncio.Task[None]]) -> None:
        await self._publisher.drain(DRAIN_LIMIT_S)
        await end(sending)

    def hang_up(self) -> None:
        """SIGHUP: read the configuration again."""
        self._reload.request()

    def _answering(self) -> contextlib.AbstractAsyncContextManager[None]:
        return answering(self.site, self.status, {"reload": self._reload.ask, "values": self.crew.values}, self.health)

    async def _tell_gaps(self) -> None:
        while True:
            await within(self.site.agent.health, self._clock)
            self._own.gaps(self._gaps())

    def _gaps(self) -> list[Any]:
        return [*self._outbox.gaps(), *self._former.gaps()]

    async def _look(self) -> None:
        while True:
            self._own.health(self.health.judge(self._facts()), self._counters)
            await asyncio.sleep(max(LOOK_AT_LEAST_S, self._clock.real(LOOK_S)))

    async def _share(self) -> None:
        while True:
            await asyncio.sleep(SHARE_S)
            others = {0: self._outbox.stats.bytes, **self._former.held()}
            limits = await self.crew.share(others, self._former.closed)
            self._outbox.resize(limits.get(0, self._outbox.limit))
            self._former.resize(limits)

    def _backlog(self) -> tuple[int, int]:
        whole = self._figures()["outbox"]
        return whole["pending_values"], whole["pending_entries"]

    def _other_streams(self) -> dict[str, int]:
        return self.crew.pending_from() | self._former.pending_from()

    def _facts(self) -> Facts:
        facts = together(self.health.facts([], self.crew.stalled()), self.crew.facts())
        return replace(
            facts,
            outbox_bytes=facts.outbox_bytes + self._former.closed + sum(self._former.held().values()),
            outbox_limit=self.site.outbox.max_bytes,
            workers_starting=self.crew.numbers("starting"),
            workers_down=self.crew.numbers("down"),
        )

    def _figures(self) -> dict[str, Any]:
        own = figures(self._outbox, self._publisher)
        return added([own, *self._former.figures(), *self.crew.figures()])

    def _counters(self) -> dict[str, int]:
        found: dict[str, int] = self._figures()["counters"]
        return found

    async def status(self) -> dict[str, Any]:
        """What `edge-agent status` shows of this agent: the document of a single process, of all processes together."""
        await self.crew.refresh()
        return self._document()

    def _document(self, *, over: bool = False) -> dict[str, Any]:
        whole = self._figures()
        whole["outbox"]["limit_bytes"] = self.site.outbox.max_bytes
        pending_from = self._other_streams() | self._outbox.pending_from()
        return {
            "agent": self.site.agent.id,
            "version": own_version(),
            "stream": self._outbox.stream,
            "streams": list(pending_from),
            "pending_from": pending_from,
            "uptime_s": time.monotonic() - self._started,
            "ne107": self.health.judge(self._facts()).full(),
            "broker_connected": self._publisher.connected and self.crew.connected,
            "ack_age_s": self.crew.ack_age(),
            **whole,
            "process": processes([held(), *self.crew.processes()]),
            "devices": self.crew.rows(over=over),
            "workers": self.crew.workers(),
        }
