"""Which hours were written to: what was computed from them is to be computed again."""

from __future__ import annotations

import threading

import numpy as np

from edge_agent.stores.base import WriteBatch
from edge_agent.stores.evidence import REACH_NS
from edge_agent.stores.rollups import HOUR_NS as HOUR_NS


def hours_of(batch: WriteBatch) -> set[int]:
    """Starts (ns) of the hours in which the batch has samples or health rows; nearly always one."""
    hours = {row["t"] // HOUR_NS * HOUR_NS for row in batch.health}
    times = batch.rows.t
    if len(times):
        first = int(times.min()) // HOUR_NS
        last = int(times.max()) // HOUR_NS
        found = [first] if first == last else np.unique(times // HOUR_NS).tolist()
        hours.update(hour * HOUR_NS for hour in found)
    return hours


def hours_covered_by(batch: WriteBatch) -> set[int]:
    """Starts of the hours whose end the health rows may speak of, though their own time is in the
    next."""
    return {(row["t"] - REACH_NS) // HOUR_NS * HOUR_NS for row in batch.health}


class ChangedSeries:
    """Collected by the thread that writes, taken by whoever computes figures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hours: set[int] = set()

    def add(self, hours: set[int]) -> None:
        with self._lock:
            self._hours |= hours

    def take(self) -> set[int]:
        """What was collected since the last call."""
        with self._lock:
            hours = self._hours
            self._hours = set()
        return hours
