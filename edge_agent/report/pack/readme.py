"""What a pack says of itself: enough for a stranger to compute every figure without this
software."""

from __future__ import annotations

_README = """\
# 证据包 / Evidence pack: {project}

本文件夹含一个智能化改造项目的台账摘录、全部数值及其所依据的事实。任何人都可以只凭这些文件重新计算每个数值。
This folder holds the register, every figure, and the facts the figures rest on. Anyone can compute each figure again
from these files alone.

用软件核验 / verify with the software: `edge-agent verify PACK` (0 = 全部一致 all equal, 1 = 有差异 something differs).

## 1 文件 / Files

所有 CSV 为 UTF-8（带 BOM），第一行为列名；时间为 Unix 纳秒（UTC）；数字为十进制，请按精确分数读取。
Every CSV is UTF-8 with BOM and has a header; times are Unix nanoseconds (UTC); numbers are decimal digits to be read as
exact fractions (a ratio may be written `a/b`).

| 文件 / file | 内容 / content |
|---|---|
| `manifest.json` | 每个文件的 sha256；`previous.manifest_sha256` 是上一个包的 manifest.json 的 sha256（链） / the sha256 of each file; `previous.manifest_sha256` is that of the previous pack's manifest.json (the chain) |
| `figures.json` | 全部数值（主张） / every figure (the claims): `key`, `value_exact` (a/b), `numerator`, `denominator`, `numerator_ids`, `denominator_ids` |
| `options.json` | 窗口 `start_ns` `end_ns`，状态与日历续到 `states_until_ns`，选项 `robot_is_nc` `kgce_per_kwh`，工厂时区 `timezone` / window, until when states and calendar go on, options and the plant's zone |
| `register.csv`, `processes.csv` | 设备台账、工序表 / equipment register, processes (Y/N) |
| `kinds.csv` | 设备种类及其是否按种类计为数控、理由、来源 / kinds of machines: whether they count as NC by nature (`nc`), why, after whom |
| `facts/devices.csv` | 已配置的采集设备 / configured devices |
| `facts/first_good.csv` | 每个设备的首次有效数据 / first good reading of all time |
| `facts/health_minutes.csv` | 每分钟健康：`end_ns` 结束的那一分钟 / health of the minute that ends at `end_ns`, 30 days back from the end at least |
| `facts/states.csv` | 状态变化：自 `t_ns` 起 / states: from `t_ns` on; `item_state` 0 未知 not known, 1 OutOfService, 2 NotExecuting, 3 Executing; `operation_mode` 0 None, 1 Maintenance, 2 Setup, 3 Processing; `order` Y/N 是否有任务 whether there was an order（空 empty: 计划时间都视为有任务 all planned time counts as ordered）. 从窗口前一天开始 begins a day before the window |
| `facts/counters.csv` | 计数器变化时的读数（每分钟首末两次；一小时内变化超过 120 次的，为每刻钟首末两次、每次下降的两侧、电能另加状态变化处；订阅只在变化时送来的件数，若下次变化之前设备的值有效，则另有一行：保持到变化之前）；读数 × `ratio` = 件或 kWh / counter readings at their changes (the first and the last of a minute; of an hour with more than 120 those of each quarter, both sides of every fall and, of energy, those beside a change of state; a count of parts that a subscription sent has a row just before its next change, up to which it stood, if the device's values were current before that); reading x `ratio` = pieces or kWh; `modulus` 回零点 where it rolls over (empty: not known to); `epoch`: 计数的分段，段与段之间不计 nothing is counted from one epoch to the next; 只含计入的读数，未计入的见 `counter_events.csv` only the readings that count, those set aside stand in `counter_events.csv`; `role`: produced, good, scrap, energy, integrated_power |
| `facts/counter_events.csv` | 窗口内计数器的事件：未计入的读数（jump 跳变、glitch 跳高后回落、false_zero 假零、out_of_range 超出 range；`amount` 为未计入量，`basis` 为依据，`counted` Y 人工判为计入、N 判为不计、空为未判），分段的起点（epoch 定义变更、exchange 换表）；`unit`：单位（`basis`）未知或不相容，该计数未知；`unknown_since`：此刻之后还没有读数 / what counters did besides counting on: readings set aside (`amount`: what they would have counted; `basis`: by which bound; `counted`: Y a person had it counted, N left aside, empty undecided), where epochs begin; `unit`: its unit (`basis`) is unknown or of another quantity, and its count not known; `unknown_since`: the next reading has not come |
| `facts/plan.csv` | 班次日历展开：自 `t_ns` 起 shift / stop / maintenance / off；空 = 全部为计划时间 / the calendar, resolved; empty = all time is planned |
| `facts/lateness.csv` | 时延（毫秒）→ 消息数 / lateness in ms -> messages |
| `facts/stored.csv` | 存储中该设备自身数值的末次样本与末次变化（变化只在要求的计划工时内查找；空 = 没有；设备不在其中 = 未查）/ what is stored of a device's own values: newest sample, and newest one that differs from the one of the same tag before it (looked for in the planned time asked for; empty: none; a device that is missing was not looked at) |
| `facts/tags.csv`, `quality.csv`, `connections.csv`, `gaps.csv` | 接口表、质量、连接变化、丢弃 / interface table, quality, changes of connection, dropped values |
| `project.csv`, `project_totals.csv`, `domestic.csv`, `connections.csv`, `interfaces.csv`, `acceptance.csv`, `topology.svg` | 供评审阅读，由台账与事实得出，`verify` 逐字节重算；形似公式的文字前加 ' / for people, with ' before what a spreadsheet would take for a formula; they follow from register and facts, `verify` makes them again byte by byte. `acceptance.csv`: 每台设备每个自然日（`options.json` 的 `timezone`，截到窗口），`end_ns` 在其中（起点除外）的各分钟之和 / per device and day of the `timezone` of `options.json`, cut to the window, the sums of the minutes whose `end_ns` lies in it (its start excluded) |
| `evidence.*`, `report.*` | 证据文档（9 部分）与同窗口的数字体检报告（12 部分）；其 JSON 中的数值与 `figures.json` 一致 / the evidence document (9 parts) and the health check of the same window (12 parts); the figures in their JSON are those of `figures.json` |
| `snapshots.csv`, `integrator.md` | 各日期已存结果（不能由本包重算）；集成商声明（待填） / results stored at dates, which this pack cannot replay; the integrator's statement, to be filled in |

## 2 规则 / Rules

**在役 In service**：`register.csv` 的一行从 `commissioned` 当日零点（空：一直）起、到 `retired_on` 当日零点（空：不限）止，零点按
`options.json` 的 `timezone`；`status` 不是 in_use 而 `retired_on` 为空的行从不在役。 A row is in service from midnight (of the
`timezone`) of `commissioned` until midnight of `retired_on`, an empty one sets no limit; a row whose `status` is not in_use
and which has no `retired_on` never is. **窗口终点在役** in service at the end：commissioned 零点 < 窗口结束 ≤ retired_on 零点。 **在役段**
its span：窗口 [start, end) 中在役的部分。 **生产设备 Production equipment** = `in_scope = Y` 且窗口终点在役的行 rows with `in_scope = Y`
in service at the end. **工作设备 Working machines** = `in_scope = Y` 且在役段不为空的行 rows with `in_scope = Y` and a span.

- **机器的设备 a machine's device**：`gateway_device` 中的第一个（以 `;` 分隔），须列于 `facts/devices.csv`，且没有在役段与之重叠的其他行
 （不论 `in_scope`）以它为第一个。 The first of its `gateway_device` (joined by `;`), if `facts/devices.csv` lists it and no
  other row, in scope or not, whose span overlaps has the same first one.
- **机器的工序 its processes**：`process_id` 本身是 `processes.csv` 中的编号时即该工序；否则按 `;` `,` `、` `|` 分开，某段不是编号而按
  `/` `+` 空白再分后各部分都是编号的，取这些部分。每个工序都计入该机器一次。 The process whose id the text is; else what stands
  between `;` `,` `、` `|`, and of a piece that is no id, but all of whose parts between `/` `+` and spaces are, these parts.
  Each of them counts the machine once.
- **M-03** = `digital = Y` 的生产设备 / 生产设备。 production equipment with `digital = Y` / production equipment.
- **M-01-prorata** = 对 `processes.csv` 中 `is_key = Y` 的每个工序求 数控设备数 / 设备数（没有设备计 0），再求平均。
  The mean over processes with `is_key = Y` of NC machines / machines (0 without machines). NC, discrete process:
  `control_class` is `cnc`, or `robot` if `robot_is_nc`, or by kind: `control_class` is cnc, robot, plc, dcs or pcs, and the
  row of `kinds.csv` for its `machine_kind`, or for `industrial_robot` if `is_robot = Y`, has `nc = Y` (`industrial_robot`
  only if `robot_is_nc`); process industry: `plc`, `dcs`, `pcs`.
  **M-01-strict** / **M-01-any** 计份额为 1 / 大于 0 的工序。 count the processes whose share is 1 / above 0.
  按各工序的 `industry_type` 判断（discrete 离散，process 流程）。 The `industry_type` of the process says which applies.
- **M-02** = 关键工序中的数控设备 / 关键工序中的生产设备，每台一次，在其全部关键工序中都为数控才算。 NC machines / production
  equipment, of processes with `is_key = Y`, each machine once; NC in all of its key processes.
- **M-08-count** = 智能装备 / 生产设备；智能装备：`digital = Y` 且 `control_class` 为 cnc、robot、plc、dcs、pcs 之一。
  **M-08-value**：同上，按 `purchase_cny` 之和；任一生产设备缺少金额时为 null。 Smart machines / production equipment;
  smart: `digital = Y` and `control_class` one of these five. M-08-value is the same of the sums of `purchase_cny`, null
  while any production equipment has none.
- **M-09** / **M-10** = `is_robot = Y` 的生产设备中 `brand_origin` 为 domestic 或 local / 仅 local 的份额。 Of production
  equipment with `is_robot = Y` the share whose `brand_origin` is domestic or local / local.
- **首末数据**：`facts/first_good.csv` 中晚于窗口结束的视为没有；末次数据 = 窗口结束 − 30 天 < `end_ns` ≤ 窗口结束的各分钟中最大的
  `last_good_ns`（不论是否计划时间），距窗口结束不超过 7 天为**新近**。 A first good reading after the end is none. The
  last good reading is the largest `last_good_ns` of the minutes with end - 30 days < `end_ns` <= end, scheduled or not;
  it is **recent** if it is at most 7 days before the end.
- **计划时间 scheduled time**（设备）：`gateway_device` 中含该设备、窗口终点在役的唯一一行（不论 `in_scope`）的 `schedule_id` 在 `facts/plan.csv` 中为 shift 的时间；没有日历、没有这样的
  机器，或自 L（见下条）以来没有任何 shift 时，为全部时间。一分钟按其中点（end_ns − 30 s）归属。
  The time that `facts/plan.csv` calls shift for the `schedule_id` of the one row in service at the end, in scope or not,
  whose `gateway_device` has the device;
  all time without a calendar, without such a machine, or without any shift since L (see below). A minute belongs where its
  middle (end_ns - 30 s) lies.
- **覆盖率 coverage**（设备）：设 L = max（`first_good`，窗口结束 − 30 天）；计划时间内各分钟 Σ `covered_s`（end_ns > 窗口结束 − 30 天） /
 （L 至窗口结束的计划时间），最大为 1。 Let L = max(first_good, end - 30 days); the sum of `covered_s` of scheduled minutes
  with end_ns > end - 30 days, over the scheduled time from L to the end, at most 1.
- **有变化 alive**（设备）：`facts/stored.csv` 中没有该设备；或从 `last_change_ns` 到窗口结束，`facts/plan.csv` 称为 shift 的时间（没有
  日历或没有这样的行时为全部时间）不足 `change_within_h` 小时；没有 `last_change_ns` 时，从 L（见上）起不足 1 小时和 `change_within_h` 中
  较短者（没有首次数据的不算）。 `facts/stored.csv` has no row of the device; or less than `change_within_h` hours called shift
  (all time without a calendar or such a row) lie between its `last_change_ns` and the end; without a `last_change_ns` less
  than one hour (or `change_within_h` if that is shorter) from L on, and there is a first good reading.
- **相互矛盾 contradicted**（设备）：`facts/stored.csv` 中 `last_sample_ns` 为空，而末次数据存在：此时末次数据视为没有，覆盖率为 0，
  有效读数与在线时间为 0。 `last_sample_ns` is empty and there is a last good reading: then that counts as none, coverage is 0,
  and so are good readings and time online.
- **M-04a-effective** = 满足全部条件的生产设备 / 生产设备：`networked_declared = Y`；有「机器的设备」；首末数据存在且最大
  `last_good_ns` 距结束不超过 7 天；有变化；覆盖率 ≥ 9/10。
  Production equipment that is declared and has a machine's device, whose newest `last_good_ns` (of the last 30 days) is at
  most 7 days before the end, which is alive, and whose coverage is at least 9/10.
- **没有采集数据 no collected data**：`facts/devices.csv` 所列设备在 `facts/health_minutes.csv` 中没有 min（窗口开始，窗口结束 − 30 天）
  < `end_ns` ≤ 窗口结束 的行时，M-04a/b/c-effective、M-04d、M-05、M-05-process、M-06、M-07 为 null。 While the listed devices
  have no row with min(start, end - 30 days) < end_ns <= end, these are null, not 0.
- **M-04b** / **M-04c** -effective：同上，只计 `digital = Y` / `process_id` 为关键工序的生产设备；**-declared**（a、b、c）：
  只要求 `networked_declared = Y`。 The same of production equipment with `digital = Y` / in a key process; -declared asks
  for `networked_declared = Y` alone.
- **M-05** = Σ 有效读数 / Σ 应有读数（生产设备所对应的设备，每个计一次） good / expected readings, over the devices that
  production equipment is linked to, each once; expected = max(r, round(r x elapsed / Σ scheduled_s)), r = good +
  bad of the window's scheduled minutes, elapsed = the scheduled time from max(first_good, start) to the end.
  设备取生产设备 `gateway_device` 中列于 `facts/devices.csv` 的每一个（共用的也计）；窗口的分钟：start < end_ns ≤ end；round 四舍六入
  五取偶；Σ scheduled_s 为 0 时应有读数 = r；没有首次数据时 elapsed = min（窗口的计划时间，Σ scheduled_s）。 The devices
  are all in the `gateway_device` of production equipment that `facts/devices.csv` lists, shared ones too; minutes of the
  window: start < end_ns <= end; round half to even; expected = r when Σ scheduled_s is 0; without a first good reading
  elapsed = min(scheduled time of the window, Σ scheduled_s).
- **M-04d** = Σ min（elapsed，Σ covered_s）/ Σ elapsed，设备与分钟同 M-05。 Over the devices and minutes of M-05.
- **M-05-process** = 至少有一台生产设备「有设备、末次数据新近且有变化」的工序 / `processes.csv` 的全部工序。 Processes with production
  equipment whose device has a recent last good reading and is alive / all processes of `processes.csv`.
- **M-06** = 末次数据新近且有变化的设备的 `business_links`（`facts/devices.csv`，以 `;` 分隔）中出现的 生产管控、质量管理、设备管理、
  安全生产、能耗管理 的个数 / 14；没有任何设备标注时为 null。 How many of these five links stand in the `business_links`
  (joined by `;`) of devices that are alive and whose last good reading is recent, / 14; null when no device has any.
- **M-07** = M-04a-effective 所计的机器中，`interface` 为 opc_ua、modbus_tcp、modbus_rtu、mtconnect 之一且其设备
  `normalised = Y` 的份额。 Of the machines that M-04a-effective counts, the share with one of these four as `interface`
  whose device has `normalised = Y`.
- **M-21-p50** / **-p95** = `facts/lateness.csv` 全部设备的 `late_ms` 按 `messages` 计数，从小到大第 ⌈n/2⌉ / ⌈0.95 n⌉ 个
  （最近秩），除以 1000（秒）。 All devices' `late_ms`, each `messages` times, n in all: the ⌈n/2⌉-th / ⌈0.95 n⌉-th from
  the smallest (nearest rank), / 1000 (seconds).
- **时间 Time**：把窗口按状态与日历切开，依次取第一条符合的规则 / cut the window at every change of state and calendar; the first
  rule that fits: 日历 off → overtime (Executing) / off; stop, maintenance → planned_down; item 0 → ADET, unknown; mode
  Maintenance → ADET; mode Setup → ASUT; Executing → APT；其余 else → ADET. 无任务（`order` = N）时，item 0 与其余归 ADOT
  without an order item 0 and the rest are ADOT. PBT = APT + ASUT + ADET + ADOT.
  单位为秒。机器的状态是其设备的；第一行的 `order` 为空即没有任务信号。日历取机器的 `schedule_id`，在其第一行之前为 off；
  `facts/plan.csv` 完全为空时始终为 shift。切分从状态的第一行开始、到 `states_until_ns` 为止，只有窗口内的部分计入。 In seconds. The states are those of
  the machine's device; an empty `order` in the first row means there is no order signal. The calendar is that of the
  machine's `schedule_id`, off before its first row, shift throughout if `facts/plan.csv` has no rows at all. Cutting
  goes from the first state to `states_until_ns`; only what lies in the machine's span counts, for parts, energy and
  failures of a machine too: read span for window there. 机器的时间、件数、电量与故障都只计其在役段。
- **故障 Failures**：按时间顺序看各段（包括窗口之前的）。item 1 的段：若此前累计的 U ≥ 30 s，则前一组结束，新的一组开始，D 清零；然后
  U 清零，段长计入 D（不论日历），规则「其余」归 ADET 的段属于该组。item 不为 0、1 且 mode 不为 Maintenance 的段：段长计入 U。
  一组有属于它的段且 D ≥ 30 s 即为一次故障，属于其首段开始时所在的窗口。 Go through the spans in time, those before the window
  too. A span with item 1: if U has reached 30 s, the group before is closed, a new one begins and D = 0; then U = 0, its
  length is added to D (whatever the calendar says), and it belongs to the group if the rule "else -> ADET" took it. A
  span whose item is neither 0 nor 1 and whose mode is not Maintenance adds its length to U. A group with spans and
  D >= 30 s is a failure, of the window in which its first span begins.
- **维护 Maintenance**：PMT = 日历 maintenance 且非 Executing 的时间 + 规则「mode Maintenance → ADET」的时间，但故障之后、首个
  （不属于该规则也不属于故障的）Executing 或 ASUT 段之前的后者为 CMT。FT = 故障各段之和。 PMT = time the calendar calls
  maintenance, unless Executing, + time of the rule "mode Maintenance -> ADET"; the latter is CMT instead from a failure's
  span on until the next span, neither of that rule nor of a failure, that is Executing or ASUT. FT = the spans of
  failures.
- **计数 Counting**：相邻读数之差之和。下降时：若有 `modulus` 且 0 < 差 + modulus ≤ modulus // 16，计入差 + modulus（回零）；否则
  件数计数器若新值 ≥ 0 且 ≤ 旧值的一半，计入新值（清零重计）；否则计 0。跨窗口边界的一步按时间分摊。
  件数计数器：produced、good、scrap；同一时刻的多个读数取第一个。 Part counters: produced, good, scrap; of several readings
  at one moment the first counts.
  The sum of differences. At a fall: with a `modulus` and 0 < difference + modulus <= modulus // 16 that sum counts (a
  rollover); else a part counter counts the new reading if it is at least 0 and at most half the old one (a restart); else
  nothing. A step across the window's edge is shared by time.
  相邻两个读数的 `epoch` 不同时该步计 0。某一时刻的累计数，若该时刻在两个读数之间，按时间比例、以计数器自身单位四舍五入到 1e-12；一段
  时间的计数 = 终点的累计数 − 起点的累计数（再乘 `ratio`），因此任何切分都精确相加。 A step between readings of different
  `epoch` counts nothing. What was counted up to a moment between two readings is shared by time and rounded half up to
  1e-12 of the counter's own unit; a stretch counts what was counted up to its end less up to its start (times `ratio`),
  so every split adds up exactly.
- **PQ** = produced；**GQ** = good，没有时为 produced − scrap；只计 PBT 各段（APT、ASUT、ADET、ADOT，相邻者合为一段）内的
  件数，跨越段边界的一步按时间分摊。计划外的产量不计入，只有 M-18 的 GQ 按整个窗口计。 GQ = good, else produced - scrap; of the spans of PBT alone (APT, ASUT, ADET, ADOT,
  adjoining ones as one): a step across an edge is shared by time. Parts made outside PBT do not count, only the GQ of
  M-18 is that of the whole window. GQ < 0（废品多于件数）视为未知 A GQ below 0 (more scrap than parts) is not known.
- **M-11@机器** = APT / PBT；**M-12** = GQ / PQ；**M-13** = PRU·PQ / APT；**M-14** = PRU·GQ / PBT
  (PRU = `nominal_cycle_s`，0 视为没有 0 is none)。窗口内状态全部未知时为空 null when no state of the window was known。APT = 0 而 GQ ≠ 0
  时 M-14 的分子未知 the numerator of M-14 is not known when APT = 0 and GQ is not 0.
- **汇总 Summing up**：产线、车间、厂区（`@line:` `@workshop:`、无 `@`）= 工作设备的分子之和 / 分母之和，只含两者齐全的机器
  (`numerator_ids`)。 Of a line, a workshop and the site: the sum of numerators / the sum of denominators over the working
  machines that have both.
  **M-11、M-13、M-12、M-14** 例外：只含四项的分子分母都已知的机器，且 M-12 = Σ PRU·GQ / Σ PRU·PQ，因此 M-14 = M-11·M-13·M-12；没有这样的机器时，
  只含 M-14 已知的机器；再没有时各项如上。 M-11, M-13, M-12 and M-14 are of the machines that know numerator and denominator
  of all four, with M-12 = the sum of PRU·GQ / the sum of PRU·PQ; without any such machine of those that know M-14; without
  any of these each as above. **M-11-all** / **M-12-all** = M-11 / M-12 如上汇总 summed up as above（不加权 not weighted）。
- **M-15** = AUPT·PRU·GQ / (PBT·APT)，AUPT = APT + ASUT；汇总时以 PBT 加权（分子 = 值 × PBT，分母 = PBT，只含有值的机器）。
  Summed up weighted with PBT: numerator value x PBT, denominator PBT, over the machines with a value.
- **M-16-allocation** = AUBT / PBT；**-utilisation** = APT / AUBT；**-technical** = APT / (APT + ADET)；**-setup** = ASUT / AUPT。
  AUBT = PBT − ADOT，没有任务信号时未知。 AUBT = PBT - ADOT, not known without an order signal.
- **M-17-mtbf** = AUPT / 故障次数；**-mttr** = 窗口内开始的各次故障的修复时间之和 / 故障次数；**-corrective** = CMT / (CMT + PMT)。 故障次数：failures. MTTR: the repair of the failures that began in the window, over their number. 一次故障的修复时间 = 属于它的各段 +
  其后、下一次故障之前的 CMT 段，不论在哪个窗口（至 `states_until_ns`）。 The repair of a failure: its spans and the CMT spans
  after it and before the next failure, in whichever window they lie (up to `states_until_ns`).
- M-11 至 M-17 属于有设备且该设备有状态的工作设备，产线、车间、厂区（无 `@`）的则一律列出。窗口内 PBT > 0 而全部为
  item 0（unknown）时，除 M-12、M-20 外分子未知，该机器也不进入汇总；分母为 0 的机器照常进入汇总。 M-11 to M-17 are told of
  working machines whose device has states, and of every line, workshop and the site (without `@`). When PBT > 0 and
  all of it is unknown, the numerators other than those of M-12 and M-20 are not known, and the machine is in no sum; a
  denominator of 0 is a known one.
- **M-18** = kWh / GQ；**M-19** = kWh × `kgce_per_kwh` / 1000。机器：自身电能计数器，否则独用电表（`meter_id`），否则功率积分；
  产线：`category = meter` 的电表（不计单台独用的），没有时为各机器之和（`details.measured_by`）；产线的 GQ 取其唯一的
  `category = inspection` 机器（`details.good_parts_of`）。 A machine: its own energy counter, else a meter that only it
  has, else integrated power. A line: its meters (`category = meter`, those of one machine alone left out), else its
  machines; its GQ is that of its one `category = inspection` machine.
  电表即 `meter_id` 所称的设备，独用：没有其他在役段与之重叠的行有此 `meter_id`。产线的电表：`line` 相同且在役段不为空
  的行（不论 `in_scope`），其 `gateway_device` 的第一个有电能计数器，且不是同一时间恰为一行的 `meter_id`；产线的电量为各电表（或各机器）在其在役段内的电量之和。机器没有状态时 GQ 未知；检测机器须
  有状态和 GQ，且为该线工作设备中唯一的检测机器。厂区：M-19 计各产线的 kWh；M-18 = 有 GQ 且有电量的产线的 kWh 之和 / 其 GQ 之和。 A
  meter is the device that `meter_id` names; only one machine has it if no other row whose span overlaps names it. A line's
  meters: rows of that `line` with a span, in scope or not, the first of whose `gateway_device` has an energy counter and
  is not the `meter_id` of exactly one row at a time; a line's energy is that of its meters (or machines), each of its own span. GQ is not known of a machine
  without states; the inspection machine must have states and GQ, and be the only one of the line's working machines. The site: M-19 of the kWh of all lines;
  M-18 = kWh / GQ, both summed over the lines that have a GQ and kWh. 电能计数器的 `unknown_since` 早于窗口起点的，电量未知，也不由其他来源代替；产线有
  其他电表的，只计其他电表。 Of an energy counter whose `unknown_since` lies before the window's start the kWh are not known,
  and no other source stands in for it; where a line has other meters too, they alone are summed.
  有 `unit` 事件的计数器未知；产线或厂区所取的任一电能计数器有 `unit` 事件的，其电量为 null。窗口中没有任何电表「在」的时段
  （电表自其在役段起点与首个读数二者中较晚者起为「在」，至在役段终点止），产线电量取各机器在该时段内的电量之和。 A counter with
  an event `unit` is not known; a line or site that takes any such energy counter has null. Where in a window none of a
  line's meters is there (from the later of its span's start and its first reading to its span's end), the line's energy
  is the sum of its machines in that time.
- **M-20** = item_state 为 2 时的 kWh / kWh。 kWh while NotExecuting / kWh.
  「这些步」指 item_state 为 2 的各段的起点或终点落在其内部的步：读数（乘 `ratio` 之前）的分摊按步长（纳秒）分别求和，步长多于四种时
  各和四舍六入五取偶到 1e-12。 That is the steps inside which a span with item_state 2 begins or ends: their shares
  (readings, before `ratio`) are summed by the length of the step, and with more than four lengths each of these sums is
  rounded to 1e-12, half to even.
  不论日历，从状态的第一行起；汇总同 M-11。M-18、M-20 属于有状态或有电能的工作设备，没有状态时 M-20 为 null；M-18、M-19 还属于
  工作设备的各产线和厂区。 Whatever the calendar says, from the first state on; summed up like M-11. M-18 and M-20 are told
  of working machines with states or energy (M-20 is null without states), M-18 and M-19 of their lines and the site.
- 没有值的数值为 null，并有 `reason`。 A figure without a value is null and has a `reason`.
  分母为 0 或缺少所需数据时没有值。 There is none when the denominator is 0 or something it needs is not known.
"""

_INTEGRATOR = """\
# 集成商声明 / Statement of the system integrator — {project}

（由集成商填写并盖章。 To be completed and stamped by the integrator.）

- 集成商 / integrator: ____________________
- 合同号 / contract: ____________________
- 集成服务金额（元） / integration service (yuan): ____________________
- 占项目设备和技术投入总额的比例（政策上限 8 %，指示） / share of the project's equipment and technology investment (policy
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
