"""Long series cut down to what says something: of a counter the first and the last change of a
minute, and falls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_agent.production.facts import MINUTE_NS
from edge_agent.stores import SampleRuns
from edge_agent.stores.decisive_readings import QUARTER_NS
from edge_agent.stores.evidence import SEAM_NS, Span

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def counter_readings(runs: SampleRuns, known: Sequence[Span] = ()) -> tuple[Longs, Floats]:
    """(times, numbers) of a counter's good readings: each run by its first and its last.

    A subscription sends a count once. It stood until the end of the `known` span in which it came
    (the device's values were current), and until the next one if that came later than at the start
    of a known span, where a change of the time before would have come. It may not have stood where
    readings in between were left out: in one quarter of an hour, of a rise by more than one.
    """
    usable = runs.good
    last = runs.last
    edges = np.array(known, np.int64).reshape(-1, 2)
    if len(edges) and len(runs):
        _, until, inside = _spans(edges, last)
        stood = np.where(inside, until, last)
        following = runs.first[1:]
        since, _, inside = _spans(edges, following)
        came_late = inside & (following - since > SEAM_NS)
        stood[:-1] = np.where(came_late, following - 1, np.minimum(stood[:-1], following - 1))
        quarter = runs.first // QUARTER_NS
        together = (quarter[1:] != quarter[:-1]) | (runs.num[1:] - runs.num[:-1] == 1)
        stood[:-1] = np.where(together, stood[:-1], last[:-1])
        last = np.maximum(last, stood)
    t = np.stack([runs.first[usable], last[usable]], axis=1).ravel()
    value = np.repeat(runs.num[usable], 2)
    new = np.append(True, t[1:] > t[:-1])[: len(t)]
    return t[new], value[new]


def _spans(edges: Longs, moments: Longs) -> tuple[Longs, Longs, Mask]:
    """Start and end of the span that begins last before each moment, and whether the moment lies in
    it."""
    place = np.searchsorted(edges[:, 0], moments, "right") - 1
    since = edges[place, 0]
    until = edges[place, 1]
    return since, until, (place >= 0) & (moments <= until)


def deciding_readings(t: Longs, value: Floats, at: Longs | None = None) -> Mask:
    """The first reading of all, of the changes the first and the last of each minute, and both
    sides of every fall.

    A reading is also kept when it is the last before such a change (the step began there), and when
    it is the last or the first around one of the moments `at` (the machine's state changed there:
    its energy is divided there).
    """
    keep = np.zeros(len(t), bool)
    if len(t) == 0:
        return keep
    changed = np.append(True, value[1:] != value[:-1])
    index = np.flatnonzero(changed)
    minute = t[index] // MINUTE_NS
    edge = np.ones(len(index) + 1, bool)
    edge[1:-1] = minute[1:] != minute[:-1]
    falls = np.zeros(len(index) + 1, bool)
    falls[1:-1] = value[index][1:] < value[index][:-1]
    chosen = index[edge[:-1] | edge[1:] | falls[:-1] | falls[1:]]
    keep[chosen] = True
    keep[np.maximum(chosen - 1, 0)] = True
    if at is not None:
        place = np.searchsorted(t, at)
        keep[np.clip(place, 0, len(t) - 1)] = keep[np.clip(place - 1, 0, len(t) - 1)] = True
    return keep
