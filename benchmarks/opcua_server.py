"""asyncua's own OPC UA server, whose variables all change every period: what the canned server is
checked against.

`python -m benchmarks.opcua_server PORT VARIABLES PERIOD_MS`; answers lines of stdin, ends when
stdin closes. It keeps up with a few thousand changes a second; the bench refuses a figure when
values are missing.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from datetime import UTC, datetime

from asyncua import Server, ua

from benchmarks.opcua_canned import add_variables


async def main(port: int, variables: int, period: float) -> None:
    """Serve `ns=2;s=v0`, `ns=2;s=v1`, ... as Double."""
    logging.disable(logging.CRITICAL)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/bench")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    nodes = await add_variables(server, variables)
    async with server:
        print("ready", flush=True)
        writer = asyncio.create_task(_change(server, nodes, period))
        while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
            print('{"requests": 0}', flush=True)
        writer.cancel()


async def _change(server: Server, nodes: list[ua.NodeId], period: float) -> None:
    turn, due = 0, time.monotonic()
    while True:
        turn += 1
        now = datetime.now(UTC)
        value = ua.DataValue(
            ua.Variant(float(turn), ua.VariantType.Double), SourceTimestamp=now, ServerTimestamp=now
        )
        for node in nodes:
            await server.iserver.aspace.write_attribute_value(node, ua.AttributeIds.Value, value)
        due += period
        await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
