"""`edge-agent serve`: ingest, store, metrics on schedule, and answers for other commands."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from edge_agent.app.backup_lease import BackupLease
from edge_agent.app.figures import served_facts
from edge_agent.app.figures.service import ProductionService
from edge_agent.app.forgetting import forgettable
from edge_agent.app.health_hours import keep_hours
from edge_agent.app.status import missing, overview
from edge_agent.app.status.recent_day import RecentDay
from edge_agent.app.status.recent_health import RecentHealth
from edge_agent.app.store_check import DailyStoreCheck
from edge_agent.app.values.source import operations as history_operations
from edge_agent.clock import Clock
from edge_agent.config.models import Site
from edge_agent.control import client, server, store_questions
from edge_agent.errors import PoisonError, StoreError
from edge_agent.health import watchdog
from edge_agent.health.ne107 import Health, HealthJudgement, Notice, NoticeTimes, judged
from edge_agent.ingest.quarantine import MessageQuarantine
from edge_agent.ingest.service import Ingest
from edge_agent.mqtt.trouble import tls_context
from edge_agent.process import process_usage, release_free_memory
from edge_agent.production.live_rates import LiveRates
from edge_agent.production.registers import keep
from edge_agent.production.schedule import ProductionFigures
from edge_agent.production.site_devices import SiteDevices
from edge_agent.stores import open_store
from edge_agent.stores.duckdb.snapshot import PausesCheckpoints, log_bytes
from edge_agent.stores.minutes import MINUTE_NS
from edge_agent.stores.registers import RegisterVersion
from edge_agent.tasks import cancel_and_wait
from edge_agent.topics import Topics
from edge_agent.words import command

log = logging.getLogger(__name__)

#: How often the metrics are computed: often while a plant is young, later each minute.
FIRST_S: Final = 5.0
LATER_S: Final = 60.0
YOUNG_S: Final = 600.0
#: Real seconds between two computations, however fast a demo's clock runs.
AT_LEAST_S: Final = 1.0

#: A message that waits so long for a store that is not said to be away: the service has stopped
#: working.
STALL_S: Final = 60.0
#: A message that waits so long for a store whose time-out has not passed yet: devices seem silent,
#: and are not.
SLOW_S: Final = 10.0

_DAY_S: Final = 86_400.0


class StoreService:
    """Everything behind the broker. `run` works until `stop` is set."""

    def __init__(self, site: Site, clock: Clock) -> None:
        # certificates that cannot be used are said at once: no retry mends them
        tls_context(site.mqtt)
        self._site = site
        self._clock = clock
        self._topics = Topics(site.mqtt.topic_prefix, site.agent.enterprise, site.agent.site)
        self._figures = LiveRates(site)
        self._store = open_store(site.store, site.agent.id, site.agents)
        self._day = RecentDay(self._store, clock, site.agent.health)
        self._quarantine = MessageQuarantine(site.store.quarantine)
        self._ingest = Ingest(
            site.mqtt,
            self._store,
            self._topics,
            self._quarantine,
            client_id=f"{site.mqtt.client_id or site.agent.id}-ingest",
            clock=clock,
            stored=self._day.take,
        )
        self._check: DailyStoreCheck | None = None
        self._backup: BackupLease | None = None
        if isinstance(self._store, PausesCheckpoints):
            store = self._store
            self._check = DailyStoreCheck(site.store.path, clock)
            self._backup = BackupLease(
                lambda: self._ingest.call(store.pause_checkpoints),
                lambda: self._ingest.call(store.resume_checkpoints),
                lambda: log_bytes(site.store.path),
            )
        self._notice_times = NoticeTimes()
        self._computing = asyncio.Lock()
        self._production: ProductionService | None = None
        if self._figures.register is not None:
            production = ProductionFigures(site, self._figures.register)
            self._production = ProductionService(
                production, self._store, self._ingest, self._topics, clock
            )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. What is not committed by then stays with the broker."""
        try:
            async with self._serve_control(), asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._ingest.run(), name="ingest"),
                    group.create_task(self._keep_computing(), name="metrics"),
                    group.create_task(
                        keep_hours(self._store, self._ingest, self._clock), name="health-hours"
                    ),
                    group.create_task(self._day.run(), name="recent-health"),
                    group.create_task(watchdog.feed(self._stalled), name="watchdog"),
                ]
                if self._check is not None and self._backup is not None:
                    tasks.append(group.create_task(self._check.run(), name="store-check"))
                    tasks.append(group.create_task(self._backup.run(), name="backup-lease"))
                if self._production is not None:
                    tasks.append(group.create_task(self._production.run(), name="production"))
                watchdog.notify("READY=1")
                await stop.wait()
                watchdog.notify("STOPPING=1")
                await cancel_and_wait(tasks)
        finally:
            self._store.close()
            log.info("serve-stop counters=%s", self._counters())

    @contextlib.asynccontextmanager
    async def _serve_control(self) -> AsyncIterator[None]:
        """How others ask: the control socket, and the loopback address if one is configured."""
        own: dict[str, server.Operation] = {
            "status": self._status,
            "metrics": self._metrics,
            "missing": self._missing,
            "replay": self._replay,
            "settle": self._return_free_memory,
            "forget": self._forget,
            "keep_register": self._keep_register,
            "names": self._names,
        }
        if self._backup is not None:
            own |= {
                "backup_begin": self._backup.begin,
                "backup_renew": self._renew_backup,
                "backup_end": self._backup.end,
            }
        if self._production is not None:
            own |= {
                "production": self._production.production,
                "production_metrics": self._production.newest,
            }
        async with contextlib.AsyncExitStack() as stack:
            path = client.socket_path(self._site.store.path)
            questions = store_questions.operations(self._store) | served_facts.operations(
                self._store
            )
            known = {
                name: self._while_store_lives(operation) for name, operation in questions.items()
            }
            known |= history_operations(self._store) | own
            await stack.enter_async_context(
                server.serve_socket(path, known, group=self._site.agent.group)
            )
            if self._site.store.listen is not None:
                from edge_agent.control.http import pages, serve_pages

                try:
                    await stack.enter_async_context(
                        serve_pages(self._site.store.listen, pages(self._exposed, "serve"))
                    )
                except OSError as error:
                    log.error("listen-failed address=%s reason=%s", self._site.store.listen, error)
            yield

    def _while_store_lives(self, operation: server.Operation) -> server.Operation:
        """What asks the store much, and is not begun while that does not answer: somebody waits."""

        @functools.wraps(operation)
        def asked(**arguments: Any) -> Any:
            self._store.ask_for_life()
            return operation(**arguments)

        return asked

    async def _keep_computing(self) -> None:
        started = self._clock.monotonic()
        await self._record_own_register()
        while self._figures.ready:
            young = self._clock.monotonic() - started < YOUNG_S
            await asyncio.sleep(max(AT_LEAST_S, self._clock.real(FIRST_S if young else LATER_S)))
            self._judgement()  # so that somebody who looks later sees since when
            try:
                await self._compute()
            except StoreError as error:
                log.warning("metrics-postponed reason=%s", error)
            except Exception:
                # reason: what the figures stumble over must never stop the data from being stored
                log.exception("metrics-failed")

    async def _compute(self) -> list[dict[str, Any]]:
        """Compute, keep in the store, publish retained."""
        now = self._clock.time_ns()
        async with self._computing:
            results = await asyncio.to_thread(self._figures.compute, self._store, now)
        for result in results:
            await self._ingest.call(self._store.put_metric, result["id"], now, result)
            self._ingest.publish(self._topics.metric(result["id"]), orjson.dumps(result))
        return results

    async def _metrics(self, *, fresh: bool = False) -> list[dict[str, Any]]:
        """The newest results; `fresh` computes them now."""
        if fresh and self._figures.ready:
            await asyncio.to_thread(self._store.ask_for_life)
            return await self._compute()
        results = await asyncio.to_thread(self._store.metrics)  # beside what is being written
        # those: `production_metrics`
        return [result for result in results if "period" not in result]

    async def _replay(self, ids: Sequence[str]) -> dict[str, Any]:
        """Entries of the quarantine into the store after all."""
        done = await self._ingest.replay(ids)
        self._day.read_again()
        return done

    def _look(self, plant: SiteDevices, now: int) -> dict[str, Any]:
        """Agents and devices as of now; in a thread of its own."""
        readings = self._store.readings(now)
        return {
            "agents": overview.agents(self._store, plant, self._ingest.agents.states(), readings),
            "devices": overview.devices(
                self._store, plant, now, self._day.health.now(now), readings
            ),
        }

    async def _status(self) -> dict[str, Any]:
        await self._day.is_known()
        return await self._status_of(
            await asyncio.to_thread(SiteDevices.of, self._site, self._store)
        )

    async def _status_of(self, plant: SiteDevices) -> dict[str, Any]:
        now = self._clock.time_ns()
        return {
            "t": now,
            **await asyncio.to_thread(self._look, plant, now),
            "was_aside": plant.unfollowed_names(self._store),
            "counters": self._counters(),
            "ne107": self._judgement().full(self._notice_times.since),
            "broker_connected": self._ingest.connected,
            "problem": self._ingest.problem,
            "lag_s": self._ingest.lag(),
            "store_check": None if self._check is None else self._check.found,
            "process": process_usage(),
        }

    async def _return_free_memory(self) -> dict[str, Any]:
        """Give caches back; what is held then would grow only by a leak."""
        await self._ingest.call(self._store.release_caches)
        release_free_memory()
        return process_usage()

    async def _renew_backup(self, lease: str) -> bool:
        return self._backup is not None and self._backup.renew(lease)

    async def _forget(self, written: str) -> dict[str, Any]:
        """End a listing."""
        entry = forgettable(
            written,
            SiteDevices.of(self._site, self._store),
            self._store.catalogue,
            self._ingest.agents.states(),
        )
        await self._ingest.call(self._store.forget, entry, self._clock.time_ns())
        return {"agent": entry[0], "device": entry[1], "tag": entry[2]}

    async def _keep_register(self, document: str, **version: Any) -> None:
        """Keep a version of the register that a command read."""
        await self._ingest.call(self._store.keep_register, RegisterVersion(**version), document)

    async def _record_own_register(self) -> None:
        """The register this service computes with is valid from the day on which it was first
        used."""
        register = self._figures.register
        zone = ZoneInfo(self._site.agent.timezone)
        if register is None:
            return
        try:
            notes = self._figures.notes
            now = self._clock.time_ns()
            kept = await self._ingest.call(keep, self._store, register, notes, now, zone)
        except (StoreError, PoisonError) as error:
            log.warning("register-not-kept reason=%s", error)
            return
        if kept is not None:
            log.info("register-kept version=%s valid_from=%d", kept.version[:16], kept.valid_from)

    def _names(self) -> dict[str, Any]:
        """What people are shown of the own agent's devices, where it is more than the id; and `was`
        that are not followed."""
        plant = SiteDevices.of(self._site, self._store)
        own = [key for key in plant.known if plant.keys.agent(key) == plant.keys.own]
        names = {plant.keys.device(key): plant.shown(key) for key in own}
        other = {device: shown for device, shown in names.items() if shown != device}
        return {
            "agent": plant.keys.own,
            "names": other,
            "was_aside": plant.unfollowed_names(self._store),
        }

    async def _missing(self, seconds: float = _DAY_S) -> dict[str, Any]:
        """What is missing of the last `seconds`, and why: of a day at the most, from a full minute
        on, from memory."""
        recent = self._day.health if seconds <= _DAY_S and await self._day.is_known() else None
        plant = await asyncio.to_thread(SiteDevices.of, self._site, self._store)
        return await asyncio.to_thread(self._missing_of, plant, seconds, recent)

    def _missing_of(
        self, plant: SiteDevices, seconds: float, recent: RecentHealth | None
    ) -> dict[str, Any]:
        end = self._clock.time_ns()
        start = end - int(seconds * 1e9)
        if recent is not None:
            start = start // MINUTE_NS * MINUTE_NS
        if recent is None:
            self._store.ask_for_life()
        row_s = self._site.agent.health
        process_usage = self._ingest.agents.pending_from()
        return missing.of_plant(self._store, plant, start, end, row_s, process_usage, recent)

    async def _exposed(self) -> dict[str, Any]:
        """For `/metrics`: the status, and what is missing of the last day; None until that has been
        read."""
        await self._day.is_known()
        plant = await asyncio.to_thread(SiteDevices.of, self._site, self._store)
        found = None
        if self._day.known:
            found = await asyncio.to_thread(self._missing_of, plant, _DAY_S, self._day.health)
        return await self._status_of(plant) | {"missing": found}

    def _stalled(self) -> list[str]:
        return ["ingest"] if self._ingest.lag() > STALL_S and not self._ingest.problem else []

    def _judgement(self) -> HealthJudgement:
        notices = []
        if self._stalled():
            zh, en = (
                "入库停住了，看门狗会重启本服务。",
                "Storing takes no step; the watchdog will restart the service.",
            )
            notices.append(Notice(Health.FAILURE, "ingest_stalled", zh, en))
        trouble = self._ingest.trouble
        lost = self._store.misplaced()
        if lost is not None:
            notices.append(Notice(Health.FAILURE, "store_misplaced", lost.zh, lost.en))
        elif trouble is not None:
            zh = f"消息服务器或数据库不可用，正在重试：{trouble.zh}"
            en = f"The broker or the store is away; it is tried again: {trouble.en}"
            notices.append(Notice(Health.MAINTENANCE_REQUIRED, "broker_or_store_away", zh, en))
        elif self._ingest.lag() > SLOW_S:
            zh = "数据库迟迟没有接受数据，数据留在消息服务器：请查看数据库是否卡住或过载。"
            en = (
                "The store takes long to accept data, which stay with the broker: see if it "
                "hangs or is overloaded."
            )
            notices.append(Notice(Health.MAINTENANCE_REQUIRED, "broker_or_store_away", zh, en))
        elif not self._ingest.connected:
            zh = "正在连接消息服务器。"
            en = "The connection to the broker is being made."
            notices.append(Notice(Health.CHECK_FUNCTION, "broker_connecting", zh, en))
        if self._figures.findings:
            look = command("register", "check", *self._register_files())
            zh = f"设备台账有误，指标暂不计算：请运行 {look}。"
            en = f"The equipment register is faulty and no metric is computed: run `{look}`."
            notices.append(Notice(Health.OFF_SPEC, "register_faulty", zh, en))
        damaged = None if self._check is None else self._check.notice()
        if damaged is not None:
            notices.append(damaged)
        if self._quarantine.filled:
            zh = f"有数据被隔离：请查看 {command('quarantine', 'list')}。"
            en = f"Data was set aside: see `{command('quarantine', 'list')}`."
            notices.append(Notice(Health.OFF_SPEC, "quarantined", zh, en))
        judgement = judged(notices)
        self._notice_times.note(judgement, self._clock.time_ns())
        return judgement

    def _register_files(self) -> list[object]:
        """The register's files as `register check` takes them."""
        files = self._site.register_
        return [
            files.equipment,
            *(["--processes", files.processes] if files.processes is not None else []),
        ]

    def _counters(self) -> dict[str, int]:
        counters = self._ingest.counters
        return {
            "stored": counters.stored,
            "duplicates_ignored": counters.duplicates_ignored,
            "quarantined": counters.quarantined,
        }
