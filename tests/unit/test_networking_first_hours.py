"""The first hours of a plant: what is online is said, and nobody is sent to a healthy machine."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from edge_agent.metrics.assessment import Assessment
from edge_agent.metrics.evaluate import (
    compute,
    evaluate,
    needing_attention,
    not_effective,
    not_judged_yet,
)
from edge_agent.metrics.live import DeviceFacts, LiveEvidence
from edge_agent.production.facts import MinuteHealth, PlannedChange
from edge_agent.report.document import ReportSetting, build
from edge_agent.report.html import render
from edge_agent.report.pack import verify
from edge_agent.report.tables import csv_files
from tests.support import report_plant as golden
from tests.support.report_plant import DAY, END, MINUTE, START

HOUR_S = Fraction(3600)
REGISTER = golden.register()
DECLARED = [row for row in REGISTER.equipment if row.counted and row.networked_declared]
DEVICES = sorted({device for row in REGISTER.equipment for device in row.devices})


def connected(
    planned_h: float, history_h: float, coverage: str = "0.5", *, online: bool = True
) -> DeviceFacts:
    return DeviceFacts(
        last_good_age_s=Fraction(1),
        coverage=Fraction(coverage),
        history_s=Fraction(str(history_h)) * HOUR_S,
        connected=True,
        planned_s=Fraction(str(planned_h)) * HOUR_S,
        online=online,
    )


def assessed(fact: DeviceFacts, **others: DeviceFacts) -> Assessment:
    facts = {device: others.get(device, fact) for device in DEVICES}
    return Assessment(REGISTER, LiveEvidence(facts, END, 86_400))


@pytest.mark.parametrize(
    ("planned_h", "history_h", "young"),
    [
        (0.3, 0.3, True),
        (7.99, 12, True),
        (8, 8, False),
        (0, 16, True),  # first connected on a holiday: 12 hours covered of 16 that were no work
        (0, 30 * 24 - 1, True),
        (0, 30 * 24, False),  # no work planned for a month: then all time has to do
    ],
)
def test_a_networking_rate_means_something_from_8_planned_hours_or_30_days_on(
    planned_h: float, history_h: float, young: bool
) -> None:
    assessment = assessed(connected(planned_h, history_h, "0.75"))
    for metric in ("M-04a-effective", "M-04b-effective", "M-04c-effective"):
        result = compute(assessment)[metric]
        document = result.to_json()
        assert (document["effective_after"] is not None) is young, metric
        assert document["now_online"] == list(result.now_online or ())
        assert result.value == 0, "the value keeps its meaning"
        assert "now_online" not in compute(assessment)["M-03"].to_json()
    assert bool(not_judged_yet(assessment)) is young
    linked = {row.equipment_id for row in DECLARED if row.devices}
    assert bool(linked & {*needing_attention(assessment)}) is not young, (
        "a machine that is online and new needs nothing"
    )
    assert {*not_effective(assessment)} == {row.equipment_id for row in DECLARED}, (
        "the key of the contract as it was"
    )


def test_what_is_online_is_counted_among_the_declared_ones() -> None:
    one = next(row for row in DECLARED if row.devices)
    assessment = assessed(connected(1, 1), **{one.gateway_device: connected(1, 1, online=False)})
    online, declared = compute(assessment)["M-04a-effective"].now_online or (0, 0)
    assert declared == len(DECLARED)
    assert online < declared
    assert one.equipment_id in needing_attention(assessment), "it is new too, and not online"
    document = evaluate(REGISTER, assessment.live)
    assert document["now_online"] == [online, declared]
    text = document["results"]["M-04a-effective"]["effective_after"]
    assert (
        text["en"]
        == f"now online {online}/{declared} (not {one.equipment_id}); effective after 8 planned "
        "hours (1.0 so far)"
    )


def test_a_plant_with_history_judges_and_lists_its_new_machine_as_waiting() -> None:
    new = next(row for row in DECLARED if row.devices)
    old = connected(200, 300, "1")
    assessment = assessed(old, **{new.gateway_device: connected(0.5, 0.5)})
    assert compute(assessment)["M-04a-effective"].effective_after is None
    assert not_judged_yet(assessment) == [new.equipment_id]
    assert new.equipment_id not in needing_attention(assessment)


def young_plant(minutes: int = 20) -> dict[str, Any]:
    """The golden factory, all of whose devices were first connected some minutes ago, and covered
    but at first."""
    since = END - minutes * MINUTE
    known = golden.facts()
    rows = [
        [since + i * MINUTE, 60_000, 60_000 if i > 5 else 0, 6, 6, 60, 0, 60, 0, since + i * MINUTE]
        for i in range(1, minutes + 1)
    ]
    return {
        "first_good": dict.fromkeys(known.devices, since),
        "minutes": {device: MinuteHealth(rows) for device in known.devices},
    }


def report(**changes: Any) -> dict[str, Any]:
    return build(
        golden.plant(**{**young_plant(), **changes}),
        ReportSetting("health-check", "30d", issued_ns=END),
    )


def test_the_first_page_after_20_minutes_says_what_is_online_and_sends_nobody_to_a_healthy_machine() -> (
    None
):
    document = report()
    figure = next(each for each in document["figures"] if each["key"] == "M-04a-effective")
    assert figure["now_online"][0] > 10
    said = [item for block in document["summary"] for item in block["items"]]
    english = " ".join(item["en"] for item in said)
    assert f"{figure['now_online'][0]} of them were online at the window's end" in english
    assert "not judged yet" in english
    assert "mend it" not in english or "online" not in next(
        i["en"] for i in said if "mend it" in i["en"]
    )
    (waiting,) = [item["en"] for item in said if "nothing to do" in item["en"]]
    assert "8 planned hours" in waiting
    gaps = next(
        block
        for part in document["parts"]
        for block in part["blocks"]
        if block.get("name") == "gap_declared"
    )
    assert not [row for row in gaps["rows"] if "planned hours" in str(row[3])]
    for page in (render(document, "zh"), render(document, "en")):
        assert "0.00 %" not in page.partition("<nav")[0], "page 1"
    table = dict(csv_files(document, "en"))["02-rates.csv"].decode("utf-8-sig")
    (line,) = [line for line in table.splitlines() if line.startswith("M-04a-effective")]
    assert "effective after 8 planned hours" in line
    assert " 0.0," not in line


def test_a_first_connection_on_a_holiday_is_no_failure_until_the_first_shift() -> None:
    """12 of 16 hours worked, none of them planned."""
    hours = young_plant(16 * 60)
    rows = hours["minutes"]["lathe01"].rows.copy()
    rows[: 4 * 60, MinuteHealth.COLUMNS.index("covered_ms")] = 0
    hours["minutes"] = dict.fromkeys(hours["minutes"], MinuteHealth(rows))
    holiday = (
        PlannedChange("", END - 30 * DAY, "shift"),
        PlannedChange("", START - 8 * 60 * MINUTE, "off"),
    )
    document = report(**hours, plan=holiday)
    figure = next(each for each in document["figures"] if each["key"] == "M-04a-effective")
    assert figure["effective_after"]["so_far"] == 0
    assert figure["now_online"][0] > 10
    again = golden.plant(**hours, plan=(replace(holiday[0]),)).assessment
    assert not again.young, "16 planned hours: 12 of them are 75 %, and that is judged"
    assert needing_attention(again)


def test_a_pack_of_an_earlier_version_is_not_held_against_keys_it_could_not_have() -> None:
    figures = {each["key"]: each for each in report()["figures"]}
    later = ("now_online", "effective_after")
    earlier = {
        key: {name: each[name] for name in each if name not in later}
        for key, each in figures.items()
    }
    assert verify._words("figures.json", earlier, figures).equal
    altered = {**figures, "M-04a-effective": {**figures["M-04a-effective"], "now_online": [0, 1]}}
    assert not verify._words("figures.json", altered, figures).equal
