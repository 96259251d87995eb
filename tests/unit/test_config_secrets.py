"""Secrets come from outside the file and are shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from edge_agent.cli.check import effective
from edge_agent.config import dump
from edge_agent.config.secrets import shown
from tests.support.sites import refused, site, write

SITE = """
store: {kind: influxdb, url: "http://127.0.0.1:8086", token: !file secret/token}
devices:
  - for: {i: 1..2}
    id: "c{i}"
    connector: opcua
    endpoint: opc.tcp://h
    security: {policy: Basic256Sha256}
    user: {name: !env OPERATOR, password: !env "PASSWORD_{i}"}
    tags: {a: {node: i=1}}
"""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPERATOR", "wang")
    monkeypatch.setenv("PASSWORD_1", "hunter1")
    monkeypatch.setenv("PASSWORD_2", "hunter2")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "token").write_text("hunter3\n")


@pytest.mark.usefixtures("environment")
def test_references_become_secrets(tmp_path: Path) -> None:
    loaded = site(tmp_path, SITE)
    assert loaded.store.token == SecretStr("hunter3")  # type: ignore[attr-defined]
    users = [device.user for device in loaded.devices]  # type: ignore[attr-defined]
    assert [user.name for user in users] == ["wang", "wang"]
    assert [user.password.get_secret_value() for user in users] == ["hunter1", "hunter2"]


@pytest.mark.usefixtures("environment")
def test_nothing_that_is_printed_holds_a_secret(tmp_path: Path) -> None:
    loaded = site(tmp_path, SITE)
    assert "hunter" not in repr(loaded)
    assert "hunter" not in dump(effective(loaded))
    assert "**********" in dump(effective(loaded))


def test_a_secret_of_the_wrong_length_or_kind_is_not_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUSH", "hunter2")
    path = write(
        tmp_path, "outbox: {max_bytes: !env HUSH}\nstore: {kind: !env HUSH, url: !env HUSH}\n"
    )
    findings = refused(path)
    assert len(findings) == 3
    assert "hunter2" not in "".join(map(str, findings))


def test_an_empty_file_a_folder_and_binary_are_no_secrets(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("empty", "binary", ".", "none"):
        path = write(tmp_path, f"store: {{token: !file {name}}}\n")
        assert [finding.code for finding in refused(path)] == ["missing-secret"]


def test_what_errors_quote() -> None:
    assert shown("unit", 300) == "300"
    assert shown("every", None) == "null"
    assert shown("running", True) == "true"
    assert shown("db_password", "x") is None
    assert shown("url", "mqtt://me:secret@host") == "'mqtt://***@host'"
    assert shown("name", "x" * 100) == "'" + "x" * 56 + "..."
