"""What was stored of the metrics at a date: snapshots, and the trend by month."""

from __future__ import annotations

from typing import Any, Final

from edge_agent.app.report_gather import Ask
from edge_agent.app.report_window import month, months_before
from edge_agent.config.models import Site
from edge_agent.metrics.result import iso
from edge_agent.report import blocks
from edge_agent.report.blocks import Column, Json
from edge_agent.report.compare import months

_MINUTE: Final = 60_000_000_000
_DAY: Final = 86_400_000_000_000
#: How far back from a date its last results are looked for: step by step, so that the usual answer is a short one.
_LOOKS: Final = (10 * _MINUTE, 60 * _MINUTE, 360 * _MINUTE, _DAY)
_TREND_MONTHS: Final = 12
_TREND: Final = ("M-01-prorata", "M-03", "M-04a-effective", "M-05")


def stored_at(question: Ask, at: int, days: int) -> list[dict[str, Any]]:
    """The newest stored result of every metric before `at`, and not older than `days` days."""
    end = at
    for back in (*_LOOKS, *(day * _DAY for day in range(2, days + 1))):
        found = question("report_stored", from_ns=at - back, to_ns=end)
        if found:
            return list({result["id"]: result for result in found}.values())
        end = at - back
    return []


def snapshot(question: Ask, site: Site, at: int, name: str, days: int = 31) -> Json:
    """The plant as it was at a date, from the results stored then; without any, no figures and the reason."""
    figures = stored_at(question, at, days)
    reason = blocks.text(f"{days} 天内没有存储的指标结果", f"no metric results were stored in the {days} days before")
    return {
        "schema": "edge-agent/snapshot/1",
        "kind": "snapshot",
        "enterprise": site.agent.enterprise,
        "site": site.agent.site,
        "at": name,
        "at_utc": iso(at),
        "figures": figures,
        "reason": None if figures else reason,
    }


def trend(question: Ask, site: Site, last: str) -> Json:
    """The part with the rates of the last twelve months, as they were stored at each month's end."""
    points = []
    for name in months_before(last, _TREND_MONTHS):
        start, end = month(name, site)
        points.append((name, {"figures": stored_at(question, end, (end - start) // _DAY)}))
    series = months(points, _TREND)
    columns = (Column("月份", "month"), *(Column(each["name"]["zh"], each["name"]["en"], "percent") for each in series))
    rows = [[name, *(each["points"][i][1] for each in series)] for i, (name, _) in enumerate(points)]
    found = [
        blocks.chart("trend", "月度趋势", "trend by month", series=series),
        blocks.table("trend", "月末存储的结果", "results as stored at the end of each month", columns, rows),
    ]
    return blocks.part(13, "趋势", "trend", found)
