"""M-21: how late values reach the store, as nearest-rank percentiles of `store time - source time`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import Final

from edge_agent.metrics.definitions import BY_ID, Text
from edge_agent.metrics.result import Result, Window

_S: Final = 1_000_000_000
_EMPTY: Final = Text("窗口内没有带源时间的数据", "no data with a source time in the window")
_SKEWED: Final = Text(
    "部分数据的源时间晚于入库时间:设备时钟与网关不一致,该部分按原值计入。",
    "Some source times are later than the store time: the clocks differ; these count as they are.",
)


def percentile(ordered: Sequence[int], share: Fraction) -> int:
    """Nearest rank: the smallest value with at least `share` (0 < share <= 1) of all values at or below it."""
    return ordered[ceil(share * len(ordered)) - 1]


def lateness(delays_ns: Sequence[int], ids: Sequence[str] = (), window: Window | None = None) -> dict[str, Result]:
    """p50 and p95 in seconds by metric id; `ids` are the devices the delays come from."""
    ordered = sorted(delays_ns)
    ahead = sum(delay < 0 for delay in ordered)
    results = {}
    for metric, share in (("M-21-p50", Fraction(1, 2)), ("M-21-p95", Fraction(95, 100))):
        value = Fraction(percentile(ordered, share), _S) if ordered else None
        results[metric] = Result(
            BY_ID[metric],
            value,
            value,
            None if value is None else Fraction(1),
            tuple(ids),
            tuple(ids),
            window or Window(),
            "E2" if ordered else None,
            reason=None if ordered else _EMPTY,
            notes=(_SKEWED,) if ahead else (),
            details={"values": len(ordered), "source_ahead": ahead},
        )
    return results
