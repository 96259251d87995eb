"""How properties are explored: the same examples at every `./run test`, others at every `./run
properties`."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

#: Set by `./run properties`.
FREELY: Final = os.environ.get("EDGE_AGENT_EXPLORE") == "1"
#: So many times the examples of `./run test`.
_TIMES: Final = 20


def examples(number: int) -> int:
    """How many examples a test takes that needs another number than the others."""
    return number * _TIMES if FREELY else number


def load_profile() -> None:
    """The profile `ci`: a fixed sequence, so that a landing is blocked by its own faults only. The
    profile `explore`: by the seed of the command line alone, no file of earlier failures, so that
    the seed repeats the whole run."""
    slow = [HealthCheck.too_slow]
    settings.register_profile(
        "ci", max_examples=100, deadline=None, derandomize=True, suppress_health_check=slow
    )
    settings.register_profile(
        "explore", max_examples=examples(100), deadline=None, database=None, print_blob=True,
        suppress_health_check=slow,
    )  # fmt: skip
    settings.load_profile("explore" if FREELY else "ci")
