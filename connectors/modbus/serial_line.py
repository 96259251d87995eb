"""A serial port as a transport of the event loop: Linux ttys, USB adapters and ptys, by way of pyserial."""

from __future__ import annotations

import asyncio
import os
import termios
from typing import TYPE_CHECKING, Protocol

from connectors.modbus.endpoint import Endpoint

if TYPE_CHECKING:
    import serial


class Receiver(Protocol):
    """What a serial line calls."""

    def connection_made(self, transport: SerialLine) -> None:
        """The port is open."""

    def data_received(self, data: bytes) -> None:
        """Bytes came."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The port is gone, an unplugged adapter for one."""


class SerialLine:
    """An open port, locked against other programs. Requests are short, so a write never has to wait."""

    def __init__(self, endpoint: Endpoint, receiver: Receiver) -> None:
        """Open the port. Raises OSError or ValueError."""
        self._port = _open(endpoint)
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._descriptor: int = self._port.fileno()
        self._loop.add_reader(self._descriptor, self._read)
        receiver.connection_made(self)

    def write(self, data: bytes) -> None:
        """Send a frame; the receiver hears of a failure through `connection_lost`."""
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            self._lost(error)
            return
        if written != len(data):
            self._lost(OSError(f"the port took {written} of {len(data)} bytes"))

    def abort(self) -> None:
        """Close the port; may be called twice."""
        if self._port.is_open:
            self._loop.remove_reader(self._descriptor)
            self._port.close()

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 4096)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error)
            return
        if data:
            self._receiver.data_received(data)
        else:
            self._lost(OSError("the port was hung up"))

    def _lost(self, error: OSError) -> None:
        self.abort()
        self._receiver.connection_lost(error)


def _open(endpoint: Endpoint) -> serial.Serial:
    """The port by pyserial, whose SerialException is an OSError, but which lets termios.error through."""
    import serial

    try:
        return serial.Serial(
            endpoint.path,
            endpoint.baudrate,
            bytesize=endpoint.bytesize,
            # A pty has no parity bit, and the C library refuses one there as soon as nothing else is to be changed.
            parity="N" if os.path.realpath(endpoint.path).startswith("/dev/pts/") else endpoint.parity,
            stopbits=endpoint.stopbits,
            timeout=0,
            exclusive=True,
        )
    except termios.error as error:
        raise OSError(*error.args) from error
