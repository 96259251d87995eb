"""A rehearsal's machines once more, without servers: what each of them drew in every second, to
hold readings against.

The simulated world depends on its SPEC and on the number of steps alone, so this is the same
history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from simulators.behaviours.machine import SimulatedMachine
from simulators.behaviours.meter import Meter
from simulators.clock import SimClock
from simulators.spec import parse
from simulators.world import World

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SECOND: Final = 1_000_000_000
_HOUR_S: Final = 3600.0
_TRIALS: Final = 500


@dataclass(frozen=True)
class Replay:
    """Columns with one number per second from `epoch` (ns) on: the state after so many steps of the
    world."""

    epoch: int
    kw: Mapping[str, Floats]
    """Machine -> its power."""
    kwh: Mapping[str, Floats]
    """Machine -> used since the start; meter -> what its register shows."""

    def used(self, device: str, start: int, end: int) -> float:
        """kWh in `start..end` (ns), to the second and straight inside it."""
        seconds = [(edge - self.epoch) / SECOND for edge in (start, end)]
        first, last = np.interp(seconds, np.arange(len(self.kwh[device])), self.kwh[device])
        return float(last - first)

    def shown(self, column: Floats, t: int, seconds: float) -> Floats:
        """What a device showed at some time in the `seconds` before `t` (ns), or in the second
        after."""
        last = (t - self.epoch) // SECOND + 1
        return column[max(0, last - int(seconds) - 1) : last + 1]

    def scatter(
        self, device: str, start: int, end: int, every_s: float, tick_s: float
    ) -> tuple[float, float]:
        """Mean and standard deviation (kWh) of what reading a power now and then gets wrong in
        `start..end` (ns).

        The power is read every `every_s` or up to half of it later, shows itself up to `tick_s`
        late, and is held until it is read again. Its changes fall between the readings as chance
        will have it, and a stop shorter than `every_s` is often not seen at all: so this is tried
        from many beginnings.
        """
        kw, random = self.kw[device], np.random.default_rng(1)
        first, last = ((edge - self.epoch) / SECOND for edge in (start, end))
        grid = np.arange(first - every_s, last, every_s)
        used = self.used(device, start, end)
        wrong = np.zeros(_TRIALS)
        for trial in range(_TRIALS):
            read = grid - random.uniform(0, every_s) + random.uniform(0, every_s / 2, len(grid))
            # A reading behind the window, where rounding makes one of the grid's end, is held for
            # no time in it.
            shown = np.clip(read - random.uniform(0, tick_s, len(grid)), 0, last).astype(np.int64)
            edges = np.clip(np.append(read, last), first, last)
            wrong[trial] = kw[shown] @ np.diff(edges) / _HOUR_S - used
        return float(wrong.mean()), float(wrong.std())


def replay(spec: Mapping[str, Any], until: int) -> Replay:
    """From the SPEC the simulators were given, up to `until` (ns); a simulated day takes some 15
    s."""
    parsed = parse({key: value for key, value in spec.items() if key != "truth"})
    assert parsed.epoch_ns is not None
    assert parsed.step_s == 1.0
    world = World(parsed, SimClock(parsed.speed, parsed.epoch_ns))
    steps = (until - parsed.epoch_ns) // SECOND + 1
    machines = {
        name: each for name, each in world.behaviours.items() if isinstance(each, SimulatedMachine)
    }
    meters = {name: each for name, each in world.behaviours.items() if isinstance(each, Meter)}
    kw = {name: np.zeros(steps) for name in machines}
    kwh = {name: np.zeros(steps) for name in (*machines, *meters)}
    for i in range(steps):
        for name, machine in machines.items():
            kw[name][i], kwh[name][i] = machine.kw, machine.kwh
        for name, meter in meters.items():
            kwh[name][i] = meter.start_kwh + meter.kwh
        world.advance(i + 1.0, budget_s=60.0)
    return Replay(parsed.epoch_ns, kw, kwh)


def held(t: Longs, number: Floats, spans: list[tuple[int, int]]) -> float:
    """Unit-hours of readings, each held until the next one, inside these disjoint spans (ns); NaN
    counts as 0."""
    number = np.nan_to_num(number)
    sums = np.append(0.0, np.cumsum(number[:-1] * np.diff(t) / SECOND))

    def at(moment: int) -> float:
        place = int(np.searchsorted(t, moment, "right")) - 1
        return (
            0.0
            if place < 0
            else float(sums[place] + number[place] * (moment - int(t[place])) / SECOND)
        )

    return sum(at(b) - at(a) for a, b in spans) / _HOUR_S
