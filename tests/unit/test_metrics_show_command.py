"""`metrics show` prints what the running store service says, or says plainly that none runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli import main
from edge_agent.control import client
from edge_agent.metrics.evaluate import evaluate
from edge_agent.register.importing import load

FACTORY = Path(__file__).parents[1] / "cases" / "golden_factory"
REGISTER, _ = load(FACTORY / "equipment_register.csv", FACTORY / "processes.csv")
RESULTS = list(evaluate(REGISTER)["results"].values())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(
        f"agent: {{id: ipc-01}}\nmqtt: {{url: 'mqtt://127.0.0.1:1883'}}\nstore: {{path: "
        f"'{tmp_path}/store.duckdb'}}\n"
    )
    return path


def show(config: Path, *options: str) -> int:
    return main.main(["metrics", "show", str(config), *options])


def test_no_service(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(config) == 1
    assert "edge-agent serve" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "status"), [(RESULTS, 0), ([], 1)])
def test_what_the_service_answers(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: list[Any],
    status: int,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(client, "ask", lambda path, op: asked.append(op) or answer)
    assert show(config, "--json") == status
    assert json.loads(capsys.readouterr().out) == answer
    assert show(config) == status
    assert ("68.10 %" in capsys.readouterr().out) == bool(answer)
    assert asked == ["metrics", "metrics"]


def test_a_configuration_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(tmp_path / "none.yaml") == 2
    assert capsys.readouterr().err
