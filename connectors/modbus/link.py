"""The way to a device: opened and closed any number of times, a new line each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from connectors.modbus.channel import Channel
from connectors.modbus.endpoint import Endpoint, on_pymodbus
from connectors.modbus.faults import open_error
from connectors.modbus.frame import Request
from connectors.modbus.framing import Framing, MbapFraming, RtuFraming
from connectors.modbus.line import Line, Reply, Timing, tune
from connectors.modbus.options import ModbusDevice
from edge_agent.sdk import DeviceError

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
            where, seconds = str(self._endpoint), f"{self._timeout:g}"
            raise DeviceError.of("connection_timeout", lost=True, where=where, seconds=seconds) from None
        except (OSError, ValueError) as error:  # ssl.SSLError and pyserial's errors are among these
            raise open_error(error, self._endpoint, self._options) from error

    async def _own(self) -> Line:
        channel = Channel(_FRAMING[self._endpoint.scheme](), self._now, str(self._endpoint))
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
            raise DeviceError.of("not_connected", lost=True, where=self._endpoint)
        unit = requests[0].unit
        if self._nameless:
            await self._settle(unit)
        try:
            replies = await self._line.exchange(requests, timing)
        except (DeviceError, asyncio.CancelledError):
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
