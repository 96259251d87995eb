"""A Modbus device for tests, written apart from the connector: encodes values, answers reads,
misbehaves on order."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.modbus import PLUGIN
from connectors.modbus.client import ModbusConnection
from connectors.modbus.options import ModbusDevice, ModbusTag
from edge_agent.model import Tag, TagTable
from edge_agent.sdk import Clock, DevicePlan

SOURCES = Path(__file__).parent

CLIENTS = ("own", "pymodbus")
"""Who speaks on tcp and rtu-tcp: our codec, or pymodbus. What a device's answers come to must not
depend on it."""


def speak(client: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let one of CLIENTS speak on every line of this test; with the fast paths off there is only
    one."""
    if client == "own" and os.environ.get("EDGE_AGENT_STOCK") == "1":
        pytest.skip("EDGE_AGENT_STOCK=1 turns our own codec off")
    monkeypatch.setenv("EDGE_AGENT_STOCK", "1" if client == "pymodbus" else "0")
    return client


_CODES = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}


def ordered(big_endian: bytes, order: str) -> bytes:
    """Big-endian bytes as they come on the wire in an order, register by register, one step after
    the other."""
    words = [big_endian[i : i + 2] for i in range(0, len(big_endian), 2)]
    if order in ("DCBA", "CDAB"):
        words.reverse()
    if order in ("DCBA", "BADC"):
        words = [word[::-1] for word in words]
    return b"".join(words)


def encode(
    value: Any, type_: str, order: str = "ABCD", *, length: int = 0, encoding: str = "ascii"
) -> bytes:
    """One value as a device sends it: the inverse of the codec, by way of text and hex where that
    is possible."""
    if type_ == "string":
        data = value.encode(encoding).ljust(length + length % 2, b"\0")
        swap = "BADC" if order in ("BADC", "DCBA") else "ABCD"
        return b"".join(ordered(data[i : i + 2], swap) for i in range(0, len(data), 2))
    if type_ in ("bcd16", "bcd32"):
        return ordered(bytes.fromhex(f"{value:0{4 if type_ == 'bcd16' else 8}d}"), order)
    return ordered(struct.pack(">" + _CODES[type_], value), order)


def bits(values: list[bool]) -> bytes:
    """Coils packed as in an answer."""
    text = "".join("1" if v else "0" for v in values).ljust((len(values) + 7) // 8 * 8, "0")
    return bytes(int(text[i : i + 8][::-1], 2) for i in range(0, len(text), 8))


def make_table(
    tags: Mapping[str, Mapping[str, Any]], device: str = "d", every: float = 1.0
) -> TagTable:
    """A table from tag keys as in YAML."""
    made = []
    for name, keys in tags.items():
        options = ModbusTag(**keys)
        made.append(Tag(name, PLUGIN.kind(options), options))
    return TagTable(device, every, tuple(made))


def make_plan(
    url: str, tags: Mapping[str, Mapping[str, Any]], device: str = "d", **options: Any
) -> DevicePlan:
    """A device with one table."""
    return DevicePlan(device, ModbusDevice(url=url, **options), (make_table(tags, device),))


def connection(*plans: DevicePlan) -> ModbusConnection:
    """The connector's own connection for these devices."""
    made = PLUGIN.connect(plans, Clock())
    assert isinstance(made, ModbusConnection)
    return made


class Device:
    """Registers and bits of one simulated device; addresses in `holes` are refused with exception
    2."""

    def __init__(self, registers: Mapping[int, int] | None = None, *, limit: int = 125) -> None:
        self.registers = dict(registers or {})
        self.holes: set[int] = set()
        self.limit = limit
        self.asked: list[tuple[int, int, int]] = []

    def answer(self, pdu: bytes) -> bytes:
        """The PDU that answers a request PDU."""
        function, address, count = struct.unpack(">BHH", pdu)
        self.asked.append((function, address, count))
        if count > self.limit:
            return bytes([function | 0x80, 3])
        if self.holes & set(range(address, address + count)):
            return bytes([function | 0x80, 2])
        if function <= 2:
            data = bits([bool(self.registers.get(a, 0)) for a in range(address, address + count)])
        else:
            data = b"".join(
                self.registers.get(a, 0).to_bytes(2, "big") for a in range(address, address + count)
            )
        return bytes([function, len(data)]) + data


def load(device: Device, address: int, data: bytes) -> None:
    """Put wire bytes into registers from an address on."""
    for n in range(0, len(data), 2):
        device.registers[address + n // 2] = int.from_bytes(data[n : n + 2], "big")


def mbap(tid: int, unit: int, pdu: bytes, *, protocol: int = 0, length: int | None = None) -> bytes:
    """A Modbus TCP frame, with whatever header."""
    return (
        struct.pack(">HHHB", tid, protocol, len(pdu) + 1 if length is None else length, unit) + pdu
    )


Script = Callable[[asyncio.StreamWriter, int, int, bytes], Awaitable[None]]
"""(writer, transaction id, unit, request PDU): sends whatever it likes."""


async def honest(
    writer: asyncio.StreamWriter, tid: int, unit: int, pdu: bytes, device: Device
) -> None:
    """What a sound device does."""
    writer.write(mbap(tid, unit, device.answer(pdu)))


@contextlib.asynccontextmanager
async def tcp_device(script: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A Modbus TCP (or TLS) server on a free port that answers by script; yields its URL."""
    handlers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        handlers[handler] = writer
        # Cancelled at the end; swallowed here, since StreamReaderProtocol reports a cancelled
        # handler as an error.
        with contextlib.suppress(
            asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError
        ):
            while True:
                head = await reader.readexactly(7)
                tid, _, length, unit = struct.unpack(">HHHB", head)
                await script(writer, tid, unit, await reader.readexactly(length - 1))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"{'tls' if context else 'tcp'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for handler, writer in handlers.items():
            handler.cancel()
            writer.close()
        waiting = [*handlers, *(writer.wait_closed() for writer in handlers.values())]
        await asyncio.gather(*waiting, return_exceptions=True)
        await server.wait_closed()


def sound(device: Device) -> Script:
    """The script of a sound device."""

    async def script(writer: asyncio.StreamWriter, tid: int, unit: int, pdu: bytes) -> None:
        await honest(writer, tid, unit, pdu, device)

    return script


def once(bad: Script, good: Script) -> Script:
    """The first request meets `bad`, all others `good`."""
    scripts = itertools.chain([bad], itertools.repeat(good))

    async def script(writer: asyncio.StreamWriter, tid: int, unit: int, pdu: bytes) -> None:
        await next(scripts)(writer, tid, unit, pdu)

    return script


def die_with_parent() -> None:
    """For a child process: end with the test runner, also when that is killed."""
    ctypes.CDLL(None).prctl(1, 15)
