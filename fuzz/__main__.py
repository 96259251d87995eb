"""`./run fuzz [TARGET ...]`: every target in a process of its own, one Markdown table of all runs
of the present code.

Corpora, counts, logs and inputs that are findings are kept in `.bench/fuzz/TARGET`, so that calls
add up: `./run fuzz --full --seconds 600` does at most ten minutes of each target, and next time
goes on from there.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from fuzz import catalogue, counts
from fuzz.code import version
from fuzz.counts import Total
from fuzz.process import fuzz
from fuzz.target import FuzzTarget

_HEAD: Final = """\
| 目标 Target | 次数 Runs | 每秒 exec/s | 覆盖 Coverage | 内存 RSS, MB | 发现 Findings | 代码 Code |
|---|---|---|---|---|---|---|"""
_FOLDER: Final = Path(".bench/fuzz")


def main() -> int:
    """Exit status 1 when the present code has a finding, 3 when runs are left to do."""
    args = _arguments()
    wanted = [catalogue.find(name) for name in args.target or catalogue.MODULES]
    print(_HEAD, flush=True)
    fine, complete = True, True
    with ThreadPoolExecutor(args.jobs) as pool:
        for target, (done, goal) in zip(
            wanted, pool.map(lambda target: _target(target, args), wanted), strict=True
        ):
            print(row(target, done), flush=True)
            fine = fine and not done.findings
            complete = complete and done.runs >= goal
    return 1 if not fine else 0 if complete else 3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./run fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="*", help=f"default all: {' '.join(catalogue.MODULES)}")
    parser.add_argument(
        "--runs",
        type=int,
        help="goal for each target, runs of earlier calls of the same code counted. "
        "Default: about a minute's runs of each, whatever was done before",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="the full goal of each: 10^7 runs, or 10^5 where whole files are read",
    )
    parser.add_argument(
        "--seconds", type=int, default=0, help="at most so long in each target, in this call"
    )
    parser.add_argument("--jobs", type=int, default=2, help="targets at the same time")
    parser.add_argument(
        "--table", action="store_true", help="run nothing: only what was run of the present code"
    )
    parser.add_argument("--folder", type=Path, default=_FOLDER, help=f"default {_FOLDER}")
    args = parser.parse_args()
    if unknown := sorted(set(args.target) - set(catalogue.MODULES)):
        parser.error(f"没有目标 / no such target: {' '.join(unknown)}")
    return args


def _target(target: FuzzTarget, args: argparse.Namespace) -> tuple[Total, int]:
    """All runs of a target's present code once this call's are done, and how many there were to
    be."""
    folder = args.folder / target.name
    code = version(f"fuzz.targets.{catalogue.MODULES[target.name]}")
    done = counts.total(folder, code)
    goal = target.full if args.full else args.runs or done.runs + target.runs
    if args.table:
        return done, 0
    end = time.monotonic() + args.seconds
    while done.runs < goal and not done.findings:
        before, wanted = done.runs, min(target.each, goal - done.runs)
        left = max(1, round(end - time.monotonic())) if args.seconds else 0
        counts.note(folder, fuzz(target, code, wanted, left, folder))
        done = counts.total(folder, code)
        if done.runs - before < wanted:  # its time is over, or the user ended it
            break
    return done, goal


def row(target: FuzzTarget, done: Total) -> str:
    """One line of the table."""
    rate = done.runs / max(done.seconds, 0.001)
    return (
        f"| {target.name} | {done.runs:,} | {rate:,.0f} | {done.coverage} | {done.rss[0]} → "
        f"{done.rss[1]} "
        f"| {'; '.join(done.findings) or '0'} | {done.code} |"
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # what was run until now is noted
