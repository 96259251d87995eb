"""Parts 9 and 10: which scene levels of the questionnaire are within reach, and what to connect
next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from edge_agent.metrics import bands
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.evaluate import not_judged_yet
from edge_agent.metrics.result import MetricResult, divide, number
from edge_agent.production.plant import Plant
from edge_agent.register.kinds import CONTROLLED
from edge_agent.register.model import Equipment
from edge_agent.report import blocks
from edge_agent.report.blocks import Json, TableColumn, paragraph, table
from edge_agent.report.parts.rates import title

Figures = Mapping[str, MetricResult]

#: Tier -> percent of the project's equipment and technology investment, cap in yuan
#: (东府办〔2017〕12号).
TIERS: Final = {
    "automation": (Text("自动化改造", "automation"), Fraction(10, 100), 2_000_000),
    "intelligent": (Text("智能化改造", "intelligent upgrade"), Fraction(20, 100), 4_000_000),
    "demonstration": (Text("智能制造示范", "demonstration"), Fraction(30, 100), 8_000_000),
}


@dataclass(frozen=True, slots=True)
class SceneRequirement:
    """One requirement of a scene level, and whether the facts show it."""

    scene: Text
    level: str
    text: Text
    met: bool
    source: str
    """F: words of the questionnaire; P: this product's own reading."""


_EQUIPMENT: Final = Text("设备管理", "equipment management")
_ENERGY: Final = Text("能耗管理", "energy management")
_CONTROL: Final = Text("生产管控", "production control")


def scenes(plant: Plant, figures: Figures) -> Json:
    """Part 9: levels of three scenes, with the missing item."""
    items = list(_items(plant, figures))
    columns = (
        TableColumn("场景", "scene"), TableColumn("可达级别", "level within reach"),
        TableColumn("下一级缺少", "missing for the next level"),
    )  # fmt: skip
    rows = [
        [scene, *_reached([item for item in items if item.scene == scene])] for scene in _SCENES
    ]
    detail = (
        TableColumn("场景", "scene"),
        TableColumn("级别", "level"),
        TableColumn("要求", "requirement"),
        TableColumn("是否具备", "shown by the facts"),
        TableColumn("依据", "basis"),
    )
    found = [
        table("scenes", "场景级别（自评参考）", "scene levels (self-assessment)", columns, rows),
        table(
            "scene_items",
            "逐项依据",
            "item by item",
            detail,
            ([each.scene, each.level, each.text, _tick(each.met), each.source] for each in items),
        ),
        paragraph(
            "仅为自评参考，不是官方评级。依据 F = 《中小企业数字化水平评测指"
            "标（2024年版）》文字；P = 本产品的解读。"
            "L1、L2 的官方文字未见，按本产品的解读。",
            "For self-assessment only, not an official grading. F: words of the 2024 "
            "questionnaire; P: this product's "
            "reading. The official words for L1 and L2 were not seen.",
            "assumption",
        ),
    ]
    return blocks.part(9, "可达到的场景级别", "scene levels within reach", found)


#: Units of water, gas and compressed air meters.
_FLUIDS: Final = {"m3", "m³", "m3/h", "m³/h", "Nm3", "Nm³", "Nm3/h", "Nm³/h", "L/min", "l/min"}
_SCENES: Final = (_EQUIPMENT, _ENERGY, _CONTROL)


def _tick(met: bool) -> Json:
    return blocks.text("具备", "shown") if met else blocks.text("缺少", "missing")


def _reached(items: list[SceneRequirement]) -> tuple[str, Json | None]:
    """The highest level all of whose items, and those below, are met; and what the next one
    lacks."""
    reached = "—"
    for level in sorted({item.level for item in items}):
        missing = [item.text for item in items if item.level == level and not item.met]
        if missing:
            return reached, blocks.text(
                ";".join(each.zh for each in missing), "; ".join(each.en for each in missing)
            )
        reached = level
    return reached, None


def _items(plant: Plant, figures: Figures) -> Iterator[SceneRequirement]:
    tags = {tag.tag for tag in plant.facts.tags}
    units = {tag.unit for tag in plant.facts.tags}
    live = any(each.evidence.grade in ("E2", "E3") for each in plant.machines)
    key_live = [each for each in plant.machines if each.equipment in plant.assessment.key_machines]
    all_key = bool(key_live) and all(each.evidence.effective for each in key_live)
    alarms = any("alarm" in tag or "fault" in tag for tag in tags)
    oee = any(
        key.startswith("M-14@") and result.value is not None for key, result in figures.items()
    )
    energy = figures["M-19"].value is not None
    meters = any(
        plant.metered(meter.device) is not None
        for line in plant.lines
        for meter in plant.meters(line)
    )
    parts = any(counter.role == "produced" for counter in plant.facts.counters)
    program = any("program" in tag for tag in tags)
    yield SceneRequirement(
        _EQUIPMENT,
        "L1",
        Text("设备台账电子化", "an electronic register"),
        bool(plant.machines),
        "P",
    )
    yield SceneRequirement(
        _EQUIPMENT, "L2", Text("采集到设备运行状态", "machine states are collected"), live, "P"
    )
    yield SceneRequirement(
        _EQUIPMENT,
        "L3",
        Text("关键设备全部有效联网", "all key machines effectively networked"),
        all_key,
        "P",
    )
    yield SceneRequirement(
        _EQUIPMENT,
        "L3",
        Text("报警采集（故障分析、远程诊断）", "alarms collected (fault analysis)"),
        alarms,
        "F",
    )
    yield SceneRequirement(_EQUIPMENT, "L3", Text("OEE 统计", "OEE statistics"), oee, "F")
    yield SceneRequirement(
        _EQUIPMENT, "L4", Text("设备模型与预测", "models and prediction"), False, "F"
    )
    yield SceneRequirement(_ENERGY, "L1", Text("有用电计量", "energy is metered"), energy, "P")
    yield SceneRequirement(
        _ENERGY, "L2", Text("电表自动采集", "meters are read automatically"), meters, "P"
    )
    water = Text("水、气等其他能源实时采集", "water, gas and other energy in real time")
    yield SceneRequirement(
        _ENERGY, "L3", Text("用电实时采集", "electricity in real time"), energy and meters, "F"
    )
    yield SceneRequirement(_ENERGY, "L3", water, bool(units & _FLUIDS), "F")
    yield SceneRequirement(
        _ENERGY, "L4", Text("能耗模型与优化", "models and optimisation"), False, "P"
    )
    yield SceneRequirement(_CONTROL, "L1", Text("工序表电子化", "an electronic process list"),
               bool(plant.assessment.register.processes), "P")  # fmt: skip
    yield SceneRequirement(
        _CONTROL, "L2", Text("产量自动采集", "part counts are collected"), parts, "P"
    )
    yield SceneRequirement(
        _CONTROL,
        "L3",
        Text("工艺参数（程序）采集", "process parameters (program) collected"),
        program,
        "F",
    )
    yield SceneRequirement(
        _CONTROL,
        "L3",
        Text("工单采集并与其他系统共享", "work orders, shared with other systems"),
        False,
        "F",
    )
    yield SceneRequirement(
        _CONTROL, "L4", Text("排产模型与优化", "models and optimisation"), False, "P"
    )


@dataclass(frozen=True, slots=True)
class ConnectionStep:
    """One machine's next connection."""

    rank: int
    machine: Equipment
    action: Text
    interface: str
    digital: bool
    """It makes the machine digital (M-03) besides networking it."""


def plan(plant: Plant, figures: Figures) -> Json:
    """Part 10: which connection moves which rate to the next band."""
    todo = steps(plant)
    found = [
        _staircase(plant, todo),
        _steps_table(plant, todo),
        *_tier_of(todo),
        _nc_table(plant, figures),
        _projects(plant),
        _tiers(),
    ]
    found.append(
        paragraph(
            "比例与上限引自东府办〔2017〕12号，仅为指示性计算：不是承诺，不代表任何补贴可获批准；"
            "以申报时有效的政策和核定的「项目设备和技术投入总额」为准。",
            "Percentages and caps are those of 东府办〔2017〕12号, an indication only: no "
            "promise and no entitlement. "
            "What counts is the policy in force and the investment as accounted by the authority.",
            "assumption",
        )
    )
    return blocks.part(10, "升级改造建议", "upgrade plan", found)


def steps(plant: Plant) -> list[ConnectionStep]:
    """What to do next for every machine that is not effectively networked, the easiest first."""
    return sorted(_steps(plant), key=lambda step: (step.rank, step.machine.equipment_id))


def _staircase(plant: Plant, todo: list[ConnectionStep]) -> Json:
    """The networking rate as it grows machine by machine, over the bands of the questionnaire."""
    whole = len(plant.machines)
    now = _networked(plant)
    rates = [number(divide(now + done, whole)) for done in range(len(todo) + 1)] if whole else []
    names = ["", *(step.machine.equipment_id for step in todo)]
    return blocks.chart(
        "stairs",
        "逐台接入后的设备联网率",
        "networking rate, machine by machine",
        points=[list(pair) for pair in zip(names, rates, strict=False)],
        bands=[number(upper) for upper, _ in bands.BANDS],
    )


def _networked(plant: Plant) -> int:
    """Machines from which the staircase of the networking rate begins: nothing is left to do at
    them but to wait."""
    return sum(each.evidence.effective for each in plant.machines) + len(
        not_judged_yet(plant.assessment)
    )


def _steps(plant: Plant) -> Iterator[ConnectionStep]:
    waiting = not_judged_yet(plant.assessment)
    for each in plant.machines:
        if each.evidence.effective or each.id in waiting:
            continue
        machine = each.equipment
        interface = each.equipment.interface
        if each.evidence.live:
            yield ConnectionStep(
                0,
                machine,
                Text(
                    "已有数据：核对后在台账中申报联网", "delivers data: declare it in the register"
                ),
                interface,
                False,
            )
        elif plant.device(machine):
            why = each.evidence.why_not or Text("", "")
            yield ConnectionStep(
                1,
                machine,
                Text(f"已接入：排除原因「{why.zh}」", f"connected: mend “{why.en}”"),
                interface,
                False,
            )
        elif interface != "none":
            yield ConnectionStep(
                2,
                machine,
                Text("接入现有接口", "connect its interface"),
                interface,
                not machine.digital,
            )
        else:
            yield ConnectionStep(3, machine, *_retrofit(machine), not machine.digital)


def _retrofit(machine: Equipment) -> tuple[Text, str]:
    """A machine without interface: what can be fitted, and over which protocol it would come."""
    if machine.control_class in CONTROLLED:
        return Text(
            "加装通信模块或协议网关", "fit a communication module or a protocol gateway"
        ), "opc_ua / modbus_tcp"
    return Text(
        "加装 PLC 或传感器与电能表", "fit a PLC or sensors, and a power meter"
    ), "modbus_rtu / modbus_tcp"


def _tier_of(todo: list[ConnectionStep]) -> Iterator[Json]:
    """Which tier the steps belong to, once for all of them."""
    if todo:
        name, share, _ = TIERS["intelligent"]
        yield paragraph(
            f"以上各项适用层次：{name.zh}（{share * 100} %）。",
            f"Tier of all these steps: {name.en} ({share * 100} %).",
            "note",
        )


def _steps_table(plant: Plant, todo: list[ConnectionStep]) -> Json:
    columns = (
        TableColumn("序", "no.", "count"),
        TableColumn("设备编号", "equipment"),
        TableColumn("名称", "name"),
        TableColumn("产线", "line"),
        TableColumn("建议", "suggestion"),
        TableColumn("接口", "interface"),
        TableColumn("完成后设备联网率", "networking rate after it", "percent"),
        TableColumn("分档", "band"),
        TableColumn("完成后数字化率", "digital rate after it", "percent"),
        TableColumn("分档", "band"),
        TableColumn("进入新分档", "reaches the next band"),
    )
    whole = len(plant.machines)
    networked = _networked(plant)
    digital = sum(each.equipment.digital for each in plant.machines)
    rows = []
    for position, step in enumerate(todo, 1):
        before = [divide(part, whole) for part in (networked, digital)]
        networked = networked + 1
        digital = digital + step.digital
        after = [divide(part, whole) for part in (networked, digital)]
        machine = step.machine
        rows.append(
            [
                position,
                machine.equipment_id,
                title(machine),
                machine.line,
                step.action,
                step.interface,
                after[0],
                _band(after[0]),
                after[1],
                _band(after[1]),
                _reaches(before, after),
            ]
        )
    return table(
        "plan",
        "逐台接入建议（按易难排序，比率为累计）",
        "machine by machine (easiest first, rates cumulative)",
        columns,
        rows,
    )


def _band(rate: Fraction | None) -> str | None:
    return None if rate is None else bands.band(rate)


def _reaches(before: list[Fraction | None], after: list[Fraction | None]) -> Json | None:
    names = (Text("联网率", "networking"), Text("数字化率", "digital"))
    crossed = [
        name for name, a, b in zip(names, before, after, strict=True) if _band(a) != _band(b)
    ]
    return (
        blocks.text("、".join(n.zh for n in crossed), ", ".join(n.en for n in crossed))
        if crossed
        else None
    )


def _nc_table(plant: Plant, figures: Figures) -> Json:
    columns = (
        TableColumn("设备编号", "equipment"),
        TableColumn("名称", "name"),
        TableColumn("关键工序", "key process"),
        TableColumn("数控化后 M-01 变为", "M-01 after NC conversion", "percent"),
        TableColumn("目标 > 50 %", "target > 50 %"),
        TableColumn("适用层次", "tier"),
    )
    assessment = plant.assessment
    rate = figures["M-01-prorata"]
    rows: list[list[Any]] = []
    for machine in assessment.key_machines if rate.value is not None else ():
        lacking = [
            each
            for each in assessment.key_processes_of(machine)
            if not assessment.is_nc(machine, each)
        ]
        if not lacking:
            continue
        gains = [
            Fraction(1, len(assessment.of_process(each)) * len(assessment.key_processes))
            for each in lacking
        ]
        after = (rate.value or Fraction(0)) + sum(gains, Fraction(0))
        names = blocks.words([each.process_id for each in lacking])
        met = rate.definition.target is not None and rate.definition.target.met(after)
        judged = blocks.text("达到", "met") if met else blocks.text("未达到", "not met")
        rows.append(
            [machine.equipment_id, title(machine), names, after, judged, TIERS["automation"][0]]
        )
    return table(
        "plan_nc",
        "关键工序中的非数控设备（各自单独的影响）",
        "machines without NC in key processes (each by itself)",
        columns,
        rows,
    )


def _projects(plant: Plant) -> Json:
    columns = (
        TableColumn("项目", "project"), TableColumn("设备数", "machines", "count"),
        TableColumn("购置金额合计（元）", "purchase total (yuan)", "number"),
        TableColumn("缺少金额的设备", "machines without a price"),
        TableColumn("按 20 % 指示（元）", "20 % as an indication (yuan)", "number"),
        TableColumn("上限（元）", "cap (yuan)", "number"),
    )  # fmt: skip
    projects: dict[str, list[Equipment]] = {}
    for row in plant.assessment.register.equipment:
        if row.project_id:
            projects.setdefault(row.project_id, []).append(row)
    _, share, cap = TIERS["intelligent"]
    rows = []
    for project, machines in sorted(projects.items()):
        total = sum((Fraction(row.purchase_cny or 0) for row in machines), Fraction(0))
        missing = [row.equipment_id for row in machines if row.purchase_cny is None]
        rows.append(
            [
                project,
                len(machines),
                total,
                blocks.words(missing),
                min(total * share, Fraction(cap)),
                cap,
            ]
        )
    return table("projects", "台账中的项目", "projects of the register", columns, rows)


def _tiers() -> Json:
    columns = (
        TableColumn("层次", "tier"),
        TableColumn("比例", "percentage", "percent"),
        TableColumn("上限（元）", "cap (yuan)", "count"),
        TableColumn("说明", "remark"),
    )
    remarks = {
        "automation": blocks.text("单机、整线改造", "single machine, whole line"),
        "intelligent": blocks.text(
            "采集生产线数据，合理管理生产进度", "collect line data, manage progress"
        ),
        "demonstration": blocks.text(
            "采用国产智能装备和控制系统的最高 1000 万元",
            "up to 10 M yuan with domestic equipment and control systems",
        ),
    }
    rows: list[list[Any]] = [
        [name, share, cap, remarks[key]] for key, (name, share, cap) in TIERS.items()
    ]
    integrator = blocks.text(
        "集成商（不超过项目投入）", "system integrator (of the project's investment)"
    )
    rows.append([integrator, Fraction(8, 100), None, None])
    return table(
        "tiers", "政策比例与上限（指示）", "percentages and caps (indication)", columns, rows
    )
