"""`./run fuzz [TARGET ...] [--runs N] [--jobs N]`: every target in a process of its own, one Markdown table."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fuzz import targets
from fuzz.target import Target

_HEAD: Final = """\
| 目标 Target | 次数 Runs | 每秒 exec/s | 覆盖 Coverage | 内存 RSS, MB | 发现 Findings |
|---|---|---|---|---|---|"""
_LONGEST_RUN_S: Final = 10
_MOST_MB: Final = 1024
_MOST_GROWTH_MB: Final = 128
"""From a quarter of the runs to the last: libFuzzer's own corpus takes some of it."""
_LINE: Final = re.compile(r"^#(\d+)\s.*cov: (\d+).*rss: (\d+)Mb", re.MULTILINE)
_DONE: Final = re.compile(r"^stat::number_of_executed_units:\s+(\d+)", re.MULTILINE)
_REASON: Final = re.compile(r"^[\w.]*(?:Error|Exception|Warning): [^\n]*|ERROR: libFuzzer: [^\n]*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one process did."""

    runs: int
    seconds: float
    coverage: int
    rss: tuple[int, int]
    """MB at a quarter of the runs, and at the end."""
    finding: str
    """Empty: none."""


def main() -> int:
    """Exit status 1 when there is a finding."""
    parser = argparse.ArgumentParser(prog="./run fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", help=f"default all: {' '.join(targets.MODULES)}")
    parser.add_argument("--runs", type=int, help="runs of each target instead of its own number (about a minute each)")
    parser.add_argument("--jobs", type=int, default=2, help="targets at the same time")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="folder for inputs that are findings")
    args = parser.parse_args()
    if unknown := sorted(set(args.target) - set(targets.MODULES)):
        parser.error(f"没有目标 / no such target: {' '.join(unknown)}")
    args.keep.mkdir(parents=True, exist_ok=True)
    wanted = [targets.find(name) for name in args.target or targets.MODULES]
    print(_HEAD, flush=True)
    fine = True
    with ThreadPoolExecutor(args.jobs) as pool:
        outcomes = pool.map(lambda target: fuzz(target, args.runs or target.runs, args.keep), wanted)
        for target, outcome in zip(wanted, outcomes, strict=True):
            print(row(target, outcome), flush=True)
            fine = fine and not outcome.finding
    return 0 if fine else 1


def fuzz(target: Target, runs: int, keep: Path) -> Outcome:
    """Run one target to its end or its first finding."""
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_memory()) as name:
        corpus = Path(name) / "corpus"
        corpus.mkdir()
        for n, seed in enumerate(target.seeds()):
            (corpus / f"seed-{n:03}").write_bytes(seed)
        words = Path(name) / "words"
        words.write_text("".join(f'"{_quoted(word)}"\n' for word in target.words))
        options = [
            f"-runs={runs}", f"-timeout={_LONGEST_RUN_S}", f"-rss_limit_mb={_MOST_MB}", "-print_final_stats=1",
            f"-artifact_prefix={keep}/{target.name}-", *([f"-dict={words}"] if target.words else []), str(corpus),
        ]  # fmt: skip
        begin = time.monotonic()
        process = subprocess.run(
            [sys.executable, "-m", "fuzz.guided", target.name, *options],
            capture_output=True, encoding="utf-8", errors="replace", check=False, env={**os.environ, "TMPDIR": name},
        )  # fmt: skip
        seconds = time.monotonic() - begin
    said = process.stdout + process.stderr
    (keep / f"{target.name}.log").write_text(said, encoding="utf-8")
    return _outcome(said, process.returncode, runs, seconds)


def _memory() -> str | None:
    """Where files cost no disk: two targets write one in each run. None: where temporary files are anyway."""
    memory = "/dev/shm"  # noqa: S108 - a folder of our own in it
    return memory if os.access(memory, os.W_OK) else None


def _quoted(word: bytes) -> str:
    return "".join(chr(b) if 32 < b < 127 and b not in b'"\\' else f"\\x{b:02X}" for b in word)


def _outcome(said: str, status: int, runs: int, seconds: float) -> Outcome:
    pulses = [(int(at), int(coverage), int(rss)) for at, coverage, rss in _LINE.findall(said)]
    done = _DONE.search(said)
    executed = int(done[1]) if done else max((at for at, _, _ in pulses), default=0)
    early = [rss for at, _, rss in pulses if at <= max(executed // 4, 1)] or [0]
    late = max((rss for _, _, rss in pulses), default=0)
    finding = ""
    if status != 0:
        # The last line of a traceback comes before libFuzzer's own account of it.
        finding = next(iter(_REASON.findall(said)), f"exit status {status}").replace("|", "¦")
    elif executed < runs:
        finding = f"ended after {executed} runs"
    elif late - early[-1] > _MOST_GROWTH_MB:
        finding = f"grew from {early[-1]} to {late} MB"
    return Outcome(executed, seconds, max((c for _, c, _ in pulses), default=0), (early[-1], late), finding)


def row(target: Target, outcome: Outcome) -> str:
    """One line of the table."""
    rate = outcome.runs / max(outcome.seconds, 0.001)
    return (
        f"| {target.name} | {outcome.runs:,} | {rate:,.0f} | {outcome.coverage} | {outcome.rss[0]} → {outcome.rss[1]} "
        f"| {outcome.finding or '0'} |"
    )


if __name__ == "__main__":
    sys.exit(main())
