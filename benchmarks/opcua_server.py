"""An OPC UA server (asyncua) whose variables all change every period.

`python -m benchmarks.opcua_server PORT VARIABLES PERIOD_MS`; runs until stdin closes. Whether it keeps up is
checked from outside: the bench refuses a figure when values are missing.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime

from asyncua import Server, ua


async def main(port: int, variables: int, period: float) -> None:
    """Serve `ns=2;s=v0`, `ns=2;s=v1`, ... as Double."""
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/bench")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await server.register_namespace("urn:bench")
    nodes = []
    for start in range(0, variables, 50):
        folder = await server.nodes.objects.add_folder(ua.NodeId(f"f{start}", 2), f"2:f{start}")
        for i in range(start, min(start + 50, variables)):
            node = await folder.add_variable(ua.NodeId(f"v{i}", 2), f"2:v{i}", 0.0)
            nodes.append(node.nodeid)
    async with server:
        print("ready", flush=True)
        writer = asyncio.create_task(_change(server, nodes, period))
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        writer.cancel()


async def _change(server: Server, nodes: list[ua.NodeId], period: float) -> None:
    turn, due = 0, time.monotonic()
    while True:
        turn += 1
        value = ua.DataValue(ua.Variant(float(turn), ua.VariantType.Double), SourceTimestamp=datetime.now(UTC))
        for node in nodes:
            await server.iserver.aspace.write_attribute_value(node, ua.AttributeIds.Value, value)
        due += period
        await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
