"""The sentences of health documents; the table itself is `edge_agent.reasons`."""

from edge_agent.reasons import sentence

__all__ = ["sentence"]
