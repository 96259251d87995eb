"""YAML in, a validated `Site` out: all errors at once, each with its line, before the first socket
opens."""

from edge_agent.config.dump import dump
from edge_agent.config.loader import expand, load

__all__ = ["dump", "expand", "load"]
