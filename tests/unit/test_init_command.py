"""`init` and `register from`: first files that the checks accept, with nothing in them that a
person must state."""

from __future__ import annotations

import csv
import io
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import openpyxl
import pytest

from edge_agent.cli.main import main
from edge_agent.config import load
from edge_agent.register.columns import EQUIPMENT

ROOT = Path(__file__).parents[2]


def test_a_first_file_loads_and_explains_every_key_in_both_languages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "plant.yaml"
    assert main(["init", str(file), "--yes", "--agent", "ipc-07"]) == 0
    site = load(file)
    assert (site.agent.id, site.devices, site.mqtt.confirm) == ("ipc-07", (), "store")
    assert main(["check", str(file)]) == 0
    assert "devices" in capsys.readouterr().out
    lines = file.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith("  ") and not line.startswith("  #"):
            assert " / " in lines[number - 1], line
    assert main(["init", str(file), "--yes"]) == 2  # it is there


def test_a_first_device_comes_with_its_profile(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    words = [
        "--device",
        "meter-01",
        "--name",
        "一线总表",
        "--profile",
        "eastron-sdm630",
        "--url",
        "rtu:///dev/ttyUSB0",
    ]
    assert main(["init", str(file), "--yes", "--store", "none", "--unit", "3", *words]) == 0
    (device,) = load(file).devices
    assert (device.id, device.name, device.unit) == ("meter-01", "一线总表", 3)  # type: ignore[attr-defined]
    assert load(file).mqtt.confirm == "broker"
    words = [
        "--device",
        "cnc",
        "--profile",
        "generic-umati",
        "--url",
        "opc.tcp://10.0.0.1:4840",
        "--store",
        "influxdb",
    ]
    assert main(["init", str(tmp_path / "cnc.yaml"), "--yes", *words]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mqtt", "http://x"], "mqtt://host:port"),
        (["--store", "oracle"], "store must be one of"),
        (["--device", "a"], "--profile"),
        (["--device", "a", "--profile", "nothing", "--url", "tcp://h"], "nothing"),
        (["--unit", "x"], "whole number"),
        (["--timezone", "Mars/Base"], "time zone"),
    ],
)
def test_what_check_would_refuse_is_not_written(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "plant.yaml"), "--yes", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "/tmp/tmp" not in err
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_it_asks_for_what_is_not_given(tmp_path: Path) -> None:
    mine, theirs = pty.openpty()
    command = [sys.executable, "-m", "edge_agent", "init", "plant.yaml", "--agent", "ipc-09"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        os.close(theirs)
        answers = [
            "acme",
            "",
            "",
            "",
            "none",
            "m1",
            "电表",
            "eastron-sdm120",
            "tcp://10.0.0.9",
            "4",
        ]
        os.write(mine, ("\n".join(answers) + "\n").encode())
        shown, deadline = b"", time.monotonic() + 60.0
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([mine], [], [], 0.1)[0]:
                try:
                    shown += os.read(mine, 65536)
                except OSError:  # the other end is closed
                    break
        assert process.wait(timeout=30) == 0, shown.decode()
    os.close(mine)
    site = load(tmp_path / "plant.yaml")
    assert (site.agent.id, site.agent.enterprise, site.agent.site) == ("ipc-09", "acme", "my-site")
    assert [device.name for device in site.devices] == ["电表"]


def test_a_register_from_the_devices_leaves_empty_what_a_person_states(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out, processes = (
        str(ROOT / "configs" / "demo.yaml"),
        tmp_path / "e.csv",
        tmp_path / "p.csv",
    )
    assert (
        main(
            [
                "register",
                "from",
                config,
                "--out",
                str(out),
                "--processes",
                str(processes),
                "--headers",
                "en",
            ]
        )
        == 0
    )
    shown = capsys.readouterr().out
    for word in ("关键工序", "数控类型", "联网(申报)", "纳入统计"):
        assert word in shown
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8-sig"))))
    assert [row["equipment_id"] for row in rows] == [device.id for device in load(config).devices]
    assert {row["interface"] for row in rows} == {"modbus_tcp", "opc_ua", "modbus_rtu"} - (
        {"modbus_rtu"} if not any(row["interface"] == "modbus_rtu" for row in rows) else set()
    )
    stated = [
        column.name
        for column in EQUIPMENT
        if column.required and column.name not in ("equipment_id", "interface")
    ]
    assert {row[name] for row in rows for name in stated} == {""}
    found = list(csv.DictReader(io.StringIO(processes.read_text(encoding="utf-8-sig"))))
    assert found
    assert {row["is_key"] for row in found} == {""}
    assert {row["process_id"] for row in rows} - {""} == {row["process_id"] for row in found}
    assert main(["register", "check", str(out)]) == 1  # until a person has filled it in
    assert "in_scope" in capsys.readouterr().out
    assert main(["register", "from", config, "--out", str(out)]) == 2


def test_a_machine_behind_an_input_module_has_no_interface_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "e.xlsx"
    assert (
        main(
            [
                "register",
                "from",
                str(ROOT / "configs" / "examples" / "tower-light.yaml"),
                "--out",
                str(out),
            ]
        )
        == 0
    )
    sheet = openpyxl.load_workbook(out)["设备台账"]
    head, *rows = sheet.iter_rows(values_only=True)
    assert [row[head.index("通信接口")] for row in rows] == [None, None]
    assert [row[head.index("采集设备")] for row in rows] == ["press-01", "press-02"]
