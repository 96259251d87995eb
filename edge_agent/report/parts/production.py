"""Parts 7 and 8: where the time went, and where the energy went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from edge_agent.metrics.definitions import Text
from edge_agent.metrics.remarks import PROVISIONAL
from edge_agent.metrics.result import MetricResult, divide, iso, number
from edge_agent.metrics.timemodel import Bucket, Reason, Totals, pareto
from edge_agent.production.count_doubts import KINDS, CountDoubts
from edge_agent.production.facts import KINDS_SET_ASIDE, CounterEvent
from edge_agent.production.load import daily_peaks, full_quarters, load_profile, peak
from edge_agent.production.plant import Plant, PlantMachine, groups, summed
from edge_agent.report import blocks
from edge_agent.report.blocks import Json, TableColumn, paragraph, said, table, value_or_reason
from edge_agent.report.parts.rates import title

_S: Final = 1_000_000_000
Figures = Mapping[str, MetricResult]

#: Loss -> its name for people.
LOSSES: Final = {
    "setup": blocks.text("准备与调整", "set-up"),
    "unknown": blocks.text("状态未知", "state unknown"),
    "failure": blocks.text("故障", "failure"),
    "short_stop": blocks.text("短停（< 30 s）", "short stop (< 30 s)"),
    "standing": blocks.text("停顿（待料、进给保持）", "standing (starved, feed hold)"),
    "corrective_maintenance": blocks.text("修复性维护", "corrective maintenance"),
    "maintenance": blocks.text("计划外维护", "unplanned maintenance"),
    "no_order": blocks.text("无任务", "no order"),
}
#: The parts of a machine's bar, in the order they are drawn.
BUCKETS: Final = ("APT", "ASUT", "ADET", "unknown", "ADOT", "planned_down", "overtime")
BUCKET_NAMES: Final = {
    "APT": blocks.text("加工 APT", "production APT"),
    "ASUT": blocks.text("准备 ASUT", "set-up ASUT"),
    "ADET": blocks.text("延误 ADET", "delay ADET"),
    "unknown": LOSSES["unknown"],
    "ADOT": blocks.text("无任务 ADOT", "down ADOT"),
    "planned_down": blocks.text("计划停机", "planned down"),
    "overtime": blocks.text("计划外加工", "overtime"),
}
_HOUR: Final = 3600
_LOAD_POINTS: Final = 2000
#: What every counter does: no event to look at.
_EVERYDAY: Final = ("rollover", "restart")
_MOST_EVENTS: Final = 50


def production(plant: Plant, figures: Figures) -> Json:
    """Part 7: time model, OEE, losses by line."""
    found: list[Json] = [said(note, "assumption") for note in plant.assumptions]
    with_states = [each for each in plant.working if each.production is not None]
    found += list(_order_notes(with_states))
    if not with_states:
        found.append(
            paragraph("没有任何设备的状态数据。", "There are no machine states.", "warning")
        )
    bars = [
        {
            "id": each.id,
            "name": title(each.equipment),
            "line": each.equipment.line,
            "seconds": _numbers(_parts(each)),
        }
        for each in with_states
    ]
    found.append(
        blocks.chart("buckets", "时间去向", "where the time went", bars=bars, order=list(BUCKETS))
    )
    found += [_lines(plant, figures), _behind(plant, figures), _all_machines(plant, figures)]
    found += list(_paretos(plant))
    found += [_machines(plant, figures), _parts_made(plant)]
    found.append(_times(plant))
    found += _events(plant)
    return blocks.part(7, "时间模型与设备综合效率（OEE）", "time model and OEE", found)


def _order_notes(machines: list[PlantMachine]) -> Iterator[Json]:
    if any(each.production and each.production.order_source == "calendar" for each in machines):
        yield paragraph(
            "任务来源 order_source: calendar（无任务信号）：计划时间都视为有任务，ADOT "
            "及依赖它的指标为空。",
            "order_source: calendar (there is no order signal): all planned time counts as "
            "ordered, so ADOT and what "
            "rests on it is empty.",
            "assumption",
        )
    yield paragraph(
        "状态未知的时间计入 ADET 并单独列出。产线、车间、厂区 = 分子之和 / 分母之和；时间利用率、"
        "效率、质量率、OEE "
        "四项只含同一批（四项齐全的）设备，质量率按标准工时加权，因此四项相乘相等；"
        "全部设备的数值另列。"
        "效率超过 100 % 时请核对标准节拍，以及状态未知期间的产量。",
        "Time of unknown state is in ADET and shown apart. A line, workshop or site is the sum "
        "of numerators over "
        "the sum of denominators; availability, effectiveness, quality and OEE are of the same "
        "machines, those that "
        "have all four, with quality weighted by the nominal cycle: so they multiply. What all "
        "machines say stands "
        "apart. Effectiveness above 100 %: check the nominal cycle, and parts made while the "
        "state was unknown.",
        "note",
    )
    yield paragraph(
        "产量与合格品只计计划工作时间（PBT）内的件数，与时间同一口径；"
        "加班和计划停机中的产量单列，不进入 OEE，"
        "但计入单位产品能耗。",
        "Produced and good parts are those of planned busy time (PBT), the time the figures "
        "speak of; parts made in "
        "overtime or in planned stops stand apart: no part of OEE, but of energy per good part.",
        "note",
    )


def _parts(machine: PlantMachine) -> dict[str, Fraction]:
    """The parts of a machine's time, in seconds; unknown time stands for itself."""
    time = machine.production.totals if machine.production else Totals({}, 0)
    in_adet = time.parts.get((Bucket.ADET, Reason.UNKNOWN), 0)
    in_adot = time.parts.get((Bucket.ADOT, Reason.UNKNOWN), 0)
    ns = {
        "APT": time.bucket(Bucket.APT),
        "ASUT": time.bucket(Bucket.ASUT),
        "ADET": time.bucket(Bucket.ADET) - in_adet,
        "unknown": time.reason(Reason.UNKNOWN),
        "ADOT": time.bucket(Bucket.ADOT) - in_adot,
        "planned_down": time.bucket(Bucket.PLANNED),
        "overtime": time.bucket(Bucket.OVERTIME),
    }
    return {key: Fraction(length, _S) for key, length in ns.items()}


def _numbers(parts: Mapping[str, Fraction]) -> dict[str, int | float | None]:
    return {key: number(seconds) for key, seconds in parts.items()}


def _lines(plant: Plant, figures: Figures) -> Json:
    columns = (
        TableColumn("层级", "level"),
        TableColumn("名称", "name"),
        TableColumn("PBT h", "PBT h", "hours"),
        TableColumn("APT h", "APT h", "hours"),
        TableColumn("未知 h", "unknown h", "hours"),
        TableColumn("时间利用率", "availability", "percent"),
        TableColumn("效率", "effectiveness", "percent"),
        TableColumn("质量率", "quality ratio", "percent"),
        TableColumn("OEE", "OEE", "percent"),
        TableColumn("说明", "remark"),
    )
    rows = []
    for (level, name), machines in groups(plant.working).items():
        results = [figures[f"{metric}{_suffix(level, name)}"] for metric in _LINE_RATES]
        behind = [machine for machine in machines if machine.id in results[0].numerator_ids]
        rates = map(value_or_reason, results)
        rows.append(
            [_LEVELS[level], name, *_hours(summed(behind)), *rates, blocks.remarks(results)]
        )
    return table(
        "oee_lines",
        "按产线、车间、厂区（OEE = 时间利用率 × 效率 × 质量率，同一批设备）",
        "by line, workshop and site (OEE = availability x effectiveness x quality, of the same "
        "machines)",
        columns,
        rows,
    )


def _all_machines(plant: Plant, figures: Figures) -> Json:
    """What all machines of a scope say, with or without an OEE: under names of its own, beside the
    row of OEE."""
    columns = (
        TableColumn("层级", "level"),
        TableColumn("名称", "name"),
        TableColumn("PBT h", "PBT h", "hours"),
        TableColumn("APT h", "APT h", "hours"),
        TableColumn("未知 h", "unknown h", "hours"),
        TableColumn(
            "时间利用率（全部有状态的设备）", "availability (all machines with states)", "percent"
        ),
        TableColumn("设备", "machines", "count"),
        TableColumn(
            "合格品率（按件，全部计数的设备）",
            "quality by the piece (all machines that count)",
            "percent",
        ),
        TableColumn("设备", "machines", "count"),
        TableColumn("说明", "remark"),
    )
    rows = []
    for (level, name), machines in groups(plant.working).items():
        results = [
            figures[f"{metric}{_suffix(level, name)}"] for metric in ("M-11-all", "M-12-all")
        ]
        cells: list[Any] = []
        for result in results:
            cells += [value_or_reason(result), len(result.numerator_ids)]
        rows.append(
            [_LEVELS[level], name, *_hours(summed(machines)), *cells, blocks.remarks(results)]
        )
    return table("oee_all", "全部设备", "all machines", columns, rows)


def _behind(plant: Plant, figures: Figures) -> Json:
    """How many machines the row rests on, and which are not among them."""
    columns = (
        TableColumn("层级", "level"),
        TableColumn("名称", "name"),
        TableColumn("时间利用率", "availability", "count"),
        TableColumn("效率", "effectiveness", "count"),
        TableColumn("质量率", "quality ratio", "count"),
        TableColumn("OEE", "OEE", "count"),
        TableColumn("未计入 OEE 的设备", "left out of OEE"),
    )
    rows = []
    for level, name in groups(plant.working):
        told = [figures[f"{metric}{_suffix(level, name)}"] for metric in _LINE_RATES]
        details = told[-1].details
        left_out = sorted({*details["left_out"], *details["without_states"]})
        rows.append(
            [
                _LEVELS[level],
                name,
                *(len(each.numerator_ids) for each in told),
                blocks.words(left_out),
            ]
        )
    return table("oee_behind", "各值所含的设备数", "machines behind each figure", columns, rows)


def _suffix(level: str, name: str) -> str:
    return "" if level == "site" else f"@{level}:{name}"


_LINE_RATES: Final = ("M-11", "M-13", "M-12", "M-14")
_LEVELS: Final = {
    "line": blocks.text("产线", "line"),
    "workshop": blocks.text("车间", "workshop"),
    "site": blocks.text("厂区", "site"),
}


def _hours(time: Totals) -> list[Fraction]:
    """PBT, APT and unknown, in hours."""
    return [Fraction(ns, 3600 * _S) for ns in (time.pbt, time.bucket(Bucket.APT), time.unknown)]


def _paretos(plant: Plant) -> Iterator[Json]:
    for (level, name), machines in groups(plant.working).items():
        if level != "line":
            continue
        time = summed(machines)
        losses = [
            {
                "name": LOSSES[loss],
                "seconds": number(Fraction(ns, _S)),
                "share": number(divide(ns, time.pbt)),
            }
            for loss, ns in pareto(time)
        ]
        if losses:
            yield blocks.chart(
                "pareto", f"产线 {name} 损失排列", f"line {name}: losses", losses=losses
            )


def _machines(plant: Plant, figures: Figures) -> Json:
    columns = (
        TableColumn("设备编号", "equipment"),
        TableColumn("名称", "name"),
        TableColumn("产线", "line"),
        TableColumn("时间利用率", "availability", "percent"),
        TableColumn("效率", "effectiveness", "percent"),
        TableColumn("质量率", "quality ratio", "percent"),
        TableColumn("OEE", "OEE", "percent"),
        TableColumn("NEE", "NEE", "percent"),
        TableColumn("故障", "failures", "count"),
        TableColumn("MTBF h", "MTBF h", "hours"),
        TableColumn("MTTR h", "MTTR h", "hours"),
        TableColumn("数据覆盖", "known share of PBT", "percent"),
        TableColumn("说明", "remark"),
    )
    return table(
        "oee",
        "逐台设备",
        "by machine",
        columns,
        (_machine(each, figures) for each in plant.working),
    )


def _machine(machine: PlantMachine, figures: Figures) -> list[Any]:
    head = [machine.id, title(machine.equipment), machine.equipment.line]
    made = machine.production
    if made is None:
        return [*head, blocks.text("无状态数据", "no machine state"), *[None] * 9]
    rates = [figures[f"{key}@{machine.id}"] for key in ("M-11", "M-13", "M-12", "M-14", "M-15")]
    repairs = [figures[f"{key}@{machine.id}"] for key in ("M-17-mtbf", "M-17-mttr")]
    times = [None if each.value is None else each.value / 3600 for each in repairs]
    remarks = blocks.remarks([*rates, *repairs])
    return [
        *head,
        *map(value_or_reason, rates),
        made.totals.failures,
        *times,
        made.coverage,
        remarks,
    ]


def _parts_made(plant: Plant) -> Json:
    columns = (
        TableColumn("设备编号", "equipment"),
        TableColumn("名称", "name"),
        TableColumn("产线", "line"),
        TableColumn("计划时间内产量", "produced in planned time", "count"),
        TableColumn("其中合格", "good of these", "count"),
        TableColumn("计划外产量", "produced outside planned time", "count"),
        TableColumn("说明", "remark"),
    )
    rows = [
        [
            each.id,
            title(each.equipment),
            each.equipment.line,
            made.pq,
            made.gq,
            made.outside_pq,
            _doubt(each.parts_doubts),
        ]
        for each in plant.working
        if (made := each.production) is not None and (made.pq, made.gq) != (None, None)
    ]
    return table("parts", "逐台产量", "parts by machine", columns, rows)


def _doubt(doubts: CountDoubts) -> Any:
    return blocks.both(PROVISIONAL) if doubts.provisional else blocks.DASH


def _events(plant: Plant) -> list[Json]:
    """What counters did besides counting on: what was set aside, and where nothing was counted
    across."""
    found = [
        (counter, event) for counter, event in plant.counter_events if event.kind not in _EVERYDAY
    ]
    if not found:
        return []
    columns = (
        TableColumn("设备", "machine"),
        TableColumn("产线", "line"),
        TableColumn("采集点", "tag"),
        TableColumn("时间", "time", "time"),
        TableColumn("事件", "event"),
        TableColumn("此前读数", "reading before", "number"),
        TableColumn("读数", "reading", "number"),
        TableColumn("未计入量", "set aside", "number"),
        TableColumn("读数个数", "readings", "count"),
        TableColumn("判定", "decision"),
    )
    rows = [
        [*_owner(plant, counter.device, event.t), f"{counter.device}/{counter.tag}", iso(event.t),
         blocks.both(KINDS[event.kind]), Fraction(event.before), Fraction(event.after),
         Fraction(event.amount) if event.kind in KINDS_SET_ASIDE else None, event.readings,
         blocks.both(_decision(event))]
        for counter, event in found[:_MOST_EVENTS]
    ]  # fmt: skip
    more = len(found) - _MOST_EVENTS
    rest = [
        paragraph(f"另有 {more} 条，见证据包。", f"{more} more are in the evidence pack.", "note")
    ]
    return [
        table("counter_events", "计数器事件", "events of counters", columns, rows),
        *(rest if more > 0 else []),
        paragraph(
            "未计入的读数使有关数值为暂定；在 register.events 文件中逐条判定“计入”或“不"
            "计入”后不再暂定。"
            "换表请写入 register.meters。",
            "Readings that were set aside make the figures that rest on them provisional, until "
            "the file of "
            "register.events says of each to count it or to set it aside. Write exchanged meters "
            "into register.meters.",
            "note",
        ),
    ]


def _decision(event: CounterEvent) -> Text:
    if event.kind not in KINDS_SET_ASIDE:
        return Text("—", "—")
    if event.counted is None:
        return Text("待判定（暂定）", "open (provisional)")
    return (
        Text("已判计入", "to be counted") if event.counted else Text("已判不计", "to be set aside")
    )


def _owner(plant: Plant, device: str, t: int) -> tuple[str, str]:
    """The machine (or meter) a device spoke for at a moment (ns), and its line; of several the one
    it is primary of. Where none of them was in service then, the first."""
    rows = [row for row in plant.assessment.register.equipment if device in row.devices]
    rows.sort(key=lambda row: row.device != device)
    for row in rows:
        since, until = plant.span(row)
        if since < t <= until:
            return row.equipment_id, row.line
    return (rows[0].equipment_id, rows[0].line) if rows else ("", "")


def _times(plant: Plant) -> Json:
    columns = (
        TableColumn("设备编号", "equipment"),
        TableColumn("计划工作 PBT h", "PBT h", "hours"),
        *(
            TableColumn(f"{BUCKET_NAMES[key]['zh']} h", f"{BUCKET_NAMES[key]['en']} h", "hours")
            for key in BUCKETS
        ),
    )
    rows = [
        [
            each.id,
            Fraction(each.production.totals.pbt, 3600 * _S),
            *(ns / _HOUR for ns in _parts(each).values()),
        ]
        for each in plant.working
        if each.production is not None
    ]
    return table("time", "逐台时间（小时）", "time by machine (hours)", columns, rows)


def energy_part(plant: Plant, figures: Figures) -> Json:
    """Part 8: kWh per part, idle share, peak, tce."""
    found: list[Json] = [
        _load(plant),
        _energy_lines(figures),
        _energy_machines(plant, figures),
        _check(plant),
    ]
    coefficient = figures["M-19"].details["kgce_per_kwh"]
    found.append(
        paragraph(
            f"折标系数 {coefficient} kgce/kWh（当量值，通行说法，可配置），属假设。15 "
            "分钟负荷为该窗口的平均功率。",
            f"Coefficient {coefficient} kgce/kWh (equivalent value as commonly used, "
            "configurable): an assumption. "
            "15-minute load is the mean power of the window.",
            "assumption",
        )
    )
    return blocks.part(8, "能耗", "energy", found)


def _load(plant: Plant) -> Json:
    series = []
    peaks = []
    for name in plant.lines:
        used, _ = plant.line_energy(name)
        if used is None:
            continue
        profile = full_quarters(plant, load_profile(plant, used))
        top = peak(profile)
        if top is not None:
            drawn = profile if len(profile) <= _LOAD_POINTS else daily_peaks(profile)
            series.append(
                {"name": name, "points": [[iso(t), round(float(kw), 3)] for t, kw in drawn]}
            )
            peaks.append({"name": name, "t": iso(top[0]), "kw": round(float(top[1]), 3)})
    return blocks.chart(
        "load", "15 分钟负荷曲线（kW）", "15-minute load (kW)", series=series, peaks=peaks
    )


def _energy_lines(figures: Figures) -> Json:
    columns = (
        TableColumn("范围", "scope"),
        TableColumn("用电 kWh", "kWh", "number"),
        TableColumn("合格品", "good parts", "count"),
        TableColumn("单位产品能耗 kWh", "kWh per good part", "number"),
        TableColumn("综合能耗 tce", "tce", "number"),
        TableColumn("计量来源", "measured by"),
        TableColumn("说明", "remark"),
    )
    rows = []
    for key, result in figures.items():
        if not key.startswith("M-19"):
            continue
        per_part = figures[key.replace("M-19", "M-18", 1)]
        name: Any = result.numerator_ids[0] if "@" in key else blocks.text("厂区", "site")
        kwh = result.details["kwh"]
        shown = result.reason if kwh is None else kwh
        sources = blocks.words(result.details["measured_by"])
        remarks = blocks.remarks([result, per_part])
        rows.append(
            [
                name,
                shown,
                per_part.denominator,
                value_or_reason(per_part),
                result.value,
                sources,
                remarks,
            ]
        )
    return table("energy_lines", "产线与厂区能耗", "energy by line and site", columns, rows)


def _energy_machines(plant: Plant, figures: Figures) -> Json:
    columns = (
        TableColumn("设备编号", "equipment"),
        TableColumn("名称", "name"),
        TableColumn("用电 kWh", "kWh", "number"),
        TableColumn("单位产品能耗 kWh", "kWh per good part", "number"),
        TableColumn("待机能耗占比", "idle share", "percent"),
        TableColumn("来源", "source"),
        TableColumn("说明", "remark"),
    )
    rows = [
        [
            each.id,
            title(each.equipment),
            each.energy.between(*each.span),
            value_or_reason(figures.get(f"M-18@{each.id}")),
            value_or_reason(figures.get(f"M-20@{each.id}")),
            each.energy_source,
            blocks.remarks([figures.get(f"M-18@{each.id}"), figures.get(f"M-20@{each.id}")]),
        ]
        for each in plant.working
        if each.energy is not None
    ]
    return table(
        "energy", "有电表或功率数据的设备", "machines with a meter or a power tag", columns, rows
    )


def _check(plant: Plant) -> Json:
    columns = (
        TableColumn("电表", "meter"), TableColumn("计数 kWh", "counted kWh", "number"),
        TableColumn("功率积分 kWh", "integrated kWh", "number"),
        TableColumn("偏差", "difference", "percent"),
    )  # fmt: skip
    rows = []
    for meter in (meter for line in plant.lines for meter in plant.meters(line)):
        check = plant.power_check(meter.device)
        if check is not None:
            rows.append([meter.equipment_id, check.counted, check.integrated, check.difference])
    return table(
        "energy_check",
        "电表与功率积分核对（超过几个百分点：查 CT/PT 变比与接线）",
        "meters against integrated power (above a few percent: check CT/PT ratio and wiring)",
        columns,
        rows,
    )
