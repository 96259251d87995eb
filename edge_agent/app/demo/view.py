"""The demo's picture in the terminal: the first screen of `status`, drawn anew each second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Group, RenderableType

from edge_agent.app.status.first_screen import FirstScreen
from edge_agent.app.status.status_faults import not_well
from edge_agent.app.status.terminal import Terminal
from edge_agent.words import command

_COUNTERS: Final = (
    ("读取", "read", "read"),
    ("入队", "enqueued", "enqueued"),
    ("发布", "published", "published"),
    ("确认", "acknowledged", "acknowledged"),
    ("入库", "stored", "stored"),
    ("丢弃", "dropped", "dropped"),
)


def picture(
    status: Mapping[str, Any],
    agent: Mapping[str, Any] | None,
    metrics: Sequence[Mapping[str, Any]],
    config: Path,
    timezone: str,
    terminal: Terminal,
) -> RenderableType:
    """Everything the demo shows, as many lines as the terminal has room for."""
    document = {"serve": status, "agent": agent}
    counters = {**(agent or {}).get("counters", {}), **status["counters"]}
    screen = FirstScreen(
        title="edge-agent demo",
        now=status["t"],
        timezone=timezone,
        problems=not_well(document, config),
        metrics=metrics,
        devices=status["devices"],
        agents=status.get("agents", ()),
        notes=[_counted(counters)],
        more=command("status", config, "--wide"),
    )
    lines = screen.lines(terminal)
    return Group(*lines)


def _counted(counters: Mapping[str, Any]) -> tuple[str, str]:
    """What became of the values, from the wire to the store."""
    rows = [(zh, en, counters.get(key, 0)) for zh, en, key in _COUNTERS]
    return (
        "值：" + "，".join(f"{zh} {count:,}" for zh, _, count in rows),
        "values: " + ", ".join(f"{count:,} {en}" for _, en, count in rows),
    )
