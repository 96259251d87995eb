"""What `./run faults` prints and exits with: one table, and no broken promise goes unnoticed."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from faults import __main__ as command
from faults.matrix import ROWS
from faults.result import FaultResult

KEPT, LATE, BROKEN = (
    FaultResult(1),
    FaultResult(1, late=["slow"]),
    FaultResult(1, {"lost": 1}, ["lost: 1"], ["slow"]),
)
ROW_OF = {"F7": KEPT, "F13": KEPT, "F21": KEPT, "F21-http": KEPT}


def outcome(
    monkeypatch: pytest.MonkeyPatch, results: Mapping[str, FaultResult | None], *words: str
) -> int:
    def run(row: str, times: int) -> FaultResult:
        result = results[row]
        if result is None:
            raise RuntimeError(f"{row}: it fell over")
        return result

    monkeypatch.setattr(command, "run_apart", run)
    monkeypatch.setattr(sys, "argv", ["faults", *words])
    return command.main()


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 0),
        ({"F13": LATE}, 3),
        ({"F13": BROKEN}, 1),
        ({"F7": BROKEN, "F13": LATE}, 1),
        ({"F7": LATE, "F13": BROKEN}, 1),
        ({"F7": LATE, "F13": None}, 1),
    ],
)
def test_the_worst_row_decides(
    changed: dict[str, FaultResult | None],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert outcome(monkeypatch, {**ROW_OF, **changed}, "F7", "F13", "F21") == status
    head, rule, *lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["| F7", "| F13", "| F21", "| F21-http"]
    assert {line.count("|") for line in (head, rule, *lines)} == {7}, "one table"


def test_a_broken_row_says_what_is_broken_and_what_is_late(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome(monkeypatch, {"F13": BROKEN}, "F13")
    assert "broken: lost: 1; slow" in capsys.readouterr().out


def test_a_row_that_does_not_exist_is_an_error_and_not_a_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SystemExit) as ended:
        outcome(monkeypatch, {}, "F99")
    assert ended.value.code == 2


def test_every_row_says_what_it_promises() -> None:
    assert all(row.target and row.fault and row.times > 0 for row in ROWS.values())
