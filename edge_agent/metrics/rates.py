"""M-01 to M-04c: numerical control, digital and networking rates from the register and the
evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Final

from edge_agent.metrics.assessment import Assessment, Metric
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.result import MetricResult, divide
from edge_agent.register.kinds import MachineKind
from edge_agent.register.model import Equipment, Process

NO_EQUIPMENT: Final = Text(
    "没有纳入统计且在用的生产设备", "there is no production equipment in scope and in use"
)
_NO_DIGITAL: Final = Text("没有数字化设备", "there is no digital equipment")
_NO_KEY_EQUIPMENT: Final = Text(
    "关键工序没有在用设备", "the key processes have no equipment in use"
)
_NO_KEY_PROCESS: Final = Text(
    "工序表中没有关键工序，请由企业认定并填写",
    "the process list marks no process as key; the enterprise must decide",
)


def nc_shares(assessment: Assessment) -> dict[str, tuple[int, int]]:
    """Key process -> (NC machines, machines). A key process without machines is (0, 0) and counts
    as 0."""
    return {
        process.process_id: _nc_count(assessment, process) for process in assessment.key_processes
    }


def _nc_count(assessment: Assessment, process: Process) -> tuple[int, int]:
    machines = assessment.of_process(process)
    return sum(assessment.is_nc(machine, process) for machine in machines), len(machines)


def _process_rate(
    assessment: Assessment, metric: str, score: Callable[[Fraction], Fraction]
) -> MetricResult:
    shares = nc_shares(assessment)
    scores = {
        key: score(divide(part, whole) or Fraction(0)) for key, (part, whole) in shares.items()
    }
    total = sum(scores.values(), Fraction(0))
    value = divide(total, len(scores))
    return assessment.result(
        metric,
        value,
        numerator=total,
        denominator=Fraction(len(scores)),
        numerator_ids=tuple(key for key, each in scores.items() if each),
        denominator_ids=tuple(scores),
        grade=assessment.grade(_counted_nc(assessment)),
        reason=_NO_KEY_PROCESS if value is None else None,
        notes=(_robots(assessment), *_kinds(assessment), *_unsigned(assessment)),
        details={
            "nc_by_process": {key: f"{part}/{whole}" for key, (part, whole) in shares.items()},
            "nc_by_kind": _by_kind(assessment),
        },
    )


def m01_strict(assessment: Assessment) -> MetricResult:
    """A key process counts when all of its machines are NC."""
    return _process_rate(assessment, "M-01-strict", lambda share: Fraction(share == 1))


def m01_prorata(assessment: Assessment) -> MetricResult:
    """A key process counts with its share of NC machines: the headline."""
    return _process_rate(assessment, "M-01-prorata", lambda share: share)


def m01_any(assessment: Assessment) -> MetricResult:
    """A key process counts when any of its machines is NC."""
    return _process_rate(assessment, "M-01-any", lambda share: Fraction(share > 0))


def _counted_nc(assessment: Assessment) -> list[Equipment]:
    """The machines that any key process counts as NC, each once."""
    return [
        machine
        for machine in assessment.key_machines
        if any(
            assessment.is_nc(machine, process) for process in assessment.key_processes_of(machine)
        )
    ]


def key_nc(assessment: Assessment) -> list[Equipment]:
    """The machines that are NC in every key process they serve, each once."""
    return [
        machine
        for machine in assessment.key_machines
        if all(
            assessment.is_nc(machine, process) for process in assessment.key_processes_of(machine)
        )
    ]


def m02(assessment: Assessment) -> MetricResult:
    """NC machines over machines, in key processes, each machine once: the fourth reading of
    M-01."""
    part = key_nc(assessment)
    return assessment.share(
        "M-02",
        part,
        assessment.key_machines,
        _NO_KEY_EQUIPMENT,
        grade=assessment.grade(part),
        notes=(_robots(assessment), *_kinds(assessment), *_unsigned(assessment)),
        details={"nc_by_kind": _by_kind(assessment)},
    )


def _by_kind(assessment: Assessment) -> dict[str, str]:
    return {key: kind.kind for key, kind in assessment.nc_by_kind.items()}


def _kinds(assessment: Assessment) -> tuple[Text, ...]:
    """Which machines count by their kind, for what reason and after whom."""
    machines: dict[MachineKind, list[str]] = {}
    for key, kind in assessment.nc_by_kind.items():
        machines.setdefault(kind, []).append(key)
    return tuple(
        Text(
            f"按设备种类计为数控（{kind.zh}）：{'、'.join(keys)}。理由：{kind.reason_zh}。来源："
            f"{kind.source}。",
            f"Counted as NC by kind ({kind.en}): {', '.join(keys)}. Reason: {kind.reason_en}. "
            f"Source: {kind.source}.",
        )
        for kind, keys in machines.items()
    )


def _robots(assessment: Assessment) -> Text:
    if assessment.robot_is_nc:
        return Text(
            "机器人计为数控（robot_is_nc: true）。", "Robots count as NC (robot_is_nc: true)."
        )
    return Text(
        "机器人不计为数控（robot_is_nc: false）。",
        "Robots do not count as NC (robot_is_nc: false).",
    )


def _unsigned(assessment: Assessment) -> tuple[Text, ...]:
    if all(process.reviewer for process in assessment.key_processes):
        return ()
    missing = [process.process_id for process in assessment.key_processes if not process.reviewer]
    names = ", ".join(missing)
    return (
        Text(
            f"关键工序尚无审核人：{names}。",
            f"No reviewer has signed these key processes: {names}.",
        ),
    )


def m03(assessment: Assessment) -> MetricResult:
    """Digital machines; digital=Y with interface=none counts and is named."""
    digital = [machine for machine in assessment.machines if machine.digital]
    bare = ", ".join(machine.equipment_id for machine in digital if machine.interface == "none")
    note = Text(
        f"申报数字化但无接口，已计入：{bare}。",
        f"Declared digital with interface none, counted: {bare}.",
    )
    return assessment.share(
        "M-03",
        digital,
        assessment.machines,
        NO_EQUIPMENT,
        grade=assessment.grade(digital),
        notes=(note,) if bare else (),
    )


def _declared(
    metric: str, select: Callable[[Assessment], Iterable[Equipment]], empty: Text
) -> Metric:
    def compute(assessment: Assessment) -> MetricResult:
        whole = list(select(assessment))
        part = [machine for machine in whole if machine.networked_declared]
        return assessment.share(metric, part, whole, empty, grade="E0" if part else None)

    return compute


def _effective(
    metric: str, select: Callable[[Assessment], Iterable[Equipment]], empty: Text
) -> Metric:
    def compute(assessment: Assessment) -> MetricResult:
        whole = list(select(assessment))
        part = [machine for machine in whole if assessment.evidence[machine.equipment_id].effective]
        return assessment.share(
            metric,
            part,
            whole,
            empty,
            grade=assessment.grade(part),
            window=assessment.networking_window,
            provisional=assessment.provisional,
            notes=_history(assessment),
            now_online=assessment.now_online(whole),
            effective_after=assessment.effective_after(whole),
        )

    return compute


def _history(assessment: Assessment) -> tuple[Text, ...]:
    if assessment.provisional:
        return (
            Text(
                "部分设备接入不足 30 天：结果为暂定。",
                "Some machines have under 30 days of history: provisional.",
            ),
        )
    if any(each.effective and each.history_s is None for each in assessment.evidence.values()):
        return (
            Text(
                "实时数据未注明首次连接时间，覆盖率按所给数值采用。",
                "The live facts do not state the first connection; coverage is taken as given.",
            ),
        )
    return ()


def _all(assessment: Assessment) -> Iterable[Equipment]:
    return assessment.machines


def _digital(assessment: Assessment) -> Iterable[Equipment]:
    return (machine for machine in assessment.machines if machine.digital)


def _key(assessment: Assessment) -> Iterable[Equipment]:
    return assessment.key_machines


m04a_declared = _declared("M-04a-declared", _all, NO_EQUIPMENT)
m04a_effective = _effective("M-04a-effective", _all, NO_EQUIPMENT)
m04b_declared = _declared("M-04b-declared", _digital, _NO_DIGITAL)
m04b_effective = _effective("M-04b-effective", _digital, _NO_DIGITAL)
m04c_declared = _declared("M-04c-declared", _key, _NO_KEY_EQUIPMENT)
m04c_effective = _effective("M-04c-effective", _key, _NO_KEY_EQUIPMENT)
