"""Every metric's definition as data: names, formula, where it comes from, and what is assumed.

`basis`: F = read in public text (named in `source`), M = commonly stated, no official text found
(printed as an assumption with every result), P = this product's proposal, ISO = ISO 22400-2 as
published in OWL form.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, NamedTuple

Basis = Literal["F", "M", "P", "ISO"]


class Text(NamedTuple):
    """A sentence in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class PolicyTarget:
    """A policy target: the value must be strictly above `above`."""

    above: Fraction
    text: Text
    judged: bool = True
    """False: it speaks of something else than the factory (the local market), which no figure of
    ours can meet."""

    def met(self, value: Fraction | None) -> bool | None:
        """None when there is no value to compare, or nothing this factory could meet."""
        return value > self.above if value is not None and self.judged else None


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What one metric is. `unit` is `1` for a ratio (shown in percent), else the unit of its
    value."""

    id: str
    name: Text
    formula: Text
    unit: str
    basis: Basis
    source: str
    assumptions: tuple[Text, ...] = ()
    target: PolicyTarget | None = None


_POLICY = "东府办〔2017〕12号"
_MIIT = "工信部《中小企业数字化水平评测指标（2024年版）》问卷"
_LIHUA = "两化融合指标（通行说法）"
_ISO = "ISO 22400-2"

_PLANNED_PARTS = Text(
    "PQ、GQ 只计计划工作时间（PBT）内的件数；跨越其边界的一步按时间分摊，计划外的产量单列。",
    "PQ and GQ are the parts of planned busy time (PBT); a step across its edge is shared by "
    "time, and parts made "
    "outside it stand apart.",
)
_NO_OFFICIAL = Text(
    "未找到载有该公式的官方公开文本；此处按通行说法计算，属假设，不是官方口径。",
    "No official public text with this formula was found; it follows common usage and is an "
    "assumption.",
)
_KEY_BY_ENTERPRISE = Text(
    "关键工序由企业自行认定并经审核，从不推断。",
    "Which processes are key is the enterprise's own, reviewed statement; it is never inferred.",
)
_FACTORY_SHARE = Text(
    "政策目标指本地市场占有率；这里只是本厂在用机器人的占比。",
    "The policy's target speaks of the local market; this is the share among the factory's own "
    "robots only.",
)
_EFFECTIVE = Text(
    "有效联网 = 已申报、主采集设备已配置且不为其他机器所用、末次有效数据不早于窗口结束前 7 天、"
    "数值在规定的计划工时内"
    "有过变化（默认 8 h）、自首次连接（最多 30 天）以来计划工作时间的覆盖率 ≥ 90 %。",
    "Effective = declared, linked to a configured primary device that no other machine has, last "
    "good value at most 7 "
    "days before the window's end, a value that changed within the planned hours asked for (8 if "
    "none are stated), "
    "coverage >= 90 % of planned working time since the first connection (30 days at the most).",
)
_DECLARED = Text("仅为申报（E0），未经数据证明。", "Declared only (E0): not shown by data.")
_ABOVE_50 = PolicyTarget(
    Fraction(1, 2), Text("关键工序数控化率超过 50 %", "key-process NC rate above 50 %")
)

_KEY_ASSUMPTIONS = (_NO_OFFICIAL, _KEY_BY_ENTERPRISE)

DEFINITIONS: Final[tuple[MetricDefinition, ...]] = (
    MetricDefinition(
        "M-01-strict",
        Text("关键工序数控化率（严格）", "key-process NC rate (strict)"),
        Text(
            "全部设备均为数控的关键工序数 / 关键工序数",
            "key processes whose machines are all NC / key processes",
        ),
        "1",
        "M",
        f"{_POLICY}; {_LIHUA}",
        _KEY_ASSUMPTIONS,
        _ABOVE_50,
    ),
    MetricDefinition(
        "M-01-prorata",
        Text("关键工序数控化率", "key-process NC rate (pro rata)"),
        Text(
            "Σ（关键工序 p 的数控设备数 / p 的设备数） / 关键工序数",
            "sum over key processes of (NC machines / machines) / key processes",
        ),
        "1",
        "M",
        f"{_POLICY}; {_LIHUA}",
        _KEY_ASSUMPTIONS,
        _ABOVE_50,
    ),
    MetricDefinition(
        "M-01-any",
        Text("关键工序数控化率（任一）", "key-process NC rate (any)"),
        Text(
            "至少有一台数控设备的关键工序数 / 关键工序数",
            "key processes with any NC machine / key processes",
        ),
        "1",
        "M",
        f"{_POLICY}; {_LIHUA}",
        _KEY_ASSUMPTIONS,
        _ABOVE_50,
    ),
    MetricDefinition(
        "M-02",
        Text("关键设备数控化率", "key-equipment NC rate"),
        Text(
            "关键工序中的数控设备数 / 关键工序中的设备数",
            "NC machines in key processes / machines in key processes",
        ),
        "1",
        "F",
        "第三方评估工具（非官方）",
        (_KEY_BY_ENTERPRISE,),
    ),
    MetricDefinition(
        "M-03",
        Text("生产设备数字化率", "digital equipment rate"),
        Text(
            "数字化生产设备数 / 生产设备总数", "digital production equipment / production equipment"
        ),
        "1",
        "F",
        _MIIT,
    ),
    MetricDefinition(
        "M-04a-declared",
        Text("设备联网率（申报）", "equipment networking rate (declared)"),
        Text(
            "申报联网的生产设备数 / 生产设备总数",
            "production equipment declared networked / production equipment",
        ),
        "1",
        "F",
        _MIIT,
        (_DECLARED,),
    ),
    MetricDefinition(
        "M-04a-effective",
        Text("设备联网率", "equipment networking rate (effective)"),
        Text(
            "有效联网的生产设备数 / 生产设备总数",
            "effectively networked equipment / production equipment",
        ),
        "1",
        "F",
        _MIIT,
        (_EFFECTIVE,),
    ),
    MetricDefinition(
        "M-04b-declared",
        Text("数字化设备联网率（申报）", "networking rate of digital equipment (declared)"),
        Text(
            "申报联网的数字化设备数 / 数字化设备数",
            "digital equipment declared networked / digital equipment",
        ),
        "1",
        "M",
        _LIHUA,
        (_NO_OFFICIAL, _DECLARED),
    ),
    MetricDefinition(
        "M-04b-effective",
        Text("数字化设备联网率", "networking rate of digital equipment (effective)"),
        Text(
            "有效联网的数字化设备数 / 数字化设备数",
            "digital equipment effectively networked / digital equipment",
        ),
        "1",
        "M",
        _LIHUA,
        (_NO_OFFICIAL, _EFFECTIVE),
    ),
    MetricDefinition(
        "M-04c-declared",
        Text("关键设备联网率（申报）", "networking rate of key equipment (declared)"),
        Text(
            "申报联网的关键设备数 / 关键设备数", "key equipment declared networked / key equipment"
        ),
        "1",
        "F",
        "第三方评估工具（非官方）",
        (_KEY_BY_ENTERPRISE, _DECLARED),
    ),
    MetricDefinition(
        "M-04c-effective",
        Text("关键设备联网率", "networking rate of key equipment (effective)"),
        Text(
            "有效联网的关键设备数 / 关键设备数",
            "key equipment effectively networked / key equipment",
        ),
        "1",
        "F",
        "第三方评估工具（非官方）",
        (_KEY_BY_ENTERPRISE, _EFFECTIVE),
    ),
    MetricDefinition(
        "M-04d",
        Text("设备在线率", "online ratio"),
        Text(
            "在线时间 / 计划时间（不是联网率）",
            "time online / time scheduled (not the networking rate)",
        ),
        "1",
        "P",
        "本产品 / this product",
    ),
    MetricDefinition(
        "M-05",
        Text("数据自动采集率", "automatic acquisition rate"),
        Text("Σ 有效样本数 / Σ 应采样本数", "good readings / expected readings"),
        "1",
        "P",
        "本产品 / this product",
        (
            Text(
                "只计计划工作时间（班次内，计划停机除外）；断网后补传的样本在入库后计入。",
                "Of planned working time only (shifts without their planned stops); readings "
                "forwarded late count once "
                "they are stored.",
            ),
        ),
    ),
    MetricDefinition(
        "M-05-process",
        Text("生产工序数据采集率", "process acquisition rate"),
        Text("有自动采集数据的工序数 / 工序数", "processes with automatic data / processes"),
        "1",
        "F",
        "第三方评估工具（非官方）",
        (Text("以工序表所列为主要工序。", "The main processes are those of the process list."),),
    ),
    MetricDefinition(
        "M-06",
        Text("数据自动采集业务环节覆盖", "coverage of business links"),
        Text("有自动采集数据的业务环节数 / 14", "business links with automatic data / 14"),
        "1",
        "F",
        _MIIT,
        (
            Text(
                "问卷的 14 个环节：产品设计、工艺设计、营销管理、售后服务、计划排程、生产管控、"
                "质量管理、设备管理、"
                "安全生产、能耗管理、采购管理、仓储物流、财务管理、人力资源。设备侧可证明 "
                "生产管控、"
                "质量管理、设备管理、"
                "安全生产、能耗管理 五个环节；其余九个由企业另行说明。",
                "Of the questionnaire's 14 links machines can evidence five: production control, "
                "quality, equipment, "
                "safety and energy management; the enterprise states the other nine itself.",
            ),
        ),
    ),
    MetricDefinition(
        "M-07",
        Text("接口标准化率", "interface standardisation"),
        Text(
            "采用 OPC UA/Modbus/MTConnect 且数据模型统一的设备数 / 有效联网设备数",
            "machines on OPC UA, Modbus or MTConnect with the common model / effectively "
            "networked machines",
        ),
        "1",
        "P",
        f"{_POLICY} 数据接口与通信协议标准化",
    ),
    MetricDefinition(
        "M-08-count",
        Text("智能装备应用比例（台数）", "share of smart equipment (count)"),
        Text("智能装备台数 / 生产设备总数", "smart machines / production equipment"),
        "1",
        "P",
        _POLICY,
        (
            Text(
                "智能装备 = 数字化且控制方式为数控、机器人、PLC、DCS 或 PCS。",
                "Smart = digital and controlled by CNC, robot, PLC, DCS or PCS.",
            ),
        ),
    ),
    MetricDefinition(
        "M-08-value",
        Text("智能装备应用比例（金额）", "share of smart equipment (value)"),
        Text(
            "智能装备购置金额 / 生产设备购置金额",
            "purchase value of smart machines / of production equipment",
        ),
        "1",
        "P",
        _POLICY,
        (
            Text(
                "智能装备 = 数字化且控制方式为数控、机器人、PLC、DCS 或 PCS。",
                "Smart = digital and controlled by CNC, robot, PLC, DCS or PCS.",
            ),
        ),
    ),
    MetricDefinition(
        "M-09",
        Text("国产机器人占比（本厂）", "domestic robots (in this factory)"),
        Text(
            "国产（含莞产）机器人数 / 机器人数",
            "domestic robots, Dongguan-made ones included / robots",
        ),
        "1",
        "P",
        _POLICY,
        (_FACTORY_SHARE,),
        PolicyTarget(
            Fraction(1, 2),
            Text("国产机器人本地市场占有率超过 50 %", "domestic robots above 50 % of the market"),
            judged=False,
        ),
    ),
    MetricDefinition(
        "M-10",
        Text("莞产机器人占比（本厂）", "Dongguan-made robots (in this factory)"),
        Text("莞产机器人数 / 机器人数", "Dongguan-made robots / robots"),
        "1",
        "P",
        _POLICY,
        (_FACTORY_SHARE,),
        PolicyTarget(
            Fraction(1, 4),
            Text("莞产机器人超过 25 %", "Dongguan-made robots above 25 %"),
            judged=False,
        ),
    ),
    MetricDefinition(
        "M-11",
        Text("时间利用率", "availability"),
        Text("APT / PBT", "APT / PBT: actual production time / planned busy time"),
        "1",
        "ISO",
        _ISO,
    ),
    MetricDefinition(
        "M-11-all",
        Text("时间利用率（全部有状态的设备）", "availability (all machines with states)"),
        Text("Σ APT / Σ PBT", "sum of APT / sum of PBT"),
        "1",
        "ISO",
        _ISO,
        (
            Text(
                "产线、车间、厂区全部有状态的设备，不论能否算出 OEE；OEE 一行的 M-11 只含能算出 "
                "OEE "
                "的设备。",
                "All machines of a line, workshop or site whose states are collected, with or "
                "without an OEE; M-11 in the "
                "row of OEE is of the machines that have one.",
            ),
        ),
    ),
    MetricDefinition(
        "M-12",
        Text("质量率", "quality ratio"),
        Text(
            "GQ / PQ；汇总为 Σ PRU·GQ / Σ PRU·PQ",
            "GQ / PQ: good / produced; summed up as sum of PRU · GQ / sum of PRU · PQ",
        ),
        "1",
        "ISO",
        _ISO,
        (_PLANNED_PARTS,),
    ),
    MetricDefinition(
        "M-12-all",
        Text("合格品率（按件，全部计数的设备）", "quality by the piece (all machines that count)"),
        Text("Σ GQ / Σ PQ", "sum of GQ / sum of PQ"),
        "1",
        "ISO",
        _ISO,
        (_PLANNED_PARTS,),
    ),
    MetricDefinition(
        "M-13",
        Text("效率", "effectiveness"),
        Text(
            "PRU · PQ / APT",
            "PRU · PQ / APT: planned time per unit × produced / actual production time",
        ),
        "1",
        "ISO",
        _ISO,
        (
            _PLANNED_PARTS,
            Text("可能超过 100 %，标记但不截断。", "May be above 100 %: flagged, not clipped."),
        ),
    ),
    MetricDefinition(
        "M-14",
        Text("设备综合效率 OEE", "overall equipment effectiveness"),
        Text(
            "M-11 · M-13 · M-12(≡ PRU · GQ / PBT)",
            "M-11 · M-13 · M-12 (identical to PRU · GQ / PBT)",
        ),
        "1",
        "ISO",
        _ISO,
        (_PLANNED_PARTS,),
    ),
    MetricDefinition(
        "M-15",
        Text("净设备效率 NEE", "net equipment effectiveness"),
        Text("AUPT / PBT · M-13 · M-12", "AUPT / PBT · M-13 · M-12 (set-up is no loss)"),
        "1",
        "ISO",
        _ISO,
        (_PLANNED_PARTS,),
    ),
    MetricDefinition(
        "M-16-allocation",
        Text("分配效率", "allocation efficiency"),
        Text("AUBT / PBT,AUBT = PBT − ADOT", "AUBT / PBT, AUBT = PBT - ADOT"),
        "1",
        "ISO",
        _ISO,
    ),
    MetricDefinition(
        "M-16-utilisation",
        Text("利用效率", "utilisation efficiency"),
        Text("APT / AUBT", "APT / AUBT"),
        "1",
        "ISO",
        _ISO,
    ),
    MetricDefinition(
        "M-16-technical",
        Text("技术效率", "technical efficiency"),
        Text("APT / (APT + ADET)", "APT / (APT + ADET)"),
        "1",
        "ISO",
        _ISO,
    ),
    MetricDefinition(
        "M-16-setup",
        Text("准备比率", "set-up ratio"),
        Text("ASUT / AUPT", "ASUT / AUPT"),
        "1",
        "ISO",
        _ISO,
    ),
    MetricDefinition(
        "M-17-mtbf",
        Text("平均故障间隔 MTBF", "mean time between failures"),
        Text("Σ 运行时间（AUPT） / 故障次数", "operating time (AUPT) / failures"),
        "s",
        "ISO",
        _ISO,
        (
            Text(
                "故障 = 有任务时进入 OutOfService 且不少于 30 s；通信中断不是故障。",
                "A failure is an OutOfService spell with an order of at least 30 s; lost "
                "communication is none.",
            ),
        ),
    ),
    MetricDefinition(
        "M-17-mttr",
        Text("平均修复时间 MTTR", "mean time to repair"),
        Text(
            "Σ（故障时间 + 修复性维护时间） / 故障次数",
            "(failure time + corrective maintenance) / failures",
        ),
        "s",
        "ISO",
        _ISO,
    ),
    MetricDefinition(
        "M-17-corrective",
        Text("修复性维护占比", "corrective maintenance ratio"),
        Text("CMT / (CMT + PMT)", "CMT / (CMT + PMT)"),
        "1",
        "ISO",
        _ISO,
    ),
    MetricDefinition(
        "M-18",
        Text("单位产品能耗", "energy per good part"),
        Text("ΔkWh / GQ", "kWh / good parts"),
        "kWh",
        "ISO",
        f"{_ISO} (comprehensive energy consumption)",
        (
            Text(
                "电量与合格品都按整个窗口计，含加班与计划停机。",
                "Energy and good parts are both of the whole window, overtime and planned stops "
                "included.",
            ),
        ),
    ),
    MetricDefinition(
        "M-19",
        Text("综合能耗", "energy in standard coal"),
        Text("kWh × 系数 (kgce/kWh) / 1000", "kWh × coefficient (kgce/kWh) / 1000"),
        "tce",
        "M",
        f"{_POLICY}; GB/T 2589",
        (
            Text(
                "折标系数默认取当量值 0.1229 kgce/kWh，可配置；未见官方文本原文。",
                "The default coefficient is the equivalent value 0.1229 kgce/kWh; the official "
                "text "
                "was not seen.",
            ),
        ),
    ),
    MetricDefinition(
        "M-20",
        Text("待机能耗占比", "idle energy share"),
        Text("NotExecuting 期间 kWh / 总 kWh", "kWh while NotExecuting / kWh"),
        "1",
        "P",
        "本产品 / this product",
        (Text("计数步内按时间均摊。", "A counter step is spread evenly over its time."),),
    ),
    MetricDefinition(
        "M-21-p50",
        Text("采集时延 p50", "acquisition lateness p50"),
        Text(
            "入库时间 − 源时间 的中位数（最近秩）",
            "store time - source time, median (nearest rank)",
        ),
        "s",
        "P",
        "本产品 / this product",
    ),
    MetricDefinition(
        "M-21-p95",
        Text("采集时延 p95", "acquisition lateness p95"),
        Text(
            "入库时间 − 源时间 的 95 百分位（最近秩）",
            "store time - source time, 95th percentile (nearest rank)",
        ),
        "s",
        "P",
        "本产品 / this product",
    ),
)

BY_ID: Final = {definition.id: definition for definition in DEFINITIONS}
