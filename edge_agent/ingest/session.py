"""One MQTT connection of the ingest, driven by the event loop: a fresh paho client per attempt, acknowledged by hand.

The session at the broker is persistent, so what arrives while nobody is here waits for us, and what was not
acknowledged comes again. Nothing here retries: `run` ends with an error, and its caller decides.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.config.models import Mqtt
from edge_agent.errors import EdgeAgentError

log = logging.getLogger(__name__)

_CONNECT_SECONDS: Final = 5.0
_EXPIRY_SECONDS: Final = 7 * 24 * 3600
#: What an MQTT 5 broker may send unacknowledged; an MQTT 3.1.1 broker has its own limit, found by `Window`.
RECEIVE_MAXIMUM: Final = 1000


class SessionLostError(EdgeAgentError):
    """The broker cannot be reached, refused us, or went away."""


class _TlsContext(ssl.SSLContext):
    """Remembers the socket it wraps: paho forgets it, still open, when the handshake fails."""

    _wrapped: ssl.SSLSocket | None = None

    @classmethod
    def of(cls, config: Mqtt) -> _TlsContext:
        """TLS 1.2 or later, the broker's name and chain checked, with a client certificate where one is configured."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.ca is not None:
            context.load_verify_locations(config.ca)
        else:
            context.load_default_certs()
        if config.cert is not None:
            context.load_cert_chain(config.cert, config.key)
        return context

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        self._wrapped = super().wrap_socket(*args, **kwargs)
        return self._wrapped

    def close(self) -> None:
        """After a failed handshake."""
        if self._wrapped is not None:
            self._wrapped.close()


class Session:
    """`on_message(topic, payload, mid, qos)` is called on the loop; it must not raise."""

    def __init__(
        self,
        config: Mqtt,
        client_id: str,
        filters: Sequence[str],
        on_message: Callable[[str, bytes, int, int], None],
    ) -> None:
        self._config = config
        self._filters = filters
        self._on_message = on_message
        self._client = self._make(client_id)
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._fd = -1
        self.paused = False

    def _make(self, client_id: str) -> paho.Client:
        config, five = self._config, self._config.version == "5"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if five else False,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT_SECONDS
        if config.username is not None:
            client.username_pw_set(config.username, config.password.get_secret_value() if config.password else None)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        return client

    async def run(self, ready: Callable[[], None]) -> None:
        """Connect, subscribe, call `ready`, pump until the connection is lost. Raises SessionLostError."""
        try:
            await self._connect()
            await asyncio.wait_for(asyncio.shield(self._ready), _CONNECT_SECONDS)
            ready()
            await self._lost
        except (OSError, ValueError, ssl.SSLError, TimeoutError) as error:
            raise SessionLostError(f"{type(error).__name__}: {error}") from error
        finally:
            self._release()

    def _open(self) -> None:
        """Resolve, connect, shake hands: these block, so they have a thread; the packets after it have none."""
        url, config = urlsplit(self._config.url), self._config
        context = _TlsContext.of(config) if url.scheme == "mqtts" else None
        if context is not None:
            self._client.tls_set_context(context)
        extra: dict[str, Any] = {}
        if config.version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _EXPIRY_SECONDS
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
            extra = {"clean_start": False, "properties": properties}
        port = url.port or (8883 if url.scheme == "mqtts" else 1883)
        try:
            self._client.connect(url.hostname or "", port, max(1, int(config.keepalive)), **extra)
        except BaseException:
            if context is not None:
                context.close()
            raise

    async def _connect(self) -> None:
        opening = self._loop.run_in_executor(None, self._open)
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread cannot be stopped: wait for it, or its socket would be nobody's.
            await asyncio.wait([opening])
            raise
        sock = self._client.socket()
        if sock is None:
            raise OSError("the connection ended at once")
        self._fd = sock.fileno()
        self._loop.add_reader(self._fd, self._read)
        self._client.on_socket_register_write = self._want_write
        self._client.on_socket_unregister_write = self._written
        if self._client.want_write():
            self._want_write()
        self._tick()

    def _release(self) -> None:
        for future in (self._lost, self._ready):
            if future.done() and not future.cancelled():
                future.exception()  # retrieved: nobody else will
            future.cancel()
        self._detach()
        self._client.on_disconnect = None
        self._client.on_socket_register_write = self._client.on_socket_unregister_write = None
        sock = self._client.socket()
        if sock is not None:
            # Sends what is queued (acknowledgements) and DISCONNECT as far as the socket takes it, then closes.
            self._client.disconnect()
            sock.close()

    def _detach(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd = -1

    def _fail(self, reason: str) -> None:
        self._detach()
        for future in (self._ready, self._lost):
            if not future.done():
                future.set_exception(SessionLostError(reason))

    # --- driven by the loop ------------------------------------------------------------------------------------

    def _read(self) -> None:
        sock = self._client.socket()
        code = self._client.loop_read()
        while code == MQTTErrorCode.MQTT_ERR_SUCCESS and isinstance(sock, ssl.SSLSocket) and sock.pending():
            code = self._client.loop_read()
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._fail(paho.error_string(code))

    def _write(self) -> None:
        code = self._client.loop_write()
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._fail(paho.error_string(code))

    def _want_write(self, *_: object) -> None:
        if self._fd >= 0:
            self._loop.add_writer(self._fd, self._write)

    def _written(self, *_: object) -> None:
        if self._fd >= 0:
            self._loop.remove_writer(self._fd)

    def _tick(self) -> None:
        """Keep-alive, once a second. Not while paused: nobody reads the answer then."""
        if self._fd < 0:
            return
        if not self.paused:
            code = self._client.loop_misc()
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._fail("no answer within the keep-alive time")
                return
        self._loop.call_later(1.0, self._tick)

    # --- paho's callbacks --------------------------------------------------------------------------------------

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self._fail(f"the broker refuses the connection: {code}")
        else:
            client.subscribe([(topic, 1) for topic in self._filters])

    def _subscribed(self, _client: paho.Client, _data: Any, _mid: int, codes: list[Any], _properties: Any) -> None:
        refused = [topic for topic, code in zip(self._filters, codes, strict=False) if code.is_failure]
        if refused:
            self._fail(f"the broker refuses the subscription to {refused}")
        elif not self._ready.done():
            self._ready.set_result(None)

    def _disconnected(self, _client: paho.Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self._fail(f"disconnected: {code}")

    def _received(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = message._topic.decode(errors="replace")
        self._on_message(topic, bytes(message.payload), message.mid, message.qos)

    # --- for the owner -----------------------------------------------------------------------------------------

    def acknowledge(self, mid: int, qos: int) -> None:
        """Tell the broker that a message is dealt with."""
        self._client.ack(mid, qos)

    def publish(self, topic: str, payload: bytes) -> None:
        """Retained, QoS 1. Nothing is lost with one that does not arrive: the next replaces it."""
        self._client.publish(topic, payload, qos=1, retain=True)

    def pause(self) -> None:
        """Stop reading the socket, so that the broker keeps what it has."""
        if not self.paused and self._fd >= 0:
            self.paused = True
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Go on reading."""
        if self.paused:
            self.paused = False
            if self._fd >= 0:
                self._loop.add_reader(self._fd, self._read)
