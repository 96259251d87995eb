"""All devices of an agent and the connections they share; changed while it runs, without touching
the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge_agent.app.agent.device_factory import DeviceFactory, ManagedDevice
from edge_agent.app.values.current import RawOf, ReadDevice
from edge_agent.clock import Clock
from edge_agent.config.models import DeviceCommon, Site
from edge_agent.config.plugins import Plugins
from edge_agent.errors import DeviceError
from edge_agent.model import TagTable
from edge_agent.polling.attempts import RESERVE, ConnectionSlots, RetryBudget
from edge_agent.polling.device import PolledDevice
from edge_agent.polling.loop import ConnectionLoop
from edge_agent.polling.poll_timer import PollTimer
from edge_agent.polling.standstill import Standstill
from edge_agent.polling.start_limiter import StartLimiter
from edge_agent.process import descriptors_left
from edge_agent.sdk import Confirmable, Connection, Pollable
from edge_agent.tasks import cancel_and_wait

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Connector and connection key."""


@dataclass(slots=True)
class _ConnectionTask:
    """One connection: its devices in order, its loop, and the task that runs it."""

    members: Sequence[ManagedDevice]
    connection: Connection
    loop: ConnectionLoop
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What a reload did, by device id, and the connections that were made anew."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    reopened: list[str] = field(default_factory=list)
    unchanged: int = 0
    confirmed: list[str] = field(default_factory=list)
    """Devices that were doubted to be the configured ones, and are accepted as what they answer
    now."""

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "added": self.added,
            "changed": self.changed,
            "removed": self.removed,
            "reopened": self.reopened,
            "unchanged": self.unchanged,
        }
        if self.confirmed:
            document["confirmed"] = self.confirmed
        return document


class Retained(Protocol):
    """Who keeps retained documents at the broker; one without pieces takes a topic's document
    away."""

    def retain(self, topic: str, *pieces: bytes) -> None: ...


class DeviceRegistry:
    """Members by id, lines by connection key. `broker` keeps the birth documents."""

    def __init__(
        self,
        site: Site,
        workshop: DeviceFactory,
        plugins: Plugins,
        clock: Clock,
        broker: Retained,
        metronome: PollTimer,
    ) -> None:
        self._workshop = workshop
        self._plugins = plugins
        self._clock = clock
        self._broker = broker
        self._metronome = metronome
        self._turnstile = StartLimiter()
        self._retries = RetryBudget()
        self._slots = ConnectionSlots()
        self.standstill = Standstill()
        self._group: asyncio.TaskGroup | None = None
        self.values_gone = 0
        """Values read by devices that a reload has removed or replaced."""
        self._members = {
            device.id: workshop.make(device, plugins[device.connector]) for device in site.devices
        }  # fmt: skip
        self._polled = [member.polled for member in self._members.values()]
        self._lines = {
            key: self._connect(key, members)
            for key, members in self._sharing(self._members).items()
        }
        for member in self._members.values():
            broker.retain(f"{member.path}/birth", *member.birth)

    @property
    def devices(self) -> list[PolledDevice]:
        """Not to be changed by the caller: the same list until a reload, since it is asked for many
        times a second."""
        return self._polled

    @property
    def connections(self) -> int:
        return len(self._lines)

    def stalled(self) -> list[str]:
        """Connections whose loop has taken no step for far too long."""
        return [line.loop.key for line in self._lines.values() if line.loop.stalled()]

    def readable(self, names: Collection[str] | None = None) -> list[ReadDevice]:
        """The devices with these ids, or all, for who asks for their values, in the order of the
        file."""
        loops = {
            member.polled.plan.id: line.loop
            for line in self._lines.values()
            for member in line.members
        }
        return [
            ReadDevice(
                member.config,
                member.polled,
                self._plugins[member.config.connector],
                _raw_of(loops[name]),
            )
            for name, member in self._members.items()
            if names is None or name in names
        ]

    def learn_kinds(self, devices: Sequence[PolledDevice]) -> None:
        """Announce anew those of the devices whose values have shown types that nobody has written,
        or other ones."""
        for device in devices:
            member = self._members.get(device.plan.id)
            if member is not None and member.polled is device and member.learn_kinds():
                self._broker.retain(f"{member.path}/birth", *member.birth)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to poll."""
        self._group = group
        self._slots.limit = descriptors_left(RESERVE)
        for line in self._lines.values():
            self._run(line)

    def cancel(self) -> list[asyncio.Task[None]]:
        """End all loops; the tasks returned may take a moment to leave their devices politely."""
        tasks = [line.task for line in self._lines.values() if line.task is not None]
        for task in tasks:
            task.cancel()
        return tasks

    async def apply(self, site: Site) -> ReloadResult:
        """Become what `site` says. Nothing is stopped before everything new could be made.

        A device is left alone when its keys are equal, a connection when its devices are.
        """
        members: dict[str, ManagedDevice] = {}
        for device in site.devices:
            known = self._members.get(device.id)
            if known is not None and known.config == device:
                members[device.id] = known
            else:
                members[device.id] = self._made(device)
                await asyncio.sleep(0)  # the others' turns come first
        wanted = self._sharing(members)
        lines = {
            key: line
            for key, line in self._lines.items()
            if _same(line.members, wanted.get(key, ()))
        }
        fresh = {
            key: self._connect(key, found) for key, found in wanted.items() if key not in lines
        }
        gone = [line for key, line in self._lines.items() if key not in lines]
        await self._stop(gone)
        for line in gone:
            line.loop.removed()
        change = self._differences(members, [line.loop.key for line in fresh.values()])
        before = self._members
        self._members = members
        self._polled = [member.polled for member in members.values()]
        self._lines = {key: lines.get(key) or fresh[key] for key in wanted}
        self._write_final_rows(before, members, change)
        for line in fresh.values():
            self._run(line)
        return change

    async def retry(self) -> list[str]:
        """Try again at once whatever is not well; the connections with such devices."""
        return [line.loop.key for line in self._lines.values() if line.loop.retry()]

    async def confirm(self) -> list[str]:
        """A person has reloaded the configuration: what answers now is accepted. The devices that
        were doubted."""
        connections = [line.connection for line in self._lines.values()]
        return [
            name
            for found in connections
            if isinstance(found, Confirmable)
            for name in found.confirm()
        ]

    def _made(self, device: DeviceCommon) -> ManagedDevice:
        return self._workshop.make(device, self._plugins[device.connector])

    def _differences(
        self, members: Mapping[str, ManagedDevice], reopened: list[str]
    ) -> ReloadResult:
        known = self._members
        both = [name for name in members if name in known]
        changed = [name for name in both if members[name] is not known[name]]
        return ReloadResult(
            added=[name for name in members if name not in known],
            changed=changed,
            removed=[name for name in known if name not in members],
            reopened=reopened,
            unchanged=len(both) - len(changed),
        )

    def _write_final_rows(
        self,
        before: Mapping[str, ManagedDevice],
        after: Mapping[str, ManagedDevice],
        change: ReloadResult,
    ) -> None:
        """The last words of devices that go or are replaced, and who the new ones are."""
        t = self._clock.time_ns()
        now = self._clock.monotonic()
        for name in change.removed:
            before[name].polled.failed(DeviceError.of("removed"), t, now)
        for name in change.removed + change.changed:
            old = before[name]
            new = after.get(name)
            if new is not None:
                old.polled.write_health_row()
                old.withdraw(old.names - new.names, t)
            elif old.polled.health.changed:  # the row did not leave early
                old.polled.write_health_row()
            self.values_gone += old.polled.health.values_total
            if new is None or new.path != old.path:
                self._broker.retain(f"{old.path}/birth")
        for name in change.added + change.changed:
            self._broker.retain(f"{after[name].path}/birth", *after[name].birth)

    def _sharing(self, members: Mapping[str, ManagedDevice]) -> dict[Key, list[ManagedDevice]]:
        """Devices with one connection share one loop."""
        shared: dict[Key, list[ManagedDevice]] = {}
        for member in members.values():
            connector = member.config.connector
            key = self._plugins[connector].connection_key(member.polled.plan.options)
            shared.setdefault((connector, key), []).append(member)
        return shared

    def _connect(self, key: Key, members: Sequence[ManagedDevice]) -> _ConnectionTask:
        devices = [member.polled for member in members]
        connection = self._plugins[key[0]].connect([device.plan for device in devices], self._clock)
        for device in devices:
            device.health.streaming = not isinstance(connection, Pollable)
        loop = ConnectionLoop(
            key[1],
            connection,
            devices,
            self._clock,
            self._metronome,
            self._turnstile,
            self._retries,
            self._slots,
            self.standstill,
        )
        return _ConnectionTask(members, connection, loop)

    def _run(self, line: _ConnectionTask) -> None:
        if self._group is None:
            raise RuntimeError("the fleet was not started")
        line.task = self._group.create_task(line.loop.run(), name=f"connection {line.loop.key}")

    @staticmethod
    async def _stop(lines: Sequence[_ConnectionTask]) -> None:
        await cancel_and_wait(line.task for line in lines if line.task is not None)


def _raw_of(loop: ConnectionLoop) -> RawOf:
    async def raw(table: TagTable, ask: bool) -> Sequence[str | None] | None:
        return await loop.raw(table, ask=ask)

    return raw


def _same(before: Sequence[ManagedDevice], after: Sequence[ManagedDevice]) -> bool:
    return len(before) == len(after) and all(b is a for b, a in zip(before, after, strict=True))
