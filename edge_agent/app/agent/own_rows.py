"""What an agent says of itself through an outbox: its own health when it changes, and the gaps that
came to light."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from edge_agent import payload
from edge_agent.clock import Clock
from edge_agent.config.models import Agent
from edge_agent.health.ne107 import HealthJudgement
from edge_agent.names import AGENT_LINE
from edge_agent.outbox import Outbox, UndeliveredRange
from edge_agent.topics import Topics

log = logging.getLogger(__name__)

#: The agent's own health is written when it changes, and so often when it does not: seconds of its
#: clock.
OWN_ROW_S: Final = 60.0


class OwnRows:
    """Rows of the device that an agent is itself."""

    def __init__(self, agent: Agent, topics: Topics, outbox: Outbox, clock: Clock) -> None:
        self._topic = f"{topics.device(agent.area, AGENT_LINE, agent.id)}/health"
        self._head = payload.head(agent.id, outbox.stream)
        self._outbox = outbox
        self._clock = clock
        self._told = float("-inf")
        self._said: list[str] = []

    def health(self, judgement: HealthJudgement, counters: Callable[[], Mapping[str, int]]) -> None:
        """Call it about once a second; a row is written when the reasons changed, and once a
        minute."""
        now = self._clock.monotonic()
        if judgement.reasons != self._said:
            self._said, self._told = judgement.reasons, float("-inf")
            level = logging.WARNING if judgement.health else logging.INFO
            log.log(
                level,
                "agent-health ne107=%s reasons=%s",
                judgement.health.name,
                ",".join(self._said),
            )
        if now - self._told >= OWN_ROW_S:
            self._told = now
            self._write({"ne107": judgement.full(), "counters": dict(counters())})

    def gaps(self, gaps: Iterable[UndeliveredRange]) -> None:
        """What will never be delivered."""
        for gap in gaps:
            self._write({"gap": gap.to_json()})

    def _write(self, fields: Mapping[str, Any]) -> None:
        t = self._clock.time_ns()
        self._outbox.append(self._topic, self._head, payload.document_tail(t, dict(fields)), t, 0)
