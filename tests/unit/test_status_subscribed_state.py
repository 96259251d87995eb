"""A machine state that a subscription sent once: it stands as long as the device's health vouches
for it."""

from __future__ import annotations

import pytest

from edge_agent.app.status.overview import _device
from edge_agent.app.status.recent_health import DeviceNow
from edge_agent.model import STATUS
from edge_agent.stores.base import DeviceReadings, LatestSample

S = 1_000_000_000
NOW = 1_800_000_000 * S
EXECUTING = 3


def _state(status: str, sent_s_ago: int, proven_s_ago: int) -> str | None:
    sent = NOW - sent_s_ago * S
    recent = DeviceNow("online", "", NOW - proven_s_ago * S, 0.0, 1, 1, 0)
    latest = LatestSample(EXECUTING, STATUS[status], sent)
    state: str | None = _device(
        "m1", {"tags": 1}, DeviceReadings(1, sent, sent), latest, recent, NOW
    )["state"]
    return state


@pytest.mark.parametrize(
    ("status", "sent_s_ago", "proven_s_ago", "state"),
    [
        ("Good", 8 * 3600, 2, "Executing"),
        ("Good", 8 * 3600, 3600, "NotAvailable"),
        ("Good", 8 * 3600, -3600, "NotAvailable"),
        ("BadNoCommunication", 8 * 3600, 2, "NotAvailable"),
    ],
)
def test_health_vouches_for_a_state_that_does_not_change(
    status: str, sent_s_ago: int, proven_s_ago: int, state: str
) -> None:
    assert _state(status, sent_s_ago, proven_s_ago) == state
