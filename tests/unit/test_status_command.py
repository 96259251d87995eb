"""`edge-agent status` and its kin under awkward circumstances: plain sentences, and nothing
hidden."""

from __future__ import annotations

import io
import json
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app.status import ask as status
from edge_agent.app.status.devices_table import device_lines
from edge_agent.app.status.status_faults import not_well
from edge_agent.app.status.terminal import Terminal
from edge_agent.cli.main import main
from edge_agent.config import load
from edge_agent.ingest.quarantine import MessageQuarantine, RefusedMessage
from edge_agent.outbox import Outbox
from edge_agent.stores import open_store
from tests.support.agents import configuration
from tests.support.servers import free_port


def row(name: str) -> dict[str, Any]:
    return {
        "id": name, "name": name, "connector": "modbus", "state": "Executing", "values_per_s": 4.0,
        "last_good_age_s": 0.5, "quality": "BadSensorFailure 1/12", "connection": "degraded",
    }  # fmt: skip


@pytest.mark.parametrize("width", [32, 40, 60, 79, 80, 99, 200])
def test_the_device_its_quality_and_its_connection_are_seen_in_every_terminal(width: int) -> None:
    lines = [line.plain for line in device_lines([row("vmc-01")], Terminal(width, 23, "en"))]
    assert all(len(line) <= width for line in lines)
    told = "".join("".join(lines).split())
    assert "vmc-01" in told
    assert "BadS" in told
    assert "degraded" in told


def site_file(tmp_path: Path) -> Path:
    return configuration(
        tmp_path, free_port(), {"d": "url: 'tcp://127.0.0.1:1', tags: {a: {address: holding/0}}"}
    )


def test_a_part_that_hangs_is_told_apart_from_one_that_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site_file(tmp_path)
    monkeypatch.setattr(status, "STATUS_SECONDS", 0.2)
    door = status.agent_socket(load(path))
    door.parent.mkdir(parents=True)
    with socket.socket(
        socket.AF_UNIX
    ) as listener:  # accepts, and never answers: an agent that is stopped
        listener.bind(str(door))
        listener.listen()
        assert main(["status", str(path)]) == 1
    text = capsys.readouterr().out
    assert "the agent does not answer" in text
    assert "the agent does not run" not in text
    assert "the store service does not run" in text


def test_a_part_that_is_killed_amid_the_answer_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = site_file(tmp_path)
    door = status.agent_socket(load(path))
    door.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(door))
        listener.listen()

        def cut() -> None:
            listener.accept()[0].close()

        cutter = threading.Thread(target=cut)
        cutter.start()
        assert main(["status", str(path)]) == 1
        cutter.join()
    assert re.search("the service ended|the agent does not run", capsys.readouterr().out)


def test_a_device_that_is_not_of_the_configuration_does_not_make_it_unwell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site_file(tmp_path)
    health = {"number": 0, "name": "NORMAL", "notices": []}
    devices = [row("d") | {"connection": "online"}, row("gone") | {"connection": "offline"}]
    document = {"devices": devices, "ne107": health, "problem": ""}
    monkeypatch.setattr(status, "ask_serve", lambda site: document)
    monkeypatch.setattr(status, "ask_agent", lambda site: None)
    assert main(["status", str(path), "--json"]) == 0
    devices[0]["connection"] = "offline"
    assert main(["status", str(path), "--json"]) == 1


def test_a_terminal_without_chinese_letters_gets_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", out)
    assert main(["status", str(site_file(tmp_path))]) == 1
    out.flush()
    assert b"the agent does not run" in out.buffer.getvalue()  # type: ignore[attr-defined]


def test_a_file_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = site_file(tmp_path)
    Outbox(load(path).outbox.path, agent="a", max_bytes=1_000_000, fsync_ms=5).close_now()
    assert main(["outbox", "export", str(path), "--output", str(tmp_path / "no" / "file")]) == 2
    assert "cannot be used (No such file or directory)" in capsys.readouterr().err


def test_a_quarantine_is_filled_until_the_last_entry_has_left(tmp_path: Path) -> None:
    quarantine = MessageQuarantine(tmp_path / "q")
    assert not quarantine.filled
    entry = RefusedMessage.new(1, "t", b"x", "not JSON", 0)
    quarantine.append([entry])
    assert MessageQuarantine(tmp_path / "q").filled, "also after a restart"
    quarantine.drop([entry.id])
    assert not quarantine.filled


def test_what_waits_is_counted_when_an_agent_was_killed_and_not_read_from_an_old_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = site_file(tmp_path)
    site = load(path)
    outbox = Outbox(site.outbox.path, agent="ipc-01", max_bytes=2_000_000, fsync_ms=5)
    for n in range(13):
        outbox.append("edge/a/data", b'{"seq":', b"}", 1_700_000_000_000_000_000 + n, 4)
    outbox.close_now()
    status.save_final_status(site, {"outbox": {"pending_values": 0}})  # of the orderly end before
    assert main(["status", str(path)]) == 1
    assert "waiting, not lost: 52 个值 values" in capsys.readouterr().out


@pytest.mark.parametrize("since", ["999999d", "5"])
def test_any_span_is_answered_and_a_bare_number_means_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], since: str
) -> None:
    path = site_file(tmp_path)
    open_store(load(path).store).close()
    assert main(["status", str(path), "--since", since, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["missing"]
    assert found["outages"] == []
    assert (found["to"] - found["from"] == 5_000_000_000) == (since == "5")


DEVICES = (
    "{id: a, name: 车床, connector: modbus, url: 'tcp://127.0.0.1:1',"
    " tags: {x: {address: holding/0}, y: {address: holding/1}}}"
)


def agent_row(state: str, reason: str = "", **more: Any) -> dict[str, Any]:
    health = {"number": 0, "name": "NORMAL", "notices": []}
    return {
        "id": "a",
        "state": state,
        "reason": reason,
        "ne107": health,
        "last_good_t": 1,
        "tags_not_good": 0,
        "tags": [],
    } | more


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (agent_row("online"), "Good"),
        (agent_row("offline", "BadTimeout"), "BadTimeout"),
        (agent_row("starting"), "BadWaitingForInitialData"),
        (agent_row("degraded", "BadSensorFailure", tags_not_good=1, tags=[{"status": "BadSensorFailure"}]),
         "BadSensorFailure 1/2"),
    ],
)  # fmt: skip
def test_without_a_store_service_the_devices_are_those_the_agent_knows(
    tmp_path: Path,
    row: dict[str, Any],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        f"agent: {{id: ipc-01}}\nmqtt: {{url: 'mqtt://127.0.0.1:1'}}\ndevices:\n  - {DEVICES}\n",
        "utf-8",
    )
    health = {"number": 0, "name": "NORMAL", "notices": []}
    outbox = {"pending_values": 0, "oldest_t": None}
    agent = {"agent": "ipc-01", "ne107": health, "counters": {}, "outbox": outbox, "devices": [row]}
    monkeypatch.setattr(status, "ask_agent", lambda site: agent)
    main(["status", str(path)])
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("a ")]
    assert line.split()[:3] == ["a", "车床", "modbus"]
    assert expected in line
    assert "the devices as the agent says" in out
    assert f"edge-agent serve {path}" in out, "and what to do about it"


@pytest.mark.parametrize(
    ("register", "sentence"), [("", "names no equipment register"), ("e.csv", "does not run")]
)
def test_a_register_is_asked_for_only_where_there_is_none(
    tmp_path: Path, register: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = site_file(tmp_path)
    if register:
        (tmp_path / register).touch()
        path.write_text(path.read_text("utf-8") + f"register: {{equipment: {register}}}\n", "utf-8")
    main(["status", str(path)])
    told = capsys.readouterr().out
    assert sentence in told
    assert "must be configured" not in told


def test_a_part_that_does_not_answer_is_told_in_one_language_at_a_time(tmp_path: Path) -> None:
    part = {"problem": ["套接字\n    The socket"], "zh": "套接字", "en": "The socket"}
    found = not_well({"serve": None, "agent": part, "missing": None}, "plant.yaml")
    assert ("套接字", "The socket") in [each.sentence for each in found]
