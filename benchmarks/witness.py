"""An MQTT subscriber that counts what arrives, in a process of its own.

`python -m benchmarks.witness PORT`: on each line read from stdin it prints one JSON line with the
totals so far; the line `mark` begins a new interval for the ages. What arrived twice counts once;
`holes` are sequence numbers that never came; ages are the arrival's wall clock minus the read's. It
understands our documents, those of ThingsBoard gateways, of collectd, and of `benchmarks.naive`. To
a ThingsBoard gateway it also answers for the server it expects: without the session's limits it
sends nothing.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import orjson
import paho.mqtt.client as mqtt

_LIMITS_REQUEST = "v1/devices/me/rpc/request/"
#: What a ThingsBoard server without rate limits answers to `getSessionLimits`; the two sizes are
#: its defaults.
_LIMITS = {
    "rateLimits": {},
    "gatewayRateLimits": {},
    "maxPayloadSize": 65536,
    "maxInflightMessages": 100,
}


class ArrivalCounts:
    """What has arrived so far."""

    def __init__(self) -> None:
        self.values = self.messages = self.bad = 0
        self.first: float | None = None
        """Monotonic clock at the first value."""
        self.ages: list[float] = []
        self.seen: dict[str, set[int]] = {}

    def ours(self, now: int, document: dict[str, Any]) -> None:
        """A data or health document of the agent; both are numbered in one stream."""
        seen = self.seen.setdefault(document["stream"], set())
        if document["seq"] in seen:
            return
        seen.add(document["seq"])
        if "values" not in document or not isinstance(document["values"], dict):
            return
        self.bad += len(document.get("quality", ()))
        self._count(len(document["values"]), (now - document["t"]) / 1e6)

    def thingsboard(self, now: int, document: dict[str, list[dict[str, Any]]]) -> None:
        """`{device: [{"ts": ms, "values": {...}}, ...]}`."""
        for records in document.values():
            for record in records:
                self._count(len(record["values"]), now / 1e6 - record["ts"])

    def naive(self, now: int, document: dict[str, Any]) -> None:
        """One value."""
        self._count(1, (now - document["t"]) / 1e6)

    def collectd(self, now: int, payload: bytes) -> None:
        """`seconds:value`, a zero byte behind it."""
        self._count(1, now / 1e6 - 1e3 * float(payload.partition(b":")[0]))

    def _count(self, values: int, age_ms: float) -> None:
        if self.first is None:
            self.first = time.monotonic()
        self.values += values
        self.messages += 1
        self.ages.append(age_ms)

    def totals(self) -> dict[str, float | None]:
        holes = sum(max(seen) - len(seen) for seen in self.seen.values())
        return {
            "values": self.values,
            "messages": self.messages,
            "bad": self.bad,
            "first": self.first,
            "holes": holes,
            "p50_ms": self._age(0.50),
            "p99_ms": self._age(0.99),
        }

    def _age(self, share: float) -> float | None:
        ages = sorted(self.ages)
        return ages[min(len(ages) - 1, int(len(ages) * share))] if ages else None


def main(port: int) -> None:
    """Count until stdin closes."""
    counts = ArrivalCounts()
    takes = {"edge": counts.ours, "v1": counts.thingsboard, "naive": counts.naive}

    def on_message(client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.startswith(_LIMITS_REQUEST):
            client.publish(
                message.topic.replace("request", "response"), orjson.dumps(_LIMITS), qos=1
            )
            return
        if message.topic.startswith("collectd/"):
            counts.collectd(time.time_ns(), message.payload)
            return
        takes[message.topic.partition("/")[0]](time.time_ns(), orjson.loads(message.payload))

    topics = [
        "edge/+/+/+/+/+/data",
        "edge/+/+/+/+/+/health",
        "naive/#",
        "collectd/#",
        "v1/gateway/telemetry",
        _LIMITS_REQUEST + "+",
    ]
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.on_message = on_message
    client.on_connect = lambda c, u, f, r, p: c.subscribe([(topic, 1) for topic in topics])
    client.connect("127.0.0.1", port)
    client.loop_start()
    for line in sys.stdin:
        print(json.dumps(counts.totals()), flush=True)
        if line.strip() == "mark":
            counts.ages.clear()
    client.loop_stop()


if __name__ == "__main__":
    main(int(sys.argv[1]))
