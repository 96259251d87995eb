"""The counters of an outbox and its publisher, and of several of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.outbox import Outbox
from edge_agent.publish import Publisher

Document = Mapping[str, Any]


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
_PENDING = ("pending_values", "pending_entries", "unconfirmed_entries", "bytes", "limit_bytes")


def ended(document: Document) -> dict[str, Any]:
    """The figures of a life that is over: its counts stay, what it held is somebody else's to
    tell."""
    emptied = dict.fromkeys(_PENDING, 0) | {"oldest_t": None}
    return {**document, "outbox": {**document["outbox"], **emptied}}


def sum_documents(documents: Sequence[Document]) -> dict[str, Any]:
    """All of them (at least one) as one; of the oldest pending values the oldest."""
    whole: dict[str, Any] = {}
    for part in ("counters", "entries", "outbox"):
        parts = [document[part] for document in documents]
        whole[part] = {key: sum(one[key] for one in parts) for key in parts[0] if key != "oldest_t"}
    oldest = (document["outbox"]["oldest_t"] for document in documents)
    whole["outbox"]["oldest_t"] = min((t for t in oldest if t is not None), default=None)
    return whole
