"""What the pages point to is there: commands of `./run`, decisions, links, tests and modules."""

from __future__ import annotations

import functools
import html
import re
import subprocess
from pathlib import Path

import pytest

from tests.support import decision_index

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
RECORDS = decision_index.records()
ALL = [*PAGES, decision_index.INDEX, *RECORDS]


def test_the_commands_of_run_that_pages_name_are_there() -> None:
    usage = subprocess.run(
        [ROOT / "run", "help"], capture_output=True, text=True, check=True
    ).stdout
    known = set(re.findall(r"^  ([a-z-]+)", usage, re.MULTILINE))
    named = {
        name
        for page in ALL
        for name in re.findall(r"\./run ([a-z-]+)", page.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= known


def test_a_decision_has_a_number_of_its_own_and_says_it_in_its_heading() -> None:
    numbers = [int(record.name.partition("-")[0]) for record in RECORDS]
    assert len(set(numbers)) == len(numbers)
    for number, record in zip(numbers, RECORDS, strict=True):
        assert record.read_text(encoding="utf-8").startswith(f"# {number}. "), record.name


def test_each_decision_has_a_date_and_a_status_and_a_line_in_the_index() -> None:
    """Written with `python -m tests.support.decision_index`."""
    assert decision_index.INDEX.read_text(encoding="utf-8") == decision_index.index()


def test_a_decision_that_is_named_is_there() -> None:
    numbers = {int(record.name.partition("-")[0]) for record in RECORDS}
    for page in ALL:
        text = page.read_text(encoding="utf-8")
        named = {int(number) for number in re.findall(r"(?:[Dd]ecision|决策) (\d+)", text)}
        assert named <= numbers, page.name


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.stem))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@functools.cache
def known_tests() -> tuple[set[str], set[str]]:
    """The names of all files and of all functions of tests."""
    files: set[str] = set()
    functions: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        files.add(path.name)
        functions.update(re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")))
    return files, functions


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.stem))
def test_the_tests_and_modules_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files, functions = known_tests()
    assert set(re.findall(r"\btest_\w+\.py", text)) <= files
    assert set(re.findall(r"`(test_\w+)`", text)) <= functions
    paths = re.findall(
        r"`((?:edge_agent|connectors|simulators|benchmarks|faults|fuzz|tests|configs|deploy)/[\w./-]+)`",
        text,
    )
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_picture_of_the_demo_shows_the_first_screen_as_it_is() -> None:
    """Made anew with `python -m tests.support.demo_picture` when this fails."""
    drawn = html.unescape((ROOT / "docs" / "demo.svg").read_text(encoding="utf-8")).replace(
        "\u00a0", " "
    )
    text = re.sub(r"<[^>]+>", "", drawn)
    for words in ("关键工序数控化率 key-process NC rate", "设备联网率 equipment networking rate", "now online 15/16",
                  "All 20 devices are well", "machine state"):  # fmt: skip
        assert words in text
