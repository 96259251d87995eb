"""Several outboxes, several processes, one agent: their figures added, their facts put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.health import ne107, sentence
from edge_agent.health.agent import Facts
from edge_agent.health.device import SUMMED
from edge_agent.outbox import Outbox
from edge_agent.publish import Publisher

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker tells of itself every second."""

    figures: Document
    facts: Facts
    pending_from: Mapping[str, int]
    """The streams it holds, each with the number from which on something may be pending."""
    connected: bool
    ack_age: float | None
    process: Document
    """What it holds of the machine."""


def figures(outbox: Outbox, publisher: Publisher, read: int = 0) -> dict[str, Any]:
    """The counters of one outbox and its publisher, since the start.

    Values, one tag once; `published` alone counts a value as often as it was sent.
    """
    stats = outbox.stats
    return {
        "counters": {
            "read": read,
            "enqueued": stats.enqueued,
            "published": publisher.published,
            "acknowledged": stats.acknowledged,
            "dropped": stats.dropped,
        },
        "entries": {
            "enqueued": stats.enqueued_entries,
            "published": publisher.messages,
            "acknowledged": stats.acknowledged_entries,
            "dropped": stats.dropped_entries,
            "resent": publisher.resent,
            "refused": publisher.refused,
        },
        "outbox": {
            "pending_values": stats.pending,
            "pending_entries": stats.pending_entries,
            "unconfirmed_entries": stats.unconfirmed_entries,
            "bytes": stats.bytes,
            "limit_bytes": outbox.limit,
            "oldest_t": stats.oldest_t,
            "freed_unseen_values": stats.unseen,
            "quarantined_values": stats.quarantined,
            "quarantined_bytes": stats.quarantined_bytes,
        },
    }


#: What an outbox holds, as opposed to what it has counted.
_HELD = ("pending_values", "pending_entries", "unconfirmed_entries", "bytes", "limit_bytes")


def ended(document: Document) -> dict[str, Any]:
    """The figures of a life that is over: its counts stay, what it held is somebody else's to tell."""
    held = dict.fromkeys(_HELD, 0) | {"oldest_t": None}
    return {**document, "outbox": {**document["outbox"], **held}}


def added(documents: Sequence[Document]) -> dict[str, Any]:
    """All of them (at least one) as one; of the oldest pending values the oldest."""
    whole: dict[str, Any] = {}
    for part in ("counters", "entries", "outbox"):
        parts = [document[part] for document in documents]
        whole[part] = {key: sum(one[key] for one in parts) for key in parts[0] if key != "oldest_t"}
    oldest = (document["outbox"]["oldest_t"] for document in documents)
    whole["outbox"]["oldest_t"] = min((t for t in oldest if t is not None), default=None)
    return whole


def processes(parts: Iterable[Document]) -> dict[str, int | None]:
    """What they hold of the machine together; None where no one can tell."""
    whole: dict[str, int | None] = {}
    for part in parts:
        for name, count in part.items():
            whole[name] = whole.get(name) if count is None else count + (whole.get(name) or 0)
    return whole


def together(own: Facts, workers: Iterable[Facts]) -> Facts:
    """The facts of the agent: `own` those of the supervising process, which alone knows of clock and configuration."""
    parts = [own, *workers]
    return replace(
        own,
        connected=all(one.connected for one in parts),
        broker=next((one.broker for one in parts if one.broker is not None), None),
        refusal=next((one.refusal for one in parts if one.refusal is not None), None),
        broker_fault=next((one.broker_fault for one in parts if one.broker_fault is not None), None),
        ingest_silent=any(one.ingest_silent for one in parts),
        freed_unseen=sum(one.freed_unseen for one in parts),
        lacking=any(one.lacking for one in parts),
        outbox_bytes=sum(one.outbox_bytes for one in parts),
        outbox_limit=sum(one.outbox_limit for one in parts),
        dropping=sum(one.dropping for one in parts),
        dropped=sum(one.dropped for one in parts),
        damaged=sum(one.damaged for one in parts),
        unsynced_s=max(one.unsynced_s for one in parts),
        stalled=[name for one in parts for name in one.stalled],
        devices=sum(one.devices for one in parts),
        offline=sum(one.offline for one in parts),
    )


def absent(device: str, known: Document | None, *, down: bool) -> dict[str, Any]:
    """The row of a device whose worker does not answer: what was last known of it, and that nobody reads it now."""
    state, reason = ("offline", "worker_down") if down else ("starting", "starting")
    row = dict(known) if known is not None else _blank(device)
    zh, en = sentence(reason)
    known_now = {"state": state, "reason": reason, "cause": reason, "detail": en, "detail_zh": zh}
    return row | known_now | {"ne107": ne107.device(state, reason).full()}


def _blank(device: str) -> dict[str, Any]:
    return {
        "id": device, "last_good_t": None, "values": 0, "overruns": 0, "totals": dict.fromkeys(SUMMED, 0),
        "set_aside": False, "clock_offset_s": None, "clock_drift_s_per_day": None, "tags_not_good": 0, "tags": [],
        "tags_absent": 0, "absent": [],
    }  # fmt: skip
