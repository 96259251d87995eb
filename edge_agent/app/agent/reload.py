"""A changed configuration while the agent runs: read, judged, applied to what changed, or refused
as a whole."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, Protocol

from edge_agent.app.agent.device_registry import ReloadResult
from edge_agent.app.agent.self_health import SelfHealth
from edge_agent.config import load
from edge_agent.config.models import Site
from edge_agent.config.plugins import Plugins
from edge_agent.errors import ConfigError, FindingsError

log = logging.getLogger(__name__)

#: Somebody has asked and waits for these lines: they are not collapsed with those of the last time.
_TO_A_PERSON = {"always": True}

#: Sections that the running agent cannot change, and those that concern `edge-agent serve` alone.
AFTER_RESTART = ("agent", "mqtt", "outbox")
OF_SERVE = ("store", "register_")


class Changeable(Protocol):
    """The devices that a reload changes."""

    async def apply(self, site: Site) -> ReloadResult: ...

    async def confirm(self) -> list[str]:
        """Accept the devices as they answer now; those that had been doubted."""

    async def retry(self) -> list[str]: ...


class Reload:
    """One reload at a time, asked for by SIGHUP (`request`) or over the agent's socket (`ask`)."""

    def __init__(
        self,
        site: Site,
        source: Path | None,
        plugins: Plugins,
        devices: Changeable,
        health: SelfHealth,
    ) -> None:
        self._running = site
        self._last = site
        self._source = source
        self._plugins = plugins
        self._devices = devices
        self._health = health
        self._wanted = asyncio.Event()
        self._busy = asyncio.Lock()

    def request(self) -> None:
        """Reload soon; the outcome is logged and part of the agent's health."""
        self._wanted.set()

    async def run(self) -> None:
        """Serve `request` until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._reload(None)
            except FindingsError as error:
                log.warning("reload-refused findings=%d", len(error.findings), extra=_TO_A_PERSON)

    async def ask(self, config: str | None = None) -> dict[str, Any]:
        """Reload now and say what changed. Raises FindingsError with everything that is wrong with
        the file."""
        return await self._reload(None if config is None else Path(config))

    async def _reload(self, path: Path | None) -> dict[str, Any]:
        async with self._busy:
            source = path or self._source
            if source is None:
                raise ConfigError.one(
                    "no-source", "不知道配置文件在哪里。", "the configuration's file is not known."
                )
            try:
                # In a thread: reading a hundred devices takes longer than a poll may be late.
                site = await asyncio.to_thread(load, source, self._plugins)
                outcome = await self._apply(site)
            except FindingsError as error:
                self._refused(error)
                raise
            self._source = source
            return outcome

    def _refused(self, error: FindingsError) -> None:
        first = error.findings[0]
        self._health.refused, self._health.refused_zh = (
            f"{first.where} {first.en}",
            f"{first.where} {first.zh}",
        )
        for finding in error.findings:
            log.error(
                "reload-finding code=%s where=%s text=%r",
                finding.code,
                finding.where,
                finding.en,
                extra=_TO_A_PERSON,
            )

    async def _apply(self, site: Site) -> dict[str, Any]:
        change = await self._devices.apply(site)
        change.confirmed.extend(await self._devices.confirm())
        retried = await self._devices.retry()
        restart = _different(self._running, site, AFTER_RESTART)
        serve = _different(self._last, site, OF_SERVE)
        self._last = site
        self._health.refused, self._health.restart = "", tuple(restart)
        outcome = change.to_json() | {"restart": restart, "restart_serve": serve}
        if retried := [key for key in retried if key not in change.reopened]:
            outcome["retried"] = retried
        changes = " ".join(f"{key}={value}" for key, value in outcome.items())
        log.info("reload-applied %s", changes, extra=_TO_A_PERSON)
        return outcome


def _different(before: Site, after: Site, sections: tuple[str, ...]) -> list[str]:
    return [name.rstrip("_") for name in sections if getattr(before, name) != getattr(after, name)]
