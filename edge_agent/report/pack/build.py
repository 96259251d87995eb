"""The evidence pack: register, facts, figures and what an assessor asks for, each file with its
hash in a manifest.

A pack is a mapping of names to contents; the application writes it as a folder or a zip.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_agent.metrics.result import iso
from edge_agent.production import figures as computing
from edge_agent.production.days import local_days
from edge_agent.production.facts import WindowFacts
from edge_agent.production.figures import FigureOptions
from edge_agent.production.plant import Plant
from edge_agent.register.columns import EQUIPMENT, PROCESSES
from edge_agent.register.exporting import table as register_table
from edge_agent.register.exporting import to_csv
from edge_agent.register.model import Equipment
from edge_agent.report import tabular
from edge_agent.report.pack.readme import integrator_statement, readme
from edge_agent.report.pictures.topology import topology

#: 2: the row of a scope multiplies, dates and kinds of the register count, values have to change.
SCHEMA: Final = "edge-agent/evidence/2"
MANIFEST: Final = "manifest.json"
_DOMESTIC: Final = (
    "equipment_id",
    "name_zh",
    "brand_origin",
    "controller_brand",
    "controller_model",
    "purchase_cny",
)

Files = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class PackClaim:
    """What a pack is about."""

    project: str
    enterprise: str
    site: str
    options: FigureOptions
    issued_ns: int
    previous: Mapping[str, str] | None = None
    """`{"pack", "manifest_sha256"}` of the pack before this one."""
    snapshots: Sequence[Mapping[str, Any]] = ()
    """Stored results at dates: `{"at", "figures": [...]}`."""
    report: Mapping[str, bytes] = field(default_factory=dict)
    """The report of the same window, rendered."""
    timezone: str = "UTC"
    """Whose days the acceptance log has."""


def build(plant: Plant, claim: PackClaim) -> Files:
    """Every file of the pack, the manifest last."""
    found = computing.to_json(computing.figures(plant, claim.options))
    files: Files = {
        "README.md": readme(claim.project).encode(),
        "figures.json": _json(found),
        "options.json": _json(stated_options(plant.facts, claim.options, claim.timezone)),
        "register.csv": to_csv(plant.assessment.register.equipment, EQUIPMENT),
        "processes.csv": to_csv(plant.assessment.register.processes, PROCESSES),
        "kinds.csv": claim.options.kinds.to_csv(),
        **{f"facts/{name}.csv": content for name, content in tabular.tables(plant.facts)},
        **for_people(plant, claim.project, claim.timezone),
        "snapshots.csv": tabular.for_people(*_snapshots(claim.snapshots)),
        "integrator.md": integrator_statement(claim.project).encode(),
        **claim.report,
    }
    manifest = _manifest(plant.facts, claim, files, plant.assessment.register.version)
    return {**files, MANIFEST: _json(manifest)}


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n"


def stated_options(facts: WindowFacts, options: FigureOptions, timezone: str) -> dict[str, Any]:
    """What `options.json` says: the window, how far back the health reaches, the choices, and the
    zone of the days."""
    return {
        "start_ns": facts.start,
        "end_ns": facts.end,
        "history_start_ns": facts.history_start,
        "states_until_ns": facts.known_until,
        "robot_is_nc": options.robot_is_nc,
        "kgce_per_kwh": tabular.digits(options.kgce_per_kwh),
        "change_within_h": tabular.digits(options.change_within_s / 3600),
        "calendar": "facts/plan.csv" if facts.plan else None,
        "timezone": timezone,
    }


def _manifest(facts: WindowFacts, claim: PackClaim, files: Files, version: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "project": claim.project,
        "enterprise": claim.enterprise,
        "site": claim.site,
        "window": {"from": iso(facts.start), "to": iso(facts.end)},
        "issued": iso(claim.issued_ns),
        "register_version": version,
        "previous": None if claim.previous is None else dict(claim.previous),
        "files": [
            {"path": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in sorted(files.items())
        ],
    }


def for_people(plant: Plant, project: str, timezone: str) -> Files:
    """What an assessor asks for besides the figures, as far as it follows from register and facts;
    days are those of the plant's zone."""
    rows = project_rows(plant, project)
    head, *cells = register_table(rows, EQUIPMENT, "zh")
    return {
        "project.csv": tabular.for_people(head, cells),
        "project_totals.csv": tabular.for_people(*totals(rows)),
        "connections.csv": tabular.for_people(*connections(plant)),
        "interfaces.csv": tabular.for_people(
            tabular.TABLES["tags"], ([*_tag(tag)] for tag in plant.facts.tags)
        ),
        "domestic.csv": tabular.for_people(
            _DOMESTIC,
            (
                [getattr(row, name) for name in _DOMESTIC]
                for row in rows
                if row.brand_origin in ("domestic", "local")
            ),
        ),
        "acceptance.csv": tabular.for_people(*_acceptance(plant.facts, ZoneInfo(timezone))),
        "topology.svg": topology(plant).encode(),
    }


def project_rows(plant: Plant, project: str) -> list[Equipment]:
    """The register's rows of the project, by id."""
    rows = [row for row in plant.assessment.register.equipment if row.project_id == project]
    return sorted(rows, key=lambda row: row.equipment_id)


def totals(rows: Sequence[Equipment]) -> tuple[tuple[str, ...], list[list[object]]]:
    """How many machines a project has, what they cost together, and whose price is missing."""
    total = sum((Fraction(row.purchase_cny or 0) for row in rows), Fraction(0))
    missing = [row.equipment_id for row in rows if row.purchase_cny is None]
    return ("machines", "purchase_total_cny", "machines_without_price"), [
        [len(rows), tabular.digits(total), ";".join(missing)]
    ]


def _tag(tag: Any) -> list[str]:
    return [
        tag.device,
        tag.tag,
        tag.type,
        tag.unit,
        tag.low,
        tag.high,
        tag.business_link,
        tag.description,
    ]


def connections(plant: Plant) -> tuple[tuple[str, ...], list[list[object]]]:
    """Every device with its first and last good reading and how many there were in the window."""
    head = (
        "device",
        "name",
        "protocol",
        "endpoint",
        "first_good",
        "last_good",
        "good_readings",
        "bad_readings",
        "coverage",
    )
    facts = plant.facts
    live = plant.assessment.live
    rows: list[list[object]] = []
    for device, about in facts.devices.items():
        fact = live.devices[device]
        minutes = facts.minutes_of(device).inside(facts.start, facts.end)
        coverage = None if fact.coverage is None else f"{float(fact.coverage):.4f}"
        rows.append(
            [
                device,
                about.name,
                about.connector,
                about.endpoint,
                iso(facts.first_good.get(device)),
                iso(minutes.last_good),
                minutes.total("good"),
                minutes.total("bad"),
                coverage,
            ]
        )
    return head, rows


def _acceptance(facts: WindowFacts, zone: ZoneInfo) -> tuple[tuple[str, ...], list[list[object]]]:
    """By day of the plant and device: seconds the device was covered, and readings that were
    good."""
    head = ("day", "timezone", "device", "covered_s", "good_readings", "readings", "completeness")
    rows: list[list[object]] = []
    for day, since, until in local_days(facts.start, facts.end, zone):
        for device in facts.devices:
            minutes = facts.minutes_of(device).inside(since, until)
            good = minutes.total("good")
            readings = minutes.total("good") + minutes.total("bad")
            if len(minutes):
                covered = tabular.digits(Fraction(minutes.total("covered_ms"), 1000))
                share = f"{good / readings:.4f}" if readings else None
                rows.append([day.isoformat(), zone.key, device, covered, good, readings, share])
    return head, rows


def _snapshots(
    snapshots: Sequence[Mapping[str, Any]],
) -> tuple[tuple[str, ...], list[list[object]]]:
    head = (
        "at",
        "computed_at",
        "metric",
        "value",
        "numerator",
        "denominator",
        "grade",
        "register_version",
    )
    return head, [
        [
            shot["at"],
            each.get("computed_at"),
            each["id"],
            each["value"],
            each["numerator"],
            each["denominator"],
            each["grade"],
            each.get("register_version"),
        ]
        for shot in snapshots
        for each in shot["figures"]
    ]
