"""Bad registers: each problem is listed by row and column, in both languages, and the rest
stands."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from edge_agent.cli import main
from edge_agent.errors import RegisterError
from edge_agent.identity import DeviceKeys, DeviceNames
from edge_agent.register.diff import diff
from edge_agent.register.importing import inspect, load

HEADER = (
    "equipment_id,asset_no,in_scope,status,process_id,"
    "control_class,digital,interface,networked_declared,gateway_device,is_robot,brand_origin"
)
ROW = "EQ-1,FA-1,Y,in_use,P1,cnc,Y,opc_ua,Y,d1,N,domestic"
PROCESSES = "process_id,is_key,industry_type\nP1,Y,discrete\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "p.csv").write_text(PROCESSES)
    return tmp_path


def listed(
    folder: Path, *rows: str, header: str = HEADER, devices: tuple[str, ...] | None = None
) -> dict[str, str]:
    """`code` -> `row:column` of every error (marked `!`) and note."""
    (folder / "r.csv").write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    inspection = inspect(folder / "r.csv", folder / "p.csv", devices)
    assert (inspection.register is None) == bool(inspection.errors)
    found = {}
    for mark, findings in (("!", inspection.errors), ("", inspection.notes)):
        for finding in findings:
            assert finding.zh
            assert finding.en
            assert finding.zh != finding.en
            found[mark + finding.code] = finding.where.partition(":")[2]
    return found


def swapped(**cells: str) -> str:
    row = dict(zip(HEADER.split(","), ROW.split(","), strict=True)) | cells
    return ",".join(row.values())


def test_a_good_register_lists_nothing(files: Path) -> None:
    assert listed(files, ROW, devices=("d1",)) == {}


@pytest.mark.parametrize(
    ("cells", "code", "where"),
    [
        ({"status": "in_us"}, "!bad-cell", "3:status"),
        ({"in_scope": ""}, "!missing-cell", "3:in_scope"),
        ({"digital": "maybe"}, "!bad-cell", "3:digital"),
        ({"equipment_id": "EQ-1"}, "!duplicate-equipment-id", "3:equipment_id"),
        ({"asset_no": "FA-1"}, "!duplicate-asset-no", "3:asset_no"),
        ({"asset_no": "ＦＡ-1"}, "!duplicate-asset-no", "3:asset_no"),
        ({"brand_origin": "marsian"}, "bad-cell", "3:brand_origin"),
        ({"process_id": "P9"}, "unknown-process", "3:process_id"),
        ({"process_id": ""}, "missing-process", "3:process_id"),
        ({"interface": "none"}, "digital-without-interface", "3:interface"),
        ({"gateway_device": ""}, "networked-without-device", "3:gateway_device"),
        ({"digital": "N"}, "networked-not-digital", "3:digital"),
        ({"gateway_device": '"d1,d3"'}, "shared-device", "3:gateway_device"),
        ({"gateway_device": "d2;d33"}, "unknown-device", "3:gateway_device"),
        ({"process_id": "P10;P9"}, "unknown-process", "3:process_id"),
        ({"gateway_device": "d1"}, "shared-device", "3:gateway_device"),
        ({"gateway_device": "d22"}, "unknown-device", "3:gateway_device"),
        ({"control_class": "robot"}, "robot-not-flagged", "3:is_robot"),
        ({"is_robot": "Y", "brand_origin": ""}, "robot-without-origin", "3:brand_origin"),
    ],
)
def test_each_problem_by_row_and_column(
    files: Path, cells: dict[str, str], code: str, where: str
) -> None:
    other = {"equipment_id": "EQ-2", "asset_no": "FA-2", "gateway_device": "d2"} | cells
    assert listed(files, ROW, swapped(**other), devices=("d1", "d2", "d3")) == {code: where}


def test_all_problems_at_once(files: Path) -> None:
    found = listed(files, swapped(status="?"), swapped(digital="?", process_id="P9"))
    assert set(found) == {
        "!bad-cell",
        "!duplicate-equipment-id",
        "!duplicate-asset-no",
        "unknown-process",
    }


def test_the_nearest_word_process_and_device_are_named(files: Path) -> None:
    (files / "r.csv").write_text(
        "\n".join((HEADER, swapped(interface="opc_au", process_id="P-1", gateway_device="d-1")))
    )
    inspection = inspect(files / "r.csv", files / "p.csv", ["d1"])
    text = "\n".join(map(str, (*inspection.errors, *inspection.notes)))
    assert "Did you mean “OPC UA”" in text
    assert "Did you mean “P1”" in text
    assert "did you mean “d1”" in text


def test_the_key_process_flag_is_never_guessed(files: Path) -> None:
    (files / "p.csv").write_text("process_id,is_key,industry_type\nP1,,discrete\n")
    assert listed(files, ROW) == {"!missing-cell": "2:is_key"}
    (files / "p.csv").write_text(
        "process_id,name_zh,industry_type\nP1,车削,discrete\n", encoding="utf-8"
    )
    assert listed(files, ROW) == {"!missing-column": "1:is_key"}


def test_columns_missing_unknown_and_twice(files: Path) -> None:
    header = HEADER.replace("asset_no", "digital").replace("brand_origin", "Nickname")
    found = listed(files, ROW.replace("FA-1", "Y").replace("domestic", "Bob"), header=header)
    assert found == {"!duplicate-column": "1:digital", "unknown-column": "1:Nickname"}
    assert "!missing-column" in listed(files, ROW, header=HEADER.replace("is_robot", "robotic"))


def test_a_key_process_without_machines_is_listed(files: Path) -> None:
    (files / "p.csv").write_text(PROCESSES + "P2,Y,discrete\nP1,N,discrete\n")
    assert listed(files, ROW) == {
        "!duplicate-process-id": "4:process_id",
        "key-process-without-equipment": "3:process_id",
    }


def test_merged_cells_are_a_finding_and_the_rest_stands(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append([*HEADER.split(","), "workshop"])
    for number in (1, 2):
        sheet.append(
            [
                f"EQ-{number}",
                f"FA-{number}",
                *ROW.split(",")[2:9],
                f"d{number}",
                "N",
                "domestic",
                "机加",
            ]
        )
    sheet.merge_cells("M2:M3")
    path = tmp_path / "merged.xlsx"
    book.save(path)
    inspection = inspect(path)
    assert [(finding.code, finding.where) for finding in inspection.notes] == [
        ("merged-cells", "merged.xlsx[Sheet]:M2:M3")
    ]
    assert inspection.register is not None
    assert [machine.workshop for machine in inspection.register.equipment] == ["机加", ""]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "register-empty"),
        (b"\n\n", "register-empty"),
        (b"a,b\n1,2\n", "register-header"),
        (b'equipment_id,status\n"EQ-1,x', "register-csv"),
        (b"\xd0\xcf\x11\xe0rest", "register-old-excel"),
        (b"PK\x03\x04broken", "register-xlsx"),
        (b"equipment_id,status\n\xff\xff\xff", "register-encoding"),
    ],
)
def test_files_that_are_no_register(tmp_path: Path, data: bytes, code: str) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(data)
    with pytest.raises(RegisterError) as caught:
        inspect(path)
    assert caught.value.findings[0].code == code


def test_a_workbook_without_a_sheet_for_the_processes(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.worksheets[0].append(HEADER.split(","))
    book.create_sheet("second")
    path = tmp_path / "two.xlsx"
    book.save(path)
    with pytest.raises(RegisterError, match="工序"):
        inspect(path, path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RegisterError, match="cannot be read"):
        inspect(tmp_path / "none.csv")


def test_load_raises_every_error(files: Path) -> None:
    (files / "r.csv").write_text("\n".join((HEADER, swapped(status="?", digital="?"))))
    with pytest.raises(RegisterError) as caught:
        load(files / "r.csv", files / "p.csv")
    assert len(caught.value.findings) == 2


def command(*words: object) -> int:
    return main.main(["register", *map(str, words)])


def test_the_check_command(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "r.csv").write_text("\n".join((HEADER, ROW)))
    assert command("check", files / "r.csv", "--processes", files / "p.csv") == 0
    assert "1 in scope and in use" in capsys.readouterr().out
    (files / "r.csv").write_text("\n".join((HEADER, ROW, ROW)))
    assert command("check", files / "r.csv", "--processes", files / "p.csv") == 1
    assert "duplicate-asset-no" in capsys.readouterr().out
    assert command("check", files / "none.csv") == 2


def test_the_diff_command(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "a.csv").write_text(
        "\n".join((HEADER, ROW, swapped(equipment_id="EQ-2", asset_no="", gateway_device="")))
    )
    (files / "b.csv").write_text(
        "\n".join((HEADER, swapped(status="scrapped"), swapped(equipment_id="EQ-3", asset_no="")))
    )
    assert command("diff", files / "a.csv", files / "a.csv") == 0
    assert capsys.readouterr().out == ""
    assert command("diff", files / "a.csv", files / "b.csv") == 1
    assert capsys.readouterr().out.split("\n")[:3] == [
        "~ EQ-1 status: in_use -> scrapped",
        "- EQ-2 ",
        "+ EQ-3 ",
    ]


def test_equal_versions_have_no_difference(files: Path) -> None:
    (files / "r.csv").write_text("\n".join((HEADER, ROW)))
    register, _ = load(files / "r.csv", files / "p.csv")
    assert diff(register, register) == []


def test_template_and_convert_commands(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = files / "t.xlsx"
    assert command("template", target) == 0
    assert command("template", target) == 2
    assert "exists" in capsys.readouterr().err
    (files / "r.csv").write_text("\n".join((HEADER, ROW)))
    assert command("convert", files / "r.csv", files / "zh.csv", "--encoding", "gb18030") == 0
    assert "设备编号" in (files / "zh.csv").read_text(encoding="gb18030")
    assert (
        command("convert", files / "r.csv", files / "both.xlsx", "--processes", files / "p.csv")
        == 0
    )
    assert load(files / "both.xlsx")[0].version == load(files / "r.csv", files / "p.csv")[0].version
    assert command("convert", files / "r.csv", files / "no" / "folder.csv") == 2


def test_a_place_in_a_workbook_names_its_sheet(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    machines, processes = book.worksheets[0], book.create_sheet("工序")
    machines.title = "设备台账"
    for row in (HEADER, swapped(status="in_us")):
        machines.append(row.split(","))
    for row in ("process_id,is_key,industry_type", "P1,maybe,discrete"):
        processes.append(row.split(","))
    path = tmp_path / "both.xlsx"
    book.save(path)
    places = [finding.where for finding in inspect(path).errors]
    assert places == ["both.xlsx[设备台账]:2:status", "both.xlsx[工序]:2:is_key"]


def test_a_meter_that_is_no_device_is_listed_once(files: Path) -> None:
    header = f"{HEADER},meter_id"
    rows = [f"{ROW},m9", f"{swapped(equipment_id='EQ-2', asset_no='', gateway_device='d2')},m9"]
    assert listed(files, *rows, header=header, devices=("d1", "d2")) == {
        "unknown-meter": "2:meter_id"
    }
    assert listed(files, *rows, header=header, devices=("d1", "d2", "m9")) == {}
    # without a configuration nobody knows the devices
    assert listed(files, *rows, header=header) == {}


def test_the_check_command_looks_into_the_calendar_and_at_the_date(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "r.csv").write_text(f"{HEADER},schedule_id,commissioned\n{ROW},nights,2999-01-01\n")
    (files / "c.yaml").write_text(
        'timezone: Asia/Shanghai\nschedules: {default: {shifts: [{start: "8:00", end: "16:00"}]}}\n'
    )
    (files / "site.yaml").write_text(
        "agent: {id: a}\nmqtt: {url: mqtt://127.0.0.1:1883}\nregister: {equipment: r.csv, "
        "calendar: c.yaml}\n"
    )
    arguments = (
        "check",
        files / "r.csv",
        "--processes",
        files / "p.csv",
        "--config",
        files / "site.yaml",
    )
    assert command(*arguments) == 0
    told = capsys.readouterr().out
    assert "[unknown-schedule] r.csv:EQ-1:schedule_id" in told
    assert "[future-date] r.csv:EQ-1:commissioned" in told


def test_a_register_without_a_machine_is_of_no_use(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "r.csv").write_text(f"{HEADER}\n")
    assert command("check", files / "r.csv", "--processes", files / "p.csv") == 1
    assert "the register has no machine" in capsys.readouterr().out


def test_registers_name_devices_as_people_do(files: Path) -> None:
    """An id alone, or `agent:device`; one that several agents have is a finding of its row."""
    header, row = HEADER + ",meter_id", ROW + ",m9"
    rows = [
        row,
        *(
            row.replace("EQ-1", f"EQ-{n}").replace("FA-1", f"FA-{n}").replace("d1", name)
            for n, name in ((2, "ipc-01:d1"), (3, "ipc-02:d2"), (4, "d3"), (5, "ipc-09:x"))
        ),
    ]
    keys = DeviceKeys("ipc-01")
    known = [
        keys.key(*pair)
        for pair in (
            ("ipc-01", "d1"),
            ("ipc-02", "d1"),
            ("ipc-02", "d2"),
            ("ipc-02", "d3"),
            ("ipc-03", "d3"),
            ("ipc-02", "m9"),
            ("ipc-03", "m9"),
        )
    ]
    (files / "r.csv").write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    notes = inspect(files / "r.csv", files / "p.csv", DeviceNames(keys, known, ["ipc-09"])).notes
    assert sorted((note.code, note.where.partition(":")[2]) for note in notes) == [
        ("ambiguous-device", "2:meter_id"),
        ("ambiguous-device", "5:gateway_device"),
        ("shared-device", "3:gateway_device"),
    ]
    assert any("ipc-02:d3, ipc-03:d3" in note.en for note in notes)
