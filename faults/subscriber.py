"""A subscriber of the row's own: counts what comes, what comes twice, and how old it is."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import orjson
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion


class Subscriber:
    """Fed by paho's own thread; the counters may be read at any time."""

    def __init__(self, port: int) -> None:
        self.repeated = 0
        """Data messages that had been here before."""
        self.values = 0
        """Good values, repetitions not counted."""
        self.latest: dict[str, tuple[int, float]] = {}
        """Device -> (read time of its newest message in ns, monotonic seconds of its arrival)."""
        self._seen: set[tuple[str, int]] = set()
        self._ready = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="witness", clean_session=False
        )
        self._client.on_connect = lambda client, *_: client.subscribe("edge/+/+/+/+/+/data", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._heard
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port, 5)
        self._client.loop_start()
        assert self._ready.wait(10), "the broker does not take the subscription"

    def _heard(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        document = orjson.loads(message.payload)
        key = (document["stream"], document["seq"])
        if key in self._seen:
            self.repeated += 1
            return
        self._seen.add(key)
        self.values += len(document["values"])
        t = document["t"]
        if t >= self.latest.get(document["device"], (0, 0.0))[0]:
            self.latest[document["device"]] = (t, time.monotonic())

    def age(self) -> float:
        """Seconds since the newest message was read from its device, by the wall clock."""
        newest = max((t for t, _ in self.latest.values()), default=0)
        return time.time() - newest / 1e9

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def subscriber(port: int) -> Iterator[Subscriber]:
    """A subscriber to all data, closed at the end."""
    made = Subscriber(port)
    try:
        yield made
    finally:
        made.close()
