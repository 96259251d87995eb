"""The evidence document: the nine things an on-site check asks for, with and without results of
before."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from edge_agent.production.days import local_days
from edge_agent.report import html, tables
from edge_agent.report.document import ReportSetting, build
from edge_agent.report.parts.evidence import COMPARED, PackSubject
from edge_agent.report.pictures.charts import draw
from tests.support import report_plant as golden

PROJECT = "ZNH-2017-01"


def shot(at: str, **values: float) -> dict[str, Any]:
    """Results as they are stored, by id."""
    return {
        "at": at,
        "figures": [{"id": key.replace("_", "-"), "value": value} for key, value in values.items()],
    }


def document(project: PackSubject) -> dict[str, Any]:
    setting = ReportSetting(
        "evidence",
        "test",
        "测试厂",
        "dongguan",
        "ipc-01",
        project=project,
        timezone="Asia/Shanghai",
    )
    return build(golden.plant(), setting)


def rows(found: dict[str, Any], name: str) -> list[list[Any]]:
    return next(b["rows"] for p in found["parts"] for b in p["blocks"] if b.get("name") == name)


def texts(found: dict[str, Any]) -> str:
    return " ".join(
        b["text"]["en"] for p in found["parts"] for b in p["blocks"] if b["kind"] == "paragraph"
    )


def test_nine_parts_in_every_form() -> None:
    found = document(PackSubject(PROJECT))
    assert [part["number"] for part in found["parts"]] == list(range(1, 10))
    page = html.render(found, "zh")
    assert "智能化改造证据" in page
    assert PROJECT in page
    assert "<script" not in page
    assert tables.workbook(found, "en")
    assert dict(tables.csv_files(found, "both"))
    assert (
        found["figures"] == build(golden.plant(), ReportSetting("health-check", "test"))["figures"]
    )


def test_the_project_with_its_total_and_what_the_register_lacks() -> None:
    found = document(PackSubject(PROJECT))
    known = [row for row in golden.register().equipment if row.project_id == PROJECT]
    assert [row[0] for row in rows(found, "project")] == sorted(row.equipment_id for row in known)
    total = sum(Fraction(row.purchase_cny or 0) for row in known)
    assert rows(found, "project_totals")[0][1] == total
    assert "lacks the invoice of" in texts(found)


def test_without_a_snapshot_the_next_step_is_said() -> None:
    found = document(PackSubject(PROJECT))
    assert "--snapshot DATE" in texts(found)
    assert [row[0] for row in rows(found, "before_after")] == [
        key for key in COMPARED if key != "M-18"
    ]


def test_before_and_after_side_by_side() -> None:
    day = {"M_14/day/site": 0.4, "M_18/day/site": 0.05}
    shots = [
        shot("2026-03-01", M_03=0.5, **day),
        {"at": "2026-04-01", "figures": [], "reason": {"zh": "无", "en": "none"}},
    ]
    found = document(PackSubject(PROJECT, shots))
    compared = {row[0]: row for row in rows(found, "before_after")}
    assert compared["M-03"][2:5] == [0.5, None, pytest.approx(16 / 19)]
    assert compared["M-14"][2] == 0.4
    assert rows(found, "before_after_energy")[0][2] == 0.05
    assert "2026-04-01: none." in texts(found)
    chart = next(b for p in found["parts"] for b in p["blocks"] if b.get("chart") == "before_after")
    ElementTree.fromstring(draw(chart, "zh"))


def test_the_chain_and_the_facts_are_named() -> None:
    found = document(
        PackSubject(PROJECT, previous={"pack": "evidence-1", "manifest_sha256": "ab" * 32})
    )
    assert [row[1] for row in rows(found, "chain")] == ["evidence-1", "ab" * 32]
    assert {row[0]: row[1] for row in rows(found, "facts")}["facts/states.csv"] == len(
        golden.shift_states()
    )


def test_the_acceptance_log_is_by_day_of_the_plant() -> None:
    found = document(PackSubject(PROJECT))
    [day] = rows(found, "acceptance")
    assert day[0] == "2026-05-04"
    assert day[5] == pytest.approx(day[3] / day[4])
    assert f"at least {int(1e4 * day[5]) / 100:.2f} %" in texts(found)


def test_days_follow_the_change_of_clock() -> None:
    zone = ZoneInfo("Europe/Berlin")
    # 2026-03-28 13:13 in Berlin; the clock is put forward in the night
    start = 1_774_700_000 * 10**9
    days = list(local_days(start, start + 2 * golden.DAY, zone))
    assert [day for day, _, _ in days] == [date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)]
    assert days[1][2] - days[1][1] == 23 * 60 * golden.MINUTE
    assert (days[0][1], days[-1][2]) == (start, start + 2 * golden.DAY)


def test_no_name_is_cut_in_the_picture_of_before_and_after() -> None:
    found = document(PackSubject(PROJECT, snapshots=[shot("2026-04-01", M_03=0.5)]))
    (chart,) = [b for p in found["parts"] for b in p["blocks"] if b.get("chart") == "before_after"]
    for language in ("zh", "en"):
        assert "…" not in draw(chart, language)  # type: ignore[arg-type]
