"""Prometheus text: well-formed, one family at a time, and every figure the one of the status
document."""

from __future__ import annotations

import re
from typing import Any

from edge_agent.control.prometheus import agent_metrics, serve_metrics
from edge_agent.health import DeviceHealth
from edge_agent.health.agent import AgentFacts, notices
from edge_agent.health.ne107 import judged
from edge_agent.reasons import cause_of_status

PROCESS = {
    "resident_bytes": 45_056_000,
    "settled_bytes": 40_960_000,
    "descriptors": 21,
    "threads": 4,
    "tasks": 12,
}
SAMPLE = re.compile(
    r'([a-z_0-9]+)(?:\{((?:[a-z_0-9]+="(?:[^"\\\n]|\\.)*",?)*)\})? (-?[0-9.e+-]+|NaN)'
)


def parsed(text: str) -> dict[str, float]:
    """Samples by name and labels; asserts the rules of the exposition format (0.0.4)."""
    assert text.endswith("\n")
    found: dict[str, float] = {}
    typed: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split(" ")[2]
            assert current not in typed, "a family stands in one place"
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current
            typed[name] = kind
            assert (kind == "counter") == name.endswith("_total")
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] == current
            key = match[1] if match[2] is None else f"{match[1]}{{{match[2]}}}"
            assert key not in found
            found[key] = float(match[3])
    return found


def device(name: str) -> dict[str, Any]:
    health = DeviceHealth(name, 2, 2.0, 0.0)
    health.failed(0x800A0000, cause_of_status("BadTimeout"))
    return {
        "id": name,
        "state": health.state,
        "reason": health.reason,
        "detail": health.detail[1],
        "ne107": health.judgement().full(),
        "last_good_t": 1_763_900_000_500_000_000,
        "values": 7,
        "overruns": 0,
        "totals": health.totals | {"good": 6, "latency": 0.125},
        "set_aside": True,
        "clock_offset_s": -1.5,
        "clock_drift_s_per_day": None,
        "tags_not_good": 2,
        "tags": [],
        "tags_absent": 0,
        "absent": [],
    }


def status() -> dict[str, Any]:
    return {
        "agent": "ipc-01",
        "version": "0.1.0",
        "stream": "ipc-01/0/ab",
        "uptime_s": 12.5,
        "ne107": judged(notices(AgentFacts(dropping=3, stalled=["x"]))).full(),
        "broker_connected": True,
        "ack_age_s": 0.25,
        "counters": {"read": 10, "enqueued": 10, "published": 9, "acknowledged": 8, "dropped": 3},
        "entries": {
            "enqueued": 2,
            "published": 2,
            "acknowledged": 1,
            "dropped": 0,
            "resent": 0,
            "refused": 0,
        },
        "outbox": {
            "pending_values": 2,
            "pending_entries": 1,
            "unconfirmed_entries": 0,
            "bytes": 4096,
            "limit_bytes": 10**9,
            "oldest_t": None,
            "freed_unseen_values": 0,
            "quarantined_values": 0,
            "quarantined_bytes": 0,
        },
        "process": PROCESS,
        "devices": [device("vmc-01"), device('odd "name" \\ here')],
    }


def test_the_agents_metrics_are_its_status() -> None:
    found = parsed(agent_metrics(status()))
    assert found["edge_agent_ne107_status"] == 1
    assert found['edge_agent_finding{reason="outbox_dropping",health="FAILURE"}'] == 1
    assert found['edge_agent_values_total{stage="read"}'] == 10
    assert found['edge_agent_entries_total{stage="acknowledged"}'] == 1
    assert found["edge_agent_last_puback_age_seconds"] == 0.25
    assert found["edge_agent_outbox_bytes"] == 4096
    assert found["process_resident_memory_bytes"] == 45_056_000
    assert found["edge_agent_settled_memory_bytes"] == 40_960_000
    assert (found["process_open_fds"], found["process_threads"], found["edge_agent_tasks"]) == (
        21,
        4,
        12,
    )
    assert found['edge_agent_device_readings_total{device="vmc-01",quality="good"}'] == 6
    assert found['edge_agent_device_up{device="vmc-01"}'] == 0
    assert found['edge_agent_device_finding{device="vmc-01",reason="BadTimeout"}'] == 1
    assert (
        found['edge_agent_device_last_good_timestamp_seconds{device="vmc-01"}'] == 1_763_900_000.5
    )
    assert found['edge_agent_device_clock_offset_seconds{device="vmc-01"}'] == -1.5
    assert found['edge_agent_device_values_total{device="odd \\"name\\" \\\\ here"}'] == 7


def test_what_is_not_known_is_left_out() -> None:
    process = PROCESS | {"resident_bytes": None, "settled_bytes": None, "descriptors": None}
    text = agent_metrics(status() | {"ack_age_s": None, "process": process})
    assert "process_resident" not in text
    assert "open_fds" not in text
    assert "puback" not in text
    assert "oldest_timestamp" not in text
    assert "drift" not in text


def test_the_stores_metrics_say_what_is_missing_and_why() -> None:
    outages = [
        {"device": "vmc-01", "seconds": 10.0, "reason": "BadTimeout"},
        {"device": "vmc-01", "seconds": 5.5, "reason": "BadTimeout"},
        {"device": "vmc-01", "seconds": 3600.0, "reason": "agent_stopped"},
    ]
    gaps = [
        {"values": 40, "entries": 4, "reason": "full"},
        {"values": 2, "entries": 1, "reason": "full"},
        {"values": None, "entries": 63, "reason": "missing"},
    ]
    document = {
        "ne107": judged([]).full(),
        "counters": {"stored": 5},
        "broker_connected": False,
        "lag_s": 0.5,
        "process": PROCESS,
        "devices": [{"id": "vmc-01", "last_good_age_s": None}],
        "missing": {"outages": outages, "gaps": gaps},
    }
    found = parsed(serve_metrics(document))
    assert found["edge_agent_store_ne107_status"] == 0
    assert found['edge_agent_store_missing_seconds{device="vmc-01",reason="BadTimeout"}'] == 15.5
    assert found['edge_agent_store_missing_seconds{device="vmc-01",reason="agent_stopped"}'] == 3600
    assert found["edge_agent_store_gap_values"] == 42
    assert found['edge_agent_store_gap_entries{reason="full"}'] == 5
    assert found['edge_agent_store_gap_entries{reason="missing"}'] == 63
    assert found["edge_agent_tasks"] == 12
