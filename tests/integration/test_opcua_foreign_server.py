"""Servers of other implementations of the protocol than the client's: python `opcua` 0.98, and
node-opcua."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.opcua import asker, stock, stream
from connectors.opcua.raw_transport import STOCK_ONLY
from edge_agent.sdk import STATUS
from tests.support.aio import run, until
from tests.support.opcua_devices import plan, read, streaming, table, tag
from tests.support.opcua_foreign import SERVERS
from tests.support.opcua_server import KINDS, URI, endpoint
from tests.support.servers import Server

NAMES = [
    "Boolean",
    "SByte",
    "Byte",
    "Int16",
    "UInt16",
    "Int32",
    "UInt32",
    "Int64",
    "UInt64",
    "Float",
    "Double",
    "String",
    "ByteString",
    "LocalizedText",
    "Double[]",
]
TAGS = [
    *(
        tag(n, node=f"nsu={URI};s={n}", type=KINDS[n][1] + ("[]" if "[]" in n else ""))
        for n in NAMES
    ),
    tag("path", path=f"{{{URI}}}Machine/{{{URI}}}Float"),
    tag("Bad", node=f"nsu={URI};s=Bad"),
    tag("nowhere", node=f"nsu={URI};s=nowhere"),
]
EXPECTED = {n: KINDS[n][2] for n in NAMES} | {"path": 1.5, "Bad": None, "nowhere": None}
BAD = {"Bad": STATUS["BadSensorFailure"], "nowhere": STATUS["BadNodeIdUnknown"]}


@pytest.fixture(scope="module", params=["python-opcua", "node-opcua"])
def foreign(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture(params=["own codec", "asyncua codec"], autouse=True)
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either codec, and none but that one: the other's decoders are out of order."""

    def out_of_order(*_: Any) -> None:
        raise AssertionError(f"not by the {request.param}")

    own = request.param == "own codec"
    monkeypatch.setenv(STOCK_ONLY, "" if own else "1")
    others = (
        [(stock, "columns"), (stock, "published")]
        if own
        else [(asker, "read_response"), (stream, "publish_response")]
    )
    for module, name in others:
        monkeypatch.setattr(module, name, out_of_order)


def test_opcua_foreign_server_is_read(foreign: Server) -> None:
    (batch,) = run(read(plan(endpoint(foreign.port), table(TAGS), mode="read")))
    assert dict(zip(batch.table.names, batch.values, strict=True)) == EXPECTED
    assert {batch.table.names[at]: code for at, code in batch.status.items()} == BAD


def test_opcua_foreign_server_is_subscribed_to(foreign: Server) -> None:
    async def case() -> None:
        async with streaming(plan(endpoint(foreign.port), table(TAGS))) as got:
            await got.has(*EXPECTED)
            assert got.last == EXPECTED
            assert {name: code for name, code in got.status.items() if code} == BAD

    run(case())


def test_opcua_foreign_server_loses_no_change(foreign: Server) -> None:
    async def case() -> None:
        # Every change and not a sample: node-opcua samples at 50 ms at the fastest.
        fast = table([tag("Counter", node=f"nsu={URI};s=Counter")], every=0.2)
        async with streaming(plan(endpoint(foreign.port), fast, sampling_ms=0)) as got:
            await until(lambda: len(got.of("Counter")) > 30)
            values = got.of("Counter")[1:]
            assert values == [values[0] + i for i in range(len(values))]

    run(case())
