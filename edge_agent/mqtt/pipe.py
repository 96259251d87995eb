"""What paho takes for its socket. The socket itself is ours: one `send` and one `recv` serve many
packets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

_CHUNK = 65_536


class Pipe:
    """paho reads what it is given and writes into a list. The lower half belongs to the event
    loop."""

    def __init__(self, sock: socket.socket, on_close: Callable[[], None]) -> None:
        self._sock = sock
        self._on_close = on_close
        self._out: list[bytes | bytearray | memoryview] = []
        self._in: bytes | bytearray = b""
        self._at = 0

    def recv(self, buffer_size: int) -> bytes:
        data = self._in[self._at : self._at + buffer_size]
        self._at += len(data)
        if not data:
            raise BlockingIOError
        return bytes(data)

    def send(self, buffer: bytes | bytearray) -> int:
        self._out.append(buffer)
        return len(buffer)

    def write(self, *parts: bytes) -> None:
        """What is not paho's: the parts of a packet."""
        self._out += parts

    def close(self) -> None:
        self._on_close()
        self._sock.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """The socket is non-blocking from the beginning."""

    def give(self, packet: bytes | bytearray) -> None:
        """The packet that paho reads next."""
        self._in = packet
        self._at = 0

    def receive(self) -> bytes | None:
        """What the broker sent; empty at its end, None when there is nothing now. Raises
        OSError."""
        try:
            data = self._sock.recv(_CHUNK)
            # TLS gives one record at a time; what it has already decrypted would never wake the
            # loop again.
            while isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
                data += self._sock.recv(_CHUNK)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        return data

    def flush(self) -> bool:
        """Send what was written; whether some of it is left. Raises OSError."""
        if not self._out:
            return False
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = 0
        self._out = [memoryview(data)[sent:]] if sent < len(data) else []
        return bool(self._out)
