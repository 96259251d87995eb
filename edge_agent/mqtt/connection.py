"""One connection to the broker; it lives exactly as long as its socket.

paho knows the protocol, and the network is ours: it never queues, never resends and never
reconnects here. Its callbacks only note what happened (calling paho from within them is what breaks
it); the note is acted upon when paho has returned. What a value costs, PUBLISH and PUBACK, does not
pass through paho at all.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.config.models import Mqtt
from edge_agent.mqtt import answers, packets, reasons
from edge_agent.mqtt.client import Inbound, MqttMessage, client_for
from edge_agent.mqtt.dial import dial_async
from edge_agent.mqtt.pipe import Pipe
from edge_agent.mqtt.trouble import (
    Attempt,
    LinkError,
    closed,
    closed_early,
    ended,
    explain,
    no_answer,
    not_mqtt,
    refused,
    silent,
)

log = logging.getLogger(__name__)

CONNECT_LIMIT_S = 5.0
"""For name, TCP connection and TLS handshake each, and for the broker's answer."""
_MISC_S = 1.0
_FIRST_ANSWERS = (answers.CONNACK, answers.DISCONNECT)
"""First bytes of what a broker can send at first; anything else is another protocol."""
_FIRST_ID = 1024
_LAST_ID = 65_535
"""Our message ids; paho counts its own, of a few SUBSCRIBE, from 1."""


@dataclass(slots=True)
class _Notes:
    """What paho's callbacks noted since it was last looked at."""

    acked: list[tuple[int, str]] = field(default_factory=list)
    messages: list[MqttMessage] = field(default_factory=list)
    refused: list[dict[int, str]] = field(default_factory=list)
    lost: str | None = None


class MqttConnection:
    """Open it, use it while `error` is None, close it, throw it away. `flush` sends what the other
    methods queue."""

    def __init__(
        self,
        config: Mqtt,
        client_id: str,
        *,
        will: MqttMessage | None = None,
        inbound: Inbound | None = None,
        accepted_before: bool = False,
    ) -> None:
        """`accepted_before`: the broker took these settings before, so that they are not at fault
        when it does not."""
        self.url = config.url
        retained_will = will is not None and will.retained
        self._attempt = Attempt(config.url, config.version == "5", retained_will, accepted_before)
        self._config = config
        self._inbound = inbound
        self._five = config.version == "5"
        self._stock = os.environ.get("EDGE_AGENT_STOCK") == "1"
        self._client = client_for(config, client_id, will, inbound)
        self._notes = _Notes()
        self._loop = asyncio.get_running_loop()
        self._connack: asyncio.Future[None] = self._loop.create_future()
        self._pipe: Pipe | None = None
        self._fd = -1
        self._writing = self._flushing = False
        self._misc: asyncio.TimerHandle | None = None
        self._inbox = bytearray()
        self._mid = _FIRST_ID - 1
        self._unacknowledged: set[int] = set()
        self._asked_at = 0.0
        self.paused = False
        self.receive_maximum = 65_535
        """How many unacknowledged messages the broker accepts (MQTT 5 CONNACK)."""
        self.maximum_packet: int | None = None
        """The largest packet the broker accepts, bytes, where it says so (MQTT 5 CONNACK)."""
        self.retain_available = True
        """Whether the broker keeps retained messages; one of MQTT 3.1.1 does not say (MQTT 5
        CONNACK)."""
        self.unknown_acks = 0
        """Acknowledgements of messages that were not under way: the broker, or a proxy, is
        faulty."""
        self.heard_at = 0.0
        """Monotonic time when the broker last sent anything (PUBACK, PINGRESP, ...)."""
        self.error: LinkError | None = None
        """Why the connection is no longer of use."""
        self.on_acked: Callable[[list[tuple[int, str]]], None] = lambda acked: None
        """Called with (message id, reason of a refusal or "") of what the broker answered for."""
        self.on_message: Callable[[MqttMessage], None] = lambda message: None
        self.on_subscribed: Callable[[dict[int, str]], None] = lambda refusals: None
        """Called with the positions of the filters that the broker refused, and MQTT's name for
        why."""
        self.on_lost: Callable[[], None] = lambda: None
        self._bind()

    async def open(self, context: ssl.SSLContext | None) -> None:
        """Connect and wait for the broker's consent. Raises LinkError with the reason when there is
        none."""
        address = urlsplit(self.url)
        port = address.port or (1883 if context is None else 8883)
        try:
            self._begin(await dial_async(address.hostname or "", port, context, CONNECT_LIMIT_S))
            async with asyncio.timeout(CONNECT_LIMIT_S):
                await self._connack
        except (OSError, ValueError, TimeoutError) as error:
            self.close()
            raise (self.error or self._explained(error)) from error
        except BaseException:
            self.close()
            raise

    def _explained(self, error: BaseException) -> LinkError:
        """Why `open` failed."""
        if isinstance(error, TimeoutError) and self._pipe is not None:
            return no_answer(self._attempt, self._waited())
        return explain(error, self.url)

    def _waited(self) -> float:
        """Seconds since CONNECT."""
        return time.monotonic() - self._asked_at

    def publish(self, topic: str, payload: bytes, *, retained: bool) -> int:
        """Queue a message with QoS 1; returns its message id. ValueError for what MQTT cannot
        carry."""
        if self._stock or self._pipe is None:
            info = self._client.publish(topic, payload, 1, retained)
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._break(ConnectionError(mqtt.error_string(info.rc)))
            return int(info.mid)
        mid = self._next_id()
        self._pipe.write(
            packets.publish(topic, len(payload), mid, retained=retained, five=self._five), payload
        )
        self._unacknowledged.add(mid)
        return mid

    def acknowledge(self, mid: int, qos: int) -> None:
        """Queue the acknowledgement of a message that arrived (`Inbound`)."""
        self._client.ack(mid, qos)

    def subscribe(self, filters: Sequence[str]) -> None:
        """Ask for topics with QoS 1."""
        self._client.subscribe([(topic, 1) for topic in filters])
        self.flush()

    def flush(self) -> None:
        """Send what is queued; what the socket does not take follows when it does."""
        self._flushing = False
        if self._pipe is None or self._fd < 0:
            return
        try:
            if self._client.want_write():
                self._client.loop_write()
            left = self._pipe.flush()
        except OSError as error:
            self._readable()  # it may have said why before it hung up
            self._break(error)
            return
        if left != self._writing and self._fd >= 0:
            self._writing = left
            if left:
                self._loop.add_writer(self._fd, self.flush)
            else:
                self._loop.remove_writer(self._fd)

    def flush_soon(self) -> None:
        """Flush at the end of this turn of the loop; many calls before that are one."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def pause(self) -> None:
        """Stop reading, so that the broker keeps what it has."""
        if not self.paused and self._fd >= 0:
            self.paused = True
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Go on reading."""
        if self.paused:
            self.paused = False
            if self._fd >= 0:
                self._loop.add_reader(self._fd, self._readable)
                self._loop.call_soon(self._digest)

    def disconnect(self) -> None:
        """Say goodbye, so that the broker does not publish the last will."""
        if self._pipe is not None and self._fd >= 0:
            self._pipe.write(packets.DISCONNECT)
            self.flush()

    def drop(self, error: LinkError) -> None:
        """Give the connection up for this reason; the first one counts."""
        if self.error is not None:
            return
        self.close()
        self.error = error
        if self._pipe is not None and not self._connack.done():
            self._connack.set_exception(ConnectionError(error.finding.code))
        self.on_lost()

    def _break(self, error: BaseException) -> None:
        """The socket failed, or what came over it is no MQTT. Before CONNACK only TLS says why."""
        if self._connack.done() or isinstance(error, ssl.SSLError):
            self.drop(explain(error, self.url))
        else:
            self.drop(closed_early(self._attempt, self._waited()))

    def close(self) -> None:
        """Let go of the socket; safe at any time and more than once."""
        if self._misc is not None:
            self._misc.cancel()
            self._misc = None
        if self._pipe is not None:
            self._pipe.close()

    # --- the socket -------------------------------------------------------------------------------

    def _begin(self, sock: socket.socket) -> None:
        """From a connected socket to CONNECT on its way."""
        self._pipe = self._client.pipe = Pipe(sock, self._detach)
        self._fd = sock.fileno()
        self._asked_at = self.heard_at = time.monotonic()
        extra: dict[str, Any] = {}
        if self._inbound is not None and self._five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = self._inbound.keep_s
            properties.ReceiveMaximum = self._inbound.receive_maximum
            extra = {"clean_start": False, "properties": properties}
        self._client.connect("pipe", keepalive=max(1, round(self._config.keepalive)), **extra)
        self._loop.add_reader(self._fd, self._readable)
        self._misc = self._loop.call_later(_MISC_S, self._tick)
        self.flush()

    def _detach(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        # remembered until here: uvloop wants the number of a socket that paho has already closed
        self._fd = -1
        self._writing = False

    def _tick(self) -> None:
        """Keep-alive, once a second. Not while paused: nobody reads the answer then."""
        if self._fd >= 0:
            self._misc = self._loop.call_later(_MISC_S, self._tick)
            if not self.paused:
                self._paho(self._client.loop_misc)
                self.flush()

    def _readable(self) -> None:
        if self._pipe is None:
            return
        try:
            data = self._pipe.receive()
        except OSError as error:
            self._break(error)
            return
        if data is None:
            return
        self.heard_at = time.monotonic()
        if not data:
            self._break_at_end()
        elif not self._connack.done() and not self._inbox and data[0] not in _FIRST_ANSWERS:
            self.drop(not_mqtt(self.url, data))
        else:
            mids = () if self._inbox or self._stock else packets.acknowledged(data)
            if mids:
                self._note_all(mids)
            else:
                self._inbox += data
                self._digest()

    def _break_at_end(self) -> None:
        if self._connack.done():
            self.drop(closed(self.url))
        else:
            self._break(ConnectionError("closed"))

    def _digest(self) -> None:
        """Deal with every packet that is complete, or until paused."""
        inbox = self._inbox
        at = 0
        acked: list[tuple[int, str]] = []
        try:
            while self._fd >= 0 and not self.paused:
                start, end = packets.span(inbox, at)
                if not end:
                    break
                first = at
                at = end
                if inbox[first] == packets.PUBACK and not self._stock:
                    self._note_puback(acked, start, end)
                elif start > first and (
                    refusal := answers.refusal(
                        inbox[first], bytes(inbox[start:end]), five=self._five
                    )
                ):
                    self._refused(*refusal)
                else:
                    self._give(inbox[first:end])
        finally:
            del inbox[:at]
        if acked:
            self.on_acked(acked)
        self.flush()

    def _note_all(self, mids: Sequence[int]) -> None:
        """Nothing but acknowledgements came, and no part of anything else: paho need not know."""
        under_way = self._unacknowledged
        acked = [(mid, "") for mid in dict.fromkeys(mids) if mid in under_way]
        under_way.difference_update(mids)
        self.unknown_acks += len(mids) - len(acked)
        if acked:
            self.on_acked(acked)

    def _refused(self, name: str, said: str) -> None:
        made = ended if self._connack.done() else refused
        self.drop(made(name, self.url, said))

    def _note_puback(self, acked: list[tuple[int, str]], start: int, end: int) -> None:
        try:
            mid, code = packets.puback(self._inbox, start, end, five=self._five)
        except ValueError as error:
            self._break(error)
            return
        if mid in self._unacknowledged:
            self._unacknowledged.remove(mid)
            acked.append((mid, reasons.name_of(code) if code >= 0x80 else ""))
        else:
            self.unknown_acks += 1

    def _next_id(self) -> int:
        """An id that no message under way has."""
        if len(self._unacknowledged) > _LAST_ID - _FIRST_ID:
            self.drop(silent(self.url))
            return 0
        while True:
            self._mid = self._mid + 1 if self._mid < _LAST_ID else _FIRST_ID
            if self._mid not in self._unacknowledged:
                return self._mid

    # --- paho -------------------------------------------------------------------------------------

    def _give(self, packet: bytearray) -> None:
        if self._pipe is not None:
            self._pipe.give(packet)
            self._paho(self._client.loop_read)

    def _paho(self, step: Callable[[], MQTTErrorCode]) -> None:
        """Let paho work, then act on what it noted."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 (whatever paho makes of a broker's bytes must not end the loop)
            self._break(error)
            return
        notes = self._notes
        self._notes = _Notes()
        if notes.acked:
            self.on_acked(notes.acked)
        for refusals in notes.refused:
            self.on_subscribed(refusals)
        for message in notes.messages:
            self.on_message(message)
        if notes.lost is not None:
            self._break(ConnectionError(notes.lost))

    def _bind(self) -> None:
        client = self._client
        client.on_connect = _safe(self._on_connect)
        client.on_disconnect = _safe(self._on_disconnect)
        client.on_publish = _safe(self._on_publish)
        client.on_subscribe = _safe(self._on_subscribe)
        client.on_message = _safe(self._on_message)

    def _on_connect(
        self, _: mqtt.Client, __: Any, flags: Any, reason: ReasonCode, properties: Properties
    ) -> None:
        if self._connack.done():
            return
        self.receive_maximum = getattr(properties, "ReceiveMaximum", self.receive_maximum)
        self.maximum_packet = getattr(properties, "MaximumPacketSize", None)
        self.retain_available = bool(getattr(properties, "RetainAvailable", True))
        self._connack.set_result(None)

    def _on_disconnect(
        self, _: mqtt.Client, __: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        self._notes.lost = str(reason)

    def _on_publish(
        self, _: mqtt.Client, __: Any, mid: int, reason: ReasonCode, properties: Any
    ) -> None:
        self._notes.acked.append((mid, str(reason) if reason.is_failure else ""))

    def _on_subscribe(
        self, _: mqtt.Client, __: Any, mid: int, codes: list[ReasonCode], properties: Any
    ) -> None:
        self._notes.refused.append(
            {at: reasons.name_of(code.value) for at, code in enumerate(codes) if code.is_failure}
        )

    def _on_message(self, _: mqtt.Client, __: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = message._topic.decode(errors="replace")
        self._notes.messages.append(
            MqttMessage(topic, bytes(message.payload), message.retain, message.mid, message.qos)
        )


def _safe(callback: Callable[..., None]) -> Callable[..., None]:
    """An exception in a callback would leave paho half-way through a packet."""

    def call(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:
            log.exception("mqtt-callback-failed")

    return call
