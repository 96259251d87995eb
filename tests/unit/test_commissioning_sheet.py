"""The commissioning sheet: the values as read, and empty cells for whoever confirms them."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from edge_agent.cli.main import main
from edge_agent.commissioning.lists import checklist
from edge_agent.config import load

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "configs" / "examples" / "tower-light.yaml"
VALUES: dict[tuple[str, str], dict[str, Any]] = {
    ("press-01", "input_1"): {"value": True, "quality": "Good", "t": 1763900000123456789},
    ("press-01", "input_2"): {"value": None, "quality": "BadTimeout", "t": None},
    ("press-01", "machine_state"): {
        "value": 3,
        "label": "Executing",
        "quality": "Good",
        "t": 1763900000123456789,
    },
    ("press-02", "current"): {"value": 7.25, "quality": "Good", "t": 1763900000123456789},
}


def test_the_workbook_has_a_sheet_for_each_device_with_room_to_sign(tmp_path: Path) -> None:
    devices = load(EXAMPLE).devices
    (tmp_path / "sheet.xlsx").write_bytes(checklist.encode(devices, VALUES, ".xlsx", EXAMPLE))
    book = openpyxl.load_workbook(tmp_path / "sheet.xlsx")
    assert book.sheetnames == ["press-01", "press-02"]
    rows = list(book["press-01"].iter_rows(values_only=True))
    assert [str(cell).split("\n")[0] for cell in rows[0]] == [
        "变量",
        "说明",
        "地址",
        "读数",
        "单位",
        "质量",
        "读取时间",
        "应为",
        "核对 ✓",
        "核对人",
        "备注",
    ]
    assert rows[1][:1] + rows[1][2:7] == (
        "input_1",
        "discrete/0",
        "1",
        None,
        "Good",
        "2025-11-23 20:13:20",
    )
    assert rows[2][3] is None
    assert rows[2][5] == "BadTimeout"
    assert rows[-1][0] == "machine_state"
    assert rows[-1][3] == "3 Executing"
    assert {cell for row in rows[1:] for cell in row[7:]} == {None}
    assert [row[0] for row in book["press-02"].iter_rows(min_row=2, values_only=True)] == [
        "current"
    ]


def test_the_page_names_the_device_and_says_that_its_state_is_derived() -> None:
    page = checklist.encode(load(EXAMPLE).devices, VALUES, ".html", EXAMPLE).decode()
    assert page.count("<section>") == 2
    assert "状态为推导" in page
    assert '<td class="n">7.25</td>' in page
    assert '<td class="bad">BadTimeout</td>' in page
    assert not re.search(r"<script|https?://|src=", page)


def test_what_a_file_says_is_text_and_no_markup_or_formula(tmp_path: Path) -> None:
    config = tmp_path / "plant.yaml"
    config.write_text(
        "agent: {id: ipc-01}\nmqtt: {url: mqtt://127.0.0.1}\ndevices:\n"
        "  - {id: 'a[1]', name: '<b>=1+1', connector: modbus, url: tcp://127.0.0.1:1, tags: "
        "{'=cmd': {address: 40001,"
        " description: '<script>'}}}\n"
        + "".join(
            f"  - {{id: '{'x' * 40}{n}', connector: modbus, url: tcp://127.0.0.1:1, unit: {n}, "
            "tags: {a: {address: 40001}}}\n"
            for n in (2, 3)
        ),
        encoding="utf-8",
    )
    assert main(["tags", "sheet", str(config), "--blank", "--out", str(tmp_path / "s.html")]) == 0
    assert main(["tags", "sheet", str(config), "--blank", "--out", str(tmp_path / "s.xlsx")]) == 0
    page = (tmp_path / "s.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    book = openpyxl.load_workbook(tmp_path / "s.xlsx")
    assert len(set(book.sheetnames)) == 3
    assert all(len(name) <= 31 for name in book.sheetnames)
    cell = book.worksheets[0]["A2"]
    assert (cell.value, cell.data_type) == ("'=cmd", "s")


def test_a_device_that_does_not_answer_has_its_reason_on_the_sheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "plant.yaml"
    config.write_text(
        "agent: {id: ipc-01}\nmqtt: {url: mqtt://127.0.0.1}\noutbox: {path: outbox}\ndevices:\n"
        f"  - {{id: a, connector: modbus, url: 'tcp://127.0.0.1:{port}', tags: {{x: {{address: "
        f"40001}}}}}}\n",
        encoding="utf-8",
    )
    assert main(["tags", "sheet", str(config), "--out", str(tmp_path / "s.html")]) == 0
    assert 'class="bad">Bad' in (tmp_path / "s.html").read_text(encoding="utf-8")
    assert "1 台设备" in capsys.readouterr().out
