"""The figures kept in `.bench/results`, written into `docs/benchmarks.md` and the charts beside
it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import charts, peer_rows, results, shapes, tables

DOCS = Path("docs")
PAGE = DOCS / "benchmarks.md"


def main() -> None:
    """Replace each block `<!-- bench:NAME -->` ... `<!-- /bench -->` that there are figures for."""
    text = PAGE.read_text()
    for name, block in blocks().items():
        if block:
            marked = f"<!-- bench:{name} -->\n{block}\n<!-- /bench -->"
            pattern = re.compile(rf"<!-- bench:{name} -->.*?<!-- /bench -->", re.DOTALL)
            text = pattern.sub(marked.replace("\\", r"\\"), text)
    PAGE.write_text(text)
    _charts()


def blocks() -> dict[str, str]:
    """Name -> Markdown."""
    kept = results.load("bench")
    rows = kept.get("rows", {})
    return {
        "about": _about(kept),
        "path": _shapes("path", rows),
        "idle": _shapes("idle", rows),
        "scale": _shapes("scale", rows),
        "uvloop": _uvloop(rows, results.load("uvloop").get("rows", {})),
        "ingest": _ingest(),
        "peers": _peers(),
    }


def _about(kept: Mapping[str, Any]) -> str:
    if not kept:
        return ""
    counts = sorted({len(runs) for runs in kept["rows"].values()})
    runs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        f"{kept['machine']}; {kept['versions']}; {runs} run(s) of a shape, the last of "
        f"{kept['seconds']:g} s."
    )


def _shapes(group: str, rows: Mapping[str, Any]) -> str:
    lines = [
        tables.row(shape.name, shape.bounds, rows[shape.name])
        for shape in shapes.SHAPES
        if shape.group == group and shape.name in rows
    ]
    return "\n".join([*tables.HEAD, *lines]) if lines else ""


def _uvloop(plain: Mapping[str, Any], fast: Mapping[str, Any]) -> str:
    names = [shape.name for shape in shapes.SHAPES if shape.name in plain and shape.name in fast]
    if not names:
        return ""
    lines = [
        f"| {name} | {results.cost(plain[name])} | {results.cost(fast[name])} |" for name in names
    ]
    return "\n".join(["| Shape | asyncio µs/value | uvloop µs/value |", "|---|---|---|", *lines])


def _ingest() -> str:
    rows = results.load("ingest").get("rows", {})
    lines = [tables.ingest_row(kind, runs) for kind, runs in rows.items()]
    return "\n".join([*tables.INGEST_HEAD, *lines]) if lines else ""


def _peers() -> str:
    rows = results.load("peers").get("rows", {})
    lines = [
        line
        for shape in peer_rows.SHAPES
        if shape.name in rows
        for line in peer_rows.rows(shape.name, rows[shape.name])
    ]
    return "\n".join([*peer_rows.HEAD, *lines]) if lines else ""


def _charts() -> None:
    rows = results.load("bench").get("rows", {})
    points = []
    for shape in shapes.SHAPES:
        runs = rows.get(shape.name, [])
        if shape.group == "scale" and runs and not results.lost(runs):
            costs = sorted(run["us_per_value"] for run in runs)
            middle = results.median(runs, "us_per_value") or 0.0
            points.append((float(shape.devices * shape.tags), middle, costs[0], costs[-1]))
    if points:
        chart = charts.scale_chart(points, "Cost per value from 1 000 to 100 000 tags")
        (DOCS / "benchmark-scale.svg").write_text(chart)
    compared = results.load("peers").get("rows", {})
    groups = {
        shape.name: _bars(compared[shape.name])
        for shape in peer_rows.SHAPES
        if shape.name in compared and shape.group != "idle"
    }
    if groups:
        (DOCS / "benchmark-peers.svg").write_text(
            charts.peers_chart(groups, "Beside others, same simulators and broker")
        )


def _bars(found: Mapping[str, Any]) -> dict[str, charts.Bar]:
    ours = results.median(found.get(peer_rows.OURS, []), "us_per_value")
    bars = {}
    for name, runs in found.items():
        cost = results.median(runs, "us_per_value")
        if cost is None:
            continue
        share = (results.median(runs, "values_per_s") or 0.0) / runs[0]["expected_per_s"]
        words = f"{cost:.1f} µs" + (
            f", {cost / ours:.1f} x" if ours and name != peer_rows.OURS else ""
        )
        bars[name] = (cost, words + (f", {100 * share:.0f} % arrived" if share < 0.97 else ""))
    return bars


if __name__ == "__main__":
    main()
