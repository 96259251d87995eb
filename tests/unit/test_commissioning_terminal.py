"""What commissioning commands print on a terminal: in its language, and no wider than it is."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from edge_agent.cli.main import main
from edge_agent.commissioning.doctor import chain
from edge_agent.commissioning.doctor.diagnosis import Diagnosis
from edge_agent.commissioning.scan import Scanned
from edge_agent.commissioning.scan_view import show
from edge_agent.commissioning.terminal import SentencePrinter
from edge_agent.discovery import ScanAnswer
from edge_agent.errors import Finding

CHINESE = re.compile("[\u4e00-\u9fff]")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PLANT = """\
agent: {id: ipc-01, enterprise: acme, site: dg, area: a1, workers: 1}
mqtt: {url: mqtt://127.0.0.1}
devices:
  - id: spindle-line-01-machine-07
    connector: opcua
    endpoint: 'opc.tcp://10.0.0.1:4840'
    tags: {a: {node: 'ns=2;s=x'}}
  - {id: m, connector: modbus, url: 'rtu:///dev/absent', unit: 3, tags: {a: {address: holding/0}}}
  - {id: meter-01, profile: eastron-sdm630, url: 'tcp://10.0.0.2', name: 一线总表}
"""
NAMES = ("agent", "mqtt", "store", "confirm", "modbus", "opcua")


@pytest.fixture(params=[80, 60, 40])
def width(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@contextlib.contextmanager
def terminal(
    monkeypatch: pytest.MonkeyPatch, width: int, locale: str
) -> Iterator[Callable[[], list[str]]]:
    """Standard output and standard error are a terminal of so many columns; gives what was written
    there, as lines."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    settings = termios.tcgetattr(theirs)
    settings[1] &= ~termios.ONLCR
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    written = bytearray()

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                written.extend(data)
        except OSError:  # the other end has been closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    stream = open(theirs, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed below, before it is read
    with monkeypatch.context() as patch:
        for name in ("LC_ALL", "LC_MESSAGES", "NO_COLOR", "FORCE_COLOR"):
            patch.delenv(name, raising=False)
        for name, value in (("LANG", locale), ("TERM", "xterm"), ("COLUMNS", str(width))):
            patch.setenv(name, value)
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)

        def lines() -> list[str]:
            if not stream.closed:
                stream.close()
                reader.join()
                os.close(ours)
            return CONTROL.sub("", written.decode()).splitlines()

        try:
            yield lines
        finally:
            lines()


def assert_fits(lines: list[str], width: int) -> None:
    assert lines
    for line in lines:
        assert cell_len(line) <= width, line


def commands(folder: Path) -> dict[str, tuple[list[str], int]]:
    """Commands that print sentences, and their exit status."""
    plant, bad, points = folder / "plant.yaml", folder / "bad.yaml", folder / "list.csv"
    plant.write_text(PLANT, encoding="utf-8")
    bad.write_text(PLANT.replace("connector: opcua", "conector: opcua"), encoding="utf-8")
    points.write_text(
        "变量名,地址,类型\nx,100,整数\ny,40001,int16\ny,40002,word\n", encoding="utf-8"
    )
    good = folder / "good.csv"
    good.write_text("变量名,地址,类型,不认识\nx,40005,int16,1\n", encoding="utf-8")
    return {
        "check": (["check", str(plant)], 0),
        "check of a faulty file": (["check", str(bad)], 2),
        "check of no file": (["check", str(folder / "absent.yaml")], 2),
        "tags import": (["tags", "import", str(points), "--device", "m"], 2),
        "tags import --into": (
            ["tags", "import", str(good), "--device", "m", "--into", str(plant)],
            0,
        ),
        "tags export": (["tags", "export", str(plant), "--out", str(folder / "out.csv")], 0),
        "tags sheet": (
            ["tags", "sheet", str(plant), "--blank", "--out", str(folder / "s.html")],
            0,
        ),
        "convert": (["convert", "kepware", str(good), "--out", str(folder / "converted.yaml")], 0),
        "init": (["init", str(folder / "first.yaml"), "--yes"], 0),
        "register from": (
            ["register", "from", str(plant), "--out", str(folder / "register.csv")],
            0,
        ),
        "scan": (["scan", "modbus", "tcp://127.0.0.1:1", "--units", "1"], 1),
        "probe": (["probe", "tcp://127.0.0.1:1", "--from", "0"], 1),
        "browse": (["browse", "opc.tcp://127.0.0.1:1"], 1),
    }


COMMANDS = (
    "check",
    "check of a faulty file",
    "check of no file",
    "tags import",
    "tags import --into",
    "tags export",
    "tags sheet",
    "convert",
    "init",
    "register from",
    "scan",
    "probe",
    "browse",
)
#: What files of the tests say, in whatever language.
QUOTED = re.compile("一线总表|变量名|地址|类型|整数|不认识(?!的)|点表|设备台账")


@pytest.mark.parametrize(
    ("name", "locale"),
    [
        *itertools.product(COMMANDS, ("zh_CN.UTF-8", "en_GB.UTF-8")),
        ("check", "C"),
        ("tags import --into", "C"),
    ],
)
def test_a_command_fits_a_terminal_and_speaks_its_language(
    name: str, locale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, status = commands(tmp_path)[name]
    monkeypatch.chdir(tmp_path)
    words = [word.replace(f"{tmp_path}/", "") for word in words]
    with terminal(monkeypatch, 80, locale) as lines:
        assert main(words) == status
        found = lines()
    assert_fits(found, 80)
    text = "".join(found)
    text = QUOTED.sub("", text) if locale.startswith("en") else text
    # whose empty columns have Chinese names
    if locale.startswith("en") and name != "register from":
        assert CHINESE.search(text) is None, text
    if locale.startswith("zh"):
        assert CHINESE.search(text)
        assert re.search(r"\b(the|is|are|and|of)\b", text) is None, text
    if locale == "C":
        assert CHINESE.search(text)
        assert re.search(r"\b(the|is|are|device|wrote)\b", text)


def test_check_fits_narrow_terminals(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("check", "check of a faulty file"):
        words, status = commands(tmp_path)[name]
        with terminal(monkeypatch, width, "C") as lines:
            assert main(words) == status
            found = lines()
        assert_fits(found, width)
    assert "conector" in "".join(found)


def test_check_says_the_same_into_a_pipe_on_single_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, _ = commands(tmp_path)["check"]
    assert main(words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == [
        "设备",
        "DEVICE",
        "连接器",
        "CONNECTOR",
        "地址",
        "AT",
        "模板",
        "PROFILE",
        "变量",
        "TAGS",
        "周期",
        "EVERY",
        "值/秒",
        "VALUES/S",
        "请求/轮",
        "REQUESTS",
    ]
    assert "提示 Notes (2):" in out
    note = out.index("提示 Notes (2):")
    assert [line[:6].strip() == "" for line in out[note + 1 : note + 5]] == [
        False,
        True,
        False,
        True,
    ]
    assert max(map(cell_len, out)) > 100


LONG = Finding(
    "x", "plant.yaml:12:5",
    "站号 3 在 1 秒内没有应答（站号 3 holding/0 × 1）：请检查设备电源、站号和接线，"
    "再运行 edge-agent doctor plant.yaml 查看。",
    "Unit 3 did not answer within 1 s: check the device's power, its unit number and wiring, and "
    "run"
    " `edge-agent doctor plant.yaml`.",
)  # fmt: skip


@pytest.mark.parametrize("locale", ["zh_CN.UTF-8", "en_GB.UTF-8", "C"])
def test_the_lines_of_a_sentence_hang_and_nothing_is_lost(
    width: int, locale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(monkeypatch, width, locale) as lines:
        SentencePrinter(Console(highlight=False)).finding(LONG, indent=2)
        found = lines()
    assert_fits(found, width)
    assert found[0].startswith("  plant.yaml:12:5: ")
    assert all(line.startswith("      ") for line in found[1:])
    squeezed = "".join(found).replace(" ", "")
    for text, language in ((LONG.zh, "zh"), (LONG.en, "en")):
        expected = locale == "C" or locale.startswith(language)
        assert (text.replace(" ", "").replace("`", "") in squeezed.replace("`", "")) == expected


@pytest.mark.parametrize("locale", ["zh_CN.UTF-8", "en_GB.UTF-8"])
def test_doctor_and_scan_fit_a_terminal(
    width: int, locale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def examine(*_: object) -> list[Diagnosis]:
        return [
            Diagnosis("ok", "plant.yaml", "配置文件没有错误。", "No error in the file."),
            Diagnosis("fault", "unit-03", LONG.zh, LONG.en, LONG.zh, LONG.en),
        ]

    monkeypatch.setattr(chain, "examine", examine)
    config = commands(tmp_path)["check"][0][1]
    found = [
        Scanned(
            ScanAnswer(
                "tcp://10.0.0.1:502 unit 3",
                {},
                {"VendorName": "ACME " * 20},
                zh=LONG.zh,
                en=LONG.en,
            )
        )
    ]
    with terminal(monkeypatch, width, locale) as lines:
        assert main(["doctor", config]) == 1
        show(Console(highlight=False), found, compared=True, ignores_units=False)
        printed = lines()
    assert_fits(printed, width)
    assert (CHINESE.search("".join(printed)) is None) == locale.startswith("en")
