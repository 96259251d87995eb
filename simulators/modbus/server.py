"""Modbus ports: TCP, TLS, RTU over TCP, UDP, and serial lines as pty pairs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import tty
from pathlib import Path
from typing import Final, cast

from simulators.device import SimulatedDevice
from simulators.modbus.answer import UnitBus
from simulators.modbus.frames import (
    AsciiServerFraming,
    MbapServerFraming,
    RtuServerFraming,
    ServerFraming,
)
from simulators.modbus.image import RegisterImage, modulus
from simulators.spec import FaultSpec, SpecError

_LOG = logging.getLogger(__name__)

_SERIAL: Final = ("rtu", "ascii")


def framing(transport: str) -> ServerFraming:
    """How requests are cut out of what arrives."""
    if transport in ("tcp", "tls", "udp"):
        return MbapServerFraming()
    return AsciiServerFraming() if transport == "ascii" else RtuServerFraming()


class _Stream(asyncio.Protocol):
    """One TCP connection: a buffer between the socket and the bus."""

    def __init__(self, port: ModbusPort) -> None:
        self._port = port
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._port.connections.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._port.connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        out = self._port.serve(self._buffer)
        if out and self._transport is not None:
            self._transport.write(out)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, port: ModbusPort) -> None:
        self._port = port
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        out = self._port.serve(bytearray(data))
        if out and self._transport is not None:
            self._transport.sendto(out, addr)


class ModbusPort:
    """One port or serial line with all its units."""

    def __init__(
        self,
        devices: list[SimulatedDevice],
        tls: ssl.SSLContext | None = None,
        certificate: Path | None = None,
    ) -> None:
        first = devices[0].spec
        self.devices = devices
        self.transport = str(first.options.get("transport") or "tcp")
        self.host = first.host
        self.port = first.port
        self.connections: set[asyncio.Transport] = set()
        self._framing = framing(self.transport)
        self._tls = tls
        self.certificate = certificate
        """What a TLS client must trust."""
        self._bus = UnitBus(_units(devices), gateway=self.transport not in _SERIAL)
        self._server: asyncio.Server | None = None
        self._datagrams: asyncio.DatagramTransport | None = None
        self._pty: tuple[int, int] | None = None
        self._path = ""
        self._buffer = bytearray()

    @property
    def requests(self) -> int:
        """Requests served since the start."""
        return self._bus.requests

    @property
    def endpoint(self) -> str:
        """Where a client finds it, once started."""
        if self.transport in _SERIAL:
            return f"{self.transport}://{self._path}"
        return f"{self.transport}://{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        if self.transport in _SERIAL:
            self._open_pty()
        else:
            await self._listen()

    async def stop(self) -> None:
        """Close everything; may be called twice."""
        await self._close_listener()
        if self._pty is not None:
            asyncio.get_running_loop().remove_reader(self._pty[0])
            for descriptor in self._pty:
                os.close(descriptor)
            self._pty = None

    async def refresh(self) -> None:
        """Bring the port into the state the faults of its devices want."""
        offline = any(device.board.active("offline") for device in self.devices)
        if self.transport in _SERIAL:
            return
        listening = self._server is not None or self._datagrams is not None
        if offline and listening:
            await self._close_listener()
        elif not offline and not listening:
            await self._listen()

    async def happen(self, device: SimulatedDevice, event: FaultSpec) -> None:
        """Carry out an event fault."""
        if event.kind in ("counter_reset", "rollover"):
            device.bend(event, modulus)
        elif event.kind == "server_restart" and self.transport not in _SERIAL:
            await self._close_listener()
            await self._listen()
        else:
            self._drop()

    def serve(self, buffer: bytearray) -> bytes:
        """Answers to all complete requests in the buffer, in order."""
        out = bytearray()
        for request in self._framing.split(buffer):
            answer = self._bus.answer(request.unit, request.pdu)
            if answer is not None:
                out += self._framing.wrap(request, answer)
        return bytes(out)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        if self.transport == "udp":
            self._datagrams, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=(self.host, self.port)
            )
            self.port = self._datagrams.get_extra_info("sockname")[1]
            return
        self._server = await loop.create_server(
            lambda: _Stream(self), self.host, self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close_listener(self) -> None:
        self._drop()
        if self._datagrams is not None:
            self._datagrams.close()
            self._datagrams = None
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def _drop(self) -> None:
        for connection in list(self.connections):
            connection.abort()

    def _open_pty(self) -> None:
        """A pty pair: the simulator keeps the master; clients open the slave by its path.

        The slave stays open here as well, so that a client that closes it does not hang the line
        up.
        """
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._pty, self._path = (master, slave), os.ttyname(slave)
        asyncio.get_running_loop().add_reader(master, self._serial_input, master)

    def _serial_input(self, master: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._buffer += os.read(master, 4096)
            out = self.serve(self._buffer)
            if out:
                # A reader that lets the line fill up loses the answer, as on a real line.
                os.write(master, out)
            if len(self._buffer) > 512:
                self._buffer.clear()


def _units(devices: list[SimulatedDevice]) -> dict[int, RegisterImage]:
    units: dict[int, RegisterImage] = {}
    for device in devices:
        unit = int(device.spec.options.get("unit", 1))
        if unit in units:
            raise SpecError(
                f"{device.spec.id}：同一总线上站号 {unit} 重复 / {device.spec.id}: unit {unit} "
                "twice on one bus"
            )
        units[unit] = RegisterImage(device)
    return units
