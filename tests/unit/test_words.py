"""Counts and commands as people read them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_agent.words import COMMAND_VARIABLE, command, number_of, verb, with_file

ROOT = Path(__file__).parents[2]


def test_one_is_singular_and_all_else_plural() -> None:
    assert [number_of(n, "device") for n in (0, 1, 2)] == ["0 devices", "1 device", "2 devices"]
    assert number_of(2, "entry", "entries") == "2 entries"
    assert (verb(1, "is", "are"), verb(2, "is", "are")) == ("is", "are")


def test_a_command_is_what_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COMMAND_VARIABLE, raising=False)
    assert command("status", Path("a b.yaml")) == "edge-agent status 'a b.yaml'"
    monkeypatch.setenv(COMMAND_VARIABLE, "./run edge-agent")
    assert command("status", Path("plant.yaml")) == "./run edge-agent status plant.yaml"


def test_no_printed_command_is_written_out() -> None:
    """A command for people goes through `command`; documentation that travels (reports, packs,
    schema) does not."""
    travels = {
        "report/parts/evidence.py",
        "report/pack/readme.py",
        "config/reference.py",
        "config/schema.py",
        "commissioning/first_file.py",
    }
    found = []
    for path in sorted((ROOT / "edge_agent").rglob("*.py")):
        if str(path.relative_to(ROOT / "edge_agent")) in travels:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(
                r'"[^"]*edge-agent '
                r"(run|serve|status|check|outbox|quarantine|metrics|register|verify)\b",
                line,
            ):
                found.append(f"{path.name}:{number}: {line.strip()[:90]}")
    assert [one for one in found if '"""' not in one] == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "请检查 edge-agent run 与消息服务器。",
            "请检查 edge-agent run 'my plant.yaml' 与消息服务器。",
        ),
        ("check `edge-agent serve`.", "check `edge-agent serve 'my plant.yaml'`."),
        (
            "see `./run edge-agent quarantine list`; now",
            "see `./run edge-agent quarantine list 'my plant.yaml'`; now",
        ),
        ("run: edge-agent reload", "run: edge-agent reload 'my plant.yaml'"),
        ("Start it: edge-agent serve plant.yaml", "Start it: edge-agent serve plant.yaml"),
        ("make one: edge-agent register template", "make one: edge-agent register template"),
        ("set `unit` or `every`; run", "set `unit` or `every`; run"),
    ],
)
def test_a_printed_command_names_the_file_that_it_needs(said: str, expected: str) -> None:
    assert with_file(said, "my plant.yaml") == expected
    assert with_file(expected, "another.yaml") == expected, "once"
