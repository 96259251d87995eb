"""The seam to asyncua's transport: our own request bytes out, the response's bytes in.

asyncua has no official hook for this, so the attributes used here are checked once per connection;
where one is missing (another version), the connectors take the stock path and say so once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import struct
from collections.abc import Sequence
from typing import Any, Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UASocketProtocol
from asyncua.common.utils import Buffer
from asyncua.ua.object_ids import ObjectIds

from connectors.opcua import chunk
from connectors.opcua.binary import DecodeError, node_id
from connectors.opcua.messages import ServiceFault, refusal
from edge_agent.sdk import Deadline

log = logging.getLogger(__name__)

STOCK_ONLY: Final = "EDGE_AGENT_STOCK"
"""Environment variable: when set (not empty), the protocol libraries' own codecs are used
throughout."""

_MAX_CHUNK: Final = 4 << 20
_MAX_MESSAGE: Final = 64 << 20
_MAX_CHUNKS: Final = 4096
_HEADER = struct.Struct("<4xI")


class _Body(asyncio.Future[Any]):
    """The body of a response that is ours to decode: bytes, or asyncua's buffer of them."""


@functools.cache
def _answer_to(request: str) -> str:
    """The type id of what answers a request, given the name of its class."""
    response = request.removesuffix("Request") + "Response"
    return f"i={getattr(ObjectIds, response + '_Encoding_DefaultBinary')}"


class BoundedProtocol(UASocketProtocol):
    """asyncua's protocol with the frames cut here, so that a hostile length field cannot make it
    buffer or loop, and with answers of another service than the one asked refused, which asyncua
    would decode as if they were right."""

    def __init__(self, *args: Any, **keys: Any) -> None:
        super().__init__(*args, **keys)
        self._partial = bytearray()
        self._ours = _has_state(self)
        self._refused: ServiceFault | None = None

    def data_received(self, data: bytes) -> None:
        """Hand on whole chunks; drop the connection when one announces an impossible size."""
        kept = self._partial
        if kept:
            kept += data
        buffer = kept or data
        start = 0
        while len(buffer) - start >= _HEADER.size:
            (size,) = _HEADER.unpack_from(buffer, start)
            if not _HEADER.size <= size <= _MAX_CHUNK:
                log.warning("opcua-bad-chunk size=%s", size)
                kept.clear()
                if self.transport is not None:
                    self.transport.abort()
                return
            if len(buffer) - start < size:
                break
            self._chunk(bytes(buffer[start : start + size]))
            start += size
            if self.transport is None or self.transport.is_closing():
                break
        kept[:] = buffer[start:]

    async def open_secure_channel(self, params: Any) -> Any:
        """asyncua's own. Raises ServiceFault where the server refuses the channel by an answer that
        is one, as some do with a certificate that they do not trust; asyncua takes it for a channel
        without parameters."""
        try:
            return await super().open_secure_channel(params)
        except AssertionError:
            if self._refused is None:
                raise
            raise self._refused from None

    def _process_received_message(self, msg: Any) -> None:
        """asyncua's own; a refusal is kept for who opens a channel."""
        if (
            isinstance(msg, ua.Message)
            and getattr(self, "_open_secure_channel_exchange", None) is not None
        ):
            with contextlib.suppress(DecodeError):
                self._refused = refusal(bytes(msg.body()))  # type: ignore[no-untyped-call]
        super()._process_received_message(msg)

    async def send_request(self, request: Any, *args: Any, **keys: Any) -> Buffer:
        """asyncua's own, for all that is not sent by a `RawTransport`. Raises DecodeError for
        another service's answer."""
        answer = await super().send_request(request, *args, **keys)
        kind = node_id(bytes(answer), 0)[0]
        expected = _answer_to(type(request).__name__)
        if kind != expected:
            if self.transport is not None:
                # asyncua's publishing would go on after an error of one response
                self.transport.abort()
            raise DecodeError(f"message {kind} in the place of {expected}")
        return answer

    def _chunk(self, whole: bytes) -> None:
        """Hand on one chunk: to who awaits a body to decode it himself, else to asyncua."""
        request = chunk.request_of(self._connection, whole) if self._ours else None
        awaited = None if request is None else self._callbackmap.get(request)
        if request is None or type(awaited) is not _Body:
            self._process_received_data(whole)
            return
        del self._callbackmap[request]
        body = chunk.take(self._connection, whole)
        if not awaited.done():  # else the one who asked has given up
            awaited.set_result(body)


def bound(client: Client) -> None:
    """Make a client that is not yet connected use `BoundedProtocol`."""
    low = client.uaclient

    def make() -> UASocketProtocol:
        low.protocol = BoundedProtocol(low._timeout, security_policy=low.security_policy)
        low.protocol.pre_request_hook = low._pre_request_hook
        low.protocol.on_connection_lost = low._on_transport_lost
        low.protocol.is_session_closing = low._is_session_closing
        return low.protocol

    low._make_protocol = make  # type: ignore[method-assign]


def limit_messages(client: Client) -> None:
    """Bound what one message may grow to; asyncua takes its own limits from what the *server*
    announces."""
    limits = getattr(getattr(client.uaclient.protocol, "_connection", None), "_limits", None)
    if limits is not None:
        limits.max_message_size = _MAX_MESSAGE
        limits.max_chunk_count = _MAX_CHUNKS


def has_bounded_seam(client: Client) -> bool:
    """Whether `bound` would find what it needs."""
    low = client.uaclient
    names = (
        "_make_protocol",
        "_timeout",
        "_pre_request_hook",
        "_on_transport_lost",
        "_is_session_closing",
    )
    return all(hasattr(low, name) for name in names) and hasattr(
        UASocketProtocol, "_process_received_data"
    )


def _has_state(protocol: object) -> bool:
    """Whether this version of asyncua keeps where we look for it what is to be known of an
    answer."""
    return isinstance(getattr(protocol, "_callbackmap", None), dict) and chunk.fits(
        getattr(protocol, "_connection", None)
    )


def open_wire(client: Client) -> RawTransport | None:
    """The raw wire of a connected client, or None when it has to be the stock path."""
    if os.environ.get(STOCK_ONLY) == "1":
        return None
    protocol = client.uaclient.protocol
    fits = (
        _has_state(protocol)
        and isinstance(getattr(protocol, "_request_id", None), int)
        and callable(getattr(protocol, "revolve_security_token", None))
        and callable(getattr(getattr(protocol, "_connection", None), "message_to_binary", None))
        and hasattr(protocol, "transport")
    )
    if protocol is None or not fits:
        _warn_once()
        return None
    return RawTransport(protocol)


@functools.cache
def _warn_once() -> None:
    log.warning("opcua-stock-path reason=%r", "this version of asyncua has other internals")


class RawTransport:
    """Sends encoded requests over an open secure channel and gives back the bodies of the
    responses."""

    __slots__ = ("_asked", "_deadline", "_loop", "_protocol")

    def __init__(self, protocol: UASocketProtocol) -> None:
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._asked: list[_Body] = []
        self._deadline = Deadline(self._expired)

    def send(self, body: bytes) -> _Body:
        """Send now; the future ends with the response, or with an error when the connection is
        lost."""
        protocol = self._protocol
        if protocol.transport is None:
            raise ConnectionError("the connection is closed")
        protocol.revolve_security_token()
        number = protocol._request_id + 1
        connection = protocol._connection
        message = chunk.pack(connection, body, number)
        if message is None:
            message = connection.message_to_binary(body, request_id=number)
        future = _Body(loop=self._loop)
        protocol._request_id = number
        protocol._callbackmap[number] = future
        protocol.transport.write(message)
        return future

    async def ask(self, bodies: Sequence[bytes], timeout: float) -> list[bytes]:
        """The responses to requests that are sent at once, in their order. Raises TimeoutError when
        one of them is not here after `timeout` seconds, and what `send` does. Used by one task at a
        time."""
        asked = self._asked = [self.send(body) for body in bodies]
        self._deadline.set(timeout)
        try:
            return [bytes(await future) for future in asked]
        finally:
            self._deadline.clear()
            for future in asked:
                # One that failed besides the first one: its error is taken note of, or asyncio
                # would log it.
                if not future.cancel() and not future.cancelled():
                    future.exception()

    def _expired(self) -> None:
        for future in self._asked:
            if not future.done():
                future.set_exception(TimeoutError())
