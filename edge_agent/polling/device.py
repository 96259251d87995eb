"""One configured device as the polling loop sees it: normalise, count, say what is news."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from edge_agent.health import DeviceHealth
from edge_agent.model import STATUS, Batch, TagTable
from edge_agent.normalise import Normaliser
from edge_agent.polling.breaker import Breaker
from edge_agent.polling.staleness import Staleness
from edge_agent.sdk import DevicePlan, Sink

#: Called when a device's health has news, so that the row does not wait for its turn.
Tell = Callable[["PolledDevice"], None]

#: Rows that may be told before their turn: so many at once, and then one a second, however a device flaps.
EARLY_ROWS = 10

_WAITING, _TIMEOUT = STATUS["BadWaitingForInitialData"], STATUS["BadTimeout"]


class PolledDevice:
    """Everything that belongs to one device while it runs. `send` takes batches that are to leave the agent."""

    def __init__(
        self,
        plan: DevicePlan,
        normalisers: Mapping[TagTable, Normaliser],
        health: DeviceHealth,
        send: Sink,
        tell: Tell,
        staleness: float | None = None,
    ) -> None:
        """`staleness`: seconds after which a value that nobody confirmed is bad; None = from each table's period."""
        self.plan = plan
        self.health = health
        self.breaker = Breaker()
        self.normalisers = normalisers
        self.staleness = Staleness(normalisers, staleness)
        self._send = send
        self._tell = tell
        self._early, self._early_at = float(EARLY_ROWS), 0.0

    def answered(self, batch: Batch, now: float, latency: float = 0.0) -> None:
        """A read succeeded, at least in part."""
        table = batch.table
        self.breaker.answered(table)
        normaliser = self.normalisers[table]
        normaliser.apply(batch)
        self.health.answered(batch, now, latency)
        if self.health.streaming:
            unheard = self.staleness.heard(table, batch.columns, now)
            if batch.source is not None and not unheard:
                self.health.clock.told(batch, now)
        else:
            self.staleness.confirmed[table] = now
            if batch.source is not None:
                self.health.clock.polled(batch, now)
        self._report(normaliser, batch)
        if self.health.changed:
            self._tell_early(now)

    def proven(self, now: float, reach: float, t: int) -> None:
        """A subscription has just shown that it lives; so do the values it brought, for `reach` seconds."""
        self.staleness.listening(now)
        self.health.proven(now, reach, t)

    def failed(self, status: int, detail: str, t: int, now: float, sentences: tuple[str, str] | None = None) -> None:
        """The device did not answer: the first time for this reason each of its tags is said to be bad."""
        self.staleness.forget()
        if self.health.failed(status, detail, sentences):
            for table, normaliser in self.normalisers.items():
                batch = Batch.failed(table, t, status)
                normaliser.apply(batch)
                self.health.tags.all_failed(batch)
                self._report(normaliser, batch)
            self._tell_early(now)

    def watch(self, now: float, t: int) -> None:
        """Make bad what nobody confirmed within its limit, whatever the reason for the silence is."""
        self._lapse(self.staleness.overdue(now), _WAITING if self.health.state == "starting" else _TIMEOUT, t)
        self._lapse(self.staleness.unheard(now), _WAITING, t)
        if self.health.changed:
            self._tell_early(now)

    def tell(self) -> None:
        """Write a health row about the time since the last one."""
        self._tell(self)

    def _lapse(self, what: Iterable[tuple[TagTable, Sequence[int] | None]], status: int, t: int) -> None:
        for table, columns in what:
            count = len(table) if columns is None else len(columns)
            batch = Batch(table, t, [None] * count, dict.fromkeys(range(count), status), None, columns)
            normaliser = self.normalisers[table]
            normaliser.apply(batch)
            self.health.lapsed(batch)
            self._report(normaliser, batch)

    def _tell_early(self, now: float) -> None:
        """At once, unless the device flaps: then the change waits for the next row."""
        self._early = min(float(EARLY_ROWS), self._early + now - self._early_at)
        self._early_at = now
        if self._early >= 1.0:
            self._early -= 1.0
            self._tell(self)

    def _report(self, normaliser: Normaliser, batch: Batch) -> None:
        news = normaliser.news(batch)
        if news is not None:
            self._send(news)
