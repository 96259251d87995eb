"""All register-based metrics at once: the flat figures of an assessment, and every full result."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, tzinfo
from fractions import Fraction
from typing import Any, Final

from edge_agent.errors import Finding
from edge_agent.metrics import bands, collection, composition, rates
from edge_agent.metrics.assessment import Assessment, Metric
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.live import LiveEvidence
from edge_agent.metrics.result import MetricResult, number, percent
from edge_agent.register.model import Register

METRICS: Final[Mapping[str, Metric]] = {
    "M-01-strict": rates.m01_strict,
    "M-01-prorata": rates.m01_prorata,
    "M-01-any": rates.m01_any,
    "M-02": rates.m02,
    "M-03": rates.m03,
    "M-04a-declared": rates.m04a_declared,
    "M-04a-effective": rates.m04a_effective,
    "M-04b-declared": rates.m04b_declared,
    "M-04b-effective": rates.m04b_effective,
    "M-04c-declared": rates.m04c_declared,
    "M-04c-effective": rates.m04c_effective,
    "M-04d": collection.m04d,
    "M-05": collection.m05,
    "M-05-process": collection.m05_process,
    "M-06": collection.m06,
    "M-07": collection.m07,
    "M-08-count": composition.m08_count,
    "M-08-value": composition.m08_value,
    "M-09": composition.m09,
    "M-10": composition.m10,
}
NO_DATA: Final = Text("窗口内没有采集数据", "no collected data in the window")
#: What data show; of these what is divided by time, readings or machines that data show.
_OF_DATA: Final = (
    "M-04a-effective",
    "M-04b-effective",
    "M-04c-effective",
    "M-04d",
    "M-05",
    "M-05-process",
    "M-06",
    "M-07",
)
_OF_TIME: Final = ("M-04d", "M-05", "M-07")

#: Flat key -> the metric whose percentage it is.
_PERCENTAGES: Final = {
    "digital_rate_pct": "M-03",
    "networking_rate_miit_declared_pct": "M-04a-declared",
    "networking_rate_miit_effective_pct": "M-04a-effective",
    "networking_rate_of_digital_declared_pct": "M-04b-declared",
    "networking_rate_of_digital_effective_pct": "M-04b-effective",
    "key_equipment_nc_rate_pct": "M-02",
    "key_equipment_networked_effective_pct": "M-04c-effective",
    "cnc_rate_strict_pct": "M-01-strict",
    "cnc_rate_prorata_pct": "M-01-prorata",
    "cnc_rate_any_pct": "M-01-any",
    "domestic_robot_share_pct": "M-09",
    "local_robot_share_pct": "M-10",
}
_BOUNDARIES: Final = ("0", "10", "10.01", "20", "20.01", "40", "40.01", "60", "60.01", "100")


def compute(assessment: Assessment) -> dict[str, MetricResult]:
    """Every register-based metric by id; without any collected data those that rest on data are
    null, not 0."""
    found = {metric: function(assessment) for metric, function in METRICS.items()}
    if assessment.collected or not assessment.machines:
        return found
    return found | {metric: _unseen(found[metric]) for metric in _OF_DATA}


def _unseen(result: MetricResult) -> MetricResult:
    if (
        result.denominator == 0
        and result.reason is not None
        and result.definition.id not in _OF_TIME
    ):
        return result  # there is nothing to divide by either, which is what is to be mended first
    return replace(
        result,
        value=None,
        numerator=None,
        numerator_ids=(),
        grade=None,
        reason=NO_DATA,
        effective_after=None,
    )


def evaluate(
    register: Register,
    live: LiveEvidence | None = None,
    *,
    computed_at: int | None = None,
    robot_is_nc: bool = True,
    configured: Collection[str] | None = None,
    findings: Collection[Finding] = (),
    zone: tzinfo = UTC,
) -> dict[str, Any]:
    """Plain JSON: flat figures at the top, full results under `results`. `live` None: nothing is
    collected. `zone`: whose days the dates of the register are."""
    assessment = Assessment(
        register, live or LiveEvidence(), computed_at, robot_is_nc, configured, zone=zone
    )
    results = compute(assessment)
    return {
        **_flat(assessment, results),
        "register_version": register.version,
        "provisional": assessment.provisional,
        "live_not_declared": live_not_declared(assessment),
        "not_counted": [
            {"equipment_id": row.equipment_id, "why": why} for row, why in assessment.members.absent
        ],
        "evidence": [_evidence(assessment, key) for key in sorted(assessment.evidence)],
        "findings": [_finding(finding) for finding in findings],
        "results": {metric: result.to_full_json() for metric, result in results.items()},
    }


def live_not_declared(assessment: Assessment) -> list[str]:
    """Machines that deliver as a networked one does and are not declared: listed, not counted."""
    return sorted(
        key for key, each in assessment.evidence.items() if each.live and not each.declared
    )


def not_effective(assessment: Assessment) -> list[str]:
    """Declared and not networked in effect."""
    return sorted(
        key for key, each in assessment.evidence.items() if each.declared and not each.live
    )


def needing_attention(assessment: Assessment) -> list[str]:
    """Of these the ones somebody has to look at: not those that are online and were only just
    connected."""
    waiting = not_judged_yet(assessment)
    return [key for key in not_effective(assessment) if key not in waiting]


def not_judged_yet(assessment: Assessment) -> list[str]:
    """Declared machines that are online, were connected too short a time to be judged, and need
    nothing but time."""
    rows = assessment.evidence.items()
    return sorted(
        key for key, each in rows if each.declared and not each.live and each.new and each.online
    )


def _flat(assessment: Assessment, results: Mapping[str, MetricResult]) -> dict[str, Any]:
    counts = {
        "total_production_equipment": results["M-03"].denominator,
        "digital_count": results["M-03"].numerator,
        "networked_declared": results["M-04a-declared"].numerator,
        "networked_effective": results["M-04a-effective"].numerator,
        "key_equipment": results["M-02"].denominator,
        "key_equipment_nc": results["M-02"].numerator,
        "key_processes": results["M-01-strict"].denominator,
        "robots": results["M-09"].denominator,
    }
    return {
        **{key: number(count) for key, count in counts.items()},
        **{key: percent(results[metric].value) for key, metric in _PERCENTAGES.items()},
        "key_process_nc": results["M-01-strict"].details["nc_by_process"],
        "miit_score_digital": score(results["M-03"]),
        "miit_score_networked_effective": score(results["M-04a-effective"]),
        "band_boundaries": {
            text: number(bands.points(Fraction(text) / 100)) for text in _BOUNDARIES
        },
        "not_effective": not_effective(assessment),
        "not_judged_yet": not_judged_yet(assessment),
        "now_online": list(assessment.now_online(assessment.machines)),
    }


def score(result: MetricResult) -> int | float | None:
    """Points of the MIIT 2024 questionnaire for a rate; None without a value."""
    return None if result.value is None else number(bands.points(result.value))


def _evidence(assessment: Assessment, key: str) -> dict[str, Any]:
    each = assessment.evidence[key]
    return {
        "equipment_id": key,
        "device": each.device,
        "declared": each.declared,
        "effective": each.effective,
        "grade": each.grade,
        "why_not": each.why_not and each.why_not._asdict(),
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {"code": finding.code, "where": finding.where, "zh": finding.zh, "en": finding.en}
