"""The python `opcua` 0.98 server: another implementation of the protocol than the client's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.opcua.wire import STOCK_ONLY
from edge_agent.sdk import STATUS
from tests.support import opcua_python_server
from tests.support.aio import run, until
from tests.support.opcua_devices import plan, read, streaming, table, tag
from tests.support.opcua_server import KINDS, URI, endpoint
from tests.support.servers import Server, free_port, serving

NAMES = [
    "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double", "String",
    "ByteString", "LocalizedText", "Double[]",
]  # fmt: skip
TAGS = [
    *(tag(n, node=f"nsu={URI};s={n}", type=KINDS[n][1] + ("[]" if "[]" in n else "")) for n in NAMES),
    tag("path", path=f"{{{URI}}}Machine/{{{URI}}}Float"),
    tag("Bad", node=f"nsu={URI};s=Bad"),
    tag("nowhere", node=f"nsu={URI};s=nowhere"),
]
EXPECTED = {n: KINDS[n][2] for n in NAMES} | {"path": 1.5, "Bad": None, "nowhere": None}
BAD = {"Bad": STATUS["BadSensorFailure"], "nowhere": STATUS["BadNodeIdUnknown"]}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = free_port()
    script = Path(opcua_python_server.__file__)
    argv = [sys.executable, "-W", "ignore", script, str(port)]
    with serving(argv, port, tmp_path_factory.mktemp("foreign") / "server.log") as server:
        yield server


@pytest.fixture(params=["own codec", "asyncua codec"], autouse=True)
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STOCK_ONLY, "1" if request.param == "asyncua codec" else "")


def test_opcua_foreign_server_is_read(foreign: Server) -> None:
    (batch,) = run(read(plan(endpoint(foreign.port), table(TAGS), mode="read")))
    assert dict(zip(batch.table.names, batch.values, strict=True)) == EXPECTED
    assert {batch.table.names[at]: code for at, code in batch.status.items()} == BAD


def test_opcua_foreign_server_is_subscribed_to(foreign: Server) -> None:
    async def case() -> None:
        async with streaming(plan(endpoint(foreign.port), table(TAGS))) as stream:
            await stream.has(*EXPECTED)
            assert stream.last == EXPECTED
            assert {name: code for name, code in stream.status.items() if code} == BAD

    run(case())


def test_opcua_foreign_server_loses_no_change(foreign: Server) -> None:
    async def case() -> None:
        fast = table([tag("Counter", node=f"nsu={URI};s=Counter")], every=0.2)
        async with streaming(plan(endpoint(foreign.port), fast, sampling_ms=10)) as stream:
            await until(lambda: len(stream.of("Counter")) > 30)
            values = stream.of("Counter")[1:]
            assert values == [values[0] + i for i in range(len(values))]

    run(case())
