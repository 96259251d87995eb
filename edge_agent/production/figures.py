"""All figures of a report, each with what it rests on: the site's rates, the machines', the lines',
and the energy.

A figure's key is `metric` for the site, `metric@machine`, `metric@line:NAME` or
`metric@workshop:NAME`. The values are functions of the facts and the register alone; replaying a
pack computes this very list again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from fractions import Fraction
from typing import Any, Final

from edge_agent.metrics import energy
from edge_agent.metrics.assessment import Assessment
from edge_agent.metrics.count_sum import CountSum
from edge_agent.metrics.definitions import BY_ID, Text
from edge_agent.metrics.evaluate import compute
from edge_agent.metrics.evidence import CHANGE_WITHIN_S
from edge_agent.metrics.lateness import from_histogram
from edge_agent.metrics.oee import MORE_SCRAP
from edge_agent.metrics.remarks import with_range
from edge_agent.metrics.result import MetricResult, Window
from edge_agent.metrics.rollup import ALL, scope_results
from edge_agent.metrics.rollup import ROW as ROW
from edge_agent.metrics.timemodel import Timeline
from edge_agent.production.count_doubts import CountDoubts, doubted
from edge_agent.production.facts import WindowFacts
from edge_agent.production.live_facts import live
from edge_agent.production.plant import Plant, PlantMachine, energy_scope, groups
from edge_agent.register.kinds import MachineKinds, published
from edge_agent.register.membership import Membership
from edge_agent.register.model import Register, schedules_of

_NO_STATES: Final = Text("没有采集设备状态", "no machine state is collected")
_LAST_STATION: Final = Text(
    "产线合格品数取自该线唯一的检测设备，属假设。",
    "The good parts of a line are those of its one inspection machine, an assumption.",
)
_NO_LAST_STATION: Final = Text(
    "无法确定产线的末道设备（没有唯一的、有合格品计数的检测设备）",
    "it is not known which machine is the line's last (no single inspection machine with a count "
    "of good parts)",
)
#: What is summed over the machines of a line, a workshop and the site.
_PRODUCTION: Final = (*(key for key in BY_ID if "M-11" <= key < "M-18"), "M-20")


@dataclass(frozen=True, slots=True)
class FigureOptions:
    """What is a choice and not a fact; printed with the figures, and part of a pack."""

    robot_is_nc: bool = True
    kgce_per_kwh: Fraction = energy.KGCE_PER_KWH
    zone: tzinfo = UTC
    """The plant's: whose days the dates of the register are."""
    change_within_s: Fraction = CHANGE_WITHIN_S
    """Planned working time within which a value of a networked machine has to change."""
    kinds: MachineKinds = field(default_factory=published)
    """Which kinds of machines count as numerically controlled."""


def plant_of(facts: WindowFacts, register: Register, options: FigureOptions) -> Plant:
    """The register and the facts, ready for computing."""
    members = Membership(register, facts.start, facts.end, options.zone)
    assessment = Assessment(
        register,
        live(facts, schedules_of(members.standing)),
        None,
        options.robot_is_nc,
        facts.devices.keys(),
        start=facts.start,
        zone=options.zone,
        kinds=options.kinds,
        change_within_s=options.change_within_s,
    )
    return Plant(facts, assessment)


def figures(plant: Plant, options: FigureOptions) -> dict[str, MetricResult]:
    """Every figure by key, sorted by key within its kind."""
    return {**compute(plant.assessment), **_lateness(plant), **production_figures(plant, options)}


def production_figures(plant: Plant, options: FigureOptions) -> dict[str, MetricResult]:
    """Those of machines at work: M-11 to M-20 of machines, lines, workshops and the site."""
    found: dict[str, MetricResult] = {}
    for machine in plant.working:
        found |= {f"{metric}@{machine.id}": result for metric, result in machine.results.items()}
        found |= _machine_energy(plant, machine)
    for (level, name), machines in groups(plant.working).items():
        suffix = "" if level == "site" else f"@{level}:{name}"
        together = _together(plant, found, [name or level], machines)
        found |= {f"{metric}{suffix}": result for metric, result in together.items()}
    return found | _energy(plant, options)


def to_json(found: dict[str, MetricResult]) -> list[dict[str, Any]]:
    """The figures as plain documents; the time of computing belongs to the report, not to the
    figure."""
    documents = []
    for key, result in found.items():
        document = {"key": key, "scope": key.partition("@")[2], **result.to_full_json()}
        del document["computed_at"]
        documents.append(document)
    return documents


def _together(
    plant: Plant,
    known: Mapping[str, MetricResult],
    scope: Sequence[str],
    machines: Sequence[PlantMachine],
) -> dict[str, MetricResult]:
    """Sums over sums, of the machines that know both; the others are listed in
    `details.left_out`."""
    having = {each.id: each for each in machines if each.production is not None}
    by_machine = {key: _of_machine(known, key) for key in having}
    pbt = {key: _pbt(machine) for key, machine in having.items()}
    found = {}
    for metric, result in scope_results(_PRODUCTION, by_machine, pbt, scope, plant.window).items():
        results = {
            key: by_machine[key].get(ALL.get(metric, metric)) for key in result.numerator_ids
        }
        details = {
            **result.details,
            "without_states": sorted(each.id for each in machines if each.id not in having),
        }
        version = plant.assessment.register.version
        reason = result.reason if having else _NO_STATES
        notes = (*plant.assumptions, *result.notes)
        provisional = any(each is not None and each.provisional for each in results.values())
        found[metric] = with_range(
            replace(
                result,
                register_version=version,
                reason=reason,
                notes=notes,
                details=details,
                provisional=provisional,
                computed_at=plant.computed_at,
            )
        )
    return found


def _of_machine(known: Mapping[str, MetricResult], machine: str) -> dict[str, MetricResult]:
    """The results of one machine by metric, of those that are summed up."""
    names = {metric: f"{metric}@{machine}" for metric in _PRODUCTION}
    return {metric: known[name] for metric, name in names.items() if name in known}


def _pbt(machine: PlantMachine) -> Fraction:
    return machine.production.pbt if machine.production else Fraction(0)


def _machine_energy(plant: Plant, machine: PlantMachine) -> dict[str, MetricResult]:
    """M-18 and M-20 of a machine that is collected from, by a meter or a power tag of its own."""
    if not machine.energy_source and machine.production is None:
        return {}
    scope = energy_scope(plant, machine.id, machine)
    good = machine.production.whole_gq if machine.production else None
    idle = energy.idle_share(scope, machine.energy, machine.timeline or Timeline((), ()))
    if machine.timeline is None and machine.energy is not None:
        idle = replace(idle, value=None, reason=_NO_STATES)
    return {
        f"M-18@{machine.id}": doubted(
            energy.per_good_part(scope, machine.energy, good),
            machine.energy_doubts + machine.parts_doubts,
        ),
        f"M-20@{machine.id}": doubted(idle, machine.energy_doubts),
    }


def _energy(plant: Plant, options: FigureOptions) -> dict[str, MetricResult]:
    """M-18 and M-19 of every line, and of the site as the sum of its lines."""
    found: dict[str, MetricResult] = {}
    for line in plant.lines:
        used, sources = plant.line_energy(line)
        scope = energy_scope(plant, line)
        last = plant.last_station(line)
        good = last.production.whole_gq if last and last.production else None
        per_part = energy.per_good_part(scope, used, good)
        if used is not None and last is None:
            per_part = replace(per_part, reason=_NO_LAST_STATION)
        elif last is not None:
            per_part = replace(per_part, notes=(_LAST_STATION,))
        coal = energy.standard_coal(scope, used, options.kgce_per_kwh)
        details = {"measured_by": list(sources), "good_parts_of": last and last.id}
        doubts = plant.line_doubts(line)
        parts = doubts if last is None else doubts + last.parts_doubts
        found[f"M-18@line:{line}"] = doubted(
            replace(per_part, details={**per_part.details, **details}), parts
        )
        found[f"M-19@line:{line}"] = doubted(
            replace(coal, details={**coal.details, **details}), doubts
        )
    return found | _site_energy(plant, options)


def _site_energy(plant: Plant, options: FigureOptions) -> dict[str, MetricResult]:
    scope = energy_scope(plant, "site")
    used = plant.site_energy()
    coal = energy.standard_coal(scope, used, options.kgce_per_kwh)
    lasts = {line: last for line in plant.lines if (last := plant.last_station(line)) is not None}
    made = {line: last.production.whole_gq for line, last in lasts.items() if last.production}
    contradicting = [line for line, parts in made.items() if parts is not None and parts < 0]
    counted = [
        line
        for line in lasts
        if line not in contradicting and plant.line_energy(line)[0] is not None
    ]
    good = [parts for line, parts in made.items() if parts is not None and line in counted]
    together = [used for used, _ in map(plant.line_energy, counted) if used is not None]
    with_parts = (
        CountSum([count for part in together for count in part.parts]) if together else None
    )
    per_part = energy.per_good_part(scope, with_parts, sum(good, Fraction(0)) if good else None)
    if used is not None and not counted:
        per_part = replace(per_part, reason=MORE_SCRAP if contradicting else _NO_LAST_STATION)
    details = {"lines": counted}
    sources = sorted(source for line in plant.lines for source in plant.line_energy(line)[1])
    none = CountDoubts(zone=plant.facts.timezone)
    of_parts = sum((plant.line_doubts(line) + lasts[line].parts_doubts for line in counted), none)
    of_energy = sum(map(plant.line_doubts, plant.lines), none)
    return {
        "M-18": doubted(replace(per_part, details={**per_part.details, **details}), of_parts),
        "M-19": doubted(replace(coal, details={**coal.details, "measured_by": sources}), of_energy),
    }


def lateness_p95(facts: WindowFacts, device: str) -> Fraction | None:
    """Seconds within which 95 % of a device's values reached the store; None without any."""
    return from_histogram(facts.lateness.get(device, {}), (), Window())["M-21-p95"].value


def _lateness(plant: Plant) -> dict[str, MetricResult]:
    """M-21 from the histogram by milliseconds."""
    counts: dict[int, int] = {}
    for histogram in plant.facts.lateness.values():
        for delay, number in histogram.items():
            counts[delay] = counts.get(delay, 0) + number
    found = from_histogram(counts, sorted(plant.facts.lateness), plant.window)
    version = plant.assessment.register.version
    return {metric: replace(result, register_version=version) for metric, result in found.items()}
