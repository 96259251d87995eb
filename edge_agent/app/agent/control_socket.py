"""How others ask the agent: its control socket, and the loopback address if one is configured."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from edge_agent.app.agent.self_health import SelfHealth
from edge_agent.app.status.ask import agent_socket
from edge_agent.config.models import Site
from edge_agent.control import server
from edge_agent.reasons import words_of

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def serve_control(
    site: Site,
    status: Callable[[], Awaitable[dict[str, Any]]],
    others: Mapping[str, server.Operation],
    health: SelfHealth,
) -> AsyncIterator[None]:
    """Answer while the block runs. Raises FindingsError when another agent answers at the
    socket."""
    async with contextlib.AsyncExitStack() as stack:
        known = {"status": status, **others}
        await stack.enter_async_context(
            server.serve_socket(agent_socket(site), known, part="run", group=site.agent.group)
        )
        if site.agent.listen is not None:
            from edge_agent.control.http import pages, serve_pages

            try:
                await stack.enter_async_context(
                    serve_pages(site.agent.listen, pages(status, "agent"))
                )
            except OSError as error:
                # The data matters more than the figures about it: say so, and work.
                zh, en = words_of(error)
                health.listen, health.listen_zh = (
                    f"{site.agent.listen}: {en}",
                    f"{site.agent.listen}：{zh}",
                )
                log.error("listen-failed address=%s reason=%s", site.agent.listen, error)
        yield
