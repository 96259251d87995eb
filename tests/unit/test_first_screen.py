"""The first screen: what matters is on it in every terminal, nothing is wrapped or cut, and nothing
is invented."""

from __future__ import annotations

import io
import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from edge_agent.app.demo.view import picture
from edge_agent.app.status.first_screen import FirstScreen
from edge_agent.app.status.rates_view import figure, headlines, judgement, others
from edge_agent.app.status.status_faults import not_well
from edge_agent.app.status.terminal import Language, Terminal, language, wrapped
from edge_agent.app.status.view import show
from edge_agent.cli.status import _well
from edge_agent.health.reasons import sentence
from edge_agent.metrics.evaluate import evaluate
from edge_agent.metrics.live import LiveEvidence, read_live
from edge_agent.reasons import cause
from edge_agent.reasons.causes import CAUSES
from edge_agent.register.importing import load
from edge_agent.report.document import ReportSetting, build
from edge_agent.report.html import render
from edge_agent.words import commands_in, number_of
from tests.support import report_plant
from tests.support.report_plant import END
from tests.support.sites import site

FACTORY = Path(__file__).parents[1] / "cases" / "golden_factory"
REGISTER, _ = load(FACTORY / "equipment_register.csv", FACTORY / "processes.csv")
CONFIG = Path("plant.yaml")
NOW = 1_800_000_000_000_000_000
S = 1_000_000_000
SIZES = [(80, 24), (120, 30), (160, 50)]
LANGUAGES: list[Language] = ["zh", "en", "both"]


def metrics(live: LiveEvidence | None = None) -> list[dict[str, Any]]:
    return list(evaluate(REGISTER, live or read_live(FACTORY / "live.json"))["results"].values())


def young() -> list[dict[str, Any]]:
    """The same as in the plant's first minutes."""
    found = metrics()
    text = {"zh": "现在在线 12/15 台；计划工时满 8 小时后评定（已有 0.3）",
            "en": "now online 12/15; effective after 8 planned hours (0.3 so far)"}  # fmt: skip
    for each in found:
        if each["id"].startswith("M-04") and each["id"].endswith("effective"):
            each |= {"value": 0, "value_pct": 0.0, "now_online": [12, 15],
                     "effective_after": {"planned_hours": 8, "so_far": 0.3, **text}}  # fmt: skip
    return found


def device(name: str, connection: str = "online", **changes: Any) -> dict[str, Any]:
    reason = {
        "offline": "BadNoCommunication",
        "degraded": "BadSensorFailure",
        "silent": "BadTimeout",
    }
    row = {
        "id": name,
        "name": f"数控车床 {name}",
        "connector": "modbus",
        "state": "Executing",
        "values_per_s": 12.0,
        "last_good_age_s": 0.4,
        "quality": "Good",
        "connection": connection,
        "why": list(sentence(reason.get(connection, ""))),
    }
    return row | changes


def plant(n: int = 20, **worse: str) -> list[dict[str, Any]]:
    names = [f"mill-{i:02}" for i in range(n)]
    return [
        device(name, worse.get(name.replace("-", "_"), "online"))
        | (
            {"last_good_age_s": 1140.0, "quality": "BadNoCommunication 9/9"}
            if name.replace("-", "_") in worse
            else {}
        )
        for name in names
    ]


def served(rows: list[dict[str, Any]], *notices: dict[str, Any], **more: Any) -> dict[str, Any]:
    health = {"number": 1 if notices else 0, "name": "", "notices": list(notices)}
    return {"t": NOW, "devices": rows, "ne107": health, "counters": {"stored": 12_345}, **more}


FINE: dict[str, Any] = {
    "ne107": {"number": 0, "name": "NORMAL", "notices": []},
    "counters": {"read": 1},
    "devices": [],
}
MISSING: dict[str, Any] = {
    "from": NOW - 86_400 * S,
    "to": NOW,
    "gaps": [],
    "absent": [],
    "outages": [],
    "tags": [],
}


def screen(rows: list[dict[str, Any]], figures: list[dict[str, Any]], **more: Any) -> FirstScreen:
    document = {"serve": served(rows), "agent": FINE, "missing": MISSING} | more
    return FirstScreen(
        title="edge-agent status", now=NOW, timezone="Asia/Shanghai", metrics=figures, devices=rows,
        problems=not_well(document, CONFIG, {row["id"] for row in rows}), nothing_missing=True,
        more="edge-agent status plant.yaml --wide",
    )  # fmt: skip


def text(first: FirstScreen, width: int, height: int, which: Language) -> list[str]:
    """What stands on it; only a command may go on in the next row of the terminal."""
    terminal = Terminal(width, height, which)
    found = first.lines(terminal)
    assert terminal.rows(found) <= height
    lines = [line.plain for line in found]
    too_wide = [line for line in lines if cell_len(line) > width]
    assert all(list(commands_in(line.strip())) == [(0, len(line.strip()))] for line in too_wide), (
        too_wide
    )
    return lines


@pytest.mark.parametrize("which", LANGUAGES)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_all_that_matters_is_on_one_screen(width: int, height: int, which: Language) -> None:
    rows = plant(20, mill_07="offline", mill_03="degraded")
    lines = text(screen(rows, metrics()), width, height - 1, which)
    whole = "\n".join(lines)
    assert "68.10 %" in whole
    assert "57.89 %" in whole
    assert re.search(r"11 (/ 19|of 19)", whole), "with what it rests on"
    assert "mill-07" in lines[1], "what is not well comes first"
    flat = re.sub(r"\s+", "", whole)
    for word, sentences in (("zh", 0), ("en", 1)):
        if which in (word, "both"):
            assert re.sub(r"\s+", "", sentence("BadNoCommunication")[sentences]) in flat, (
                "why, with the next step"
            )
    assert "19 min" in whole or "19 分钟" in whole, "since when"
    assert "18 online" in whole or "在线 18" in whole
    table = [line for line in lines if line.startswith("mill-")]
    assert table[0].startswith("mill-07")
    assert table[1].startswith("mill-03")
    if (width, height) == (160, 50):
        assert len(table) == 20, "where there is room all of them are there"
    else:
        assert len(table) == 20 or re.search(r"\d+ more, all online|另有 \d+ 台，均在线", whole)
    english = [line for line in lines if not line.startswith("mill-")]
    if which == "en":
        assert not re.search(r"[\u4e00-\u9fff]", "".join(english))


@pytest.mark.parametrize("which", LANGUAGES)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_when_all_is_well_one_quiet_line_says_so(width: int, height: int, which: Language) -> None:
    lines = text(screen(plant(), metrics()), width, height - 1, which)
    said = {
        "zh": "20 台设备全部正常，没有丢失数据。",
        "en": "All 20 devices are well; nothing is missing.",
    }
    assert lines[1] == said.get(which, f"{said['zh']} / {said['en']}")


@pytest.mark.parametrize("which", LANGUAGES)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_rate_that_means_nothing_yet_is_no_percentage(
    width: int, height: int, which: Language
) -> None:
    whole = "\n".join(text(screen(plant(), young()), width, height - 1, which))
    assert " 0.00 %" not in whole
    wanted = {
        "zh": "现在在线 12/15 台；计划工时满 8 小时后评定",
        "en": "now online 12/15; effective after 8 planned hours",
    }
    assert wanted.get(which, wanted["en"]) in whole


@pytest.mark.parametrize("which", LANGUAGES)
def test_many_troubles_leave_room_for_the_rates_and_are_counted(which: Language) -> None:
    rows = plant(60, **{f"mill_{i:02}": "offline" for i in range(10)})
    for i, row in enumerate(rows[10:18]):
        row |= {"connection": "degraded", "why": [f"原因 {i}。", f"Reason {i}."]}
    lines = text(screen(rows, young()), 80, 23, which)
    whole = "\n".join(lines)
    assert "68.10 %" in whole
    assert re.search(r"12/15", whole)
    assert "edge-agent status plant.yaml --wide" in whole
    assert re.search(r"还有 \d 项|… \d more", whole)
    assert "mill-02 … +7" in lines[1], "equal ones are one entry"


def test_a_guest_is_named_and_nothing_of_it_is_red() -> None:
    rows = [device("a"), device("other:x", "offline", guest=True, agent="other")]
    agents = [
        {
            "agent": "ipc-01",
            "online": True,
            "version": "0.1.0",
            "backlog_values": 0,
            "guest": False,
            "own": True,
        },
        {
            "agent": "other",
            "online": False,
            "version": "0.1.0",
            "backlog_values": 7,
            "guest": True,
            "own": False,
        },
    ]
    document = {"serve": served(rows, agents=agents), "agent": FINE, "missing": MISSING}
    assert not_well(document, CONFIG, {"a"}) == []
    first = FirstScreen("t", NOW, "UTC", [], metrics(), rows, agents)
    for which in LANGUAGES:
        lines = first.lines(Terminal(80, 23, which))
        guests = [line for line in lines if "guest" in line.plain or "访客" in line.plain]
        assert len(guests) >= 2, "the count, and the agent or the device"
        styles = {str(span.style) for line in guests for span in line.spans} | {
            str(line.style) for line in guests
        }
        assert not styles & {"red", "bold red"}
        assert any(line.plain.startswith("1 device") or "设备 1 台" in line.plain for line in lines)


def test_a_process_that_does_not_run_is_named_with_the_command_that_starts_it() -> None:
    found = not_well({"serve": None, "agent": None, "missing": None}, CONFIG)
    assert [each.severity for each in found] == [0, 0]
    assert "edge-agent serve plant.yaml" in found[0].sentence[1]
    assert "edge-agent run plant.yaml" in found[1].sentence[0]


def test_a_notice_says_since_when() -> None:
    notice = {
        "health": "MAINTENANCE_REQUIRED",
        "reason": "broker_away",
        "zh": "连不上。",
        "en": "It is away.",
        "since": NOW - 7200 * S,
    }
    document = {"serve": served(plant(), notice), "agent": FINE, "missing": MISSING}
    first = FirstScreen("t", NOW, "UTC", not_well(document, CONFIG), [], plant())
    assert "since" in first.lines(Terminal(80, 23, "en"))[1].plain
    assert "(2 h)" in first.lines(Terminal(80, 23, "en"))[1].plain


def test_a_configured_device_that_never_reported_is_not_well() -> None:
    document = {"serve": served([device("a")]), "agent": FINE, "missing": MISSING}
    (found,) = not_well(document, CONFIG, {"a", "b"})
    assert found.who == ("b", "b")


def test_a_device_of_another_agent_of_the_plant_that_is_offline_is_not_well() -> None:
    other = {
        "agent": "ipc-02",
        "by_birth": True,
        "why": ["拒绝连接。", "It refuses the connection."],
    }
    rows = [
        device("a", agent="ipc-01"),
        device("only-b", "offline", **other),
        device("former", "silent"),
    ]
    document = {"serve": served(rows), "agent": FINE, "missing": MISSING}
    (found,) = not_well(document, CONFIG, {"a"})
    assert (found.who[1], found.word[1], found.sentence[1]) == (
        "only-b",
        "offline",
        "It refuses the connection.",
    )
    assert not _well(FINE, served(rows), {"a"})
    assert _well(FINE, served([rows[0], rows[2]]), {"a"})


def test_the_agent_itself_says_why_where_the_store_has_only_the_status() -> None:
    """After a day, or a change of store, the row with the exact sentence is out of the store's
    sight."""
    said = {
        "id": "a",
        "state": "offline",
        "detail_zh": "端口上没有程序。",
        "detail": "Nothing listens on that port.",
    }
    agent = FINE | {"devices": [said]}
    rows = [
        device("a", "offline", agent="ipc-01"),
        device("b:a", "offline", agent="b", by_birth=True),
    ]
    found = not_well({"serve": served(rows), "agent": agent, "missing": MISSING}, CONFIG, {"a"})
    assert [each.sentence[1] for each in found] == [
        "Nothing listens on that port.",
        rows[1]["why"][1],
    ]
    moved = {
        "serve": served([device("a", "silent", agent="ipc-01")]),
        "agent": agent,
        "missing": MISSING,
    }
    assert not_well(moved, CONFIG, {"a"})[0].sentence[1] != "Nothing listens on that port.", (
        "not the state it speaks of"
    )


def test_an_empty_screen_has_room_for_all_that_is_not_well() -> None:
    long = {"zh": "很长的原因。" * 30, "en": "A long reason. " * 30}
    rows = [
        {"id": name, "state": "offline", "reason": "", "last_good_t": None,
         "ne107": {"number": 1, "name": "FAILURE", "notices": [{"reason": "", **long}]}}
        for name in ("a", "b")
    ]  # fmt: skip
    rows[1]["ne107"] = {
        "number": 1,
        "name": "FAILURE",
        "notices": [{"reason": "", "zh": "短。", "en": "Short."}],
    }
    problems = not_well({"serve": None, "agent": FINE | {"devices": rows}, "missing": None}, CONFIG)
    lines = text(FirstScreen("t", NOW, "UTC", problems, [], []), 80, 23, "en")
    assert "Short." in "\n".join(lines)


def test_values_that_are_uncertain_are_not_called_well() -> None:
    quality = "UncertainEngineeringUnitsExceeded 15/30"
    rows = [device("a"), device("b", quality=quality)]
    (found,) = not_well(
        {"serve": served(rows), "agent": FINE, "missing": MISSING}, CONFIG, {"a", "b"}
    )
    assert (found.who[1], found.word[1], found.severity, found.since) == ("b", "uncertain", 1, None)
    assert found.sentence[1].startswith(f"{quality}: A value lies outside its configured range")


def test_a_twin_hides_no_device_that_never_reported() -> None:
    rows = [device("ipc-02:a", agent="ipc-02", by_birth=True)]
    (found,) = not_well({"serve": served(rows), "agent": FINE, "missing": MISSING}, CONFIG, {"a"})
    assert (found.who, found.word[1]) == (("a", "a"), "never reported")
    assert not _well(FINE, served(rows), {"a"})
    assert not _well(FINE, served([]), {"a"}), "nothing has reported yet"


def test_a_device_whose_values_are_too_old_is_not_called_well() -> None:
    rows = [device("a"), device("b", last_good_age_s=60.0, quality="UncertainLastUsableValue")]
    (found,) = not_well({"serve": served(rows), "agent": FINE, "missing": MISSING}, CONFIG)
    assert (found.who, found.word[1], found.since) == (("b", "b"), "stale", NOW - 60 * S)


def test_the_demo_draws_the_same_screen() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, height=24)
    console.print(picture(served(plant()), FINE, young(), CONFIG, "UTC", Terminal(80, 23, "en")))
    lines = out.getvalue().splitlines()
    assert len(lines) <= 23
    assert "All 20 devices are well." in lines[1]
    assert "12,345 stored" in " ".join(lines)


def test_everything_whole_has_every_device_every_figure_and_every_detail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = plant(60)
    document = {
        "serve": served(rows),
        "agent": None,
        "missing": MISSING | {"covered": {}},
        "metrics": metrics(),
    }
    # where nobody looks at a screen it is whole too
    show(document, site(tmp_path, "devices: []"), CONFIG)
    told = capsys.readouterr().out
    assert all(row["name"] in told for row in rows)
    assert all(each["id"] in told or each["name_en"] in told for each in metrics())
    assert "no outage" in told


# --- what is judged -------------------------------------------------------------------------------


def stated(document: dict[str, Any]) -> bool | None:
    target = document.get("target")
    met: bool | None = target and target["met"]
    return met


@pytest.mark.parametrize(
    "figures", [metrics(), young(), metrics(LiveEvidence())], ids=["golden", "young", "no data"]
)
def test_every_judgement_that_is_printed_is_that_of_the_document(
    figures: list[dict[str, Any]],
) -> None:
    """Demo, status and `metrics show` print these lines; what is not judged is never met or not
    met."""
    terminal = Terminal(10_000, None, "both")
    lines = [line.plain for line in headlines(figures, terminal)]
    for each in others(figures, terminal):
        lines += [line.plain for line in each]
    for document in figures:
        (line,) = [line for line in lines if line.startswith(f"{document['id']} ")] or [
            line for line in lines if line.startswith(document["name_zh"] + " ")
        ]
        assert ("not met" in line) is (stated(document) is False), line
        assert (re.search(r"(?<!not )\bmet\b", line) is not None) is (stated(document) is True), (
            line
        )
        assert ("未达到" in line) is (stated(document) is False), line
        assert (figure(document) is None) is (
            document["value"] is None or bool(document.get("effective_after"))
        )
        if (
            document.get("target")
            and document["target"]["met"] is None
            and figure(document) is not None
        ):
            assert "not judged" in line
            assert "不判定" in line


def test_domestic_robots_are_not_judged_for_the_local_market() -> None:
    robots = {each["id"]: each for each in metrics()}
    for key in ("M-09", "M-10"):
        assert robots[key]["target"]["met"] is None
        assert judgement(robots[key]) is not None
        assert "not judged" in (judgement(robots[key]) or ("", ""))[1]


def test_every_judgement_of_a_report_is_that_of_its_figures() -> None:
    document = build(report_plant.plant(), ReportSetting("health-check", "30d", issued_ns=END))
    figures = {each["key"]: each for each in document["figures"]}
    table = next(
        block
        for part in document["parts"]
        for block in part["blocks"]
        if block.get("name") == "rates"
    )
    for row in table["rows"]:
        met, said = stated(figures[row[0]]), row[-1]
        assert (said is not None) is (
            bool(figures[row[0]]["target"]) and figures[row[0]]["value"] is not None
        ), row[0]
        if said is not None:
            words = {True: "met", False: "not met", None: "not judged"}
            assert said["en"].endswith(words[met]), row[0]
            assert said["zh"].endswith({True: "达到", False: "未达到", None: "不判定"}[met]), row[0]
    first_page = render(document, "en").partition("<nav")[0]
    for key in ("M-01-prorata", "M-03", "M-04a-effective"):
        if stated(figures[key]) is None:
            assert f"{figures[key]['name_en']}</p><b>" in first_page


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_GB.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8"}, "both"),
        ({"LC_ALL": "", "LANG": ""}, "both"),
        ({}, "both"),
    ],
)
def test_the_locale_says_the_language_and_none_means_both(
    environment: dict[str, str], expected: str
) -> None:
    assert language(environment) == expected


def test_one_is_one_and_two_are_two() -> None:
    assert [number_of(n, "device") for n in (0, 1, 2)] == ["0 devices", "1 device", "2 devices"]


@pytest.mark.parametrize("width", [10, 20, 33])
def test_a_sentence_is_broken_and_nothing_of_it_is_lost(width: int) -> None:
    for said in (*sentence("BadNotFound"), "/a/very/long/path/without/any/space/in/it " * 2):
        lines = wrapped(said, width)
        assert all(cell_len(line) <= width for line in lines)
        assert "".join(lines).replace(" ", "") == said.replace(" ", "")


# --- commands can be copied -----------------------------------------------------------------------


SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PKI = "/var/lib/edge-agent/ipc-01/pki"
INSTALL = f"install -D -m 644 {PKI}/rejected/{SHA}.der {PKI}/trust/{SHA}.der"
WAIVED = "'/srv/my plant/run' edge-agent reload '/srv/my plant/plant a.yaml'"


@pytest.mark.parametrize("which", LANGUAGES)
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("command", [INSTALL, WAIVED, "edge-agent serve plant.yaml"])
def test_a_command_is_never_broken_by_us(
    command: str, width: int, height: int, which: Language
) -> None:
    """A terminal breaks a line that is too wide itself, and nothing comes into what is copied; of
    ours would."""
    unknown = cause("certificate_unknown", fingerprint=SHA, command=command)
    host = cause("certificate_host", host="plc", named="-")
    why = [f"(1) {unknown.zh} (2) {host.zh}", f"(1) {unknown.en} (2) {host.en}"]
    lines = text(screen([device("plc-1", "offline", why=why)], metrics()), width, height - 1, which)
    assert "\n".join(lines).count(command) == (2 if which == "both" else 1)
    assert any("68.10 %" in line for line in lines), "and the rates are there all the same"
    wide = [line for line in lines if cell_len(line) > width]
    assert all(line.strip() == command for line in wide), wide


def test_a_command_in_a_sentence_keeps_its_signs_and_the_sentence_its_own() -> None:
    command = "edge-agent reload " + "x" * 70 + ".yaml"
    assert wrapped(f"如果设备确已更换，请执行 {command}。", 80) == [
        "如果设备确已更换，请执行",
        command,
    ]
    assert wrapped(f"Start `{command}`; then look again.", 80) == [
        "Start",
        command,
        "then look again.",
    ]
    assert wrapped("Start `edge-agent serve`; then look again.", 30) == [
        "Start `edge-agent serve`; then",
        "look again.",
    ]


@pytest.mark.parametrize("name", sorted(CAUSES))
def test_no_sentence_of_a_cause_has_words_that_look_like_a_command(name: str) -> None:
    facts = dict.fromkeys(
        (each for _, each, _, _ in Formatter().parse("".join(CAUSES[name][1:])) if each), "X"
    )
    told = cause(
        name, **(facts | {"command": "edge-agent reload X"} if "command" in facts else facts)
    )
    for said in (told.zh, told.en):
        found = [said[start:end] for start, end in commands_in(said) if said[start] != "`"]
        assert found in ([], ["edge-agent reload X"])
