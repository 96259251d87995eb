"""Health rows as a server gives them back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_agent.stores.columns import Longs

#: Times, covered ns, and states of the health rows of one device.
HealthRows = tuple[Longs, Longs, list[str]]


def in_time(parts: Sequence[HealthRows]) -> HealthRows:
    """The rows of several series as one, sorted; at least one."""
    if len(parts) == 1:
        return parts[0]
    t, covered = (np.concatenate([part[column] for part in parts]) for column in (0, 1))
    states = [state for part in parts for state in part[2]]
    order = np.argsort(t, kind="stable")
    return t[order], covered[order], [states[place] for place in order.tolist()]
