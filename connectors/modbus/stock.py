"""The same request interface on pymodbus' asyncio client: serial RTU and ASCII, UDP and TLS; TCP where asked for.

pymodbus brings transports, frames and transaction ids. Time-outs, the judgement of each answer (`stock_framer`) and
the decision when a line is not to be trusted any more are ours; it neither retries nor reconnects.
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

from connectors.modbus.endpoint import Endpoint
from connectors.modbus.frame import IDENTIFICATION, Answer, ProtocolError, Request
from connectors.modbus.line import Reply, Timing, silent_unit, tune
from connectors.modbus.options import ModbusDevice, ObjectName
from connectors.modbus.stock_framer import FRAMERS, Judged
from edge_agent.sdk import STATUS, DeviceError

# Whatever it has to say comes back to us as an error and is told once, with the device's name.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

#: A bus is opened anew after this many failures in a row: its receiver may be stuck behind noise, its cable be out.
BUS_FAILURES: Final = 2

#: Seconds. pymodbus' own time-out counts its failures and drops the connection after some; ours is always earlier.
_NEVER: Final = 3600.0

_READ: Final[dict[ObjectName, str]] = {
    "coil": "read_coils", "discrete": "read_discrete_inputs", "holding": "read_holding_registers",
    "input": "read_input_registers",
}  # fmt: skip


class StockLine:
    """One open line by way of pymodbus, a `Line`; opened once.

    On a connection a failure (timeout, foreign bytes) is final: what comes later could be taken for the answer to
    another question. On a bus (serial, UDP) it ends the exchange, and only the second in a row is final.
    """

    def __init__(self, endpoint: Endpoint, options: ModbusDevice, now: Callable[[], int]) -> None:
        """Raises OSError or ValueError for TLS files that cannot be used."""
        self.arrived = 0
        self._now = now
        self._bus = endpoint.bus
        self._loop = asyncio.get_running_loop()
        self._framer = FRAMERS[endpoint.scheme](self._unasked)
        self._client = _client(endpoint, options, self._connection)
        self._client.ctx.framer = self._framer
        self._failures = 0
        self._last_arrival = 0.0
        self._final: DeviceError | None = None

    async def open(self) -> None:
        """Connect. Raises OSError or ValueError."""
        manager = self._client.ctx
        try:
            # What connect() does, but for its except clause, which would keep the reason to itself.
            manager.transport, _ = await manager.call_create()
            sock = manager.transport.get_extra_info("socket")
            if sock is not None and not self._bus:
                tune(sock)
            await asyncio.sleep(0)  # a serial transport is set up by a callback, and must be before it can be closed
        except termios.error as error:  # pyserial's SerialException is an OSError, but it lets this one through
            raise OSError(*error.args) from error

    def close(self) -> None:
        """Give the line up at once."""
        self._end(DeviceError(STATUS["BadNoCommunication"], "the connection was closed", lost=True))

    async def exchange(self, requests: Sequence[Request], timing: Timing) -> list[Reply]:
        """A reply to each request, one after the other: pymodbus has one under way at a time."""
        replies: list[Reply] = []
        for request in requests:
            reply = await self._ask(request, timing)
            if isinstance(reply, DeviceError):
                return replies + [reply] * (len(requests) - len(replies))
            replies.append(reply)
        return replies

    async def _ask(self, request: Request, timing: Timing) -> Reply:
        rest = self._last_arrival + timing.pause - self._loop.time()
        if rest > 0:
            await asyncio.sleep(rest)
        if self._final is not None:
            raise self._final
        try:
            verdict = await self._answer_to(request, timing.timeout)
        except TimeoutError:
            return self._failed("BadTimeout", f"no answer within {timing.timeout:g} s to {request}")
        except ModbusException as error:
            return self._failed("BadCommunicationError", str(error))
        except asyncio.CancelledError:
            self._fail("BadCommunicationError", "the read was given up half way")
            raise
        finally:
            self._framer.request = None
        if isinstance(verdict, ProtocolError):
            return self._failed("BadCommunicationError", str(verdict))
        self.arrived, self._last_arrival = self._now(), self._loop.time()
        self._failures = 0
        return silent_unit(request, verdict) or verdict

    async def _answer_to(self, request: Request, timeout: float) -> Answer | ProtocolError:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        cancels = task.cancelling()
        self._framer.request = request
        async with asyncio.timeout(timeout):
            reply = await self._read(request)
        if task.cancelling() > cancels:
            # asyncio.wait_for (Python 3.11) in pymodbus swallows a cancellation that meets the answer.
            raise asyncio.CancelledError
        return cast(Judged, reply).verdict

    def _read(self, request: Request) -> Awaitable[ModbusPDU]:
        if request.function == IDENTIFICATION:
            return self._client.read_device_information(read_code=1, object_id=request.address, device_id=request.unit)
        read: Callable[..., Awaitable[ModbusPDU]] = getattr(self._client, _READ[request.table])
        return read(request.address, count=request.count, device_id=request.unit)

    # --- failures ------------------------------------------------------------------------------------------------

    def _failed(self, status: str, detail: str) -> DeviceError:
        """A failure the line survives. Raises the one that ends it."""
        error = self._fail(status, detail)
        if error.lost:
            raise error
        return error

    def _fail(self, status: str, detail: str) -> DeviceError:
        self._failures += 1
        lost = not self._bus or self._failures >= BUS_FAILURES
        error = DeviceError(STATUS[status], detail, lost=lost)
        if lost:
            self._end(error)
        return self._final or error

    def _unasked(self, size: int) -> None:
        """Bytes while nothing is under way: late ones on a bus, on a connection the sign of a confused peer."""
        if not self._bus:
            self._fail("BadCommunicationError", f"{size} bytes that nobody asked for")

    def _connection(self, connected: bool) -> None:
        """pymodbus tells of a new or a lost connection, also that an adapter was unplugged."""
        if not connected:
            self._end(DeviceError(STATUS["BadNoCommunication"], "the peer closed the connection", lost=True))

    def _end(self, error: DeviceError) -> None:
        if self._final is not None:
            return
        self._final = error
        manager = self._client.ctx
        transport = manager.transport
        self._client.close()
        if transport is not None:
            cast(asyncio.WriteTransport, transport).abort()  # pymodbus' close waits for a TLS peer to say good-bye
        if self._framer.request is not None and not manager.response_future.done():
            manager.response_future.set_exception(ModbusException(error.detail))


def _client(end: Endpoint, options: ModbusDevice, connection: Callable[[bool], None]) -> ModbusBaseClient:
    """The client of a transport: no retries, no reconnection, no time-out that comes before ours."""
    common: dict[str, Any] = {"timeout": _NEVER, "retries": 0, "reconnect_delay": 0, "trace_connect": connection}
    if end.serial:
        return AsyncModbusSerialClient(
            end.path,
            framer=FramerType(end.scheme),
            baudrate=end.baudrate,
            bytesize=end.bytesize,
            # A pty has no parity bit, and the C library refuses one there as soon as nothing else is to be changed.
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
    """Verified against `ca` or the system's authorities, host name included; there is no way around it."""
    context = ssl.create_default_context(cafile=options.ca)
    if options.cert is not None:
        context.load_cert_chain(options.cert, options.key, password=_no_password)
    return context


def _no_password() -> str:
    raise ValueError("the key file has a password: store the key without one, readable by the agent only")
