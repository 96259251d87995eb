"""Part 13: twelve months of rates, OEE and energy, as they were stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from edge_agent.production.stored import SUMMED_AMOUNTS, SUMMED_RATES
from edge_agent.report import blocks
from edge_agent.report.blocks import Json, TableColumn
from edge_agent.report.compare import months

_RATES: Final = ("M-01-prorata", "M-03", "M-04a-effective", "M-05")
Points = Sequence[tuple[str, Mapping[str, Any]]]
"""(month, `{"figures": [...]}`)."""


def trend(stored: Points, summed: Points) -> Json:
    """`stored`: the rates at each month's end; `summed`: OEE and energy as sums of the month's
    days."""
    rates = months(stored, _RATES) + months(summed, SUMMED_RATES)
    amounts = months(summed, SUMMED_AMOUNTS)
    found = [
        blocks.chart("trend", "月度趋势", "trend by month", series=rates),
        _trend_table("trend", *_trend_titles(rates), rates, "percent"),
        _trend_table("trend_energy", "当月能耗", "energy of the month", amounts, "number"),
        blocks.paragraph(
            "OEE、单位产品能耗与综合能耗为当月各自然日已存结果的 分子之和 / 分母之和；"
            "没有存储结果的月份为空。",
            "OEE, energy per part and energy are the sums of numerators over the sums of "
            "denominators of the month's "
            "days as stored; months without stored results stay empty.",
            "note",
        ),
    ]
    return blocks.part(13, "趋势", "trend", found)


def _trend_titles(rates: list[Json]) -> tuple[str, str]:
    """OEE is named where the table has it: without a stored day it has not."""
    if any(each["id"] in SUMMED_RATES for each in rates):
        return "月末存储的比率与当月 OEE", "rates at each month's end, and the month's OEE"
    return "月末存储的比率", "rates at each month's end"


def _trend_table(name: str, zh: str, en: str, series: list[Json], form: blocks.Format) -> Json:
    heads = (
        (f"{each['id']} {each['name']['zh']}" for each in series),
        (f"{each['id']} {each['name']['en']}" for each in series),
    )
    columns = (
        TableColumn("月份", "month"),
        *(TableColumn(a, b, form) for a, b in zip(*heads, strict=True)),
    )
    names = [point[0] for point in series[0]["points"]] if series else []
    rows = [[month_, *(each["points"][i][1] for each in series)] for i, month_ in enumerate(names)]
    return blocks.table(name, zh, en, columns, rows)
