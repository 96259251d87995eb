"""`edge-agent report ...`: gathers the facts, builds the document, writes what was asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_agent.app.figures.served_facts import fact_source
from edge_agent.app.reports.validity import ReportSubject, in_window, is_over
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.errors import FindingsError
from edge_agent.metrics.calendar import load_calendar
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.result import iso
from edge_agent.production.figures import FigureOptions, plant_of
from edge_agent.production.gather import devices_of, first_data, gather, newest_minute
from edge_agent.production.plant import Plant
from edge_agent.production.retention import readings_gone
from edge_agent.production.store_source import FactSource
from edge_agent.production.stored import snapshot
from edge_agent.production.stored import trend as stored_trend
from edge_agent.production.windows import day_end, month, month_so_far, window
from edge_agent.register import importing
from edge_agent.register.names import names_in
from edge_agent.report import html, tables
from edge_agent.report.archive import zipped
from edge_agent.report.blocks import Json
from edge_agent.report.document import Kind, ReportSetting, build
from edge_agent.report.issue import Issue, assign_revision, read_index, record, standing
from edge_agent.report.pack import build as pack
from edge_agent.report.parts.evidence import PackSubject
from edge_agent.report.parts.trend import trend
from edge_agent.report.speech import Language, local
from edge_agent.words import command

_S: Final = 1_000_000_000
_EVIDENCE: Final = "evidence"


def subject(config: Path) -> ReportSubject:
    """Load everything a report needs. Raises FindingsError with all that is wrong."""
    site = load(config, secrets=False)
    files = site.register_
    if files.equipment is None:
        raise FindingsError.one(
            "report-without-register",
            "配置中没有设备台账（register.equipment）：报告以台账为准，"
            f"请先填写（{command('register', 'template')}）。",
            "The configuration names no equipment register (register.equipment), on which every "
            "report rests: make one "
            f"with `{command('register', 'template')}`.",
            str(config),
        )
    register, noted = importing.load(files.equipment, files.processes, names_in(site))
    calendar = load_calendar(files.calendar) if files.calendar else None
    read = [
        path
        for path in (config, files.equipment, files.processes, files.calendar)
        if path is not None
    ]
    sources = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in read}
    options = FigureOptions(
        files.robot_is_nc,
        zone=ZoneInfo(site.agent.timezone),
        change_within_s=Fraction(str(files.change_within)),
    )
    return ReportSubject(
        site, register, calendar, options, sources, Clock.from_environment().time_ns(), noted
    )


def _noted_of_plant(about: ReportSubject, source: FactSource) -> ReportSubject:
    """With the register's notes as they are when the devices of the plant's other agents are known:
    a device that only the store has heard of is no unknown one."""
    files = about.site.register_
    if not about.site.agents or files.equipment is None:
        return about
    names = devices_of(about.site, source).plant_names
    return replace(about, checked=importing.load(files.equipment, files.processes, names)[1])


def health_check(
    about: ReportSubject, folder: Path, wanted: str | None, languages: Sequence[Language]
) -> Issue:
    """数字体检: the twelve parts."""
    with fact_source(about.site) as source:
        about = _noted_of_plant(about, source)
        start, end = _window(about, source, wanted)
        about = in_window(about, source, end, over=is_over(about, wanted, end))
        plant = _plant(about, source, start, end)
    return _issue(about, plant, folder, "health-check", _period(start, end), languages)


def monthly(
    about: ReportSubject, folder: Path, wanted: str, languages: Sequence[Language]
) -> Issue:
    """The same of one month of the plant's calendar, with the trend. A month not over yet is
    provisional."""
    month(wanted, about.site)  # a word that is no month is refused before the store is asked
    with fact_source(about.site) as source:
        about = _noted_of_plant(about, source)
        last, first = _extent(about, source)
        start, end, closed = month_so_far(wanted, about.site, last, first, about.now_ns)
        about = in_window(about, source, end, over=closed)
        plant = _plant(about, source, start, end)
        extra = [trend(*stored_trend(source, about.site, wanted))]
    partial = _partial(about, start) if start > month(wanted, about.site)[0] else None
    return _issue(
        about,
        plant,
        folder,
        "monthly",
        wanted,
        languages,
        extra=extra,
        closed=closed,
        partial=partial,
    )


def _partial(about: ReportSubject, start: int) -> Text:
    moment = local(iso(start) or "", about.site.agent.timezone)[:16]
    return Text(
        f"不是整月：工厂于 {moment} 首次接入，全部数值自此计起。",
        f"Not the whole month: the plant was first connected on {moment}, and every figure "
        "begins there.",
    )


def evidence(
    about: ReportSubject,
    folder: Path,
    project: str,
    wanted: str | None,
    dates: Sequence[str],
    language: Language,
) -> tuple[Path, str]:
    """The pack of a project as a folder; its path, and the hash of its manifest."""
    _refuse_unknown(project, about)
    with fact_source(about.site) as source:
        about = _noted_of_plant(about, source)
        start, end = _window(about, source, wanted)
        about = in_window(about, source, end, over=is_over(about, wanted, end))
        _refuse_unknown(project, about)
        plant = _plant(about, source, start, end)
        shots = [snapshot(source, about.site, day_end(text, about.site), text) for text in dates]
    previous = _previous(folder, project)
    period = _period(start, end)
    check = build(plant, _setting(about, end, "health-check", period))
    shown = build(
        plant,
        _setting(about, end, "evidence", period, project=PackSubject(project, shots, previous)),
    )
    claim = pack.PackClaim(
        project,
        about.site.agent.enterprise,
        about.site.agent.site,
        about.options,
        max(about.now_ns, end),
        previous,
        shots,
        dict(_rendered("evidence", shown, language)) | dict(_rendered("report", check, language)),
        about.site.agent.timezone,
    )
    return _write_pack(folder, project, period, pack.build(plant, claim), plant)


def _refuse_unknown(project: str, about: ReportSubject) -> None:
    """Raises FindingsError for a project that no row of the register names."""
    known = sorted({row.project_id for row in about.register.equipment if row.project_id})
    if project not in known:
        raise FindingsError.one(
            "unknown-project",
            f"台账中没有项目“{project}”；已有：{', '.join(known) or '无'}。",
            f"The register has no project “{project}”; it has: {', '.join(known) or 'none'}.",
            "--project",
        )


def _rendered(name: str, document: Json, language: Language) -> Iterator[tuple[str, bytes]]:
    yield f"{name}.json", _json(document)
    yield f"{name}.html", html.render(document, language).encode()
    yield f"{name}.xlsx", tables.workbook(document, language)


def _previous(folder: Path, project: str) -> dict[str, str] | None:
    """The last pack of the same project in this folder."""
    rows = [
        row for row in read_index(folder) if row["kind"] == _EVIDENCE and row["project"] == project
    ]
    return (
        {"pack": rows[-1]["stem"], "manifest_sha256": rows[-1]["content_sha256"]} if rows else None
    )


def _write_pack(
    folder: Path, project: str, period: str, files: pack.Files, plant: Plant
) -> tuple[Path, str]:
    digest = hashlib.sha256(files[pack.MANIFEST]).hexdigest()
    earlier = sum(
        row["kind"] == _EVIDENCE and row["project"] == project for row in read_index(folder)
    )
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in project)
    stem = f"evidence-{safe}-{earlier + 1:03}"
    document = {
        "kind": _EVIDENCE,
        "project": project,
        "period": period,
        "revision": earlier + 1,
        "content_sha256": digest,
        "issued": json.loads(files[pack.MANIFEST])["issued"],
        "register_version": plant.assessment.register.version,
    }
    written = {f"{stem}/{name}": content for name, content in files.items()}
    record(folder, Issue(document, stem, True), written)
    return folder / stem, digest


def take_snapshot(about: ReportSubject, folder: Path, at: str) -> Path:
    """The stored results as of a date, as a file that `compare` takes."""
    with fact_source(about.site) as source:
        found = snapshot(source, about.site, day_end(at, about.site), at)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"snapshot-{at.replace(':', '')}.json"
    path.write_bytes(_json(found))
    return path


def _window(about: ReportSubject, source: FactSource, wanted: str | None) -> tuple[int, int]:
    last, first = _extent(about, source)
    return window(wanted, about.site, last, first, about.now_ns)


def _extent(about: ReportSubject, source: FactSource) -> tuple[int | None, int | None]:
    """(the newest full minute of data, when the first of all devices was first read well), None
    without any."""
    plant = devices_of(about.site, source)
    last = newest_minute(source, plant, about.now_ns)
    return last, first_data(source, plant, last or about.now_ns)


def _plant(about: ReportSubject, source: FactSource, start: int, end: int) -> Plant:
    register = devices_of(about.site, source).resolved(about.register)
    facts = gather(about.site, source, register, about.calendar, start, end)
    return plant_of(facts, register, about.options)


def _period(start: int, end: int) -> str:
    first, last = ((iso(t) or "")[:16].replace("-", "").replace(":", "") for t in (start, end))
    return f"{first}-{last}"


def _setting(about: ReportSubject, end: int, kind: Kind, period: str, **more: Any) -> ReportSetting:
    """Nothing is issued before its window ends: with speed-up the plant's time runs ahead of this
    machine's clock."""
    agent = about.site.agent
    return ReportSetting(
        kind,
        period,
        agent.enterprise,
        agent.site,
        agent.id,
        about.options,
        about.sources,
        timezone=agent.timezone,
        issued_ns=max(about.now_ns, end),
        noted=about.noted,
        validity=about.validity,
        **more,
    )


def _issue(
    about: ReportSubject,
    plant: Plant,
    folder: Path,
    kind: Kind,
    period: str,
    languages: Sequence[Language],
    *,
    extra: Sequence[Json] = (),
    closed: bool = True,
    partial: Text | None = None,
) -> Issue:
    gone = readings_gone(about.site, plant.facts.start, about.now_ns) if closed else None
    issue = None if gone is None else standing(folder, kind, period, gone)
    if issue is None:
        told = gone or partial
        setting = _setting(
            about, plant.facts.end, kind, period, extra=extra, closed=closed, partial=told
        )
        issue = assign_revision(folder, build(plant, setting))
    record(folder, issue, dict(_files(issue, languages)))
    return issue


def _files(issue: Issue, languages: Sequence[Language]) -> Iterator[tuple[str, bytes]]:
    """The renderings; the JSON of an issue that exists already stays as it is."""
    if issue.new:
        yield f"{issue.stem}.json", _json(issue.document)
    for language in languages:
        yield f"{issue.stem}.{language}.html", html.render(issue.document, language).encode()
        yield f"{issue.stem}.{language}.xlsx", tables.workbook(issue.document, language)
        yield (
            f"{issue.stem}.{language}.csv.zip",
            zipped(dict(tables.csv_files(issue.document, language))),
        )


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
