"""What a counter makes possible by its own past: twenty times the step that all but one in a
thousand stay below.

Learned day by day (UTC) from the days before: from at least 1 000 steps on at least three days, the
nearest ones, and never from a step beyond what was possible on its own day. Each day's limit is a
function of the four weeks (a fixed grid of them) it lies in and those before, not of the window
asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Final, Protocol

from edge_agent.metrics.plausibility import StepLimit

DAY_NS: Final = 86_400_000_000_000
_WEEKS: Final = 28
#: StepCounts, days, and how far back the days may lie.
STEPS: Final = 1000
DAYS: Final = 3
_BACK: Final = 28
_TIMES: Final = 20


class StepCounts(Protocol):
    """The steps of one day: size -> number, and the most of an hour."""

    sizes: dict[int, int]
    busiest: int


def first_day(t: int) -> int:
    """The first day (ns of its start) that a limit at `t` may rest on."""
    return (t // DAY_NS // _WEEKS - 1) * _WEEKS * DAY_NS


def limits(
    days: Mapping[int, StepCounts], upper: Callable[[int], float], from_ns: int, to_ns: int
) -> tuple[StepLimit, ...]:
    """One for each day of `from_ns..to_ns` on which enough is known. `days`: by their starts, from
    `first_day` on; `upper`: what steps of a size stay below."""
    found: list[StepLimit] = []
    first = from_ns // DAY_NS
    last = to_ns // DAY_NS
    for block in range(first // _WEEKS, last // _WEEKS + 1):
        begin = (block - 1) * _WEEKS
        accepted: dict[int, tuple[dict[int, int], int]] = {}
        for day in range(begin, min(last + 1, (block + 1) * _WEEKS)):
            limit = _learned(accepted, upper, day)
            if limit is not None and day >= max(first, block * _WEEKS):
                found.append(limit)
            steps = days.get(day * DAY_NS)
            if steps is not None:
                sizes = {
                    size: number
                    for size, number in steps.sizes.items()
                    if limit is None or upper(size) <= limit.burst
                }
                accepted[day] = sizes, steps.busiest
    return tuple(found)


def _learned(
    accepted: Mapping[int, tuple[dict[int, int], int]], upper: Callable[[int], float], day: int
) -> StepLimit | None:
    together: dict[int, int] = {}
    number = busiest = used = 0
    for before in sorted((each for each in accepted if each >= day - _BACK), reverse=True):
        sizes, most = accepted[before]
        for size, count in sizes.items():
            together[size] = together.get(size, 0) + count
            number += count
        busiest = max(busiest, most)
        used = used + bool(sizes)
        if number >= STEPS and used >= DAYS:
            step = upper(_rank(together, ceil(number * 0.999)))
            return StepLimit("learned", _TIMES * step * busiest, _TIMES * step, day * DAY_NS)
    return None


def _rank(sizes: Mapping[int, int], rank: int) -> int:
    """The size of the step of this rank, from the smallest."""
    seen = 0
    for size in sorted(sizes):
        seen += sizes[size]
        if seen >= rank:
            return size
    return max(sizes)
