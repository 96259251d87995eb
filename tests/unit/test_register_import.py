"""The same register in every encoding, header language and format has one and the same version."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from itertools import product
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pytest

from edge_agent.errors import RegisterError
from edge_agent.register.columns import EQUIPMENT, PROCESSES, RegisterColumn
from edge_agent.register.encodings import decoded
from edge_agent.register.exporting import encode, template, to_csv, to_xlsx
from edge_agent.register.importing import inspect, load
from edge_agent.register.model import Equipment, Process, Register
from edge_agent.register.parse import CellError, read_cell
from edge_agent.register.sheet import has_sheet

ROOT = Path(__file__).parents[2]
FACTORY = ROOT / "tests" / "cases" / "golden_factory"
REGISTER, _ = load(FACTORY / "equipment_register.csv", FACTORY / "processes.csv")
BY_NAME = {column.name: column for column in EQUIPMENT}


@pytest.mark.parametrize(
    ("encoding", "language"),
    [*product(("utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16"), ("zh", "en"))],
)
def test_csv_matrix_keeps_the_version(tmp_path: Path, encoding: str, language: str) -> None:
    equipment, processes = tmp_path / "台账.csv", tmp_path / "工序.csv"
    equipment.write_bytes(to_csv(REGISTER.equipment, EQUIPMENT, language, encoding))  # type: ignore[arg-type]
    processes.write_bytes(to_csv(REGISTER.processes, PROCESSES, language, encoding))  # type: ignore[arg-type]
    assert load(equipment, processes)[0] == REGISTER
    assert load(equipment, processes)[0].version == REGISTER.version


@pytest.mark.parametrize("language", ["zh", "en"])
def test_xlsx_keeps_the_version_and_holds_both_sheets(tmp_path: Path, language: str) -> None:
    book = tmp_path / "register.xlsx"
    book.write_bytes(to_xlsx(REGISTER, language))  # type: ignore[arg-type]
    assert load(book)[0].version == REGISTER.version


def test_the_version_ignores_row_order_and_sees_every_cell() -> None:
    assert Register(REGISTER.equipment[::-1], REGISTER.processes[::-1]).version == REGISTER.version
    first = REGISTER.equipment[0]
    for column in EQUIPMENT:
        old = getattr(first, column.name)
        new = {
            "decimal": Decimal("1.5"),
            "positive": Decimal("1.5"),
            "date": date(2001, 2, 3),
            "flag": old is not True,
        }.get(column.kind, "other")
        values = {each.name: getattr(first, each.name) for each in EQUIPMENT} | {column.name: new}
        changed = Register((Equipment(**values), *REGISTER.equipment[1:]), REGISTER.processes)
        assert changed.version != REGISTER.version, column.name


def test_columns_and_dataclasses_agree() -> None:
    assert [column.name for column in EQUIPMENT] == list(Equipment.__dataclass_fields__)
    assert [column.name for column in PROCESSES] == list(Process.__dataclass_fields__)


def test_no_header_or_word_is_ambiguous() -> None:
    for columns in (EQUIPMENT, PROCESSES):
        forms = [form for column in columns for form in column.header_forms()]
        assert len(forms) == len(set(forms))
        for column in columns:
            spellings = [word for word, also in column.words.items() for _ in (word, *also)]
            assert set(column.word_forms().values()) == set(spellings)


def rewritten(change: Callable[[list[list[str]]], None]) -> bytes:
    rows = list(
        csv.reader(io.StringIO(decoded((FACTORY / "equipment_register.csv").read_bytes()).text))
    )
    change(rows)
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def wide(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def test_full_width_characters_read_as_half_width(tmp_path: Path) -> None:
    def change(rows: list[list[str]]) -> None:
        rows[0] = [wide(cell) for cell in rows[0]]
        for row in rows[1:]:
            row[:] = [wide(cell) for cell in row]

    path = tmp_path / "wide.csv"
    path.write_bytes(rewritten(change))
    assert load(path, FACTORY / "processes.csv")[0].version == REGISTER.version


def test_a_title_above_the_header_shuffled_columns_and_empty_rows(tmp_path: Path) -> None:
    def change(rows: list[list[str]]) -> None:
        rows[:] = [row[::-1] for row in rows]
        rows.insert(5, [""] * len(rows[0]))
        rows.insert(0, ["某某公司设备台账"])

    path = tmp_path / "titled.csv"
    path.write_bytes(rewritten(change))
    assert load(path, FACTORY / "processes.csv")[0].version == REGISTER.version


@pytest.mark.parametrize("delimiter", ["\t", ";"])
def test_other_delimiters(tmp_path: Path, delimiter: str) -> None:
    rows = csv.reader(io.StringIO(decoded((FACTORY / "equipment_register.csv").read_bytes()).text))
    path = tmp_path / "table.txt"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    assert load(path, FACTORY / "processes.csv")[0].version == REGISTER.version


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("in_scope", "是", True), ("in_scope", "否", False), ("in_scope", "√", True), ("in_scope", "Ｙ", True),
        ("in_scope", "n", False), ("in_scope", "×", False), ("in_scope", " yes ", True),
        ("status", "在用", "in_use"), ("status", "报废", "scrapped"), ("status", "In Use", "in_use"),
        ("control_class", "数控", "cnc"), ("interface", "OPC UA", "opc_ua"), ("interface", "ModbusTCP", "modbus_tcp"),
        ("interface", "Modbus-RTU", "modbus_rtu"),
        ("brand_origin", "莞产", "local"), ("ownership", "融资租赁", "leased"),
        ("commissioned", "2016-05-01", date(2016, 5, 1)), ("commissioned", "2016/5/1", date(2016, 5, 1)),
        ("commissioned", "2016年5月1日", date(2016, 5, 1)), ("commissioned", "20160501", date(2016, 5, 1)),
        ("purchase_cny", "￥168,000.00", Decimal("168000.00")), ("purchase_cny", "", None),
        ("rated_power_kw", "７．５", Decimal("7.5")), ("gateway_device", "a、b；c", "a;b;c"), ("line", "ＭＬ１", "ML1"),
        ("remark", " 备注，保留全角 ", "备注，保留全角"),
    ],
)  # fmt: skip
def test_cells(column: str, text: str, value: object) -> None:
    assert read_cell(text, BY_NAME[column]) == value


@pytest.mark.parametrize(
    ("column", "text", "hint"),
    [
        ("status", "in_us", "in_use"), ("interface", "modbustpc", "modbus_tcp"), ("in_scope", "也许", "是/否"),
        ("commissioned", "2016-02-30", "2024-05-01"), ("purchase_cny", "-3", "0 or more"),
        ("purchase_cny", "NaN", "0 or"), ("rated_power_kw", "11,5", "0 or more"),
        ("nominal_cycle_s", "0", "above 0; nominal_cycle_s was left empty"), ("nominal_cycle_s", "-1", "0 or more"),
        ("nominal_cycle_s", "0.00", "above 0"), ("purchase_cny", "$420000", "0 or"),
        ("equipment_id", "#REF!", "formula"), ("gateway_device", "#N/A", "formula"),
        ("networked_declared", "", "never inferred"),
    ],
)  # fmt: skip
def test_cells_that_are_refused_say_what_to_do(column: str, text: str, hint: str) -> None:
    with pytest.raises(CellError) as caught:
        read_cell(text, BY_NAME[column])
    assert hint in caught.value.en + caught.value.zh
    assert caught.value.zh != caught.value.en


def test_xlsx_cells_keep_their_types(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    cells = {
        "equipment_id": "EQ-1",
        "asset_no": 10231.0,
        "in_scope": True,
        "status": "在用",
        "control_class": "数控",
        "digital": "是",
        "interface": "无",
        "networked_declared": False,
        "is_robot": "否",
        "commissioned": datetime(2016, 5, 1),
        "purchase_cny": 168000,
        "rated_power_kw": 7.5,
    }
    sheet.append(list(cells))
    sheet.append(list(cells.values()))
    path = tmp_path / "typed.xlsx"
    book.save(path)
    machine = load(path)[0].equipment[0]
    assert (machine.asset_no, machine.in_scope, machine.networked_declared) == (
        "10231",
        True,
        False,
    )
    assert (machine.commissioned, machine.purchase_cny, machine.rated_power_kw) == (
        date(2016, 5, 1), Decimal(168000), Decimal("7.5")
    )  # fmt: skip


def test_a_title_above_a_table_with_semicolons(tmp_path: Path) -> None:
    rows = csv.reader(io.StringIO(decoded((FACTORY / "equipment_register.csv").read_bytes()).text))
    path = tmp_path / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("设备台账\r\n单位：某厂，编制人：某人，日期：2026\r\n")
        csv.writer(file, delimiter=";").writerows(rows)
    assert load(path, FACTORY / "processes.csv")[0].version == REGISTER.version


def test_a_mark_of_utf_8_before_gbk(tmp_path: Path) -> None:
    path = tmp_path / "marked.csv"
    path.write_bytes(
        b"\xef\xbb\xbf"
        + decoded((FACTORY / "equipment_register.csv").read_bytes()).text.encode("gbk")
    )
    assert load(path, FACTORY / "processes.csv")[0].version == REGISTER.version


def test_what_nobody_sees_makes_no_other_id(tmp_path: Path) -> None:
    def change(rows: list[list[str]]) -> None:
        rows[1][0] += "\u200b"
        rows[2][2] += "\x07"

    path = tmp_path / "unseen.csv"
    path.write_bytes(rewritten(change))
    assert load(path, FACTORY / "processes.csv")[0].version == REGISTER.version


@pytest.mark.parametrize("label", ["合计", "总 计", "Total"])
@pytest.mark.parametrize("at", [0, 2])
def test_a_row_of_totals_is_no_machine(tmp_path: Path, label: str, at: int) -> None:
    def change(rows: list[list[str]]) -> None:
        rows.append([""] * len(rows[0]))
        rows[-1][at] = label
        rows[-1][rows[0].index("purchase_cny")] = "9999999"

    path = tmp_path / "summed.csv"
    path.write_bytes(rewritten(change))
    register, notes = load(path, FACTORY / "processes.csv")
    assert register.version == REGISTER.version
    assert [(note.code, note.where) for note in notes if note.code == "total-row"] == [
        ("total-row", "summed.csv:25:")
    ]


def test_a_machine_called_total_is_a_machine(tmp_path: Path) -> None:
    def change(rows: list[list[str]]) -> None:
        rows[1][2] = "合计"

    path = tmp_path / "called.csv"
    path.write_bytes(rewritten(change))
    assert len(load(path, FACTORY / "processes.csv")[0].equipment) == len(REGISTER.equipment)


def test_a_formula_without_its_value_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "formula.xlsx"
    path.write_bytes(to_xlsx(REGISTER))
    book = openpyxl.load_workbook(path)
    sheet = book["设备台账"]
    column = [cell.value for cell in sheet[1]].index("购置金额(元)") + 1
    sheet.cell(2, column).value = "=100*2"
    book.save(path)
    register, notes = load(path)
    assert [note.where for note in notes if note.code == "formula-without-value"] == [
        f"formula.xlsx[设备台账]:{sheet.cell(2, column).coordinate}"
    ]
    assert register.equipment[0].purchase_cny is None


def test_the_sheet_of_the_machines_need_not_be_the_first(tmp_path: Path) -> None:
    path = tmp_path / "second.xlsx"
    path.write_bytes(to_xlsx(REGISTER))
    book = openpyxl.load_workbook(path)
    book["设备台账"].title = "2026设备清单"
    book.create_sheet("填表说明", 0)["A1"] = "请按要求填写"
    book.save(path)
    assert load(path)[0].version == REGISTER.version


@pytest.mark.parametrize("text", ["1E+999999999", "1e-99999999", "1" * 40, "NaN", "Infinity", "-1"])
def test_an_amount_that_cannot_be_written_out_is_none(text: str) -> None:
    with pytest.raises(CellError, match="not a number"):
        read_cell(text, BY_NAME["purchase_cny"])


def test_a_cell_formatted_far_away_costs_nothing(tmp_path: Path) -> None:
    """`iter_rows` would have walked 17 thousand million cells."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(
        [
            "equipment_id",
            "in_scope",
            "status",
            "control_class",
            "digital",
            "interface",
            "networked_declared",
            "is_robot",
        ]
    )
    sheet.append(["EQ-1", "Y", "in_use", "cnc", "N", "none", "N", "N"])
    sheet["XFD1048576"].number_format = "0.00"
    sheet.cell(1_000_000, 1, " ")
    path = tmp_path / "far.xlsx"
    book.save(path)
    register = load(path)[0]
    assert [machine.equipment_id for machine in register.equipment] == ["EQ-1"]


def workbook(**parts: str) -> bytes:
    """The template with other contents in some of its parts."""
    buffer = io.BytesIO()
    with ZipFile(io.BytesIO(template())) as old, ZipFile(buffer, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            text = old.read(name).decode()
            key = name.rpartition("/")[2].partition(".")[0]
            new.writestr(name, parts[key] + text if key in parts else text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04 and no more",
        workbook(sheet1="<not xml"),
        workbook(workbook="<!DOCTYPE x [<!ENTITY e 'e'>]><x>&e;&f;</x>"),
        workbook(styles="\0"),
    ],
    ids=["cut", "sheet", "entities", "styles"],
)
def test_a_damaged_workbook_is_a_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "damaged.xlsx"
    path.write_bytes(data)
    with pytest.raises(RegisterError, match="save it again"):
        load(path)


@pytest.mark.slow
def test_a_workbook_that_unpacks_without_end_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", bytes(201_000_000))
    with pytest.raises(RegisterError, match="far larger than any register"):
        load(path)
    path.write_bytes(workbook(sheet1="<!-- <mergeCell ref='A1:XFD1048576'/> -->"))
    with pytest.raises(RegisterError, match="far larger than any register"):
        load(path)


def test_a_csv_file_with_an_archive_behind_it_is_no_workbook(tmp_path: Path) -> None:
    """It was opened as one, and openpyxl's KeyError came out."""
    path = tmp_path / "both.csv"
    path.write_bytes(to_csv(REGISTER.equipment, EQUIPMENT))
    with ZipFile(path, "a") as archive:
        archive.writestr("x", "y")
    assert has_sheet(path, "processes") is False


def test_the_template_has_drop_downs_and_is_accepted_when_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "template.xlsx"
    path.write_bytes(template())
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["设备台账", "工序"]
    sheet = book["设备台账"]
    lists = {
        str(rule.sqref).split("2:")[0]: rule.formula1
        for rule in sheet.data_validations.dataValidation
    }
    assert '"在用,封存,报废,维修"' in lists.values()
    assert list(lists.values()).count('"是,否"') == sum(
        column.kind == "flag" for column in EQUIPMENT
    )
    for rows, columns, values in (
        (sheet, EQUIPMENT, {"word": None, "flag": "是"}),
        (book["工序"], PROCESSES, {"word": None, "flag": "否"}),
    ):
        rows.append([filled(column, values["flag"]) for column in columns])
    book.save(path)
    register, _ = load(path)
    assert register.equipment[0].status == "in_use"
    assert register.processes[0].is_key is False


def filled(column: RegisterColumn, flag: str | None) -> str | None:
    if column.kind == "word":
        return next(iter(column.words.values()))[0]
    return flag if column.kind == "flag" else "X1" if column.kind == "id" else None


def test_an_exported_text_that_looks_like_a_formula_stays_a_text(tmp_path: Path) -> None:
    path = tmp_path / "formula.xlsx"
    path.write_bytes(encode(Register((Equipment("EQ-1", remark="=1+1"),)), ".xlsx"))
    assert load(path)[0].equipment[0].remark == "=1+1"


def test_an_encoding_without_the_character_is_a_sentence() -> None:
    with pytest.raises(RegisterError, match="gb18030"):
        to_csv((Equipment("EQ-1", remark="😀"),), EQUIPMENT, "zh", "gbk")


def test_the_demo_register_is_usable_and_interesting() -> None:
    inspection = inspect(
        ROOT / "configs" / "demo-equipment.csv", ROOT / "configs" / "demo-processes.csv"
    )
    assert inspection.errors == ()
    assert {finding.code for finding in inspection.notes} == {
        "networked-without-device", "key-process-without-equipment"
    }  # fmt: skip
    assert inspection.register is not None
    links = {device for machine in inspection.register.equipment for device in machine.devices}
    assert links == {
        "lathe-01",
        "lathe-02",
        "vmc-01",
        "vmc-02",
        "dtc-01",
        "dtc-02",
        "edm-01",
        "robot-01",
        "cmm-01",
        "meter-ml1",
        "vfd-ml1",
        "polish-01",
        "polish-02",
        "polish-03",
        "belt-01",
        "fan-01",
        "washer-01",
        "vision-01",
        "agv-01",
        "meter-pl1",
    }
