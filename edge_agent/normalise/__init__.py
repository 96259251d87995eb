"""From what a device said to what is meant: scale, range, enumeration, machine state, report by
change."""

from edge_agent.normalise.columns import Normaliser

__all__ = ["Normaliser"]
