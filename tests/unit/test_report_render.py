"""Renderings of one document: nothing in it becomes markup or a formula, and every rendering shows
the same numbers."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import openpyxl
import pytest

from edge_agent.production.facts import AssessedDevice, DroppedValues
from edge_agent.report import html, tables
from edge_agent.report.document import ReportSetting, build
from edge_agent.report.pictures.charts import draw
from edge_agent.report.pictures.topology import topology
from edge_agent.report.speech import LANGUAGES, Language, show
from tests.support import report_plant as golden

pytestmark = pytest.mark.slow

SETTING = ReportSetting(
    "health-check",
    "test",
    "测试厂 <b>&",
    "dongguan",
    "ipc-01",
    issued_ns=golden.END,
    timezone="Asia/Shanghai",
)
HOSTILE = '<script>alert("1")</script>'


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build(golden.plant(), SETTING)


def hostile() -> dict[str, Any]:
    """Every text a user can write is an attack."""
    cells = {
        "name_zh": HOSTILE,
        "name_en": "=1+1",
        "line": HOSTILE,
        "workshop": HOSTILE,
        "project_id": "=LINK(1)",
    }
    known = golden.with_row(golden.register(), "EQ-001", **cells)
    devices = {name: replace(device, name=HOSTILE, endpoint=HOSTILE, line=HOSTILE)
               for name, device in golden.facts().devices.items()}  # fmt: skip
    gaps = [DroppedValues(golden.START, HOSTILE, "=1", golden.START, golden.END, 3)]
    return build(golden.plant(known, devices=devices, gaps=gaps), SETTING)


class Tags(HTMLParser):
    """Which elements a page really has, and whether they are closed in order."""

    VOID = ("meta",)

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    tags.close()
    assert tags.open == []
    return tags


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_machine_named_script_is_harmless(language: Language) -> None:
    page = html.render(hostile(), language)
    tags = parsed(page)
    assert "script" not in tags.seen
    assert not any(name.startswith("on") for name, _ in tags.attributes)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_page_is_one_file_without_anything_from_outside(document: dict[str, Any]) -> None:
    page = html.render(document, "zh")
    tags = parsed(page)
    assert not {"link", "img", "iframe", "script"} & set(tags.seen)
    links = [value for name, value in tags.attributes if name in ("src", "href")]
    assert all(value and value.startswith("#part-") for value in links)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert "url(http" not in page
    assert "@page{size:A4" in page


def test_languages(document: dict[str, Any]) -> None:
    zh, en, both = (html.render(document, language) for language in LANGUAGES)
    assert "逐台设备证据等级" in zh
    assert "evidence grade of every machine" not in zh
    assert "evidence grade of every machine" in en
    assert "逐台设备证据等级" not in en
    assert "逐台设备证据等级 evidence grade of every machine" in both
    assert '<html lang="zh-CN">' in zh
    assert '<html lang="en">' in en


def test_assumptions_are_printed_as_such(document: dict[str, Any]) -> None:
    page = html.render(document, "zh")
    assert "属假设，不是官方口径" in page
    assert "M-04b" in page
    assert "不是承诺" in page


def test_every_picture_is_well_formed(document: dict[str, Any]) -> None:
    charts = [
        block for part in document["parts"] for block in part["blocks"] if block["kind"] == "chart"
    ]
    assert {chart["chart"] for chart in charts} == {
        "gauge",
        "grid",
        "heat",
        "buckets",
        "pareto",
        "load",
        "stairs",
    }
    for chart in charts:
        if drawn := draw(chart, "both", "Asia/Shanghai"):
            ElementTree.fromstring(drawn)


def test_pictures_of_nothing() -> None:
    plant = golden.plant(
        golden.only(golden.register()), minutes={}, states={}, counters=(), plan=()
    )
    page = html.render(build(plant, SETTING), "both")
    parsed(page)
    assert "没有数据" in page


def test_a_trend_is_drawn_over_months_without_a_value() -> None:
    points = [["2026-09", None], ["2026-10", 0.5], ["2026-11", 0.75]]
    series = [{"id": "M-03", "name": {"zh": "率", "en": "rate"}, "points": points}]
    drawn = draw({"chart": "trend", "title": {"zh": "趋势", "en": "trend"}, "series": series}, "zh")
    ElementTree.fromstring(drawn)
    empty = {
        "chart": "trend",
        "title": {"zh": "", "en": ""},
        "series": [{**series[0], "points": points[:1]}],
    }
    assert draw(empty, "zh") == ""


def test_the_workbook_holds_the_documents_numbers(document: dict[str, Any]) -> None:
    book = openpyxl.load_workbook(io.BytesIO(tables.workbook(document, "zh")))
    assert len(book.sheetnames) == 14  # a summary, twelve parts, all figures
    sheet = book["figures"]
    head = [cell.value for cell in sheet[1]]
    rows = [
        dict(zip(head, (cell.value for cell in row), strict=True))
        for row in sheet.iter_rows(min_row=2)
    ]
    told = {row["key"]: row for row in rows}
    for figure in document["figures"]:
        row = told[figure["key"]]
        for name in ("value", "numerator", "denominator"):
            # openpyxl writes 16 significant digits.
            assert row[name] == (
                figure[name] if figure[name] is None else pytest.approx(figure[name], rel=1e-14)
            ), figure["key"]
        assert (row["value_exact"], row["grade"]) == (figure["value_exact"], figure["grade"])
        assert row["denominator_ids"] == (";".join(figure["denominator_ids"]) or None)


def test_a_cell_of_the_workbook_is_a_number_and_looks_like_a_percentage(
    document: dict[str, Any],
) -> None:
    book = openpyxl.load_workbook(io.BytesIO(tables.workbook(document, "zh")))
    sheet = book.worksheets[2]
    row = next(row for row in sheet.iter_rows() if row[0].value == "M-03")
    assert row[2].value == pytest.approx(16 / 19)
    assert row[2].number_format == "0.00%"


def test_a_character_no_workbook_can_hold_is_left_out() -> None:
    devices = {name: replace(device, name="机\x07床", endpoint="a\x0bb")
               for name, device in golden.facts().devices.items()}  # fmt: skip
    plant = golden.plant(devices=devices)
    assert tables.workbook(build(plant, SETTING), "both")
    ElementTree.fromstring(topology(plant))


def test_no_text_becomes_a_formula() -> None:
    document = hostile()
    book = openpyxl.load_workbook(io.BytesIO(tables.workbook(document, "en")))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert not [cell for cell in cells if cell.data_type == "f"]
    assert any(cell.value == "=1+1" for cell in cells)
    for name, content in tables.csv_files(document, "en"):
        text = content.decode("utf-8-sig")
        assert not re.search(r'(^|,)"?=', text, re.MULTILINE), name


def test_csv_has_a_file_per_table_and_all_figures(document: dict[str, Any]) -> None:
    files = dict(tables.csv_files(document, "both"))
    named = {
        f"{part['number']:02}-{block['name']}.csv"
        for part in document["parts"]
        for block in part["blocks"]
        if block["kind"] == "table"
    }
    assert files.keys() == {"figures.csv", *named}
    assert files["figures.csv"].decode("utf-8-sig").count("\r\n") == len(document["figures"]) + 1


def test_json_is_the_document(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize(
    ("cell", "form", "shown"),
    [
        (None, "percent", "—"), (2 / 3, "percent", "66.67 %"), (0, "percent", "0.00 %"), (1, "percent", "100.00 %"),
        (12345, "count", "12,345"), (0.5, "number", "0.5"), (1 / 3, "hours", "0.33"), ("a", "number", "a"),
        ("2026-05-04T00:00:00+00:00", "time", "2026-05-04 08:00:00"),
    ],
)  # fmt: skip
def test_cells_as_people_read_them(cell: Any, form: str, shown: str) -> None:
    assert show(cell, form, "zh", "Asia/Shanghai") == shown


def test_topology_escapes_names() -> None:
    devices = {"a": AssessedDevice("a", HOSTILE, endpoint="opc.tcp://10.0.0.1:4840", line="L&1")}
    drawn = topology(golden.plant(devices=devices))
    assert "<script" not in drawn
    ElementTree.fromstring(drawn)


def test_the_legend_of_the_coverage_map_names_every_colour_it_uses() -> None:
    shares = [None, 0.0, 0.1, 0.3, 0.6, 0.95, 1.0]
    block = {
        "chart": "heat",
        "title": {"zh": "覆盖", "en": "coverage"},
        "rows": [{"name": "d", "shares": shares}],
        "from": "2026-05-01T00:00:00+00:00",
        "to": "2026-05-02T00:00:00+00:00",
    }
    drawn = draw(block, "en")
    named = re.findall(r'fill="(#\w+)" stroke="#b7c1ca"', drawn)
    used = re.findall(r'fill="(#\w+)"><title>', drawn)
    assert len(set(used)) == len(shares)
    assert set(used) == set(named)


def test_a_number_keeps_its_unit_and_an_endpoint_its_port() -> None:
    device = AssessedDevice(
        "d", "d", "ML1", connector="modbus", endpoint="tcp://192.168.101.12:15020"
    )
    page = html.render(build(golden.plant(devices={"d": device}), SETTING), "zh")
    sentences = re.findall(r"<(?:li|p)[^>]*>([^<]*)</", page)
    assert any("\u00a0%" in sentence for sentence in sentences)
    assert not [sentence for sentence in sentences if re.search("[0-9] (%|kWh)", sentence)]
    assert '<td class="k">tcp://192.168.101.12:15020</td>' in page
