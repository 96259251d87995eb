"""What the facts show that someone should look at: counters that ran backwards, meters off, odd
states, outages.

Each is listed with its place and time, and the rest of the report stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from edge_agent.metrics.definitions import Text
from edge_agent.metrics.evidence import alive
from edge_agent.metrics.timemodel import Plan
from edge_agent.production.facts import MINUTE_NS, CounterReadings, StateChange, WindowFacts
from edge_agent.production.plant import Plant
from edge_agent.report.speech import percent
from edge_agent.words import number_of

Span = tuple[int, int]

_S: Final = 1_000_000_000
#: A device that was not covered for so long of its planned time had an outage worth a line of its
#: own.
OUTAGE_NS: Final = 3_600_000_000_000
#: Of one device so many outages are listed, the longest first.
_LONGEST: Final = 3
#: What a state's `why` says when its number is in no map, or the device itself called itself not
#: available.
_OUTSIDE: Final = "unknown-state"


class Observation(NamedTuple):
    """One thing seen in the data: where, what and what to do, and when (None: all over the
    window)."""

    where: str
    text: Text
    span: Span | None = None


def observed(plant: Plant) -> list[Observation]:
    """Everything seen in the window, by kind and device."""
    return [
        *_backwards(plant),
        *_meters(plant),
        *_outside(plant.facts),
        *_outages(plant),
        *_unproven_devices(plant),
    ]


def _unproven_devices(plant: Plant) -> Iterator[Observation]:
    """Devices whose health rows speak of good readings, and whose stored values do not bear it
    out."""
    within_s = plant.assessment.change_within_s
    for device, fact in plant.assessment.live.devices.items():
        if fact.contradicted:
            good = plant.facts.minutes_of(device).total("good")
            text = Text(
                f"健康记录称有 {good} 个有效读数，存储中却没有该设备的任何数值："
                "不作为联网与采集的证据。"
                "请核对健康记录的来源，以及数据为何没有入库（quarantine list）。",
                f"Its health rows speak of {number_of(good, 'good reading')}, and the store has "
                "no value of it: "
                "no evidence of networking or acquisition. Check where these rows come from, and "
                "why no data were "
                "stored (`quarantine list`).",
            )
        elif fact.last_good_age_s is not None and not alive(fact, within_s):
            hours = float(within_s / 3600)
            text = Text(
                f"{hours:g} 个计划小时内没有任何数值变化：可能是网关在重复缓存，证据等级至多 E1。"
                "请采集控制器的时钟或心跳，或核对网关与控制器的连接。",
                f"No value changed within {hours:g} planned hours: it may be a gateway that "
                "repeats its cache, "
                "evidence is E1 at the most. Collect the controller's clock or heartbeat, or "
                "check the gateway's link "
                "to the controller.",
            )
        else:
            continue
        yield Observation(device, text)


def _backwards(plant: Plant) -> Iterator[Observation]:
    for counter in sorted(plant.facts.counters, key=lambda each: (each.device, each.tag)):
        times = _breaks(plant, counter)
        if times:
            yield Observation(
                f"{counter.device}.{counter.tag}",
                Text(
                    f"计数器倒退 {len(times)} 次（更换、清零或误写）：这些步不计数。"
                    "请核对设备与变比。",
                    f"The counter ran backwards {number_of(len(times), 'time')} (replaced, "
                    "cleared or written): these "
                    "steps count nothing. Check the device and the ratio.",
                ),
                (times[0], times[-1]),
            )


def _breaks(plant: Plant, counter: CounterReadings) -> list[int]:
    return [
        event.t for event in plant.events(counter.device, counter.role) if event.kind == "break"
    ]


def _meters(plant: Plant) -> Iterator[Observation]:
    """Energy counters that say otherwise than the power of the same device adds up to."""
    window = plant.facts.start, plant.facts.end
    for counter in sorted(plant.facts.counters, key=lambda each: (each.device, each.tag)):
        check = plant.power_check(counter.device) if counter.role == "energy" else None
        if check is None or not check.disagrees or check.difference is None:
            continue
        off = check.difference
        counted = check.counted
        integral = check.integrated
        recorded = plant.facts.minutes_of(counter.device).inside(*window).sums()
        share = (
            f"{percent(recorded.covered_s / recorded.scheduled_s):.2f} %"
            if recorded.scheduled_s
            else "—"
        )
        yield Observation(
            f"{counter.device}.{counter.tag}",
            Text(
                f"电表计数 {float(counted):.1f} kWh，功率积分 {float(integral):.1f} kWh，"
                f"相差 {percent(float(off)):.2f} %（覆盖率 {share}）：请核对互感器变比与接线；"
                "覆盖不全时功率积分偏低。",
                f"The meter counted {float(counted):.1f} kWh, its power adds up to "
                f"{float(integral):.1f} kWh: "
                f"{percent(float(off)):.2f} % apart (coverage {share}). Check the CT/PT ratio "
                "and the wiring; where "
                "coverage is not whole the integrated power is too low.",
            ),
        )


def _outside(facts: WindowFacts) -> Iterator[Observation]:
    for device, states in sorted(facts.states.items()):
        spans = _unmapped(facts, states)
        if spans:
            minutes = sum(end - start for start, end in spans) / 60 / _S
            yield Observation(
                device,
                Text(
                    f"设备报出映射之外的状态（或自报不可用），共 {minutes:.1f} 分钟："
                    "按「状态未知」计，不猜测。"
                    "请补全该设备的 state 映射。",
                    "The device told a state outside its map (or called itself not available) "
                    f"for {minutes:.1f} min: "
                    "unknown time, nothing is guessed. Complete its state map.",
                ),
                (spans[0][0], spans[-1][1]),
            )


def _unmapped(facts: WindowFacts, states: Sequence[StateChange]) -> list[Span]:
    ends = [*(row.t for row in states[1:]), facts.end]
    spans = [
        (max(row.t, facts.start), min(end, facts.end))
        for row, end in zip(states, ends, strict=True)
        if row.why == _OUTSIDE
    ]
    return [(start, end) for start, end in spans if start < end]


def _outages(plant: Plant) -> Iterator[Observation]:
    for device in plant.facts.devices:
        plan = plant.plan_of(device)
        found = {span: _planned(plan, span) for span in outages(plant.facts, device)}
        long = sorted(
            (span for span, planned in found.items() if planned >= OUTAGE_NS),
            key=lambda span: -found[span],
        )
        for span in sorted(long[:_LONGEST]):
            hours = found[span] / 3600 / _S
            yield Observation(
                device,
                Text(
                    f"计划时间内 {hours:.1f} 小时没有有效数据：计为未覆盖，机器状态未知。"
                    "断网补传入库后自动更正。",
                    f"No good data for {hours:.1f} h of planned time: uncovered, and the "
                    "machine's state is not known. "
                    "Late data will correct it.",
                ),
                span,
            )


def outages(facts: WindowFacts, device: str) -> list[Span]:
    """Spans of the window, from the device's first good value on, of an hour or more without a
    covered minute."""
    start = max(facts.start, facts.first_good.get(device, facts.end))
    if start >= facts.end:
        return []
    minutes = facts.minutes_of(device).inside(start, facts.end)
    covered = minutes.column("covered_ms") > 0
    ends = minutes.column("end")[covered]
    begins = ends - np.maximum(MINUTE_NS, 1_000_000 * minutes.column("scheduled_ms")[covered])
    since = np.append(start, ends)
    until = np.append(begins, facts.end)
    return [(int(since[i]), int(until[i])) for i in np.flatnonzero(until - since >= OUTAGE_NS)]


def _planned(plan: Sequence[tuple[int, Plan]], span: Span) -> int:
    """How much of a span was planned working time."""
    edges = [*plan, (max(span[1], plan[-1][0]), Plan.OFF)] if plan else []
    return sum(
        max(0, min(after, span[1]) - max(t, span[0]))
        for (t, kind), (after, _) in pairwise(edges)
        if kind is Plan.SHIFT
    )
