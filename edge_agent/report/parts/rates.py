"""Parts 1 to 4: the enterprise and the scope, the headline rates, the gaps, and the evidence
machine by machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from edge_agent.errors import Finding
from edge_agent.metrics import bands
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.evaluate import live_not_declared, needing_attention, not_judged_yet
from edge_agent.metrics.rates import nc_shares
from edge_agent.metrics.result import MetricResult, iso, number
from edge_agent.production.plant import Plant, groups
from edge_agent.register.membership import ABSENCES, Absence
from edge_agent.register.model import Equipment, Process
from edge_agent.report import blocks
from edge_agent.report.blocks import Json, TableColumn, paragraph, said, table, value_or_reason
from edge_agent.report.findings import Observation

#: The three headline rates, and with which second value each is drawn.
HEADLINES: Final = {"M-01-prorata": "M-02", "M-03": None, "M-04a-effective": "M-04a-declared"}
_TOO_NEW: Final = blocks.text("尚未评定", "not judged yet")
_BANDED: Final = ("M-03", "M-04a-declared", "M-04a-effective")

Figures = Mapping[str, MetricResult]


def scope(plant: Plant, site: Mapping[str, str], validity: Text | None = None) -> Json:
    """Part 1: who, what, which version (`validity`: and why that one), which window, and who is not
    counted."""
    register = plant.assessment.register
    facts = plant.facts
    rows = [
        (blocks.text("企业全称（请填写）", "full name of the enterprise (to be filled in)"), ""),
        (
            blocks.text(
                "统一社会信用代码（请填写）", "unified social credit code (to be filled in)"
            ),
            "",
        ),
        (blocks.text("企业代号", "enterprise id"), site["enterprise"]),
        (blocks.text("厂区", "site"), site["site"]),
        (blocks.text("采集代理", "agent"), site["agent"]),
        (blocks.text("统计窗口", "window"), blocks.span(facts.start, facts.end)),
        (blocks.text("窗口长度（小时）", "length of the window (hours)"), facts.hours),
        (blocks.text("设备台账版本 sha256", "register version sha256"), register.version),
        (blocks.text("台账行数", "rows of the register"), len(register.equipment)),
        (
            blocks.text("纳入统计且在用（窗口终点）", "in scope and in use (at the window's end)"),
            len(plant.machines),
        ),
        (blocks.text("关键工序", "key processes"), len(plant.assessment.key_processes)),
        (blocks.text("已配置采集设备", "configured devices"), len(facts.devices)),
    ]
    columns = (TableColumn("项目", "item"), TableColumn("内容", "content"))
    found = [table("scope", "企业与范围", "enterprise and scope", columns, rows)]
    if validity is not None:
        found.append(said(validity, "note"))
    found += _not_counted(plant)
    if not register.equipment:
        found.append(paragraph("台账为空。", "The register is empty.", "warning"))
    if not facts.minutes:
        found.append(
            paragraph(
                "窗口内没有任何采集数据。", "There are no collected data in the window.", "warning"
            )
        )
    return blocks.part(1, "企业与范围", "enterprise and scope", found)


_ABSENCES: Final[Mapping[Absence, Json]] = {
    "out_of_scope": blocks.text("不纳入统计", "out of scope"),
    "not_commissioned": blocks.text("窗口结束后才启用", "commissioned after the window"),
    "under_repair": blocks.text("维修中", "under repair"),
    "mothballed": blocks.text("封存", "mothballed"),
    "retired": blocks.text("已停用", "retired"),
    "scrapped": blocks.text("已报废", "scrapped"),
}


def _not_counted(plant: Plant) -> Iterator[Json]:
    """The rows of the register that are in no denominator: how many, what they cost, and which, by
    reason."""
    absent = plant.assessment.members.absent
    columns = (
        TableColumn("原因", "reason"),
        TableColumn("台数", "machines", "count"),
        TableColumn("购置金额合计（元）", "purchase total (yuan)", "number"),
        TableColumn("缺少金额的台数", "without a price", "count"),
        TableColumn("设备编号", "equipment"),
    )
    rows = []
    for reason in ABSENCES:
        machines = [machine for machine, why in absent if why == reason]
        prices = [machine.purchase_cny for machine in machines if machine.purchase_cny is not None]
        total = sum(map(Fraction, prices), Fraction(0))
        ids = blocks.words([machine.equipment_id for machine in machines])
        if machines:
            rows.append([_ABSENCES[reason], len(machines), total, len(machines) - len(prices), ids])
    yield table(
        "not_counted", "不计入分母的台账行", "rows of the register in no denominator", columns, rows
    )
    standing = {each.id for each in plant.machines}
    gone = [each.id for each in plant.working if each.id not in standing]
    if gone:
        yield paragraph(
            f"窗口内曾在役、窗口终点已停用：{'、'.join(gone)}；其停用前的时间、产量与电量计入第 "
            "7、8 部分。",
            f"In service in the window and not at its end: {', '.join(gone)}; their time, parts "
            "and energy until then "
            "are in parts 7 and 8.",
            "note",
        )


def headlines(plant: Plant, figures: Figures) -> Json:
    """Part 2: the three rates with their band, points, and what the next band takes."""
    found: list[Json] = [
        _gauge(figures[key], figures[other] if other else None) for key, other in HEADLINES.items()
    ]
    found.append(_rates_table(figures))
    found += [said(note, "assumption") for note in _notes(figures)]
    found.append(_kinds(plant))
    found.append(_rollup(plant))
    found.append(
        paragraph(
            f"评分：{bands.NAME} 问卷的右闭分档 [0,10] (10,20] (20,40] (40,60] (60,100] % → 0 / "
            "1.5 / 3 / 4.5 / 6 分，"
            "按精确分数判断；仅适用于生产设备数字化率与设备联网率。",
            f"Scoring: right-closed bands of the {bands.NAME} questionnaire give 0 / 1.5 / 3 / "
            "4.5 / 6 points, judged "
            "by the exact fraction; for the digital and the networking rate only.",
            "note",
        )
    )
    return blocks.part(2, "三项主要指标", "the three headline rates", found)


def _gauge(result: MetricResult, other: MetricResult | None) -> Json:
    name = result.definition.name
    target = result.definition.target
    told = value_or_reason(result)
    return blocks.chart(
        "gauge",
        f"{result.definition.id} {name.zh}",
        f"{result.definition.id} {name.en}",
        value=None if isinstance(told, Text) else number(told),
        reason=blocks.both(told) if isinstance(told, Text) else None,
        numerator=number(result.numerator),
        denominator=number(result.denominator),
        other=other and {"value": number(other.value), "name": blocks.both(other.definition.name)},
        target=target and {"value": number(target.above), "text": blocks.both(target.text)},
        bands=[number(upper) for upper, _ in bands.BANDS]
        if result.definition.id in _BANDED
        else None,
        grade=result.grade,
        provisional=result.provisional,
        points=points(result),
    )


def points(result: MetricResult) -> int | float | None:
    """Points of the questionnaire, for the rates it scores."""
    return (
        number(bands.points(result.value)) if _scored(result) and result.value is not None else None
    )


def _scored(result: MetricResult) -> bool:
    """Whether the questionnaire scores this rate, and it is one already."""
    return (
        result.definition.id in _BANDED
        and result.value is not None
        and result.effective_after is None
    )


def _rates_table(figures: Figures) -> Json:
    columns = (
        TableColumn("编号", "id"),
        TableColumn("指标", "metric"),
        TableColumn("值", "value", "percent"),
        TableColumn("分子", "numerator", "number"),
        TableColumn("分母", "denominator", "count"),
        TableColumn("证据", "grade"),
        TableColumn("分档 %", "band %"),
        TableColumn("得分", "points", "number"),
        TableColumn("到下一档还差（台）", "machines to the next band"),
        TableColumn("目标", "target"),
    )
    keys = [
        key
        for key in figures
        if "@" not in key and figures[key].definition.unit == "1" and key < "M-11"
    ]
    rows = [_rate_row(key, figures[key]) for key in keys]
    return table("rates", "比率一览", "all rates", columns, rows)


def _rate_row(key: str, result: MetricResult) -> list[Any]:
    banded = _scored(result)
    return [
        key,
        result.definition.name,
        value_or_reason(result),
        result.numerator,
        result.denominator,
        result.grade,
        bands.band(result.value) if banded and result.value is not None else None,
        points(result),
        next_band(result) if banded else None,
        _target(result),
    ]


def next_band(result: MetricResult) -> int | None:
    """How many more machines the next band takes; None in the highest."""
    if result.numerator is None or result.denominator is None:
        return None
    return bands.machines_to_next_band(int(result.numerator), int(result.denominator))


def _target(result: MetricResult) -> Json | None:
    target = result.definition.target
    if target is None:
        return None
    share = f"> {float(100 * target.above):g} %"
    met = target.met(result.value)
    if not target.judged:
        return blocks.text(f"本地市场 {share}，不判定", f"local market {share}: not judged")
    if met is None:
        return None
    return blocks.text(
        f"{share} {'达到' if met else '未达到'}", f"{share} {'met' if met else 'not met'}"
    )


def _kinds(plant: Plant) -> Json:
    """Machines of key processes that count as numerically controlled by their kind: for what
    reason, after whom."""
    columns = (
        TableColumn("设备编号", "equipment"),
        TableColumn("名称", "name"),
        TableColumn("数控类型（台账）", "control class (register)"),
        TableColumn("设备种类", "kind"),
        TableColumn("理由", "reason"),
        TableColumn("来源", "source"),
    )
    named = {machine.id: machine.equipment for machine in plant.machines}
    rows = [
        [key, title(named[key]), named[key].control_class, blocks.text(kind.zh, kind.en),
         blocks.text(kind.reason_zh, kind.reason_en), kind.source]
        for key, kind in plant.assessment.nc_by_kind.items()
    ]  # fmt: skip
    return table(
        "nc_kinds", "按设备种类计为数控", "counted as numerically controlled by kind", columns, rows
    )


def _notes(figures: Figures) -> list[Text]:
    """What the headline rates assume, each with the ids it speaks of."""
    ids: dict[Text, list[str]] = {}
    for key in HEADLINES:
        for note in dict.fromkeys((*figures[key].definition.assumptions, *figures[key].notes)):
            ids.setdefault(note, []).append(key)
    return [
        Text(f"{'、'.join(keys)}：{note.zh}", f"{', '.join(keys)}: {note.en}")
        for note, keys in ids.items()
    ]


def _rollup(plant: Plant) -> Json:
    columns = (
        TableColumn("层级", "level"),
        TableColumn("名称", "name"),
        TableColumn("生产设备", "machines", "count"),
        TableColumn("数字化", "digital", "count"),
        TableColumn("申报联网", "declared networked", "count"),
        TableColumn("有效联网", "effectively networked", "count"),
        TableColumn("生产设备数字化率", "digital rate", "percent"),
        TableColumn("设备联网率", "networking rate", "percent"),
    )
    level_names = {
        "line": blocks.text("产线", "line"),
        "workshop": blocks.text("车间", "workshop"),
        "site": blocks.text("厂区", "site"),
    }
    rows = []
    for (level, name), machines in sorted(groups(plant.machines).items()):
        counts: list[int | None] = [
            len(machines),
            sum(each.equipment.digital for each in machines),
            sum(each.equipment.networked_declared for each in machines),
            sum(each.evidence.effective for each in machines),
        ]
        whole = len(machines)
        rates: list[Fraction | Text | None] = [
            Fraction(part, whole) if whole and part is not None else None
            for part in (counts[1], counts[3])
        ]
        after = plant.assessment.effective_after([each.equipment for each in machines])
        if after is not None:
            counts[3], rates[1] = None, after.text()
        rows.append([level_names[level], name, *counts, *rates])
    return table("rollup", "按产线、车间、厂区汇总", "by line, workshop and site", columns, rows)


def gaps(plant: Plant, noted: Sequence[Finding], seen: Sequence[Observation]) -> Json:
    """Part 3: what keeps the rates from being higher, and what else someone should look at."""
    found = list(_gap_tables(plant))
    if not any(block["rows"] for block in found):
        found.append(paragraph("没有缺口。", "There are no gaps.", "good"))
    found += [_noted(noted), _seen(seen)]
    return blocks.part(3, "缺口清单", "gap list", found)


def _noted(noted: Sequence[Finding]) -> Json:
    columns = (
        TableColumn("位置（文件[工作表]：行：列）", "place (file[sheet]:row:column)"),
        TableColumn("提示", "remark"),
    )
    rows = [[each.where, blocks.text(each.zh, each.en)] for each in noted]
    return table(
        "register_remarks", "台账与日历提示", "remarks on register and calendar", columns, rows
    )


def _seen(seen: Sequence[Observation]) -> Json:
    columns = (
        TableColumn("采集设备", "device"),
        TableColumn("时间", "time"),
        TableColumn("提示", "remark"),
    )
    rows = [[each.where, each.span and blocks.span(*each.span), each.text] for each in seen]
    return table("data_remarks", "采集数据提示", "remarks on the data", columns, rows)


def _gap_tables(plant: Plant) -> Iterator[Json]:
    assessment = plant.assessment
    machines = {each.id: each for each in plant.machines}
    columns = (
        TableColumn("设备编号", "equipment"),
        TableColumn("名称", "name"),
        TableColumn("产线", "line"),
        TableColumn("说明", "why"),
    )

    def rows(ids: list[str], why: Any) -> list[list[Any]]:
        return [
            [key, title(machines[key].equipment), machines[key].equipment.line, why(key)]
            for key in ids
        ]

    evidence = assessment.evidence
    missing = rows(needing_attention(assessment), lambda key: evidence[key].why_not)
    yield table(
        "gap_declared",
        "已申报联网、未被数据证明",
        "declared networked, not evidenced",
        columns,
        missing,
    )
    offline = [
        key
        for key, each in machines.items()
        if each.equipment.digital and not each.equipment.networked_declared
    ]
    why = blocks.text("具备数字接口，未申报联网", "has a digital interface, not declared networked")
    yield table(
        "gap_digital",
        "数字化但未联网",
        "digital, not networked",
        columns,
        rows(offline, lambda _: why),
    )
    extra = blocks.text(
        "有数据但台账未申报：只列出，不计入", "delivers data, not declared: listed, not counted"
    )
    undeclared = rows(live_not_declared(assessment), lambda _: extra)
    yield table("gap_undeclared", "在线但未申报", "live, not declared", columns, undeclared)
    yield _key_processes(plant)


def _key_processes(plant: Plant) -> Json:
    columns = (
        TableColumn("工序", "process"),
        TableColumn("名称", "name"),
        TableColumn("数控设备", "NC machines", "count"),
        TableColumn("设备", "machines", "count"),
        TableColumn("份额", "share", "percent"),
        TableColumn("说明", "why"),
    )
    names = {process.process_id: process for process in plant.assessment.register.processes}
    none = blocks.text("没有在用设备，按 0 计（人工）", "no machine in use: counts as 0 (manual)")
    rows = [
        [key, title(names[key]), part, whole, Fraction(part, whole) if whole else Fraction(0),
         None if whole else none]
        for key, (part, whole) in nc_shares(plant.assessment).items()
        if part < whole or not whole
    ]  # fmt: skip
    return table(
        "gap_key_processes",
        "数控化未达 100 % 的关键工序",
        "key processes below 100 % NC",
        columns,
        rows,
    )


def title(row: Equipment | Process) -> Json:
    """The name of a machine or a process in both languages, as far as the register has them."""
    zh = row.name_zh or row.name_en
    en = row.name_en or row.name_zh
    key = row.process_id if isinstance(row, Process) else row.equipment_id
    return blocks.text(zh or key, en or key)


def evidence(plant: Plant) -> Json:
    """Part 4: what each machine's networking rests on."""
    columns = (
        TableColumn("设备编号", "equipment"),
        TableColumn("名称", "name"),
        TableColumn("产线", "line"),
        TableColumn("采集设备", "device"),
        TableColumn("申报", "declared"),
        TableColumn("有效", "effective"),
        TableColumn("证据等级", "grade"),
        TableColumn("末次有效数据", "last good value", "time"),
        TableColumn("末次数值变化", "last change of a value", "time"),
        TableColumn("接入天数", "days of history", "number"),
        TableColumn("覆盖率", "coverage", "percent"),
        TableColumn("未计入原因", "why not"),
    )
    within = float(plant.assessment.change_within_s / 3600)
    grades = paragraph(
        f"E0 仅申报；E1 建立过连接；E2 有有效数据，且 {within:g} 计划小时内有数值变化；"
        "E3 控制器级语义（执行状态、模式、程序或计数）。由电流、指示灯或触点推导出的状态最高为 E2。"
        "有多个采集设备的机器以第一个（主设备）为准，其余仅列出。",
        "E0 declared only; E1 a connection was established; E2 good data with a value that "
        f"changed within {within:g} "
        "planned hours; E3 controller-level semantics. A state derived from currents, lamps or "
        "contacts is E2 at most. "
        "Of a machine with several devices the first one (the primary) decides, the others are "
        "listed.",
        "note",
    )
    found = [
        blocks.chart("grid", "设备证据等级", "evidence by machine", tiles=tiles(plant)),
        grades,
        table("evidence", "逐台证据", "evidence by machine", columns, _evidence_rows(plant)),
    ]
    return blocks.part(4, "逐台设备证据等级", "evidence grade of every machine", found)


def tiles(plant: Plant) -> list[Json]:
    """What the picture of the machines shows of each."""
    return [
        {
            "id": each.id,
            "name": title(each.equipment),
            "line": each.equipment.line,
            "grade": each.evidence.grade,
            "effective": each.evidence.effective,
            "declared": each.evidence.declared,
        }
        for each in plant.machines
    ]


def _evidence_rows(plant: Plant) -> Iterator[list[Any]]:
    live = plant.assessment.live
    too_new = not_judged_yet(plant.assessment)
    for each in plant.machines:
        device = proof_device(plant, each.equipment)
        proof = each.evidence
        fact = live.devices.get(device)
        stored = plant.facts.stored.get(device)
        age = fact.last_good_age_s if fact else None
        history = proof.history_s
        yield [
            each.id,
            title(each.equipment),
            each.equipment.line,
            _devices(each.equipment),
            yes(proof.declared),
            _TOO_NEW if each.id in too_new else yes(proof.effective),
            proof.grade,
            None if age is None else iso(plant.facts.end - int(age * 1_000_000_000)),
            iso(stored.last_change) if stored else None,
            None if history is None else Fraction(round(float(history) / 864), 100),
            fact.coverage if fact else None,
            proof.why_not,
        ]


def _devices(machine: Equipment) -> str:
    """Its devices, the primary one first."""
    primary, *others = machine.devices or ("",)
    return f"{primary} (+ {', '.join(others)})" if others else primary


def proof_device(plant: Plant, equipment: Any) -> str:
    """The device whose facts are this machine's own; empty without one."""
    return plant.device(equipment) or ""


def yes(flag: bool) -> Json:
    """是 or 否."""
    return blocks.text("是", "yes") if flag else blocks.text("否", "no")
