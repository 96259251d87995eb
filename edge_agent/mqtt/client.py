"""paho, set up so that it does nothing but build and parse packets."""

from __future__ import annotations

from dataclasses import dataclass

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_agent.config.models import Mqtt
from edge_agent.mqtt.pipe import Pipe


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """A document on its way in or out."""

    topic: str
    payload: bytes
    retained: bool
    mid: int = 0
    qos: int = 1


@dataclass(frozen=True, slots=True)
class Inbound:
    """How to miss nothing: the broker keeps the session, and what arrives is acknowledged by
    hand."""

    keep_s: int
    """MQTT 5: how long the session outlives its connection."""
    receive_maximum: int
    """MQTT 5: what the broker may send unacknowledged."""


class Client(mqtt.Client):
    """paho with a pipe for its socket."""

    pipe: Pipe

    def _create_socket(self) -> Pipe:
        return self.pipe


def client_for(
    config: Mqtt, client_id: str, will: MqttMessage | None, inbound: Inbound | None
) -> Client:
    """A paho client that is used for one connection."""
    five = config.version == "5"
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id,
        clean_session=None if five else inbound is None,
        protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
        manual_ack=inbound is not None,
    )
    # the window is the caller's: paho must send whatever it is given
    client.max_inflight_messages_set(0)
    if will is not None:
        client.will_set(will.topic, will.payload, 1, retain=will.retained)
    if config.username is not None:
        client.username_pw_set(
            config.username, None if config.password is None else config.password.get_secret_value()
        )
    return client
