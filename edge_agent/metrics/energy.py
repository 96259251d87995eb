"""M-18 to M-20: energy per good part, in standard coal, while idle; and the load in 15-minute
windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final

import numpy as np

from edge_agent.metrics.count_sum import CountSum
from edge_agent.metrics.counters import CountedQuantity
from edge_agent.metrics.definitions import BY_ID, Text
from edge_agent.metrics.oee import MORE_SCRAP
from edge_agent.metrics.result import Grade, MetricResult, Window, divide, number
from edge_agent.metrics.timemodel import Timeline

KGCE_PER_KWH: Final = Fraction("0.1229")
"""Equivalent value (当量) commonly used after GB/T 2589; an assumption, configurable and
printed."""
DEMAND_NS: Final = 900_000_000_000
_HOUR_NS: Final = 3_600_000_000_000

Energy = CountedQuantity | CountSum
"""What was metered, in kWh: by one meter, by several, or by the integral of a power."""


@dataclass(frozen=True, slots=True)
class EnergyScope:
    """Whose energy: a machine with a meter or power tag, or a line; and in which window."""

    id: str
    start: int
    end: int
    grade: Grade | None = "E2"
    register_version: str = ""
    computed_at: int | None = None


def _result(
    scope: EnergyScope,
    metric: str,
    numerator: Fraction | None,
    denominator: Fraction | None,
    reason: Text | None,
    **details: object,
) -> MetricResult:
    value = (
        None
        if reason or numerator is None or denominator is None
        else divide(numerator, denominator)
    )
    return MetricResult(
        BY_ID[metric],
        value,
        numerator,
        denominator,
        (scope.id,),
        (scope.id,),
        Window(scope.start, scope.end),
        scope.grade,
        scope.register_version,
        scope.computed_at,
        reason=reason,
        details=details,
    )


def per_good_part(scope: EnergyScope, energy: Energy | None, good: Fraction | None) -> MetricResult:
    """M-18: kWh / GQ. `energy` in kWh; None = the scope has no meter."""
    kwh = None if energy is None else energy.between(scope.start, scope.end)
    reason = _no_meter(energy)
    if reason is None and good is None:
        reason = Text("没有合格品计数（GQ）", "there is no count of good parts (GQ)")
    if good is not None and good < 0:
        good = None
        reason = reason or MORE_SCRAP
    if reason is None and not good:
        reason = Text("窗口内没有合格品", "no good part in the window")
    return _result(scope, "M-18", kwh, good, reason)


def _no_meter(energy: Energy | None) -> Text | None:
    return (
        Text("没有电表或功率数据", "there is no meter and no power tag with a reading")
        if energy is None
        else None
    )


def standard_coal(
    scope: EnergyScope, energy: Energy | None, kgce_per_kwh: Fraction = KGCE_PER_KWH
) -> MetricResult:
    """M-19 in tce; the coefficient is part of the result."""
    kwh = None if energy is None else energy.between(scope.start, scope.end)
    kgce = None if kwh is None else kwh * kgce_per_kwh
    return _result(
        scope,
        "M-19",
        kgce,
        Fraction(1000),
        _no_meter(energy),
        kgce_per_kwh=number(kgce_per_kwh),
        kwh=number(kwh),
    )


def idle_share(scope: EnergyScope, energy: Energy | None, timeline: Timeline) -> MetricResult:
    """M-20: kWh while the item was NotExecuting / kWh."""
    if energy is None:
        return _result(scope, "M-20", None, None, _no_meter(energy))
    idle = energy.over(
        [
            (max(scope.start, piece.start), min(scope.end, piece.end))
            for piece in timeline.slices
            if piece.idle and piece.start < scope.end and piece.end > scope.start
        ]
    )
    total = energy.between(scope.start, scope.end)
    reason = None if total else Text("窗口内没有用电", "no energy was used in the window")
    return _result(scope, "M-20", idle, total, reason)


def demand(energy: Energy, start: int, end: int) -> list[tuple[int, Fraction]]:
    """Mean power in kW of every 15-minute window that begins in `start..end` (aligned to the full
    quarter)."""
    begins = range(start - start % DEMAND_NS, end, DEMAND_NS)
    edges = np.array([*begins, begins[-1] + DEMAND_NS] if begins else [], np.int64)
    per_hour = Fraction(_HOUR_NS, DEMAND_NS)
    return [
        (t, used * per_hour)
        for t, used in zip(begins, energy.profile(edges) if begins else (), strict=True)
    ]


def peak(profile: Iterable[tuple[int, Fraction]]) -> tuple[int, Fraction] | None:
    """The window with the highest demand, the earliest of equals."""
    return max(profile, key=lambda window: (window[1], -window[0]), default=None)


def integrated(power: Sequence[tuple[int, float]], max_gap_ns: int) -> Fraction:
    """kWh under a power curve (kW), trapezoids; a gap longer than `max_gap_ns` counts nothing, it
    is not known."""
    total = Fraction(0)
    for (t0, p0), (t1, p1) in pairwise(power):
        if 0 < t1 - t0 <= max_gap_ns:
            total += (Fraction(p0) + Fraction(p1)) / 2 * Fraction(t1 - t0, _HOUR_NS)
    return total


#: A meter and its own power further apart than this are pointed out.
TOLERANCE: Final = Fraction(1, 10)
#: Steps of a counter below which its energy is too coarse to be compared.
STEPS: Final = 20


def disagreement(metered: Fraction, integral: Fraction) -> Fraction | None:
    """|meter - integral| / meter; None without metered energy. Above a few percent: CT/PT ratio or
    wiring."""
    return divide(abs(metered - integral), metered)
