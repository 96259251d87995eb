"""The report as one plain document: the parts, every figure, and what they rest on. All renderings
come from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from edge_agent.errors import Finding
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.result import MetricResult, iso, number
from edge_agent.production import figures as computing
from edge_agent.production.facts import WindowFacts
from edge_agent.production.figures import FigureOptions
from edge_agent.production.plant import Plant
from edge_agent.report.blocks import Json, text
from edge_agent.report.findings import Observation, observed
from edge_agent.report.parts.end import definitions, signature
from edge_agent.report.parts.evidence import PackSubject
from edge_agent.report.parts.evidence import parts as evidence_parts
from edge_agent.report.parts.network import inventory, quality
from edge_agent.report.parts.plan import plan, scenes
from edge_agent.report.parts.production import energy_part, production
from edge_agent.report.parts.rates import evidence, gaps, headlines, scope
from edge_agent.report.summary import conclusions, summary

SCHEMA: Final = "edge-agent/report/1"
Kind = Literal["health-check", "monthly", "evidence"]

_TITLES: Final = {
    "health-check": text("数字体检报告", "digital health check"),
    "monthly": text("智能化改造月报", "monthly report of the intelligent upgrade"),
    "evidence": text("智能化改造证据", "evidence of the intelligent upgrade"),
}
#: What differs between two issues of the same content.
_VOLATILE: Final = ("issued", "revision", "changes", "content_sha256", "software")


@dataclass(frozen=True, slots=True)
class ReportSetting:
    """What a report says of itself besides the figures."""

    kind: Kind
    period: str
    """`2026-11` of a monthly report, else the window as text."""
    enterprise: str = ""
    site: str = ""
    agent: str = ""
    options: FigureOptions = field(default_factory=FigureOptions)
    sources: Mapping[str, str] = field(default_factory=dict)
    """File name -> sha256 of what was read."""
    noted: Sequence[Finding] = ()
    """What the check of register and calendar noted."""
    extra: Sequence[Json] = ()
    """Blocks of a further part: the trend of a monthly report."""
    timezone: str = "UTC"
    """In which times are shown."""
    issued_ns: int | None = None
    project: PackSubject | None = None
    """What an evidence document is about."""
    closed: bool = True
    """The period is over: another result is another revision."""
    partial: Text | None = None
    """Why the window is not all of the period."""
    validity: Text | None = None
    """Which version of the register a window that is over was computed with, and why."""


def build(plant: Plant, setting: ReportSetting) -> Json:
    """The whole document."""
    found = computing.figures(plant, setting.options)
    who = {"enterprise": setting.enterprise, "site": setting.site, "agent": setting.agent}
    if setting.project is not None:
        parts = evidence_parts(plant, found, setting.project, setting.timezone)
        told = [conclusions(plant, found)]
    else:
        seen = observed(plant)
        parts = [*_twelve(plant, found, who, setting, seen), *setting.extra]
        told = summary(plant, found, len(setting.noted) + len(seen), setting.partial)
    document = {
        "schema": SCHEMA,
        "kind": setting.kind,
        "title": _TITLES[setting.kind],
        "period": setting.period,
        "project": setting.project and setting.project.id,
        "closed": setting.closed,
        **who,
        "timezone": setting.timezone,
        "window": _window(plant.facts),
        "register_version": plant.assessment.register.version,
        "options": {
            "robot_is_nc": setting.options.robot_is_nc,
            "kgce_per_kwh": number(setting.options.kgce_per_kwh),
        },
        "summary": told,
        "figures": computing.to_json(found),
        "parts": parts,
    }
    return {
        **document,
        "content_sha256": content_hash(document),
        "issued": iso(setting.issued_ns),
        "revision": 1,
    }


def _twelve(
    plant: Plant,
    found: dict[str, MetricResult],
    who: Mapping[str, str],
    setting: ReportSetting,
    seen: Sequence[Observation],
) -> list[Json]:
    """The parts of the health check."""
    return [
        scope(plant, who, setting.validity),
        headlines(plant, found),
        gaps(plant, setting.noted, seen),
        evidence(plant),
        inventory(plant),
        quality(plant, found),
        production(plant, found),
        energy_part(plant, found),
        scenes(plant, found),
        plan(plant, found),
        definitions(found),
        signature(plant, setting.sources),
    ]


def _window(facts: WindowFacts) -> Json:
    return {
        "from": iso(facts.start),
        "to": iso(facts.end),
        "from_ns": facts.start,
        "to_ns": facts.end,
    }


def content_hash(document: Mapping[str, Any]) -> str:
    """sha256 of what the report states: equal facts give an equal hash, whenever it was issued."""
    stated = {key: value for key, value in document.items() if key not in _VOLATILE}
    canonical = json.dumps(stated, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
