"""From the outbox to the broker: connects, sends, notices silence, connects again, and never loses
count."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import orjson

from edge_agent.clock import Clock
from edge_agent.config.models import Mqtt
from edge_agent.errors import Finding
from edge_agent.mqtt import MqttConnection, MqttMessage
from edge_agent.mqtt.backoff import SHORTEST_S, ReconnectBackoff
from edge_agent.mqtt.flap_detector import FlapDetector, flapping
from edge_agent.mqtt.reasons import RETAIN_NOT_SUPPORTED, TAKEN_OVER
from edge_agent.mqtt.trouble import LinkError, tls_context, unknown_acks
from edge_agent.outbox import Outbox
from edge_agent.process import own_version
from edge_agent.publish import confirm
from edge_agent.publish.retransmit_schedule import PERIOD_S
from edge_agent.publish.session import InFlightMessage, PublishCounters, PublishSession
from edge_agent.publish.suspect_messages import SuspectMessages
from edge_agent.topics import Topics

log = logging.getLogger(__name__)

_TICK_S = 1.0
_GOODBYE_S = 1.0
_BACKLOG_S = 10.0
"""The backlog in the retained state is renewed so often at the most, and only when it changed."""
_BIRTHS_S = 5.0
"""Births that are asked for are sent again so often at the most."""
FAULTY_S = 120.0
"""A wrong acknowledgement is a finding for so long."""
_SETTLED_S = 10.0
"""A connection that held so long, or that acknowledged something, was a good one: the next attempt
comes soon."""


class Publisher:
    """Publishes an outbox. All methods belong to the thread of the event loop."""

    def __init__(
        self,
        config: Mqtt,
        outbox: Outbox,
        topics: Topics,
        agent: str,
        clock: Clock,
        *,
        speaks: bool = True,
    ) -> None:
        """`speaks`: this connection keeps the agent's retained state and leaves its last will; one
        of an agent does."""
        self._speaks = speaks
        self.other_streams: Callable[[], Mapping[str, int]] = dict
        """The streams of the agent's other outboxes, which its state names too
        (`Outbox.pending_from`)."""
        self.backlog: Callable[[], tuple[int, int]] = self._own_backlog
        """Values and messages that the agent's outboxes hold."""
        self._sent_backlog = (0, 0)
        self._state_sent_at = float("-inf")
        self._config = config
        self._outbox = outbox
        self._agent = agent
        self._clock = clock
        self._context = tls_context(config)
        self._state_topic = topics.agent(agent)
        self._watermark_topic = topics.watermark(agent)
        self._documents: dict[str, tuple[bytes, ...]] = {}
        self._told_streams: tuple[str, ...] = ()
        self._counters = PublishCounters()
        self._session: PublishSession | None = None
        self._watch = confirm.ConfirmationWatch(time.monotonic())
        self._backoff = ReconnectBackoff()
        self._flaps = FlapDetector()
        self._holds = SuspectMessages()
        self._suspects: tuple[InFlightMessage, ...] = ()
        """What was under way when the last connection ended."""
        self._acked_at: float | None = None
        self._connected_at = 0.0
        self._subscription_answers = True
        """Whether the broker answers the subscription to watermarks."""
        self._births_sent_at = self._store_seen_at = float("-inf")
        self._accepted = False
        """Whether the broker ever took our settings."""
        self._retains = config.retain is not False
        self._unknown_acks = self._unknown_acks_before = 0
        """Since the start; and up to the present connection."""
        self._unknown_ack_at = -FAULTY_S
        self.failed_attempts = 0
        """Attempts to connect that failed and connections that broke, since the start."""
        self.problem: Finding | None = None
        """Why there is no connection now, or none that holds; None while there is one."""
        if config.confirm != "store":
            outbox.confirm_acknowledged()

    @property
    def connected(self) -> bool:
        """Whether the broker accepted us and the link is not known to be broken."""
        return self._session is not None and not self._session.lost.is_set()

    @property
    def published(self) -> int:
        """Values sent, repetitions included."""
        return self._counters.published

    @property
    def acknowledged(self) -> int:
        """Values the broker acknowledged."""
        return self._counters.acknowledged

    @property
    def confirmed(self) -> int:
        """Values that left the outbox because all that was asked for them was fulfilled."""
        if self._session is not None:
            self._session.persist_acks()
        return self._outbox.stats.confirmed

    @property
    def resent(self) -> int:
        """Entries sent again because a live ingest had not confirmed them in time."""
        return self._counters.resent

    @property
    def refused(self) -> int:
        """Messages the broker would not take."""
        return self._counters.refused

    @property
    def refusal(self) -> Finding | None:
        """Topic (`where`) and reason while the broker does not take messages to it; None
        otherwise."""
        waiting = self._session is not None and self._session.waiting
        return self._holds.reason if waiting or self._holds.until else None

    @property
    def messages(self) -> int:
        """Messages sent, documents and repetitions included."""
        return self._counters.messages

    @property
    def fault(self) -> Finding | None:
        """What the broker does wrong in the protocol, while it does."""
        if time.monotonic() - self._unknown_ack_at >= FAULTY_S:
            return None
        return unknown_acks(self._config.url, self._unknown_acks)

    @property
    def ingest_silent(self) -> bool:
        """`confirm: store` and no sign of life from an ingest for a minute: a health finding."""
        return self._config.confirm == "store" and self._watch.silent(time.monotonic())

    @property
    def freed_before_store(self) -> int:
        """`confirm: store`: values that went at the broker's acknowledgement since the start, while
        no ingest was ever seen; 0 once one is."""
        return 0 if self._outbox.ingest_seen else self._outbox.stats.unseen

    @property
    def store_lacks_entries(self) -> bool:
        """`confirm: store`: what the broker acknowledges does not reach the store, time and again:
        a health finding."""
        return self._watch.lacks_entries(time.monotonic())

    def ack_age(self) -> float | None:
        """Seconds since the last PUBACK; None before the first."""
        if self._session is not None and self._session.acked_at is not None:
            self._acked_at = self._session.acked_at
        return None if self._acked_at is None else time.monotonic() - self._acked_at

    def retain(self, topic: str, *pieces: bytes) -> None:
        """Keep this retained document at the broker: sent now, and again at every connection.

        Without pieces it is taken away. Pieces that several documents share are held once.
        """
        self._documents[topic] = pieces
        if self._session is not None:
            self._session.send_document(topic)

    async def run(self) -> None:
        """Work until cancelled; then say goodbye properly, within a second."""
        self._outbox.on_append = self._appended
        try:
            while True:
                wait = await self._once()
                await asyncio.sleep(wait)
        finally:
            self._outbox.on_append = None

    async def drain(self, limit: float) -> None:
        """Wait until every live entry is acknowledged, at most `limit` seconds. What was left
        behind stays durable."""
        if self._session is not None:
            session = self._session
            await session.until(session.live_done, limit)
            session.persist_acks()

    async def _once(self) -> float:
        """One connection from attempt to end; returns how long to wait before the next."""
        will = self._state("offline") if self._speaks else None
        link = MqttConnection(
            self._config, self._client_id, will=will, accepted_before=self._accepted
        )
        try:
            try:
                await link.open(self._context)
            except LinkError:
                self._flaps.refused()
                raise
            await self._serve(link)
        except LinkError as error:
            self._failed(error)
            if self._learned_no_retain(error.reason == RETAIN_NOT_SUPPORTED):
                return SHORTEST_S
            return self._flaps.wait(self._backoff.next(slow=error.slow))
        finally:
            link.close()
        raise AssertionError("a session ends with an error or by cancellation")

    def _learned_no_retain(self, said: bool) -> bool:
        """Whether the broker has just told us for the first time that it keeps no retained
        messages."""
        if not said or not self._retains or self._config.retain != "auto":
            return False
        self._retains = False
        log.warning("mqtt-no-retained-messages url=%s repeat_s=%.0f", self._config.url, PERIOD_S)
        return True

    async def _serve(self, link: MqttConnection) -> None:
        self._accepted = True
        self._learned_no_retain(not link.retain_available)
        started = self._connected_at = time.monotonic()
        self._note_streams()
        session = PublishSession(
            self._config,
            link,
            self._outbox,
            self._documents,
            self._counters,
            self._on_message,
            self._holds,
            self._suspects if self._flaps.now else (),
            retains=self._retains,
        )
        log.info(
            "mqtt-connected url=%s version=%s",
            self._config.url,
            self._config.version,
            extra={"ends": "mqtt-unavailable"},
        )
        if not self._flaps.now:
            self._settled()
        self._outbox.attach()
        self._session = session
        self._subscribe(link)
        session.wake()
        try:
            await self._supervise(session, link)
        except asyncio.CancelledError:
            await self._publish_offline_state(session, link)
            raise
        finally:
            lasted = time.monotonic() - started
            self._count_unknown_acks(link)
            self._unknown_acks_before = self._unknown_acks
            if session.acked_at is not None or lasted > _SETTLED_S:
                self._backoff.reset()
            self.ack_age()
            sole = session.sole_in_flight
            self._suspects = session.unacknowledged
            self._session = None
            session.end()
            self._outbox.detach()
        if link.error is not None:
            self._flaps.ended(lasted)
            self._holds.note_disconnect(sole and (sole.topic, sole.message), time.monotonic())
            raise link.error

    def _subscribe(self, link: MqttConnection) -> None:
        """To the watermarks; with `confirm: broker` for the births that a service asks for, as long
        as the broker does not hang up for it."""
        if self._config.confirm == "store" or self._subscription_answers:
            link.on_subscribed = self._subscription_answered
            self._subscription_answers = False  # until it answered
            link.subscribe([self._watermark_topic])

    def _subscription_answered(self, refused: dict[int, str]) -> None:
        self._subscription_answers = True
        for reason in refused.values():
            log.warning(
                "watermark-subscription-refused topic=%s reason=%s", self._watermark_topic, reason
            )

    def _settled(self) -> None:
        self.problem = None

    def _count_unknown_acks(self, link: MqttConnection) -> None:
        total = self._unknown_acks_before + link.unknown_acks
        if total == self._unknown_acks:
            return
        self._unknown_acks = total
        self._unknown_ack_at = time.monotonic()
        log.warning("mqtt-unknown-acks url=%s count=%d", self._config.url, self._unknown_acks)

    async def _supervise(self, session: PublishSession, link: MqttConnection) -> None:
        while not session.lost.is_set():
            try:
                async with asyncio.timeout(_TICK_S):
                    await session.lost.wait()
            except TimeoutError:
                self._tick(session, link)

    def _tick(self, session: PublishSession, link: MqttConnection) -> None:
        if self.problem is not None and time.monotonic() - self._connected_at > _SETTLED_S:
            self._settled()
            session.open_full_window()
        self._count_unknown_acks(link)
        self._outbox.tick()
        self._note_streams()
        if self._config.confirm == "store":
            self._send_overdue()
        session.tick()

    def flush_now(self) -> None:
        """Whatever was appended need not wait for company: no read is under way that could bring
        any."""
        if self._session is not None:
            self._session.flush_now()

    def _appended(self) -> None:
        if self._session is not None:
            self._session.appended()

    def _on_message(self, message: MqttMessage) -> None:
        if message.topic != self._watermark_topic:
            return
        mark = confirm.parse(message.payload)
        if mark is None:
            return
        now = time.monotonic()
        self._send_births(mark.births, now)
        if self._config.confirm != "store":
            return
        if not message.retained:
            self._watch.life(now)
            self._outbox.note_ingest()
        if mark.store:
            self._follow_store(mark.store, now, live=not message.retained)
        for stream, pairs in mark.streams.items():
            self._outbox.confirm(stream, pairs)
            if not message.retained and mark.store and mark.store == self._outbox.store:
                self._compare(stream, pairs)

    def _compare(self, stream: str, pairs: confirm.Pairs) -> None:
        """A store that was put back to an older copy of itself lacks what it confirmed since: it is
        sent again like everything that a live ingest lacks for long (`_send_overdue`)."""
        count = self._outbox.compare(stream, pairs)
        if count:
            log.warning(
                "mqtt-store-went-back stream=%s entries=%d store=%s",
                stream,
                count,
                self._outbox.store,
            )

    def _send_births(self, devices: Sequence[str], now: float) -> None:
        """Again, because another agent's device of the same path has taken their place at the
        broker."""
        if not devices or self._session is None or now - self._births_sent_at < _BIRTHS_S:
            return
        self._births_sent_at = now
        for topic in [topic for topic in self._documents if topic.endswith("/birth")]:
            if topic.rsplit("/", 2)[1] in devices:
                self._session.send_document(topic)

    def _follow_store(self, store: str, now: float, *, live: bool) -> None:
        """Another store has confirmed nothing of what this outbox holds. Where two are at work at
        once, the one that is believed stays it."""
        if store == self._outbox.store:
            self._store_seen_at = now if live else self._store_seen_at
        elif now - self._store_seen_at >= confirm.LIFE_S:
            before = self._outbox.store
            count = self._outbox.follow_store(store)
            self._store_seen_at = now if live else self._store_seen_at
            log.info("mqtt-store store=%s before=%s sent_again=%d", store, before or "-", count)

    def _send_overdue(self) -> None:
        awaiting = self._outbox.awaiting()
        due = self._watch.overdue(time.monotonic(), awaiting)
        for stream, pairs in due.items():
            count = self._outbox.again(stream, pairs)
            if count:
                self._counters.resent += count
                self._watch.sent_again(time.monotonic())
                log.warning(
                    "mqtt-sends-again stream=%s entries=%d reason=not-in-store", stream, count
                )

    @property
    def _client_id(self) -> str:
        return self._config.client_id or self._agent

    def _state(self, state: str) -> MqttMessage:
        values, messages = self.backlog()
        streams = self._streams()
        document = {
            "v": 1,
            "agent": self._agent,
            "state": state,
            "t": self._clock.time_ns(),
            "version": own_version(),
            "backlog_values": values,
            "backlog_messages": messages,
            "streams": list(streams),
            "pending_from": streams,
        }
        return MqttMessage(self._state_topic, orjson.dumps(document), retained=self._retains)

    def _streams(self) -> dict[str, int]:
        """The streams of this agent that may have something pending, each with the number from
        which on."""
        return {**self.other_streams(), **self._outbox.pending_from()}

    def _note_streams(self) -> None:
        """Tell which streams are held, when that changed: the ingest may forget all others. And the
        backlog, now and then."""
        if not self._speaks:
            return
        streams = tuple(self._streams())
        now = time.monotonic()
        other = streams != self._told_streams or self._session is None
        if other or (
            now - self._state_sent_at >= _BACKLOG_S and self.backlog() != self._sent_backlog
        ):
            self._told_streams, self._sent_backlog, self._state_sent_at = (
                streams,
                self.backlog(),
                now,
            )
            self.retain(self._state_topic, self._state("online").payload)

    def _own_backlog(self) -> tuple[int, int]:
        stats = self._outbox.stats
        return stats.pending, stats.pending_entries

    async def _publish_offline_state(self, session: PublishSession, link: MqttConnection) -> None:
        """A clean end: the offline state replaces the online one, and the last will is not
        needed."""
        if self._speaks:
            self._documents[self._state_topic] = (self._state("offline").payload,)
            session.send_document(self._state_topic)
        if not await session.until(session.documents_done, _GOODBYE_S):
            log.info("mqtt-goodbye-unanswered")
        if link.error is None:
            link.disconnect()
            log.info("mqtt-disconnected url=%s", self._config.url)

    def _failed(self, error: LinkError) -> None:
        finding = error.finding
        if self._flaps.now and error.reason != TAKEN_OVER:  # then the broker has said it already
            finding = flapping(self._client_id, self._config.url, finding)
        self.problem = finding
        self.failed_attempts += 1
        log.warning("mqtt-unavailable reason=%r", finding.en)
