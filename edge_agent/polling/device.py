"""One configured device as the polling loop sees it: normalise, count, say what is news."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge_agent.health import DeviceHealth
from edge_agent.model import Batch, TagTable
from edge_agent.normalise import Normaliser
from edge_agent.polling.breaker import Breaker
from edge_agent.sdk import DevicePlan, Sink

#: Called when a device's health has news, so that the row does not wait for its turn.
Tell = Callable[["PolledDevice"], None]


class PolledDevice:
    """Everything that belongs to one device while it runs. `send` takes batches that are to leave the agent."""

    def __init__(
        self,
        plan: DevicePlan,
        normalisers: Mapping[TagTable, Normaliser],
        health: DeviceHealth,
        send: Sink,
        tell: Tell,
    ) -> None:
        self.plan = plan
        self.health = health
        self.breaker = Breaker()
        self.normalisers = normalisers
        self._send = send
        self._tell = tell

    def answered(self, batch: Batch, now: float, latency: float = 0.0) -> None:
        """A read succeeded, at least in part."""
        self.breaker.answered()
        normaliser = self.normalisers[batch.table]
        normaliser.apply(batch)
        self.health.answered(batch, now, latency)
        self._report(normaliser, batch)
        if self.health.changed:
            self._tell(self)

    def failed(self, status: int, detail: str, t: int) -> None:
        """The device did not answer: the first time for this reason each of its tags is said to be bad."""
        if self.health.failed(status, detail):
            for table, normaliser in self.normalisers.items():
                batch = Batch.failed(table, t, status)
                normaliser.apply(batch)
                self._report(normaliser, batch)
            self._tell(self)

    def _report(self, normaliser: Normaliser, batch: Batch) -> None:
        news = normaliser.news(batch)
        if news is not None:
            self._send(news)
