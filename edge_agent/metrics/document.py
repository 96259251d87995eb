"""The definitions as a page for people: `python -m edge_agent.metrics.document >
docs/metrics.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from edge_agent.metrics.bands import BANDS, NAME
from edge_agent.metrics.definitions import DEFINITIONS, MetricDefinition
from edge_agent.register.columns import EQUIPMENT, PROCESSES, RegisterColumn
from edge_agent.register.count_files import EVENTS, METERS
from edge_agent.register.kinds import published

_BASIS: Final = {
    "F": "F 公开文本 / read in public text",
    "M": "**M 假设：通行说法，未见官方原文 / assumption: commonly stated, no official text found**",
    "P": "P 本产品提出 / proposed by this product",
    "ISO": "ISO 22400-2",
}

_INTRO: Final = """# 指标定义 / Metric definitions

> 本页由 `python -m edge_agent.metrics.document` 从定义表生成，测试保证它与程序一致。
> Generated from the definition table; a test keeps it equal to the program.

## 共同规则 / Common rules

- 分母只来自设备台账：`纳入统计 = 是` 且窗口终点在役，融资租赁设备计入；未计入的行按原因、台数、金额列在报告第 1 部分。
  Denominators come only from the register: in scope and in service at the window's end, leased machines included; the
  rows that are in none are listed in part 1 of a report, by reason, number and value.
- 用精确分数计算；百分比仅在显示时四舍五入到两位小数；目标与分档按精确分数判断，「超过 50 %」严格大于。
  Computed as exact fractions; percent is rounded half up to two decimals for display only; targets and bands are judged
  by the exact fraction, "above 50 %" is strict.
- 除数为零或数据缺失时为空值并注明原因，绝不显示 0 或 100 %。
  A zero divisor or missing data gives null with its reason, never 0 or 100 %.
- 窗口内没有任何采集设备的健康记录时，由数据得出的比率（M-04 有效联网、M-04d、M-05、M-06、M-07）为空值；
  采集程序尝试过而设备没有应答，才是 0。
  While no device has a health row of the window, the rates that data show (M-04 effective, M-04d, M-05, M-06, M-07) are
  null; they are 0 only where an agent tried and no device answered.
- 每个结果带有：分子、分母及其编号，时间窗口，证据等级，台账版本（sha256），计算时间，定义编号，假设。
  Every result carries numerator and denominator with their ids, window, grade, register version, time, definition and
  assumptions.
- 关键工序由企业认定并经审核，从不推断。 Which processes are key is the enterprise's reviewed statement.

## 台账的有效期 / Validity of the register

- `启用日期` 当日起计入，`停用日期` 当日起不再计入（工厂时区的零点）；`状态` 不是在用时，说的是 `停用日期` 以后，没有该日期则为一直。
  M-01 至 M-10 按窗口终点在役的设备；时间、产量、电量按设备在役的那一段，因此窗口怎样分割都加得起来。
  `commissioned` is the first day on which a machine counts and `retired_on` the first on which it does not (midnight of the
  plant's zone); a `status` other than in use speaks of the time from `retired_on` on, or without that date of all time.
  M-01 to M-10 are of the machines in service at the window's end; times, parts and energy of each machine's time in
  service, so that windows add up however they are split.
- 台账的每个版本连同生效日期留存在数据库中（不受保留期限制），首次使用之日即生效。已结束的窗口（已结束的月份、以日期给出的
  窗口、服务重算的班次）按其结束时有效的版本计算；今天把一台设备改为报废，不改变十月。`register versions` 列出，
  `register keep --valid-from` 注明更正自何日起有效，`register export` 导出。
  Every version of the register is kept in the store with the day from which it is valid, the one on which it was first
  used; retention does not touch it. A window that is over (a closed month, a window given by dates, a shift the service
  computes again) is computed with the version valid at its end: a machine set to scrapped today changes no October.
  `register versions` lists them, `register keep --valid-from` says from when a correction is valid, `register export`
  writes one out.
- 一台机器可服务多道工序（`P10;P11`），每道工序都计一次；M-02 每台只计一次，在其全部关键工序中都为数控才算。
  A machine may serve several processes (`P10;P11`), each of which counts it; M-02 counts it once, as NC if it is so in
  all of its key processes.
- 一台机器可有多个采集设备（`d1;d2`，也可写 `代理:设备`），第一个是主设备：状态、件数、OEE 取自它，是否联网也只看它；
  其余的列出，并计入 M-04d、M-05。主设备不能同时属于在役的另一台机器，其余的可以共用。
  A machine may have several devices (`d1;d2`, also `agent:device`), the first of which is the primary one: states, counts
  and OEE come from it, and it alone decides whether the machine is networked. The others are listed, and count in M-04d
  and M-05. No other machine in service may have the same primary device; the others may be shared.
- 数控按 `数控类型` 判断；离散工序中另有经审核的设备种类表（下文）：`是否机器人 = 是` 或填写了 `设备种类` 的设备，由 PLC 等控制也
  计为数控，报告逐台写明理由与来源。不按名称推断；数控类型为手动或无的不计。
  NC is what `control_class` says; in discrete processes a reviewed table of kinds (below) says so too: a machine with
  `is_robot = Y` or a `machine_kind` counts although a PLC controls it, and reports print reason and source of each. Nothing
  is inferred from a name, and no kind makes a manual machine NC.

## 证据等级 / Evidence grades

| 等级 grade | 含义 | Meaning |
|---|---|---|
| E0 | 仅申报 | declared only |
| E1 | 窗口内建立过会话或连接 | a session or connection was established |
| E2 | 7 天内有有效数据，且规定的计划工时内有数值变化 | good data within 7 days, and a value that changed within the planned hours asked for |
| E3 | 控制器级语义（执行状态、模式、程序或计数） | controller-level semantics: execution, mode, program or part count |

由电流、指示灯或触点推导出的状态（设备的 `state_basis: derived`）不是控制器级语义，最高为 E2。
A state concluded from currents, lamps or contacts (`state_basis: derived` at the device) is none of the controller's
semantics, and E2 at most.

结果的等级是分子中最弱的一台。 A result has the grade of the weakest machine in its numerator.

## 有效联网 / Effectively networked

已申报 **且** 主采集设备已配置 **且** 末次有效数据不早于窗口结束前 7 天 **且** 有变化 **且** 自
max（首次连接，结束 − 30 天）以来计划工作时间的覆盖率 ≥ 90 %。夜间停机不等于未联网。接入不足 30 天时结果标记为暂定。
一个采集设备只能证明一台机器；在线但未申报的机器列出但不计入。没有健康记录的秒计为未覆盖。

**有变化**：在 `register.change_within`（默认 8 h）的计划工时内，该设备自身的任一数据点变过（心跳、控制器时钟即可；由其他点导出的
machine_state、operation_mode 不算）。接入后的第一个计划工时内尚无变化的不判定。一直不变的可能是网关在重复缓存：等级至多 E1，并写明原因。健康记录称有有效读数而存储中没有
该设备任何数值的，是一条发现，不作证据。

Declared, **and** linked to a configured primary device, **and** last good value at most 7 days before the window's end,
**and** alive, **and** coverage of at least 90 % of planned working time since max(first connection, end - 30 days): a
machine that is switched off at night is networked. Under 30 days of history the result is provisional. A device is
evidence for one machine only; a machine that is live and not declared is listed, not counted.
Seconds without a health row are uncovered.

**Alive**: within `register.change_within` (8 h if none is stated) of planned working time any tag of the device's own
changed: a heartbeat or the controller's clock will do, machine_state and operation_mode, which are derived from other
tags, will not. In its first planned hour a device may have shown none yet. What never changes may be a gateway that repeats its cache: E1 at the most, with the reason. Health rows
that speak of good readings of which the store has none are a finding, and no evidence.

开始不久的联网率什么也说明不了：在已申报的机器都不足 8 个计划工时（或 30 天，以先到者为准）之前，屏幕和报告写的是
「现在在线 n/m；计划工时满 8 小时后评定」，不写百分数，也不叫人去查正常的机器；节假日首次接入的，从第一个班次算起。
JSON 中数值照旧，另有 `now_online: [n, m]`（窗口结束时在线的、全部的已申报机器）和 `effective_after`
（还缺什么；有意义后为 null）。老厂里新接入的机器单独列为「尚未评定」。

A networking rate says nothing at first: until a declared machine has 8 planned hours (or 30 days, whichever is first),
screens and reports say "now online n/m; effective after 8 planned hours", print no percentage and send nobody to a
healthy machine; a first connection on a holiday counts from the first shift on. The JSON keeps its value, and has
`now_online: [n, m]` (of the declared machines those that deliver at the window's end, and all) and `effective_after`
(what it waits for; null once it means something). A machine that is new in an older plant is listed as not judged yet.

## 覆盖率 / Coverage

计划秒数中「到期的轮询得到应答（或订阅存活）且至少一个映射点为有效」的秒数 / 计划秒数，取自 `device_health`。
计划秒数 = 设备所属机器班次内、除去计划停机的时间；没有日历、没有对应机器，或接入以来没有任何班次时，为全部时间。
M-04d 与 M-05 的计划时间与此相同。
Scheduled seconds in which a due poll was answered (or a subscription was alive) and at least one mapped tag was good,
divided by scheduled seconds; from `device_health`, before any deadband. Scheduled are the shifts of the device's
machine without their planned stops; all time without a calendar, without a machine, or without any shift since it was
connected. M-04d and M-05 go by the same time.
"""

_TIME: Final = """
## 时间模型 / Time model

自上而下第一条适用者；POT 的每一秒恰好落入一个桶。依据 OPC 40001-1 附录 C（使用任务状态）与 ISO 22400-2。
The first row that fits; every second of POT falls into exactly one bucket. After OPC 40001-1 Annex C and ISO 22400-2.

| # | 条件 / Condition | 桶 / Bucket |
|---|---|---|
| 1 | 班次之外 / outside the shifts | overtime（执行中 / if Executing）, off |
| 2 | 计划停机 / planned stop | planned_down（属 POT，不属 PBT） |
| 3 | 无有效状态 / no good state | 有任务 ADET / with an order，否则 ADOT / without; UNKNOWN |
| 4 | Maintenance，非计划 / not planned | ADET（故障后为修复性 / corrective after a failure） |
| 5 | Setup | ASUT |
| 6 | Executing | APT |
| 7 | OutOfService，有任务 / with an order | ADET，故障（去抖 30 s）/ failure, debounced |
| 8 | NotExecuting，有任务 / with an order | ADET |
| 9 | 无任务 / without an order | ADOT |

PBT = APT + ASUT + ADET + ADOT;AUPT = APT + ASUT;AUBT = PBT − ADOT。
无有效状态的时间（UNKNOWN）与数据覆盖率总是一并给出。
`order_source: calendar` 时所有计划时间视为有任务：ADOT 及依赖它的指标为空值并注明原因。
The UNKNOWN time and the data coverage always stand beside the figures. With `order_source: calendar` every scheduled
second counts as ordered: ADOT and what rests on it are null, with that reason.
"""

_PRODUCTION: Final = """
## M-11 至 M-21 如何得出 / How M-11 to M-21 come about

- 窗口：班次（多数设备所用班次表）与自然日；`serve` 定时计算。运行中的窗口反复计算并发布；
  窗口结束 2 分钟后计算最后一次并存入数据库。
  Windows: shifts (of the schedule most machines follow) and calendar days, computed by `serve`. A window that runs is
  computed again and again and published; two minutes after its end it is computed and kept.
- 编号与主题 / ids and topics: `M-14/shift/ML1`, `M-14/day/site` → `{prefix}/{enterprise}/{site}/metrics/M-14/shift/ML1`
  (retained；主题不允许的字符写成 %23 之类 / what no topic can have is written like %23: `1#线` → `1%23线`).
  `complete`: 窗口已结束 / the window is over; `revision` 0, 1, …：迟到数据更正了该窗口 / late data corrected it.
- 状态保持：状态在健康记录证明数据有效的时段内保持（订阅只发送变化）；其余时间为 UNKNOWN。
  故障按窗口开始前 24 小时起判定，
  跨窗口的故障属于其开始的窗口。
  A state holds as long as the device's health rows show that its values were current (a subscription sends changes
  only); all other time is UNKNOWN. Failures are told from 24 hours before the window on: one that goes on across its
  start began in an earlier window.
- 没有一秒已知状态的窗口：M-11、M-13 至 M-17 为空值，不是 0。 Without one second of known state M-11 and M-13 to M-17
  are null, not 0.
- `order_source: tag`：任务信号取自 `order_active`、`order`、`order_id`、`order_number`、`work_order` 之一
 （数值或布尔，0 = 无任务）。
  With `order_source: tag` one of these tags is the order signal (a number or a flag, 0 = none).
- 产线与全厂：分子之和 / 分母之和（NEE 以 PBT 加权）；缺值的设备列在 `left_out` 并注明原因。
  Lines and the site: sum of numerators over sum of denominators (NEE weighted with PBT); machines without a value are
  listed under `left_out` with their reason.
- 一行相乘：M-14 = M-11 × M-13 × M-12 在每一级都精确成立：四项只含四项齐全的设备，汇总的质量率按标准节拍加权
  （Σ PRU·GQ / Σ PRU·PQ）。全部设备的时间利用率与按件合格品率另列为 M-11-all、M-12-all。没有设备算得出 OEE 时，各项只含
  各自齐全的设备。有产量而 APT 为 0 的设备没有 OEE。
  The row multiplies: M-14 = M-11 x M-13 x M-12 holds exactly at every level. All four are of the machines that have all
  four, and the quality of a scope is weighted with the nominal cycle (sum of PRU x GQ / sum of PRU x PQ). The availability
  of all machines, and quality by the piece, stand apart as M-11-all and M-12-all. Where no machine has an OEE each factor
  is of the machines that know it. A machine with parts and no APT has no OEE.
- 设备电量：自身电能计数，否则专用电表（`meter_id` 仅一台使用），否则功率点积分（读数保持到下一读数）；都没有则为空值。
  A machine's energy: its own counter, else a meter of its own (`meter_id` used by no other), else its power tag
  integrated (a reading holds until the next); else null.
- 产线电量：该线电表；没有时为各设备之和。电表在窗口中途才启用、首次读到或退役的，没有电表的时段按各设备之和计入，暂定并
  注明时段，因此前后两个窗口相加仍等于整个窗口。
  互感器变比在数据点的 `scale` 中乘一次；电表计数与功率积分相差超过 10 % 时提示。
  A line's energy: its meters, else the sum of its machines. Where a meter is commissioned, first read or retired inside
  a window, the machines stand in for the time without any meter: provisional, with the time in a note, so the windows
  before and after still add up. CT/PT ratios enter once, in the tag's `scale`; counter and
  integrated power that differ by more than 10 % are pointed out.
- M-18 产线：合格品数取该线唯一检测设备（假设）。
  M-18 of a line: the good parts of its one inspection machine (assumed).
- M-21：窗口最后一小时，每台设备一个数据点。 M-21: the window's last hour, one tag per device.
- 一次故障（含其后的修复性维护）整体属于它开始时所在的窗口：23:00 到次日 01:00 的故障，MTTR 2 小时，属于第一天；窗口
  结束时尚未结束的故障，MTTR 为暂定。 A failure, with the corrective maintenance that follows it, belongs whole to
  the window in which it began: one from 23:00 to 01:00 is two hours of MTTR of the first day. While it is not over,
  MTTR is provisional.

## 计数器：可能的读数、分段、跨窗口相加 / Counters: possible readings, epochs, sums

- 相加：两个读数之间按时间均摊；窗口前后各取最近的读数，不论相隔多久，因此任何切分都精确相加。窗口末尾之后的读数还没
  有来时，数值为暂定并注明「自何时起」；读数到来后重新出具即补全。 Sums: between two readings a count is shared by
  time; the nearest readings on both sides of a window count, however far away they are, so any split adds up
  exactly. While the reading after a window has not come, figures are provisional and say since when; a re-issue
  completes them. 整个窗口没有读数的电表：电量未知，也不由其他来源代替，并注明「自何时起」。 A meter without a
  reading in the whole window: its energy is not known, nothing stands in for it, and it is said since when.
- 可能的读数：`range` 之外的读数；上跳后又回到原处的（glitch）、跌落后又恢复的（假零）；以及超过上限并保持的一步（
  jump），都不计入。上限：件数 = 10 × 时间 / `nominal_cycle_s`，电量 = 10 × `rated_power_kw` × 时间（各另加 5 分钟的
  量），数据点的 `max_rate` （另加 1 分钟的量），取最严的；都没有时，由该计数器自己的过去学得：至少 3 天、1000 步，
  20 ×（99.9 % 的步不超过的值），每小时按最忙一小时的步数累加，未计入的步不参与学习（仅内置存储）。 Possible
  readings: one outside `range`; one that goes up and comes back (a glitch), or falls and comes back (a false zero);
  and a step beyond the limit that stays (a jump) count nothing. The limit: parts = 10 x time / `nominal_cycle_s`,
  energy = 10 x `rated_power_kw` x time (both and five minutes' worth more), the tag's `max_rate` (and a minute's
  worth more), the strictest of them; without any, what the counter's own past teaches: from at least 1 000 steps on
  3 days, 20 x the step that 99.9 % stay below, for each hour of silence as many as its busiest hour had, never from
  what was set aside (the embedded store only).
- 跌落后保持低位的，仍是回零（模数由连接器给出）、清零重计或更换。 What falls and stays low has rolled over (the
  modulus is the connector's), was restarted, or replaced.
- 未计入的读数是「事件」：时间、读数、数量列在报告第 7 部分和证据包；相关数值为暂定，直到在 `register.events` 文件中
  判定。 What is set aside is an event, with time, reading and amount in part 7 of the report and in the pack; the
  figures that rest on it are provisional until the file of `register.events` decides.
- 首个读数远低于其后各读数的（设备读出存储前显示 0），不作为计数的起点；断电时先跳高、再回到存储值或 0 的，跳高部分
  不计入。同一采集设备先后属于几台机器时，上限取其中最快的。 A first reading far below all that follow (devices show
  zero until they have read their memory) is no count to begin at; of a counter that shows nonsense when power fails,
  and then what it had kept or zero, the nonsense counts nothing. Where a device belonged to several machines one
  after the other, the limit is that of the fastest.
- 分段：数据点的比例、类型或地址改变，设备被替换（`was`），登记的换表，都开始新的一段，段与段之间不计；例外有二：只
  改比例时，前一读数按新比例换算后照计；换表写明旧表末次与新表首次读数时，两边各计到换表时刻。 Epochs: a changed
  scaling, kind or address, a replaced device (`was`) and a written-down meter exchange begin a new one, and nothing
  is counted across, with two exceptions: where only the scaling changed, the reading before is restated in the new
  one; where an exchange names the last reading of the old meter and the first of the new one, each counts up to its
  moment. 两个读数都写明时，登记时间可有 6 小时以内的误差：以读数显示的时刻为准。 With both readings the time written
  down may be up to six hours off: the readings show the moment.
- 单位：单位改变时，改变前后的读数各按当时的单位计，再换算为现在的单位（Wh、kWh、MWh；W、kW、MW；件、千件、万件）。单位与比例
  同时改变而换算后不变的，计数连续；换算后也变了的，第一个读数延续原始值还是换算值，以差值小者为准，都低于它们则跨越处不
  计。单位未知或不相容（kWh 改为 m3）的，相关数值为空值并注明原因，不相加。 Units: where the unit changes, each part is
  counted in its own one and converted into the present one (Wh, kWh, MWh; W, kW, MW; pieces, thousands, ten thousands).
  Where unit and scaling change together and mean the same, the count goes on; where they do not, the first reading
  continues the raw number or the converted one, whichever is the smaller step, and below both nothing is counted
  across. With a unit that is unknown or of another quantity (kWh to m3) the figures are null with the reason, never a
  sum. 以前没有写单位、比例也未变的，视为补写；比例同时改变的，以前的单位未知。 A unit that was missing before counts as
  written down later if the scaling is the same; if that changed too, the former unit is unknown.
- 数值超出可能范围（如效率、OEE 超过 100 %）时，同一行注明。 A figure outside its possible range (effectiveness or
  OEE above 100 %) says so in its own row.
"""


def render() -> str:
    """The whole page."""
    return "\n".join([*_lines()]).rstrip() + "\n"


def _lines() -> Iterator[str]:
    yield _INTRO
    yield "## 定义 / Definitions\n"
    for definition in DEFINITIONS:
        yield from _definition(definition)
    yield from _bands()
    yield _TIME
    yield _PRODUCTION
    yield "## 设备台账的列 / Columns of the register\n"
    yield from _columns(EQUIPMENT)
    yield "\n## 工序表的列 / Columns of the process list\n"
    yield from _columns(PROCESSES)
    yield "\n## 设备种类 / Kinds of machines\n"
    yield "| 种类 | Kind | 计为数控 / NC | 理由 | Reason | 来源 / source |"
    yield "|---|---|---|---|---|---|"
    for kind in published().values():
        counts = "是 yes" if kind.nc else ""
        yield (
            f"| {kind.zh} | `{kind.kind}` | {counts} | {kind.reason_zh} | {kind.reason_en} | "
            f"{kind.source} |"
        )
    yield "\n## 换表文件的列 / Columns of `register.meters`\n"
    yield "时间为工厂当地时间，读数用数据点的单位；变量留空即该设备的电能计数。"
    yield (
        "Times by the plant's clock, readings in the unit of the tag; without a tag the device's "
        "energy counter.\n"
    )
    yield from _columns(METERS)
    yield "\n## 事件判定文件的列 / Columns of `register.events`\n"
    yield "时间写到分、秒或更细，判定其间的全部读数。"
    yield "A time to the minute, the second or finer decides all readings in it.\n"
    yield from _columns(EVENTS)


def _definition(definition: MetricDefinition) -> Iterator[str]:
    unit = "比率 ratio" if definition.unit == "1" else definition.unit
    yield f"### {definition.id} {definition.name.zh} / {definition.name.en}\n"
    yield f"- 公式：{definition.formula.zh}"
    yield f"- Formula: {definition.formula.en}"
    yield (
        f"- 单位 / unit: {unit} · 依据 / basis: {_BASIS[definition.basis]} · 来源 / source: "
        f"{definition.source}"
    )
    for assumption in definition.assumptions:
        yield f"- 说明：{assumption.zh}"
        yield f"  {assumption.en}"
    if definition.target:
        yield (
            f"- 目标 / target (> {float(definition.target.above) * 100:g} %): "
            f"{' / '.join(definition.target.text)}"
        )
    yield ""


def _bands() -> Iterator[str]:
    yield f"## 评分 {NAME} / The scoring {NAME}\n"
    yield (
        "单独的评分，适用于 M-03 与 M-04a，右闭区间。 A scoring of its own for M-03 and M-04a, "
        "right-closed bands.\n"
    )
    yield "| 不超过 / up to | 分 / points |"
    yield "|---|---|"
    for upper, points in BANDS:
        yield f"| {int(upper * 100)} % | {float(points):g} |"


def _columns(columns: tuple[RegisterColumn, ...]) -> Iterator[str]:
    yield "| 列 | Column | 必填 / required | 取值 / values |"
    yield "|---|---|---|---|"
    for column in columns:
        words = " · ".join(f"{also[0]} {word}" for word, also in column.words.items())
        values = words or _VALUES.get(column.kind, "")
        yield (
            f"| {column.zh} | `{column.name}` | {'是 yes' if column.required else ''} | {values} |"
        )


_VALUES: Final = {"flag": "是/否 Y/N", "date": "2024-05-01", "decimal": "≥ 0", "positive": "> 0"}


if __name__ == "__main__":
    sys.stdout.write(render())
