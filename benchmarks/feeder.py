"""What agents would publish, for the store service alone: so many devices, every value changing.

`python -m benchmarks.feeder PORT DEVICES TAGS PERIOD_S`: a line on stdin asks for the totals,
`stop` ends the feed and answers when the broker has everything.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import orjson
import paho.mqtt.client as mqtt

SLOTS = 20
"""The devices of a period are spread over so many moments."""


class DocumentStream:
    """One stream of data documents at a fixed pace."""

    def __init__(self, client: mqtt.Client, devices: int, tags: int, period: float) -> None:
        self._client, self._period = client, period
        self._names = [f"dev-{n:04}" for n in range(devices)]
        self._tags = [f"v{i}" for i in range(tags)]
        self._stream = f"feeder/0/{time.time_ns():x}"
        self.sent = 0
        self._seq = 0
        self.stopped = threading.Event()

    def births(self) -> None:
        tags = {tag: {"type": "float", "every": self._period} for tag in self._tags}
        for name in self._names:
            document = {
                "v": 1,
                "device": name,
                "name": name,
                "agent": "feeder",
                "connector": "modbus",
                "profile": "",
                "area": "area",
                "line": "bench",
                "cell": "",
                "t": time.time_ns(),
                "tags": tags,
            }
            self._client.publish(_topic(name, "birth"), orjson.dumps(document), qos=1, retain=True)

    def run(self) -> None:
        """Until `stopped`."""
        due, turn = time.monotonic(), 0
        while not self.stopped.is_set():
            turn += 1
            for slot in range(SLOTS):
                for name in self._names[slot::SLOTS]:
                    self._send(name, turn)
                due += self._period / SLOTS
                time.sleep(max(0.0, due - time.monotonic()))

    def _send(self, name: str, turn: int) -> None:
        now = time.time_ns()
        self._seq += 1
        values = dict(
            zip(self._tags, [turn + i / 1000 for i in range(len(self._tags))], strict=True)
        )
        document = {
            "v": 1,
            "device": name,
            "stream": self._stream,
            "seq": self._seq,
            "ts": now // 1_000_000,
            "t": now,
            "values": values,
        }
        self._client.publish(_topic(name, "data"), orjson.dumps(document), qos=1)
        self.sent += len(values)


def _topic(device: str, kind: str) -> str:
    return f"edge/enterprise/site/area/bench/{device}/{kind}"


def main(port: int, devices: int, tags: int, period: float) -> None:
    """Feed until `stop` or the end of stdin."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    feed = DocumentStream(client, devices, tags, period)
    feed.births()
    thread = threading.Thread(target=feed.run)
    thread.start()
    for line in sys.stdin:
        if line.strip() == "stop":
            feed.stopped.set()
            thread.join()
            while client._out_messages:
                time.sleep(0.01)
        print(json.dumps({"values": feed.sent}), flush=True)
    feed.stopped.set()
    thread.join()
    client.loop_stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
