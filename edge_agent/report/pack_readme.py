# ruff: noqa: E501 - rows of a Markdown table cannot be broken
"""What a pack says of itself: enough for a stranger to compute every headline figure without this software."""

from __future__ import annotations

_README = """\
# 证据包 / Evidence pack: {project}

本文件夹含一个智能化改造项目的台账摘录、全部数值及其所依据的事实。任何人都可以只凭这些文件重新计算每个数值。
This folder holds the register, every figure, and the facts the figures rest on. Anyone can compute each figure again
from these files alone.

用软件核验 / verify with the software: `edge-agent verify PACK` (0 = 全部一致 all equal, 1 = 有差异 something differs).

## 1 文件 / Files

所有 CSV 为 UTF-8(带 BOM),第一行为列名;时间为 Unix 纳秒(UTC);数字为十进制,请按精确分数读取。
Every CSV is UTF-8 with BOM and has a header; times are Unix nanoseconds (UTC); numbers are decimal digits to be read as
exact fractions (a ratio may be written `a/b`).

| 文件 / file | 内容 / content |
|---|---|
| `manifest.json` | 每个文件的 sha256;`previous.manifest_sha256` 是上一个包的 manifest.json 的 sha256(链) / the sha256 of each file; `previous.manifest_sha256` is that of the previous pack's manifest.json (the chain) |
| `figures.json` | 全部数值(主张) / every figure (the claims): `key`, `value_exact` (a/b), `numerator`, `denominator`, `numerator_ids`, `denominator_ids` |
| `options.json` | 窗口 `start_ns` `end_ns`,选项 `robot_is_nc` `kgce_per_kwh` / window and options |
| `register.csv`, `processes.csv` | 设备台账、工序表 / equipment register, processes (Y/N) |
| `facts/devices.csv` | 已配置的采集设备 / configured devices |
| `facts/first_good.csv` | 每个设备的首次有效数据 / first good reading of all time |
| `facts/health_minutes.csv` | 每分钟健康:`end_ns` 结束的那一分钟 / health of the minute that ends at `end_ns`, 30 days back from the end at least |
| `facts/states.csv` | 状态变化:自 `t_ns` 起 / states: from `t_ns` on; `item_state` 0 未知 not known, 1 OutOfService, 2 NotExecuting, 3 Executing; `operation_mode` 0 None, 1 Maintenance, 2 Setup, 3 Processing; `order` Y/N 是否有任务 whether there was an order (空 empty: 计划时间都视为有任务 all planned time counts as ordered). 从窗口前一天开始 begins a day before the window |
| `facts/counters.csv` | 计数器变化时的读数(每分钟首末两次;一小时内变化超过 120 次的,为每刻钟首末两次、每次下降的两侧、电能另加状态变化处);读数 × `ratio` = 件或 kWh / counter readings at their changes (the first and the last of a minute; of an hour with more than 120 those of each quarter, both sides of every fall and, of energy, those beside a change of state); reading x `ratio` = pieces or kWh; `modulus` 回零点 where it rolls over (empty: not known to); `role`: produced, good, scrap, energy, integrated_power |
| `facts/plan.csv` | 班次日历展开:自 `t_ns` 起 shift / stop / maintenance / off;空 = 全部为计划时间 / the calendar, resolved; empty = all time is planned |
| `facts/lateness.csv` | 时延(毫秒)→ 消息数 / lateness in ms -> messages |
| `facts/tags.csv`, `quality.csv`, `connections.csv`, `gaps.csv` | 接口表、质量、连接变化、丢弃 / interface table, quality, changes of connection, dropped values |
| `project.csv`, `project_totals.csv`, `domestic.csv`, `connections.csv`, `interfaces.csv`, `acceptance.csv`, `topology.svg` | 供评审阅读,由台账与事实得出,`verify` 逐字节重算;形似公式的文字前加 ' / for people, with ' before what a spreadsheet would take for a formula; they follow from register and facts, `verify` makes them again byte by byte |
| `evidence.*`, `report.*` | 证据文档(9 部分)与同窗口的数字体检报告(12 部分);其 JSON 中的数值与 `figures.json` 一致 / the evidence document (9 parts) and the health check of the same window (12 parts); the figures in their JSON are those of `figures.json` |
| `snapshots.csv`, `integrator.md` | 各日期已存结果(不能由本包重算);集成商声明(待填) / results stored at dates, which this pack cannot replay; the integrator's statement, to be filled in |

## 2 规则 / Rules

生产设备 = `register.csv` 中 `in_scope = Y` 且 `status = in_use` 的行。 **Production equipment** = rows with
`in_scope = Y` and `status = in_use`.

- **M-03** = `digital = Y` 的生产设备 / 生产设备。 production equipment with `digital = Y` / production equipment.
- **M-01-prorata** = 对 `processes.csv` 中 `is_key = Y` 的每个工序求 数控设备数 / 设备数(没有设备计 0),再求平均。
  The mean over processes with `is_key = Y` of NC machines / machines (0 without machines). NC, discrete process:
  `control_class` is `cnc`, or `robot` if `robot_is_nc`; process industry: `plc`, `dcs`, `pcs`.
  **M-01-strict** / **M-01-any** 计份额为 1 / 大于 0 的工序。 count the processes whose share is 1 / above 0.
- **计划时间 scheduled time**(设备): 该设备唯一在用机器的 `schedule_id` 在 `facts/plan.csv` 中为 shift 的时间;没有日历、没有这样的
  机器,或自 L(见下条)以来没有任何 shift 时,为全部时间。一分钟按其中点(end_ns − 30 s)归属。
  The time that `facts/plan.csv` calls shift for the `schedule_id` of the one machine in use that the device is linked to;
  all time without a calendar, without such a machine, or without any shift since L (see below). A minute belongs where its
  middle (end_ns - 30 s) lies.
- **覆盖率 coverage**(设备): 设 L = max(`first_good`, 窗口结束 − 30 天);计划时间内各分钟 Σ `covered_s`(end_ns > 窗口结束 − 30 天) /
  (L 至窗口结束的计划时间),最大为 1。 Let L = max(first_good, end - 30 days); the sum of `covered_s` of scheduled minutes
  with end_ns > end - 30 days, over the scheduled time from L to the end, at most 1.
- **M-04a-effective** = 满足全部条件的生产设备 / 生产设备:`networked_declared = Y`;`gateway_device` 恰为一个已配置设备,且
  没有其他在用机器使用它;首末数据存在且最大 `last_good_ns` 距结束不超过 7 天;覆盖率 ≥ 9/10。
  Production equipment that is declared, linked to exactly one configured device which no other machine in use has, whose
  newest `last_good_ns` (of the last 30 days) is at most 7 days before the end, and whose coverage is at least 9/10.
- **M-05** = Σ 有效读数 / Σ 应有读数(生产设备所对应的设备,每个计一次) good / expected readings, over the devices that
  production equipment is linked to, each once; expected = max(r, round(r x elapsed / Σ scheduled_s)), r = good +
  bad of the window's scheduled minutes, elapsed = the scheduled time from max(first_good, start) to the end.
- **时间 Time**: 把窗口按状态与日历切开,依次取第一条符合的规则 / cut the window at every change of state and calendar; the first
  rule that fits: 日历 off → overtime (Executing) / off; stop, maintenance → planned_down; item 0 → ADET, unknown; mode
  Maintenance → ADET; mode Setup → ASUT; Executing → APT; 其余 else → ADET. 无任务(`order` = N)时,item 0 与其余归 ADOT
  without an order item 0 and the rest are ADOT. PBT = APT + ASUT + ADET + ADOT.
- **计数 Counting**: 相邻读数之差之和。下降时:若有 `modulus` 且 0 < 差 + modulus ≤ modulus // 16,计入差 + modulus(回零);否则
  件数计数器若新值 ≥ 0 且 ≤ 旧值的一半,计入新值(清零重计);否则计 0。跨窗口边界的一步按时间分摊。
  The sum of differences. At a fall: with a `modulus` and 0 < difference + modulus <= modulus // 16 that sum counts (a
  rollover); else a part counter counts the new reading if it is at least 0 and at most half the old one (a restart); else
  nothing. A step across the window's edge is shared by time.
- **PQ** = produced;**GQ** = good,没有时为 produced − scrap。 GQ = good, else produced - scrap.
- **M-11@机器** = APT / PBT;**M-12** = GQ / PQ;**M-13** = PRU·PQ / APT;**M-14** = PRU·GQ / PBT
  (PRU = `nominal_cycle_s`)。窗口内状态全部未知时为空 null when no state of the window was known。产线、车间、厂区 `@line:` `@workshop:` = 分子之和 / 分母之和,只含两者齐全的机器
  (`numerator_ids`)。 A line's is the sum of numerators / the sum of denominators over the machines that have both.
- **M-18** = kWh / GQ;**M-19** = kWh × `kgce_per_kwh` / 1000。机器:自身电能计数器,否则独用电表(`meter_id`),否则功率积分;
  产线:`category = meter` 的电表(不计单台独用的),没有时为各机器之和(`details.measured_by`);产线的 GQ 取其唯一的
  `category = inspection` 机器(`details.good_parts_of`)。 A machine: its own energy counter, else a meter that only it
  has, else integrated power. A line: its meters (`category = meter`, those of one machine alone left out), else its
  machines; its GQ is that of its one `category = inspection` machine.
- **M-20** = item_state 为 2 时的 kWh / kWh。 kWh while NotExecuting / kWh. 切开的计数步有四种以上时长时,这些步的分摊
  取到 1e-12。 Where the spans cut counting steps of more than four different lengths, their shares are told to 1e-12.
- 没有值的数值为 null,并有 `reason`。 A figure without a value is null and has a `reason`.
"""

_INTEGRATOR = """\
# 集成商声明 / Statement of the system integrator — {project}

(由集成商填写并盖章。 To be completed and stamped by the integrator.)

- 集成商 / integrator: ____________________
- 合同号 / contract: ____________________
- 集成服务金额(元) / integration service (yuan): ____________________
- 占项目设备和技术投入总额的比例(政策上限 8 %,指示) / share of the project's equipment and technology investment (policy
  limit 8 %, an indication): ____________________
- 签字、日期 / signature, date: ____________________
"""


def readme(project: str) -> str:
    """The README of a pack."""
    return _README.format(project=_plain(project))


def integrator_statement(project: str) -> str:
    """The form for the integrator."""
    return _INTEGRATOR.format(project=_plain(project))


def _plain(project: str) -> str:
    """A project's id as one harmless line of Markdown."""
    return "".join(letter if letter.isalnum() or letter in "-_. " else "?" for letter in project)
