"""Commands that connect to nothing need no password; those that must log in say which one is
missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.cli.main import main
from edge_agent.config import load
from edge_agent.errors import ConfigError
from edge_agent.outbox import Outbox
from edge_agent.stores import open_store
from tests.support.aio import run
from tests.support.sites import write

HEAD = """
agent: {id: ipc-01, site: dongguan}
mqtt:
  url: mqtt://127.0.0.1:1
  username: !env BROKER_USER
  password: !env BROKER_PASSWORD
"""
DEVICES = """
store: {path: s.duckdb, token: !file secrets/token}
devices:
  - id: cnc
    connector: opcua
    endpoint: opc.tcp://127.0.0.1:1
    security: {policy: Basic256Sha256}
    user: {name: !env CNC_USER, password: !env CNC_PASSWORD}
    tags: {a: {node: i=2258}}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site whose secrets are not there, with a store and an outbox of an earlier run."""
    for name in ("BROKER_USER", "BROKER_PASSWORD", "CNC_USER", "CNC_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    path = write(tmp_path, DEVICES, head=HEAD)
    loaded = load(path, secrets=False)
    open_store(loaded.store).close()

    async def once() -> None:
        await Outbox(loaded.outbox.path, agent="ipc-01", max_bytes=10**7, fsync_ms=1).close(1.0)

    run(once())
    return path


def test_forgetting_asks_for_no_password(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forget", str(site), "ipc-09:plc-1"]) == 2
    text = capsys.readouterr().err
    assert "BROKER_PASSWORD" not in text
    assert "secrets/token" not in text, "the embedded store needs none"
    assert "There is no such agent" in text


def test_check_and_the_services_tell_every_missing_secret(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("check", "run", "serve"):
        assert main([command, str(site)]) == 2
        text = capsys.readouterr().err
        for name in ("BROKER_USER", "BROKER_PASSWORD", "CNC_USER", "CNC_PASSWORD", "secrets/token"):
            assert name in text, command


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["status", "SITE"], 1),
        (["status", "SITE", "--json"], 1),
        (["metrics", "show", "SITE"], 1),
        (["outbox", "status", "SITE"], 0),
        (["outbox", "verify", "SITE"], 0),
        (["outbox", "export", "SITE"], 0),
        (["quarantine", "list", "SITE"], 0),
        (["reload", "SITE"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_that_connects_to_nothing_needs_no_secret(
    site: Path, words: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(site) if word == "SITE" else word for word in words]) == status
    captured = capsys.readouterr()
    assert "BROKER" not in captured.out + captured.err
    assert "CNC_" not in captured.out + captured.err
    assert "unresolved" not in captured.out + captured.err


def test_reports_and_registers_need_no_secret(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "health-check", str(site), "--out", str(site.parent / "out")]) == 2
    assert "report-without-register" not in (text := capsys.readouterr().err)
    assert "register.equipment" in text, "it got as far as the register"
    assert "BROKER" not in text


def test_a_store_that_must_be_asked_names_its_own_secret_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    remote = DEVICES.replace("{path: s.duckdb, token: !file secrets/token}", "REMOTE")
    remote = remote.replace(
        "REMOTE", "{kind: influxdb, url: 'http://127.0.0.1:1', path: s.duckdb, token: !env TOKEN}"
    )
    path = write(tmp_path, remote, head=HEAD)
    (tmp_path / "s.sqlite").touch()
    assert main(["status", str(path), "--json"]) == 1
    problem = json.loads(capsys.readouterr().out)["missing"]["problem"]
    assert len(problem) == 1
    assert "'TOKEN'" in problem[0]


@pytest.mark.parametrize(
    "line",
    [
        "outbox: {path: !env NOWHERE}",
        "store: {path: !env NOWHERE}",
        "register: {equipment: !env NOWHERE}",
    ],
)
def test_what_is_no_login_is_needed_by_every_command(
    tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, line + "\n"), secrets=False)
    assert {finding.code for finding in caught.value.findings} >= {"missing-secret"}


def test_a_secret_that_is_there_is_the_same_either_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BROKER_USER", "BROKER_PASSWORD", "CNC_USER", "CNC_PASSWORD"):
        monkeypatch.setenv(name, f"hunter-{name}")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_text("t")
    path = write(tmp_path, DEVICES, head=HEAD)
    assert load(path, secrets=False) == load(path)
