"""One line and single requests on it, for a person who looks at a device: paced, and opened again
when it is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from connectors.modbus.constants import OBJECTS
from connectors.modbus.endpoint import ModbusEndpoint, parse_url
from connectors.modbus.frame import (
    ILLEGAL_ADDRESS,
    ILLEGAL_VALUE,
    IdentificationRequest,
    ReadRequest,
    exception_cause,
    identification_objects,
)
from connectors.modbus.link import Link
from connectors.modbus.options import ModbusDevice, ObjectName
from connectors.modbus.strangers import ANOTHER_SERVICE
from connectors.modbus.transport import MalformedReplyError, Reply, SilentError, Timing
from edge_agent.sdk import Cause, DeviceError

#: The transaction id before the first one. The ids that follow it hold carriage return and line
#: feed: to a device they are as good as any, and a service that reads lines (HTTP) has one to
#: answer and shows what it is.
_BEFORE_FIRST_ID: Final = 0x0D08

#: Causes of a connection that ended.
_ENDED: Final = frozenset({"closed_by_peer", "connection_reset"})

#: Requests of one identification, whose texts may come one by one.
_MOST_PARTS = 3
#: Seconds for an answer to a function that a device may not know, at the least: servers on
#: libmodbus wait half a second before they refuse one, and throw away what arrives meanwhile, which
#: would be the next request.
_UNKNOWN_FUNCTION_S = 1.0


class RequestExchange:
    """Asks the units of one line, one request at a time."""

    def __init__(
        self, device: ModbusDevice, endpoint: ModbusEndpoint | None = None, pause: float = 0.0
    ) -> None:
        """`endpoint`: instead of the one of the device's url; `pause`: seconds between an answer
        and a request."""
        self.endpoint = endpoint or parse_url(device.url)
        self.requests = 0
        self._device = device
        self._timing = Timing(
            device.timeout, 1, max(pause, device.pause_ms / 1000, self.endpoint.silence)
        )
        self._link = Link(self.endpoint, [device], time.time_ns, _BEFORE_FIRST_ID)
        self._open = False
        self._answered = False
        self._failures: dict[str, DeviceError] = {}
        """The first failure of each cause, until the first answer."""

    async def open(self) -> None:
        """Raises DeviceError."""
        await self._link.open()
        self._open = True

    async def close(self) -> None:
        """Never raises."""
        self._open = False
        await self._link.close()

    async def ask(self, request: ReadRequest, least: float = 0.0) -> Reply:
        """The reply, waited for at least so many seconds. Raises DeviceError when there is no line
        and none can be opened."""
        if not self._open:
            await self.open()
        self.requests += 1
        timing = replace(self._timing, timeout=max(self._timing.timeout, least))
        (reply,) = await self._link.exchange([request], timing)
        if not isinstance(reply, DeviceError) or isinstance(reply, MalformedReplyError):
            self._answered = True
        else:
            self._failures.setdefault(
                "gateway" if isinstance(reply, SilentError) else reply.cause.name, reply
            )
            if reply.lost:
                await self.close()
        return reply

    @property
    def is_stranger(self) -> bool:
        """Whether another service has answered, known by how it begins."""
        return not self._answered and ANOTHER_SERVICE in self._failures

    def verdict(self) -> DeviceError | None:
        """What was seen at an address at which no request was answered; None when one was, or none
        was asked."""
        if self._answered or not self._failures:
            return None
        for name in (ANOTHER_SERVICE, "modbus_not_modbus"):
            if name in self._failures:
                return self._failures[name]
        where = str(self.endpoint)
        if "gateway" in self._failures:
            return DeviceError.of("modbus_units_silent", where=where)
        if _ENDED & self._failures.keys():
            return DeviceError.of("modbus_hangs_up", lost=True, where=where)
        if self._failures.keys() == {"modbus_silent"} and not self.endpoint.serial:
            return DeviceError.of("modbus_says_nothing", where=where)
        return next(iter(self._failures.values()))

    async def identification(self, unit: int) -> dict[str, str]:
        """What a unit answers to Read Device Identification (43/14); empty for one that does not
        know it."""
        objects: dict[int, bytes] = {}
        first = 0
        for _ in range(_MOST_PARTS):
            reply = await self.ask(IdentificationRequest(unit, first), _UNKNOWN_FUNCTION_S)
            if isinstance(reply, DeviceError | int):
                break
            part, following = identification_objects(reply)
            objects |= part
            if following is None or following >= len(OBJECTS):
                break
            first = following
        return {
            name: objects[number].decode("utf-8", "backslashreplace").strip("\0 ")
            for number, name in enumerate(OBJECTS)
            if number in objects
        }

    async def registers(
        self, unit: int, table: ObjectName, first: int, count: int, most: int
    ) -> list[bytes | Cause]:
        """The two bytes of each register, or of each bit as a number; where the device refuses,
        why.

        Raises DeviceError when the unit does not answer.
        """
        found: list[bytes | Cause] = []
        for start in range(first, first + count, most):
            found += await self._block(unit, table, start, min(most, first + count - start))
        return found

    async def _block(
        self, unit: int, table: ObjectName, first: int, count: int
    ) -> list[bytes | Cause]:
        request = ReadRequest(unit, table, first, count)
        reply = await self.ask(request)
        if isinstance(reply, DeviceError):
            if not self._answered and reply.cause.name == "modbus_silent":
                # once more: a packet may be lost, and see `_BEFORE_FIRST_ID`
                reply = await self.ask(request)
            if isinstance(reply, DeviceError):
                raise reply if isinstance(reply, SilentError) else self.verdict() or reply
        if isinstance(reply, bytes):
            return _split(reply, count, bits=request.function <= 2)
        if count > 1 and reply in (ILLEGAL_ADDRESS, ILLEGAL_VALUE):
            half = count // 2
            below = await self._block(unit, table, first, half)
            return below + await self._block(unit, table, first + half, count - half)
        return [exception_cause(reply, request)] * count


def _split(data: bytes, count: int, *, bits: bool) -> list[bytes | Cause]:
    if not bits:
        return [data[2 * at : 2 * at + 2] for at in range(count)]
    return [(data[at // 8] >> at % 8 & 1).to_bytes(2, "big") for at in range(count)]


async def pause_line(seconds: float) -> None:
    """Leave a line alone for a while."""
    if seconds > 0:
        await asyncio.sleep(seconds)


def words_of(data: Sequence[bytes | Cause]) -> list[int | None]:
    """Registers as numbers; None where there is none."""
    return [int.from_bytes(item, "big") if isinstance(item, bytes) else None for item in data]
