"""Energy of a machine that has a power tag and no meter: where its sum must be known, and what of
it counts.

The store integrates a power between moments (each reading holds until the next one); here these
moments are chosen, and what was integrated while nothing was known of the machine is left out. The
result is a cumulative quantity like a meter's, and becomes readings of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def moments(
    start: int, end: int, step: int, changes: Sequence[Longs], known: Sequence[tuple[int, int]]
) -> Longs:
    """When a power's energy must be known in `start..end` (ns): at its edges, every full step, at
    these changes, and where a `known` span begins or ends. Rising, each once."""
    steps = np.arange(start - start % step, end + step, step)
    points = _distinct([np.array([start, end]), steps, *changes, np.array(known, np.int64).ravel()])
    return points[(points >= start) & (points <= end)]


def energy_while_known(t: Longs, energy: Floats, known: Sequence[tuple[int, int]]) -> Floats | None:
    """From what a power adds up to at moments `t` (the edges of `known` among them): what of it was
    used inside `known`, up to each of them; None where nothing of `t` lies inside. `known` is
    disjoint and sorted.

    An old reading that was integrated on while nothing was known of the machine is no energy.
    """
    edges = np.array(known, np.int64).reshape(-1, 2)
    if not np.any((edges[:, 0] < t[-1]) & (edges[:, 1] > t[0])):
        return None
    span = np.searchsorted(edges[:, 0], t[:-1], "right") - 1
    current = (span >= 0) & (t[:-1] < edges[span, 1])
    return np.concatenate([[0.0], np.cumsum(np.where(current, np.diff(energy), 0.0))])


class UnitSpan(NamedTuple):
    """From `begin` (ns) on readings are in a unit that is so many times the one wanted; None:
    nobody can say."""

    begin: int
    factor: Fraction | None


def in_units(t: Longs, energy: Floats, spans: Sequence[UnitSpan]) -> Floats | None:
    """What a power adds up to at moments `t` (the beginnings of `spans` among them), each part
    converted; None where a part is in a unit that cannot be."""
    begins = np.array([span.begin for span in spans], np.int64)
    which = np.searchsorted(begins, t[:-1], "right") - 1
    factors = np.array([np.nan if span.factor is None else float(span.factor) for span in spans])[
        which
    ]
    if np.isnan(factors).any():
        return None
    return np.concatenate([[0.0], np.cumsum(np.diff(energy) * factors)])


def _distinct(columns: Sequence[Longs]) -> Longs:
    """All their values once, rising; of columns that are sorted, faster than numpy's own."""
    values = np.sort(np.concatenate(columns), kind="stable")
    once: Longs = values[np.append(True, values[1:] != values[:-1])[: len(values)]]
    return once
