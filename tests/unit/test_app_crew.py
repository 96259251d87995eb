"""Several workers as one: what of them the watchdog is told."""

from __future__ import annotations

import time
from pathlib import Path

from edge_agent.app.workers.crew import Crew
from edge_agent.config import load
from edge_agent.config.plugins import Installed
from edge_agent.polling.loop import STALL_S
from tests.support.agents import configuration


def test_one_silent_worker_does_not_starve_the_watchdog_and_all_of_them_do(tmp_path: Path) -> None:
    """One is killed and started again by the agent itself; a restart of the service would end the others with it."""
    devices = dict.fromkeys(("a", "b"), "url: 'tcp://127.0.0.1:1', tags: {a: {address: holding/0}}")
    site = load(configuration(tmp_path, 1, devices, extra=", workers: 2"))
    crew = Crew(site, Installed(), dict.fromkeys(range(3), 0), 0, "INFO")
    assert crew.stalled() == []
    long_ago = time.monotonic() - STALL_S - 1
    crew.hands[0]._answered_at = long_ago
    assert crew.hands[0].silent()
    assert crew.stalled() == []
    crew.hands[1]._answered_at = long_ago
    assert crew.stalled() == ["worker 1", "worker 2"]
