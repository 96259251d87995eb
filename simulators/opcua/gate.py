"""A TCP gate in front of a server: where connection faults happen, whatever the server behind it is
doing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast


class _Side(asyncio.Protocol):
    """One side of a forwarded connection: what arrives here leaves on the other side."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._gate.sides.add(self)
        if self.other is None:  # the client's side: read nothing until the server's side stands
            self.transport.pause_reading()
            self._gate.connect(self)

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.hold()

    def resume_writing(self) -> None:
        if self.other is not None and self._gate.flowing.is_set():
            self.other.flow()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.sides.discard(self)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def hold(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def flow(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()


class Gate:
    """Listens on the public port and forwards to `target`; can stall, drop and close."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.target = 0
        """Port of the server behind the gate, on loopback."""
        self.sides: set[_Side] = set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._server: asyncio.Server | None = None
        self._connecting: set[asyncio.Task[None]] = set()

    @property
    def listening(self) -> bool:
        """Whether the port is open."""
        return self._server is not None

    async def open(self) -> None:
        """Listen; port 0 becomes the port that was free."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Side(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Close the port and every connection; may be called twice."""
        self.drop()
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def stall(self, stalled: bool) -> None:
        """Half-open: connections stay, new ones are accepted, not a byte moves in either
        direction."""
        if stalled == (not self.flowing.is_set()):
            return
        if stalled:
            self.flowing.clear()
        else:
            self.flowing.set()
        for side in self.sides:
            if stalled:
                side.hold()
            elif side.other is not None:
                side.flow()

    def drop(self) -> None:
        """Abort every connection."""
        for side in list(self.sides):
            if side.transport is not None:
                side.transport.abort()

    def connect(self, client: _Side) -> None:
        """Begin to connect a new client to the server behind."""
        task = asyncio.get_running_loop().create_task(self._connect(client), name="gate-connect")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, client: _Side) -> None:
        await self.flowing.wait()
        server = _Side(self)
        server.other = client
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: server, "127.0.0.1", self.target
            )
        except OSError:
            with contextlib.suppress(AttributeError):
                client.transport.abort()  # type: ignore[union-attr]
            return
        client.other = server
        if client.transport is None or client.transport.is_closing():
            server.transport.close()  # type: ignore[union-attr]
        else:
            client.flow()
