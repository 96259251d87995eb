"""Figures of several runs: kept as JSON, summed up as median and spread, printed as Markdown
rows."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(".bench/results")

Run = Mapping[str, Any]
"""The fields of a Figure."""


def machine() -> str:
    """One line on where and with what."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores {platform.machine()}, {memory:.0f} "
        "GiB, "
        f"{_system()}, Python {platform.python_version()}"
    )


def versions() -> str:
    """The packages that the figures hang on."""
    names = ("asyncua", "pymodbus", "paho-mqtt", "orjson", "duckdb", "pydantic")
    return ", ".join(f"{name} {version(name)}" for name in names)


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def save(name: str, rows: Mapping[str, Any], **about: Any) -> None:
    """Keep the runs of each row. Rows measured earlier stay if they are of the same day, machine
    and versions, which the page says of all of them."""
    path = FOLDER / f"{name}.json"
    before, same = load(name), {"machine": machine(), "versions": versions()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = before.get("rows", {}) if {key: before.get(key) for key in same} == same else {}
    document = {**same, **about, "rows": {**kept, **rows}}
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1))


def load(name: str) -> dict[str, Any]:
    """What was kept; empty when nothing was."""
    path = FOLDER / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def lost(runs: Sequence[Run]) -> str:
    """Why these runs give no figure of cost; empty when they do."""
    return next((run["lost"] for run in runs if run["lost"]), "")


def median(runs: Sequence[Run], key: str) -> float | None:
    """The median of a field over the runs that have it."""
    values = [run[key] for run in runs if run.get(key) is not None]
    return statistics.median(values) if values else None


def spread(runs: Sequence[Run], key: str, digits: int = 1) -> str:
    """Median (lowest-highest)."""
    values = [run[key] for run in runs if run.get(key) is not None]
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return (
        f"{statistics.median(values):.{digits}f} "
        f"({min(values):.{digits}f}-{max(values):.{digits}f})"
    )


def cost(runs: Sequence[Run]) -> str:
    """CPU per value, or why there is none."""
    return f"no figure: {lost(runs)}" if lost(runs) else spread(runs, "us_per_value", 2)
