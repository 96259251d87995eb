"""The systemd units: as closed as they say, and in agreement with the commands they start."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_agent.app.agent.agent import STOP_LIMIT_S
from edge_agent.cli.main import COMMANDS
from edge_agent.polling.loop import STALL_S

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("*@.service"))


def keys(path: Path) -> dict[str, str]:
    lines = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if "=" in line and line[0] != "#"
    ]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_command_that_exists_and_speaks_to_the_manager(path: Path) -> None:
    unit = keys(path)
    assert unit["ExecStart"].split()[1] in COMMANDS
    assert unit.get("ExecReload", "x reload").split()[1] in COMMANDS
    assert unit["Type"] == "notify"
    assert int(unit["WatchdogSec"]) >= STALL_S, (
        "a loop is given the time that its own patience gives it"
    )
    assert int(unit["TimeoutStopSec"]) > STOP_LIMIT_S


def test_the_manager_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    """Both of one instance, as on a machine that has both: keys known, values understood, no circle
    of order."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    instances = []
    for path in UNITS:
        instance = tmp_path / path.name.replace("@.", "@test.")
        text = path.read_text(encoding="utf-8").replace(
            "/opt/edge-agent/bin/edge-agent", shutil.which("true") or ""
        )
        instance.write_text(text, encoding="utf-8")
        instances.append(str(instance))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *instances]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_agent_starts_after_the_store_service_of_its_file() -> None:
    """Before it, nobody keeps what an agent without `confirm: store` sends."""
    assert "edge-agent-serve@%i.service" in keys(DEPLOY / "edge-agent@.service")["After"].split()
    assert "edge-agent@" not in keys(DEPLOY / "edge-agent-serve@.service")["After"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_the_exposure_is_low(path: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    instance = tmp_path / path.name.replace("@.", "@test.")
    instance.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(instance)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    match = re.search(r"Overall exposure level for .*: ([0-9.]+)", done.stdout)
    if match is None:
        pytest.skip(f"systemd-analyze is too old for --offline: {done.stderr[:100]}")
    assert float(match[1]) <= 1.5
