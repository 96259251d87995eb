"""One MQTT connection of the ingest: subscribed to everything, acknowledged by hand.

The session at the broker is persistent, so what arrives while nobody is here waits for us, and what was not
acknowledged comes again. Nothing here retries: `run` ends with an error, and its caller decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from edge_agent.config.models import Mqtt
from edge_agent.errors import EdgeAgentError, FindingsError
from edge_agent.mqtt import Connection, Inbound, Message
from edge_agent.mqtt.trouble import LinkError, tls_context
from edge_agent.reasons import Cause, cause

_SUBSCRIBE_SECONDS: Final = 5.0
_EXPIRY_SECONDS: Final = 7 * 24 * 3600
#: What an MQTT 5 broker may send unacknowledged; an MQTT 3.1.1 broker has its own limit, found by `Window`.
RECEIVE_MAXIMUM: Final = 1000


class SessionLostError(EdgeAgentError):
    """The broker cannot be reached, refused us, or went away; `cause` says why."""

    def __init__(self, why: Cause) -> None:
        super().__init__(why.en)
        self.cause = why


def _cause(error: Exception | None) -> Cause:
    """Why there is no connection, as whoever found out has said it."""
    findings = [error.finding] if isinstance(error, LinkError) else getattr(error, "findings", ())
    if not findings:
        return cause("broker_ended", why=error)
    return Cause(findings[0].code, "".join(one.zh for one in findings), " ".join(one.en for one in findings))


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
        loop = asyncio.get_running_loop()
        self._subscribed: asyncio.Future[Cause | None] = loop.create_future()
        self._ended: asyncio.Future[Cause] = loop.create_future()
        self._connection = Connection(config, client_id, inbound=Inbound(_EXPIRY_SECONDS, RECEIVE_MAXIMUM))
        self._connection.on_message = self._received
        self._connection.on_subscribed = self._answered
        self._connection.on_lost = self._lost

    async def run(self, ready: Callable[[], None]) -> None:
        """Connect, subscribe, call `ready`, work until the connection is lost. Raises SessionLostError."""
        try:
            await self._connection.open(tls_context(self._config))
            self._connection.subscribe(self._filters)
            async with asyncio.timeout(_SUBSCRIBE_SECONDS):
                problem = await self._subscribed
            if problem is None:
                ready()
                problem = await self._ended
        except TimeoutError as error:
            raise SessionLostError(cause("broker_no_suback")) from error
        except (LinkError, FindingsError) as error:
            raise SessionLostError(_cause(error)) from error
        finally:
            # Sends what is queued (acknowledgements) and DISCONNECT as far as the socket takes it, then closes.
            self._connection.disconnect()
            self._connection.close()
        raise SessionLostError(problem)

    def _answered(self, refusals: list[int]) -> None:
        refused = [self._filters[at] for at in refusals]
        if not self._subscribed.done():
            topics = ", ".join(refused)
            self._subscribed.set_result(cause("broker_refuses_subscription", topics=topics) if refused else None)

    def _lost(self) -> None:
        for future in (self._subscribed, self._ended):
            if not future.done():
                future.set_result(_cause(self._connection.error))

    def _received(self, message: Message) -> None:
        self._on_message(message.topic, message.payload, message.mid, message.qos)

    # --- for the owner -----------------------------------------------------------------------------------------

    def acknowledge(self, mid: int, qos: int) -> None:
        """Tell the broker that a message is dealt with."""
        self._connection.acknowledge(mid, qos)
        self._connection.flush_soon()

    def publish(self, topic: str, payload: bytes) -> None:
        """Retained, QoS 1. Nothing is lost with one that does not arrive: the next replaces it."""
        self._connection.publish(topic, payload, retained=True)
        self._connection.flush_soon()

    def pause(self) -> None:
        """Stop reading the socket, so that the broker keeps what it has."""
        self._connection.pause()

    def resume(self) -> None:
        """Go on reading."""
        self._connection.resume()
