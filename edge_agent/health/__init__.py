"""What each device did, counted while it happens, and spoken about every few seconds."""

from edge_agent.health.device import DeviceHealth
from edge_agent.reasons import sentence

__all__ = ["DeviceHealth", "sentence"]
