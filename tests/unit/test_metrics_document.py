"""The page of definitions is what the definition table says."""

from __future__ import annotations

from pathlib import Path

from edge_agent.metrics.definitions import DEFINITIONS
from edge_agent.metrics.document import render

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), (
        "run: python -m edge_agent.metrics.document > docs/metrics.md"
    )


def test_every_definition_is_on_it_with_its_assumptions() -> None:
    text = render()
    for definition in DEFINITIONS:
        assert f"### {definition.id} " in text
        assert all(assumption.zh in text for assumption in definition.assumptions)
