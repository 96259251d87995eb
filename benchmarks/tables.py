"""The Markdown tables of the bench."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import ingest, results
from benchmarks.results import Run

HEAD = (
    "| Shape | values/s | CPU µs/value | % of a core | requests/cycle | age p50 / p99 ms | RSS "
    "MB | first value s |",
    "|---|---|---|---|---|---|---|---|",
)
INGEST_HEAD = (
    "| Store service | values/s stored | CPU µs/value | % of a core | RSS MB |",
    "|---|---|---|---|---|",
)


def row(name: str, bounds: Mapping[str, float], runs: list[Run]) -> str:
    """One Markdown row; bold is what has a bound, with the bound behind it."""

    def cell(key: str, text: str) -> str:
        if key not in bounds:
            return text
        value = results.median(runs, key)
        kept = value is not None and value <= bounds[key] and not results.lost(runs)
        return f"{text} / **{bounds[key]:g}** {'✓' if kept else '✗'}"

    early = max(run.get("bad_at_start", 0) for run in runs)
    requests = results.median(runs, "requests_per_cycle")
    ages = " / ".join(
        results.spread(runs, key, 1).partition(" ")[0] for key in ("p50_ms", "p99_ms")
    )
    cells = [
        name,
        f"{results.median(runs, 'values_per_s'):.0f}"
        + (f" ({early:.0f} bad at start)" if early else ""),
        cell("us_per_value", results.cost(runs)),
        cell("core_percent", results.spread(runs, "core_percent", 2)),
        cell("requests_per_cycle", f"{requests:.1f}" if requests else "-"),
        cell("p99_ms", ages),
        cell("rss_mb", f"{max(run['rss_mb'] for run in runs):.0f}"),
        cell("start_s", results.spread(runs, "start_s", 2).partition(" ")[0]),
    ]
    return "| " + " | ".join(cells) + " |"


def ingest_row(kind: str, runs: list[Run]) -> str:
    """One Markdown row of the store service."""
    kept = not results.lost(runs) and (results.median(runs, "us_per_value") or 0) <= ingest.BOUND_US
    cells = [
        f"MQTT to {ingest.STORES[kind]}",
        f"{results.median(runs, 'values_per_s'):.0f}",
        f"{results.cost(runs)} / **{ingest.BOUND_US:g}** {'✓' if kept else '✗'}",
        results.spread(runs, "core_percent"),
        f"{max(run['rss_mb'] for run in runs):.0f}",
    ]
    return "| " + " | ".join(cells) + " |"
