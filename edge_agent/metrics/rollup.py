"""From machines to their line and site: sums of what is summable, never means of rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final

from edge_agent.metrics.definitions import BY_ID, Text
from edge_agent.metrics.result import Result, Window, divide, number, weakest

_NOBODY: Final = Text("范围内没有可计算的设备", "no machine of this scope has a value")

Weighted = tuple[Result, Fraction]
"""A machine's result and its planned busy time in seconds."""


def rolled_up(metric: str, members: Mapping[str, Weighted], scope: Sequence[str], window: Window) -> Result:
    """Sum of the numerators over sum of the denominators, of the machines that know both.

    NEE (a product of three rates) is weighted with the planned busy time instead. The machines left out are listed
    with their reason in `details`, and the value speaks of the others only.
    """
    pairs = {key: _pair(metric, *member) for key, member in members.items()}
    used = {key: pair for key, pair in pairs.items() if pair is not None}
    top = sum((part for part, _ in used.values()), Fraction(0))
    bottom = sum((whole for _, whole in used.values()), Fraction(0))
    value = divide(top, bottom)
    results = [result for result, _ in members.values()]
    return Result(
        BY_ID[metric],
        value,
        top if used else None,
        bottom if used else None,
        tuple(used),
        tuple(used),
        window,
        weakest([members[key][0].grade or "E0" for key in used]),
        next((result.register_version for result in results), ""),
        next((result.computed_at for result in results), None),
        reason=_reason(value, results),
        notes=tuple(dict.fromkeys(note for key in used for note in members[key][0].notes)),
        details={
            "scope": list(scope),
            "members": {key: number(result.value) for key, (result, _) in members.items()},
            "left_out": {
                key: result.reason._asdict() if result.reason else None
                for key, (result, _) in members.items()
                if key not in used
            },
        },
    )


def _pair(metric: str, result: Result, pbt: Fraction) -> tuple[Fraction, Fraction] | None:
    if metric == "M-15":
        return None if result.value is None else (result.value * pbt, pbt)
    if result.numerator is None or result.denominator is None:
        return None
    return result.numerator, result.denominator


def _reason(value: Fraction | None, results: Sequence[Result]) -> Text | None:
    """Why there is no value: the reason of the first machine that has one."""
    if value is not None:
        return None
    return next((result.reason for result in results if result.reason), _NOBODY)
