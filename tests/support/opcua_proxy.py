"""A TCP proxy in front of an OPC UA server that delays, swallows or alters what the server says."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable

Alter = Callable[[int, bytes], bytes]
"""(number of the server's chunk on this connection, the chunk) -> what the client gets."""


_Writers = set[asyncio.StreamWriter]


class Proxy:
    """Where it listens, and what it does to the server's chunks; both may change while it runs."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.delay = 0.0
        self.alter: Alter = lambda _, chunk: chunk
        self._target = target
        self._open: _Writers = set()

    @property
    def endpoint(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/test"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection."""
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._target)
        both = {writer, back_writer}
        self._open |= both
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, back_writer, both), name="proxy-up")
                group.create_task(self._back(back_reader, writer, both), name="proxy-down")
        finally:
            for one in both:
                one.close()
            self._open -= both

    async def _back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, both: _Writers
    ) -> None:
        number = 0
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(8)
                chunk = head + await reader.readexactly(struct.unpack_from("<I", head, 4)[0] - 8)
                if self.delay:
                    await asyncio.sleep(self.delay)  # the latency under test
                writer.write(self.alter(number, chunk))
                await writer.drain()
                number += 1
        for one in both:
            one.close()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._open:
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, both: _Writers) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    for one in both:
        one.close()


@contextlib.asynccontextmanager
async def proxy(target: int) -> AsyncIterator[Proxy]:
    """A proxy to a port of 127.0.0.1, closed with all its connections at the end."""
    made = Proxy(target)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.cut()
        while made._open:
            # poll interval: until both directions of every connection have ended
            await asyncio.sleep(0.01)
