"""Configuration files for tests: written into a folder, loaded with the installed connectors."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from edge_agent.config import load
from edge_agent.config.models import Site
from edge_agent.errors import ConfigError, Finding

HEAD = "agent: {id: ipc-01, site: dongguan}\nmqtt: {url: mqtt://127.0.0.1:1883}\n"


def write(folder: Path, text: str, name: str = "site.yaml", head: str = HEAD) -> Path:
    """A file in the folder: the smallest head, then the text."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + dedent(text), encoding="utf-8")
    return path


def site(folder: Path, text: str) -> Site:
    """The site a text describes."""
    return load(write(folder, text))


def refused(path: Path) -> tuple[Finding, ...]:
    """Why a file is refused."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value.findings
