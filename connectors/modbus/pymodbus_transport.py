"""The same request interface on pymodbus' asyncio client: serial RTU and ASCII, UDP and TLS; TCP
where asked for.

pymodbus brings transports, requests and transaction ids. Time-outs, finding and judging the answers
(`stock_framer`) and the decision when a line is not to be trusted any more are ours; it neither
retries nor reconnects.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import termios
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

from pymodbus import FramerType
from pymodbus.client import (
    AsyncModbusSerialClient,
    AsyncModbusTcpClient,
    AsyncModbusTlsClient,
    AsyncModbusUdpClient,
    ModbusBaseClient,
)
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from connectors.modbus.endpoint import ModbusEndpoint
from connectors.modbus.faults import NO_PASSWORD
from connectors.modbus.frame import IDENTIFICATION, ProtocolError, ReadRequest
from connectors.modbus.framing import Found
from connectors.modbus.options import ModbusDevice, ObjectName
from connectors.modbus.pymodbus_framer import FRAMERS, Judged
from connectors.modbus.transport import (
    Reply,
    SilentError,
    SkippedError,
    Timing,
    fill,
    late,
    malformed,
    silent_unit,
    tune,
)
from edge_agent.sdk import STATUS, DeviceError

# Whatever it has to say comes back to us as an error and is told once, with the device's name.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

#: Bytes. pymodbus forgets all that came at once when it is more than one frame, late answers
#: included.
_MOST_AT_ONCE: Final = 1 << 20

#: Seconds. pymodbus' own time-out counts its failures and drops the connection after some; ours is
#: always earlier.
_NEVER: Final = 3600.0

_READ: Final[dict[ObjectName, str]] = {
    "coil": "read_coils", "discrete": "read_discrete_inputs", "holding": "read_holding_registers",
    "input": "read_input_registers",
}  # fmt: skip


class PymodbusTransport:
    """One open line by way of pymodbus, a `Line`; opened once.

    It ends when the peer closes it, an adapter is unplugged, or the bytes of a connection are no
    frames any more. A cancelled read ends a connection as well; on a bus (serial, UDP) the `Link`
    lets the line come to rest.
    """

    def __init__(
        self,
        endpoint: ModbusEndpoint,
        options: ModbusDevice,
        now: Callable[[], int],
        last_id: int = 0,
    ) -> None:
        """`last_id`: see `MbapFraming`. Raises OSError or ValueError for TLS files that cannot be
        used."""
        self.arrived = self.answers = 0
        self.fault: DeviceError | None = None
        self.ended: DeviceError | None = None
        self.closed_by_peer = False
        self._now = now
        self._bus = endpoint.bus
        self._where = str(endpoint)
        self._loop = asyncio.get_running_loop()
        self._framer = FRAMERS[endpoint.scheme](self._broken)
        self._client = _client(endpoint, options, self._connection)
        self._client.ctx.framer = self._framer
        self._client.ctx.max_buffer_size = _MOST_AT_ONCE
        self._first_id = last_id
        self._last_arrival = 0.0

    @property
    def last_id(self) -> int:
        """See `Line`."""
        return self._client.ctx.next_tid

    @property
    def arrivals(self) -> int:
        """How often bytes arrived since the line was opened."""
        return self._framer.heard

    async def open(self) -> None:
        """Connect. Raises OSError or ValueError."""
        manager = self._client.ctx
        try:
            # What connect() does, but for its except clause, which would keep the reason to itself.
            manager.transport, _ = await manager.call_create()
            sock = manager.transport.get_extra_info("socket")
            if sock is not None and not self._bus:
                tune(sock)
            manager.next_tid = self._first_id  # pymodbus begins at 1 with every connection
            # a serial transport is set up by a callback, and must be before it can be closed
            await asyncio.sleep(0)
        except (
            termios.error
        ) as error:  # pyserial's SerialException is an OSError, but it lets this one through
            raise OSError(*error.args) from error

    def close(self) -> None:
        """Give the line up at once."""
        self._end(DeviceError.of("closed_by_us", lost=True))

    async def exchange(self, requests: Sequence[ReadRequest], timing: Timing) -> list[Reply]:
        """See `Line`. One request after the other: pymodbus has one under way at a time."""
        if self.ended is not None:
            raise self.ended
        self.fault = None
        replies: list[Reply | None] = [None] * len(requests)
        for place, request in enumerate(requests):
            reply = await self._ask(request, timing)
            if reply is None:
                break
            replies[place] = reply
            if isinstance(reply, SilentError):
                fill(replies, SkippedError(reply.status, reply.cause))
                break
        fault = cast("DeviceError | None", self.fault)  # set by `_ask`
        if fault is not None:
            fill(replies, fault)
        return cast("list[Reply]", replies)

    async def _ask(self, request: ReadRequest, timing: Timing) -> Reply | None:
        """The reply, or None when there is none and `fault` says why."""
        rest = self._last_arrival + timing.pause - self._loop.time()
        if rest > 0:
            await asyncio.sleep(rest)
        if self.ended is not None:
            self.fault = self.ended
            return None
        found: Found | None
        try:
            found = await self._answer_to(request, timing.timeout)
        except TimeoutError:
            found = self._overdue(request, timing.timeout)
        except ModbusException as error:
            self.fault = self.ended or DeviceError.of("modbus_foreign", why=error)
            return None
        except asyncio.CancelledError:
            if not self._bus:
                self._end(DeviceError.of("given_up", lost=True))
            raise
        if found is None:
            return None
        self.answers += 1
        self.arrived, self._last_arrival = self._now(), self._loop.time()
        if isinstance(found, ProtocolError):
            return malformed(found)
        return silent_unit(request, found) or found

    async def _answer_to(self, request: ReadRequest, timeout: float) -> Found:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        cancels = task.cancelling()
        self._framer.ask(request)
        async with asyncio.timeout(timeout):
            reply = await self._read(request)
        if task.cancelling() > cancels:
            # asyncio.wait_for (Python 3.11) in pymodbus swallows a cancellation that meets the
            # answer.
            raise asyncio.CancelledError
        return cast(Judged, reply).verdict

    def _overdue(self, request: ReadRequest, timeout: float) -> Found | None:
        """The time is over: what came instead, where the device itself has spoken."""
        if self.ended is not None:
            self.fault = self.ended
            return None
        try:
            instead = self._framer.end_wait()
        except ProtocolError as error:
            self._broken(error)
            self.fault = self.ended
            return None
        if instead is None or (isinstance(instead, ProtocolError) and not instead.answered):
            self.fault = late(request, instead, timeout)
            return None
        return instead

    def _read(self, request: ReadRequest) -> Awaitable[ModbusPDU]:
        if request.function == IDENTIFICATION:
            return self._client.read_device_information(
                read_code=1, object_id=request.address, device_id=request.unit
            )
        read: Callable[..., Awaitable[ModbusPDU]] = getattr(self._client, _READ[request.table])
        return read(request.address, count=request.count, device_id=request.unit)

    # --- failures ---------------------------------------------------------------------------------

    def _broken(self, error: ProtocolError) -> None:
        self._end(DeviceError(STATUS["BadCommunicationError"], error.cause, lost=True))

    def _connection(self, connected: bool) -> None:
        """pymodbus tells of a new or a lost connection, also that an adapter was unplugged."""
        if not connected:
            self.closed_by_peer = self.ended is None
            self._end(DeviceError.of("closed_by_peer", lost=True, where=self._where))

    def _end(self, error: DeviceError) -> None:
        if self.ended is not None:
            return
        self.ended = error
        manager = self._client.ctx
        transport = manager.transport
        self._client.close()
        if transport is not None:
            cast(
                asyncio.WriteTransport, transport
            ).abort()  # pymodbus' close waits for a TLS peer to say good-bye
        if not manager.response_future.done():
            manager.response_future.set_exception(ModbusException(error.detail))
            manager.response_future.exception()  # retrieved: nobody may be waiting


def _client(
    end: ModbusEndpoint, options: ModbusDevice, connection: Callable[[bool], None]
) -> ModbusBaseClient:
    """The client of a transport: no retries, no reconnection, no time-out that comes before
    ours."""
    common: dict[str, Any] = {
        "timeout": _NEVER,
        "retries": 0,
        "reconnect_delay": 0,
        "trace_connect": connection,
    }
    if end.serial:
        return AsyncModbusSerialClient(
            end.path,
            framer=FramerType(end.scheme),
            baudrate=end.baudrate,
            bytesize=end.bytesize,
            # A pty has no parity bit, and the C library refuses one there as soon as nothing else
            # is to be changed.
            parity="N" if os.path.realpath(end.path).startswith("/dev/pts/") else end.parity,
            stopbits=end.stopbits,
            **common,
        )
    if end.scheme == "udp":
        return AsyncModbusUdpClient(end.host, port=end.port, **common)
    if end.scheme == "tls":
        return AsyncModbusTlsClient(end.host, port=end.port, sslctx=_tls(options), **common)
    framer = FramerType.RTU if end.scheme == "rtu-tcp" else FramerType.SOCKET
    return AsyncModbusTcpClient(end.host, port=end.port, framer=framer, **common)


def _tls(options: ModbusDevice) -> ssl.SSLContext:
    """Verified against `ca` or the system's authorities, host name included; there is no way around
    it."""
    context = ssl.create_default_context(cafile=options.ca)
    if options.cert is not None:
        context.load_cert_chain(options.cert, options.key, password=_no_password)
    return context


def _no_password() -> str:
    raise ValueError(NO_PASSWORD)
