"""The agent looks at itself about once a second: the facts its own health is judged by."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from edge_agent.clock import Clock
from edge_agent.health import agent as own
from edge_agent.health.clocks import OwnClock
from edge_agent.health.ne107 import HealthJudgement, NoticeTimes, judged
from edge_agent.outbox import Outbox
from edge_agent.polling.device import PolledDevice
from edge_agent.polling.standstill import Standstill
from edge_agent.publish import Publisher

#: Dropped values count as being dropped now for so long, seconds.
DROPPING_S = 60.0


@dataclass(slots=True)
class _Disk:
    """How long the disk has made nothing durable although something waited for it."""

    waiting_for: int = 0
    since: float = 0.0

    def look(self, durable: int, last: int, now: float, stood_until: float) -> float:
        """`stood_until`: when this process last stood still; the disk is not to blame for that."""
        self.since = max(self.since, stood_until)
        if durable >= self.waiting_for:
            self.waiting_for = last
            self.since = now
        return now - self.since if durable < self.waiting_for else 0.0


@dataclass(slots=True)
class _Drops:
    """Values dropped within the last minute, from the counter."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def look(self, dropped: int, now: float) -> int:
        self.seen.append((now, dropped))
        while now - self.seen[0][0] > DROPPING_S:
            self.seen.popleft()
        return dropped - self.seen[0][1]


class SelfHealth:
    """Watches the parts of one agent; `judgement` is that of the last look."""

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        clock: Clock,
        standstill: Standstill | None = None,
    ) -> None:
        self._standstill = standstill or Standstill()
        self._outbox = outbox
        self._publisher = publisher
        self._clock = clock
        self._own = OwnClock(clock.time_ns(), clock.monotonic())
        self._disk = _Disk()
        self._drops = _Drops()
        self.refused = self.refused_zh = ""
        self.restart: tuple[str, ...] = ()
        self.listen = self.listen_zh = ""
        self.judgement = HealthJudgement()
        self.times = NoticeTimes()

    def look(self, devices: list[PolledDevice], stalled: list[str]) -> HealthJudgement:
        """Judge anew."""
        return self.judge(self.facts(devices, stalled))

    def judge(self, facts: own.AgentFacts) -> HealthJudgement:
        """Judge by these facts."""
        self.judgement = judged(own.notices(facts))
        self.times.note(self.judgement, self._clock.time_ns())
        return self.judgement

    def facts(self, devices: list[PolledDevice], stalled: list[str]) -> own.AgentFacts:
        """What is known of this process now."""
        now = time.monotonic()
        stats = self._outbox.stats
        wall = self._clock.monotonic()
        self._own.look(self._clock.time_ns(), wall)
        return own.AgentFacts(
            connected=self._publisher.connected,
            broker=self._publisher.problem,
            refusal=self._publisher.refusal,
            broker_fault=self._publisher.fault,
            lacking=self._publisher.store_lacks_entries,
            ingest_silent=self._publisher.ingest_silent,
            freed_unseen=self._publisher.freed_before_store,
            outbox_bytes=stats.bytes,
            outbox_limit=self._outbox.limit,
            dropping=self._drops.look(stats.dropped, now),
            dropped=stats.dropped,
            damaged=stats.quarantined_bytes,
            unsynced_s=self._disk.look(
                stats.durable_seq, self._outbox.last_seq, now, self._standstill.until()
            ),
            stalled=stalled,
            devices=len(devices),
            offline=sum(device.health.unreached for device in devices),
            clock=self._own.findings(wall),
            jump_s=self._own.jump,
            refused=self.refused,
            refused_zh=self.refused_zh,
            restart=self.restart,
            listen=self.listen,
            listen_zh=self.listen_zh,
        )
