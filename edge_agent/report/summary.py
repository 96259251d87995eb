"""The report in plain sentences: what was found, and what to do next. Every number in it is one of
the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final

from edge_agent.metrics.definitions import Text
from edge_agent.metrics.evaluate import live_not_declared, needing_attention, not_judged_yet
from edge_agent.metrics.rates import nc_shares
from edge_agent.metrics.remarks import outside, remark
from edge_agent.metrics.result import EffectiveAfter, MetricResult
from edge_agent.metrics.timemodel import pareto
from edge_agent.production.figures import ROW
from edge_agent.production.plant import Plant, summed
from edge_agent.report import blocks
from edge_agent.report.blocks import Json
from edge_agent.report.parts.plan import ConnectionStep, steps
from edge_agent.report.parts.production import LOSSES
from edge_agent.report.parts.rates import next_band, points
from edge_agent.report.speech import percent
from edge_agent.words import number_of, verb

Figures = Mapping[str, MetricResult]

#: So many machines are named in a step; the part it points to has them all.
_NAMED: Final = 4
_NOTHING: Final = Text("没有待办事项。", "There is nothing to do.")


def summary(plant: Plant, figures: Figures, noted: int, partial: Text | None = None) -> list[Json]:
    """`noted`: how many things the register check and the data gave reason to list; `partial`: why
    the window is not all of the period."""
    found = conclusions(plant, figures, partial)
    todo = list(_next_steps(plant, figures, noted)) or [_NOTHING]
    return [found, blocks.listing("下一步", "next steps", todo)]


def conclusions(plant: Plant, figures: Figures, partial: Text | None = None) -> Json:
    """What was found, alone."""
    return blocks.listing(
        "结论", "findings", [*([partial] if partial else []), *_conclusions(plant, figures)]
    )


def _pct(value: Fraction) -> str:
    return f"{percent(float(value)):.2f} %"


def _machines(value: Fraction | None) -> str:
    return f"{_count(value)} {'machine' if value == 1 else 'machines'}"


def _are(value: Fraction | None) -> str:
    return "is" if value == 1 else "are"


def _count(value: Fraction | None) -> str:
    return "—" if value is None else f"{float(value):.2f}".rstrip("0").rstrip(".")


def _missing(result: MetricResult) -> Text:
    name = result.definition.name
    reason = result.reason or Text("", "")
    return Text(f"{name.zh}没有数值：{reason.zh}。", f"No {name.en}: {reason.en}.")


# --- what was found -------------------------------------------------------------------------------


def _conclusions(plant: Plant, figures: Figures) -> Iterator[Text]:
    yield _key_processes(figures["M-01-prorata"], figures["M-02"])
    yield _digital(figures["M-03"])
    yield _networked(figures["M-04a-declared"], figures["M-04a-effective"])
    yield _collected(figures["M-05"], figures["M-04d"])
    yield _production(plant, figures)
    yield _energy(figures)


def _key_processes(rate: MetricResult, machines: MetricResult) -> Text:
    if rate.value is None:
        return _missing(rate)
    target = rate.definition.target
    zh, en = (
        ("已超过", "above")
        if target is not None and target.met(rate.value)
        else ("未超过", "not above")
    )
    by_machine = "—" if machines.value is None else _pct(machines.value)
    return Text(
        f"关键工序数控化率 {_pct(rate.value)}（{_count(rate.denominator)} 道关键工序，"
        "按份额平均；按设备计为 "
        f"{by_machine}），{zh}政策目标 50 %。",
        f"The key-process NC rate is {_pct(rate.value)} (mean share of "
        f"{number_of(int(rate.denominator or 0), 'key process', 'key processes')}; by "
        f"machine {by_machine}): {en} the policy's target of 50 %.",
    )


def _digital(rate: MetricResult) -> Text:
    if rate.value is None:
        return _missing(rate)
    zh, en = _to_next(rate)
    return Text(
        f"在用生产设备 {_count(rate.denominator)} 台，其中数字化 {_count(rate.numerator)} 台："
        "生产设备数字化率 "
        f"{_pct(rate.value)}{zh}。",
        f"Of {_machines(rate.denominator)} in use {_count(rate.numerator)} "
        f"{_are(rate.numerator)} digital: "
        f"{_pct(rate.value)}{en}.",
    )


def _to_next(rate: MetricResult) -> tuple[str, str]:
    more = next_band(rate)
    zh = f"，问卷得 {points(rate):g} 分"
    en = f", {points(rate):g} points of the questionnaire"
    if more is None:
        return f"{zh}（最高档）", f"{en} (the highest band)"
    return (
        f"{zh}，再有 {more} 台进入下一档",
        f"{en}; {more} more {verb(more, 'reaches', 'reach')} the next band",
    )


def _networked(declared: MetricResult, effective: MetricResult) -> Text:
    if effective.value is None:
        return _missing(effective)
    if effective.effective_after is not None:
        return _too_early(effective.effective_after)
    zh, en = _to_next(effective)
    gap = (declared.numerator or Fraction(0)) - (effective.numerator or Fraction(0))
    if gap:
        zh, en = (
            f"{zh}；{gap} 台已申报而未被证明",
            f"{en}; {gap} declared {verb(int(gap), 'one is', 'ones are')} not shown",
        )
    if effective.provisional:
        zh = f"{zh}。接入不足 30 天，为暂定值"
        en = f"{en}. Under 30 days of history: provisional"
    return Text(
        f"申报联网 {_count(declared.numerator)} 台，由数据证明有效联网 "
        f"{_count(effective.numerator)} 台：设备联网率 "
        f"{_pct(effective.value)}{zh}。",
        f"{_machines(declared.numerator)} {_are(declared.numerator)} declared networked, the "
        "data show "
        f"{_count(effective.numerator)}: {_pct(effective.value)}{en}.",
    )


def _too_early(after: EffectiveAfter) -> Text:
    """No rate yet, and no list of machines to mend: most of them are well and only new."""
    online, declared = after.now_online
    needed = int(after.needed_s / 3600)
    so_far = float(after.so_far_s / 3600)
    return Text(
        f"申报联网 {declared} 台，窗口结束时在线 {online} 台。设备联网率要在计划工时满 {needed} "
        "小时后才有意义，"
        f"至今 {so_far:.1f} 小时，尚不评定。",
        f"{declared} machines are declared networked, {online} of them were online at the "
        "window's end. The networking "
        f"rate means something after {needed} planned hours; there were {so_far:.1f} so far, and "
        "it is not judged yet.",
    )


def _collected(readings: MetricResult, online: MetricResult) -> Text:
    if readings.value is None:
        return _missing(readings)
    on = "—" if online.value is None else _pct(online.value)
    return Text(
        f"应采样本中有效入库 {_pct(readings.value)}，设备在线率 {on}。",
        f"{_pct(readings.value)} of the readings due were good and stored; the machines were "
        f"online {on} of their "
        "scheduled time.",
    )


def _production(plant: Plant, figures: Figures) -> Text:
    oee = figures["M-14"]
    availability = figures["M-11-all"]
    if availability.value is None:
        return _missing(availability)
    time = summed(plant.working)
    having = len(availability.numerator_ids)
    beside = remark(availability)
    whole = Text(
        f"有状态的 {having} 台时间利用率 {_pct(availability.value)}",
        f"Availability of the {number_of(having, 'machine')} with states is "
        f"{_pct(availability.value)}",
    )
    if oee.value is not None:
        counted = len(oee.numerator_ids)
        every = len(plant.working)
        product = _product([figures[metric] for metric in ROW[:3]])
        whole = Text(
            f"全厂 OEE {_pct(oee.value)}{product.zh}（时间利用率 × 效率 × 质量率；"
            f"具备节拍与计数的 {counted} 台，"
            f"共 {every} 台）；{whole.zh}",
            f"OEE is {_pct(oee.value)}{product.en} (availability x effectiveness x quality, of "
            f"the {counted} of "
            f"{number_of(every, 'machine')} with a nominal cycle and counts). {whole.en}",
        )
        beside = remark(oee) or beside
    whole = _with(whole, beside)
    unknown = Fraction(time.unknown, time.pbt) if time.pbt else Fraction(0)
    losses = pareto(time)
    if not losses:
        return Text(f"{whole.zh}。", f"{whole.en}.")
    name = LOSSES[losses[0][0]]
    hours = losses[0][1] / 3.6e12
    return Text(
        f"{whole.zh}；最大损失是「{name['zh']}」{hours:.1f} h；状态未知占计划时间 "
        f"{_pct(unknown)}。",
        f"{whole.en}; the largest loss is “{name['en']}”, {hours:.1f} h; {_pct(unknown)} of "
        "planned time is unknown.",
    )


def _product(factors: Sequence[MetricResult]) -> Text:
    """The factors of an OEE, each with what must be said of it: one may be impossible where their
    product is not."""
    zh = []
    en = []
    for factor in factors:
        if factor.value is None:
            return Text("", "")
        shown = _with(Text(_pct(factor.value), _pct(factor.value)), outside(factor))
        zh.append(shown.zh)
        en.append(shown.en)
    return Text(f" = {' × '.join(zh)}", f" = {' × '.join(en)}")


def _energy(figures: Figures) -> Text:
    coal = figures["M-19"]
    per_part = figures["M-18"]
    if coal.value is None:
        return _missing(coal)
    kwh = coal.details["kwh"]
    zh, en = (
        f"用电 {kwh:,.1f} kWh，折 {float(coal.value):.4f} tce（系数为假设）",
        (f"{kwh:,.1f} kWh were used, {float(coal.value):.4f} tce (the coefficient is assumed)"),
    )
    if per_part.value is not None:
        each = f"{float(per_part.value):.3f} kWh"
        zh = f"{zh}，每件合格品 {each}"
        en = f"{en}, {each} per good part"
    found = _with(Text(zh, en), remark(coal) or remark(per_part))
    return Text(f"{found.zh}。", f"{found.en}.")


def _with(sentence: Text, beside: Text | None) -> Text:
    """A sentence with what must be said of its figures at once."""
    if beside is None:
        return sentence
    return Text(f"{sentence.zh}（{beside.zh}）", f"{sentence.en} ({beside.en})")


# --- what to do -----------------------------------------------------------------------------------


def _next_steps(plant: Plant, figures: Figures, noted: int) -> Iterator[Text]:
    assessment = plant.assessment
    missing, extra, waiting = (
        needing_attention(assessment),
        live_not_declared(assessment),
        not_judged_yet(assessment),
    )
    if not assessment.collected:
        yield Text(
            "窗口内没有采集数据：检查采集程序与存储是否运行，或另选窗口；"
            "有数据后再评定联网与采集。",
            "No data were collected in the window: see that agent and store run, or choose "
            "another window; what is "
            "networked and collected can be told from data only.",
        )
    elif missing:
        names = _named(missing)
        yield Text(
            f"{names.zh} 申报联网但未被数据证明：查明原因并排除（见第 3、4 部分）。",
            f"{names.en}: declared networked and not shown by data; find out why and mend it "
            "(parts 3 and 4).",
        )
    if waiting:
        names = _named(waiting)
        yield Text(
            f"{names.zh} 在线，接入时间还不足以评定：无需处理，计划工时满 8 小时后再看。",
            f"{names.en}: online, and connected too short a time to be judged; nothing to do, "
            "look again after 8 "
            "planned hours.",
        )
    if extra:
        names = _named(extra)
        yield Text(
            f"{names.zh} 已有数据但台账未申报：核对后申报，联网率即可计入。",
            f"{names.en}: data come, and the register does not declare it; check and declare, "
            "and the rate counts it.",
        )
    todo = steps(plant)
    yield from _connect(figures["M-04a-effective"], [step for step in todo if step.rank >= 2])
    yield from _key_gaps(plant)
    if noted:
        yield Text(
            f"处理第 3 部分列出的 {noted} 条台账与数据提示。",
            f"Look into the {number_of(noted, 'remark')} on register and data in part 3.",
        )
    unsigned = [process.process_id for process in assessment.key_processes if not process.reviewer]
    if unsigned:
        names = _named(unsigned, "道")
        yield Text(
            f"由工艺负责人审核关键工序 {names.zh} 并在台账中签名。",
            f"Have these key processes reviewed and signed: {names.en}.",
        )
    yield Text(
        "在第 12 部分签字盖章，并连同 SHA256SUMS 一起存档。",
        "Sign part 12, and keep the report with its SHA256SUMS.",
    )


def _named(ids: Sequence[str], unit: str = "台") -> Text:
    shown = "、".join(ids[:_NAMED]), ", ".join(ids[:_NAMED])
    if len(ids) <= _NAMED:
        return Text(*shown)
    return Text(f"{shown[0]} 等 {len(ids)} {unit}", f"{shown[1]} and {len(ids) - _NAMED} more")


def _connect(rate: MetricResult, new: Sequence[ConnectionStep]) -> Iterator[Text]:
    """Machines to connect, and what the rate would be."""
    if not new or rate.numerator is None or not rate.denominator:
        return
    ready = [step.machine.equipment_id for step in new if step.rank == 2]
    bare = [step.machine.equipment_id for step in new if step.rank == 3]
    for ids, zh, en in (
        (ready, "已有通信接口，接入即可", "interface there: connect"),
        (bare, "没有通信接口，需加装采集模块", "no interface: fit a module"),
    ):
        if ids:
            names = _named(ids)
            if rate.effective_after is not None:
                yield Text(f"{names.zh} {zh}。", f"{names.en}: {en}.")
                continue
            after = _pct(Fraction(rate.numerator + len(ids), rate.denominator))
            yield Text(
                f"{names.zh} {zh}；仅完成这些，设备联网率为 {after}。",
                f"{names.en}: {en}; with these alone the networking rate would be {after}.",
            )


def _key_gaps(plant: Plant) -> Iterator[Text]:
    shares = nc_shares(plant.assessment)
    empty = [key for key, (_, whole) in shares.items() if not whole]
    part = [key for key, (nc, whole) in shares.items() if nc < whole]
    if part:
        names = _named(part, "道")
        yield Text(
            f"关键工序 {names.zh} 未全部数控化，逐台影响见第 10 部分。",
            f"Key processes not wholly NC: {names.en}; part 10 says what each machine would "
            "change.",
        )
    if empty:
        names = _named(empty, "道")
        yield Text(
            f"关键工序 {names.zh} 没有在用设备，按人工（0）计入：请核对工序表。",
            f"Key processes without a machine in use: {names.en}; they count as manual (0), "
            "check the process list.",
        )
