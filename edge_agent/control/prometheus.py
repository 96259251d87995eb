"""Status documents as Prometheus text (exposition format 0.0.4). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from edge_agent.health.ne107 import Health

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Document = Mapping[str, Any]


class _Text:
    """Families in the order in which they are first told; samples of one family stand together."""

    def __init__(self) -> None:
        self._families: dict[str, list[str]] = {}

    def add(self, name: str, kind: str, meaning: str, value: float | None, **labels: str) -> None:
        """One sample; none where there is no value."""
        if value is None:
            return
        lines = self._families.setdefault(
            name, [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
        )
        inner = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
        number = str(int(value)) if float(value).is_integer() else repr(float(value))
        lines.append(f"{name}{{{inner}}} {number}" if inner else f"{name} {number}")

    def counter(self, name: str, meaning: str, value: float | None, **labels: str) -> None:
        self.add(name, "counter", meaning, value, **labels)

    def gauge(self, name: str, meaning: str, value: float | None, **labels: str) -> None:
        self.add(name, "gauge", meaning, value, **labels)

    def __str__(self) -> str:
        return "\n".join(line for lines in self._families.values() for line in lines) + "\n"


def agent_metrics(status: Document) -> str:
    """The metrics of `edge-agent run`."""
    text = _Text()
    _health(text, "edge_agent", status["ne107"])
    text.gauge(
        "edge_agent_info",
        "Which agent this is.",
        1,
        agent=status["agent"],
        version=status["version"],
    )
    text.gauge("edge_agent_uptime_seconds", "Since the start.", status["uptime_s"])
    for stage, values in status["counters"].items():
        text.counter(
            "edge_agent_values_total",
            "Values (one tag once) by how far they came.",
            values,
            stage=stage,
        )
    for stage, entries in status["entries"].items():
        text.counter(
            "edge_agent_entries_total", "Messages by how far they came.", entries, stage=stage
        )
    text.gauge(
        "edge_agent_broker_connected",
        "1 while the broker is connected.",
        status["broker_connected"],
    )
    text.gauge(
        "edge_agent_last_puback_age_seconds", "Since the last acknowledgement.", status["ack_age_s"]
    )
    _outbox(text, status["outbox"])
    _process(text, status["process"])
    for device in status["devices"]:
        _device(text, device)
    return str(text)


def _health(text: _Text, prefix: str, judgement: Document) -> None:
    name = f"{prefix}_ne107_status"
    text.gauge(
        name,
        "NE 107: " + ", ".join(f"{h.value} {h.name}" for h in Health) + ".",
        judgement["number"],
    )
    for notice in judgement["notices"]:
        reason = notice["reason"]
        health = notice["health"]
        text.gauge(
            f"{prefix}_finding", "1 for each reason behind it.", 1, reason=reason, health=health
        )


def _process(text: _Text, process: Document) -> None:
    """What it holds of the machine, under the names every Prometheus client uses where there is
    one."""
    text.gauge("process_resident_memory_bytes", "Resident memory.", process["resident_bytes"])
    settled = "Resident memory after caches were last given back: if this grows, something leaks."
    text.gauge("edge_agent_settled_memory_bytes", settled, process["settled_bytes"])
    text.gauge("process_open_fds", "Open file descriptors.", process["descriptors"])
    text.gauge("process_threads", "Threads, those of libraries included.", process["threads"])
    text.gauge("edge_agent_tasks", "Tasks of the event loop.", process["tasks"])


def _outbox(text: _Text, outbox: Document) -> None:
    text.gauge("edge_agent_outbox_bytes", "Bytes on the disk.", outbox["bytes"])
    text.gauge("edge_agent_outbox_limit_bytes", "The bound.", outbox["limit_bytes"])
    text.gauge(
        "edge_agent_outbox_pending_values", "Values not yet delivered.", outbox["pending_values"]
    )
    text.gauge(
        "edge_agent_outbox_pending_entries",
        "Messages not yet delivered.",
        outbox["pending_entries"],
    )
    text.gauge(
        "edge_agent_outbox_unconfirmed_entries",
        "Those of them that the broker has.",
        outbox["unconfirmed_entries"],
    )
    text.counter(
        "edge_agent_outbox_freed_unseen_values_total",
        "Freed at the broker's acknowledgement while no store service was ever heard of.",
        outbox["freed_unseen_values"],
    )
    text.counter(
        "edge_agent_outbox_quarantined_values_total",
        "Lost to damaged bytes.",
        outbox["quarantined_values"],
    )
    oldest = outbox["oldest_t"]
    text.gauge(
        "edge_agent_outbox_oldest_timestamp_seconds",
        "When the oldest pending value was read.",
        None if oldest is None else oldest / 1e9,
    )


def _device(text: _Text, row: Document) -> None:
    device = row["id"]
    text.gauge(
        "edge_agent_device_ne107_status", "NE 107, as above.", row["ne107"]["number"], device=device
    )
    text.gauge("edge_agent_device_up", "1 while any of its tags is good.", _up(row), device=device)
    for notice in row["ne107"]["notices"]:
        text.gauge(
            "edge_agent_device_finding",
            "1 for each reason.",
            1,
            device=device,
            reason=notice["reason"],
        )
    totals = row["totals"]
    text.counter("edge_agent_device_values_total", "Values read.", row["values"], device=device)
    for quality in ("good", "bad"):
        text.counter(
            "edge_agent_device_readings_total",
            "Readings by quality.",
            totals[quality],
            device=device,
            quality=quality,
        )
    text.counter(
        "edge_agent_device_polls_due_total", "Polls that were due.", totals["due"], device=device
    )
    text.counter(
        "edge_agent_device_polls_done_total", "Polls answered.", totals["done"], device=device
    )
    text.counter(
        "edge_agent_device_overruns_total", "Turns skipped.", totals["overruns"], device=device
    )
    text.counter(
        "edge_agent_device_latency_seconds_total",
        "Sum over polls answered.",
        totals["latency"],
        device=device,
    )
    text.counter(
        "edge_agent_device_covered_seconds_total",
        "With good values.",
        totals["covered"],
        device=device,
    )
    last = row["last_good_t"]
    text.gauge(
        "edge_agent_device_last_good_timestamp_seconds",
        "When a value was last good.",
        None if last is None else last / 1e9,
        device=device,
    )
    text.gauge(
        "edge_agent_device_clock_offset_seconds",
        "Its clock minus ours.",
        row["clock_offset_s"],
        device=device,
    )
    text.gauge(
        "edge_agent_device_clock_drift_seconds_per_day",
        "Its gain.",
        row["clock_drift_s_per_day"],
        device=device,
    )
    text.gauge(
        "edge_agent_device_tags_not_good",
        "Tags bad or uncertain.",
        row["tags_not_good"],
        device=device,
    )


def _up(row: Document) -> int:
    return int(row["state"] in ("online", "degraded"))


def serve_metrics(status: Document) -> str:
    """The metrics of `edge-agent serve`."""
    text = _Text()
    _health(text, "edge_agent_store", status["ne107"])
    for stage, values in status["counters"].items():
        text.counter(
            "edge_agent_store_values_total", "Values by what became of them.", values, stage=stage
        )
    text.gauge(
        "edge_agent_store_broker_connected",
        "1 while the broker is connected.",
        status["broker_connected"],
    )
    text.gauge(
        "edge_agent_store_lag_seconds", "Age of the oldest message not yet stored.", status["lag_s"]
    )
    _process(text, status["process"])
    for device in status["devices"]:
        if device.get("guest"):
            continue
        name = device["id"]
        text.gauge(
            "edge_agent_store_last_good_age_seconds",
            "As stored.",
            device["last_good_age_s"],
            device=name,
        )
    _missing(text, status.get("missing"))
    return str(text)


def _missing(text: _Text, missing: Document | None) -> None:
    """What is missing of the last 24 hours, with the reason as a label."""
    if missing is None:
        return
    for device, reasons in _by_reason(missing["outages"]).items():
        for reason, seconds in reasons.items():
            text.gauge(
                "edge_agent_store_missing_seconds",
                "Seconds of the last 24 h without good values, by reason.",
                seconds,
                device=device,
                reason=reason,
            )
    values = sum(gap["values"] or 0 for gap in missing["gaps"])
    text.gauge(
        "edge_agent_store_gap_values",
        "Values told as lost in the last 24 h, as far as counted.",
        values,
    )
    never = (
        "Messages numbered before one that came, neither stored nor told as lost; lost unless an "
        "outbox holds them."
    )
    text.gauge(
        "edge_agent_store_absent_entries",
        never,
        sum(row["entries"] for row in missing.get("absent", ())),
    )
    early = (
        "Messages numbered before the first this store ever had of their stream: an earlier "
        "store's, not lost."
    )
    text.gauge(
        "edge_agent_store_before_entries",
        early,
        sum(row["entries"] for row in missing.get("before", ())),
    )
    entries: dict[str, int] = {}
    for gap in missing["gaps"]:
        entries[gap["reason"]] = entries.get(gap["reason"], 0) + gap["entries"]
    for reason, count in entries.items():
        text.gauge(
            "edge_agent_store_gap_entries",
            "Messages told as lost in the last 24 h.",
            count,
            reason=reason,
        )


def _by_reason(outages: Iterable[Document]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for outage in outages:
        reasons = found.setdefault(outage["device"], {})
        reasons[outage["reason"]] = reasons.get(outage["reason"], 0.0) + outage["seconds"]
    return found
