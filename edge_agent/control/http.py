"""A few pages over HTTP/1.1 for who is on this machine: `/metrics` for Prometheus, `/healthz` for
supervisors.

GET only, nothing is read but the request's head, one request a connection, everything bounded in
size and time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson

from edge_agent.control.prometheus import agent_metrics, serve_metrics
from edge_agent.health.ne107 import Health
from edge_agent.tasks import cancel_and_wait

log = logging.getLogger(__name__)

#: Bytes of a request's head, seconds for a whole exchange, and exchanges at once.
MOST_BYTES: Final = 8192
MOST_SECONDS: Final = 5.0
MOST_EXCHANGES: Final = 16

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
JSON: Final = "application/json"


Reply = tuple[HTTPStatus, str, bytes]
"""Status, content type, body."""
Page = Callable[[], Awaitable[Reply]]
Answer = Callable[[], Awaitable[dict[str, Any]]]


def pages(status: Answer, part: str) -> dict[str, Page]:
    """The pages of a part (`agent` or `serve`) whose status document `status` gives."""
    exposed = agent_metrics if part == "agent" else serve_metrics

    async def metrics() -> Reply:
        return HTTPStatus.OK, TEXT, exposed(await status()).encode()

    async def healthz() -> Reply:
        judgement = (await status())["ne107"]
        fine = judgement["number"] != Health.FAILURE
        body = orjson.dumps({"status": "ok" if fine else "failure", "ne107": judgement})
        return (HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE), JSON, body

    return {"/metrics": metrics, "/healthz": healthz}


@contextlib.asynccontextmanager
async def serve_pages(address: str, known: Mapping[str, Page]) -> AsyncIterator[None]:
    """Answer on `host:port` while the block runs. Raises OSError when the address cannot be
    used."""
    exchanges: set[asyncio.Task[Any]] = set()

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(exchanges) >= MOST_EXCHANGES:
            writer.close()
            return
        exchanges.add(task)
        try:
            await _exchange(reader, writer, known)
        finally:
            exchanges.discard(task)

    host, _, port = address.rpartition(":")
    server = await asyncio.start_server(exchange, host.strip("[]"), int(port), limit=MOST_BYTES)
    log.info("listening address=%s pages=%s", address, ",".join(known))
    try:
        yield
    finally:
        server.close()
        await cancel_and_wait(exchanges)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, known: Mapping[str, Page]
) -> None:
    try:
        async with asyncio.timeout(MOST_SECONDS):
            writer.write(_bytes(*await _reply(reader, known)))
            await writer.drain()
    except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        # Too slow, gone, or we end: there is nobody left to tell.
        return
    finally:
        writer.close()


async def _reply(reader: asyncio.StreamReader, known: Mapping[str, Page]) -> tuple[Reply, bool]:
    """The reply, and whether its body is to be sent (not for HEAD)."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return _plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), True
    line = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(line) != 3 or not line[2].startswith("HTTP/1."):
        return _plain(HTTPStatus.BAD_REQUEST), True
    method, target, _ = line
    if method not in ("GET", "HEAD"):
        return _plain(HTTPStatus.METHOD_NOT_ALLOWED), True
    page = known.get(target.partition("?")[0])
    return (await page() if page is not None else _plain(HTTPStatus.NOT_FOUND)), method == "GET"


def _plain(status: HTTPStatus) -> Reply:
    return status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode()


def _bytes(reply: Reply, with_body: bool) -> bytes:
    status, kind, body = reply
    allow = "Allow: GET, HEAD\r\n" if status is HTTPStatus.METHOD_NOT_ALLOWED else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\nContent-Length: "
        f"{len(body)}\r\n"
        f"{allow}Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: "
        "close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")
