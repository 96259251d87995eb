"""The way to a device: opened and closed any number of times, one channel each time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final

from connectors.modbus.channel import Channel, Reply, Timing
from connectors.modbus.endpoint import Endpoint
from connectors.modbus.frame import Request
from connectors.modbus.framing import AsciiFraming, DatagramFraming, Framing, MbapFraming, RtuFraming
from connectors.modbus.options import ModbusDevice
from connectors.modbus.serial_line import SerialLine
from edge_agent.sdk import STATUS, DeviceError

_FRAMING: Final[dict[str, type[Framing]]] = {
    "tcp": MbapFraming, "tls": MbapFraming, "udp": DatagramFraming,
    "rtu-tcp": RtuFraming, "rtu": RtuFraming, "ascii": AsciiFraming,
}  # fmt: skip

#: A failure (a lost datagram, noise on a bus) leaves the line itself as it was.
_BUSES: Final = frozenset({"udp", "rtu", "ascii"})
#: Frames without a transaction id: a late answer looks like the next one.
_NAMELESS: Final = frozenset({"rtu-tcp", "rtu", "ascii"})

#: Seconds to the first probe, between probes, and probes until a silent TCP peer counts as gone.
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


class Link:
    """One TCP connection, UDP association or serial port with its own rules for late answers."""

    def __init__(self, endpoint: Endpoint, options: ModbusDevice, timeout: float, now: Callable[[], int]) -> None:
        self._endpoint = endpoint
        self._options = options
        self._timeout = timeout
        self._now = now
        self._channel: Channel | None = None
        self._quiet: dict[int, float] = {}
        """Unit -> loop time before which it is not asked again (see `_settle`)."""

    @property
    def arrived(self) -> int:
        """Wall clock when the last answer arrived, integer nanoseconds."""
        return self._channel.arrived if self._channel is not None else 0

    async def open(self) -> None:
        """Connect. Raises DeviceError(lost=True)."""
        scheme = self._endpoint.scheme
        channel = Channel(_FRAMING[scheme](), self._now, bus=scheme in _BUSES)
        try:
            async with asyncio.timeout(self._timeout):
                await self._connect(channel)
        except TimeoutError:
            channel.close()
            raise self._unreachable("BadTimeout", f"no connection within {self._timeout:g} s") from None
        except (OSError, ValueError) as error:  # ssl.SSLError and pyserial's errors are among these
            channel.close()
            raise self._unreachable("BadNoCommunication", str(error)) from error
        except asyncio.CancelledError:
            channel.close()
            raise
        self._channel = channel

    async def close(self) -> None:
        """Release the line; never raises."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
            await asyncio.sleep(0)  # lets the event loop close the socket now, not after the next wait

    async def exchange(self, requests: Sequence[Request], timing: Timing) -> list[Reply]:
        """A reply to each request of one unit. Raises DeviceError(lost=True) when the line is no more."""
        if self._channel is None:
            raise self._unreachable("BadNotConnected", "the connection is not open")
        nameless = self._endpoint.scheme in _NAMELESS
        unit = requests[0].unit
        if nameless:
            await self._settle(unit)
        try:
            replies = await self._channel.exchange(requests, timing)
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

    def _unreachable(self, status: str, detail: str) -> DeviceError:
        return DeviceError(STATUS[status], f"{self._endpoint}: {detail}", lost=True)

    async def _connect(self, channel: Channel) -> None:
        loop = asyncio.get_running_loop()
        end = self._endpoint
        if end.serial:
            SerialLine(end, channel)
        elif end.scheme == "udp":
            await loop.create_datagram_endpoint(lambda: channel, remote_addr=(end.host, end.port))
        else:
            context = _tls(self._options) if end.scheme == "tls" else None
            transport, _ = await loop.create_connection(lambda: channel, end.host, end.port, ssl=context)
            _tune(transport.get_extra_info("socket"))


def _tls(options: ModbusDevice) -> ssl.SSLContext:
    """Verified against `ca` or the system's authorities, host name included; there is no way around it."""
    context = ssl.create_default_context(cafile=options.ca)
    if options.cert is not None:
        context.load_cert_chain(options.cert, options.key, password=_no_password)
    return context


def _no_password() -> str:
    raise ValueError("the key file has a password: store the key without one, readable by the agent only")


def _tune(sock: socket.socket) -> None:
    """Send at once, and notice a peer that vanished while nothing is asked."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError):  # some systems refuse the figures; the polls notice a dead peer anyway
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
