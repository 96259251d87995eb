"""An asyncua server with one variable of every kind, in this process or (`main`) as a program that
can be killed."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import threading
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from asyncua import Server, ua

from simulators.opcua.space import LeanServer

URI = "http://test.example/machine"
OTHER = "http://test.example/other"
MOMENT = datetime(2026, 11, 23, 8, 0, 0, 250_000, tzinfo=UTC)
GUID = uuid.UUID("12345678-1234-5678-1234-567812345678")

#: Name -> (value, OPC UA type, what our batch has for it).
KINDS: dict[str, tuple[Any, str, Any]] = {
    "Boolean": (True, "Boolean", True),
    "SByte": (-5, "SByte", -5),
    "Byte": (200, "Byte", 200),
    "Int16": (-3000, "Int16", -3000),
    "UInt16": (60000, "UInt16", 60000),
    "Int32": (-(2**31), "Int32", -(2**31)),
    "UInt32": (2**32 - 1, "UInt32", 2**32 - 1),
    "Int64": (-(2**62), "Int64", -(2**62)),
    "UInt64": (2**64 - 1, "UInt64", 2**64 - 1),
    "Float": (1.5, "Float", 1.5),
    "Double": (0.1, "Double", 0.1),
    "String": ("主轴 spindle", "String", "主轴 spindle"),
    "DateTime": (MOMENT, "DateTime", "2026-11-23T08:00:00.250000Z"),
    "Guid": (GUID, "Guid", str(GUID)),
    "ByteString": (b"\x01\xff", "ByteString", "01ff"),
    "LocalizedText": (ua.LocalizedText("运行", "zh"), "LocalizedText", "运行"),
    "QualifiedName": (ua.QualifiedName("Name", 2), "QualifiedName", "2:Name"),
    "NodeId": (ua.NodeId("x", 2), "NodeId", "ns=2;s=x"),
    "Double[]": ([1.5, -2.5], "Double", [1.5, -2.5]),
    "Int32[]": ([1, 2, 3], "Int32", [1, 2, 3]),
    "Boolean[]": ([True, False], "Boolean", [True, False]),
    "String[]": (["a", "二"], "String", ["a", "二"]),
}


async def build(server: Server, uris: Sequence[str] = (URI,), count: int = 0) -> dict[str, Any]:
    """Fill the address space; the nodes by name."""
    for uri in uris:
        await server.register_namespace(uri)
    index = await server.get_namespace_index(URI)
    machine = await server.nodes.objects.add_object(
        ua.NodeId("Machine", index), ua.QualifiedName("Machine", index)
    )
    nodes: dict[str, Any] = {}

    async def add(parent: Any, name: str, value: Any, kind: str) -> None:
        variant = ua.Variant(value, ua.VariantType[kind])
        nodes[name] = await parent.add_variable(
            ua.NodeId(name, index), ua.QualifiedName(name, index), variant
        )

    for name, (value, kind, _) in KINDS.items():
        await add(machine, name, value, kind)
    for name in ("Bad", "Uncertain", "Counter", "Timed", "Written"):
        await add(machine, name, 1.0, "Double")
    await nodes["Bad"].write_value(ua.DataValue(ua.Variant(2.0), ua.StatusCode(0x808C0000)))
    await nodes["Uncertain"].write_value(ua.DataValue(ua.Variant(3.0), ua.StatusCode(0x40930000)))
    folder = machine
    for number in range(count):
        if number % 50 == 0:  # adding to one large folder costs the square of its size
            name = f"Folder{number}"
            folder = await machine.add_folder(ua.NodeId(name, index), ua.QualifiedName(name, index))
        await add(folder, f"n{number}", float(number), "Double")
    if OTHER in uris:
        # The same identifier in another namespace, with another value: the trap of a reordered
        # namespace table.
        other = await server.get_namespace_index(OTHER)
        await server.nodes.objects.add_variable(
            ua.NodeId("Double", other), ua.QualifiedName("Double", other), -1.0
        )
    return nodes


async def new_server(user_manager: Any = None) -> Server:
    """An asyncua server with the standard nodes only. Building them once a process saves 2 s of CPU
    for each."""
    server = Server(iserver=LeanServer(user_manager, clock=True))
    await server.init()
    return server


@contextlib.asynccontextmanager
async def serving(
    port: int, uris: Sequence[str] = (URI,), count: int = 0, server: Server | None = None
) -> AsyncIterator[tuple[Server, dict[str, Any]]]:
    """The server, listening on 127.0.0.1, and its nodes."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
    if server is None:
        server = await new_server()
    server.set_endpoint(endpoint(port))
    nodes = await build(server, uris, count)
    async with server:
        yield server, nodes


def endpoint(port: int) -> str:
    """Where a server of ours is."""
    return f"opc.tcp://127.0.0.1:{port}/test"


class Running:
    """A server in a thread of its own, for the tests of a module to share."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.endpoint = endpoint(port)
        self.server: Server
        self.nodes: dict[str, Any]
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run something in the server's thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def write(self, name: str, value: Any) -> None:
        """Write a value (or a DataValue) to a node."""
        self.do(self.nodes[name].write_value(value))

    async def _serve(self, uris: Sequence[str], count: int, ready: threading.Event) -> None:
        async with serving(self.port, uris, count=count) as (self.server, self.nodes):
            ready.set()
            await self._stop.wait()
        # asyncua's server leaves the tasks of sessions behind whose clients did not say goodbye.
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    @classmethod
    @contextlib.contextmanager
    def start(cls, port: int, count: int = 0, uris: Sequence[str] = (URI,)) -> Iterator[Running]:
        """Yields when the server listens, ends its thread afterwards."""
        running, ready = cls(port), threading.Event()
        serve = running._serve(uris, count, ready)
        thread = threading.Thread(
            target=lambda: running._loop.run_until_complete(serve), name="opcua-server"
        )
        thread.start()
        try:
            assert ready.wait(60)
            yield running
        finally:
            running._loop.call_soon_threadsafe(running._stop.set)
            thread.join(30)
            running._loop.close()


async def main() -> None:
    """Serve until killed; `Counter` (and all n...) count up every `--tick` seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--uris", default=URI)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--tick", type=float, default=0.1)
    args = parser.parse_args()
    async with serving(args.port, args.uris.split(","), args.count) as (_, nodes):
        moving = [nodes["Counter"], *(node for name, node in nodes.items() if name.startswith("n"))]
        value = 0.0
        while True:
            value += 1.0
            for node in moving:
                await node.write_value(value)
            await asyncio.sleep(args.tick)  # the poll interval of this simulated machine


if __name__ == "__main__":
    asyncio.run(main())
