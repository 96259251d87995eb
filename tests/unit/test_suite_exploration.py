"""The suite finds the same at every run, and another command finds more: nothing random blocks a
landing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests.support import exploration

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]


@pytest.mark.skipif(exploration.FREELY, reason="this is ./run properties")
def test_the_examples_of_a_run_are_those_of_every_run() -> None:
    assert settings.default is not None
    assert settings.default.derandomize
    assert exploration.examples(30) == 30


def test_nothing_in_the_suite_has_a_randomness_or_a_number_of_examples_of_its_own() -> None:
    """Which `./run properties` could not raise."""
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "settings":
                keys = {keyword.arg: keyword.value for keyword in node.keywords}
                assert not keys.keys() & {"derandomize", "database"}, path
                if path == Path(__file__):
                    continue
                assert isinstance(
                    keys.get("max_examples", ast.Call(ast.Name("examples"), [], [])), ast.Call
                ), path


def test_a_seed_repeats_a_free_run() -> None:
    def drawn(number: int) -> list[int]:
        found: list[int] = []

        @seed(number)
        @settings(settings.get_profile("explore"), max_examples=30)
        @given(st.integers())
        def collect(n: int) -> None:
            found.append(n)

        collect()
        return found

    assert drawn(7) == drawn(7) != drawn(8)
