"""An MQTT subscriber that counts what arrives, in a process of its own.

`python -m benchmarks.witness PORT`: on each line read from stdin it prints one JSON line with the totals so far.
Duplicates (stream, seq) count once; ages are the arrival's wall clock minus the read's.
"""

from __future__ import annotations

import json
import sys
import time

import orjson
import paho.mqtt.client as mqtt


def main(port: int) -> None:
    """Count until stdin closes."""
    seen: set[tuple[str, int]] = set()
    totals = {"values": 0, "messages": 0}
    ages: list[float] = []

    def on_message(client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        now = time.time_ns()
        document = orjson.loads(message.payload)
        key = (document["stream"], document["seq"])
        if key in seen:
            return
        seen.add(key)
        totals["messages"] += 1
        totals["values"] += len(document["values"])
        ages.append((now - document["t"]) / 1e6)

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.on_message = on_message
    client.on_connect = lambda c, u, f, r, p: c.subscribe("edge/+/+/+/+/+/data", qos=1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for line in sys.stdin:
        recent = sorted(ages)
        ages.clear()
        age = {q: recent[min(len(recent) - 1, int(len(recent) * q / 100))] if recent else None for q in (50, 99)}
        print(json.dumps({**totals, "p50_ms": age[50], "p99_ms": age[99], "echo": line.strip()}), flush=True)
    client.loop_stop()


if __name__ == "__main__":
    main(int(sys.argv[1]))
