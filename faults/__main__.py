"""`./run faults [ID ...] [--times N] [--jobs N]`: the fault matrix as one Markdown table."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from faults.matrix import ROWS, isolated, obstacle, run_apart, run_here
from faults.result import FaultResult, FaultRow

#: Exit statuses; 2 is argparse's own.
KEPT, BROKEN, LATE = 0, 1, 3
_GRAVITY = (KEPT, LATE, BROKEN)
_HEAD = (
    "| Row | 故障 Fault | 次数 Times | 数值 Figures | 目标 Target | 结论 Verdict |\n"
    "|---|---|---|---|---|---|"
)


def main() -> int:
    """Exit status: 0 when every row that could be run kept its promise, 1 when one broke it, 3 when
    one was late."""
    parser = argparse.ArgumentParser(prog="./run faults", description=__doc__)
    parser.add_argument(
        "row", nargs="*", help=f"rows to run, whole or by prefix; default all: {' '.join(ROWS)}"
    )
    parser.add_argument("--times", type=int, help="repetitions instead of each row's own number")
    parser.add_argument(
        "--share", type=float, default=1.0, help="share of each row's own number of repetitions"
    )
    parser.add_argument("--jobs", type=int, default=2, help="rows at the same time")
    parser.add_argument("--inside", metavar="ROW", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        return _inside(args.inside, args.times)
    if unknown := [word for word in args.row if not any(_fits(row, word) for row in ROWS)]:
        parser.error(f"no such row: {' '.join(unknown)}")
    rows = [
        row
        for row in ROWS.values()
        if not args.row or any(_fits(row.id, word) for word in args.row)
    ]
    print(_HEAD, flush=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        lines = pool.map(
            lambda row: _line(row, args.times or max(1, round(row.times * args.share))), rows
        )
        verdicts = [_print(*line) for line in lines]
    return max(verdicts, key=_GRAVITY.index, default=KEPT)


def _fits(row: str, word: str) -> bool:
    return row == word or row.startswith(word + "-")


def _print(line: str, verdict: int) -> int:
    print(line, flush=True)
    return verdict


def _line(row: FaultRow, times: int) -> tuple[str, int]:
    if why := obstacle(row):
        return f"| {row.id} | {row.fault} | - | {why} | {row.target} | 未运行 not run |", KEPT
    begin = time.monotonic()
    try:
        result = run_apart(row.id, times)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return (
            f"| {row.id} | {row.fault} | {times} | {str(error).splitlines()[-1][:160]} | "
            f"{row.target} | 出错 error |",
            BROKEN,
        )
    return _row(
        row, result, time.monotonic() - begin
    ), BROKEN if result.broken else LATE if result.late else KEPT


def _row(row: FaultRow, result: FaultResult, seconds: float) -> str:
    figures = ", ".join(f"{name} {value}" for name, value in result.figures.items())
    if result.broken:
        verdict = "未达到 broken: " + "; ".join(result.broken + result.late)
    elif result.late:
        verdict = "超时 late: " + "; ".join(result.late)
    else:
        verdict = "达到 kept"
    return (
        f"| {row.id} | {row.fault} | {result.times} | {figures} ({seconds:.0f} s) | {row.target} "
        f"| {verdict} |"
    )


def _inside(row: str, times: int) -> int:
    if isolated():
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    print(run_here(row, times).to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
