"""One configured device, put together: its plan, its normalisers, its topics, its birth
document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edge_agent import payload
from edge_agent.app.agent.births import Meaning, birth
from edge_agent.app.values.current import state_machine
from edge_agent.clock import Clock
from edge_agent.config.compile import plan as compiled
from edge_agent.config.compile import staleness, values_per_second
from edge_agent.config.models import Agent, DeviceCommon
from edge_agent.health import DeviceHealth
from edge_agent.health.tags import breaker_move
from edge_agent.model import KIND_OF_TYPE, STATUS, Batch, Kind, Tag, TagTable
from edge_agent.normalise import Normaliser
from edge_agent.outbox import Outbox
from edge_agent.polling.device import PolledDevice, Tell
from edge_agent.sdk import Plugin, Sink
from edge_agent.topics import Topics

_OUT_OF_SERVICE = STATUS["BadOutOfService"]


@dataclass(slots=True, eq=False)
class ManagedDevice:
    """A device of the fleet with what it was made from."""

    config: DeviceCommon
    polled: PolledDevice
    path: str
    """Its topic; `/data`, `/birth` and `/health` hang below it."""
    make_birth: Callable[[Mapping[str, Kind]], tuple[bytes, ...]]
    send: Sink
    kinds: dict[str, Kind] = field(default_factory=dict)
    """Of the tags whose type only the device knows, as far as their values have shown it."""

    @property
    def birth(self) -> tuple[bytes, ...]:
        """The pieces of its birth document."""
        return self.make_birth(self.kinds)

    def learn_kinds(self) -> bool:
        """Look at the newest values of the tags without a type; whether the birth document says
        something else now."""
        before = dict(self.kinds)
        for normaliser in self.polled.normalisers.values():
            table = normaliser.table
            untyped = table.once(_untyped)
            if untyped:
                values = list(self.polled.current.of(table))
                for position in untyped:
                    kind = KIND_OF_TYPE.get(type(values[position].value))
                    if kind is not None:
                        self.kinds[table.names[position]] = kind
        return self.kinds != before

    @property
    def names(self) -> frozenset[str]:
        """Its tags, derived ones included."""
        return frozenset(
            name
            for normaliser in self.polled.normalisers.values()
            for name in normaliser.table.names
        )

    def withdraw(self, names: Iterable[str], t: int) -> None:
        """Say of these tags that they are out of service, so that nobody takes their last values
        for current ones."""
        gone = set(names)
        for normaliser in self.polled.normalisers.values():
            table: TagTable = normaliser.table
            columns = [position for position, name in enumerate(table.names) if name in gone]
            if columns:
                status = dict.fromkeys(range(len(columns)), _OUT_OF_SERVICE)
                self.send(Batch(table, t, [None] * len(columns), status, None, columns))


def _untyped(tags: Sequence[Tag]) -> tuple[int, ...]:
    return tuple(position for position, tag in enumerate(tags) if tag.kind == "any")


class DeviceFactory:
    """Makes members. It opens nothing and announces nothing, so that what it made can still be
    thrown away."""

    def __init__(
        self, agent: Agent, topics: Topics, outbox: Outbox, clock: Clock, state: Path | None = None
    ) -> None:
        """`state`: the folder in which each connector has one for what its devices teach; None:
        none is kept."""
        self._agent = agent
        self._topics = topics
        self._outbox = outbox
        self._clock = clock
        self._state = state

    def path(self, device: DeviceCommon) -> str:
        """The topic of a device."""
        return self._topics.device(device.area or self._agent.area, device.line, device.id)

    def make(self, device: DeviceCommon, plugin: Plugin) -> ManagedDevice:
        """One device, ready to be polled."""
        plan = compiled(device, plugin, None if self._state is None else self._state / plugin.name)
        area = device.area or self._agent.area
        path = self.path(device)
        state = state_machine(device, plan, self._clock)
        normalisers = {table: Normaliser(table, state) for table in plan.tables}
        tables = [normaliser.table for normaliser in normalisers.values()]
        health = DeviceHealth(
            device.id,
            sum(map(len, tables)),
            values_per_second(tables),
            self._clock.monotonic(),
            clock_tolerance=device.clock_tolerance,
        )
        send = self._sender(path, device.id)
        write_row = self._health_writer(path, device.id)
        polled = PolledDevice(plan, normalisers, health, send, write_row, device.staleness)
        notes = {} if plugin.tag_notes is None else dict(plugin.tag_notes(plan))
        if state is not None and state.derived:
            notes |= state.notes()
        make_birth = partial(self._birth, device, tables, area, path, notes, Meaning.by(plugin))
        return ManagedDevice(device, polled, path, make_birth, send)

    def _birth(
        self,
        device: DeviceCommon,
        tables: list[TagTable],
        area: str,
        path: str,
        notes: Mapping[str, str],
        meaning: Meaning,
        kinds: Mapping[str, Kind],
    ) -> tuple[bytes, ...]:
        oldest = max((staleness(device, table.every) for table in tables), default=0.0)
        t = self._clock.time_ns()
        return birth(
            device,
            tables,
            kinds,
            agent=self._agent.id,
            path=path,
            area=area,
            staleness=oldest,
            t=t,
            notes=notes,
            meaning=meaning,
        )

    def _sender(self, path: str, device: str) -> Sink:
        append = self._outbox.append
        topic = f"{path}/data"
        head = payload.head(device, self._outbox.stream)

        def send(batch: Batch) -> None:
            append(topic, head, payload.data_tail(batch), batch.t, len(batch.values))

        return send

    def _health_writer(self, path: str, device: str) -> Tell:
        append = self._outbox.append
        topic = f"{path}/health"
        clock = self._clock
        head = payload.head(device, self._outbox.stream)

        def write_row(polled: PolledDevice) -> None:
            t = clock.time_ns()
            row = polled.health.row(clock.monotonic())
            if polled.breaker.moved():
                move = breaker_move(polled.breaker.is_open, polled.health.reason)
                row["tag_transitions"] = [*row.get("tag_transitions", ()), move]
            append(topic, head, payload.document_tail(t, row), t, 0)

        return write_row
