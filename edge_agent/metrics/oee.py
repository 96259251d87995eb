"""M-11 to M-17 of one machine in one window (ISO 22400-2), from time buckets and counters; times in
seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Final, Literal

from edge_agent.metrics.definitions import BY_ID, Text
from edge_agent.metrics.result import Grade, MetricResult, Window, divide, number
from edge_agent.metrics.timemodel import Bucket, Reason, Totals, pareto

_S: Final = 1_000_000_000

_NO_TIME: Final = Text(
    "窗口内没有计划工作时间（PBT 为 0）", "no planned busy time in the window (PBT is 0)"
)
_NO_STATE: Final = Text(
    "窗口内没有有效的设备状态（数据覆盖率为 0）",
    "there was no good machine state in the window (data coverage is 0)",
)
_NO_RUN: Final = Text(
    "窗口内没有加工时间（APT 为 0）", "no production time in the window (APT is 0)"
)
_NO_BUSY: Final = Text("窗口内没有占用时间（AUBT 为 0）", "no busy time in the window (AUBT is 0)")
_NO_UNIT: Final = Text(
    "窗口内没有加工和准备时间（AUPT 为 0）", "no processing time in the window (AUPT is 0)"
)
_NO_PARTS: Final = Text("计划工作时间内没有产量", "nothing was produced in planned busy time")
_NO_PQ: Final = Text("没有产量计数（PQ）", "there is no count of produced parts (PQ)")
_NO_GQ: Final = Text(
    "没有合格品计数（GQ），不以 100 % 代替",
    "there is no count of good parts (GQ); 100 % is not assumed",
)
MORE_SCRAP: Final = Text(
    "废品多于件数：两个计数器在这段时间内互相矛盾，请核对其来源与时刻",
    "more scrap than parts: the two counters contradict each other in this time; check where "
    "they come from, and when",
)
_MORE_GOOD: Final = Text(
    "合格品多于件数：两个计数器互相矛盾，请核对。",
    "More good parts than parts: the two counters contradict each other; check.",
)
_MADE_IN_NO_TIME: Final = Text(
    "有产量而没有加工时间（APT 为 0）：件数与状态互相矛盾，请核对",
    "parts were made in no production time (APT is 0): counts and states contradict each other; "
    "check",
)
_NO_PRU: Final = Text("台账没有标准节拍（PRU）", "the register has no nominal cycle (PRU)")
_NO_FAILURE: Final = Text("窗口内没有故障", "there was no failure in the window")
_NO_UPKEEP: Final = Text("窗口内没有维护", "there was no maintenance in the window")
_NO_ORDER: Final = Text(
    "没有任务信号（order_source: calendar）：所有计划时间视为有任务，ADOT 及依赖它的指标无值",
    "there is no order signal (order_source: calendar): all scheduled time counts as ordered, so "
    "ADOT and what rests "
    "on it have no value",
)


@dataclass(frozen=True, slots=True)
class Production:
    """What one machine did in a window. None = not known."""

    equipment_id: str
    totals: Totals
    pq: Fraction | None = None
    """Parts produced in planned busy time, as all of these figures are."""
    gq: Fraction | None = None
    """Good parts of that time."""
    pru_s: Fraction | None = None
    """Planned time per unit (nominal cycle), seconds."""
    order_source: Literal["tag", "calendar"] = "tag"
    window: Window = field(default_factory=Window)
    grade: Grade | None = "E2"
    register_version: str = ""
    computed_at: int | None = None
    whole_pq: Fraction | None = None
    """Parts produced in the whole window, in overtime and planned stops too."""
    whole_gq: Fraction | None = None
    """Good parts of the whole window, over which its energy goes (M-18)."""

    @property
    def outside_pq(self) -> Fraction | None:
        """Parts produced outside planned busy time: no part of OEE, whose time has none of
        theirs."""
        return None if self.pq is None or self.whole_pq is None else self.whole_pq - self.pq

    def seconds(self, *buckets: Bucket) -> Fraction:
        return Fraction(self.totals.bucket(*buckets), _S)

    @property
    def pbt(self) -> Fraction:
        return Fraction(self.totals.pbt, _S)

    @property
    def aupt(self) -> Fraction:
        """Actual unit processing time: production and set-up."""
        return self.seconds(Bucket.APT, Bucket.ASUT)

    @property
    def aubt(self) -> Fraction | None:
        """Actual unit busy time; None where orders are not known."""
        return None if self.order_source == "calendar" else self.pbt - self.seconds(Bucket.ADOT)

    @property
    def is_unobserved(self) -> bool:
        """Not one planned second with a known state: then nothing is said of the time, rather than
        0 %."""
        return 0 < self.totals.pbt == self.totals.unknown

    @property
    def coverage(self) -> Fraction | None:
        """The part of PBT in which the state was known."""
        return divide(self.totals.pbt - self.totals.unknown, self.totals.pbt)


def evaluate(machine: Production) -> dict[str, MetricResult]:
    """M-11 to M-17 by id; every result carries the UNKNOWN share of its window."""
    return {
        result.definition.id: result
        for result in (*_rates(machine), *_allocations(machine), *_failures(machine))
    }


def _result(
    machine: Production,
    metric: str,
    numerator: Fraction | None,
    denominator: Fraction | None,
    why: Sequence[Text],
) -> MetricResult:
    """The quotient; `why` are the reasons that apply, the first one is told when there is no
    value."""
    if machine.is_unobserved and metric != "M-12":
        numerator = None
        why = [_NO_STATE, *why]
    value = (
        None if numerator is None or denominator is None or why else divide(numerator, denominator)
    )
    ids = (machine.equipment_id,)
    return MetricResult(
        BY_ID[metric],
        value,
        numerator,
        denominator,
        ids,
        ids,
        machine.window,
        machine.grade,
        machine.register_version,
        machine.computed_at,
        reason=why[0] if why else None,
        notes=_notes(machine, metric, value),
        details=_details(machine),
    )


def _notes(machine: Production, metric: str, value: Fraction | None) -> tuple[Text, ...]:
    notes = [_NO_ORDER] if machine.order_source == "calendar" else []
    if metric == "M-13" and value is not None and value > 1:
        notes.append(Text("超过 100 %：请核对标准节拍。", "Above 100 %: check the nominal cycle."))
    if metric == "M-12" and value is not None and value > 1:
        notes.append(_MORE_GOOD)
    return tuple(notes)


def _details(machine: Production) -> dict[str, Any]:
    known = Fraction(machine.totals.pbt - machine.totals.unknown, _S)
    return {
        "unknown_s": number(Fraction(machine.totals.unknown, _S)),
        "data_coverage": number(machine.coverage),
        "availability_unknown_excluded": number(divide(machine.seconds(Bucket.APT), known)),
    }


def _missing(*pairs: tuple[bool, Text]) -> list[Text]:
    return [reason for applies, reason in pairs if applies]


def _rates(machine: Production) -> list[MetricResult]:
    """Availability, quality, effectiveness, OEE and NEE."""
    apt = machine.seconds(Bucket.APT)
    pbt = machine.pbt
    # a cycle of no time is none
    pq = machine.pq
    gq = machine.gq
    pru = machine.pru_s or None
    more_scrap = gq is not None and gq < 0
    if more_scrap:
        gq = None
    nominal = None if pru is None or pq is None else pru * pq
    good = None if pru is None or gq is None else pru * gq
    in_no_time = not apt and bool(gq)
    no_pru, no_pq, no_gq = (
        (pru is None, _NO_PRU),
        (pq is None, _NO_PQ),
        (gq is None, MORE_SCRAP if more_scrap else _NO_GQ),
    )
    no_time = (not pbt, _NO_TIME)
    no_run = (not apt, _NO_RUN)
    availability = _result(machine, "M-11", apt, pbt, _missing(no_time))
    quality = _result(machine, "M-12", gq, pq, _missing(no_pq, no_gq, (pq == 0, _NO_PARTS)))
    effectiveness = _result(machine, "M-13", nominal, apt, _missing(no_pru, no_pq, no_run))
    of_time = None if in_no_time else good
    oee = _result(
        machine,
        "M-14",
        of_time,
        pbt,
        _missing(no_pru, no_gq, no_time, (in_no_time, _MADE_IN_NO_TIME)),
    )
    # NEE = AUPT/PBT * PRU*PQ/APT * GQ/PQ, written as one quotient so that it stays exact.
    net = None if good is None else machine.aupt * good
    nee = _result(machine, "M-15", net, pbt * apt, _missing(no_pru, no_gq, no_time, no_run))
    return [
        availability,
        quality,
        effectiveness,
        _with_identity(oee, availability, effectiveness, quality),
        nee,
    ]


def _with_identity(oee: MetricResult, *factors: MetricResult) -> MetricResult:
    """OEE is PRU * GQ / PBT; beside it stands the product of its three factors, which must be the
    same number."""
    product = Fraction(1)
    for factor in factors:
        if factor.value is None:
            return oee
        product *= factor.value
    check = {"product_of_factors": number(product), "identity_holds": product == oee.value}
    return replace(oee, details={**oee.details, **check})


def _allocations(machine: Production) -> list[MetricResult]:
    """Allocation, utilisation, technical efficiency and set-up ratio."""
    apt = machine.seconds(Bucket.APT)
    pbt = machine.pbt
    aubt = machine.aubt
    unknown_order = _missing((aubt is None, _NO_ORDER))
    technical = machine.seconds(Bucket.APT, Bucket.ADET)
    return [
        _result(
            machine, "M-16-allocation", aubt, pbt, unknown_order + _missing((not pbt, _NO_TIME))
        ),
        _result(
            machine, "M-16-utilisation", apt, aubt, unknown_order + _missing((aubt == 0, _NO_BUSY))
        ),
        _result(machine, "M-16-technical", apt, technical, _missing((not technical, _NO_RUN))),
        _result(
            machine,
            "M-16-setup",
            machine.seconds(Bucket.ASUT),
            machine.aupt,
            _missing((not machine.aupt, _NO_UNIT)),
        ),
    ]


def _failures(machine: Production) -> list[MetricResult]:
    """MTBF, MTTR (seconds) and the corrective maintenance ratio. Without a failure the operating
    time is still told."""
    totals = machine.totals
    count = Fraction(totals.failures)
    repair = Fraction(totals.repair, _S)
    corrective = Fraction(totals.reason(Reason.CORRECTIVE), _S)
    upkeep = corrective + Fraction(
        totals.reason(Reason.MAINTENANCE, Reason.PLANNED_MAINTENANCE), _S
    )
    none = _missing((not count, _NO_FAILURE))
    return [
        _result(machine, "M-17-mtbf", machine.aupt, count, none),
        _result(machine, "M-17-mttr", repair, count, none),
        _result(machine, "M-17-corrective", corrective, upkeep, _missing((not upkeep, _NO_UPKEEP))),
    ]


def losses(machine: Production) -> list[dict[str, Any]]:
    """The loss Pareto: name, seconds, share of PBT."""
    return [
        {
            "loss": name,
            "seconds": number(Fraction(length, _S)),
            "share": number(divide(length, machine.totals.pbt)),
        }
        for name, length in pareto(machine.totals)
    ]
