"""Every kind of value, over the wire, in both modes and with both codecs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_session import InternalSession

from connectors.opcua.raw_transport import STOCK_ONLY
from connectors.opcua.session import OpcuaSession
from edge_agent.sdk import STATUS, Batch, Pollable, Streaming
from tests.support.aio import run, until
from tests.support.opcua_devices import opened, plan, read, streaming, table, tag
from tests.support.opcua_server import KINDS, MOMENT, URI, Running
from tests.support.servers import free_port


@pytest.fixture(scope="module")
def machine() -> Iterator[Running]:
    with Running.start(free_port(), count=3000) as running:
        yield running


@pytest.fixture(params=["own codec", "asyncua codec"], autouse=True)
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STOCK_ONLY, "1" if request.param == "asyncua codec" else "")


def node(name: str, **more: Any) -> Any:
    return tag(name, node=f"nsu={URI};s={name}", **more)


def every_kind() -> list[Any]:
    return [
        node(name, type=kind if "[]" not in name else f"{kind}[]")
        for name, (_, kind, _) in KINDS.items()
    ]


EXPECTED = {name: expected for name, (_, _, expected) in KINDS.items()}


def by_name(batch: Batch) -> dict[str, Any]:
    assert batch.columns is None
    return dict(zip(batch.table.names, batch.values, strict=True))


def test_opcua_read_brings_every_kind_of_value(machine: Running) -> None:
    async def case() -> None:
        (batch,) = await read(plan(machine.endpoint, table(every_kind()), mode="read"))
        assert by_name(batch) == EXPECTED
        assert [type(v) for v in batch.values] == [type(v) for v in EXPECTED.values()]
        assert batch.status == {}
        assert batch.source is not None
        assert all(batch.source)

    run(case())


def test_opcua_subscription_brings_every_kind_of_value(machine: Running) -> None:
    async def case() -> None:
        async with streaming(plan(machine.endpoint, table(every_kind()))) as stream:
            await stream.has(*EXPECTED)
            assert stream.last == EXPECTED
            await until(lambda: stream.alive, what="a sign of life")

    run(case())


def test_opcua_status_and_source_time_are_kept(machine: Running) -> None:
    moment = int(MOMENT.timestamp() * 1000) * 1_000_000

    async def case() -> None:
        machine.write("Timed", ua.DataValue(ua.Variant(5.5), SourceTimestamp=MOMENT))
        tags = [node("Bad"), node("Uncertain"), node("Timed")]
        (batch,) = await read(plan(machine.endpoint, table(tags), mode="read"))
        assert by_name(batch) == {"Bad": None, "Uncertain": 3.0, "Timed": 5.5}
        assert batch.status == {
            0: STATUS["BadSensorFailure"],
            1: STATUS["UncertainSensorNotAccurate"],
        }
        assert batch.source is not None
        assert batch.source[2] == moment
        async with streaming(plan(machine.endpoint, table(tags))) as stream:
            await stream.has("Bad", "Uncertain", "Timed")
            assert stream.last == {"Bad": None, "Uncertain": 3.0, "Timed": 5.5}
            assert stream.status == {"Bad": 0x808C0000, "Uncertain": 0x40930000, "Timed": 0}

    run(case())


@pytest.mark.parametrize("mode", ["read", "subscribe"])
def test_opcua_one_bad_node_leaves_the_others_alone(machine: Running, mode: str) -> None:
    async def case() -> None:
        tags = [
            tag("nowhere", node="ns=2;s=nowhere"),
            node("Double"),
            tag("no_uri", node="nsu=http://no.where/;s=Double"),
            tag("no_path", path="2:Machine/2:Nothing"),
            node("Float"),
            node("String", type="float"),
            tag("again", node=f"nsu={URI};s=Double"),
        ]
        expected = {
            "nowhere": None,
            "Double": 0.1,
            "no_uri": None,
            "no_path": None,
            "Float": 1.5,
            "String": None,
            "again": 0.1,
        }
        unknown, mismatch = STATUS["BadNodeIdUnknown"], STATUS["BadTypeMismatch"]
        status = dict.fromkeys(("nowhere", "no_uri", "no_path"), unknown) | {"String": mismatch}
        await _expect(plan(machine.endpoint, table(tags), mode=mode), expected, status)

    run(case())


async def _expect(device: Any, expected: dict[str, Any], status: dict[str, int]) -> None:
    if device.options.mode == "read":
        (batch,) = await read(device)
        assert by_name(batch) == expected
        assert {batch.table.names[at]: code for at, code in batch.status.items()} == status
        return
    async with streaming(device) as stream:
        await stream.has(*expected)
        assert stream.last == expected
        assert {name: code for name, code in stream.status.items() if code} == status


@pytest.mark.parametrize(
    "path",
    [
        "Objects/2:Machine/2:Double", "2:Machine/2:Double", f"{{{URI}}}Machine/{{{URI}}}Double",
        f"/Root/Objects/{{{URI}}}Machine/2:Double", ["Objects", "2:Machine", "2:Double"],
    ],
)  # fmt: skip
def test_opcua_browse_paths(machine: Running, path: str | list[str]) -> None:
    async def case() -> None:
        (batch,) = await read(plan(machine.endpoint, table([tag("x", path=path)]), mode="read"))
        assert batch.values == [0.1]

    run(case())


LIMITS = ("MaxNodesPerRead", "MaxMonitoredItemsPerCall", "MaxNodesPerTranslateBrowsePathsToNodeIds")


@contextlib.contextmanager
def strict(machine: Running, limit: int, stated: int) -> Iterator[dict[str, int]]:
    """The server refuses calls of more than `limit` nodes and announces `stated`; counts its
    calls."""
    calls: dict[str, int] = {}

    def limited(name: str, size: Any) -> Any:
        original = getattr(InternalSession, name)
        calls[name] = 0

        async def call(self: InternalSession, params: Any) -> Any:
            if self.external:
                calls[name] += 1
                if size(params) > limit:
                    raise ServiceError(ua.StatusCodes.BadTooManyOperations)
            return await original(self, params)

        return call

    def state(number: int) -> None:
        for name in LIMITS:
            identifier = getattr(ua.ObjectIds, f"Server_ServerCapabilities_OperationLimits_{name}")
            node = machine.server.get_node(ua.NodeId(identifier))
            machine.do(node.write_value(ua.Variant(number, ua.VariantType.UInt32)))

    with pytest.MonkeyPatch.context() as patch:
        state(stated)
        patch.setattr(InternalSession, "read", limited("read", lambda p: len(p.NodesToRead)))
        items = limited("create_monitored_items", lambda p: len(p.ItemsToCreate))
        patch.setattr(InternalSession, "create_monitored_items", items)
        paths = limited("translate_browsepaths_to_nodeids", len)
        patch.setattr(InternalSession, "translate_browsepaths_to_nodeids", paths)
        yield calls
    state(10_000)


@pytest.mark.parametrize(
    ("stated", "most"), [(7, 7 + 4), (0, 20)], ids=["limit stated", "limit concealed"]
)
def test_opcua_server_limits_are_respected(machine: Running, stated: int, most: int) -> None:
    tags = [
        tag(f"n{i}", path=f"2:Machine/2:Folder0/2:n{i}") if i % 2 and stated else node(f"n{i}")
        for i in range(40)
    ]
    expected = {f"n{i}": float(i) for i in range(40)}

    async def case() -> None:
        with strict(machine, 7, stated) as calls:
            (batch,) = await read(plan(machine.endpoint, table(tags), mode="read"))
            assert by_name(batch) == expected
            assert calls["read"] <= most
            async with streaming(plan(machine.endpoint, table(tags))) as stream:
                await stream.has(*expected)
                assert stream.last == expected
                assert calls["create_monitored_items"] <= most

    run(case())


def test_opcua_three_thousand_values_lie_under_their_own_tags(machine: Running) -> None:
    expected = {f"n{i}": float(i) for i in range(3000)}
    order = [f"n{(i * 1777) % 3000}" for i in range(3000)]

    async def case() -> None:
        with strict(machine, 500, 500):
            (batch,) = await read(
                plan(machine.endpoint, table([node(name) for name in order]), mode="read")
            )
            assert by_name(batch) == expected
            async with streaming(
                plan(machine.endpoint, table([node(name) for name in order], every=0.2))
            ) as stream:
                await stream.has(*expected)
                assert stream.last == expected

    run(case(), timeout=100)


def test_opcua_queued_values_become_successive_batches(machine: Running) -> None:
    async def case() -> None:
        device = plan(
            machine.endpoint,
            table([node("Counter"), node("Double")]),
            publishing_ms=300,
            sampling_ms=0,
        )
        machine.write("Counter", 1.0)
        async with streaming(device) as stream:
            await stream.has("Counter", "Double")
            for value in range(20, 28):
                machine.write("Counter", float(value))
            await until(lambda: stream.of("Counter")[-1] == 27.0)
            assert stream.of("Counter") == [1.0, *map(float, range(20, 28))]
            times = [t for name, _, _, t in stream.rows() if name == "Counter"]
            assert times == sorted(set(times))

    run(case())


def test_opcua_devices_of_one_endpoint_share_a_session_and_keep_their_values(
    machine: Running,
) -> None:
    async def case() -> None:
        one = plan(
            machine.endpoint, table([node("Float")], "one"), table([node("Counter")], "one", 0.1)
        )
        two = plan(machine.endpoint, table([node("Written")], "two"))
        async with streaming(one, two) as stream:
            await stream.has("Float", "Counter", "Written")
            await until(lambda: {"one", "two"} <= set(stream.alive))
            machine.write("Written", 9.0)
            await until(lambda: stream.last["Written"] == 9.0)
            assert {b.table.device for b in stream.batches if "Written" in b.table.names} == {"two"}

    run(case())


def test_opcua_a_quiet_subscription_says_that_it_is_alive(machine: Running) -> None:
    async def case() -> None:
        async with streaming(plan(machine.endpoint, table([node("Double")]))) as stream:
            await until(
                lambda: len(stream.alive) > 2, what="keep-alives of a subscription without changes"
            )
            assert len(stream.batches) == 1

    run(case())


def test_opcua_the_connection_is_used_again_after_close(machine: Running) -> None:
    async def case() -> None:
        device = plan(machine.endpoint, table([node("Double")]), mode="read")
        async with opened(device) as connection:
            await connection.close()
            await connection.close()
            await connection.open()
            batch = await connection.read(device.tables[0])  # type: ignore[attr-defined]
            assert batch.values == [0.1]

    run(case())


def test_opcua_an_error_of_the_sink_is_not_taken_for_one_of_the_server(machine: Running) -> None:
    def full(_: Batch) -> None:
        raise OSError("no space left")

    async def case() -> None:
        async with opened(plan(machine.endpoint, table([node("Double")]))) as connection:
            assert isinstance(connection, Streaming)
            with pytest.raises(OSError, match="no space left"):
                await connection.stream(full, lambda _: None)

    run(case())


@pytest.mark.parametrize("mode", ["read", "subscribe"])
def test_opcua_tags_that_appear_later_are_found(
    machine: Running,
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
    codec: None,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr(OpcuaSession, "seek_s", 0.05)
    name = f"late-{abs(hash(request.node.name))}"
    tags = [
        node("Double"),
        tag("by_node", node=f"nsu={URI};s={name}"),
        tag("by_path", path=f"2:Machine/2:{name}"),
    ]

    async def add() -> None:
        index = await machine.server.get_namespace_index(URI)
        parent = machine.server.get_node(ua.NodeId("Machine", index))
        await parent.add_variable(ua.NodeId(name, index), ua.QualifiedName(name, index), 7.5)

    async def polled(device: Any) -> None:
        async with opened(device) as connection:
            assert isinstance(connection, Pollable)
            assert (await connection.read(device.tables[0])).values == [0.1, None, None]
            machine.do(add())

            async def complete() -> bool:
                batch = await connection.read(device.tables[0])
                assert batch.values[0] == 0.1
                return batch.values == [0.1, 7.5, 7.5]

            await until(complete)

    async def streamed(device: Any) -> None:
        async with streaming(device) as stream:
            await stream.has("Double", "by_node", "by_path")
            assert set(stream.status.values()) == {0, STATUS["BadNodeIdUnknown"]}
            machine.do(add())
            await until(lambda: stream.last == {"Double": 0.1, "by_node": 7.5, "by_path": 7.5})
            assert set(stream.status.values()) == {0}

    run((polled if mode == "read" else streamed)(plan(machine.endpoint, table(tags), mode=mode)))
