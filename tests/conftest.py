"""Rules every test obeys: warnings are errors (pyproject), no child process outlives its test, and properties are
explored with the same examples every time (`./run properties` takes others)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import exploration

exploration.load_profile()


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        try:
            found.update(map(int, (task / "children").read_text().split()))
        except FileNotFoundError:
            continue
    return found


@pytest.fixture(autouse=True)
def no_leftover_process() -> Iterator[None]:
    """A child process that a test started must be gone when it ends."""
    before = _children()
    yield
    left = _children() - before
    assert not left, f"processes left behind: {left}"
