"""One target in a process of its own, from its seeds and its corpus to its account."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fuzz.counts import Outcome
from fuzz.target import FuzzTarget

_LONGEST_RUN_S: Final = 10
_MOST_MB: Final = 1024
_MOST_GROWTH_MB: Final = 128
"""From a quarter of the runs to the last: libFuzzer's own corpus takes some of it."""
_INTERRUPTED: Final = frozenset({72, 130, -2})
"""The exit status after Ctrl-C: libFuzzer's, atheris', and none."""
_LINE: Final = re.compile(r"^#(\d+)\s.*cov: (\d+).*rss: (\d+)Mb", re.MULTILINE)
_DONE: Final = re.compile(r"^stat::number_of_executed_units:\s+(\d+)", re.MULTILINE)
_REASON: Final = re.compile(
    r"^[\w.]*(?:Error|Exception|Warning): [^\n]*|ERROR: libFuzzer: [^\n]*", re.MULTILINE
)


def fuzz(target: FuzzTarget, code: str, runs: int, seconds: int, folder: Path) -> Outcome:
    """Run one target to its number of runs, its time (0: any) or its first finding; `folder` keeps
    corpus and log."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for n, seed in enumerate(target.seeds()):
        (corpus / f"seed-{n:03}").write_bytes(seed)
    words = folder / "words"
    words.write_text("".join(f'"{_quoted(word)}"\n' for word in target.words))
    options = [
        f"-runs={runs}",
        f"-max_total_time={seconds}",
        f"-timeout={_LONGEST_RUN_S}",
        f"-rss_limit_mb={_MOST_MB}",
        "-print_final_stats=1",
        "-reload=0",
        f"-artifact_prefix={folder}/",
        *([f"-dict={words}"] if target.words else []),
        str(corpus),
    ]
    begin = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-", dir=_memory()) as scratch,
        (folder / "log").open("wb") as log,
    ):
        status = subprocess.run(
            [sys.executable, "-m", "fuzz.guided", target.name, *options],
            stdout=log, stderr=log, check=False, env={**os.environ, "TMPDIR": scratch},
        ).returncode  # fmt: skip
    spent = time.monotonic() - begin
    return account(
        (folder / "log").read_text(encoding="utf-8", errors="replace"), status, code, spent
    )


def _memory() -> str | None:
    """Where files cost no disk. None: where temporary files are anyway."""
    memory = "/dev/shm"  # noqa: S108 - a folder of our own in it
    return memory if os.access(memory, os.W_OK) else None


def _quoted(word: bytes) -> str:
    return "".join(chr(b) if 32 < b < 127 and b not in b'"\\' else f"\\x{b:02X}" for b in word)


def account(said: str, status: int, code: str, seconds: float) -> Outcome:
    """What libFuzzer said, in figures."""
    pulses = [(int(at), int(coverage), int(rss)) for at, coverage, rss in _LINE.findall(said)]
    done = _DONE.search(said)
    executed = int(done[1]) if done else max((at for at, _, _ in pulses), default=0)
    early = [rss for at, _, rss in pulses if at <= max(executed // 4, 1)] or [0]
    late = max((rss for _, _, rss in pulses), default=0)
    finding = ""
    if status != 0 and status not in _INTERRUPTED:
        # The last line of a traceback comes before libFuzzer's own account of it.
        finding = next(iter(_REASON.findall(said)), f"exit status {status}").replace("|", "¦")
    elif late - early[-1] > _MOST_GROWTH_MB:
        finding = f"grew from {early[-1]} to {late} MB"
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    coverage = max((edges for _, edges, _ in pulses), default=0)
    return Outcome(code, ended, executed, round(seconds, 1), coverage, (early[-1], late), finding)
