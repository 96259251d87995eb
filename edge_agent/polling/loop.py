"""One task per connection: poll or listen, and when it fails wait, connect again, go on."""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge_agent.clock import Clock
from edge_agent.errors import DeviceError
from edge_agent.health.device import PROOF_S
from edge_agent.model import Batch, TagTable
from edge_agent.polling.attempts import ConnectionSlots, RetryBudget, as_descriptor_fault
from edge_agent.polling.backoff import DeviceBackoff
from edge_agent.polling.device import PolledDevice
from edge_agent.polling.poll_timer import PollTimer
from edge_agent.polling.schedule import PollSchedule
from edge_agent.polling.standstill import Standstill
from edge_agent.polling.start_limiter import StartLimiter
from edge_agent.sdk import Connection, Pollable, Retrying, ShowsRaw, Streaming

log = logging.getLogger(__name__)

#: A loop without a step for this long (and three of its slowest periods) is stalled: no time-out in
#: it is longer.
STALL_S = 60.0


class ConnectionLoop:
    """Keeps one connection and its devices going."""

    def __init__(
        self,
        key: str,
        connection: Connection,
        devices: Sequence[PolledDevice],
        clock: Clock,
        metronome: PollTimer | None = None,
        turnstile: StartLimiter | None = None,
        retries: RetryBudget | None = None,
        slots: ConnectionSlots | None = None,
        standstill: Standstill | None = None,
    ) -> None:
        """`metronome`, `turnstile`, `retries`, `slots`, `standstill`: those of all connections of
        the process; None = its own."""
        self.key = key
        self._connection = connection
        self._devices = devices
        self._clock = clock
        self._metronome = metronome or PollTimer()
        self._turnstile = turnstile or StartLimiter()
        self._retries = retries or RetryBudget()
        self._slots = slots or ConnectionSlots()
        self._standstill = standstill or Standstill()
        self._has_slot = self._has_token = False
        self._place: asyncio.Future[None] | None = None
        """Among those who wait for their next attempt."""
        self._shared = len(devices) > 1
        self._backoff = DeviceBackoff()
        self._begun = False
        self._mute = False
        """Whether nobody on an open connection answers: the last read of every table of a lone
        device was not answered, or every unit of a shared connection is set aside."""
        self._turns: list[_Turn] = []
        self._lost = ""
        """Why the connection was lost, when the log has it, and not yet that it is back."""
        self._progress = time.monotonic()
        slowest = max(
            (table.every for device in devices for table in device.plan.tables), default=0.0
        )
        self._patience = STALL_S + 3 * slowest

    def stalled(self) -> bool:
        """True when the loop has not taken a step for far longer than its slowest period asks for;
        waiting for its place among thousands of dead devices is none of its doing."""
        since = max(self._progress, self._standstill.until())
        return self._place is None and time.monotonic() - since > self._patience

    def _beat(self) -> None:
        self._progress = time.monotonic()

    async def raw(self, table: TagTable, *, ask: bool) -> Sequence[str | None] | None:
        """What stands behind the values of a table, from the connection that is open anyway; None
        when it cannot say.

        `ask`: see `sdk.ShowsRaw`.
        """
        if not isinstance(self._connection, ShowsRaw):
            return None
        try:
            return await self._connection.raw(table, ask=ask)
        except DeviceError as error:
            log.info("raw-values-refused key=%s reason=%s", self.key, error)
            return None

    async def run(self) -> None:
        """Until cancelled: connect, work, and after a failure wait a little and begin again."""
        try:
            while True:
                fault = self._standstill.excused(await self._until_lost(), self._progress)
                self._mark_failed(fault)  # first: leaving a dead line in order may take seconds
                await self._close()
                pause = self._backoff.wait()
                self._log_lost(str(fault), pause)
                await self._take_token(pause)
        finally:
            await self._close()

    async def _take_token(self, pause: float = 0.0) -> None:
        """Wait until the process may try one more of all that do not answer, and `pause` real
        seconds, whatever a demo's clock says; or until `retry`."""
        self._has_token = False
        self._place = self._retries.place(pause)
        try:
            await self._retries.take(self._place)
        finally:
            self._place = None
            self._beat()
        self._has_token = True

    async def _close(self) -> None:
        try:
            await self._connection.close()
        finally:
            if self._has_slot:
                self._has_slot = False
                self._slots.release()

    def retry(self) -> bool:
        """Somebody has corrected something: a lost connection, a device that is set aside and a tag
        that was refused are tried again at once. Whether there was anything to try."""
        unwell = any(device.health.state in ("offline", "degraded") for device in self._devices)
        if unwell:
            self._backoff.reset()
            if self._place is not None:
                self._retries.prefer(self._place)
            for device in self._devices:
                device.breaker.retry()
            if isinstance(self._connection, Retrying):
                self._connection.retry_refused()
        return unwell

    def _log_lost(self, reason: str, pause: float) -> None:
        """What is news. That it lasts is said where all lines are."""
        if reason == self._lost:
            return
        extra: dict[str, object] = {"lasts": True}
        if self._lost:  # for another reason, which lasts no longer
            extra["ends"] = "connection-lost", self.key
        self._lost = reason
        log.warning(
            "connection-lost key=%s reason=%r retry_in_s=%.2f", self.key, reason, pause, extra=extra
        )

    def _works(self) -> None:
        """A device answered: the connection is worth something again."""
        self._backoff.reset()
        if self._has_token:
            self._has_token = False
            self._retries.refund()
        self._end_of_loss("connection-back")

    def removed(self) -> None:
        """It is configured no longer: the log has no loss of it that lasts."""
        self._end_of_loss("connection-removed")

    def _end_of_loss(self, event: str) -> None:
        if self._lost:
            self._lost = ""
            log.info(f"{event} key=%s", self.key, extra={"ends": ("connection-lost", self.key)})

    def _begin(self) -> None:
        """The first time: from now on the devices are asked. Before its turn nobody is late, or
        waited for."""
        if self._begun:
            return
        self._begun, now = True, self._clock.monotonic()
        if isinstance(self._connection, Pollable):
            self._turns = self._spread_first_turns(now)
        for device in self._devices:
            device.staleness.begin(now)

    def _spread_first_turns(self, now: float) -> list[_Turn]:
        """All due at once; the second ones half a period to one and a half later, and from then on
        all on the grid."""
        tables = [(device, table) for device in self._devices for table in device.plan.tables]
        turns = []
        for order, (device, table) in enumerate(tables):
            schedule = PollSchedule(
                self._metronome.on_grid(now, table.every, len(table)), table.every
            )
            turns.append(_Turn(now, order, device, table, schedule))
        return turns

    async def _until_lost(self) -> DeviceError:
        try:
            if not self._has_token:  # those who have one are few at once
                await self._turnstile.turn()
            self._beat()
            self._begin()
            self._slots.acquire()
            self._has_slot = True
            await self._connection.open()
            if not self._lost:
                log.info("connection-open key=%s devices=%d", self.key, len(self._devices))
            if isinstance(self._connection, Pollable):
                await self._poll(self._connection)
            elif isinstance(self._connection, Streaming):
                await self._listen(self._connection)
        except DeviceError as error:
            return as_descriptor_fault(error) or error
        except Exception as error:  # noqa: BLE001 - reason: one connector's fault must not stop the others
            return as_descriptor_fault(error) or self._internal(error)
        return DeviceError.of(
            "internal", lost=True, why="the connector ended by itself", why_zh="连接器自行结束"
        )

    def _internal(self, error: Exception) -> DeviceError:
        log.error("connector-error key=%s", self.key, exc_info=error)
        return DeviceError.of("internal", lost=True, why=f"{type(error).__name__}: {error}")

    def _mark_failed(self, fault: DeviceError) -> None:
        t = self._clock.time_ns()
        now = self._clock.monotonic()
        for device in self._devices:
            device.failed(fault, t, now)
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
        """Serve the turns in the order they are due, never two at once. Returns only by
        exception."""
        clock = self._clock
        turns = self._turns
        metronome = self._metronome
        self._pass_over()
        while True:
            if self._mute and self._shared:
                turn = await self._next_probe()
            else:
                turn = await self._next_turn()
            self._beat()
            metronome.begin()
            try:
                await self._serve(connection, turn)
            finally:
                metronome.end()
                turn.over(clock.monotonic())
            if turn is turns[0]:
                heapq.heapreplace(turns, turn)
            else:
                heapq.heapify(turns)

    async def _next_turn(self) -> _Turn:
        """Wait for the turn that is due next; of a lone device that does not answer, for leave to
        ask it as well."""
        if self._mute and not self._has_token:
            await self._take_token()
            self._pass_over()
        turn = self._turns[0]
        wait = turn.due - self._clock.monotonic()
        if wait > 0:
            await self._metronome.sleep(self._clock.real(wait))
        return turn

    async def _next_probe(self) -> _Turn:
        """Every unit of a shared connection is set aside: wait until one of them may be probed, and
        until the process may make one more attempt. No other turn can bring anything meanwhile."""
        pause = min(map(_probe_at, self._turns)) - self._clock.monotonic()
        if self._has_token and pause > 0:
            self._retries.refund()
            self._has_token = False
        if not self._has_token:
            await self._take_token(max(0.0, self._clock.real(pause)))
            self._pass_over()
        return min(self._turns, key=_probe_at)

    def _pass_over(self) -> None:
        """What fell due while nobody could be asked brings nothing."""
        now = self._clock.monotonic()
        for turn in self._turns:
            turn.pass_over(now)
        heapq.heapify(self._turns)

    async def _serve(self, connection: Pollable, turn: _Turn) -> None:
        device = turn.device
        clock = self._clock
        started = clock.monotonic()
        if self._shared and not self._mute and not device.breaker.allows(turn.table, started):
            device.missed(1, turn.table)
            return
        try:
            batch = await connection.read(turn.table)
        except Exception as error:  # noqa: BLE001 - whatever a connector stumbles over, its device has not answered
            fault = error if isinstance(error, DeviceError) else self._internal(error)
            fault = self._standstill.excused(fault, self._progress)
            await self._unanswered(connection, turn, fault, started)
            return
        now = clock.monotonic()
        if self._has_token or self._lost or self._backoff.waited:
            self._works()
        turn.silent = self._mute = False
        device.health.due += 1
        device.answered(batch, now, now - started)

    async def _unanswered(
        self, connection: Pollable, turn: _Turn, error: DeviceError, started: float
    ) -> None:
        """A read failed. Raises its error when the connection is lost and no other device is on
        it."""
        device = turn.device
        clock = self._clock
        device.missed(1, turn.table)
        if not self._shared:
            self._note_silence(turn)
            if error.lost:
                raise error
        # the tags of such a table are bad since it was set aside
        alone = device.breaker.alone(turn.table)
        if not alone and device.failed(error, clock.time_ns(), clock.monotonic()):
            log.warning("device-failed device=%s reason=%r", device.plan.id, str(error))
        try:
            if error.lost:
                # One unit's silence makes the connection untrusted, not the other units: a new one,
                # at once.
                await connection.close()
                await connection.open()
        finally:
            now = clock.monotonic()
            # the others waited, for the new connection as well; one alone is asked as ever
            if self._shared:
                device.breaker.failed(turn.table, now, now - started)
                self._has_token = False
                self._mute = all(each.breaker.is_open for each in self._devices)

    def _note_silence(self, turn: _Turn) -> None:
        """The only device of an open connection did not answer for a table. When it answers for
        none, the next reads are attempts like any other, which the process does not make for
        thousands of devices all the time."""
        turn.silent = True
        self._has_token = False
        self._mute = all(each.silent for each in self._turns)


@dataclass(order=True, slots=True)
class _Turn:
    """The next read of one table; ordered by when it is due."""

    due: float
    order: int
    device: PolledDevice = field(compare=False)
    table: TagTable = field(compare=False)
    schedule: PollSchedule = field(compare=False)
    silent: bool = field(default=False, compare=False)
    """The last read brought no answer, on a connection of one device."""

    def over(self, now: float) -> None:
        """This turn was served: on to the next; turns it ran over are overruns."""
        skipped = self.schedule.advance(now)
        self.due = self.schedule.due
        if skipped:
            self.device.health.overruns += skipped
            self.device.missed(skipped, self.table)

    def pass_over(self, now: float) -> None:
        """The connection was away: turns that fell due meanwhile brought nothing."""
        if self.due < now - self.table.every:
            missed = self.schedule.advance(now) + 1
            self.due = self.schedule.due
            self.device.missed(missed, self.table)


def _probe_at(turn: _Turn) -> float:
    """When the table of this turn may be probed, as its unit's breaker has it."""
    return turn.device.breaker.retry_at(turn.table)
