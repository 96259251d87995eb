"""From machines to their line and site: sums of what is summable, never means of rates.

The row of a scope multiplies: M-14 = M-11 x M-13 x M-12 exactly, because all four rest on the same
machines, and each is a quotient of sums in which one factor's numerator is the next one's
denominator:

    M-11 = sum APT / sum PBT          M-13 = sum PRU*PQ / sum APT
    M-12 = sum PRU*GQ / sum PRU*PQ    M-14 = sum PRU*GQ / sum PBT

So parts of different kinds are added by the time they are worth, not by the piece. What all
machines of the scope say of availability, and of quality by the piece, stands apart: M-11-all and
M-12-all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final

from edge_agent.metrics.definitions import BY_ID, Text
from edge_agent.metrics.result import MetricResult, Window, divide, number, weakest

_NOBODY: Final = Text("范围内没有可计算的设备", "no machine of this scope has a value")
_NOT_IN_ROW: Final = Text(
    "不在 OEE 的设备之列（缺节拍或计数），见“全部设备”的数值",
    "not among the machines of OEE (no nominal cycle or count); see the figure of all machines",
)
_BY_TIME: Final = Text(
    "质量率按标准工时加权（ΣPRU·GQ / ΣPRU·PQ），因此 OEE = 时间利用率 × 效率 × 质量率；"
    "按件的合格品率见 M-12-all。",
    "Quality is weighted with the nominal cycle (sum of PRU x GQ / sum of PRU x PQ), so OEE = "
    "availability x "
    "effectiveness x quality; by the piece it is M-12-all.",
)

#: The factors in the order in which they multiply, and their product.
FACTORS: Final = ("M-11", "M-13", "M-12")
ROW: Final = (*FACTORS, "M-14")
#: What all machines of a scope say -> the figure of a machine it is the sum of.
ALL: Final = {"M-11-all": "M-11", "M-12-all": "M-12"}

Weighted = tuple[MetricResult, Fraction]
"""A machine's result and its planned busy time in seconds."""
Pair = tuple[Fraction, Fraction]


def scope_results(
    metrics: Sequence[str],
    machines: Mapping[str, Mapping[str, MetricResult]],
    pbt: Mapping[str, Fraction],
    scope: Sequence[str],
    window: Window,
) -> dict[str, MetricResult]:
    """The results of a scope: those of `metrics` that sum up machine by machine, with the row that
    multiplies.

    `machines`: machine -> its results by metric; `pbt`: machine -> its planned busy time in
    seconds.
    """
    found = {}
    for metric in metrics:
        if metric in ROW:
            continue
        own = ALL.get(metric, metric)
        members = {
            key: (results[own], pbt[key]) for key, results in machines.items() if own in results
        }
        found[metric] = rolled_up(metric, members, scope, window)
    return found | row(machines, scope, window)


def row(
    machines: Mapping[str, Mapping[str, MetricResult]], scope: Sequence[str], window: Window
) -> dict[str, MetricResult]:
    """M-11, M-13, M-12 and M-14 of a scope, of the same machines: those that know all four, else
    those that know OEE.

    Where no machine has an OEE there is none to multiply up to, and each factor is of the machines
    that know it.
    """
    known = {
        key: results
        for key, results in machines.items()
        if all(metric in results for metric in ROW)
    }
    complete = [
        key for key, results in known.items() if all(_known(results[metric]) for metric in ROW)
    ]
    having = complete or [key for key, results in known.items() if _known(results["M-14"])]
    found = {}
    for metric in ROW:
        members = {key: (results[metric], Fraction(0)) for key, results in known.items()}
        pairs = {
            key: _row_pair(metric, known[key], weighted=bool(complete)) for key in having or known
        }
        used = {key: pair for key, pair in pairs.items() if pair is not None}
        found[metric] = _summed(metric, members, used, scope, window)
    if complete:
        found["M-12"] = replace(found["M-12"], notes=(*found["M-12"].notes, _BY_TIME))
        found["M-14"] = _with_product(found)
    return found


def _known(result: MetricResult) -> bool:
    return result.numerator is not None and result.denominator is not None


def _row_pair(metric: str, results: Mapping[str, MetricResult], *, weighted: bool) -> Pair | None:
    """What a machine adds to a figure of the row; quality in nominal time: PRU*GQ of PRU*PQ."""
    if metric == "M-12" and weighted:
        good = results["M-14"].numerator
        made = results["M-13"].numerator
        return None if good is None or made is None else (good, made)
    return _pair(metric, results[metric], Fraction(0))


def _with_product(found: Mapping[str, MetricResult]) -> MetricResult:
    """OEE with the product of its factors beside it, where all have a value."""
    product = Fraction(1)
    for metric in FACTORS:
        value = found[metric].value
        if value is None:
            return found["M-14"]
        product *= value
    check = {
        "product_of_factors": number(product),
        "identity_holds": product == found["M-14"].value,
    }
    return replace(found["M-14"], details={**found["M-14"].details, **check})


def rolled_up(
    metric: str, members: Mapping[str, Weighted], scope: Sequence[str], window: Window
) -> MetricResult:
    """Sum of the numerators over sum of the denominators, of the machines that know both.

    NEE (a product of three rates) is weighted with the planned busy time instead. The machines left
    out are listed with their reason in `details`, and the value speaks of the others only.
    """
    pairs = {key: _pair(metric, *member) for key, member in members.items()}
    used = {key: pair for key, pair in pairs.items() if pair is not None}
    return _summed(metric, members, used, scope, window)


def _summed(
    metric: str,
    members: Mapping[str, Weighted],
    used: Mapping[str, Pair],
    scope: Sequence[str],
    window: Window,
) -> MetricResult:
    top = sum((part for part, _ in used.values()), Fraction(0))
    bottom = sum((whole for _, whole in used.values()), Fraction(0))
    value = divide(top, bottom)
    results = [result for result, _ in members.values()]
    counted = [members[key][0] for key in used]
    return MetricResult(
        BY_ID[metric],
        value,
        top if used else None,
        bottom if used else None,
        tuple(used),
        tuple(used),
        window,
        weakest([result.grade or "E0" for result in counted]),
        next((result.register_version for result in results), ""),
        next((result.computed_at for result in results), None),
        reason=_reason(value, [*counted, *results]),
        notes=tuple(dict.fromkeys(note for result in counted for note in result.notes)),
        details={
            "scope": list(scope),
            "members": {key: number(result.value) for key, (result, _) in members.items()},
            "left_out": {
                key: (result.reason or _NOT_IN_ROW)._asdict()
                for key, (result, _) in members.items()
                if key not in used
            },
        },
    )


def _pair(metric: str, result: MetricResult, pbt: Fraction) -> Pair | None:
    if metric == "M-15":
        return None if result.value is None else (result.value * pbt, pbt)
    if result.numerator is None or result.denominator is None:
        return None
    return result.numerator, result.denominator


def _reason(value: Fraction | None, results: Sequence[MetricResult]) -> Text | None:
    """Why there is no value: the first reason of these results."""
    if value is not None:
        return None
    return next((result.reason for result in results if result.reason), _NOBODY)
