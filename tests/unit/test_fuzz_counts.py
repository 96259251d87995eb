"""How fuzz runs are counted: they add up over calls, for the same code only, and what ends a run
badly is told."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz import counts
from fuzz.code import reached, version
from fuzz.process import account

ROOT = Path(__file__).parents[2]
LOG = """\
INFO: Instrumenting edge_agent.outbox.acks
#2	INITED cov: 7 ft: 7 corp: 1/1b exec/s: 0 rss: 50Mb
#256	pulse  cov: 11 ft: 20 corp: 4/9b lim: 4 exec/s: 128 rss: 52Mb
#1024	NEW    cov: 12 ft: 21 corp: 5/12b lim: 11 exec/s: 512 rss: 55Mb L: 3/3 MS: 1 ChangeBit-
"""
DONE = (
    "Done 2000 runs in 2 second(s)\nstat::number_of_executed_units: 2000\nstat::peak_rss_mb: 55\n"
)


def outcome(**changed: object) -> counts.Outcome:
    fields = {
        "code": "a",
        "ended": "t",
        "runs": 5,
        "seconds": 2.0,
        "coverage": 3,
        "rss": (50, 51),
        "finding": "",
    }
    return counts.Outcome(**fields | changed)  # type: ignore[arg-type]


def test_runs_of_the_same_code_add_up(tmp_path: Path) -> None:
    assert counts.total(tmp_path, "a").runs == 0
    for each in (
        outcome(),
        outcome(runs=7, coverage=9, rss=(60, 61)),
        outcome(code="b", finding="x"),
    ):
        counts.note(tmp_path, each)
    assert counts.total(tmp_path, "a") == counts.Total("a", 2, 12, 4.0, 9, (60, 61), ())
    assert counts.total(tmp_path, "b").findings == ("x",)


@pytest.mark.slow
def test_the_code_of_a_target_is_what_it_imports() -> None:
    files = {str(path.relative_to(ROOT)) for path in reached("fuzz.targets.watermark")}
    assert files >= {
        "fuzz/targets/watermark.py",
        "edge_agent/ingest/watermark.py",
        "edge_agent/intervals.py",
    }
    assert not {
        name for name in files if name.startswith("connectors/") or name == "fuzz/target.py"
    }
    connectors = {str(path.relative_to(ROOT)) for path in reached("fuzz.targets.config")}
    assert "connectors/modbus/options.py" in connectors
    assert version("fuzz.targets.ingest") == version("fuzz.targets.ingest")


def test_the_account_of_a_run() -> None:
    done = account(LOG + DONE, 0, "a", 2.0)
    assert (done.runs, done.coverage, done.rss, done.finding) == (2000, 12, (52, 55), "")
    killed = account(LOG, -9, "a", 2.0)
    assert (killed.runs, killed.finding) == (1024, "exit status -9")
    assert [account(LOG, status, "a", 2.0).finding for status in (72, 130)] == ["", ""], (
        "Ctrl-C finds nothing"
    )


@pytest.mark.parametrize(
    ("more", "status", "finding"),
    [
        (
            " === Uncaught Python exception: ===\nfuzz.target.WrongError: a | b\nTraceback\n",
            77,
            "WrongError: a ¦ b",
        ),
        (
            "==1== ERROR: libFuzzer: timeout after 10 seconds\n",
            70,
            "libFuzzer: timeout after 10 seconds",
        ),
        (
            "#2000	pulse  cov: 12 ft: 21 corp: 5/12b exec/s: 512 rss: 300Mb\n",
            0,
            "grew from 52 to 300 MB",
        ),
    ],
    ids=["wrong", "hang", "growth"],
)
def test_what_is_a_finding(more: str, status: int, finding: str) -> None:
    assert finding in account(LOG + more, status, "a", 2.0).finding


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed (./run fuzz does)"
)
def test_a_second_call_goes_on_from_the_first(tmp_path: Path) -> None:
    def call(*options: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "fuzz", "outbox-acks", "--folder", str(tmp_path), *options]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        return done.returncode, done.stdout.splitlines()[-1]

    assert call("--runs", "500")[1].startswith("| outbox-acks | 500 |")
    status, row = call("--runs", "900")
    assert (status, row.split("|")[2].strip(), row.split("|")[6].strip()) == (0, "900", "0")
    assert call("--table") == (0, row)
    assert call("--runs", "800") == (0, row)
