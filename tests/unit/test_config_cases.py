"""Golden cases: a configuration in, its exact findings out
(`tests/cases/config/NAME/{config.yaml,expected.txt}`).

An empty `expected.txt` says that the file loads. To add a case, write `config.yaml` and run
`EDGE_AGENT_WRITE_CASES=1 pytest tests/unit/test_config_cases.py`, then read what it wrote.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_agent.config import load
from edge_agent.config.plugins import InstalledPlugins
from edge_agent.errors import ConfigError

PLUGINS = InstalledPlugins()
CASES = Path(__file__).parent.parent / "cases" / "config"


def told(folder: Path) -> str:
    """Every finding as a user sees it, with the code in front and paths from the case's folder."""
    try:
        load(folder / "config.yaml", PLUGINS)
    except ConfigError as error:
        text = "".join(f"[{finding.code}] {finding}\n" for finding in error.findings)
        return text.replace(f"{folder}/", "").replace(str(folder), ".")
    return ""


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.iterdir()))
def test_the_findings_are_exactly_these(name: str) -> None:
    folder = CASES / name
    expected = folder / "expected.txt"
    findings = told(folder)
    if os.environ.get("EDGE_AGENT_WRITE_CASES"):
        expected.write_text(findings, encoding="utf-8")
    assert findings == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.iterdir()))
def test_no_finding_shows_a_secret_or_the_library_behind_it(name: str) -> None:
    findings = told(CASES / name)
    for forbidden in (
        "hunter2",
        "12345678",
        "pydantic",
        "Traceback",
        "validation error",
        "Input should",
    ):
        assert forbidden not in findings
