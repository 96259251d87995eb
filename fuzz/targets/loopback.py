"""The loopback pages: any head gets one well-formed reply, and only GET and HEAD of a known page
get it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Final

from edge_agent.control import http
from edge_agent.control.http import Reply
from fuzz.target import FuzzTarget, demand

_BODY: Final = b"up 1\n"
_END: Final = b"\r\n\r\n"
_SHORT: Final = 48


async def _page() -> Reply:
    return HTTPStatus.OK, http.TEXT, _BODY


_PAGES: Final = {"/metrics": _page, "/healthz": _page}


class _Writer:
    """Keeps what a reply wrote."""

    def __init__(self) -> None:
        self.said = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.said += data

    async def drain(self) -> None:
        """There is no socket to wait for."""

    def close(self) -> None:
        self.closed = True


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def request(data: bytes) -> None:
    """The first byte says in how many pieces the rest comes, and how long a head may be."""
    piece, sent = 1 + (data[0] if data else 0), data[1:]
    limit = _SHORT if piece % 2 else http.MOST_BYTES
    writer = _Writer()
    _loop().run_until_complete(_exchange(sent, piece, limit, writer))
    demand(writer.closed, "left open")
    expected = _reference(sent, limit)
    if expected is None:
        demand(not writer.said, "said", writer.said, "to half a request")
        return
    status, body = expected
    head, _, found = writer.said.partition(_END)
    lines = head.split(b"\r\n")
    demand(
        lines[0].split(b" ")[:2] == [b"HTTP/1.1", str(status).encode()],
        lines[0],
        ", expected",
        status,
    )
    length = next(line for line in lines if line.startswith(b"Content-Length: "))
    demand(all(b": " in line for line in lines[1:]) and b"Connection: close" in lines, "head", head)
    if body is not None:
        demand(found == body, "body", found, ", expected", body)
    demand(not found or int(length.partition(b" ")[2]) == len(found), length, "of", found)


async def _exchange(sent: bytes, piece: int, limit: int, writer: _Writer) -> None:
    reader = asyncio.StreamReader(limit=limit)
    task = asyncio.ensure_future(http._exchange(reader, writer, _PAGES))  # type: ignore[arg-type]
    for at in range(0, min(len(sent), 4 * piece), piece):
        reader.feed_data(sent[at : at + piece])
        await asyncio.sleep(0)
    reader.feed_data(sent[4 * piece :])
    reader.feed_eof()
    await task


def _reference(sent: bytes, limit: int) -> tuple[int, bytes | None] | None:
    """Status and body (None: any); None for no reply at all."""
    if sent.find(_END) > limit or (_END not in sent and len(sent) + 1 - len(_END) > limit):
        return 431, None
    if _END not in sent:
        return None
    parts = sent[: sent.index(b"\r\n")].decode("latin-1").split(" ")
    if len(parts) != 3 or parts[2][:7] != "HTTP/1.":
        return 400, None
    if parts[0] not in {"GET", "HEAD"}:
        return 405, None
    known = parts[1].split("?")[0] in _PAGES
    if parts[0] == "HEAD":
        return (200 if known else 404), b""
    return (200, _BODY) if known else (404, None)


def _seeds() -> Iterable[bytes]:
    for line in (
        b"GET /metrics HTTP/1.1",
        b"HEAD /healthz?x HTTP/1.0",
        b"POST /metrics HTTP/1.1",
        b"GET /x HTTP/1.1",
    ):
        yield b"\xff" + line + b"\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
        yield b"\x05" + line + _END
    yield b"\xffGET  /metrics HTTP/1.1" + _END
    yield b"\xff\x16\x03\x01\x02\x00\r\n\r\n"
    yield b"\x03GET /metrics HTTP/1.1\r\n"


TARGETS = (
    FuzzTarget(
        "loopback",
        request,
        _seeds,
        300_000,
        words=(b"GET ", b"HEAD ", b"/metrics", b"/healthz", b" HTTP/1.1", b"\r\n\r\n", b"?"),
        longest=160,
    ),
)
