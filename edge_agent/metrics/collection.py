"""M-04d to M-07: how much of what should be collected is collected, by time, by reading, by
process, by link."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Final

from edge_agent.metrics.assessment import Assessment
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.evidence import MAX_AGE_S, alive
from edge_agent.metrics.live import DeviceFacts
from edge_agent.metrics.rates import NO_EQUIPMENT
from edge_agent.metrics.result import MetricResult, divide, exact_sum

#: The 14 links of the questionnaire of 2024, in its order.
LINKS: Final = (
    "产品设计", "工艺设计", "营销管理", "售后服务", "计划排程", "生产管控", "质量管理",
    "设备管理", "安全生产", "能耗管理", "采购管理", "仓储物流", "财务管理", "人力资源",
)  # fmt: skip
#: The same in English, where people read them; in data the Chinese name is the id.
LINK_NAMES: Final = dict(
    zip(
        LINKS,
        (
            "product design",
            "process design",
            "marketing",
            "after-sales service",
            "planning and scheduling",
            "production control",
            "quality management",
            "equipment management",
            "safety",
            "energy management",
            "purchasing",
            "storage and logistics",
            "finance",
            "human resources",
        ),
        strict=True,
    )
)
#: Those of them that machines can evidence.
LINKS_IN_REACH: Final = LINKS[5:10]
_STANDARD: Final = frozenset({"opc_ua", "modbus_tcp", "modbus_rtu", "mtconnect"})


def _sums(
    assessment: Assessment,
    metric: str,
    pair: Callable[[DeviceFacts], tuple[Fraction | int | None, ...]],
    empty: Text,
) -> MetricResult:
    """Sum over sum of the devices that machines are linked to and that state both figures, each
    device once."""
    rows: dict[str, tuple[str, Fraction, Fraction]] = {}
    links = (
        (machine.equipment_id, device)
        for machine in assessment.machines
        for device in machine.devices
    )
    for key, device in links:
        part, whole = pair(assessment.live.devices.get(device, DeviceFacts()))
        if part is not None and whole is not None:
            # a shared device counts once
            rows.setdefault(device, (key, Fraction(part), Fraction(whole)))
    numerator = exact_sum([part for _, part, _ in rows.values()])
    denominator = exact_sum([whole for _, _, whole in rows.values()])
    value = divide(numerator, denominator)
    having = dict.fromkeys(key for key, part, _ in rows.values() if part)
    return assessment.result(
        metric,
        value,
        numerator=numerator,
        denominator=denominator,
        numerator_ids=tuple(having),
        denominator_ids=tuple(dict.fromkeys(key for key, _, whole in rows.values() if whole)),
        window=assessment.recent,
        grade=assessment.grade(
            machine for machine in assessment.machines if machine.equipment_id in having
        ),
        reason=empty if value is None else None,
    )


def m04d(assessment: Assessment) -> MetricResult:
    """Time online over time scheduled, of the machines linked to a device. Not the networking
    rate."""
    empty = Text(
        "没有计划时间内的连接记录", "no scheduled time with connection records in the window"
    )
    return _sums(assessment, "M-04d", lambda fact: (fact.online_s, fact.scheduled_s), empty)


def m05(assessment: Assessment) -> MetricResult:
    """Good readings over expected readings."""
    empty = Text("窗口内没有应采样本", "no readings were expected in the window")
    return _sums(assessment, "M-05", lambda fact: (fact.good, fact.expected), empty)


def m05_process(assessment: Assessment) -> MetricResult:
    """Processes of which at least one machine delivers good data (E2)."""
    good = [
        each
        for each in assessment.machines
        if assessment.evidence[each.equipment_id].grade in ("E2", "E3")
    ]
    delivering = frozenset[str]().union(*map(assessment.register.processes_of, good))
    whole = sorted(process.process_id for process in assessment.register.processes)
    part = [process for process in whole if process in delivering]
    value = divide(len(part), len(whole))
    return assessment.result(
        "M-05-process",
        value,
        numerator=Fraction(len(part)),
        denominator=Fraction(len(whole)),
        numerator_ids=tuple(part),
        denominator_ids=tuple(whole),
        window=assessment.recent,
        grade="E2" if part else None,
        reason=Text("没有工序表", "there is no process list") if value is None else None,
    )


def m06(assessment: Assessment) -> MetricResult:
    """Links of the questionnaire with good automatic data that is alive, of the 14."""
    fresh = [
        fact
        for fact in assessment.live.devices.values()
        if fact.last_good_age_s is not None
        and fact.last_good_age_s <= MAX_AGE_S
        and alive(fact, assessment.change_within_s)
    ]
    seen = frozenset[str]().union(*(fact.business_links for fact in fresh))
    part = [link for link in LINKS_IN_REACH if link in seen]
    stated = any(fact.business_links for fact in assessment.live.devices.values())
    reason = Text(
        "没有标注业务环节（business_link）的数据点", "no tag is marked with a business_link"
    )
    return assessment.result(
        "M-06",
        Fraction(len(part), len(LINKS)) if stated else None,
        numerator=Fraction(len(part)),
        denominator=Fraction(len(LINKS)),
        numerator_ids=tuple(part),
        denominator_ids=LINKS,
        window=assessment.recent,
        grade="E2" if part else None,
        reason=None if stated else reason,
    )


def m07(assessment: Assessment) -> MetricResult:
    """Effectively networked machines on a standard interface whose values follow the common
    model."""
    whole = [m for m in assessment.machines if assessment.evidence[m.equipment_id].effective]
    model = {m.equipment_id: assessment.live.devices[m.device].normalised for m in whole}
    part = [m for m in whole if m.interface in _STANDARD and model[m.equipment_id]]
    unknown = [key for key, normalised in model.items() if normalised is None]
    empty = (
        Text("没有有效联网的设备", "no machine is effectively networked")
        if assessment.machines
        else NO_EQUIPMENT
    )
    result = assessment.share("M-07", part, whole, empty, grade=assessment.grade(part))
    if not unknown:
        return result
    names = ", ".join(unknown)
    reason = Text(
        f"未注明是否采用统一数据模型：{names}",
        f"not stated whether the common model is used: {names}",
    )
    return assessment.result("M-07", None, numerator=None, denominator=result.denominator,
                             denominator_ids=result.denominator_ids, reason=reason)  # fmt: skip
