"""The doors through which others ask the agent: a Unix socket, and the loopback address if one is configured."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from edge_agent.app.agent.self_health import SelfHealth
from edge_agent.app.status.ask import agent_door
from edge_agent.config.models import Site
from edge_agent.ingest import api
from edge_agent.reasons import words_of

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def answering(
    site: Site, status: Callable[[], Awaitable[dict[str, Any]]], others: Mapping[str, api.Operation], health: SelfHealth
) -> AsyncIterator[None]:
    """Answer while the block runs. Raises FindingsError when another agent answers at the socket."""
    async with contextlib.AsyncExitStack() as doors:
        known = {"status": status, **others}
        await doors.enter_async_context(api.serving(agent_door(site), known, part="run", group=site.agent.group))
        if site.agent.listen is not None:
            from edge_agent.app.status.loopback import pages, serving

            try:
                await doors.enter_async_context(serving(site.agent.listen, pages(status, "agent")))
            except OSError as error:
                # The data matters more than the figures about it: say so, and work.
                zh, en = words_of(error)
                health.listen, health.listen_zh = f"{site.agent.listen}: {en}", f"{site.agent.listen}：{zh}"
                log.error("listen-failed address=%s reason=%s", site.agent.listen, error)
        yield
