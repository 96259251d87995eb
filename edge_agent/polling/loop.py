"""One task per connection: poll or listen, and when it fails wait, connect again, go on."""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge_agent.clock import Clock
from edge_agent.errors import DeviceError
from edge_agent.health.device import PROOF_S
from edge_agent.model import STATUS, Batch, TagTable
from edge_agent.polling.attempts import ConnectionSlots, RetryBudget, as_descriptor_fault
from edge_agent.polling.backoff import Backoff
from edge_agent.polling.device import PolledDevice
from edge_agent.polling.metronome import Metronome
from edge_agent.polling.schedule import Schedule
from edge_agent.polling.turnstile import Turnstile
from edge_agent.sdk import Connection, Pollable, Streaming, within

log = logging.getLogger(__name__)

_INTERNAL = STATUS["BadInternalError"]
_REAL = Clock()

#: A loop without a step for this long (and three of its slowest periods) is stalled: no time-out in it is longer.
STALL_S = 60.0

#: How often a reason that stays the same is logged again.
REPEAT_S = 600.0


class ConnectionLoop:
    """Keeps one connection and its devices going."""

    def __init__(
        self,
        key: str,
        connection: Connection,
        devices: Sequence[PolledDevice],
        clock: Clock,
        metronome: Metronome | None = None,
        turnstile: Turnstile | None = None,
        retries: RetryBudget | None = None,
        slots: ConnectionSlots | None = None,
    ) -> None:
        """`metronome`, `turnstile`, `retries`, `slots`: those of all connections of the process; None = its own."""
        self.key = key
        self._connection = connection
        self._devices = devices
        self._clock = clock
        self._metronome = metronome or Metronome()
        self._turnstile = turnstile or Turnstile()
        self._retries = retries or RetryBudget()
        self._slots = slots or ConnectionSlots()
        self._has_slot = self._has_token = False
        self._shared = len(devices) > 1
        self._backoff = Backoff()
        self._begun = False
        self._turns: list[_Turn] = []
        self._told, self._told_at = "", 0.0
        self._progress = time.monotonic()
        slowest = max((table.every for device in devices for table in device.plan.tables), default=0.0)
        self._patience = STALL_S + 3 * slowest

    def stalled(self) -> bool:
        """True when the loop has not taken a step for far longer than its slowest period asks for."""
        return time.monotonic() - self._progress > self._patience

    def _beat(self) -> None:
        self._progress = time.monotonic()

    async def run(self) -> None:
        """Until cancelled: connect, work, and after a failure wait a little and begin again."""
        try:
            while True:
                fault = await self._until_lost()
                self._mark_failed(fault)  # first: leaving a dead line in order may take seconds
                await self._close()
                pause = self._backoff.wait()
                self._log_lost(str(fault), pause)
                await within(pause, _REAL)  # the network is real, whatever a demo's clock says
                self._has_token = False
                await self._retries.take()
                self._has_token = True
        finally:
            await self._close()

    async def _close(self) -> None:
        try:
            await self._connection.close()
        finally:
            if self._has_slot:
                self._has_slot = False
                self._slots.release()

    def _log_lost(self, reason: str, pause: float) -> None:
        """One line when the reason is new, then one in ten minutes: a dead device must not fill the disk."""
        now = time.monotonic()
        if reason != self._told or now - self._told_at >= REPEAT_S:
            self._told, self._told_at = reason, now
            log.warning("connection-lost key=%s reason=%r retry_in_s=%.2f", self.key, reason, pause)

    def _works(self) -> None:
        """A device answered: the connection is worth something again."""
        self._backoff.reset()
        if self._has_token:
            self._has_token = False
            self._retries.give_back()
        if self._told:
            self._told = ""
            log.info("connection-back key=%s", self.key, extra={"ends": ("connection-lost", self.key)})

    def _begin(self) -> None:
        """The first time: from now on the devices are asked. Before its turn nobody is late, or waited for."""
        if self._begun:
            return
        self._begun, now = True, self._clock.monotonic()
        if isinstance(self._connection, Pollable):
            self._turns = self._first_turns(now)
        for device in self._devices:
            device.staleness.begin(now)

    def _first_turns(self, now: float) -> list[_Turn]:
        """All due at once; the second ones half a period to one and a half later, and from then on all on the grid."""
        tables = [(device, table) for device in self._devices for table in device.plan.tables]
        turns = []
        for order, (device, table) in enumerate(tables):
            schedule = Schedule(self._metronome.on_grid(now, table.every, len(table)), table.every)
            turns.append(_Turn(now, order, device, table, schedule))
        return turns

    async def _until_lost(self) -> DeviceError:
        try:
            await self._turnstile.turn()
            self._beat()
            self._begin()
            self._slots.acquire()
            self._has_slot = True
            await self._connection.open()
            if not self._told:
                log.info("connection-open key=%s devices=%d", self.key, len(self._devices))
            if isinstance(self._connection, Pollable):
                await self._poll(self._connection)
            elif isinstance(self._connection, Streaming):
                await self._listen(self._connection)
        except DeviceError as error:
            return as_descriptor_fault(error) or error
        except Exception as error:  # noqa: BLE001 - reason: one connector's fault must not stop the others
            return as_descriptor_fault(error) or self._internal(error)
        return DeviceError(_INTERNAL, "the connector ended by itself", lost=True)

    def _internal(self, error: Exception) -> DeviceError:
        log.error("connector-error key=%s", self.key, exc_info=error)
        return DeviceError(_INTERNAL, f"{type(error).__name__}: {error}", lost=True)

    def _mark_failed(self, fault: DeviceError) -> None:
        t, now = self._clock.time_ns(), self._clock.monotonic()
        for device in self._devices:
            device.failed(fault.status, fault.detail, t, now, fault.sentences)
        for turn in self._turns:
            turn.pass_over(now)

    async def _listen(self, connection: Streaming) -> None:
        by_id = {device.plan.id: device for device in self._devices}
        clock = self._clock

        def sink(batch: Batch) -> None:
            self._beat()
            self._works()
            device = by_id[batch.table.device]
            device.health.due += 1
            device.answered(batch, clock.monotonic(), max(0.0, (clock.time_ns() - batch.t) / 1e9))

        def alive(device: str) -> None:
            self._beat()
            self._works()
            by_id[device].proven(clock.monotonic(), PROOF_S, clock.time_ns())

        await connection.stream(sink, alive)

    async def _poll(self, connection: Pollable) -> None:
        """Serve the turns in the order they are due, never two at once. Returns only by exception."""
        clock, turns, metronome = self._clock, self._turns, self._metronome
        for turn in turns:
            turn.pass_over(clock.monotonic())
        heapq.heapify(turns)
        while True:
            turn = turns[0]
            wait = turn.due - clock.monotonic()
            if wait > 0:
                await metronome.sleep(clock.real(wait))
            self._beat()
            metronome.begin()
            try:
                await self._serve(connection, turn)
            finally:
                metronome.end()
                turn.over(clock.monotonic())
            heapq.heapreplace(turns, turn)

    async def _serve(self, connection: Pollable, turn: _Turn) -> None:
        device, clock = turn.device, self._clock
        started = clock.monotonic()
        if self._shared and not device.breaker.allows(turn.table, started):
            device.health.missed(1, len(turn.table))
            return
        try:
            batch = await connection.read(turn.table)
        except Exception as error:  # noqa: BLE001 - whatever a connector stumbles over, its device has not answered
            fault = error if isinstance(error, DeviceError) else self._internal(error)
            await self._unanswered(connection, turn, fault, started)
            return
        now = clock.monotonic()
        if self._told or self._backoff.waited:
            self._works()
        device.health.due += 1
        device.answered(batch, now, now - started)

    async def _unanswered(self, connection: Pollable, turn: _Turn, error: DeviceError, started: float) -> None:
        """A read failed. Raises its error when the connection is lost and no other device is on it."""
        device, clock = turn.device, self._clock
        device.health.missed(1, len(turn.table))
        if error.lost and not self._shared:
            raise error
        if not device.breaker.alone(turn.table):  # the tags of such a table are bad since it was set aside
            device.failed(error.status, error.detail, clock.time_ns(), clock.monotonic(), error.sentences)
        try:
            if error.lost:
                # One unit's silence makes the connection untrusted, not the other units: a new one, at once.
                await connection.close()
                await connection.open()
        finally:
            now = clock.monotonic()
            if self._shared:  # the others waited, for the new connection as well; one alone is asked as ever
                device.breaker.failed(turn.table, now, now - started)


@dataclass(order=True, slots=True)
class _Turn:
    """The next read of one table; ordered by when it is due."""

    due: float
    order: int
    device: PolledDevice = field(compare=False)
    table: TagTable = field(compare=False)
    schedule: Schedule = field(compare=False)

    def over(self, now: float) -> None:
        """This turn was served: on to the next; turns it ran over are overruns."""
        skipped = self.schedule.advance(now)
        self.due = self.schedule.due
        if skipped:
            self.device.health.overruns += skipped
            self.device.health.missed(skipped, skipped * len(self.table))

    def pass_over(self, now: float) -> None:
        """The connection was away: turns that fell due meanwhile brought nothing."""
        if self.due < now - self.table.every:
            missed = self.schedule.advance(now) + 1
            self.due = self.schedule.due
            self.device.health.missed(missed, missed * len(self.table))
