"""MQTT: from the outbox to the broker."""

from edge_agent.publish.publisher import Publisher

__all__ = ["Publisher"]
