"""One MQTT connection of the ingest: subscribed to everything, acknowledged by hand.

The session at the broker is persistent, so what arrives while nobody is here waits for us, and what
was not acknowledged comes again. Nothing here retries: `run` ends with an error, and its caller
decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from edge_agent.config.models import Mqtt
from edge_agent.errors import EdgeAgentError, Finding, FindingsError
from edge_agent.mqtt import Inbound, MqttConnection, MqttMessage, reasons
from edge_agent.mqtt.trouble import LinkError, tls_context

_SUBSCRIBE_SECONDS: Final = 5.0
_EXPIRY_SECONDS: Final = 7 * 24 * 3600
#: What an MQTT 5 broker may send unacknowledged; an MQTT 3.1.1 broker has its own limit, found by
#: `Window`.
RECEIVE_MAXIMUM: Final = 1000


class SessionLostError(EdgeAgentError):
    """The broker cannot be reached, refused us, or went away; `finding` says why."""

    def __init__(self, finding: Finding, *, slow: bool = False, reason: str = "") -> None:
        super().__init__(finding.en)
        self.finding = finding
        self.slow = slow
        self.reason = reason

    @classmethod
    def of(cls, error: LinkError) -> SessionLostError:
        """With what is known of the connection's end."""
        return cls(error.finding, slow=error.slow, reason=error.reason)


def _joined(findings: Sequence[Finding]) -> Finding:
    """Several findings as one, so that each of them is shown."""
    first = findings[0]
    zh = "".join(finding.zh for finding in findings)
    en = " ".join(finding.en for finding in findings)
    return Finding(first.code, first.where, zh, en)


class IngestSession:
    """`on_message(topic, payload, mid, qos)` is called on the loop; it must not raise."""

    def __init__(
        self,
        config: Mqtt,
        client_id: str,
        filters: Sequence[str],
        on_message: Callable[[str, bytes, int, int], None],
        *,
        retains: bool = True,
        accepted_before: bool = False,
    ) -> None:
        """`retains`: whether to publish retained, see `Mqtt.retain`. `accepted_before`: see
        `MqttConnection`."""
        self._retains = retains
        self._config = config
        self._filters = filters
        self._on_message = on_message
        loop = asyncio.get_running_loop()
        self._subscribed: asyncio.Future[SessionLostError | None] = loop.create_future()
        self._ended: asyncio.Future[SessionLostError] = loop.create_future()
        inbound = Inbound(_EXPIRY_SECONDS, RECEIVE_MAXIMUM)
        self._connection = MqttConnection(
            config, client_id, inbound=inbound, accepted_before=accepted_before
        )
        self._connection.on_message = self._received
        self._connection.on_subscribed = self._answered
        self._connection.on_lost = self._lost

    async def run(self, ready: Callable[[], None]) -> None:
        """Connect, subscribe, call `ready`, work until the connection is lost. Raises
        SessionLostError."""
        try:
            await self._connection.open(tls_context(self._config))
            self._connection.subscribe(self._filters)
            async with asyncio.timeout(_SUBSCRIBE_SECONDS):
                problem = await self._subscribed
            if problem is None:
                ready()
                problem = await self._ended
        except TimeoutError as error:
            raise SessionLostError(_unanswered(self._config.url)) from error
        except LinkError as error:
            raise SessionLostError.of(error) from error
        except FindingsError as error:
            raise SessionLostError(_joined(error.findings), slow=True) from error
        finally:
            # Sends what is queued (acknowledgements) and DISCONNECT as far as the socket takes it,
            # then closes.
            self._connection.disconnect()
            self._connection.close()
        raise problem

    @property
    def retain_available(self) -> bool:
        """Whether the broker keeps retained messages, as far as it says so."""
        return self._connection.retain_available

    def _answered(self, refusals: dict[int, str]) -> None:
        if self._subscribed.done():
            return
        if not refusals:
            self._subscribed.set_result(None)
            return
        filters = ", ".join(self._filters[at] for at in refusals)
        name = next(iter(refusals.values()))
        zh, en = reasons.of_subscription(name)
        finding = Finding(
            "mqtt-subscription",
            self._config.url,
            f"{zh}（{name}：{filters}）",
            f"{en} ({name}: {filters})",
        )
        self._subscribed.set_result(SessionLostError(finding, slow=True, reason=name))

    def _lost(self) -> None:
        error = self._connection.error
        if error is None:
            return
        for future in (self._subscribed, self._ended):
            if not future.done():
                future.set_result(SessionLostError.of(error))

    def _received(self, message: MqttMessage) -> None:
        self._on_message(message.topic, message.payload, message.mid, message.qos)

    # --- for the owner ----------------------------------------------------------------------------

    def acknowledge(self, mid: int, qos: int) -> None:
        """Tell the broker that a message is dealt with."""
        self._connection.acknowledge(mid, qos)
        self._connection.flush_soon()

    def publish(self, topic: str, payload: bytes) -> None:
        """Retained where possible, QoS 1. Nothing is lost with one that does not arrive: the next
        replaces it."""
        self._connection.publish(topic, payload, retained=self._retains and self.retain_available)
        self._connection.flush_soon()

    def pause(self) -> None:
        """Stop reading the socket, so that the broker keeps what it has."""
        self._connection.pause()

    def resume(self) -> None:
        """Go on reading."""
        self._connection.resume()


def _unanswered(url: str) -> Finding:
    return Finding(
        "mqtt-subscription",
        url,
        "消息服务器没有应答订阅。请检查其状态：集群是否有法定多数（quorum）、存储是否可用，"
        "并查看其日志。",
        "The broker does not answer the subscription. Check its state: whether its cluster has a "
        "quorum and its storage"
        " works; see its log.",
    )
