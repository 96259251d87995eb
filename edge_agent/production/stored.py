"""What was kept of the metrics at a date: snapshots, and the results of twelve months.

In: the results a store keeps (`FactSource.stored`). Out: the same documents, the newest revision of
each; the OEE and energy of a month as sums over its days.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_agent.config.models import Site
from edge_agent.metrics.result import iso
from edge_agent.production.store_source import FactSource
from edge_agent.production.windows import instant, month, months_before

Document = dict[str, Any]

_S: Final = 1_000_000_000
_MINUTE: Final = 60_000_000_000
_DAY: Final = 86_400_000_000_000
#: How far back from a date its last results are looked for: step by step, so that the usual answer
#: is a short one.
_LOOKS: Final = (10 * _MINUTE, 60 * _MINUTE, 360 * _MINUTE, _DAY)
_TREND_MONTHS: Final = 12
#: Of a month: the sum of its days' numerators over that of their denominators.
SUMMED_RATES: Final = ("M-14",)
SUMMED_AMOUNTS: Final = ("M-18", "M-19")


def stored_at(source: FactSource, at: int, days: int) -> list[Document]:
    """The newest stored result of every metric before `at`, and not older than `days` days."""
    newest = source.newest_stored(at - days * _DAY, at)
    if newest is None:
        return []
    end = at
    for back in (*_LOOKS, *(day * _DAY for day in range(2, days + 1))):
        if newest >= at - back:
            found = source.stored(at - back, end)
            return list({result["id"]: result for result in found}.values())
        end = at - back
    return []


def days_at(source: FactSource, site: Site, at: int) -> list[Document]:
    """The figures of the last full day before `at`, as they were kept when the day was over: OEE,
    energy, ..."""
    return _newest_revisions(source, _midnight(site, at))


def _midnight(site: Site, at: int) -> int:
    zone = ZoneInfo(site.agent.timezone)
    day = datetime.fromtimestamp(at // _S, zone).date()
    return instant(datetime(day.year, day.month, day.day), zone)


def _newest_revisions(source: FactSource, midnight: int) -> list[Document]:
    """What was kept of the day that ended at a midnight; late data may have corrected it since."""
    found: dict[str, Document] = {}
    for result in source.stored(midnight, midnight + 1):
        if (result.get("period") or {}).get("kind") != "day":
            continue
        before = found.get(result["id"])
        if before is None or result.get("revision", 0) >= before.get("revision", 0):
            found[result["id"]] = result
    return [found[key] for key in sorted(found)]


def snapshot(source: FactSource, site: Site, at: int, name: str, days: int = 31) -> Document:
    """The plant as it was at a date, from the results stored then, with the figures of the last
    full day before it.

    Without any there are no figures, and the reason.
    """
    figures = {
        result["id"]: result for result in stored_at(source, at, days) if "period" not in result
    }
    figures |= {result["id"]: result for result in days_at(source, site, at)}
    reason = {
        "zh": f"{days} 天内没有存储的指标结果",
        "en": f"no metric results were stored in the {days} days before",
    }
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


def trend(
    source: FactSource, site: Site, last: str
) -> tuple[list[tuple[str, Document]], list[tuple[str, Document]]]:
    """The twelve months that end with `last`: (month, `{"figures"}`) of the rates as stored at each
    month's end, and of OEE and energy as sums of its days."""
    rates = []
    sums = []
    for name in months_before(last, _TREND_MONTHS):
        start, end = month(name, site)
        rates.append((name, {"figures": stored_at(source, end, (end - start) // _DAY)}))
        sums.append((name, {"figures": _month_sums(source, site, start, end)}))
    return rates, sums


def _month_sums(source: FactSource, site: Site, start: int, end: int) -> list[Document]:
    """Site figures of a month from those of its days: sum over sum, of the days that have both."""
    together: dict[str, list[Document]] = {}
    if source.newest_stored(start, end + 1) is None:
        return []
    for midnight in _midnights(site, start, end):
        for result in _newest_revisions(source, midnight):
            metric, _, scope = result["id"].partition("/")
            if (
                scope == "day/site"
                and metric in (*SUMMED_RATES, *SUMMED_AMOUNTS)
                and result["value"] is not None
            ):
                together.setdefault(metric, []).append(result)
    return [_summed(metric, days) for metric, days in together.items()]


def _summed(metric: str, days: list[Document]) -> Document:
    top, bottom = (sum(float(day[name]) for day in days) for name in ("numerator", "denominator"))
    value = top / 1000 if metric == "M-19" else top / bottom if bottom else None
    return {**days[0], "id": metric, "value": value, "numerator": top, "denominator": bottom}


def _midnights(site: Site, start: int, end: int) -> Iterator[int]:
    """The ends of a month's days."""
    zone = ZoneInfo(site.agent.timezone)
    day = datetime.fromtimestamp(start // _S, zone).replace(tzinfo=None)
    while (t := instant(day := day + timedelta(days=1), zone)) <= end:
        yield t
