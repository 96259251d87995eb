"""M-08 to M-10: what the plant consists of. From the register alone, so evidence grade E0."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from edge_agent.metrics.assessment import Assessment
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.rates import NO_EQUIPMENT
from edge_agent.metrics.result import MetricResult, divide
from edge_agent.register.model import Equipment

_CONTROLLED: Final = frozenset({"cnc", "robot", "plc", "dcs", "pcs"})
_NO_ROBOT: Final = Text("没有在用的机器人", "there is no robot in use")


def _smart(machine: Equipment) -> bool:
    return machine.digital and machine.control_class in _CONTROLLED


def m08_count(assessment: Assessment) -> MetricResult:
    """Smart machines over machines."""
    part = [machine for machine in assessment.machines if _smart(machine)]
    return assessment.share("M-08-count", part, assessment.machines, NO_EQUIPMENT, grade="E0")


def m08_value(assessment: Assessment) -> MetricResult:
    """Purchase value (yuan) of smart machines over that of all; null while a price is missing."""
    missing = [
        machine.equipment_id for machine in assessment.machines if machine.purchase_cny is None
    ]
    part = [machine for machine in assessment.machines if _smart(machine)]
    numerator = _cost(part)
    denominator = _cost(assessment.machines)
    value = None if missing else divide(numerator, denominator)
    names = ", ".join(missing)
    absent = (
        Text(f"缺少购置金额：{names}", f"purchase value missing: {names}")
        if missing
        else NO_EQUIPMENT
    )
    return assessment.result(
        "M-08-value",
        value,
        numerator=numerator,
        denominator=denominator,
        numerator_ids=tuple(machine.equipment_id for machine in part),
        denominator_ids=tuple(machine.equipment_id for machine in assessment.machines),
        grade="E0",
        reason=absent if value is None else None,
    )


def _cost(machines: list[Equipment] | tuple[Equipment, ...]) -> Fraction:
    return sum((Fraction(machine.purchase_cny or 0) for machine in machines), Fraction(0))


def _robot_share(assessment: Assessment, metric: str, origins: frozenset[str]) -> MetricResult:
    robots = [machine for machine in assessment.machines if machine.is_robot]
    part = [robot for robot in robots if robot.brand_origin in origins]
    return assessment.share(metric, part, robots, _NO_ROBOT, grade="E0")


def m09(assessment: Assessment) -> MetricResult:
    """Domestic robots (Dongguan-made ones are domestic) over robots."""
    return _robot_share(assessment, "M-09", frozenset({"domestic", "local"}))


def m10(assessment: Assessment) -> MetricResult:
    """Dongguan-made robots over robots."""
    return _robot_share(assessment, "M-10", frozenset({"local"}))
