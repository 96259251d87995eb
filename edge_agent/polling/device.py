"""One configured device as the polling loop sees it: normalise, count, say what is news."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from edge_agent.errors import DeviceError
from edge_agent.health import DeviceHealth
from edge_agent.model import STATUS, Batch, TagTable
from edge_agent.normalise import Normaliser
from edge_agent.polling.breaker import Breaker
from edge_agent.polling.current import CurrentValues
from edge_agent.polling.staleness import Staleness
from edge_agent.reasons import Cause, cause
from edge_agent.sdk import DevicePlan, Sink

log = logging.getLogger(__name__)

#: Called when a device's health has news, so that the row does not wait for its turn.
Tell = Callable[["PolledDevice"], None]

#: Rows that may be told before their turn: so many at once, and then one a second, however a device
#: flaps.
EARLY_ROWS = 10

_WAITING = STATUS["BadWaitingForInitialData"]
_TIMEOUT = STATUS["BadTimeout"]


class PolledDevice:
    """Everything that belongs to one device while it runs. `send` takes batches that are to leave
    the agent."""

    def __init__(
        self,
        plan: DevicePlan,
        normalisers: Mapping[TagTable, Normaliser],
        health: DeviceHealth,
        send: Sink,
        tell: Tell,
        staleness: float | None = None,
    ) -> None:
        """`staleness`: seconds after which a value that nobody confirmed is bad; None = from each
        table's period."""
        self.plan = plan
        self.health = health
        self.breaker = Breaker()
        self.normalisers = normalisers
        self.staleness = Staleness(normalisers, staleness)
        self.current = CurrentValues()
        """The newest value of each tag, for whoever asks."""
        self._timed = tuple(
            (table, normaliser) for table, normaliser in normalisers.items() if normaliser.timed
        )
        self._send = send
        self._tell = tell
        self._early, self._early_at = float(EARLY_ROWS), 0.0
        self._logged = ""
        """The name of the cause that the log has."""

    def answered(self, batch: Batch, now: float, latency: float = 0.0) -> None:
        """A read succeeded, at least in part."""
        table = batch.table
        self.breaker.answered(table)
        normaliser = self.normalisers[table]
        normaliser.apply(batch)
        self.current.keep(batch, now)
        self.health.answered(batch, now, latency)
        if self.health.streaming:
            unheard = self.staleness.note_report(table, batch.columns, now)
            if batch.source is not None and not unheard:
                self.health.clock.told(batch, now)
        else:
            self.staleness.confirmed[table] = now
            if batch.source is not None:
                self.health.clock.polled(batch, now)
        self._report(normaliser, batch)
        if self.health.changed:
            self._log_state()
            self._write_health_row_early(now)

    def proven(self, now: float, reach: float, t: int) -> None:
        """A subscription has just shown that it lives; so do the values it brought, for `reach`
        seconds."""
        self.staleness.listening(now)
        self.health.proven(now, reach, t)

    def failed(self, fault: DeviceError, t: int, now: float) -> bool:
        """The device did not answer: the first time for this reason each of its tags is said to be
        bad.

        True when it is news: the device was not offline for this reason before.
        """
        self.staleness.forget()
        news = self.health.failed(fault.status, fault.cause)
        status = fault.status
        if news:
            for table, normaliser in self.normalisers.items():
                batch = Batch.failed(table, t, status)
                normaliser.apply(batch)
                self.current.keep(batch, now)
                self.health.tags.all_failed(batch)
                self._report(normaliser, batch)
        if self.health.changed:
            self._write_health_row_early(now)
        return news

    def missed(self, turns: int, table: TagTable) -> None:
        """Turns of a table were due and brought nothing. Of what the device does not have, nothing
        was due."""
        absent = self.health.tags.absent_in(self.normalisers[table].table)
        self.health.missed(turns, turns * (len(table) - absent))

    @property
    def watched(self) -> bool:
        """Whether there is anything for `watch` to find; of a dead device, there is not."""
        return self.staleness.awaits or self.health.changed

    def watch(self, now: float, t: int, paused: float = 0.0) -> None:
        """Make bad what nobody confirmed within its limit, whatever the reason for the silence is.

        `paused`: seconds for which this process itself had stood still just before.
        """
        why = cause("agent_paused", seconds=f"{paused:.0f}") if paused else None
        self._mark_stale(
            self.staleness.overdue(now),
            _WAITING if self.health.state == "starting" else _TIMEOUT,
            t,
            now,
            why,
        )
        self._mark_stale(self.staleness.overdue_tags(now), _WAITING, t, now, None)
        for table, normaliser in self._timed:
            if normaliser.due(now):
                self._derive(table, normaliser, t, now)
        if self.health.changed:
            self._write_health_row_early(now)

    def write_health_row(self) -> None:
        """Write a health row about the time since the last one."""
        self._tell(self)

    def write_health_row_if_due(self, t: int) -> None:
        """The same where its turn at `t` (wall clock, ns) brings one; a device that stays offline
        has few."""
        if self.health.row_due(t) or self.breaker.moves:
            self._tell(self)

    def _mark_stale(
        self,
        what: Iterable[tuple[TagTable, Sequence[int] | None]],
        status: int,
        t: int,
        now: float,
        why: Cause | None,
    ) -> None:
        for table, columns in what:
            count = len(table) if columns is None else len(columns)
            batch = Batch(
                table, t, [None] * count, dict.fromkeys(range(count), status), None, columns
            )
            if why is not None:
                batch.causes = dict.fromkeys(range(count), why)
            normaliser = self.normalisers[table]
            normaliser.apply(batch)
            self.current.keep(batch, now)
            self.health.lapsed(batch)
            self._report(normaliser, batch)

    def _derive(self, table: TagTable, normaliser: Normaliser, t: int, now: float) -> None:
        """A rule's time is over: the machine state changes although the device had nothing new to
        say."""
        batch = Batch(table, t, [], {}, None, [])
        normaliser.apply(batch)
        self.current.keep(batch, now)
        self._report(normaliser, batch)

    def _write_health_row_early(self, now: float) -> None:
        """At once, unless the device flaps: then the change waits for the next row."""
        self._early = min(float(EARLY_ROWS), self._early + now - self._early_at)
        self._early_at = now
        if self._early >= 1.0:
            self._early -= 1.0
            self._tell(self)

    def _log_state(self) -> None:
        """What an answer has shown of the device, where it is another cause than before; what
        repeats is counted where all lines are."""
        health = self.health
        name = health.cause.name if health.cause is not None else ""
        known = self._logged
        self._logged = name
        if name and name != known:
            log.warning(
                "device-state device=%s state=%s tags_bad=%d reason=%r",
                self.plan.id, health.state, health.tags.bad, f"{health.reason}: {health.detail[1]}",
            )  # fmt: skip

    def _report(self, normaliser: Normaliser, batch: Batch) -> None:
        news = normaliser.reportable(batch)
        if news is not None:
            self._send(news)
