"""The embedded broker: nats-server from its wheel, MQTT 3.1.1 over JetStream, a child on loopback.

What it acknowledged may die in a power cut (`sync_interval: always` costs it nine tenths of its
speed); the promise is carried by `confirm: store`, which frees an outbox entry only when the store
has it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from pathlib import Path

from edge_agent.errors import FindingsError

#: Messages of one subscription that may wait for the ingest's acknowledgement; the default of 100
#: would throttle it. The server reserves so many of a session's 65 535 packet identifiers for each
#: of the ingest's four subscriptions.
MAX_ACK_PENDING = 10_000


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configuration(folder: Path, mqtt_port: int) -> str:
    """The server's configuration file: loopback only, its files below `folder`."""
    return (
        'server_name: "edge-demo"\n'
        f'listen: "127.0.0.1:{free_port()}"\n'
        f'jetstream {{ store_dir: "{folder / "jetstream"}" }}\n'
        f'mqtt {{ listen: "127.0.0.1:{mqtt_port}", max_ack_pending: {MAX_ACK_PENDING}, ack_wait: '
        f'"60s" }}\n'
    )


def program() -> str:
    """The nats-server of the wheel, or one found on the PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("nats-server", path=path)
    if found is None:
        raise FindingsError.one(
            "no-broker",
            "找不到 nats-server：请重新安装本软件包（pip install shopfloor-edge-agent），或把 "
            "nats-server 放入 PATH。",
            "nats-server is not found: install this package again, or put a nats-server on the "
            "PATH.",
        )
    return found


async def wait_for_port(port: int, timeout: float = 20.0) -> None:
    """Return when the port accepts connections; TimeoutError otherwise."""
    async with asyncio.timeout(timeout):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return
