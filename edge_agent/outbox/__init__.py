"""The durable, ordered, bounded buffer between "read" and "sent"."""

from edge_agent.outbox.ledger import OutboxStats, UndeliveredRange
from edge_agent.outbox.outbox import Outbox
from edge_agent.outbox.record import OutboxEntry

__all__ = ["Outbox", "OutboxEntry", "OutboxStats", "UndeliveredRange"]
