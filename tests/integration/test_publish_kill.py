"""kill -9 of an agent at random moments: what its outbox accepted reaches the broker (F2, a few
rounds)."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.servers import mosquitto, nats

DRIVER = """
import asyncio, json, sys
from pathlib import Path
from edge_agent.clock import Clock
from edge_agent.config.models import Mqtt
from edge_agent.outbox import Outbox
from edge_agent.publish import Publisher
from edge_agent.topics import Topics

async def main(path, port, appends):
    box = Outbox(Path(path), agent="ipc-01", max_bytes=50_000_000, fsync_ms=50)
    publisher = Publisher(Mqtt(url=f"mqtt://127.0.0.1:{port}"), box, Topics("edge", "d", "s"), "ipc-01", Clock())
    task = asyncio.create_task(publisher.run())
    head = json.dumps({"stream": box.stream})[:-1].encode() + b',"seq":'
    for _ in range(appends):
        seq = box.append("edge/d/s/a/l/m/data", head, b',"x":"' + b"x" * 500 + b'"}', 1, 1)
        sys.stdout.write(f"{box.stream} {seq}\\n")
        sys.stdout.flush()
        await asyncio.sleep(0.0005)
    while box.pending:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    await box.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def start(path: Path, port: int, appends: int) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", DRIVER, str(path), str(port), str(appends)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("server", [mosquitto, nats], ids=["mosquitto", "nats"])
def test_what_was_appended_is_delivered_whenever_the_agent_is_killed(
    tmp_path: Path, server: object
) -> None:
    rng = random.Random(20)
    accepted: set[tuple[str, int]] = set()
    seen: list[tuple[str, int]] = []
    with server(tmp_path / "broker") as broker:  # type: ignore[operator]
        witness = mqtt.Client(CallbackAPIVersion.VERSION2, "witness")
        witness.on_message = lambda _, __, m: seen.append(
            (d["stream"], d["seq"]) if (d := json.loads(m.payload)) else 0
        )
        witness.on_connect = lambda client, *_: client.subscribe("edge/+/+/+/+/+/data", 1)
        witness.connect("127.0.0.1", broker.port, 60)
        witness.loop_start()
        rounds = 4
        for _ in range(rounds):
            process = start(tmp_path / "box", broker.port, 1_000_000)
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(rng.uniform(0.05, 0.4))  # the random moment, not a poll interval
            os.kill(process.pid, signal.SIGKILL)
            lines = [first, *process.stdout.read().splitlines(keepends=True)]
            process.stdout.close()
            process.wait()
            accepted |= {
                (s.decode(), int(n))
                for s, n in (line.split() for line in lines if line.endswith(b"\n"))
            }
        last = start(tmp_path / "box", broker.port, 5)
        last.communicate(timeout=60)
        assert last.returncode == 0
        end = time.monotonic() + 20
        while not accepted <= set(seen) and time.monotonic() < end:
            time.sleep(0.01)  # poll interval of this waiter
        witness.disconnect()
        witness.loop_stop()
    assert len(accepted) > 100
    assert accepted - set(seen) == set()
    assert len(seen) - len(set(seen)) <= rounds * 50, "more repeated than the window of each life"
