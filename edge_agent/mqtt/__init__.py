"""MQTT on the asyncio loop, for those who publish and for those who subscribe."""

from edge_agent.mqtt.client import Inbound, MqttMessage
from edge_agent.mqtt.connection import MqttConnection

__all__ = ["Inbound", "MqttConnection", "MqttMessage"]
