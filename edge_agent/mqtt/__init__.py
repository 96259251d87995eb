"""MQTT on the asyncio loop, for those who publish and for those who subscribe."""

from edge_agent.mqtt.client import Inbound, Message
from edge_agent.mqtt.connection import Connection

__all__ = ["Connection", "Inbound", "Message"]
