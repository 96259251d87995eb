"""What was stored of the metrics at a date: snapshots, and the trend by month."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_agent.app.reports.gather import Ask
from edge_agent.app.reports.window import instant, month, months_before
from edge_agent.config.models import Site
from edge_agent.metrics.result import iso
from edge_agent.report import blocks
from edge_agent.report.blocks import Column, Json
from edge_agent.report.compare import months

_S: Final = 1_000_000_000
_MINUTE: Final = 60_000_000_000
_DAY: Final = 86_400_000_000_000
#: How far back from a date its last results are looked for: step by step, so that the usual answer is a short one.
_LOOKS: Final = (10 * _MINUTE, 60 * _MINUTE, 360 * _MINUTE, _DAY)
_TREND_MONTHS: Final = 12
_TREND: Final = ("M-01-prorata", "M-03", "M-04a-effective", "M-05")
_SUMMED_RATES: Final = ("M-14",)
_SUMMED_AMOUNTS: Final = ("M-18", "M-19")


def stored_at(question: Ask, at: int, days: int) -> list[dict[str, Any]]:
    """The newest stored result of every metric before `at`, and not older than `days` days."""
    end = at
    for back in (*_LOOKS, *(day * _DAY for day in range(2, days + 1))):
        found = question("report_stored", from_ns=at - back, to_ns=end)
        if found:
            return list({result["id"]: result for result in found}.values())
        end = at - back
    return []


def days_at(question: Ask, site: Site, at: int) -> list[dict[str, Any]]:
    """The figures of the last full day before `at`, as they were kept when the day was over: OEE, energy, ..."""
    return _newest_revisions(question, _midnight(site, at))


def _midnight(site: Site, at: int) -> int:
    zone = ZoneInfo(site.agent.timezone)
    day = datetime.fromtimestamp(at // _S, zone).date()
    return instant(datetime(day.year, day.month, day.day), zone)


def _newest_revisions(question: Ask, midnight: int) -> list[dict[str, Any]]:
    """What was kept of the day that ended at a midnight; late data may have corrected it since."""
    found: dict[str, dict[str, Any]] = {}
    for result in question("report_stored", from_ns=midnight, to_ns=midnight + 1):
        if (result.get("period") or {}).get("kind") != "day":
            continue
        before = found.get(result["id"])
        if before is None or result.get("revision", 0) >= before.get("revision", 0):
            found[result["id"]] = result
    return [found[key] for key in sorted(found)]


def snapshot(question: Ask, site: Site, at: int, name: str, days: int = 31) -> Json:
    """The plant as it was at a date, from the results stored then, with the figures of the last full day before it.

    Without any there are no figures, and the reason.
    """
    figures = {result["id"]: result for result in stored_at(question, at, days) if "period" not in result}
    figures |= {result["id"]: result for result in days_at(question, site, at)}
    reason = blocks.text(f"{days} 天内没有存储的指标结果", f"no metric results were stored in the {days} days before")
    return {
        "schema": "edge-agent/snapshot/1",
        "kind": "snapshot",
        "enterprise": site.agent.enterprise,
        "site": site.agent.site,
        "at": name,
        "at_utc": iso(at),
        "figures": list(figures.values()),
        "reason": None if figures else reason,
    }


def trend(question: Ask, site: Site, last: str) -> Json:
    """The part with the last twelve months: rates as stored at each month's end, OEE and energy as sums of its days."""
    points, summed = [], []
    for name in months_before(last, _TREND_MONTHS):
        start, end = month(name, site)
        points.append((name, {"figures": stored_at(question, end, (end - start) // _DAY)}))
        summed.append((name, {"figures": _month_sums(question, site, start, end)}))
    rates = months(points, _TREND) + months(summed, _SUMMED_RATES)
    amounts = months(summed, _SUMMED_AMOUNTS)
    found = [
        blocks.chart("trend", "月度趋势", "trend by month", series=rates),
        _trend_table("trend", *_trend_titles(rates), rates, "percent"),
        _trend_table("trend_energy", "当月能耗", "energy of the month", amounts, "number"),
        blocks.paragraph(
            "OEE、单位产品能耗与综合能耗为当月各自然日已存结果的 分子之和 / 分母之和；没有存储结果的月份为空。",
            "OEE, energy per part and energy are the sums of numerators over the sums of denominators of the month's "
            "days as stored; months without stored results stay empty.",
            "note",
        ),
    ]
    return blocks.part(13, "趋势", "trend", found)


def _trend_titles(rates: list[Json]) -> tuple[str, str]:
    """OEE is named where the table has it: without a stored day it has not."""
    if any(each["id"] in _SUMMED_RATES for each in rates):
        return "月末存储的比率与当月 OEE", "rates at each month's end, and the month's OEE"
    return "月末存储的比率", "rates at each month's end"


def _trend_table(name: str, zh: str, en: str, series: list[Json], form: blocks.Format) -> Json:
    heads = (
        (f"{each['id']} {each['name']['zh']}" for each in series),
        (f"{each['id']} {each['name']['en']}" for each in series),
    )
    columns = (Column("月份", "month"), *(Column(a, b, form) for a, b in zip(*heads, strict=True)))
    names = [point[0] for point in series[0]["points"]] if series else []
    rows = [[month_, *(each["points"][i][1] for each in series)] for i, month_ in enumerate(names)]
    return blocks.table(name, zh, en, columns, rows)


def _month_sums(question: Ask, site: Site, start: int, end: int) -> list[dict[str, Any]]:
    """Site figures of a month from those of its days: sum over sum, of the days that have both."""
    together: dict[str, list[dict[str, Any]]] = {}
    for midnight in _midnights(site, start, end):
        for result in _newest_revisions(question, midnight):
            metric, _, scope = result["id"].partition("/")
            if scope == "day/site" and metric in (*_SUMMED_RATES, *_SUMMED_AMOUNTS) and result["value"] is not None:
                together.setdefault(metric, []).append(result)
    return [_summed(metric, days) for metric, days in together.items()]


def _summed(metric: str, days: list[dict[str, Any]]) -> dict[str, Any]:
    top, bottom = (sum(float(day[name]) for day in days) for name in ("numerator", "denominator"))
    value = top / 1000 if metric == "M-19" else top / bottom if bottom else None
    return {**days[0], "id": metric, "value": value, "numerator": top, "denominator": bottom}


def _midnights(site: Site, start: int, end: int) -> Iterator[int]:
    """The ends of a month's days."""
    zone = ZoneInfo(site.agent.timezone)
    day = datetime.fromtimestamp(start // _S, zone).replace(tzinfo=None)
    while (t := instant(day := day + timedelta(days=1), zone)) <= end:
        yield t
