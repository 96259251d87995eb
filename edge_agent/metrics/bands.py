"""The MIIT 2024 questionnaire's scoring of the digital rate and the networking rate: right-closed
bands.

Source: 工信部《中小企业数字化水平评测指标(2024年版)》, questionnaire as published: [0,10] (10,20]
(20,40] (40,60] (60,100] percent give 0, 1.5, 3, 4.5 and 6 points. A scoring of its own, never part
of a metric.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

NAME: Final = "MIIT-2024"

#: Upper bound (closed) of each band and its points.
BANDS: Final = (
    (Fraction(10, 100), Fraction(0)),
    (Fraction(20, 100), Fraction(3, 2)),
    (Fraction(40, 100), Fraction(3)),
    (Fraction(60, 100), Fraction(9, 2)),
    (Fraction(1), Fraction(6)),
)


def points(rate: Fraction) -> Fraction:
    """Points for a rate from 0 to 1, judged by the exact fraction. Raises ValueError outside."""
    if not 0 <= rate <= 1:
        raise ValueError(f"a rate is from 0 to 1, not {rate}")
    return next(score for upper, score in BANDS if rate <= upper)


def band(rate: Fraction) -> str:
    """The band as the questionnaire writes it, in percent."""
    index = next(i for i, (upper, _) in enumerate(BANDS) if rate <= upper)
    lower = BANDS[index - 1][0] if index else Fraction(0)
    return f"{'(' if index else '['}{int(lower * 100)}, {int(BANDS[index][0] * 100)}]"


def machines_to_next_band(numerator: int, denominator: int) -> int | None:
    """How many more machines in the numerator reach the next band; None in the highest or without
    machines."""
    if not denominator:
        return None
    rate = Fraction(numerator, denominator)
    index = next(i for i, (upper, _) in enumerate(BANDS) if rate <= upper)
    if index == len(BANDS) - 1:
        return None
    return int(BANDS[index][0] * denominator) + 1 - numerator
