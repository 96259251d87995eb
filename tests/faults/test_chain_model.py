"""CONTRACT section 4 as a model: agent, broker, ingest and store, with crashes between any two
steps.

Outbox, decoding, duplicate removal, commit, marks and watermark are the real ones; the broker is a
model of one with a persistent session: at least once, in order, and now and then it forgets all it
had acknowledged. Whatever happens, nothing leaves the outbox that the store has not committed, and
in the end everything is in the store exactly once.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections import deque
from pathlib import Path
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_agent.clock import Clock
from edge_agent.config.models import Mqtt
from edge_agent.errors import StoreError
from edge_agent.ingest.quarantine import MessageQuarantine
from edge_agent.ingest.service import Ingest
from edge_agent.outbox import Outbox, OutboxEntry
from edge_agent.publish import confirm
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.topics import Topics
from tests.support.exploration import examples

TOPICS = Topics("edge", "enterprise", "site")
TOPIC = f"{TOPICS.device('area', 'L1', 'm1')}/data"
MANY = st.integers(1, 12)


class Session:
    """What the ingest believes to be its MQTT session."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def acknowledge(self, mid: int, qos: int) -> None:
        self._chain.delivered.pop(mid, None)

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Chain(RuleBasedStateMachine):
    """`queue`: at the broker, not delivered; `delivered`: delivered, not acknowledged by the
    ingest."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.root = Path(tempfile.mkdtemp(prefix="chain-"))
        self.lives = 0
        self.t = 0
        self.accepted: dict[tuple[str, int], int] = {}
        self.sent: list[OutboxEntry] = []
        self.queue: deque[bytes] = deque()
        self.delivered: dict[int, bytes] = {}
        self.mid = 0
        self.watermarks: list[bytes] = []
        self.store = DuckDbStore(self.root / "store.duckdb", agent="a")
        self.open_outbox()
        self.open_ingest()

    def open_outbox(self) -> None:
        self.box = Outbox(
            self.root / f"box-{self.lives}", agent="a", max_bytes=10_000_000, fsync_ms=10_000
        )
        self.box.note_ingest()
        self.box.attach()
        self.sent = []

    def open_ingest(self) -> None:
        config = Mqtt(url="mqtt://127.0.0.1:1")
        quarantine = MessageQuarantine(self.root / "quarantine")
        self.ingest = Ingest(config, self.store, TOPICS, quarantine, client_id="i", clock=Clock())
        self.connect_ingest()

    def connect_ingest(self) -> None:
        """A new connection: the broker delivers again what was not acknowledged."""
        self.queue.extendleft(reversed(self.delivered.values()))
        self.delivered.clear()
        self.ingest._connection += 1
        self.ingest._session = Session(self)  # type: ignore[assignment]

    @rule(count=MANY)
    def read(self, count: int) -> None:
        """The agent reads its device."""
        for _ in range(count):
            self.t += 1000
            head = b'{"v":1,"device":"m1","stream":"%b","seq":' % self.box.stream.encode()
            tail = b',"ts":%d,"t":%d,"values":{"x":%d.5}}' % (self.t // 10**6, self.t, self.t)
            seq = self.box.append(TOPIC, head, tail, self.t, 1)
            self.accepted[self.box.stream, seq] = self.t

    @rule(count=MANY, live=st.booleans())
    def publish(self, count: int, live: bool) -> None:
        for _ in range(count):
            entry = self.box.take_live() if live else self.box.take_backlog()
            if entry is not None:
                self.queue.append(entry.payload)
                self.sent.append(entry)

    @rule(count=MANY)
    def puback(self, count: int) -> None:
        acked, self.sent = self.sent[:count], self.sent[count:]
        self.box.acknowledge(acked, release=False)

    @rule()
    def agent_loses_its_connection(self) -> None:
        self.box.detach()
        self.box.attach()
        self.sent = []

    @rule()
    def agent_is_killed(self) -> None:
        """The folder as it is, under a new name: nothing of the old life can change it any more."""
        before = self.root / f"box-{self.lives}"
        self.lives += 1
        shutil.copytree(before, self.root / f"box-{self.lives}")
        self.box.close_now()
        shutil.rmtree(before)
        self.open_outbox()

    @rule(count=MANY)
    def deliver(self, count: int) -> None:
        for _ in range(min(count, len(self.queue))):
            self.mid += 1
            payload = self.delivered[self.mid] = self.queue.popleft()
            self.ingest._received(TOPIC, payload, self.mid, 1)

    @rule(count=MANY, acknowledged=st.booleans(), told=st.booleans())
    def pass_on(self, count: int, acknowledged: bool, told: bool) -> None:
        """All the way in one step, so that not every run has to find it by chance."""
        self.read(count)
        self.publish(count, True)
        self.deliver(count)
        self.commit(acknowledged)
        if told:
            self.puback(count)
            self.watermark()

    @rule(acknowledged=st.booleans())
    def commit(self, acknowledged: bool) -> None:
        """A commit; without acknowledgement it is killed just after."""
        messages, self.ingest._pending = self.ingest._pending, []
        self.runner.run(self.ingest._commit_messages(messages))
        if acknowledged:
            self.ingest._acknowledge(messages)
        else:
            self.ingest_is_killed()

    @rule()
    def commit_fails_half_way(self) -> None:
        """The store ends in the middle of its transaction, and the ingest with it."""
        messages = self.ingest._pending
        broken = patch.object(DuckDbStore, "_write_marks", side_effect=StoreError("gone"))
        # it would go on trying; the kill below ends that
        with (
            broken,
            contextlib.suppress(TimeoutError),
        ):
            self.runner.run(asyncio.wait_for(self.ingest._commit_messages(messages), 0.02))
        self.ingest_is_killed()

    @rule()
    def ingest_is_killed(self) -> None:
        self.ingest._worker.shutdown()
        self.store.close()
        self.store = DuckDbStore(self.root / "store.duckdb", agent="a")
        self.open_ingest()

    @rule()
    def ingest_loses_its_connection(self) -> None:
        self.connect_ingest()

    @rule()
    def broker_restarts(self) -> None:
        self.connect_ingest()
        self.agent_loses_its_connection()

    @rule()
    def broker_forgets_everything(self) -> None:
        self.queue.clear()
        self.delivered.clear()
        self.broker_restarts()

    @rule()
    def watermark(self) -> None:
        streams = {stream for stream, _ in self.accepted}
        self.ingest._watermarks.committed(streams, 1.0)
        known = self.ingest._marks
        known.learn(known.unknown(streams), self.store.marks(streams), 1.0)
        self.watermarks.append(self.ingest._watermarks.document("a", "i", 1, known.sets))

    @rule(share=st.floats(0, 1))
    def watermark_is_heard(self, share: float) -> None:
        """The newest, or one that was retained long ago."""
        if self.watermarks:
            told = confirm.parse(self.watermarks[round(share * (len(self.watermarks) - 1))])
            for stream, pairs in (told.streams if told is not None else {}).items():
                self.box.confirm(stream, pairs)

    @rule()
    def overdue_is_sent_again(self) -> None:
        for stream, pairs in self.box.awaiting().items():
            self.box.again(stream, pairs)

    @invariant()
    def nothing_leaves_that_the_store_lacks(self) -> None:
        marks = self.store.marks()
        lacking = sum(
            stream not in marks or seq not in marks[stream] for stream, seq in self.accepted
        )
        assert self.box.pending >= lacking

    def teardown(self) -> None:
        """All is well again: everything arrives, once."""
        for _ in range(3):
            self.overdue_is_sent_again()
            self.publish(len(self.accepted), True)
            self.publish(len(self.accepted), False)
            self.puback(len(self.accepted))
            self.deliver(len(self.queue))
            self.commit(acknowledged=True)
            self.watermark()
            self.watermark_is_heard(1.0)
        pending = self.box.pending
        rows = self.store.samples("m1", "x", 0, 2**62)
        self.box.close_now()
        self.ingest._worker.shutdown()
        self.store.close()
        self.runner.close()
        shutil.rmtree(self.root)
        assert pending == 0
        assert rows.t.tolist() == sorted(self.accepted.values())
        assert rows.num.tolist() == [t + 0.5 for t in rows.t.tolist()]


TestChain = Chain.TestCase
TestChain.settings = settings(max_examples=examples(12), stateful_step_count=40, deadline=None)
