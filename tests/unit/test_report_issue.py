"""Issues and revisions, comparison of two documents, trend, and the window a user may write."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edge_agent.app.reports.command import _setting
from edge_agent.app.reports.validity import ReportSubject
from edge_agent.config.models import Agent, Mqtt, Site
from edge_agent.errors import FindingsError
from edge_agent.production.figures import FigureOptions
from edge_agent.production.windows import day_end, month, month_so_far, months_before, window
from edge_agent.report.archive import zipped
from edge_agent.report.compare import compare, months, read_document
from edge_agent.report.document import ReportSetting, build, content_hash
from edge_agent.report.issue import assign_revision, read_index, record
from edge_agent.report.pack import build as pack
from edge_agent.report.parts.trend import _trend_titles
from tests.support import report_plant as golden

SETTING = ReportSetting("monthly", "2026-05", "测试厂", "dongguan", "ipc-01", issued_ns=golden.END)
SITE = Site(agent=Agent(id="ipc-01"), mqtt=Mqtt(url="mqtt://127.0.0.1:1883"))
DAY = golden.DAY


def document(cycle: int = 60) -> dict[str, Any]:
    known = golden.with_row(golden.register(), "EQ-001", nominal_cycle_s=Decimal(cycle))
    return build(golden.plant(known), SETTING)


def issue(folder: Path, issued: dict[str, Any]) -> tuple[str, bool]:
    settled = assign_revision(folder, issued)
    files = {f"{settled.stem}.json": json.dumps(settled.document).encode()} if settled.new else {}
    record(folder, settled, files | {f"{settled.stem}.zh.html": b"<html>"})
    return settled.stem, settled.new


def test_equal_content_is_the_same_issue(tmp_path: Path) -> None:
    assert issue(tmp_path, document()) == ("monthly-2026-05", True)
    before = (tmp_path / "monthly-2026-05.json").read_bytes()
    assert issue(tmp_path, document() | {"issued": "later"}) == ("monthly-2026-05", False)
    assert (tmp_path / "monthly-2026-05.json").read_bytes() == before
    assert len(read_index(tmp_path)) == 1


def test_another_result_is_the_next_revision_and_says_what_changed(tmp_path: Path) -> None:
    issue(tmp_path, document())
    first = (tmp_path / "monthly-2026-05.json").read_bytes()
    assert issue(tmp_path, document(61)) == ("monthly-2026-05-r2", True)
    assert (tmp_path / "monthly-2026-05.json").read_bytes() == first
    second = json.loads((tmp_path / "monthly-2026-05-r2.json").read_bytes())
    changed = {change["key"]: change for change in second["changes"]}
    assert second["revision"] == 2
    assert {"M-13@EQ-001", "M-14@EQ-001", "M-14", "M-14@line:ML1"} <= changed.keys()
    assert changed["M-14@EQ-001"]["before"] == "107/150"
    assert second["parts"][-1]["blocks"][0]["name"] == "changes"
    assert issue(tmp_path, document(62))[0] == "monthly-2026-05-r3"
    assert [row["revision"] for row in read_index(tmp_path)] == [1, 2, 3]


def test_going_back_is_a_revision_too(tmp_path: Path) -> None:
    for cycle in (60, 61, 60):
        issue(tmp_path, document(cycle))
    assert [row["revision"] for row in read_index(tmp_path)] == [1, 2, 3]


def test_the_revision_before_may_have_been_moved_away(tmp_path: Path) -> None:
    issue(tmp_path, document())
    (tmp_path / "monthly-2026-05.json").unlink()
    assert issue(tmp_path, document(61)) == ("monthly-2026-05-r2", True)
    blocks = json.loads((tmp_path / "monthly-2026-05-r2.json").read_bytes())["parts"][-1]["blocks"]
    assert "不在目录中" in blocks[-1]["text"]["zh"]


def test_an_index_that_cannot_be_read_stops_the_issue(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("{", encoding="utf-8")
    with pytest.raises(FindingsError, match=r"index\.json"):
        assign_revision(tmp_path, document())


def test_sums_list_every_file_of_every_issue(tmp_path: Path) -> None:
    issue(tmp_path, document())
    issue(tmp_path, document(61))
    names = [line.split("  ")[1] for line in (tmp_path / "SHA256SUMS").read_text().splitlines()]
    assert names == sorted(names, key=names.index)
    assert set(names) == {
        f"monthly-2026-05{r}.{end}" for r in ("", "-r2") for end in ("json", "zh.html")
    }


def test_the_hash_says_what_is_stated_not_when(tmp_path: Path) -> None:
    one = document()
    assert (
        content_hash(one)
        == one["content_sha256"]
        == content_hash(one | {"issued": "x", "revision": 9})
    )


def test_compare_names_what_entered_the_numerator() -> None:
    later = golden.with_row(
        golden.register(), "EQ-015", networked_declared=True, gateway_device="polish03"
    )
    before, after = document(), build(golden.plant(later), SETTING)
    changed = {each.key: each for each in compare(before, after)}
    assert changed["M-04a-declared"].entered == ("EQ-015",)
    assert changed["M-04a-declared"].change == pytest.approx(1 / 19)
    assert "M-03" not in changed
    assert compare(before, before) == []
    assert len(compare(before, before, all_figures=True)) == len(before["figures"])


def test_compare_takes_reports_packs_and_snapshots(tmp_path: Path) -> None:
    files = pack.build(golden.plant(), pack.PackClaim("P", "e", "s", FigureOptions(), golden.END))
    archive, report = tmp_path / "pack.zip", tmp_path / "report.json"
    archive.write_bytes(zipped(files))
    report.write_text(json.dumps(build(golden.plant(), SETTING)), encoding="utf-8")
    stored = [
        {key: value for key, value in figure.items() if key != "key"}
        for figure in json.loads(files["figures.json"])
    ]
    snapshot = tmp_path / "snapshot.json"
    snapshot.write_text(
        json.dumps({"figures": [each for each in stored if each["scope"] == ""]}), encoding="utf-8"
    )
    assert compare(read_document(archive), read_document(report)) == []
    assert {
        each.key
        for each in compare(read_document(snapshot), read_document(report))
        if "@" not in each.key
    } == set()
    for wrong in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(FindingsError, match="no report"):
            read_document(wrong)


def test_months_without_results_stay_empty_in_the_trend() -> None:
    figure = {"id": "M-03", "name_zh": "率", "name_en": "rate", "value": 0.5}
    series = months(
        [("2026-04", {"figures": []}), ("2026-05", {"figures": [figure]})], ("M-03", "M-05")
    )
    assert [each["id"] for each in series] == ["M-03"]
    assert series[0]["points"] == [["2026-04", None], ["2026-05", 0.5]]


def local(text: str) -> int:
    return (
        int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Shanghai")).timestamp())
        * 1_000_000_000
    )


def test_windows_as_they_may_be_written() -> None:
    end = golden.END
    assert window("2d", SITE, end, None, end) == (end - 2 * DAY, end)
    assert window("8h", SITE, end, None, end)[0] == end - DAY // 3
    assert window(None, SITE, end, None, end) == (end - 30 * DAY, end)
    assert window(None, SITE, end, end - DAY + 1, end) == (end - DAY, end)
    assert window(None, SITE, None, None, end + 5) == (end - 30 * DAY, end)
    both = window("2026-05-01..2026-05-02", SITE, end, None, end)
    assert both == (local("2026-05-01"), local("2026-05-03"))
    times = window("2026-05-01T08:00..2026-05-01T20:00", SITE, end, None, end)
    assert times == (local("2026-05-01T08:00"), local("2026-05-01T20:00"))


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "2026-05-03..2026-05-01", "2026-13-01..2026-13-02", "5", "5w", "..", "-1d", "0d", "0h", "99999999999d",
        "2026-05-01..9999-12-31", "0001-01-01..0001-01-02", "2026-05-01T08:00:01..2026-05-01T08:00:02",
    ],
)  # fmt: skip
def test_other_windows_are_refused(text: str) -> None:
    with pytest.raises(FindingsError, match="not understood"):
        window(text, SITE, golden.END, None, golden.END)


def test_what_is_still_to_come_is_no_outage() -> None:
    end = local("2026-05-20T10:00")
    assert window("2026-05-01..2026-05-31", SITE, end, None, end) == (local("2026-05-01"), end)
    late = end + 3 * DAY  # the plant has not been read for three days: that is an outage
    assert window("2026-05-01..2026-05-31", SITE, end, None, late) == (local("2026-05-01"), late)
    assert month_so_far("2026-05", SITE, end, None, end) == (local("2026-05-01"), end, False)
    assert month_so_far("2026-04", SITE, end, None, end) == (
        local("2026-04-01"),
        local("2026-05-01"),
        True,
    )
    with pytest.raises(FindingsError, match="newest data"):
        window("2026-06-01..2026-06-30", SITE, end, None, end)
    for text in ("2026-06", "2099-01"):
        with pytest.raises(FindingsError, match="newest data"):
            month_so_far(text, SITE, end, None, end)


def test_a_plants_first_month_begins_with_its_first_data() -> None:
    end, first = local("2026-06-02T10:00"), local("2026-05-28T13:20")
    assert month_so_far("2026-05", SITE, end, first + 7, end) == (first, local("2026-06-01"), True)
    assert month_so_far("2026-06", SITE, end, first, end) == (local("2026-06-01"), end, False)
    assert month_so_far("2026-04", SITE, end, first, end) == (
        local("2026-04-01"),
        local("2026-05-01"),
        True,
    )


def test_months_follow_the_plants_clock() -> None:
    assert month("2026-11", SITE) == (local("2026-11-01"), local("2026-12-01"))
    assert month("2026-12", SITE)[1] == local("2027-01-01")
    assert months_before("2026-02", 4) == ["2025-11", "2025-12", "2026-01", "2026-02"]
    assert day_end("2026-05-04", SITE) == local("2026-05-05")
    for text in ("2026-00", "2026-13", "26-11", "x", "9999-01"):
        with pytest.raises(FindingsError, match="2026-11"):
            month(text, SITE)
    for text in ("soon", "9999-12-31"):
        with pytest.raises(FindingsError, match="2026-11-30"):
            day_end(text, SITE)


def test_nothing_is_issued_before_its_window_ends() -> None:
    plant = golden.plant()
    for now, issued in ((golden.START, golden.END), (golden.END + DAY, golden.END + DAY)):
        about = ReportSubject(SITE, plant.assessment.register, None, FigureOptions(), {}, now)
        setting = _setting(about, golden.END, "health-check", "test")
        assert setting.issued_ns == issued


def test_a_figure_without_a_value_before_and_after_is_no_difference() -> None:
    before = document()
    empty = {"value": None, "value_exact": None}
    figures = [figure | (empty if figure["key"] == "M-14" else {}) for figure in before["figures"]]
    counted = [
        figure | ({"denominator": 7} if figure["key"] == "M-14" else {}) for figure in figures
    ]
    assert compare(before | {"figures": figures}, before | {"figures": counted}) == []
    assert [each.key for each in compare(before, before | {"figures": counted})] == ["M-14"]


def test_the_trend_speaks_of_oee_only_where_days_were_stored() -> None:
    assert "OEE" in _trend_titles([{"id": "M-03"}, {"id": "M-14"}])[1]
    assert "OEE" not in "".join(_trend_titles([{"id": "M-03"}]))
