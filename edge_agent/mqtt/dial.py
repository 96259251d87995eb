"""Name, TCP connection and TLS handshake: what blocks, in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading

from edge_agent.mqtt.trouble import HandshakeError


def dial(host: str, port: int, context: ssl.SSLContext | None, limit: float) -> socket.socket:
    """A connected, non-blocking socket; `limit` seconds for each step. Raises OSError
    (HandshakeError)."""
    sock = socket.create_connection((host, port), limit)
    try:
        # a burst is one `send`: nothing to wait for
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            sock = _handshaken(sock, context, host)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _handshaken(sock: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(sock, server_hostname=host)
    except ssl.SSLError:
        raise
    except ConnectionError as error:
        raise HandshakeError(*error.args) from error


async def dial_async(
    host: str, port: int, context: ssl.SSLContext | None, limit: float
) -> socket.socket:
    """`dial` for the event loop. When nobody waits for it any more, the thread ends by itself and
    closes the socket.

    An executor would make the end of the program wait for a name server that does not answer.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[socket.socket] = loop.create_future()

    def deliver(result: socket.socket | Exception) -> None:
        if isinstance(result, Exception):
            if not done.done():
                done.set_exception(result)
        elif done.done():
            result.close()
        else:
            done.set_result(result)

    def work() -> None:
        result: socket.socket | Exception
        try:
            result = dial(host, port, context, limit)
        except Exception as error:  # noqa: BLE001 (carried to the one who waits)
            result = error
        try:
            loop.call_soon_threadsafe(deliver, result)
        except RuntimeError:  # the loop is closed
            if isinstance(result, socket.socket):
                result.close()

    threading.Thread(target=work, name="mqtt-connect", daemon=True).start()
    try:
        async with asyncio.timeout(2 * limit):
            return await done
    except (asyncio.CancelledError, TimeoutError):
        if done.done() and not done.cancelled() and done.exception() is None:
            done.result().close()  # it came in the very turn in which the waiting was cancelled
        raise
