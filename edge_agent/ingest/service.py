"""MQTT -> store. A message is acknowledged to the broker after the store has committed it, never
before."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

from edge_agent.clock import Clock
from edge_agent.config.models import Mqtt
from edge_agent.errors import Finding, PoisonError, StoreError
from edge_agent.ingest import messages as decoding
from edge_agent.ingest.agents import Agents
from edge_agent.ingest.committer import commit
from edge_agent.ingest.decode import MalformedError, document
from edge_agent.ingest.messages import IngestMessage
from edge_agent.ingest.quarantine import MessageQuarantine
from edge_agent.ingest.replay import replay
from edge_agent.ingest.session import IngestSession, SessionLostError
from edge_agent.ingest.stream_marks import StreamMarks
from edge_agent.ingest.watermark import Watermarks
from edge_agent.ingest.window import ReceiveWindow
from edge_agent.mqtt.backoff import SHORTEST_S, ReconnectBackoff
from edge_agent.mqtt.flap_detector import SHORT_S, FlapDetector, flapping
from edge_agent.mqtt.reasons import RETAIN_NOT_SUPPORTED, TAKEN_OVER
from edge_agent.stores.protocols import SampleStore
from edge_agent.topics import Topics

log = logging.getLogger(__name__)

T = TypeVar("T")

_WATERMARK_SECONDS: Final = 0.25
_LIFE_SECONDS: Final = 10.0
_RETAIN_SECONDS: Final = 600.0
_RECHECK_SECONDS: Final = 15.0
_BACKOFF_FIRST: Final = 0.1
#: Broker and store are tried at least so often: within 2 s of their return fresh values are to be
#: in the store.
_BACKOFF_LIMIT: Final = 1.5
#: Reading stops here while the store is away, whatever the broker's own window is.
_HELD_MESSAGES: Final = 20_000
_HELD_BYTES: Final = 64_000_000


@dataclass(slots=True)
class IngestCounters:
    """Values since the start (one tag once). received = stored + duplicates_ignored + quarantined +
    not yet settled."""

    received: int = 0
    stored: int = 0
    duplicates_ignored: int = 0
    quarantined: int = 0
    malformed: int = 0
    """Messages, not values: those in quarantine."""


class Ingest:
    """Owns the store's thread: all that writes to the store goes through `call`."""

    def __init__(
        self,
        config: Mqtt,
        store: SampleStore,
        topics: Topics,
        quarantine: MessageQuarantine,
        *,
        client_id: str,
        clock: Clock,
        lines: int = 10_000,
        delay: float = 0.2,
        stored: Callable[[Sequence[Mapping[str, Any]]], None] | None = None,
    ) -> None:
        """`client_id` names the persistent session at the broker; commits come at `lines` values or
        `delay` seconds. `stored` is told of the health rows of devices that were committed."""
        self.counters = IngestCounters()
        self.connected = False
        self.trouble: Finding | None = None
        """Why the broker or the store is away; None when all is well."""
        self._config = config
        self._store = store
        self._topics = topics
        self._quarantine = quarantine
        self._clock = clock
        self._client_id = client_id
        self._lines = lines
        self._delay = delay
        self._stored = stored
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._marks = StreamMarks()
        self.agents = Agents(store.catalogue)
        self._watermarks = Watermarks()
        self._window = ReceiveWindow()
        self._session: IngestSession | None = None
        self._flaps = FlapDetector()
        self._connected_at = 0.0
        self._accepted = False
        """Whether the broker ever took our settings."""
        self._retains = config.retain is not False
        self._backoff = ReconnectBackoff()
        self._connection = 0
        self._pending: list[IngestMessage] = []
        self._settling: Sequence[IngestMessage] = ()
        self._uncommitted: set[tuple[str, int]] = set()
        self._was_misplaced = False
        self._values = self._bytes = 0
        self._some, self._enough = asyncio.Event(), asyncio.Event()

    @property
    def problem(self) -> str:
        """`trouble` in English, empty when all is well."""
        return "" if self.trouble is None else self.trouble.en

    async def run(self) -> None:
        """Until cancelled. What is not committed then stays with the broker."""
        try:
            await self._identify()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_connected(), name="ingest-mqtt")
                group.create_task(self._keep_committing(), name="ingest-commit")
                group.create_task(self._publish_watermarks(), name="ingest-watermark")
                group.create_task(self._keep_retention(), name="ingest-retention")
                group.create_task(self._keep_rechecking(), name="ingest-recheck")
        finally:
            self._worker.shutdown(wait=True, cancel_futures=True)

    async def _identify(self) -> None:
        """Nothing is received before it is known which store this is, and so what it has."""
        pause = _BACKOFF_FIRST
        while True:
            try:
                await self.call(self._store.identify)
            except StoreError as error:
                self.trouble = Finding("store-away", "", error.cause.zh, error.cause.en)
                log.warning("store-away retry_s=%.1f reason=%s", pause, error)
            else:
                break
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
            pause = min(_BACKOFF_LIMIT, pause * 2)
        self.trouble = None
        log.info("store-open id=%s", self._store.store_id, extra={"ends": "store-away"})

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run something in the store's thread, after what is under way."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *arguments)

    async def replay(self, ids: Sequence[str]) -> dict[str, Any]:
        """Entries of the quarantine into the store after all (all of them for no ids): `Replayed`
        as plain JSON."""
        entries = [entry for entry in self._quarantine.entries() if not ids or entry.id in ids]
        done = await self.call(replay, entries, self._store, self._quarantine, self._clock)
        self.counters.stored += done.stored
        return asdict(done)

    def lag(self) -> float:
        """Real seconds the oldest message has been waiting for the store; 0 when none waits."""
        oldest = (
            self._settling[0] if self._settling else self._pending[0] if self._pending else None
        )
        return time.monotonic() - oldest.arrived if oldest is not None else 0.0

    def publish(self, topic: str, payload: bytes) -> bool:
        """Publish a retained document (a metric) over the same connection; False when there is
        none."""
        if self._session is None or not self.connected:
            return False
        self._session.publish(topic, payload)
        return True

    # --- from the broker --------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        filters = [self._topics.all(kind) for kind in ("birth", "data", "health")] + [
            self._topics.all_agents()
        ]
        while True:
            self._connection += 1
            self._session = IngestSession(
                self._config, self._client_id, filters, self._received,
                retains=self._retains, accepted_before=self._accepted,
            )  # fmt: skip
            try:
                await self._session.run(self._ready)
            except SessionLostError as error:
                pause = self._lost(error)
            finally:
                self.connected = False
                self._session = None
            await asyncio.sleep(pause)

    def _lost(self, error: SessionLostError) -> float:
        """The connection is over, or none was made; returns how long to wait before the next."""
        if self.connected:
            self._backoff.reset()
            self._flaps.ended(time.monotonic() - self._connected_at)
        else:
            self._flaps.refused()
        self.trouble = error.finding
        if self._flaps.now and error.reason != TAKEN_OVER:  # then the broker has said it already
            self.trouble = flapping(self._client_id, self._config.url, error.finding)
        pause = self._flaps.wait(self._backoff.next(slow=error.slow))
        log.warning(
            "broker-away url=%s retry_s=%.1f reason=%s", self._config.url, pause, self.trouble.en
        )
        if self._learned_no_retain(error.reason == RETAIN_NOT_SUPPORTED):
            return SHORTEST_S
        return pause

    def _learned_no_retain(self, said: bool) -> bool:
        """Whether the broker has just told us for the first time that it keeps no retained
        messages."""
        if not said or not self._retains or self._config.retain != "auto":
            return False
        self._retains = False
        log.warning("broker-keeps-no-retained-messages url=%s", self._config.url)
        return True

    def _ready(self) -> None:
        self.connected = self._accepted = True
        self._connected_at = time.monotonic()
        if self._session is not None:
            self._learned_no_retain(not self._session.retain_available)
        if not self._flaps.now:
            self.trouble = None
        log.info(
            "broker-connected url=%s client=%s",
            self._config.url,
            self._client_id,
            extra={"ends": "broker-away"},
        )

    def _received(self, topic: str, payload: bytes, mid: int, qos: int) -> None:
        if topic.startswith(self._topics.root + "/agents/"):
            self._take_state(payload)
            self._take(
                IngestMessage(topic, b"", duplicate=True, acknowledge=(self._connection, mid, qos))
            )
            return
        if not payload and topic.endswith("/birth"):  # a retained document was deleted
            self._take(
                IngestMessage(topic, b"", duplicate=True, acknowledge=(self._connection, mid, qos))
            )
            return
        try:
            message = decoding.read(topic, payload, self._store.catalogue)
        except Exception as error:
            # As broad as that, because paho would stop reading: a bug of ours costs this message
            # only, and is seen.
            log.exception("decode-failed topic=%s", topic)
            message = IngestMessage(
                topic, payload, refused=f"internal error: {type(error).__name__}"
            )
        message.acknowledge = (self._connection, mid, qos)
        self.counters.received += message.values
        if message.stream:
            key = (message.stream, message.seq)
            if key in self._uncommitted or self._marks.has(*key):
                self._forget(message)
            else:
                self._uncommitted.add(key)
                message.unchecked = message.stream not in self._marks.sets
        if message.birth is not None:
            self._store.catalogue.born(message.birth)
        if not message.refused and not message.duplicate:
            self.agents.received(message)
        self._take(message)

    def _forget(self, message: IngestMessage) -> None:
        """It is a duplicate."""
        self.counters.duplicates_ignored += message.values
        message.forget()

    def _take_state(self, payload: bytes) -> None:
        if payload:
            try:
                state = document(payload)
                self._watermarks.take_agent_state(state)
                self.agents.take_state(state)
            except MalformedError as error:
                log.warning("agent-state-malformed reason=%s", error)

    def _take(self, message: IngestMessage) -> None:
        """Put it in the queue. Duplicates too: acknowledgements keep the order of arrival
        (MQTT-4.6.0-2)."""
        message.arrived = time.monotonic()
        self._pending.append(message)
        self._values += message.values
        self._bytes += len(message.payload)
        outstanding = len(self._pending) + len(self._settling)
        self._window.seen(outstanding)
        self._some.set()
        if self._values >= self._lines or self._window.full(outstanding):
            self._enough.set()
        if (
            outstanding >= _HELD_MESSAGES or self._bytes >= _HELD_BYTES
        ) and self._session is not None:
            self._session.pause()

    # --- into the store ---------------------------------------------------------------------------

    async def _keep_committing(self) -> None:
        while True:
            await self._some.wait()
            try:
                await asyncio.wait_for(self._enough.wait(), self._delay)
            except TimeoutError:
                self._window.waited(len(self._pending))
            self._settling = self._pending
            self._pending = []
            self._values = self._bytes = 0
            self._some.clear()
            self._enough.clear()
            await self._commit_messages(self._settling)
            # Committed, but not to where somebody will look for it? The file system tells nobody
            # when it is back.
            while self._misplaced():  # noqa: ASYNC110
                await asyncio.sleep(_BACKOFF_LIMIT)
            self._acknowledge(self._settling)
            self._settling = ()
            if self._session is not None:
                self._session.resume()

    async def _look_up(self, messages: Sequence[IngestMessage]) -> None:
        """Learn what the store has of streams that are new here; messages it has already are
        duplicates."""
        unchecked = [message for message in messages if message.unchecked]
        streams = self._marks.unknown(message.stream for message in unchecked)
        if streams:
            found = await self._call_until_stored(len(messages), self._store.marks, streams)
            self._marks.learn(streams, found, time.monotonic())
        for message in unchecked:
            message.unchecked = False
            if self._marks.has(message.stream, message.seq):
                self._uncommitted.discard((message.stream, message.seq))
                self._forget(message)

    async def _commit_messages(self, messages: Sequence[IngestMessage]) -> None:
        """Commit; repeat while the store is away; split what it refuses until the poison stands
        alone."""
        await self._look_up(messages)
        try:
            stored, quarantined = await self._commit(messages)
        except PoisonError as error:
            if len(messages) == 1:
                messages[0].refused = f"the store refuses it: {error}"
                messages[0].kept = False
                await self._commit_messages(messages)
            else:
                half = len(messages) // 2
                await self._commit_messages(messages[:half])
                await self._commit_messages(messages[half:])
            return
        self.counters.stored += stored
        self.counters.quarantined += quarantined
        self.counters.malformed += sum(
            bool(message.refused) and not message.duplicate for message in messages
        )
        now = time.monotonic()
        for message in messages:
            if message.stream and not message.duplicate:
                self._marks.add(message.stream, message.seq, now)
                self._uncommitted.discard((message.stream, message.seq))
        self._watermarks.committed({message.stream for message in messages if message.stream}, now)
        if self._stored is not None:
            rows = [
                each.health for each in messages if each.health is not None and not each.refused
            ]
            if rows:
                self._stored(rows)

    async def _commit(self, messages: Sequence[IngestMessage]) -> tuple[int, int]:
        if all(message.duplicate for message in messages):
            return 0, 0
        return await self._call_until_stored(
            len(messages), commit, messages, self._store, self._quarantine, self._clock
        )

    def _misplaced(self) -> bool:
        """Whether the store's file is no more where it was; that is said, and its end too."""
        lost = self._store.misplaced()
        if lost is not None:
            self.trouble = Finding("store-misplaced", "", lost.zh, lost.en)
            log.error("store-misplaced held=%d reason=%s", len(self._settling), lost.en)
        elif self._was_misplaced:
            if self.trouble is not None and self.trouble.code == "store-misplaced":
                self.trouble = None
            log.info("store-back held=%d", len(self._settling), extra={"ends": "store-misplaced"})
        self._was_misplaced = lost is not None
        return self._was_misplaced

    async def _call_until_stored(
        self, waiting: int, function: Callable[..., T], *arguments: Any
    ) -> T:
        """`call`, again and again while the store is away; so many messages wait meanwhile."""
        pause = _BACKOFF_FIRST
        while True:
            try:
                result = await self.call(function, *arguments)
            except StoreError as error:
                self.trouble = Finding("store-away", "", error.cause.zh, error.cause.en)
                log.warning("store-away held=%d retry_s=%.1f reason=%s", waiting, pause, error)
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
                pause = min(_BACKOFF_LIMIT, pause * 2)
                continue
            if pause > _BACKOFF_FIRST:
                self.trouble = None
                log.info("store-back held=%d", waiting, extra={"ends": "store-away"})
            return result

    def _acknowledge(self, messages: Sequence[IngestMessage]) -> None:
        if self._session is None:
            return
        for message in messages:
            connection, mid, qos = message.acknowledge
            if connection == self._connection:
                self._session.acknowledge(mid, qos)

    # --- back to the agents -----------------------------------------------------------------------

    async def _publish_watermarks(self) -> None:
        everyone_at = 0.0
        while True:
            await asyncio.sleep(_WATERMARK_SECONDS)
            if not self.connected or self._session is None or self._store.misplaced() is not None:
                continue
            now = time.monotonic()
            if self._flaps.now and now - self._connected_at > SHORT_S:
                self._flaps.ended(now - self._connected_at)
                self.trouble = None
            everyone = now >= everyone_at
            if everyone:
                everyone_at = now + _LIFE_SECONDS * 0.9
            for agent in self._watermarks.due(now, everyone=everyone):
                await self._publish_watermark(agent)

    async def _publish_watermark(self, agent: str) -> None:
        streams = self._marks.unknown(self._watermarks.streams(agent))
        if streams:  # an agent names what its outbox still holds of a life before
            try:
                self._marks.learn(
                    streams, await self.call(self._store.marks, streams), time.monotonic()
                )
            except StoreError as error:
                log.debug("watermark-postponed agent=%s reason=%s", agent, error)
                return
        births = self.agents.without_birth(agent)
        store = self._store.store_id
        text = self._watermarks.document(
            agent,
            self._client_id,
            self._clock.time_ns(),
            self._marks.sets,
            store=store,
            births=births,
        )
        if self._session is not None:
            self._session.publish(self._topics.watermark(agent), text)

    async def _keep_rechecking(self) -> None:
        """A server that was emptied while we work has none of what the marks say: its agents send
        what they still hold."""
        while True:
            await asyncio.sleep(_RECHECK_SECONDS)
            if self._misplaced():
                continue
            try:
                if await self.call(self._store.recheck):
                    self._marks = StreamMarks()  # what is spoken of is looked up again
                    self._watermarks.all_changed()
            except (StoreError, PoisonError) as error:
                log.debug("store-recheck-postponed reason=%s", error)  # writing says so, and aloud

    async def _keep_retention(self) -> None:
        while True:
            await asyncio.sleep(_RETAIN_SECONDS)
            self._marks.drop_idle(time.monotonic(), self._watermarks.named())
            try:
                await self.call(self._store.retain, self._clock.time_ns())
            except (StoreError, PoisonError) as error:
                log.warning("retention-failed reason=%s", error)
