"""One simulated device: the values of its tags at the present moment, with its value faults
applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from zlib import crc32

from simulators.behaviours.base import SignalValue
from simulators.faults import CounterOffsets, FaultBoard
from simulators.signals import reader
from simulators.spec import DeviceSpec, FaultSpec, TagSpec
from simulators.world import World

#: Tags whose number only grows: those the counter faults are about.
_COUNTING: Final = frozenset(
    {
        "part_count",
        "parts_actual",
        "parts_total",
        "parts_good",
        "parts_scrap",
        "import",
        "energy",
        "sum",
        "power_on_time",
        "cutting_time",
        "operating_time",
        "count_ok",
        "count_ng",
        "missions_total",
        "baskets_total",
        "belt_life_counter",
        "reactive_import",
    }
)


def is_counter(tag: TagSpec) -> bool:
    """Whether a tag counts, by its name."""
    name = tag.name
    return (
        name in _COUNTING
        or name.endswith(("_count", "_total", "counter"))
        or name.startswith("import")
    )


class SimulatedDevice:
    """A SPEC device bound to its behaviour. `values` is computed at most once per step and fault
    change."""

    def __init__(self, spec: DeviceSpec, world: World, seed: int) -> None:
        self.spec = spec
        self.world = world
        self.board = FaultBoard(spec.id, spec.protocol, spec.faults)
        self.counters = CounterOffsets()
        self._behaviour = world.behaviours.get(spec.id)
        self._readers = [
            reader(tag, self._behaviour, crc32(f"{seed}:{spec.id}:{tag.name}".encode()))
            for tag in spec.tags
        ]
        self._counting = [is_counter(tag) for tag in spec.tags]
        self._values: list[SignalValue] = []
        self._raw: list[SignalValue] = [0] * len(spec.tags)
        """Values before counters were bent."""
        self._stamp: tuple[float, int] | None = None
        self.version = 0
        """Counts recomputations of the values."""

    def values(self) -> Sequence[SignalValue]:
        """Engineering values aligned with `spec.tags`."""
        stamp = (self.world.t, self.board.version)
        if stamp != self._stamp:
            self._stamp = stamp
            self._compute()
            self.version += 1
        return self._values

    def _compute(self) -> None:
        signals = self._behaviour.signals() if self._behaviour is not None else {}
        t = self.world.t
        board = self.board
        old = self._values
        fresh: list[SignalValue] = []
        for i, (tag, read) in enumerate(zip(self.spec.tags, self._readers, strict=True)):
            value = (
                old[i]
                if old and board.hits("frozen", tag.name)
                else self._live(i, read(signals, t))
            )
            fresh.append(value)
        self._values = fresh

    def _live(self, i: int, value: SignalValue) -> SignalValue:
        self._raw[i] = value
        if self._counting[i] and isinstance(value, int | float):
            bent = self.counters.bent(self.spec.tags[i].name, value)
            return int(bent) if isinstance(value, int) else bent
        return value

    def bend(
        self, event: FaultSpec, modulus: Callable[[TagSpec], tuple[float, float] | None]
    ) -> None:
        """Carry out `counter_reset` or `rollover`; `modulus` gives a tag's (modulus, resolution),
        None where none."""
        self.values()
        for tag, value in zip(self.spec.tags, self._raw, strict=True):
            wanted = tag.name in event.tags if event.tags else is_counter(tag)
            if not wanted or not isinstance(value, int | float):
                continue
            limit = modulus(tag)
            if event.kind == "counter_reset":
                self.counters.reset(tag.name, float(value))
            elif limit is not None:
                self.counters.roll_over(tag.name, float(value), *limit)
        self._stamp = None
