"""The shapes the peers are compared on, and the Markdown rows of the comparison."""

from __future__ import annotations

from benchmarks import results
from benchmarks.results import Run
from benchmarks.shapes import LoadShape

OURS = "edge-agent"

SHAPES = (
    LoadShape("Modbus 1 x 1000 @ 1 s", 1, 1000, 1.0),
    LoadShape("Modbus 1 x 1000 @ 100 ms", 1, 1000, 0.1),
    LoadShape("Modbus 10 x 100 @ 100 ms", 10, 100, 0.1),
    LoadShape("Modbus 100 x 100 @ 1 s", 100, 100, 1.0),
    LoadShape("OPC UA 1000 changing @ 100 ms, subscription", 1, 1000, 0.1, protocol="opcua"),
    LoadShape("OPC UA read 1000 @ 100 ms", 1, 1000, 0.1, protocol="opcua", mode="read"),
    LoadShape("Modbus 1 tag @ 60 s", 1, 1, 60.0, group="idle"),
)

HEAD = (
    "| Shape | Who | values/s | CPU µs/value | ratio | % of a core | age p99 ms | RSS MB |",
    "|---|---|---|---|---|---|---|---|",
)


def rows(shape: str, found: dict[str, list[Run]]) -> list[str]:
    """Markdown rows of one shape; ratios against our own cost (of an idle agent: CPU) in the same
    runs."""
    lines = []
    key = "core_percent" if " tag @" in shape else "us_per_value"
    ours = results.median(found.get(OURS, []), key)
    for name, runs in found.items():
        cost = results.median(runs, key)
        ratio = f"{cost / ours:.1f} x" if cost and ours else "-"
        rate, due = results.median(runs, "values_per_s") or 0.0, runs[0]["expected_per_s"]
        age = results.median(runs, "p99_ms")
        cells = [
            shape,
            name,
            f"{rate:.0f} of {due:.0f}" if due >= 1 else "-",
            results.spread(runs, "us_per_value", 2),
            ratio,
            results.spread(runs, "core_percent"),
            f"{age:.0f}" if age is not None else "-",
            f"{max(run['rss_mb'] for run in runs):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines
