"""`./run`: the caller's folder stays, what is printed can be typed, and a silent installation shows
life."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with an environment that is made already, whose program says where and how it was
    started."""
    folder = tmp_path / "the project"
    scripts = folder / ".venv" / "bin"
    scripts.mkdir(parents=True)
    for name in ("run", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    program(scripts / "edge-agent", 'echo "$PWD|$EDGE_AGENT_COMMAND|$*"')
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    command = "cat pyproject.toml requirements/*.txt | cksum"
    checksum = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True
    ).stdout
    (folder / ".venv" / "ready").write_text(f"{checksum.strip()} runtime")
    return folder


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def run(*argv: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
    )


def test_the_callers_folder_stays(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else"
    elsewhere.mkdir()
    done = run(str(project / "run"), "edge-agent", "check", "plant.yaml", cwd=elsewhere)
    folder, command, words = done.stdout.strip().split("|")
    assert (folder, words) == (str(elsewhere), "check plant.yaml")
    assert command == f"'{project}/run' edge-agent", "a path with a blank is quoted"
    done = run("./run", "edge-agent", "status", cwd=project)
    assert done.stdout.strip() == f"{project}|./run edge-agent|status"
    assert run("./run", "demo", "--for", "1", cwd=project).stdout.strip().endswith("|demo --for 1")


def test_an_installation_shows_life_in_a_log_and_its_words_when_it_fails(project: Path) -> None:
    (project / ".venv" / "ready").unlink()
    scripts = project / ".venv" / "bin"
    program(
        scripts / "python", "echo Collecting everything; /bin/sleep 1.5; echo no network; exit 1"
    )
    program(scripts / "sleep", "exec /bin/sleep 0.05")  # seconds go by faster for the script
    done = run("./run", "edge-agent", cwd=project, PATH=f"{scripts}:{os.environ['PATH']}")
    assert done.returncode == 2
    assert "  10 s  Collecting everything" in done.stderr
    assert "no network" in done.stderr
    assert "Installation failed" in done.stderr


def test_only_what_is_locked_is_installed_and_again_when_a_lock_changed(project: Path) -> None:
    calls = project / "calls"
    program(project / ".venv" / "bin" / "python", f"echo \"$*\" >>'{calls}'")

    def installed() -> list[str]:
        calls.write_text("")
        assert run("./run", "edge-agent", cwd=project).returncode == 0
        return [line.split("--progress-bar off ")[1] for line in calls.read_text().splitlines()]

    assert installed() == []
    with (project / "requirements" / "runtime.txt").open("a") as lock:
        lock.write("# another\n")
    assert installed() == [
        "--require-hashes -r requirements/build.txt",
        "--require-hashes --no-build-isolation -r requirements/runtime.txt",
        "--no-deps --no-build-isolation -e .",
    ]
    assert installed() == []


def test_another_commit_installs_the_project_alone_so_that_its_version_is_true(
    project: Path,
) -> None:
    calls = project / "calls"
    program(project / ".venv" / "bin" / "python", f"echo \"$*\" >>'{calls}'")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "pyproject.toml"], ["commit", "-qm", "First"]):
        assert run(*git, *command, cwd=project).returncode == 0
    for _ in range(2):
        assert run("./run", "edge-agent", cwd=project).returncode == 0
    (line,) = calls.read_text().splitlines()
    assert line.endswith("off --no-deps --no-build-isolation -e .")
