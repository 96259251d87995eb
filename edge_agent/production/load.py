"""The electrical load of a line: mean power (kW) of 15-minute windows, their peak, and how a report
draws them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from edge_agent.metrics import energy
from edge_agent.metrics.energy import Energy
from edge_agent.production.plant import Plant

Load = Sequence[tuple[int, Fraction]]
"""(start of the quarter in ns, mean kW), rising."""
_DAY_NS = 86_400_000_000_000


def load_profile(plant: Plant, used: Energy) -> Load:
    """Every quarter that touches the plant's window. Of the first and the last, where the window
    cuts them, not all of the energy is known."""
    return energy.demand(used, plant.facts.start, plant.facts.end)


def summed_load(loads: Sequence[Load]) -> Load:
    """Several loads of one window as one."""
    return [
        (quarters[0][0], sum((kw for _, kw in quarters), Fraction(0)))
        for quarters in zip(*loads, strict=True)
    ]


def full_quarters(plant: Plant, profile: Load) -> Load:
    """Without the quarters that the window cuts: their mean power would be too low. All, where
    there is no full one."""
    start = plant.facts.start
    end = plant.facts.end
    return [(t, kw) for t, kw in profile if t >= start and t + energy.DEMAND_NS <= end] or profile


def peak(profile: Load) -> tuple[int, Fraction] | None:
    """The quarter with the highest load, the earliest of equals."""
    return energy.peak(profile)


def daily_peaks(profile: Load) -> Load:
    """The highest quarter of every day (UTC)."""
    best: dict[int, tuple[int, Fraction]] = {}
    for t, kw in profile:
        day = t // _DAY_NS
        if day not in best or kw > best[day][1]:
            best[day] = (t, kw)
    return list(best.values())
