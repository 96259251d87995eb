"""When the values of a device were known to be current, from its health rows alone.

A row says how long evidence lasted (`covered_s`) and when the last of it came (`last_good_t`): so
it lasted from `last_good_t - covered_s` to `last_good_t`. Rows of a device that is well adjoin, and
become one span; what lies between two spans was not known. A state that was sent once, by a
subscription, holds inside such a span.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from edge_agent.stores.columns import Longs

Span = tuple[int, int]

#: Spans no further apart than this are one: three seconds are the least staleness a value may have
#: (configuration).
SEAM_NS: Final = 3_000_000_000
#: The interval a health row speaks of began at most this long before the row's time.
REACH_NS: Final = 600_000_000_000


def joined(since: Longs, until: Longs, seam_ns: int = SEAM_NS) -> list[Span]:
    """Disjoint spans in order of time; the input may overlap and need not be sorted."""
    if not len(since):
        return []
    order = np.argsort(since, kind="stable")
    since = since[order]
    reach = np.maximum.accumulate(until[order])
    starts = np.flatnonzero(np.append(True, since[1:] > reach[:-1] + seam_ns))
    ends = np.append(starts[1:], len(since)) - 1
    return list(zip(since[starts].tolist(), reach[ends].tolist(), strict=True))


def bridged(spans: Sequence[Span], seam_ns: int) -> list[Span]:
    """The same with a wider seam."""
    since, until = np.array(spans, np.int64).reshape(-1, 2).T
    return joined(since, until, seam_ns)


def clipped(spans: Sequence[Span], from_ns: int, to_ns: int) -> list[Span]:
    """What of the spans lies in a window."""
    return [(max(a, from_ns), min(b, to_ns)) for a, b in spans if a < to_ns and b > from_ns]
