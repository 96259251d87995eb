"""The durable, ordered, bounded buffer between "read" and "sent"."""

from edge_agent.outbox.ledger import Gap, Stats
from edge_agent.outbox.outbox import Outbox
from edge_agent.outbox.record import Entry

__all__ = ["Entry", "Gap", "Outbox", "Stats"]
