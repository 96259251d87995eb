"""Registers of a device that nobody has described yet, read again and again for a person who
compares."""

from __future__ import annotations

from typing import Any, cast, get_args

from connectors.modbus.address import POINTS
from connectors.modbus.exchange import RequestExchange, words_of
from connectors.modbus.options import ObjectName, device_options
from connectors.modbus.point import is_bits
from connectors.modbus.readings import decodings, plausible
from edge_agent.discovery import ProbedPlace, ProbeLook, ProbeWanted
from edge_agent.sdk import Cause

_MOST = 2000
"""Registers or bits of one look."""


class RegisterProber:
    """Reads one run of registers or bits of one unit (`discovery.Prober`)."""

    def __init__(self, options: Any, wanted: ProbeWanted) -> None:
        self._device = device_options(options)
        self._wanted = wanted
        self._table = cast("ObjectName", wanted.area)
        self._asking = RequestExchange(self._device)

    async def open(self) -> None:
        """Raises DeviceError."""
        await self._asking.open()

    async def close(self) -> None:
        """See `discovery.Prober`."""
        await self._asking.close()

    async def look(self) -> ProbeLook:
        """See `discovery.Prober`."""
        wanted = self._wanted
        most = self._device.max_bits if is_bits(self._table) else self._device.max_registers
        data = await self._asking.registers(
            self._device.unit, self._table, wanted.first, wanted.count, most
        )
        words = words_of(data)
        bits = is_bits(self._table)
        places = []
        for at, item in enumerate(data):
            refused = f"{item.zh}\n{item.en}" if isinstance(item, Cause) else ""
            meanings = () if bits else decodings(words, at)
            places.append(
                ProbedPlace(f"{wanted.area}/{wanted.first + at}", words[at], refused, meanings)
            )
        found = [] if bits else plausible(wanted.area, wanted.first, words, wanted.expect)
        return ProbeLook(places, found)


async def probe(options: Any, wanted: ProbeWanted) -> RegisterProber:
    """See `discovery.Discovery.probe`."""
    if wanted.area not in get_args(ObjectName):
        known = "、".join(get_args(ObjectName))
        raise ValueError(
            f"没有区 {wanted.area!r}：可用的是 {known}。\n"
            f"    There is no area {wanted.area!r}: it is one of {', '.join(get_args(ObjectName))}."
        )
    if not 1 <= wanted.count <= _MOST or wanted.first < 0 or wanted.first + wanted.count > POINTS:
        raise ValueError(
            f"--from {wanted.first} --count {wanted.count} 超出范围：地址为 0 到 65535，一次最多 "
            f"{_MOST} 个。\n"
            f"    --from {wanted.first} --count {wanted.count} is out of range: addresses are 0 "
            "to 65535, and at most"
            f" {_MOST} at a time."
        )
    prober = RegisterProber(options, wanted)
    await prober.open()
    return prober
