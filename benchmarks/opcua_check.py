"""`python -m benchmarks.opcua_check`: whether the canned OPC UA server says what asyncua's server
says.

Both are asked by asyncua's stock client for the same read and the same subscription. The raw
responses must be equal in shape, once values, times, handles and numbers are blanked, and the
decoded values must be there and move.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import numpy as np
from asyncua import Client, ua
from asyncua.ua.ua_binary import struct_from_binary

from benchmarks import rig
from benchmarks.opcua_canned import ITEM, RECORD

COUNT = 100


async def answers(port: int) -> dict[str, bytes]:
    """The blanked bodies of a ReadResponse and of a PublishResponse with data."""
    async with Client(f"opc.tcp://127.0.0.1:{port}/bench") as client:
        return {"read": await _read(client), "publish": await _publish(client)}


async def _read(client: Client) -> bytes:
    request = ua.ReadRequest()
    request.Parameters.NodesToRead = [
        ua.ReadValueId(ua.NodeId(f"v{i}", 2), ua.AttributeIds.Value) for i in range(COUNT)
    ]
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    body = bytes(await client.uaclient.session._send_request(request))
    before, after = (
        struct_from_binary(ua.ReadResponse, ua.utils.Buffer(body)).Results for _ in range(2)
    )
    assert len(before) == len(after) == COUNT
    assert all(value.Value.VariantType == ua.VariantType.Double for value in before)
    return _blank(body, body.index(COUNT.to_bytes(4, "little"), 20) + 4, RECORD)


async def _publish(client: Client) -> bytes:
    """Asks for notifications itself until one has all items, as the agent does."""
    subscription = await client.create_subscription(100, _Nobody())
    nodes = [client.get_node(ua.NodeId(f"v{i}", 2)) for i in range(COUNT)]
    bodies: asyncio.Queue[bytes] = asyncio.Queue()
    session = client.uaclient.session
    send = session._send_request

    async def listen(request: Any, *rest: Any, **more: Any) -> Any:
        answer = await send(request, *rest, **more)
        if isinstance(request, ua.PublishRequest):
            bodies.put_nowait(bytes(answer))
        return answer

    session._send_request = listen
    await subscription.subscribe_data_change(nodes)
    marker = COUNT.to_bytes(4, "little")
    while True:
        body = await asyncio.wait_for(bodies.get(), 10)
        result = struct_from_binary(ua.PublishResponse, ua.utils.Buffer(body)).Parameters
        data = result.NotificationMessage.NotificationData or []
        if data and len(data[0].MonitoredItems) == COUNT:
            return _blank(body, body.index(marker, 40) + 4, ITEM)


class _Nobody:
    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """Called by asyncua for each value."""


def _blank(body: bytes, start: int, layout: np.dtype[Any]) -> bytes:
    """Type id and header without time and handle; the records' masks, types and status codes; what
    follows them."""
    records = np.frombuffer(body, layout, COUNT, start)
    rest = body[start + COUNT * layout.itemsize :]
    head = body[:4] + body[16:28]
    return (
        head
        + records["mask"].tobytes()
        + records["type"].tobytes()
        + records["status"].tobytes()
        + rest[:4]
    )


def main() -> int:
    """Ask both; 0 when they agree."""
    found: dict[str, dict[str, bytes]] = {}
    for name, arguments in (("opcua_canned", (COUNT, 0)), ("opcua_server", (COUNT, 100))):
        port = rig.free_port()
        with rig.process(
            rig.module(f"benchmarks.{name}", port, *arguments), stderr=subprocess.DEVNULL
        ) as server:
            assert server.stdout is not None
            server.stdout.readline()
            found[name] = asyncio.run(answers(port))
    for kind in ("read", "publish"):
        same = found["opcua_canned"][kind] == found["opcua_server"][kind]
        print(f"{kind}: {'equal' if same else 'DIFFERENT'}")
        if not same:
            print(*(answer[kind].hex() for answer in found.values()), sep="\n")
    return int(found["opcua_canned"] != found["opcua_server"])


if __name__ == "__main__":
    sys.exit(main())
