"""One connection to the broker: a paho client that lives exactly as long as its socket, on the asyncio loop.

paho parses and builds packets; it never queues, never resends and never reconnects here. Its callbacks only note
what happened (calling paho from within them is what breaks it); the note is acted upon when paho has returned.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.config.models import Mqtt
from edge_agent.publish.trouble import LinkError, explain, refused, trouble

log = logging.getLogger(__name__)
T = TypeVar("T")

CONNECT_LIMIT_S = 5.0
"""For name, TCP connection and TLS handshake each, and for the broker's answer."""
_MISC_S = 1.0


@dataclass(frozen=True, slots=True)
class Message:
    """A document on its way in or out."""

    topic: str
    payload: bytes
    retained: bool


@dataclass(slots=True)
class Heard:
    """What paho's callbacks noted since it was last looked at."""

    acked: list[tuple[int, str]] = field(default_factory=list)
    """(message id, reason of a refusal or "")."""
    messages: list[Message] = field(default_factory=list)
    lost: str | None = None
    """Why the connection ended."""


class Link:
    """Open it, publish while `error` is None, close it, throw it away."""

    def __init__(self, config: Mqtt, client_id: str, context: ssl.SSLContext | None, will: Message) -> None:
        self.url = config.url
        self._keepalive = max(1, round(config.keepalive))
        address = urlsplit(config.url)
        self._host = address.hostname or ""
        self._port = address.port or (1883 if context is None else 8883)
        self._client = _client(config, client_id, context, will)
        self._heard = Heard()
        self._connack: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = -1
        self._writing = False
        self._misc: asyncio.TimerHandle | None = None
        self.receive_maximum = 65_535
        """How many unacknowledged messages the broker accepts (MQTT 5 CONNACK)."""
        self.heard_at = 0.0
        """Monotonic time when the broker last sent anything (PUBACK, PINGRESP, ...)."""
        self.error: LinkError | None = None
        """Why the link is no longer of use."""
        self.on_heard: Callable[[list[tuple[int, str]], list[Message]], None] = lambda acked, messages: None
        """Called with acknowledgements and messages, outside of paho."""
        self.on_lost: Callable[[], None] = lambda: None
        self._bind()

    async def open(self) -> None:
        """Connect and wait for the broker's consent. Raises LinkError with the reason when there is none."""
        self._loop = asyncio.get_running_loop()
        self._connack = self._loop.create_future()
        try:
            await _in_thread(self._connect, self._discard)
            self._attach()
            async with asyncio.timeout(CONNECT_LIMIT_S):
                await self._connack
        except (OSError, ValueError, TimeoutError) as error:
            self.close()
            raise (self.error or explain(error, self.url)) from error
        except BaseException:
            self.close()
            raise

    def usable(self) -> bool:
        """Whether it makes sense to publish."""
        return self.error is None

    def publish(self, message: Message) -> int:
        """Queue a QoS 1 message; returns its message id. `flush` sends it."""
        info = self._client.publish(message.topic, message.payload, 1, message.retained)
        if info.rc != mqtt.MQTT_ERR_SUCCESS:
            self._fail(trouble("mqtt-lost", f"发送失败（{info.rc}）。", f"Sending failed ({info.rc}).", self.url))
        return int(info.mid)

    def subscribe(self, topic: str) -> None:
        """Ask for a topic with QoS 1."""
        self._client.subscribe(topic, 1)
        self.flush()

    def flush(self) -> None:
        """Send what is queued; what the socket does not take follows when it does."""
        self._guard(self._client.loop_write)

    def disconnect(self) -> None:
        """Say goodbye, so that the broker does not publish the last will."""
        self._client.disconnect()
        self.flush()

    def drop(self, error: LinkError) -> None:
        """Give the connection up for this reason."""
        self._fail(error)

    def close(self) -> None:
        """Let go of the socket; safe at any time and more than once."""
        if self._misc is not None:
            self._misc.cancel()
            self._misc = None
        self._detach()
        self._discard()

    def _bind(self) -> None:
        client = self._client
        client.on_connect = _safe(self._on_connect)
        client.on_disconnect = _safe(self._on_disconnect)
        client.on_publish = _safe(self._on_publish)
        client.on_message = _safe(self._on_message)

    def _connect(self) -> None:
        self._client.connect(self._host, self._port, self._keepalive)

    def _discard(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _attach(self) -> None:
        sock = self._client.socket()
        if self._loop is None or sock is None:
            raise ConnectionError("the connection was closed at once")
        self._fd = sock.fileno()
        self.heard_at = time.monotonic()
        # with this callback paho only queues, and a burst of messages is one `flush`
        self._client.on_socket_register_write = lambda client, userdata, sock: None
        self._client.on_socket_close = _safe(lambda client, userdata, sock: self._detach())
        self._loop.add_reader(self._fd, self._readable)
        self._misc = self._loop.call_later(_MISC_S, self._tick)
        self.flush()

    def _detach(self) -> None:
        if self._fd >= 0 and self._loop is not None:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        self._fd = -1
        self._writing = False

    def _readable(self) -> None:
        self.heard_at = time.monotonic()
        self._guard(self._read_all)

    def _read_all(self) -> None:
        """paho reads a bounded number of packets; what TLS has already decrypted would never wake the loop again."""
        self._client.loop_read()
        while isinstance(sock := self._client.socket(), ssl.SSLSocket) and sock.pending():
            self._client.loop_read()

    def _tick(self) -> None:
        if self._loop is not None and self.error is None:
            self._misc = self._loop.call_later(_MISC_S, self._tick)
            self._guard(self._client.loop_misc)

    def _guard(self, step: Callable[[], object]) -> None:
        """Let paho work, then act on what it noted."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 (whatever paho makes of a broker's bytes must not end the loop)
            self._fail(explain(error, self.url))
            return
        self._watch_writing()
        heard, self._heard = self._heard, Heard()
        if heard.acked or heard.messages:
            self.on_heard(heard.acked, heard.messages)
        if heard.lost is not None:
            self._fail(explain(ConnectionError(heard.lost), self.url))

    def _watch_writing(self) -> None:
        wanted = self._fd >= 0 and self._client.want_write()
        if wanted == self._writing or self._loop is None or self._fd < 0:
            return
        self._writing = wanted
        if wanted:
            self._loop.add_writer(self._fd, self.flush)
        else:
            self._loop.remove_writer(self._fd)

    def _fail(self, error: LinkError) -> None:
        if self.error is not None:
            return
        self.error = error
        self.close()
        if self._connack is not None and not self._connack.done():
            self._connack.set_exception(ConnectionError("refused"))
        self.on_lost()

    def _on_connect(self, _: mqtt.Client, __: Any, flags: Any, reason: ReasonCode, properties: Properties) -> None:
        if self._connack is None or self._connack.done():
            return
        if reason.is_failure:
            self.error = refused(str(reason), self.url)
            self._connack.set_exception(ConnectionError(str(reason)))
            return
        self.receive_maximum = getattr(properties, "ReceiveMaximum", self.receive_maximum)
        self._connack.set_result(None)

    def _on_disconnect(self, _: mqtt.Client, __: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self._heard.lost = str(reason)

    def _on_publish(self, _: mqtt.Client, __: Any, mid: int, reason: ReasonCode, properties: Any) -> None:
        self._heard.acked.append((mid, str(reason) if reason.is_failure else ""))

    def _on_message(self, _: mqtt.Client, __: Any, message: mqtt.MQTTMessage) -> None:
        self._heard.messages.append(Message(message.topic, bytes(message.payload), message.retain))


class _Client(mqtt.Client):
    """paho, except that a failed TLS handshake closes its socket instead of leaving that to the garbage collector."""

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        context = self._ssl_context
        if context is None:
            raise ValueError("no TLS context")
        sock = context.wrap_socket(tcp_sock, server_hostname=self.host, do_handshake_on_connect=False)
        try:
            sock.settimeout(CONNECT_LIMIT_S)
            sock.do_handshake()
        except BaseException:
            sock.close()
            raise
        return sock


def _client(config: Mqtt, client_id: str, context: ssl.SSLContext | None, will: Message) -> mqtt.Client:
    five = config.version == "5"
    client = _Client(
        CallbackAPIVersion.VERSION2,
        client_id,
        clean_session=None if five else True,
        protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = CONNECT_LIMIT_S
    client.max_inflight_messages_set(0)  # the window is ours: paho must send whatever it is given
    client.will_set(will.topic, will.payload, 1, retain=True)
    if config.username is not None:
        client.username_pw_set(config.username, None if config.password is None else config.password.get_secret_value())
    if context is not None:
        client.tls_set_context(context)
    return client


def _safe(callback: Callable[..., None]) -> Callable[..., None]:
    """An exception in a callback would leave paho half-way through a packet."""

    def call(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:
            log.exception("mqtt-callback-failed")

    return call


async def _in_thread(work: Callable[[], T], undo: Callable[[], None]) -> T:
    """The result of blocking work. When nobody waits for it any more, the thread ends by itself and undoes it.

    An executor would make the end of the program wait for a name server that does not answer.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def deliver(result: T | None, error: BaseException | None) -> None:
        if done.done():
            undo()
        elif error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # without an error there is a result

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except Exception as problem:  # noqa: BLE001 (carried to the one who waits)
            error = problem
        try:
            loop.call_soon_threadsafe(deliver, result, error)
        except RuntimeError:  # the loop is closed
            undo()

    threading.Thread(target=run, name="mqtt-connect", daemon=True).start()
    async with asyncio.timeout(2 * CONNECT_LIMIT_S):
        return await done
