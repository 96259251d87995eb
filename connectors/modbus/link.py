"""The way to a device: a connection that is opened again where that helps, and its rules for late
answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, cast

from connectors.modbus.channel import Channel
from connectors.modbus.endpoint import OTHER_FRAMING, ModbusEndpoint, on_pymodbus
from connectors.modbus.faults import open_error
from connectors.modbus.frame import ReadRequest
from connectors.modbus.framing import Framing, MbapFraming, RtuFraming
from connectors.modbus.options import ModbusDevice
from connectors.modbus.strangers import ANOTHER_SERVICE
from connectors.modbus.transport import (
    ModbusTransport,
    Reply,
    SilentError,
    SkippedError,
    Timing,
    fill,
    tune,
)
from edge_agent.sdk import STATUS, DeviceError

log = logging.getLogger(__name__)

_FRAMING: Final[dict[str, Callable[[int], Framing]]] = {"tcp": MbapFraming, "rtu-tcp": RtuFraming}

#: Frames without a transaction id: a late answer looks like the next one.
_NAMELESS: Final = frozenset({"rtu-tcp", "rtu", "ascii"})

#: Time-outs in a row after which a connection that has brought something is opened anew.
ENOUGH_TIMEOUTS: Final = 2

#: Time-outs in a row that a connection which has brought nothing yet is given: the device may not
#: listen at once. A connection that ends without a byte doubles them for the next one, up to the
#: second figure.
FIRST_PATIENCE: Final = 3
MOST_PATIENCE: Final = 48

#: Connections in a row that the peer closed in the same way, after which that is its way.
ENOUGH_CLOSES: Final = 2

#: Seconds of silence, at least, after which nothing more of a late answer is under way: adapters
#: and gateways pass bytes on in portions, so 3.5 characters would often be too short.
QUIET_S: Final = 0.05


class Link:
    """One TCP connection, UDP association or serial port of some devices. Used by one task at a
    time."""

    def __init__(
        self,
        endpoint: ModbusEndpoint,
        devices: Sequence[ModbusDevice],
        now: Callable[[], int],
        last_id: int = 0,
    ) -> None:
        """`last_id`: the transaction id before the first one."""
        self._endpoint = endpoint
        self._options = devices[0]
        self._timeout = max(device.timeout for device in devices)
        self._connect_delay = max(device.connect_delay for device in devices)
        ways = {device.connection for device in devices}
        self._per_request = "per_request" in ways and not endpoint.bus
        self._recognise = ways == {"auto"} and not endpoint.bus
        self._now = now
        self._line: ModbusTransport | None = None
        self._nameless = endpoint.scheme in _NAMELESS
        self._rest_until: dict[int, float] = {}
        """Unit -> loop time before which it is not asked again (see `_drain_late_answer`)."""
        self._disturbed = False
        self._doubtful = False
        """Whether the next answer may be a late one to another request."""
        self._last_id = last_id
        self._timeouts = 0
        self._patience = FIRST_PATIENCE
        self._ever_heard = False
        self._mute_ends = 0
        """Connections that ended without a byte, while nothing was ever heard."""
        self._lone_answers = 0
        self._idle_closes = 0
        self._idle_logged = False
        self._port_lost = False
        """Whether the port or the peer has gone since the last opening that was counted."""
        self.openings = 0
        """How often a line was opened that may lead to another device; not where closing is the
        peer's way."""
        self.losses = 0
        """How often one was opened after the port or the peer had gone; not after mere silence."""

    @property
    def arrived(self) -> int:
        """Wall clock when the last answer arrived, integer nanoseconds."""
        return self._line.arrived if self._line is not None else 0

    async def open(self) -> None:
        """Connect. Raises DeviceError(lost=True)."""
        self._line = await self._connect(self._endpoint)
        self._count_opening()
        self._timeouts = 0
        self._doubtful = False

    async def close(self) -> None:
        """Release the line; never raises."""
        line = self._line
        self._line = None
        if line is not None:
            self._port_lost = self._port_lost or line.closed_by_peer
            await self._end(line)

    async def exchange(self, requests: Sequence[ReadRequest], timing: Timing) -> list[Reply]:
        """A reply to each request of one unit. Raises DeviceError(lost=True) when there is no
        connection.

        A connection that the peer has closed is made again first. Requests that lose it are asked
        once more at once, on a new one: once, unless the lost one had brought answers.
        """
        line = self._line
        if line is None:
            raise DeviceError.of("not_connected", lost=True, where=self._endpoint)
        if self._nameless:
            await self._drain_late_answer(line, requests[0].unit, timing)
            timing = replace(timing, window=1) if timing.window > 1 else timing
        if self._per_request:
            return await self._one_by_one(requests, timing)
        return await self._exchange(requests, timing)

    async def _exchange(self, requests: Sequence[ReadRequest], timing: Timing) -> list[Reply]:
        line = self._line
        if line is None or line.ended is not None:
            line = await self._reopen()
        before = line.answers
        try:
            replies = await line.exchange(requests, timing)
        except asyncio.CancelledError:
            self._disturb(requests[0].unit, timing)
            raise
        if line.fault is not None:
            ended = line.ended
            if ended is not None:
                line = await self._ask_again(line, before, requests, replies, timing)
                # what it said tells more than its silence afterwards
                if ended.cause.name == ANOTHER_SERVICE:
                    replies = [ended if type(reply) is DeviceError else reply for reply in replies]
            await self._judge(line, requests[0], replies, timing)
        else:
            self._timeouts = 0
        if self._doubtful and line.answers > before:
            return await self._ask_undoubtedly(requests, timing)
        return replies

    async def _one_by_one(self, requests: Sequence[ReadRequest], timing: Timing) -> list[Reply]:
        """Every request on a connection of its own. The first that is not answered ends the
        exchange."""
        replies: list[Reply | None] = [None] * len(requests)
        for place, request in enumerate(requests):
            if place and timing.pause:
                await asyncio.sleep(timing.pause)
            (reply,) = await self._exchange([request], timing)
            replies[place] = reply
            line = self._line
            if isinstance(reply, DeviceError) and (
                isinstance(reply, SilentError) or line is None or line.fault is not None
            ):
                fill(replies, SkippedError(reply.status, reply.cause, lost=reply.lost))
                break
            if line is not None:
                line.close()
        return cast("list[Reply]", replies)

    # --- a connection that was lost ---------------------------------------------------------------

    async def _ask_again(
        self,
        line: ModbusTransport,
        before: int,
        requests: Sequence[ReadRequest],
        replies: list[Reply],
        timing: Timing,
    ) -> ModbusTransport:
        """Ask what the end of the line has left unanswered on a new one; `before`: the line's
        answers until then."""
        tried = False
        while line.ended is not None and (missing := _unanswered(replies)):
            progress = line.answers > before
            if tried and not progress:
                break
            tried = True
            try:
                new = await self._reopen(known=True)
            except DeviceError:
                break
            again = await new.exchange([requests[place] for place in missing], timing)
            for place, reply in zip(missing, again, strict=True):
                replies[place] = reply
            if progress and new.answers:
                # What the first connection was closed at is answered by the next one: it was no
                # fault of the request.
                self._note_close(line)
            line = new
            before = 0
        return line

    async def _reopen(self, *, known: bool = False) -> ModbusTransport:
        """A new connection in the place of the one that has ended. `known`: why it ended is being
        looked into."""
        old = self._line
        by_its_way = self._closes_by_its_way(old)
        if old is not None and not by_its_way:
            self._port_lost = self._port_lost or old.closed_by_peer
        line = await self._connect(self._endpoint, old)
        self._line = line
        if not by_its_way:
            self._count_opening()
        self._timeouts = 0
        self._doubtful = False
        if old is not None:
            line.arrived = old.arrived
            self._ever_heard = self._ever_heard or old.arrivals > 0
            if not known:
                self._note_close(old)
        return line

    def _closes_by_its_way(self, line: ModbusTransport | None) -> bool:
        """Whether a line has ended as those before it: the device is the same, and need not be
        looked at again."""
        idle = line is not None and line.closed_by_peer and self._idle_closes >= ENOUGH_CLOSES
        return not self._endpoint.bus and (self._per_request or idle)

    def _count_opening(self) -> None:
        self.openings += 1
        self.losses += self._port_lost
        self._port_lost = False

    def _note_close(self, line: ModbusTransport) -> None:
        """The peer closed a connection when everything asked on it had been answered: its way, not
        a fault."""
        if not line.closed_by_peer or not line.answers or not self._recognise:
            return
        self._lone_answers = self._lone_answers + 1 if line.answers == 1 else 0
        self._idle_closes += 1
        if self._lone_answers == ENOUGH_CLOSES and not self._per_request:
            self._per_request = True
            log.warning(
                "modbus-connection url=%s reason=closed-after-each-answer "
                "now=connects-before-each-request "
                "key='connection: per_request'",
                self._endpoint,
            )
        elif (
            self._idle_closes >= ENOUGH_CLOSES and not self._lone_answers and not self._idle_logged
        ):
            self._idle_logged = True
            log.warning(
                "modbus-connection url=%s reason=closed-while-idle "
                "now=connects-before-the-next-poll "
                "key='connection: per_request'",
                self._endpoint,
            )

    # --- a request that was not answered ----------------------------------------------------------

    async def _judge(
        self, line: ModbusTransport, first: ReadRequest, replies: list[Reply], timing: Timing
    ) -> None:
        """The exchange ended early: whether this line is worth keeping."""
        fault = line.fault
        if fault is None:
            return
        self._disturb(first.unit, timing)
        self._ever_heard = self._ever_heard or line.arrivals > 0
        if line.ended is None and not self._should_reopen(line, fault):
            self._doubtful = self._doubtful or (self._nameless and not self._endpoint.bus)
            return
        if line.ended is None:
            line.close()
            fault.lost = True
            if not line.arrivals:
                self._patience = min(MOST_PATIENCE, 2 * self._patience)
        if not self._ever_heard:
            self._mute_ends += 1
            if self._mute_ends & (self._mute_ends - 1) == 0:  # more and more seldom
                await self._try_other_framing(first, timing)

    def _should_reopen(self, line: ModbusTransport, fault: DeviceError) -> bool:
        """Whether this time-out is one too many for an open line."""
        self._timeouts += 1
        if not line.arrivals:
            return self._timeouts >= self._patience
        if self._nameless and not self._endpoint.bus and fault.status == STATUS["BadTimeout"]:
            # a gateway may have the answer in a queue, and nothing would tell it from the next one
            return True
        return self._timeouts >= ENOUGH_TIMEOUTS

    async def _ask_undoubtedly(
        self, requests: Sequence[ReadRequest], timing: Timing
    ) -> list[Reply]:
        """A line without transaction ids has brought its first answers after time-outs: they may
        belong to what was asked before. They are passed over, with all that comes for one more
        time-out, and asked for again."""
        self._doubtful = False
        self._disturb(requests[0].unit, timing)
        if self._line is not None:
            await self._drain_late_answer(self._line, requests[0].unit, timing)
        return await self._exchange(requests, timing)

    async def _drain_late_answer(self, line: ModbusTransport, unit: int, timing: Timing) -> None:
        """Without a transaction id, a unit that was given up may still answer, and that answer
        would fit the next request of equal size. It gets one more time-out to do so (the bytes are
        passed over) before it is asked again; the other units need not wait: an answer names its
        unit. Then the line has to be silent."""
        loop = asyncio.get_running_loop()
        rest = self._rest_until.pop(unit, 0.0) - loop.time()
        if rest > 0:
            await asyncio.sleep(rest)
        if not self._disturbed:
            # what the system has already received is taken in, and not for an answer
            for _ in range(2):
                await asyncio.sleep(0)
            return
        self._disturbed = False
        heard = -1
        latest = loop.time() + timing.timeout
        while heard != line.arrivals and loop.time() < latest:
            heard = line.arrivals
            await asyncio.sleep(max(QUIET_S, self._endpoint.silence))

    def _disturb(self, unit: int, timing: Timing) -> None:
        self._disturbed = True
        self._rest_until[unit] = asyncio.get_running_loop().time() + timing.timeout

    # --- connecting -------------------------------------------------------------------------------

    async def _connect(
        self, endpoint: ModbusEndpoint, old: ModbusTransport | None = None
    ) -> ModbusTransport:
        if old is not None:
            await self._end(old)  # some devices have room for one connection only
        make = self._own
        if on_pymodbus(endpoint, self._options):
            import connectors.modbus.pymodbus_transport  # noqa: F401 - before the time-out runs: it may take a while

            make = self._stock
        try:
            async with asyncio.timeout(self._timeout):
                line = await make(endpoint)
        except TimeoutError:
            where = str(endpoint)
            seconds = f"{self._timeout:g}"
            raise DeviceError.of(
                "connection_timeout", lost=True, where=where, seconds=seconds
            ) from None
        except (OSError, ValueError) as error:  # ssl.SSLError and pyserial's errors are among these
            self._port_lost = True
            raise open_error(error, endpoint, self._options) from error
        if self._connect_delay:
            try:
                await asyncio.sleep(self._connect_delay)
            except asyncio.CancelledError:
                line.close()
                raise
        return line

    async def _own(self, endpoint: ModbusEndpoint) -> ModbusTransport:
        channel = Channel(_FRAMING[endpoint.scheme](self._last_id), self._now, str(endpoint))
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_connection(
                lambda: channel, endpoint.host, endpoint.port
            )
            tune(transport.get_extra_info("socket"))
        except BaseException:
            channel.close()
            raise
        return channel

    async def _stock(self, endpoint: ModbusEndpoint) -> ModbusTransport:
        # 3 MB that a site with nothing but TCP does without
        from connectors.modbus.pymodbus_transport import PymodbusTransport

        line = PymodbusTransport(endpoint, self._options, self._now, self._last_id)
        try:
            await line.open()
        except BaseException:
            line.close()
            raise
        return line

    async def _end(self, line: ModbusTransport) -> None:
        self._last_id = line.last_id or self._last_id
        line.close()
        await asyncio.sleep(0)  # lets the event loop close the socket now, not after the next wait

    async def _try_other_framing(self, request: ReadRequest, timing: Timing) -> None:
        """Nothing was ever heard here. One read in the other framing of TCP: when it is answered,
        that is used."""
        scheme = OTHER_FRAMING.get(self._endpoint.scheme)
        if scheme is None:
            return
        other = replace(self._endpoint, scheme=scheme)
        try:
            line = await self._connect(other, self._line)
        except DeviceError:
            return
        try:
            (reply,) = await line.exchange([request], replace(timing, window=1))
        except BaseException:
            line.close()
            raise
        if isinstance(reply, DeviceError):
            await self._end(line)
            return
        log.warning("modbus-framing url=%s answers=%s key='url: %s'", self._endpoint, scheme, other)
        self._endpoint = other
        self._line = line
        self._nameless, self._ever_heard = scheme in _NAMELESS, True


def _unanswered(replies: Sequence[Reply]) -> list[int]:
    """The places of the requests that the end of a line has left without a reply."""
    return [
        place
        for place, reply in enumerate(replies)
        if isinstance(reply, DeviceError) and reply.lost
    ]
