"""The pipeline one writes first: pymodbus, a conversion and a pydantic model per value, `json`, a
message per value.

Kept as the yardstick. No durable buffer, QoS 1. `python -m benchmarks.naive BROKER_PORT TAGS
PERIOD_S URL ...`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from pydantic import BaseModel
from pymodbus.client import AsyncModbusTcpClient

_PER_REQUEST = 62
"""float32 values in one request of at most 125 registers."""


class NaiveReading(BaseModel):
    """One value with where and when it was read."""

    device: str
    tag: str
    t: int
    value: float
    quality: str


async def poll(client: mqtt.Client, device: str, url: str, tags: int, period: float) -> None:
    """Read all tags of one device every period and publish each."""
    parts = urlsplit(url)
    modbus = AsyncModbusTcpClient(parts.hostname or "", port=parts.port or 502)
    await modbus.connect()
    due = time.monotonic()
    while True:
        for start in range(0, tags, _PER_REQUEST):
            count = min(_PER_REQUEST, tags - start)
            answer = await modbus.read_holding_registers(2 * start, count=2 * count)
            now = time.time_ns()
            for i in range(count):
                value = modbus.convert_from_registers(
                    answer.registers[2 * i : 2 * i + 2], modbus.DATATYPE.FLOAT32
                )
                tag = f"v{start + i}"
                reading = NaiveReading(device=device, tag=tag, t=now, value=value, quality="Good")
                client.publish(f"naive/{device}/{tag}", json.dumps(reading.model_dump()), qos=1)
        due += period
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def main(port: int, tags: int, period: float, urls: list[str]) -> None:
    """Poll all devices until killed."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.max_inflight_messages_set(500)
    client.connect("127.0.0.1", port)
    client.loop_start()
    async with asyncio.TaskGroup() as group:
        for n, url in enumerate(urls):
            group.create_task(poll(client, f"dev-{n:04}", url, tags, period))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
