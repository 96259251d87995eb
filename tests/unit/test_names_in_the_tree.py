"""A class name is one thing in the whole tree, and the glossary shows what exists."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("edge_agent", "connectors", "simulators", "benchmarks", "faults", "fuzz")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


def test_every_class_name_is_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(str(path.relative_to(ROOT)))
    assert len(places) > 500
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_the_glossary_names_files_that_exist() -> None:
    named = re.findall(r"`([a-z_]+/[\w/]*(?:\.py)?)`", GLOSSARY)
    assert len(named) > 30
    missing = [
        path
        for path in named
        if not ((ROOT / path).exists() or (ROOT / "edge_agent" / path).exists())
    ]
    assert missing == []


def test_the_glossary_has_every_term_once_in_both_languages() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \| [^|]+ \|$", GLOSSARY, flags=re.M)
    terms = [(term, zh) for term, zh in rows if term not in ("Term", "---")]
    assert len(terms) > 50
    assert len({term for term, _ in terms}) == len(terms)
    assert all(re.search(r"[\u4e00-\u9fff]", zh) for _, zh in terms)
