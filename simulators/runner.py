"""Runs a SPEC: builds the world and the servers, moves time on, carries out faults, stops
cleanly."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from simulators.certificates import make, server_context
from simulators.clock import SimClock
from simulators.device import SimulatedDevice
from simulators.modbus.server import ModbusPort
from simulators.spec import DeviceSpec, FaultSpec, Spec, SpecError, parse_fault
from simulators.world import World

_LOG = logging.getLogger(__name__)
_TICK_S: Final = 0.1


class Port(Protocol):
    """What the runner needs of a server."""

    devices: list[SimulatedDevice]

    @property
    def endpoint(self) -> str:
        """Where a client finds it."""

    async def start(self) -> None:
        """Listen."""

    async def stop(self) -> None:
        """Close everything."""

    async def refresh(self) -> None:
        """Follow faults and values."""

    async def happen(self, device: SimulatedDevice, event: FaultSpec) -> None:
        """Carry out an event."""


class Simulation:
    """All devices of one SPEC."""

    def __init__(self, spec: Spec) -> None:
        self.clock = SimClock(spec.speed, spec.epoch_ns)
        self.world = World(spec, self.clock)
        self.devices = {
            device.id: SimulatedDevice(device, self.world, spec.seed) for device in spec.devices
        }
        self._pki = tempfile.TemporaryDirectory(prefix="simulators-")
        self.ports = self._make_ports()
        self._seen: dict[str, tuple[float, int]] = {}

    async def start(self) -> dict[str, Any]:
        """Listen everywhere; returns the readiness document. Stops again what it started when one
        port fails."""
        try:
            self.world.advance(self.clock.seconds(), budget_s=30.0)
            for port in self.ports:
                await port.start()
        except BaseException:
            await self.stop()
            raise
        endpoints = {
            device.spec.id: port.endpoint for port in self.ports for device in port.devices
        }
        ready: dict[str, Any] = {"ready": True, "endpoints": endpoints}
        certificates = {
            device.spec.id: str(path)
            for port in self.ports
            if (path := getattr(port, "certificate", None)) is not None
            for device in port.devices
        }
        return ready | ({"certificates": certificates} if certificates else {})

    async def run(self) -> None:
        """Move the world and its servers on until cancelled."""
        while True:
            reached = self.world.advance(self.clock.seconds())
            for port in self.ports:
                try:
                    await self._follow(port)
                except OSError as error:
                    # The port of a fault's end is taken by somebody else: say so and try again at
                    # the next tick.
                    _LOG.warning("port-failed endpoint=%s reason=%s", port.endpoint, error)
                    self._seen.clear()
            await asyncio.sleep(_TICK_S if reached else 0)

    async def stop(self) -> None:
        """Close every server and the truth log; may be called twice."""
        results = await asyncio.gather(
            *(port.stop() for port in self.ports), return_exceptions=True
        )
        for result in results:
            if isinstance(result, Exception):
                _LOG.warning("stop-failed reason=%r", result)
        self.world.close()
        self._pki.cleanup()

    def inject(self, line: str) -> None:
        """A fault from a JSON line `{"device", "kind", "for"}`. Raises SpecError for one that
        cannot be done."""
        try:
            item = json.loads(line)
        except ValueError as error:
            raise SpecError(f"不是有效的 JSON：{error} / not valid JSON: {error}") from error
        if not isinstance(item, Mapping) or item.get("device") not in self.devices:
            raise SpecError('"device" 须为一个设备 id / "device" must be the id of a device')
        self.devices[item["device"]].board.add(parse_fault(item, at=self.clock.seconds()))

    async def _follow(self, port: Port) -> None:
        """Let a port see new values and faults, if there are any."""
        t = self.clock.seconds()
        changed = False
        for device in port.devices:
            for event in device.board.update(t):
                _LOG.info("fault device=%s kind=%s", device.spec.id, event.kind)
                await port.happen(device, event)
            stamp = (self.world.t, device.board.version)
            changed |= self._seen.get(device.spec.id) != stamp
            self._seen[device.spec.id] = stamp
        if changed:
            await port.refresh()

    def _make_ports(self) -> list[Port]:
        buses: dict[tuple[str, str], list[SimulatedDevice]] = {}
        for device in self.devices.values():
            buses.setdefault((device.spec.protocol, device.spec.bus), []).append(device)
        ports: list[Port] = []
        for (protocol, _), devices in buses.items():
            if protocol == "modbus":
                ports.append(self._modbus(devices))
                continue
            # asyncua costs 40 MB and half a second to import: only where a device needs it.
            from simulators.opcua.server import OpcuaPort

            ports.append(OpcuaPort(devices, Path(self._pki.name)))
        return ports

    def _modbus(self, devices: list[SimulatedDevice]) -> ModbusPort:
        first: DeviceSpec = devices[0].spec
        if first.options.get("transport") != "tls":
            return ModbusPort(devices)
        identity = make(Path(self._pki.name), first.id, f"urn:simulators:{first.id}")
        return ModbusPort(devices, server_context(identity), identity.certificate)
