"""What servers in the field do, as their users report it: forgotten sessions, program downloads,
few subscriptions.

Each test is named after what happens; docs/guarantees.md says who reported it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from connectors.opcua import session as sessions
from connectors.opcua.audit import Audit
from connectors.opcua.polled import PolledConnection
from connectors.opcua.raw_transport import STOCK_ONLY
from connectors.opcua.session import OpcuaSession
from connectors.opcua.stream import StreamingConnection
from edge_agent.sdk import STATUS, Batch
from tests.support import opcua_foreign
from tests.support.aio import run, until
from tests.support.opcua_devices import opened, plan, read, streaming, table, tag
from tests.support.opcua_server import URI, Running, endpoint
from tests.support.servers import Server, free_port

UNKNOWN = {STATUS["BadNodeIdUnknown"], STATUS["BadNodeIdInvalid"]}


@pytest.fixture(params=["own codec", "asyncua codec"], autouse=True)
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STOCK_ONLY, "1" if request.param == "asyncua codec" else "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all servers of the module: they make their keys once."""
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def node_opcua(folder: Path) -> Iterator[Server]:
    with opcua_foreign.node_opcua(folder) as server:
        yield server


@pytest.fixture(scope="module")
def small(folder: Path, node_opcua: Server) -> Iterator[Server]:
    """A server that grants one subscription and translates no paths."""
    with opcua_foreign.node_opcua(folder, MAX_SUBSCRIPTIONS="1", NO_TRANSLATION="1") as server:
        yield server


@pytest.fixture(scope="module")
def machine() -> Iterator[Running]:
    with Running.start(free_port()) as running:
        yield running


def node(name: str, **more: Any) -> Any:
    return tag(name, node=f"nsu={URI};s={name}", **more)


def path(name: str, *steps: str, **more: Any) -> Any:
    return tag(name, path=[f"{{{URI}}}{step}" for step in ("Machine", *steps)], **more)


def opens(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry for each session made from now on."""
    made: list[None] = []
    really = OpcuaSession.open

    async def counted(self: OpcuaSession) -> None:
        made.append(None)
        await really(self)

    monkeypatch.setattr(OpcuaSession, "open", counted)
    return made


# --- sessions -------------------------------------------------------------------------------------


def test_opcua_a_session_is_kept_within_the_life_that_the_server_granted(
    node_opcua: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SESSION_S", 0.6)
    made = opens(monkeypatch)

    async def case() -> None:
        device = plan(endpoint(node_opcua.port), table([node("Float")], every=10), mode="read")
        async with opened(device) as connection:
            assert isinstance(connection, PolledConnection)
            assert (await connection.read(device.tables[0])).values == [1.5]
            reads: list[object] = []
            service = connection._session.service
            really = service.read

            async def counted(parameters: Any) -> Any:
                reads.append(parameters)
                return await really(parameters)

            monkeypatch.setattr(service, "read", counted)
            await until(lambda: len(reads) >= 8)  # eight thirds of its life
            assert (await connection.read(device.tables[0])).values == [1.5]
        assert len(made) == 1

    run(case())


def test_opcua_a_poll_whose_session_was_forgotten_is_asked_again_at_once(
    node_opcua: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(sessions, "SESSION_S", 0.3)

    async def idle(self: OpcuaSession, client: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(OpcuaSession, "_keep_alive", idle)
    made = opens(monkeypatch)

    async def case() -> None:
        device = plan(endpoint(node_opcua.port), table([node("Float")], every=10), mode="read")
        async with opened(device) as connection:
            assert isinstance(connection, PolledConnection)

            async def again() -> bool:
                pause = asyncio.create_task(asyncio.Event().wait())
                await asyncio.wait([pause], timeout=1.5)  # longer than the session lives
                pause.cancel()
                assert (await connection.read(device.tables[0])).values == [1.5]
                return len(made) > 1

            await until(again)
        assert "opcua-poll-again" in caplog.text

    run(case())


def test_opcua_a_poll_whose_connection_was_closed_is_asked_again_at_once(
    machine: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = opens(monkeypatch)

    async def case() -> None:
        device = plan(machine.endpoint, table([node("Float")]), mode="read")
        async with opened(device) as connection:
            assert isinstance(connection, PolledConnection)
            protocol = connection._session.client.uaclient.protocol
            assert protocol is not None
            assert protocol.transport is not None
            protocol.transport.abort()
            assert (await connection.read(device.tables[0])).values == [1.5]
        assert len(made) == 2

    run(case())


def test_opcua_a_subscription_taken_away_with_a_good_code_is_bad_and_made_anew(
    node_opcua: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SESSION_S", 0.3)

    async def idle(self: OpcuaSession, client: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(OpcuaSession, "_keep_alive", idle)

    async def case() -> None:
        slow = plan(
            endpoint(node_opcua.port), table([node("Float")]), publishing_ms=10_000, timeout=8
        )
        async with streaming(slow) as stream:
            failure = await stream.error()
            assert failure.lost
            assert failure.status & 0x80000000
        assert all(value is not None or code & 0x80000000 for _, value, code, _ in stream.rows())

    run(case())


# --- nodes that go and come -----------------------------------------------------------------------


class Watched:
    """A device in either mode, and the last value and status of each of its tags."""

    def __init__(self, connection: Any, device: Any) -> None:
        self._connection = connection
        self._table = device.tables[0]
        self._batches: list[Batch] = []
        self._seen: dict[str, tuple[Any, int]] = {}
        self.task: asyncio.Task[None] | None = None
        if isinstance(connection, StreamingConnection):
            self.task = asyncio.create_task(connection.stream(self._batches.append, lambda _: None))

    async def look(self) -> dict[str, tuple[Any, int]]:
        if self.task is None:
            self._batches.append(await self._connection.read(self._table))
        else:
            assert not self.task.done()
        for batch in self._batches:
            columns = range(len(batch.table)) if batch.columns is None else batch.columns
            for at, column in enumerate(columns):
                self._seen[batch.table.names[column]] = (batch.values[at], batch.status.get(at, 0))
        self._batches.clear()
        return self._seen

    async def are(self, condition: Callable[[Any, int], bool], *names: str) -> bool:
        """Whether all of these tags have come and fulfil the condition."""
        seen = await self.look()
        return all(name in seen and condition(*seen[name]) for name in names)


@pytest.mark.parametrize("mode", ["subscribe", "read"])
def test_opcua_nodes_that_a_program_download_removes_are_good_again_without_a_restart(
    node_opcua: Server, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpcuaSession, "seek_first_s", 0.05)
    monkeypatch.setattr(OpcuaSession, "seek_s", 0.2)
    tags = [node("Loaded"), path("Moved", "Moved"), path("steady", "Int32")]

    async def case() -> None:
        device = plan(endpoint(node_opcua.port), table(tags), mode=mode)
        async with opened(device) as connection:
            watched = Watched(connection, device)
            await until(lambda: watched.are(lambda value, code: code == 0, "Loaded", "Moved"))
            before = (await watched.look())["Loaded"][0]
            node_opcua.process.send_signal(signal.SIGUSR2)
            await until(
                lambda: watched.are(
                    lambda value, code: code & 0xFFFF0000 in UNKNOWN, "Loaded", "Moved"
                )
            )
            node_opcua.process.send_signal(signal.SIGUSR2)
            await until(
                lambda: watched.are(
                    lambda value, code: value == before + 1 and code == 0, "Loaded", "Moved"
                )
            )
            assert (await watched.look())["steady"] == (-(2**31), 0)
            if watched.task is not None:
                watched.task.cancel()
                await asyncio.wait([watched.task])

    run(case())


def test_opcua_an_item_that_the_server_lost_cannot_keep_its_last_value_good(
    machine: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(OpcuaSession, "audit_s", 0.2)
    monkeypatch.setattr("connectors.opcua.audit._SLACK_S", 0.1)

    async def case() -> None:
        machine.write("Written", 1.0)
        async with streaming(
            plan(machine.endpoint, table([node("Written"), node("Double")]))
        ) as stream:
            await stream.has("Written", "Double")
            for subscription in machine.server.iserver.subscription_service.subscriptions.values():
                service = subscription.monitored_item_srv
                for item in list(service._monitored_items.values()):
                    # the server forgets them
                    service.delete_monitored_items([item.monitored_item_id])
            machine.write("Written", 2.0)
            await until(lambda: stream.last["Written"] == 2.0)
            machine.write("Written", 3.0)
            await until(lambda: stream.last["Written"] == 3.0)
            assert stream.of("Double")[0] == 0.1
        silent = [record for record in caplog.records if "opcua-item-silent" in record.message]
        assert len(silent) == 1, "logged once"

    run(case())


def test_opcua_a_value_that_changes_while_it_is_read_is_no_lost_item(
    node_opcua: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[None] = []
    really = Audit.look

    async def counted(self: Audit) -> None:
        await really(self)
        looks.append(None)

    monkeypatch.setattr(Audit, "look", counted)
    monkeypatch.setattr(OpcuaSession, "audit_s", 0.05)
    monkeypatch.setattr("connectors.opcua.audit._SLACK_S", 0.3)

    async def case() -> None:
        device = plan(
            endpoint(node_opcua.port), table([node("Counter"), node("Bad"), node("Uncertain")])
        )
        async with streaming(device) as stream:
            await stream.has("Counter", "Bad", "Uncertain")
            await until(lambda: len(looks) >= 3)
        assert "opcua-item-silent" not in caplog.text

    run(case())


# --- few subscriptions ----------------------------------------------------------------------------


def test_opcua_a_server_that_grants_one_subscription_gets_all_items_into_it(
    small: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async def case(port: int) -> None:
        slow = table([node("Float"), node("String", type="text")], every=5)
        middle = table([node("Int32")], every=1)
        fast = table([node("Counter"), node("Double")], every=0.1)
        for _ in range(2):  # a new session is not logged again
            async with streaming(plan(endpoint(port), slow, middle, fast)) as stream:
                await stream.has("Float", "String", "Int32", "Counter", "Double")
                expected = {
                    "Float": 1.5,
                    "String": "主轴 spindle",
                    "Int32": -(2**31),
                    "Double": 0.1,
                }
                assert expected.items() <= stream.last.items()
                await until(lambda: len(stream.of("Counter")) > 5)
                await until(lambda: stream.alive)

    run(case(small.port))
    shared = [
        record.getMessage()
        for record in caplog.records
        if "subscriptions-shared" in record.getMessage()
    ]
    assert len(shared) == 2, "once for each connection object"
    assert "granted=1 wanted=3" in shared[0]


# --- paths ----------------------------------------------------------------------------------------


def test_opcua_a_server_without_translation_of_paths_is_browsed(small: Server) -> None:
    tags = [path("a", "Float"), path("b", "Nothing"), node("Double")]

    async def case(port: int) -> None:
        (batch,) = await read(plan(endpoint(port), table(tags), mode="read"))
        assert batch.values == [1.5, None, 0.1]
        assert batch.status == {1: STATUS["BadNodeIdUnknown"]}

    run(case(small.port))


def test_opcua_a_path_that_ends_names_the_segment_and_what_stands_there(
    node_opcua: Server, caplog: pytest.LogCaptureFixture
) -> None:
    tags = [
        path("near", "Countr"),
        tag("far", path="Objects/Servr/ServerStatus"),
        tag("uri", path="{http://test.example/machin}Machine"),
    ]
    (batch,) = run(read(plan(endpoint(node_opcua.port), table(tags), mode="read")))
    said = {
        name: next(r.getMessage() for r in caplog.records if f"tag={name} " in r.getMessage())
        for name in ("near", "far", "uri")
    }
    assert ":Countr, is not there. What stands there: " in said["near"]
    assert said["near"].split("stands there: ")[1].split(", ")[0].endswith(":Counter")
    assert (
        "as far as Objects; the next segment, Servr, is not there. What stands there: Server"
        in said["far"]
    )
    assert (
        "no namespace http://test.example/machin; it has: http://test.example/machine"
        in said["uri"]
    )
    # The same is what people are shown for each tag: no log is needed for it.
    assert batch.causes is not None
    assert {at: why.name for at, why in batch.causes.items()} == {
        0: "opcua_path_ends", 1: "opcua_path_ends", 2: "opcua_namespace_unknown",
    }  # fmt: skip
    assert "Servr" in batch.causes[1].zh
    assert batch.causes[1].en in said["far"]


def test_opcua_a_subscribed_path_that_ends_has_its_cause_in_the_batch(node_opcua: Server) -> None:
    tags = [path("Counter", "Counter"), tag("far", path="Objects/Servr/ServerStatus")]

    async def case() -> None:
        async with streaming(plan(endpoint(node_opcua.port), table(tags))) as stream:
            await stream.has("Counter")
            await until(lambda: any(batch.causes for batch in stream.batches))
            (refused,) = [batch for batch in stream.batches if batch.causes]
            assert refused.columns == [1]
            assert refused.causes is not None
            assert refused.causes[0].name == "opcua_path_ends"

    run(case())


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["subscribe", "read"])
def test_opcua_structures_that_describe_values_are_text_or_one_field(
    node_opcua: Server, mode: str
) -> None:
    def own(name: str, prop: str, **more: Any) -> Any:
        return tag(name, path=f"{{{URI}}}Machine/{{{URI}}}Temperature/{prop}", **more)

    tags = [
        own("range", "EURange", type="text"),
        own("low", "EURange", field="low"),
        own("high", "EURange", field="High", type="float"),
        own("unit", "EngineeringUnits"),
        own("name", "EngineeringUnits", field="display_name"),
        own("number", "EngineeringUnits", field="unitId"),
        tag("arguments", path="Objects/Server/GetMonitoredItems/InputArguments"),
        tag(
            "names",
            path="Objects/Server/GetMonitoredItems/InputArguments",
            field="name",
            type="array",
        ),
        tag("build", path="Objects/Server/ServerStatus/BuildInfo", type="text"),
    ]

    async def case() -> None:
        device = plan(endpoint(node_opcua.port), table(tags), mode=mode)
        if mode == "read":
            (batch,) = await read(device)
            found = dict(zip(batch.table.names, batch.values, strict=True))
        else:
            async with streaming(device) as stream:
                await stream.has(*(each.name for each in tags))
                found = stream.last
        assert json.loads(found["range"]) == {"low": -5.0, "high": 120.5}
        assert (found["low"], found["high"], found["number"]) == (-5.0, 120.5, 4408652)
        assert json.loads(found["unit"])["unitId"] == 4408652
        assert found["name"] == "°C"
        assert json.loads(found["arguments"])[0]["name"] == "SubscriptionId"
        assert found["names"] == ["SubscriptionId"]
        assert found["build"] is None

    run(case())


def test_opcua_a_structure_that_is_not_read_is_named(
    machine: Running, caplog: pytest.LogCaptureFixture
) -> None:
    tags = [tag("build", path="Objects/Server/ServerStatus/BuildInfo", type="text")]
    (batch,) = run(read(plan(machine.endpoint, table(tags), mode="read")))
    assert batch.status == {0: STATUS["BadDecodingError"]}
    assert batch.causes is not None
    assert batch.causes[0].name == "opcua_structure"
    assert "BuildInfo" in batch.causes[0].zh
    line = next(r.getMessage() for r in caplog.records if "opcua-type-refused" in r.getMessage())
    assert batch.causes[0].en in line


def test_opcua_a_field_that_a_structure_does_not_have_is_told_with_those_it_has(
    node_opcua: Server,
) -> None:
    tags = [tag("low", path=f"{{{URI}}}Machine/{{{URI}}}Temperature/EURange", field="lowest")]
    (batch,) = run(read(plan(endpoint(node_opcua.port), table(tags), mode="read")))
    assert batch.causes is not None
    assert batch.causes[0].name == "opcua_field_unknown"
    assert "it has: low, high" in batch.causes[0].en


@pytest.mark.parametrize("mode", ["subscribe", "read"])
def test_opcua_a_tag_without_type_has_the_servers(machine: Running, mode: str) -> None:
    names = [
        "Boolean",
        "UInt16",
        "Int64",
        "Float",
        "String",
        "DateTime",
        "ByteString",
        "Guid",
        "LocalizedText",
        "Double[]",
    ]
    expected = [True, 60000, -(2**62), 1.5, "主轴 spindle", "2026-11-23T08:00:00.250000Z", "01ff"]
    expected += ["12345678-1234-5678-1234-567812345678", "运行", [1.5, -2.5]]

    async def case() -> None:
        device = plan(machine.endpoint, table([node(name) for name in names]), mode=mode)
        if mode == "read":
            (batch,) = await read(device)
            values = batch.values
        else:
            async with streaming(device) as stream:
                await stream.has(*names)
                values = [stream.last[name] for name in names]
        assert [(type(v), v) for v in values] == [(type(v), v) for v in expected]

    run(case())


def test_opcua_a_change_of_type_is_logged_and_not_hidden(
    machine: Running, caplog: pytest.LogCaptureFixture
) -> None:
    values = [ua.Variant(7, ua.VariantType.Int32), ua.Variant("seven"), ua.Variant(7.0)]
    shown = iter(values)
    space = machine.server.iserver.aspace

    def show(*_: object) -> ua.DataValue:
        return ua.DataValue(next(shown))

    async def case() -> None:
        device = plan(machine.endpoint, table([node("Timed")]), mode="read")
        async with opened(device) as connection:
            assert isinstance(connection, PolledConnection)
            space.set_attribute_value_callback(
                machine.nodes["Timed"].nodeid, ua.AttributeIds.Value, show
            )
            found = [(await connection.read(device.tables[0])).values[0] for _ in values]
        assert [(type(value), value) for value in found] == [(int, 7), (str, "seven"), (float, 7.0)]
        lines = [r.getMessage() for r in caplog.records if "opcua-type-changed" in r.getMessage()]
        assert [line.split("hint=")[1] for line in lines] == [
            "'was int, is text'",
            "'was text, is float'",
        ]

    run(case())


def test_opcua_an_optional_tag_that_is_not_there_is_not_logged(
    machine: Running, caplog: pytest.LogCaptureFixture
) -> None:
    from dataclasses import replace

    tags = [node("Float"), replace(tag("extra", path="2:Machine/2:Extra"), optional=True)]
    (batch,) = run(read(plan(machine.endpoint, table(tags), mode="read")))
    assert batch.status == {1: STATUS["BadNodeIdUnknown"]}
    assert "tag=extra" not in caplog.text
