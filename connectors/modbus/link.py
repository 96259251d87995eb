"""The way to a device: opened and closed any number of times, a new line each time."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from typing import Final

from connectors.modbus.channel import Channel
from connectors.modbus.endpoint import Endpoint, on_pymodbus
from connectors.modbus.frame import Request
from connectors.modbus.framing import Framing, MbapFraming, RtuFraming
from connectors.modbus.line import Line, Reply, Timing, tune
from connectors.modbus.options import ModbusDevice
from edge_agent.sdk import STATUS, DeviceError

_FRAMING: Final[dict[str, type[Framing]]] = {"tcp": MbapFraming, "rtu-tcp": RtuFraming}

#: Frames without a transaction id: a late answer looks like the next one.
_NAMELESS: Final = frozenset({"rtu-tcp", "rtu", "ascii"})


class Link:
    """One TCP connection, UDP association or serial port with its own rules for late answers."""

    def __init__(self, endpoint: Endpoint, options: ModbusDevice, timeout: float, now: Callable[[], int]) -> None:
        self._endpoint = endpoint
        self._options = options
        self._timeout = timeout
        self._now = now
        self._nameless = endpoint.scheme in _NAMELESS
        self._line: Line | None = None
        self._quiet: dict[int, float] = {}
        """Unit -> loop time before which it is not asked again (see `_settle`)."""
        self._port_lost = False
        self.openings = 0
        """How often a line was opened."""
        self.losses = 0
        """How often one was opened after the port or the peer had gone; not after mere silence."""

    @property
    def arrived(self) -> int:
        """Wall clock when the last answer arrived, integer nanoseconds."""
        return self._line.arrived if self._line is not None else 0

    async def open(self) -> None:
        """Connect. Raises DeviceError(lost=True)."""
        connect = self._stock if on_pymodbus(self._endpoint, self._options) else self._own
        try:
            async with asyncio.timeout(self._timeout):
                self._line = await connect()
        except TimeoutError:
            raise self._unreachable("BadTimeout", f"no connection within {self._timeout:g} s") from None
        except (OSError, ValueError) as error:  # ssl.SSLError and pyserial's errors are among these
            self._port_lost = True
            missing = self._endpoint.serial and getattr(error, "errno", None) == errno.ENOENT
            raise self._unreachable("BadNotFound" if missing else "BadNoCommunication", str(error)) from error

        self.openings += 1
        self.losses += self._port_lost
        self._port_lost = False

    async def _own(self) -> Line:
        channel = Channel(_FRAMING[self._endpoint.scheme](), self._now)
        loop, end = asyncio.get_running_loop(), self._endpoint
        try:
            transport, _ = await loop.create_connection(lambda: channel, end.host, end.port)
            tune(transport.get_extra_info("socket"))
        except BaseException:
            channel.close()
            raise
        return channel

    async def _stock(self) -> Line:
        from connectors.modbus.stock import StockLine  # 3 MB that a site with nothing but TCP does without

        line = StockLine(self._endpoint, self._options, self._now)
        try:
            await line.open()
        except BaseException:
            line.close()
            raise
        return line

    async def close(self) -> None:
        """Release the line; never raises."""
        line, self._line = self._line, None
        if line is not None:
            line.close()
            await asyncio.sleep(0)  # lets the event loop close the socket now, not after the next wait

    async def exchange(self, requests: Sequence[Request], timing: Timing) -> list[Reply]:
        """A reply to each request of one unit. Raises DeviceError(lost=True) when the line is no more."""
        if self._line is None:
            raise self._unreachable("BadNotConnected", "the connection is not open")
        unit = requests[0].unit
        if self._nameless:
            await self._settle(unit)
        try:
            replies = await self._line.exchange(requests, timing)
        except (DeviceError, asyncio.CancelledError) as error:
            self._port_lost = getattr(error, "status", None) == STATUS["BadNoCommunication"]
            self._disturbed(unit, timing)
            raise
        if isinstance(replies[-1], DeviceError):
            self._disturbed(unit, timing)
        return replies

    async def _settle(self, unit: int) -> None:
        """Without a transaction id, a unit that was given up may still answer, and that answer would fit the next
        request of equal size. It gets one more timeout to do so (the bytes are passed over) before it is asked again;
        the other units need not wait: an answer names its unit."""
        until = self._quiet.pop(unit, 0.0)
        rest = until - asyncio.get_running_loop().time()
        if rest > 0:
            await asyncio.sleep(rest)

    def _disturbed(self, unit: int, timing: Timing) -> None:
        self._quiet[unit] = asyncio.get_running_loop().time() + timing.timeout

    def _unreachable(self, status: str, detail: str) -> DeviceError:
        return DeviceError(STATUS[status], f"{self._endpoint}: {detail}", lost=True)
