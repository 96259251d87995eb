"""A point list into a configuration: comments and layout stay, the result passes `check`, or
nothing is written."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from edge_agent.cli.main import main
from edge_agent.config import load

HEAD = "agent: {id: ipc-01}\nmqtt: {url: mqtt://127.0.0.1:1883}\n"
LIST = "变量名,地址,类型,说明\nspeed,40001,UINT16,转速\nload,40002,INT16,\n"
SPEED = "speed: {address: 40001, type: uint16, description: 转速}"
LOAD = "load: {address: 40002, type: int16}"


def plant(folder: Path, devices: str, *, newline: str = "\n", bom: bool = False) -> Path:
    path = folder / "plant.yaml"
    text = (HEAD + devices).replace("\n", newline)
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())
    return path


def points(folder: Path, text: str = LIST) -> str:
    path = folder / "list.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def imported(
    folder: Path, config: Path, *options: str, text: str = LIST, device: str = "m1"
) -> int:
    return main(
        [
            "tags",
            "import",
            points(folder, text),
            "--device",
            device,
            "--into",
            str(config),
            *options,
        ]
    )


LAYOUTS = {
    "tags in a block": """\
devices:
  - id: m1   # the old one
    connector: modbus
    tags:
      a: {address: 40010}   # kept
      # about b
      b:
        address: 40011
        description: |
          two
          lines
    url: tcp://10.0.0.1
# the end
""",
    "no tags yet": "devices:\n  - id: m1\n    connector: modbus\n    url: tcp://10.0.0.1\n\n# the end\n",
    "tags with nothing behind": "devices:\n- id: m1\n  tags:   # to come\n  connector: modbus\n  url: tcp://10.0.0.1\n",
    "empty braces": "devices:\n  - id: m1\n    connector: modbus\n    tags: {}\n    url: tcp://10.0.0.1\n",
    "braces on one line": """\
devices:
  - {id: m1, connector: modbus, url: tcp://10.0.0.1, tags: {a: {address: 40010}}}
""",
    "braces over lines": """\
devices:
  - id: m1
    connector: modbus
    url: tcp://10.0.0.1
    tags: {
      a: {address: 40010},
    }
""",
    "a device in braces without tags": """\
devices:
  - {id: m1, connector: modbus, url: tcp://10.0.0.1}
  - {id: m2, connector: modbus, url: tcp://10.0.0.1, unit: 2, tags: {a: {address: 40010}}}
""",
    "no line end at the end": """\
devices:
  - id: m1
    connector: modbus
    url: tcp://10.0.0.1
    tags:
      a: {address: 40010}""",
    "a profile alone": "devices:\n  - id: m1\n    url: tcp://10.0.0.1\n    profile: eastron-sdm120\n",
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_tags_are_added_and_every_other_line_stays(name: str, newline: str, tmp_path: Path) -> None:
    config = plant(tmp_path, LAYOUTS[name], newline=newline, bom=newline == "\r\n")
    before = config.read_bytes()
    assert imported(tmp_path, config) == 0
    after = config.read_bytes()
    (device,) = [device for device in load(config).devices if device.id == "m1"]
    assert {"speed", "load"} <= set(device.tags)
    assert device.tags["speed"].description == "转速"
    assert after.startswith(b"\xef\xbb\xbf") == before.startswith(b"\xef\xbb\xbf")
    assert (b"\r\n" in after) == (newline == "\r\n")
    kept = set(after.decode().split(newline))
    lost = [line for line in before.decode().split(newline) if line not in kept]
    assert len(lost) <= 1, lost  # of braces, the line that holds them
    for line in lost:
        assert (
            "{" in line or line.strip().startswith(("a:", "tags:")) or name == "braces over lines"
        )
    for comment in ("# the old one", "# kept", "# about b", "# the end", "# to come"):
        assert (comment in before.decode()) == (comment in after.decode())
    assert imported(tmp_path, config) == 0  # a second time nothing changes
    assert config.read_bytes() == after


def test_what_is_there_is_replaced_only_when_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices = """\
devices:
  - id: m1
    connector: modbus
    url: tcp://10.0.0.1
    tags:
      speed: {address: 40009}   # was wrong
      load:
        address: 40002
        type: int16
      other: {address: 40020}
"""
    config = plant(tmp_path, devices)
    assert imported(tmp_path, config) == 2
    err = capsys.readouterr().err
    assert "list.csv:2:变量名" in err
    assert "list.csv:3" not in err  # load is as listed
    assert config.read_text(encoding="utf-8") == HEAD + devices
    assert imported(tmp_path, config, "--replace", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["replaced"], document["unchanged"], document["added"]) == (
        ["speed"],
        ["load"],
        [],
    )
    assert config.read_text(encoding="utf-8") == HEAD + devices.replace(
        "speed: {address: 40009}   # was", f"{SPEED}  # was"
    )


def test_an_included_file_is_edited_where_its_device_stands(tmp_path: Path) -> None:
    (tmp_path / "lines").mkdir()
    line = tmp_path / "lines" / "ml1.yaml"
    line.write_text(
        "devices:\n  - id: m1\n    connector: modbus\n    url: tcp://10.0.0.1\n    tags: {a: "
        "{address: 1}}\n"
    )
    config = plant(tmp_path, "include: lines/*.yaml\n")
    former = line.read_text()
    # too high an address
    assert imported(tmp_path, config, text="变量名,地址,类型\nx,409999,float\n") == 2
    assert line.read_text() == former.replace("address: 1}", "address: 1}")
    line.write_text(former.replace("address: 1}", "address: 40010}"))
    assert imported(tmp_path, config) == 0
    assert SPEED in line.read_text(encoding="utf-8")
    names = [path.name for path in (tmp_path / "lines").iterdir() if not path.name.endswith(".bak")]
    assert names == ["ml1.yaml"]
    assert (tmp_path / "lines" / "ml1.yaml.bak").exists()
    assert config.read_text(encoding="utf-8") == HEAD + "include: lines/*.yaml\n"


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        (
            "devices:\n  - {id: m0, connector: modbus, url: tcp://10.0.0.1, tags: &t {a: "
            "{address: 40010}}}\n"
            "  - {id: m1, connector: modbus, url: tcp://10.0.0.2, tags: *t}\n",
            "alias",
        ),
        (
            "devices:\n  - {for: {i: 1..2}, id: 'm{i}', connector: modbus, url: "
            "'tcp://10.0.0.{i}', "
            "tags: {a: {address: 40010}}}\n",
            "write one that a `for` makes",
        ),
    ],
    ids=["alias", "for"],
)
def test_a_change_that_would_reach_other_devices_is_refused(
    devices: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = plant(tmp_path, devices)
    assert imported(tmp_path, config) == 2
    assert said in capsys.readouterr().err
    assert config.read_text(encoding="utf-8") == HEAD + devices
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "plant.yaml"]


def test_what_check_finds_is_told_at_the_row_and_column_it_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = plant(tmp_path, LAYOUTS["no tags yet"])
    before = config.read_bytes()
    text = (
        "变量名,地址,类型,长度,死区,备注\na,40001,整数,,,x\nb,465537,UINT16,,,\n"
        "c,40003,字符串,,,\nd,40004,INT16,,abc%,\ne,00001,UINT16,,,\n"
    )
    assert imported(tmp_path, config, text=text) == 2
    err = capsys.readouterr().err
    places = [
        line.partition("list.csv:")[2].partition(": ")[0]
        for line in err.splitlines()
        if "list.csv:" in line
    ]
    assert places == ["2:类型", "3:地址", "4:变量名", "5:死区", "6:类型"]
    assert "plant" not in err
    assert config.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "plant.yaml"]


def test_without_a_configuration_the_tags_are_printed_and_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tags", "import", points(tmp_path), "--device", "m1"]) == 0
    assert capsys.readouterr().out == f"    tags:\n      {SPEED}\n      {LOAD}\n"
    nodes = points(
        tmp_path, "tag,NodeId,type\na,ns=2;s=Speed,Double\nb,Objects/2:M/2:State,Int32\n"
    )
    assert main(["tags", "import", nodes, "--device", "m1"]) == 0
    assert "a: {node: ns=2;s=Speed, type: Double}" in capsys.readouterr().out
    assert (
        main(["tags", "import", points(tmp_path, "tag,address\na,D100\n"), "--device", "m1"]) == 2
    )
    assert "list.csv:2:address" in capsys.readouterr().err


def test_another_fault_of_the_file_comes_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = plant(tmp_path, LAYOUTS["no tags yet"].replace("url:", "ulr:"))
    assert imported(tmp_path, config) == 2
    assert "'ulr'" in capsys.readouterr().err


def test_a_file_that_would_become_too_large_is_named_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = plant(tmp_path, LAYOUTS["tags in a block"])
    before = config.read_bytes()
    monkeypatch.setattr("edge_agent.config.source.MAX_BYTES", len(before) + 20)
    assert imported(tmp_path, config) == 2
    out = "".join(capsys.readouterr())
    assert f"{config}:1:1" in out
    assert "the file is larger than" in out
    assert config.read_bytes() == before
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".yaml"]


def test_devices_of_a_new_file_are_filled_one_by_one(tmp_path: Path) -> None:
    config = plant(
        tmp_path,
        "devices:\n  - {id: m1, connector: modbus, url: tcp://10.0.0.1}\n  - {id: m2, connector: "
        "modbus, url: tcp://10.0.0.2}\n",
    )
    assert imported(tmp_path, config) == 0
    assert imported(tmp_path, config, device="m2") == 0
    assert [len(device.tags) for device in load(config).devices] == [2, 2]


def test_a_list_of_several_devices_gives_each_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = plant(tmp_path, LAYOUTS["no tags yet"])
    text = "设备,变量名,地址,类型\nm1,a,40001,INT\nm2,a,40001,REAL\n"
    assert imported(tmp_path, config, text=text) == 0
    (device,) = load(config).devices
    assert device.tags["a"].type == "int16"  # type: ignore[attr-defined]
    assert imported(tmp_path, config, text=text.replace("m1", "m3")) == 2
    assert "m2、m3" in capsys.readouterr().err


def test_a_long_list_is_written_without_the_slow_emitter_for_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = import_module("edge_agent.config.dump")
    emitted: list[object] = []
    slow = dump._emitted
    monkeypatch.setattr(dump, "_emitted", lambda data: emitted.append(data) or slow(data))
    dump._text_in_braces.cache_clear()
    rows = "".join(
        f"t{n},{40001 + 2 * n},float,0.1,%,第{n}路 phase (A),0,100.5\n" for n in range(60)
    )
    config = plant(
        tmp_path,
        "devices:\n  - {id: m0, connector: modbus, url: tcp://h, tags: {a: {address: 40001}}}\n"
        "  - id: m1\n    connector: modbus\n    url: tcp://h\n",
    )
    assert (
        imported(tmp_path, config, text="变量名,地址,类型,比例,单位,说明,下限,上限\n" + rows) == 0
    )
    assert len(load(config).devices[1].tags) == 60
    assert emitted == [["%"]], "once for each text that has to be quoted"
