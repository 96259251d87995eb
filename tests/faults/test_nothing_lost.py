"""The compact part of the fault matrix (`./run faults` has all of it): each promise, broken by
nothing.

A row starts the real programs, harms them, and compares what the outbox accepted with what the
store has. Time limits are measured by the full matrix; here only promises that do not depend on the
machine's speed are checked. The rows mostly wait, so three of them run at a time.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from faults.matrix import ROWS, obstacle, run_apart
from faults.result import FaultResult
from tests.support.servers import tool

COMPACT = {
    "F2-service": 2,
    "F1": 1,
    "F10": 1,
    "F2-agent": 3,
    "F3": 2,
    "F7": 6,
    "F21": 1,
    "F9": 1,
    "F16": 1,
    "F5": 1,
    "F15": 2,
    "F6": 2,
    "F4": 2,
    "F5-long": 1,
}


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> dict[str, Future[FaultResult]]:
    """What each selected row found; all of them have ended."""
    functions = [item for item in request.session.items if isinstance(item, pytest.Function)]
    selected = [item.callspec.params["row"] for item in functions if item.path == request.path]
    with ThreadPoolExecutor(3) as pool:
        return {
            row: pool.submit(run_apart, row, COMPACT[row])
            for row in selected
            if not obstacle(ROWS[row])
        }


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=[pytest.mark.root] if ROWS[row].root else []) for row in COMPACT],
)
def test_promise_is_kept(row: str, outcomes: dict[str, Future[FaultResult]]) -> None:
    for program in ROWS[row].needs:
        tool(program)  # missing it is a failure in CI and a counted skip elsewhere
    if why := obstacle(ROWS[row]):
        pytest.skip(f"{row}: {why}")
    result = outcomes[row].result()
    assert not result.broken, result.figures
