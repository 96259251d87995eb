"""Configurations of other programs as plant files of this one; what cannot be carried over is
listed, never guessed."""

from edge_agent.commissioning.convert.run import SOURCES, convert

__all__ = ["SOURCES", "convert"]
