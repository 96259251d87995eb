"""An English report is English: what is left of Chinese in it the plant itself gave in Chinese
only."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from edge_agent.register.model import Register
from edge_agent.report import html
from edge_agent.report.document import ReportSetting, build
from edge_agent.report.parts.evidence import PackSubject
from tests.support import report_plant as golden

CJK = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\u3000-\u303f]")
#: The policy's number: a document is called so in any language.
POLICY = "东府办〔2017〕12号"


def translated(known: Register) -> Register:
    """The register with an English name in every row: only workshop and line have no second
    language."""
    machines = (
        replace(row, name_en=row.name_en or f"machine {row.equipment_id}")
        for row in known.equipment
    )
    processes = (
        replace(row, name_en=row.name_en or f"process {row.process_id}") for row in known.processes
    )
    return Register(tuple(machines), tuple(processes))


def chinese(document: dict[str, Any], given: set[str]) -> list[str]:
    """Texts of the English page in which Chinese is left after the plant's own words."""
    body = html.render(document, "en").partition("</style>")[2]
    texts = re.findall(">([^<]+)<", body) + re.findall('title="([^"]+)"', body)
    left = []
    for text in texts:
        rest = text
        for word in sorted(given, key=len, reverse=True):
            rest = rest.replace(word, "")
        if CJK.search(rest):
            left.append(text)
    return left


@pytest.mark.parametrize("setting", [
    ReportSetting("health-check", "test", "Works", "dongguan", "ipc-01"),
    ReportSetting("evidence", "test", "Works", "dongguan", "ipc-01", timezone="Asia/Shanghai", project=PackSubject(
        "ZNH-2017-01", snapshots=({"at": "2026-04-01", "figures": [{"id": "M-18/site", "value": 0.5}]},))),
], ids=lambda setting: setting.kind)  # fmt: skip
def test_no_chinese_but_the_plants_own_stands_in_an_english_report(setting: ReportSetting) -> None:
    known = translated(golden.register())
    devices = {
        key: replace(device, name=f"device {key}") for key, device in golden.facts().devices.items()
    }
    given = {
        word for row in known.equipment for word in (row.workshop, row.line, row.remark) if word
    } | {POLICY}
    assert chinese(build(golden.plant(known, devices=devices), setting), given) == []


def test_a_name_given_in_chinese_only_is_shown_as_it_is() -> None:
    known = golden.with_row(golden.register(), "EQ-003", name_zh="普通车床", name_en="")
    page = html.render(build(golden.plant(known), ReportSetting("health-check", "test")), "en")
    assert "普通车床" in page
