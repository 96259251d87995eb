"""A serial bus on a pty: units with registers and perhaps an identification, at a name that is
moved at will."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections.abc import Iterator, Mapping
from pathlib import Path

from connectors.modbus.framing import crc16
from tests.support.modbus_wire import Device


class Station(Device):
    """One unit. `texts`: what it answers to Read Device Identification, None for exception 1."""

    def __init__(self, registers: Mapping[int, int], texts: tuple[str, ...] | None = None) -> None:
        super().__init__(registers)
        self.texts = texts
        self.parts = False
        """Whether each text comes in an answer of its own."""
        self.ignores_identification = False
        self.silent = False
        self.identified = 0

    def respond(self, pdu: bytes) -> bytes:
        """The PDU that answers a request PDU; nothing for silence."""
        if self.silent:
            return b""
        if pdu[0] != 0x2B:
            return self.answer(pdu)
        self.identified += 1
        if self.ignores_identification:
            return b""
        return b"\xab\x01" if self.texts is None else self._identification(self.texts, pdu[3])

    def _identification(self, texts: tuple[str, ...], first: int) -> bytes:
        last = first + 1 if self.parts else len(texts)
        more = last < len(texts)
        head = bytes(
            (0x2B, 0x0E, 0x01, 0x01, 0xFF if more else 0, last if more else 0, last - first)
        )
        objects = (bytes((n, len(texts[n]))) + texts[n].encode() for n in range(first, last))
        return head + b"".join(objects)


class SerialBus:
    """A bus of stations behind one adapter. `plug` gives it a name, `unplug` hangs up."""

    def __init__(self, stations: Mapping[int, Station]) -> None:
        self.stations = dict(stations)
        self._ends: tuple[int, int] | None = None
        self._link: Path | None = None

    def plug(self, name: Path) -> None:
        """Be there under this name. Called within the event loop."""
        master, slave = os.openpty()
        tty.setraw(slave)
        self._ends, self._link = (master, slave), name
        name.symlink_to(os.ttyname(slave))
        asyncio.get_running_loop().add_reader(master, self._serve)

    def unplug(self) -> None:
        """Be gone, as an adapter that is pulled out."""
        if self._ends is None or self._link is None:
            return
        asyncio.get_running_loop().remove_reader(self._ends[0])
        for end in self._ends:
            os.close(end)
        self._link.unlink()
        self._ends = None

    def _serve(self) -> None:
        assert self._ends is not None
        request = os.read(self._ends[0], 256)
        station = self.stations.get(request[0])
        pdu = b"" if station is None else station.respond(request[1:-2])
        if pdu:
            frame = request[:1] + pdu
            os.write(self._ends[0], frame + crc16(frame).to_bytes(2, "little"))


def exchange(one: SerialBus, other: SerialBus, names: tuple[Path, Path]) -> None:
    """`one`, which has the first name, and `other` come back under each other's name."""
    one.unplug()
    other.unplug()
    one.plug(names[1])
    other.plug(names[0])


@contextlib.contextmanager
def plugged(*buses: tuple[SerialBus, Path]) -> Iterator[None]:
    """Buses under their names, gone at the end."""
    try:
        for bus, name in buses:
            bus.plug(name)
        yield
    finally:
        for bus, _ in buses:
            bus.unplug()
