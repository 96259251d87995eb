"""A CSV file in an encoding that is none of ours is said to be so, and never imported with names
that nobody wrote."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from edge_agent.cli.main import main
from edge_agent.register.encodings import UnlikelyEncodingError, decoded

CHINESE = (
    "变量名,地址,类型,单位,说明\n电流,40001,float,A,A相电流\n温度,40003,float,℃,出水温度 ②\n"
    "面积,40005,int16,㎡,厂房\n"
)
TRADITIONAL = (
    "變量名,地址,數據類型,說明\n電流,40001,float,設備運轉電壓\n主軸轉速,40003,int16,壓縮機溫度\n"
)
JAPANESE = "tag,address,type,comment\n主軸回転数,40001,float,毎分\n温度アラーム,40003,int16,異常\n"
HALF_WIDTH = (
    "tag,address,type,comment\nｵﾝﾄﾞ,40001,float,ｹｲﾎｳ\nﾓｰﾀ,40003,float,ｶｲﾃﾝｽｳ\n"
    "x,40005,int16,ﾋｼﾞｮｳﾃｲｼ ｽｲｯﾁ\n"
)
BIG5 = "變數名稱,位址,型態\n電流,40001,float\n主軸轉速,40003,int16\n溫度,40004,int16\n"
KOREAN = "변수명,주소,형식\n온도,40001,float\n압력 센서 경보,40003,int16\n전류값 측정,40004,int16\n"
FRENCH = "tag,address,type,unit\ntempérature,40001,float,°C\npression,40003,float,bar\n"
GERMAN = "tag,address,type,comment\nt,40001,float,Größe in µm\np,40003,float,Kühlmittel\n"
RUSSIAN = "tag,address,type,comment\nt,40001,float,температура масла\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (CHINESE, "gbk"), (CHINESE, "gb18030"), (CHINESE, "utf-8"), (CHINESE, "utf-16"), (CHINESE, "utf-8-sig"),
        (TRADITIONAL, "gbk"), ("tag,address\n流量,m³/h\n体积,m²\n转速,µm\n", "gb18030"), ("tag,unit\na,℃\n", "gbk"),
        ("设备编号,名称,负责人\n1,数控车床,李玥\n2,铣床,朱镕\n", "gbk"), ("tag,address\na,40001\n", "ascii"),
        ("变量名,说明\n速度,アラーム 报警地址\n", "gbk"), (JAPANESE, "utf-8"), (KOREAN, "utf-16"),
    ],
)  # fmt: skip
def test_what_is_ours_is_taken(text: str, encoding: str) -> None:
    found = decoded(text.encode(encoding))
    assert (found.text, found.doubt) == (text, None)


FOREIGN = [
    (JAPANESE, "cp932", "shift_jis"),
    (HALF_WIDTH, "cp932", "shift_jis"),
    (JAPANESE, "euc_jp", "euc_jp"),
    ("tag,comment\na,温度\n", "cp932", "shift_jis"),
    ("tag,comment\na,アラーム\n", "cp932", "shift_jis"),
    (BIG5, "cp950", "big5"),
    (KOREAN, "cp949", "euc_kr"),
    (FRENCH, "cp1252", "cp1252"),
    (GERMAN, "cp1252", "cp1252"),
    ("tag,unit\na,°C\n", "cp1252", "cp1252"),
    (RUSSIAN, "cp1251", ""),
]


@pytest.mark.parametrize(("text", "encoding", "likely"), FOREIGN)
def test_what_is_garbled_as_gbk_is_refused_and_taken_when_its_encoding_is_stated(
    text: str, encoding: str, likely: str
) -> None:
    with pytest.raises(UnlikelyEncodingError) as refused:
        decoded(text.encode(encoding))
    assert refused.value.likely == likely
    stated = likely or encoding
    assert decoded(text.encode(encoding), stated).text == text
    first = next(cell for cell in text.replace("\n", ",").split(",") if not cell.isascii())
    assert likely == "" or first in refused.value.zh


def test_a_file_of_utf_8_with_a_damaged_byte_names_its_row() -> None:
    data = CHINESE.encode()
    at = data.index("出水".encode()) + 1
    with pytest.raises(UnlikelyEncodingError, match="damaged bytes in row 3"):
        decoded(data[:at] + b"\xff" + data[at + 1 :])


@pytest.mark.parametrize(
    ("text", "encoding"), [("ｵﾝﾄﾞ", "cp932"), ("전류", "cp949"), ("电流", "gbk")]
)
def test_few_letters_that_read_well_in_two_languages_are_doubtful(text: str, encoding: str) -> None:
    found = decoded(f"tag,address,description\na,40001,{text}\n".encode(encoding))
    assert found.doubt is not None
    # of several other readings one is shown
    assert text in "".join(found.doubt) or encoding == "cp949"


@pytest.mark.parametrize("stated", ["utf-8", "utf-16", "gbk", "euc_kr"])
def test_an_encoding_that_is_stated_wrongly_is_a_sentence(stated: str) -> None:
    with pytest.raises(UnlikelyEncodingError, match=f"not {stated}"):
        decoded(b"tag,address\n\xff\xff\x81\xff\n", stated)


def test_a_list_in_shift_jis_is_imported_only_when_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = tmp_path / "list.csv"
    points.write_bytes(JAPANESE.encode("cp932"))
    assert main(["tags", "import", str(points), "--device", "m1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "--encoding shift_jis" in err
    assert "主軸回転数" in err
    assert main(["tags", "import", str(points), "--device", "m1", "--encoding", "shift_jis"]) == 0
    assert (
        "温度アラーム: {address: 40003, type: int16, description: 異常}" in capsys.readouterr().out
    )
    out_file = tmp_path / "plant.yaml"
    assert main(["convert", "kepware", str(points), "--out", str(out_file)]) == 2
    assert "--encoding shift_jis" in capsys.readouterr().err
    assert (
        main(["convert", "kepware", str(points), "--out", str(out_file), "--encoding", "shift_jis"])
        == 0
    )


def test_a_doubtful_list_is_imported_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = tmp_path / "list.csv"
    points.write_bytes("tag,address,type,description\na,40001,int16,ｵﾝﾄﾞ\n".encode("cp932"))
    assert main(["tags", "import", str(points), "--device", "m1"]) == 0
    err = capsys.readouterr().err
    assert "ｵﾝﾄﾞ" in err
    assert "--encoding" in err


def test_a_register_in_shift_jis_is_refused_and_can_be_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register, converted = tmp_path / "register.csv", tmp_path / "converted.csv"
    rows = (
        "equipment_id,name_zh,in_scope,status,control_class,digital,networked_declared,interface,gateway_device,is_robot\n"
        "EQ-1,旋盤 1号機,Y,in_use,nc,Y,Y,modbus_tcp,plc,N\n"
        "EQ-2,溶接ロボット,Y,in_use,nc,Y,Y,modbus_tcp,,N\n"
    )
    register.write_bytes(rows.encode("cp932"))
    assert main(["register", "check", str(register)]) == 2
    err = capsys.readouterr().err
    assert "register convert --from-encoding shift_jis" in err
    assert "旋盤 1号機" in err
    assert (
        main(["register", "convert", str(register), str(converted), "--from-encoding", "shift_jis"])
        == 0
    )
    with converted.open(encoding="utf-8-sig", newline="") as file:
        assert any("溶接ロボット" in row for row in csv.reader(file))
