"""M-21: how late values reach the store, as nearest-rank percentiles of `store time - source
time`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil
from typing import Final

from edge_agent.metrics.definitions import BY_ID, Text
from edge_agent.metrics.result import MetricResult, Window

_S: Final = 1_000_000_000
_EMPTY: Final = Text("窗口内没有带源时间的数据", "no data with a source time in the window")
_SKEWED: Final = Text(
    "部分数据的源时间晚于入库时间：设备时钟与网关不一致，该部分按原值计入。",
    "Some source times are later than the store time: the clocks differ; these count as they are.",
)


def percentile(ordered: Sequence[int], share: Fraction) -> int:
    """Nearest rank: the smallest value with at least `share` (0 < share <= 1) of all values at or
    below it."""
    return ordered[ceil(share * len(ordered)) - 1]


def lateness(
    delays_ns: Sequence[int], ids: Sequence[str] = (), window: Window | None = None
) -> dict[str, MetricResult]:
    """p50 and p95 in seconds by metric id; `ids` are the devices the delays come from."""
    return _results(Counter(delays_ns), _S, ids, window or Window())


def from_histogram(
    counts_ms: Mapping[int, int], ids: Sequence[str], window: Window
) -> dict[str, MetricResult]:
    """The same from milliseconds -> how many values came that late: for more values than one would
    list."""
    return _results(counts_ms, 1000, ids, window)


def _results(
    counts: Mapping[int, int], per_s: int, ids: Sequence[str], window: Window
) -> dict[str, MetricResult]:
    total = sum(counts.values())
    ahead = sum(count for delay, count in counts.items() if delay < 0)
    results = {}
    for metric, share in (("M-21-p50", Fraction(1, 2)), ("M-21-p95", Fraction(95, 100))):
        value = Fraction(_ranked(counts, ceil(share * total)), per_s) if total else None
        results[metric] = MetricResult(
            BY_ID[metric],
            value,
            value,
            None if value is None else Fraction(1),
            tuple(ids),
            tuple(ids),
            window,
            "E2" if total else None,
            reason=None if total else _EMPTY,
            notes=(_SKEWED,) if ahead else (),
            details={"values": total, "source_ahead": ahead},
        )
    return results


def _ranked(counts: Mapping[int, int], rank: int) -> int:
    """The smallest value with at least `rank` of all values at or below it."""
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= rank:
            return value
    raise ValueError(f"there are fewer than {rank} values")
