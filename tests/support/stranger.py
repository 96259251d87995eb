"""A pack replayed by the script that knows its README only, beside what the pack claims."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "stranger" / "recompute.py"
#: Metrics that a pack does not hold the facts of, each with the reason.
NOT_REPLAYABLE: dict[str, str] = {}


def stranger(folder: Path) -> dict[str, str | None]:
    """Every figure of a pack as the script computes it: without this package, and no warning
    allowed."""
    command = [sys.executable, "-I", "-W", "error", str(SCRIPT), str(folder)]
    told: dict[str, str | None] = json.loads(
        subprocess.run(command, capture_output=True, check=True).stdout
    )
    return told


def claimed(folder: Path) -> dict[str, str | None]:
    """Every figure of a pack as it says itself, without those that cannot be replayed."""
    figures = json.loads((folder / "figures.json").read_bytes())
    exact = {figure["key"]: figure["value_exact"] for figure in figures}
    return {
        key: value for key, value in exact.items() if key.partition("@")[0] not in NOT_REPLAYABLE
    }
