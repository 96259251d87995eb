"""Point lists: layouts of others read, every problem by row and column, and ours the same after a
round trip.

The layouts are those of published documentation:
- Kepware: "CSV Import and Export" (www.kepware.com, feature-csvimportexport) and the page "Modbus
  Addressing" of its
  Modbus driver's help (support.ptc.com): 40001, 400001, 4xxxx.b; data types Boolean, Short, Word,
  Long, DWord, Float.
- Neuron: emqx/neuron-docs, `configuration/import-export` (the tag template) and
  `south-devices/modbus-tcp` (address
  format `SLAVE!ADDRESS[.BIT][#ENDIAN][.LEN[H][L][D][E]]`).
- 北京行臻科技, 批量导入参数模版 (docs.xingzheniot.com/zh/guide/batch-import/parameter-template):
  `4x-101`,
  `4x-101.0`, 小数点.
The screens of other Chinese gateways that document their tables as pictures alone are not available
to us.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from edge_agent.cli.main import main
from edge_agent.commissioning.lists import spreadsheet
from edge_agent.commissioning.lists.addresses import UNSTATED, AddressCounting
from edge_agent.commissioning.lists.points import ListTarget, PointList, parse
from edge_agent.commissioning.lists.writing import encode, rows_of
from edge_agent.config import load
from edge_agent.config.models import TagCommon
from edge_agent.config.plugins import InstalledPlugins, tag_model
from edge_agent.config.scalars import WrittenFloat, WrittenInt
from edge_agent.config.shape import keys
from edge_agent.errors import FindingsError

ROOT = Path(__file__).parents[2]
PLUGINS = InstalledPlugins()
SECRETS = {"MQTT_PASSWORD": "hunter1", "CNC_PASSWORD": "hunter2"}


def target(
    connector: str = "modbus", counting: AddressCounting = UNSTATED, unit: int | None = None
) -> ListTarget:
    return ListTarget(frozenset(keys(tag_model(PLUGINS[connector]))), unit=unit, counting=counting)


def listed(path: Path, text: str, encoding: str = "utf-8", **options: Any) -> PointList:
    file = path / "list.csv"
    file.write_bytes(text.encode(encoding))
    return parse(spreadsheet.read(file), target(**options))


def tags(found: PointList) -> dict[str, dict[str, Any]]:
    assert [str(problem) for problem in found.problems] == []
    return {
        point.name: {key: plain(value, key) for key, value in point.keys.items()}
        for point in found.points
    }


def plain(value: Any, key: str = "") -> Any:
    """A number that knows its digits as the number; in an address as its digits."""
    if isinstance(value, WrittenInt | WrittenFloat) and key == "address":
        return value.text
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(value)
    return value


KEPWARE = """\
Tag Name,Address,Data Type,Respect Data Type,Client Access,Scan Rate,Scaling,Raw Low,Raw High,Scaled Low,Scaled High,\
Scaled Data Type,Clamp Low,Clamp High,Eng Units,Description,Negate Value
"Line1.Speed",400001,Word,1,R/W,100,,,,,,,,,"rpm","Spindle speed",
"Line1.Temp",40011,Short,1,RO,1000,Linear,0,1000,-50,150,Double,0,0,"Cel","Oil, tank",0
"Line1.Power",300003,Float,1,RO,2500,None,,,,,,,,kW,,
"Line1.Run",400005.3,Boolean,1,RO,100,,,,,,,,,,,
"Line1.Door",100017,Boolean,1,RO,100,,,,,,,,,,,
"Line1.Count",400020,DWord,1,RO,100,,,,,,,,,,,
"Line1.Reset",000005,Boolean,1,WO,100,,,,,,,,,,,
"""


def test_the_export_of_kepware(tmp_path: Path) -> None:
    found = listed(tmp_path, KEPWARE)
    assert tags(found) == {
        "Line1.Speed": {
            "address": 400001,
            "type": "uint16",
            "unit": "rpm",
            "every": "100ms",
            "description": "Spindle speed",
        },
        "Line1.Temp": {
            "address": 40011,
            "type": "int16",
            "scale": 0.2,
            "offset": -50,
            "unit": "Cel",
            "every": "1s",
            "description": "Oil, tank",
        },
        "Line1.Power": {"address": 300003, "type": "float32", "unit": "kW", "every": "2.5s"},
        "Line1.Run": {"address": "400005.3", "type": "bool", "every": "100ms"},
        "Line1.Door": {"address": 100017, "type": "bool", "every": "100ms"},
        "Line1.Count": {"address": 400020, "type": "uint32", "every": "100ms"},
    }
    (note,) = found.notes
    assert note.where.endswith("list.csv:8:Client Access")


def test_a_square_root_of_kepware_is_a_problem_of_its_cell(tmp_path: Path) -> None:
    found = listed(tmp_path, KEPWARE.replace("None,,,", "Square Root,0,1000,"))
    (problem,) = found.problems
    assert problem.where.endswith("list.csv:4:Scaling")


def test_the_template_of_neuron(tmp_path: Path) -> None:
    found = listed(
        tmp_path,
        "group,interval,name,address,attribute,type,description,decimal,precision\n"
        "g1,1000,speed,1!400001,Read,UINT16,spindle,,\n"
        "g1,1000,temp,1!400009,Read Write,INT16,,0.1,\n"
        "g1,1000,power,1!300004#BL,Read,FLOAT,,0,3\n"
        "g1,1000,total,1!400020#BB,Read,UINT32,,,\n"
        "g2,500,run,1!400010.4,Read,BIT,,,\n"
        "g2,500,valve,1!000001,Read,BIT,,,\n"
        "g2,500,serial,1!400101.10H,Read,STRING,,,\n"
        "g2,500,note,1!400120.10L,Read,STRING,,,\n",
        unit=1,
    )
    assert tags(found) == {
        "speed": {"address": 400001, "type": "uint16", "every": "1s", "description": "spindle"},
        "temp": {"address": 400009, "type": "int16", "scale": 0.1, "every": "1s"},
        "power": {"address": 300004, "type": "float32", "word_order": "CDAB", "every": "1s"},
        "total": {"address": 400020, "type": "uint32", "word_order": "DCBA", "every": "1s"},
        "run": {"address": "400010.4", "type": "bool", "every": "500ms"},
        "valve": {"address": "000001", "type": "bool", "every": "500ms"},
        "serial": {"address": 400101, "type": "string", "length": 10, "every": "500ms"},
        "note": {
            "address": 400120,
            "type": "string",
            "length": 10,
            "word_order": "BADC",
            "every": "500ms",
        },
    }


def test_rows_of_another_unit_are_named(tmp_path: Path) -> None:
    found = listed(tmp_path, "name,address,type\na,2!400001,INT16\nb,1!400001,INT16\n", unit=1)
    (problem,) = found.problems
    assert problem.code == "other-unit"
    assert problem.where.endswith("list.csv:2:address")


XINGZHE = """\
批量导入参数表格说明,,,,,,,
参数名称,地址,单位,小数点,长度,上报模式,读写类型,数据类型
转速,4x-101,rpm,0,1,改变时上报,只读,16位正整数
温度,3x-7,℃,1,1,定时上报,只读,16位整数
运行,4x-120.3,,0,1,改变时上报,只读,开关量
报警,1x-5,,0,1,改变时上报,只读,开关量
编号,3x-200,,0,16,改变时上报,只读,ASCII
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"])
def test_the_parameter_table_of_a_chinese_gateway(tmp_path: Path, encoding: str) -> None:
    found = listed(tmp_path, XINGZHE, encoding)
    assert tags(found) == {
        "转速": {"address": 400101, "type": "uint16", "unit": "rpm"},
        "温度": {"address": 300007, "type": "int16", "scale": 0.1, "unit": "℃"},
        "运行": {"address": "400120.3", "type": "bool"},
        "报警": {"address": 100005, "type": "bool"},
        "编号": {"address": 300200, "type": "string", "length": 16},
    }


def test_a_list_that_counts_from_zero_says_so_once(tmp_path: Path) -> None:
    text = "变量名,地址,类型\na,4x0,INT\nb,4x10.2,BOOL\n"
    found = listed(tmp_path, text)
    assert [problem.where.rpartition("/")[2] for problem in found.problems] == ["list.csv:2:地址"]
    assert tags(listed(tmp_path, text, counting=AddressCounting(base=0))) == {
        "a": {"address": "holding/0", "type": "int16", "base": 0},
        "b": {"address": "holding/10.2", "type": "bool", "base": 0},
    }


@pytest.mark.parametrize(
    ("address", "area", "expected"),
    [
        ("40001", "", {"address": 40001}),
        ("40001", "3", {"address": 40001}),
        ("40001", "保持寄存器", {"address": 40001}),
        ("４０００１", "", {"address": 40001}),
        (
            "30001",
            "3",
            {"address": "holding/30001"},
        ),  # a number of the protocol, as makers of inverters use them
        ("100", "04", {"address": "input/100"}),
        ("100", "输入寄存器", {"address": "input/100"}),
        ("0x0064", "3", {"address": "holding/0x0064"}),
        ("0064H", "FC03", {"address": "holding/0x0064"}),
        ("0x0064", "", {"address": "0x0064"}),
        ("17", "离散输入", {"address": "discrete/17"}),
        ("00017", "", {"address": "00017"}),
        ("D100", "", {"address": "D100"}),
        ("X17", "", {"address": "X17"}),
        ("HOLDING/3", "", {"address": "holding/3"}),
        ("holding/3.5", "", {"address": "holding/3.5"}),
        ("40001:5", "", {"address": "40001.5"}),
        ("40001.10", "", {"address": "40001.10"}),
    ],
)
def test_addresses_as_they_are_written(
    tmp_path: Path, address: str, area: str, expected: dict[str, Any]
) -> None:
    assert tags(listed(tmp_path, f"tag,address,area\na,{address},{area}\n")) == {"a": expected}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("INT", "int16"), ("DINT", "int32"), ("UDINT", "uint32"), ("REAL", "float32"), ("LREAL", "float64"),
        ("32位浮点数", "float32"), ("单精度浮点", "float32"), ("双字", "uint32"), ("16位无符号整数", "uint16"),
        ("无符号16位整数", "uint16"), ("长整型", "int32"), ("FLOAT32-IEEE", "float32"), ("BCD", "bcd16"),
        ("LBCD", "bcd32"), ("Float 32", "float32"), ("ｆｌｏａｔ", "float32"), ("开关量", "bool"),
        ("uint_16", "uint16"),
    ],
)  # fmt: skip
def test_words_for_types(tmp_path: Path, word: str, expected: str) -> None:
    assert tags(listed(tmp_path, f"tag,address,type\na,40001,{word}\n"))["a"]["type"] == expected


@pytest.mark.parametrize("word", ["整数", "无符号", "signed", "float31", "??"])
def test_a_type_that_says_too_little_is_not_guessed(tmp_path: Path, word: str) -> None:
    (problem,) = listed(tmp_path, f"变量名,地址,类型\na,40001,{word}\n").problems
    assert problem.where.endswith(":2:类型")


@pytest.mark.parametrize(
    ("word", "order"),
    [("大端", "ABCD"), ("小端", "DCBA"), ("3412", "CDAB"), ("CDAB", "CDAB"), ("低字在前", "CDAB"), ("#LB", "BADC"),
     ("Little Endian", "DCBA"), ("big-swapped", "BADC")],
)  # fmt: skip
def test_words_for_byte_orders(tmp_path: Path, word: str, order: str) -> None:
    assert (
        tags(listed(tmp_path, f"tag,address,type,字节序\na,40001,float,{word}\n"))["a"][
            "word_order"
        ]
        == order
    )


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("0=停止;1=运行", {0: "停止", 1: "运行"}),
        ("0:停止，1:运行", {0: "停止", 1: "运行"}),
        ("0-停止 1-运行", None),
        ("0：停止\n1：运行，自动", {0: "停止", 1: "运行，自动"}),
        ("-1=故障;2=a=b", {-1: "故障", 2: "a=b"}),
        ("停止/运行", None),
    ],
)
def test_names_of_an_enumeration(
    tmp_path: Path, cell: str, expected: dict[int, str] | None
) -> None:
    found = listed(tmp_path, f'变量名,地址,枚举\na,40001,"{cell}"\n')
    if expected is not None:
        assert tags(found)["a"]["map"] == expected
    else:
        assert [problem.where.rpartition(":")[2] for problem in found.problems] in (["枚举"], [])


def test_a_plant_s_own_table_with_titles_two_names_and_notes_in_heads(tmp_path: Path) -> None:
    found = listed(
        tmp_path,
        "序号,名称,*变量名(必填),偏移地址,功能码,数据类型,倍率,采集周期(s)\n"
        ",一、主轴,,,,,,\n"
        "1,主轴转速,SP_SPEED,0,03,32位浮点(CDAB),1,0.5\n"
        "2,主轴温度,SP_TEMP,2,03,16位有符号整数,/10,2\n"
        "3,进给,FEED,4,03,Float AB CD,x0.1,\n"
        "4,电能,KWH,8,03,Unsigned Int32 - CD AB,0.01倍,\n",
    )
    assert tags(found) == {
        "SP_SPEED": {
            "address": "holding/0",
            "type": "float32",
            "word_order": "CDAB",
            "every": 0.5,
            "description": "主轴转速",
        },
        "SP_TEMP": {
            "address": "holding/2",
            "type": "int16",
            "scale": 0.1,
            "every": 2,
            "description": "主轴温度",
        },
        "FEED": {
            "address": "holding/4",
            "type": "float32",
            "word_order": "ABCD",
            "scale": 0.1,
            "description": "进给",
        },
        "KWH": {
            "address": "holding/8",
            "type": "uint32",
            "word_order": "CDAB",
            "scale": 0.01,
            "description": "电能",
        },
    }
    assert [note.where.partition("list.csv:")[2] for note in found.notes] == ["2:*变量名(必填)"]


def test_two_columns_of_addresses_are_not_chosen_from(tmp_path: Path) -> None:
    found = listed(tmp_path, "变量名,寄存器地址,Modbus地址,类型\na,0,40001,INT\n")
    assert "duplicate-column" in {problem.code for problem in found.problems}


def test_every_problem_is_told_at_once_with_its_row_and_column(tmp_path: Path) -> None:
    found = listed(
        tmp_path,
        "变量名,地址,类型,比例,下限,上限,周期\n"
        "a,100,float,x,,,\n"
        ",40001,整数,,1,,\n"
        "b,banana,float,,9,1,soon\n"
        "b,40005,int16,,,,\n"
        " ,,,,,,\n"
        "c,,int16,,,,\n",
    )
    assert [problem.where.partition("list.csv:")[2] for problem in found.problems] == [
        "2:地址",
        "2:比例",
        "3:变量名",
        "3:类型",
        "3:上限",
        "4:地址",
        "4:周期",
        "5:变量名",
        "7:地址",
    ]
    for problem in found.problems:
        assert problem.zh.endswith("。")
        assert problem.en.endswith(".")


def test_a_number_cell_that_may_have_lost_a_zero_is_refused(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in (
        ["变量名", "地址", "类型"],
        ["a", 40001.1, "bool"],
        ["b", 40002, "int16"],
        ["c", "40003.10", "bool"],
    ):
        sheet.append(row)
    book.save(tmp_path / "list.xlsx")
    found = parse(spreadsheet.read(tmp_path / "list.xlsx"), target())
    assert [problem.where.rpartition("]")[2] for problem in found.problems] == [":2:地址"]
    assert [point.name for point in found.points] == ["b", "c"]


def test_the_sheet_with_a_head_is_found_among_others(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.worksheets[0].append(["说明"])
    sheet = book.create_sheet("DCS")
    sheet.append(["一号线点表"])
    sheet.append([])
    sheet.append(["序号", "测点名称", "寄存器地址", "数据类型"])
    sheet.append([1, "转速", 40001, "UINT16"])
    book.save(tmp_path / "list.xlsx")
    assert tags(parse(spreadsheet.read(tmp_path / "list.xlsx"), target())) == {
        "转速": {"address": 40001, "type": "uint16"}
    }


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.xls", b"\xd0\xcf\x11\xe0rest", "old-excel"),
        ("a.xlsx", b"PK\x03\x04rest", "bad-xlsx"),
        ("a.csv", b"", "empty-file"),
        ("a.csv", b"one,two\n1,2\n", "no-head"),
        ("a.csv", b'tag,address\n"a,1\n', "bad-csv"),
        ("a.csv", b"\xff\xff\x80\x81\n", "register-encoding"),
    ],
)
def test_a_file_that_is_no_list_is_a_sentence(
    tmp_path: Path, name: str, data: bytes, code: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FindingsError) as caught:
        parse(spreadsheet.read(tmp_path / name), target())
    assert [finding.code for finding in caught.value.findings] == [code]


CONFIGS = [ROOT / "configs" / "demo.yaml", *sorted((ROOT / "configs" / "examples").glob("*.yaml"))]


def same(tag: TagCommon) -> TagCommon:
    """The tag with its address as text: `"40001"` and `40001` are one place."""
    return tag.model_copy(update={"address": str(tag.address)}) if hasattr(tag, "address") else tag


@pytest.mark.parametrize(("form", "language"), [(".csv", "zh"), (".xlsx", "en")])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_round_trip_changes_nothing(
    config: Path, form: str, language: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    devices = load(config).devices[:20]
    file = tmp_path / f"list{form}"
    file.write_bytes(encode(rows_of(devices), form, language, "gb18030"))
    sheets = spreadsheet.read(file)
    for device in devices:
        model = tag_model(PLUGINS[device.connector])
        found = parse(sheets, target(device.connector), device.id)
        assert found.problems == []
        assert [point.name for point in found.points] == list(device.tags)
        for point in found.points:
            assert same(model.model_validate(dict(point.keys))) == same(device.tags[point.name])


def test_what_no_column_holds_goes_through_as_well(tmp_path: Path) -> None:
    model = tag_model(PLUGINS["modbus"])
    odd = {
        "sentinels": [65535, 0.5],
        "max_silence": 90,
        "map": {0: "a;b", 1: "c=d"},
        "optional": True,
        "deadband": "1%",
        "every": 0.25,
        "offset": -0.1,
        "description": "=1+1 \"x\", '二'",
        "unit": "-",
        "was": "old",
        "base": 1,
        "report": "change",
        "range": (-5.5, 1e9),
        "business_link": "'@x",
    }
    tag = model.model_validate({"address": "40001.10"} | odd)
    device = (
        load(ROOT / "configs" / "examples" / "hundred-plcs.yaml")
        .devices[0]
        .model_copy(update={"tags": {"=a": tag}})
    )
    for form in (".csv", ".xlsx"):
        file = tmp_path / f"odd{form}"
        file.write_bytes(encode(rows_of([device]), form, "zh", "utf-8-sig"))
        (point,) = parse(spreadsheet.read(file), target()).points
        assert point.name == "=a"
        assert model.model_validate(dict(point.keys)) == tag
    with (tmp_path / "odd.csv").open(encoding="utf-8-sig", newline="") as lines:
        cells = [cell for row in csv.reader(lines) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t"))]
    sheet = openpyxl.load_workbook(tmp_path / "odd.xlsx").worksheets[0]
    assert {
        cell.data_type for row in sheet.iter_rows() for cell in row if cell.value is not None
    } <= {"s", "n"}
    assert not [
        cell for row in sheet.iter_rows() for cell in row if str(cell.value).startswith("=")
    ]


def test_the_command_exports_and_says_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = str(ROOT / "configs" / "demo.yaml"), tmp_path / "list.csv"
    assert (
        main(
            [
                "tags",
                "export",
                config,
                "vmc-01",
                "--out",
                str(out),
                "--headers",
                "en",
                "--encoding",
                "gbk",
            ]
        )
        == 0
    )
    rows = list(csv.reader(io.StringIO(out.read_bytes().decode("gbk"))))
    assert rows[0][:4] == ["device", "tag", "description", "address"]
    assert {row[0] for row in rows[1:]} == {"vmc-01"}
    assert main(["tags", "export", config, "--out", str(out)]) == 2
    assert "文件已存在" in capsys.readouterr().err
    assert main(["tags", "export", config, "vmc-1", "--out", str(tmp_path / "x.csv")]) == 2
    assert "did you mean 'vmc-01'" in capsys.readouterr().err
    assert main(["tags", "export", config, "--out", str(tmp_path / "x.pdf")]) == 2
