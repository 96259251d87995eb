"""A TCP relay before an OPC UA server that notes which services a client asks for, and how many
nodes in each."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import Counter
from collections.abc import AsyncIterator

from asyncua.ua.object_ids import ObjectIds

#: Encoding id -> name of the request.
_NAMES = {
    value: name.removesuffix("Request_Encoding_DefaultBinary")
    for name, value in vars(ObjectIds).items()
    if name.endswith("Request_Encoding_DefaultBinary")
}

#: All that looking needs: none of these changes anything in a machine.
READING = frozenset(
    {
        "GetEndpoints",
        "CreateSession",
        "ActivateSession",
        "CloseSession",
        "CloseSecureChannel",
        "Read",
        "Browse",
        "BrowseNext",
    }
)


class Relay:
    """Where it listens, and what passed."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.services: Counter[str] = Counter()
        self.largest = 0
        """Bytes of the largest answer."""
        self._target = target
        self.open: set[asyncio.Task[None]] = set()
        """The connections that have not ended."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self.open.add(task)
        task.add_done_callback(self.open.discard)
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._target)
        ends = (writer, back_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    self._copy(reader, back_writer, ends, asked=True), name="relay-up"
                )
                group.create_task(
                    self._copy(back_reader, writer, ends, asked=False), name="relay-down"
                )
        finally:
            for end in ends:
                end.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ends: tuple[asyncio.StreamWriter, ...],
        *, asked: bool,
    ) -> None:  # fmt: skip
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(8)
                chunk = head + await reader.readexactly(struct.unpack_from("<I", head, 4)[0] - 8)
                if asked and chunk[:3] in (b"MSG", b"CLO"):
                    self.services[_service(chunk)] += 1
                elif not asked:
                    self.largest = max(self.largest, len(chunk))
                writer.write(chunk)
                await writer.drain()
        for end in ends:
            end.close()


def _service(chunk: bytes) -> str:
    """The service of a request in a chunk without security; its type is a four-byte node id."""
    if chunk[24] != 1:
        return f"type {chunk[24]}"
    (number,) = struct.unpack_from("<H", chunk, 26)
    return _NAMES.get(number, f"i={number}")


@contextlib.asynccontextmanager
async def relay(target: int) -> AsyncIterator[Relay]:
    """A relay to a port of 127.0.0.1."""
    made = Relay(target)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        while made.open:
            # poll interval: until both directions of every connection have ended
            await asyncio.sleep(0.01)
        await server.wait_closed()
