"""One connection's work: documents first, live entries next, the backlog in what is left of the
window."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from edge_agent.config.models import Mqtt
from edge_agent.intervals import IntervalSet
from edge_agent.mqtt import MqttConnection, MqttMessage
from edge_agent.mqtt.trouble import LinkError, publish_refused, silent, too_large, unknown_acks
from edge_agent.outbox import Outbox, OutboxEntry
from edge_agent.publish.in_flight_window import InFlightWindow
from edge_agent.publish.retransmit_schedule import RetransmitSchedule
from edge_agent.publish.suspect_messages import REFUSED_S, SuspectMessages

log = logging.getLogger(__name__)

UNCONFIRMED_LIMIT = 2000
"""With `confirm: store` the backlog pauses when so many messages are at the broker and not in the
store."""
_COMPANY_S = 0.004
"""What was just appended waits so long for more, unless it is known that nothing comes
(`flush_now`): devices answer one by one, and all of them can be one `send`."""
_BOOK_S = 0.05
"""Acknowledgements are entered in the outbox in groups. A kill in between has their messages sent
once more."""
_BOOK_AT = 500
_SKIP_AT_MOST = 200
"""Messages passed over in one go, because their topic has to wait; the loop has others to serve."""
_HEAD_BYTES = 16
"""Of a PUBLISH beside topic and payload, at the most."""


@dataclass(slots=True)
class PublishCounters:
    """In values (one tag once), since the publisher was made."""

    published: int = 0
    acknowledged: int = 0
    confirmed: int = 0
    resent: int = 0
    messages: int = 0
    """Messages sent, not values."""
    refused: int = 0
    """Messages the broker would not take (MQTT 5 reason codes, its limit of size); they are tried
    again."""


class InFlightMessage(NamedTuple):
    """A message under way."""

    at: float
    entry: OutboxEntry | None
    """None for a retained document."""
    topic: str
    live: bool

    @property
    def message(self) -> tuple[str, int]:
        """The same for a message that is sent again."""
        return (self.topic, 0) if self.entry is None else (self.entry.stream, self.entry.seq)


class PublishSession:
    """From CONNACK to the end of the connection. `pump` does all sending; it is called whenever
    something changed."""

    def __init__(
        self,
        config: Mqtt,
        link: MqttConnection,
        outbox: Outbox,
        documents: Mapping[str, tuple[bytes, ...]],
        counters: PublishCounters,
        on_message: Callable[[MqttMessage], None],
        holds: SuspectMessages,
        suspects: Sequence[InFlightMessage] = (),
        *,
        retains: bool = True,
    ) -> None:
        """`retains`: whether the broker keeps the documents; else they are sent again every minute.

        `suspects`: at one of these the broker may have hung up: they are sent first, one at a time,
        to find it.
        """
        self._loop = asyncio.get_running_loop()
        now = time.monotonic()
        self._link = link
        self._outbox = outbox
        self._documents = documents
        self._retains = retains
        self._repetition = RetransmitSchedule(now)
        self._counters = counters
        self._stores = config.confirm == "store"
        self._keepalive = config.keepalive
        self._careful = len(suspects)
        """So many messages more go one at a time."""
        self._full_window = min(config.window, link.receive_maximum)
        self._window = 1 if suspects else self._full_window
        self._largest = link.maximum_packet
        self._holds = holds
        self._drain = config.drain
        self._pace = self._new_pace(now)
        self._under_way: dict[int, InFlightMessage] = {}
        self._backlog_under_way = 0
        self._to_send = dict.fromkeys(
            [
                *(
                    sent.topic
                    for sent in suspects
                    if sent.entry is None and sent.topic in documents
                ),
                *documents,
            ]
        )
        self._waiting: dict[str, IntervalSet] = {}
        """Entries that were handed out and wait for their topic."""
        self._skipped = 0
        self._pumping: asyncio.Handle | None = None
        self._company: asyncio.TimerHandle | None = None
        """`_pumping`, while it waits for company."""
        self._booking: asyncio.TimerHandle | None = None
        self._booked_at = now
        self._timer: asyncio.TimerHandle | None = None
        self._acked: list[OutboxEntry] = []
        """Acknowledged by the broker, and not yet entered in the outbox."""
        self.acked_at: float | None = None
        """Monotonic time of the last PUBACK."""
        self.lost = asyncio.Event()
        self._changed = asyncio.Event()
        self._on_message = on_message
        link.on_acked = self._acknowledged
        link.on_message = self._handle_message
        link.on_lost = self._lose

    @property
    def in_flight(self) -> int:
        """Messages sent and not acknowledged."""
        return len(self._under_way)

    def _new_pace(self, now: float) -> InFlightWindow:
        reserve = min(max(1, self._window // 4), self._window - 1)
        return InFlightWindow(self._window - reserve, self._drain, now)

    @property
    def waiting(self) -> bool:
        """Whether there are entries that the broker does not take now."""
        return bool(self._waiting)

    def open_full_window(self) -> None:
        """The connection holds, or the suspects proved innocent: the full window."""
        if self._careful:
            self._careful = 0
            self._window = self._full_window
            self._pace = self._new_pace(time.monotonic())

    @property
    def unacknowledged(self) -> tuple[InFlightMessage, ...]:
        """What was sent and not acknowledged."""
        return tuple(self._under_way.values())

    @property
    def sole_in_flight(self) -> InFlightMessage | None:
        """The only message under way while they go one at a time; None otherwise."""
        return next(iter(self._under_way.values()), None) if self._careful else None

    def live_done(self) -> bool:
        """Whether all live entries are acknowledged."""
        return not self._outbox.live_waiting and not any(s.live for s in self._under_way.values())

    def documents_done(self) -> bool:
        """Whether the broker has every retained document."""
        return not self._to_send and all(s.entry is not None for s in self._under_way.values())

    def send_document(self, topic: str) -> None:
        """A retained document is new or has changed."""
        self._to_send[topic] = None
        self.wake()

    def wake(self) -> None:
        """Pump soon; many calls before that are one."""
        if self._pumping is None:
            self._pumping = self._loop.call_soon(self.pump)

    def appended(self) -> None:
        """There is a live entry."""
        if self._pumping is None:
            self._pumping = self._company = self._loop.call_later(_COMPANY_S, self.pump)

    def flush_now(self) -> None:
        """What waits for company waits in vain."""
        if self._company is not None:
            self._company.cancel()
            self._company = None
            self._pumping = self._loop.call_soon(self.pump)

    def pump(self) -> None:
        """Fill the window."""
        self._pumping = self._company = None
        link = self._link
        under_way = self._under_way
        window = self._window
        before = len(under_way)
        take_live = self._outbox.take_live
        self._skipped = 0
        while len(under_way) < window and link.error is None and self._to_send:
            self._send_document()
        if self._careful and (entry := self._next_poison_candidate()) is not None:
            self._send_entry(entry, live=False)
        while len(under_way) < window and link.error is None and (entry := take_live()) is not None:
            self._send_entry(entry, live=True)
            if self._skipped >= _SKIP_AT_MOST:
                break
        while len(under_way) < window and link.error is None and self._skipped < _SKIP_AT_MOST:
            if (entry := self._next_backlog()) is None:
                break
            self._send_entry(entry, live=False)
        if len(under_way) > before:
            link.flush()
        if self._skipped >= _SKIP_AT_MOST:
            self.wake()

    def tick(self) -> None:
        """Once a second: is the broker still there, and is there anything to try again?"""
        now = time.monotonic()
        if not self._retains:
            kept = [topic for topic, pieces in self._documents.items() if pieces]
            self._to_send |= dict.fromkeys(self._repetition.due(kept, now))
        if self._holds.expired(now):
            waiting = self._waiting
            self._waiting = {}
            for stream, numbers in waiting.items():
                self._outbox.again(stream, numbers.pairs())
            self._to_send |= dict.fromkeys(self._documents)
        if self._stalled(now):
            self._link.drop(self._why_stalled())
        else:
            self.wake()

    async def until(self, done: Callable[[], bool], limit: float) -> bool:
        """Wait for something acknowledgements bring about; False when the connection or the time
        ended first."""
        try:
            async with asyncio.timeout(limit):
                while not done():
                    if self.lost.is_set():
                        return False
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def persist_acks(self) -> None:
        """Enter in the outbox what the broker acknowledged."""
        if self._booking is not None:
            self._booking.cancel()
            self._booking = None
        self._booked_at = self._loop.time()
        if self._acked:
            entries = self._acked
            self._acked = []
            self._outbox.acknowledge(entries, release=not self._stores)

    def end(self) -> None:
        """The connection is over."""
        for handle in (self._timer, self._pumping):
            if handle is not None:
                handle.cancel()
        self.persist_acks()
        self._link.close()

    def _stalled(self, now: float) -> bool:
        """A PUBACK is due and does not come, or the broker has not been heard for two keepalives.

        is_connected() would say "connected" through any black hole.
        """
        if now - self._link.heard_at > 2 * self._keepalive:
            return True
        if not self._under_way:
            return False
        oldest = next(iter(self._under_way.values())).at
        return now - max(oldest, self.acked_at or 0.0) > min(
            max(10.0, self._keepalive), 2 * self._keepalive
        )

    def _why_stalled(self) -> LinkError:
        if self._link.unknown_acks:
            return LinkError(unknown_acks(self._link.url, self._link.unknown_acks))
        return silent(self._link.url)

    def _send_document(self) -> None:
        topic = next(iter(self._to_send))
        del self._to_send[topic]
        document = b"".join(self._documents[topic])
        if not self._is_suspended(topic, document):
            self._send(topic, document, None, live=False)

    def _next_backlog(self) -> OutboxEntry | None:
        if self._stores and self._outbox.unconfirmed + len(self._acked) >= UNCONFIRMED_LIMIT:
            return None
        if not self._pace.allows(self._backlog_under_way, time.monotonic()):
            self._schedule_wakeup()
            return None
        entry = self._outbox.take_backlog()
        if entry is not None:
            self._pace.spend()
            self._backlog_under_way += 1
        return entry

    def _next_poison_candidate(self) -> OutboxEntry | None:
        """What was under way when a connection ended is the oldest of the backlog."""
        idle = not self._under_way and self._link.error is None
        return self._next_backlog() if idle else None

    def _schedule_wakeup(self) -> None:
        """When only the rate limit holds the backlog up, no acknowledgement will come to wake
        us."""
        wait = self._pace.wait()
        if wait is not None and (self._timer is None or self._timer.when() <= self._loop.time()):
            self._timer = self._loop.call_later(wait, self.wake)

    def _is_suspended(self, topic: str, payload: bytes) -> bool:
        """Whether the broker does not take this now."""
        if self._largest is not None and len(payload) + len(topic) + _HEAD_BYTES > self._largest:
            self._counters.refused += 1
            self._holds.note(too_large(topic, len(payload), self._largest))
            return True
        return topic in self._holds.until

    def _keep_waiting(self, entry: OutboxEntry) -> None:
        self._waiting.setdefault(entry.stream, IntervalSet()).add(entry.seq)
        self._skipped += 1

    def _send_entry(self, entry: OutboxEntry, *, live: bool) -> None:
        if (self._holds.until or self._largest is not None) and self._is_suspended(
            entry.topic, entry.payload
        ):
            self._keep_waiting(entry)
            if not live:
                self._backlog_under_way -= 1
            return
        self._counters.published += entry.values
        self._send(entry.topic, entry.payload, entry, live=live)

    def _send(self, topic: str, payload: bytes, entry: OutboxEntry | None, *, live: bool) -> None:
        self._counters.messages += 1
        mid = self._link.publish(topic, payload, retained=entry is None and self._retains)
        self._under_way[mid] = InFlightMessage(time.monotonic(), entry, topic, live)

    def _acknowledged(self, answers: list[tuple[int, str]]) -> None:
        self.acked_at = now = time.monotonic()
        for mid, refusal in answers:
            sent = self._under_way.pop(mid, None)
            if sent is not None:
                self._handle_puback(sent, refusal, now)
                if self._careful:
                    self._count_probe_success()
        if len(self._acked) >= _BOOK_AT or self._all_acknowledged():
            self.persist_acks()
        elif self._acked and self._booking is None:
            self._booking = self._loop.call_later(_BOOK_S, self.persist_acks)
        self.pump()
        self._changed.set()

    def _count_probe_success(self) -> None:
        if self._careful > 1:
            self._careful -= 1
        else:
            self.open_full_window()

    def _all_acknowledged(self) -> bool:
        """Nothing is under way, so that waiting would only wake the agent once more; not more often
        than otherwise."""
        return not self._under_way and self._loop.time() - self._booked_at >= _BOOK_S

    def _handle_puback(self, sent: InFlightMessage, refusal: str, now: float) -> None:
        entry = sent.entry
        if entry is not None and not sent.live:
            self._backlog_under_way -= 1
            self._pace.acknowledged(now - sent.at, now)
        if refusal:
            self._counters.refused += 1
            self._holds.hold(publish_refused(sent.topic, refusal), REFUSED_S, now)
            if entry is not None:
                self._keep_waiting(entry)
            return
        if self._holds.is_suspecting:
            self._holds.taken(sent.topic, sent.message)
        if entry is not None:
            self._counters.acknowledged += entry.values
            self._acked.append(entry)

    def _handle_message(self, message: MqttMessage) -> None:
        # first, so that a watermark does not confirm what is not yet known to be acknowledged
        self.persist_acks()
        self._on_message(message)
        self.wake()

    def _lose(self) -> None:
        self.lost.set()
        self._changed.set()
