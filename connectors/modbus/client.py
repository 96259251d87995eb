"""A Modbus connection as the agent sees it: open, close, read a table of one of its devices."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.modbus.endpoint import ModbusEndpoint, parse_url, pipelined
from connectors.modbus.frame import ReadRequest
from connectors.modbus.identity import identity_check
from connectors.modbus.link import Link
from connectors.modbus.options import ModbusDevice, device_options
from connectors.modbus.reader import ModbusTableReader
from connectors.modbus.transport import Reply, Timing
from connectors.modbus.unit import Unit
from edge_agent.sdk import Batch, Clock, DevicePlan, TagTable


class ModbusConnection:
    """One TCP connection or bus and the devices (unit ids) on it, asked in turn. An
    `sdk.Pollable`."""

    def __init__(self, plans: Sequence[DevicePlan], clock: Clock) -> None:
        options = [device_options(plan.options) for plan in plans]
        endpoint = parse_url(options[0].url)
        self.requests = 0
        """Requests sent since the start."""
        self._clock = clock
        self._units = {plan.id: Unit(plan.id, o) for plan, o in zip(plans, options, strict=True)}
        self._timings = {
            plan.id: _timing(o, endpoint) for plan, o in zip(plans, options, strict=True)
        }
        self._readers: dict[TagTable, ModbusTableReader] = {}
        self._to_replan: set[TagTable] = set()
        self._link = Link(endpoint, options, clock.time_ns)
        self._identity = identity_check(plans, endpoint, self._link, self._read, self._ask)

    async def open(self) -> None:
        """Connect. Raises DeviceError(lost=True)."""
        await self._link.open()
        for unit in self._units.values():
            unit.forget_missing()
        for reader in self._readers.values():
            reader.replan()

    def retry_refused(self) -> None:
        """With the next reads, ask again for every address that a device refused or did not answer
        for."""
        for unit in self._units.values():
            unit.retry()
        self._to_replan = set(self._readers)

    async def close(self) -> None:
        """Release the connection; never raises."""
        await self._link.close()

    async def read(self, table: TagTable) -> Batch:
        """One table. What the device refuses is bad in the batch; raises DeviceError when it does
        not answer or is not the configured one, and with `lost=True` when the connection must be
        closed and opened again."""
        return await (self._read(table) if self._identity is None else self._identity.read(table))

    def confirm(self) -> list[str]:
        """Accept the devices as they answer now. See `sdk.Confirmable`."""
        return [] if self._identity is None else self._identity.confirm()

    async def _read(self, table: TagTable) -> Batch:
        reader = self._readers.get(table)
        if reader is None:
            reader = self._readers[table] = ModbusTableReader(table, self._units[table.device])
        elif table in self._to_replan:
            self._to_replan.discard(table)
            reader.replan()
        wave = reader.first()
        while wave:
            wave = reader.next(await self._ask(wave, table.device))
        return reader.finish(self._link.arrived)

    async def raw(self, table: TagTable, *, ask: bool) -> Sequence[str | None]:
        """The registers and bits of the last read; they are at hand, so nothing is asked."""
        reader = self._readers.get(table)
        return [None] * len(table) if reader is None else reader.raw()

    async def _ask(self, requests: Sequence[ReadRequest], device: str) -> list[Reply]:
        """Ask a device for something, counted."""
        self.requests += len(requests)
        return await self._link.exchange(requests, self._timings[device])


def _timing(options: ModbusDevice, endpoint: ModbusEndpoint) -> Timing:
    window = options.pipeline if pipelined(endpoint, options) else 1
    return Timing(options.timeout, window, max(options.pause_ms / 1000, endpoint.silence))
