"""Which units answer on a line, and with which settings a serial line is to be opened.

A unit answers when it says anything that is a frame: registers, or a refusal. It is asked for one
register and for its identification (43/14); nothing is written, and only the units and settings
that were named are asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Final

from connectors.modbus.endpoint import ModbusEndpoint, parse_url
from connectors.modbus.exchange import RequestExchange, pause_line
from connectors.modbus.frame import ReadRequest
from connectors.modbus.invalid import InvalidError
from connectors.modbus.options import ModbusDevice
from edge_agent.discovery import Progress, ScanAnswer, ScanWanted
from edge_agent.sdk import DeviceError

#: Seconds that a unit may take before the first byte, over TCP and on a serial line.
_TCP_S: Final = 0.5
_SERIAL_S: Final = 0.25
#: Bytes of a request and the longest answer to it here, and bits for each on a serial line.
_BYTES: Final = 80
_BITS: Final = 11

#: Bit rates and line settings in the order in which plants have them.
BAUD: Final = (9600, 19200, 38400, 115200, 57600, 4800, 2400, 1200)
FRAMES: Final = (("N", 1), ("E", 1), ("N", 2), ("O", 1))

#: Causes that a unit's own frame gives.
_OWN_FAULTS: Final = frozenset({"modbus_wrong_length", "modbus_wrong_function"})


async def scan(wanted: ScanWanted, progress: Progress) -> AsyncIterator[ScanAnswer]:
    """See `discovery.Discovery.scan`. Raises DeviceError when the line itself cannot be opened."""
    for target in wanted.targets:
        try:
            endpoint = parse_url(target)
        except InvalidError as error:
            raise ValueError(f"{error.zh}\n    {error.en}") from error
        line = (
            _bus(endpoint, wanted, progress)
            if endpoint.serial
            else _network(endpoint, wanted, progress)
        )
        async for answer in line:
            yield answer


async def _network(
    endpoint: ModbusEndpoint, wanted: ScanWanted, progress: Progress
) -> AsyncIterator[ScanAnswer]:
    """The units behind a TCP or UDP address: by holding registers, and where none knows those, by
    input registers."""
    asking = RequestExchange(_options(endpoint, wanted.timeout or _TCP_S), pause=wanted.pause)
    try:
        await asking.open()
        for table in ("holding", "input"):
            found = False
            for done, unit in enumerate(wanted.units):
                progress(done, len(wanted.units), f"{endpoint} unit {unit}")
                answer = await _unit(asking, unit, table)
                if answer is not None:
                    found = True
                    yield answer
                elif asking.is_stranger:
                    # no number of requests makes it a device, and some services lock out who goes
                    # on
                    break
            if found:
                return
            if asking.is_stranger:
                break
        seen = asking.verdict()
        if seen is not None:
            yield ScanAnswer(str(endpoint), {}, zh=seen.cause.zh, en=seen.cause.en)
    finally:
        await asking.close()


async def _bus(
    endpoint: ModbusEndpoint, wanted: ScanWanted, progress: Progress
) -> AsyncIterator[ScanAnswer]:
    """The units on a serial line, with the first settings under which one answers: a bus has one
    for all."""
    tried = list(settings(endpoint, wanted))
    for number, line in enumerate(tried):
        timeout = wanted.timeout or _SERIAL_S + _BYTES * _BITS / line.baudrate
        asking = RequestExchange(_options(line, timeout), pause=wanted.pause)
        found = False
        try:
            await asking.open()
            for done, unit in enumerate(wanted.units):
                what = f"{line.baudrate} {line.bytesize}{line.parity}{line.stopbits} unit {unit}"
                progress(number * len(wanted.units) + done, len(tried) * len(wanted.units), what)
                answer = await _unit(asking, unit, "holding")
                if answer is not None:
                    found = True
                    yield answer
        finally:
            await asking.close()
        if found:
            return
        await pause_line(wanted.pause)


def settings(endpoint: ModbusEndpoint, wanted: ScanWanted) -> Iterator[ModbusEndpoint]:
    """The lines to try, the likeliest first; those of the address itself where nothing is to be
    found out."""
    if not wanted.baud and not wanted.parity and not wanted.stop_bits:
        yield endpoint
        return
    baud = wanted.baud or (endpoint.baudrate,)
    frames = [
        (parity, stop)
        for parity, stop in FRAMES
        if (not wanted.parity or parity in wanted.parity)
        and (not wanted.stop_bits or stop in wanted.stop_bits)
    ]
    known = {(parity, stop) for parity, stop in frames}
    frames += [
        (parity, stop)
        for parity in wanted.parity
        for stop in wanted.stop_bits
        if (parity, stop) not in known
    ]
    for rate in sorted(baud, key=lambda rate: BAUD.index(rate) if rate in BAUD else len(BAUD)):
        for parity, stop in frames:
            yield replace(endpoint, baudrate=rate, parity=parity, stopbits=stop)


async def _unit(asking: RequestExchange, unit: int, table: str) -> ScanAnswer | None:
    """A unit that answers; None when it is silent, or a gateway says that it is."""
    request = ReadRequest(unit, "holding" if table == "holding" else "input", 0, 1)
    reply = await asking.ask(request)
    # A whole frame that is wrong inside is an answer as well; one of another unit is that one's.
    if isinstance(reply, DeviceError) and reply.cause.name not in _OWN_FAULTS:
        return None
    url = str(asking.endpoint)
    facts = await asking.identification(unit)
    look = ("probe", url, "--unit", unit, "--from", 0)
    said = f"exception {reply}" if isinstance(reply, int) else "a value"
    device = {"connector": "modbus", "url": url, "unit": unit}
    return ScanAnswer(f"{url} unit {unit}", device, facts, look=look, said=said)


def _options(endpoint: ModbusEndpoint, timeout: float) -> ModbusDevice:
    return ModbusDevice(url=str(endpoint), timeout=timeout, unit=1)
