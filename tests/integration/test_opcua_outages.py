"""Servers that die, freeze, restart, answer late, or answer nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.opcua import PLUGIN
from connectors.opcua.raw_transport import STOCK_ONLY
from edge_agent.sdk import STATUS, Clock, DeviceError, Pollable
from tests.support import opcua_server
from tests.support.aio import run, until
from tests.support.opcua_devices import opened, plan, read, streaming, table, tag
from tests.support.opcua_proxy import Alter, proxy
from tests.support.opcua_server import OTHER, URI, Running, endpoint
from tests.support.servers import Server, free_port, serving

#: What STOCK_ONLY says for each.
CODECS = {"own codec": "", "asyncua codec": "1"}


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STOCK_ONLY, CODECS[request.param])


@pytest.fixture(scope="module")
def machine() -> Iterator[Running]:
    with Running.start(free_port(), count=10) as running:
        yield running


@contextlib.contextmanager
def program(folder: Path, port: int, uris: str = URI) -> Iterator[Server]:
    """The server as a process of its own, so that it can be killed and frozen."""
    script = Path(opcua_server.__file__)
    argv = [sys.executable, "-m", f"tests.support.{script.stem}", str(port), "--uris", uris]
    with serving(
        argv, port, folder / "server.log", {"PYTHONPATH": str(script.parents[2])}
    ) as server:
        yield server


def counter(every: float = 0.1) -> Any:
    return table([tag("Counter", node=f"nsu={URI};s=Counter")], every=every)


async def reopened(device: Any) -> Any:
    """Open again and again, as the polling loop does, until the server is back."""

    async def attempt() -> Any:
        with contextlib.suppress(DeviceError):
            async with streaming(device) as stream:
                await stream.has("Counter")
                return stream.of("Counter")

    return await until(attempt, 40)


def test_opcua_a_killed_server_is_noticed_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By both codecs, of one server."""
    port = free_port()
    device = plan(endpoint(port), counter(), timeout=2)

    async def case() -> None:
        async with contextlib.AsyncExitStack() as stack:
            with program(tmp_path, port) as server:
                streams = []
                for codec in CODECS.values():
                    monkeypatch.setenv(STOCK_ONLY, codec)
                    streams.append(await stack.enter_async_context(streaming(device)))
                    await streams[-1].has("Counter")
                server.process.kill()
                for stream in streams:
                    error = await stream.error()
                    assert (error.lost, error.status) == (True, STATUS["BadNoCommunication"])
            with pytest.raises(DeviceError) as refused:
                await read(plan(endpoint(port), counter(), mode="read"))
            assert (refused.value.lost, refused.value.status) == (
                True,
                STATUS["BadNoCommunication"],
            )
        with program(tmp_path, port):
            for codec in CODECS.values():
                monkeypatch.setenv(STOCK_ONLY, codec)
                assert await reopened(device)

    run(case())


@pytest.fixture(scope="module")
def freezable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, int]]:
    """A server that can be paused, and is resumed at the end of each test; its port."""
    port = free_port()
    with program(tmp_path_factory.mktemp("freezable"), port) as server:
        yield server, port


@pytest.mark.usefixtures("codec")
def test_opcua_a_frozen_server_is_noticed(freezable: tuple[Server, int]) -> None:
    server, port = freezable
    polled = plan(endpoint(port), counter(), timeout=0.5, mode="read")

    async def case() -> None:
        async with (
            streaming(plan(endpoint(port), counter(), timeout=0.5)) as stream,
            opened(polled) as connection,
        ):
            await stream.has("Counter")
            server.pause()
            error = await stream.error()
            assert (error.lost, error.status) == (True, STATUS["BadTimeout"])
            with pytest.raises(DeviceError) as silent:
                await connection.read(polled.tables[0])  # type: ignore[attr-defined]
            assert (silent.value.lost, silent.value.status) == (True, STATUS["BadTimeout"])
        with pytest.raises(DeviceError) as absent:
            await read(polled)
        assert (absent.value.lost, absent.value.status) == (True, STATUS["BadTimeout"])
        server.resume()
        assert await reopened(plan(endpoint(port), counter()))

    run(case())


def test_opcua_a_dead_line_is_noticed_although_keep_alives_are_rare(
    freezable: tuple[Server, int],
) -> None:
    server, port = freezable
    hourly = plan(endpoint(port), counter(), timeout=0.5, publishing_ms=3_600_000)

    async def case() -> None:
        async with streaming(hourly) as stream:
            assert stream.task is not None
            await asyncio.wait([stream.task], timeout=2)  # several probes are answered meanwhile
            assert not stream.task.done()
            server.pause()
            error = await stream.error()
            assert (error.lost, error.status) == (True, STATUS["BadTimeout"])
            server.resume()

    run(case())


def test_opcua_namespaces_in_another_order_after_a_restart() -> None:
    """By URI every tag is found. An index stays with the namespace that it had when the connection
    object first saw it: both namespaces have a variable of that name."""
    port = free_port()
    tags = [
        tag("ours", node=f"nsu={URI};s=Double"),
        tag("other", node=f"nsu={OTHER};s=Double"),
        tag("path", path=f"{{{URI}}}Machine/{{{URI}}}Double"),
    ]
    indexed = plan(
        endpoint(port),
        table([tag("first", node="ns=2;s=Double"), tag("later", node="ns=3;s=Double")]),
        mode="read",
    )
    connection = PLUGIN.connect([indexed], Clock())

    async def by_uri() -> None:
        assert (await read(plan(endpoint(port), table(tags), mode="read")))[0].values == [
            0.1,
            -1.0,
            0.1,
        ]
        async with streaming(plan(endpoint(port), table(tags))) as stream:
            await stream.has("ours", "other", "path")
            assert stream.last == {"ours": 0.1, "other": -1.0, "path": 0.1}

    async def by_index(expected: list[float | None]) -> None:
        await connection.open()
        assert isinstance(connection, Pollable)
        assert (await connection.read(indexed.tables[0])).values == expected
        await connection.close()

    both: list[float | None] = [0.1, -1.0]
    for uris, expected in (((URI, OTHER), both), ((OTHER, URI), both), ((URI,), [0.1, None])):
        with Running.start(port, uris=uris):
            run(by_index(expected))
            if OTHER in uris:
                run(by_uri())


@pytest.mark.usefixtures("codec")
def test_opcua_a_reset_connection_is_noticed_at_once(machine: Running) -> None:
    async def case() -> None:
        async with (
            proxy(machine.port) as between,
            streaming(plan(between.endpoint, counter(), timeout=30)) as stream,
        ):
            await stream.has("Counter")
            between.cut()
            assert (await stream.error()).lost

    run(case())


def test_opcua_a_slow_network_is_no_outage(machine: Running) -> None:
    async def case() -> None:
        async with proxy(machine.port) as between:
            between.delay = 0.15
            device = plan(between.endpoint, counter(), timeout=0.5)
            async with streaming(device) as stream:
                await stream.has("Counter")
                await until(lambda: len(stream.alive) >= 2)
                assert stream.task is not None
                assert not stream.task.done()

    run(case())


def _header(chunk: bytes, size: int) -> bytes:
    return chunk[:4] + struct.pack("<I", size) + chunk[8:]


HOSTILE: dict[str, Alter] = {
    "a size of 4 GB": lambda _, chunk: _header(chunk, 0xFFFFFFFF),
    "a size of 0": lambda _, chunk: _header(chunk, 0),
    "a size of 11": lambda _, chunk: _header(chunk, 11),
    "a chunk cut short": lambda _, chunk: chunk[: len(chunk) // 2],
    "an unknown message type": lambda _, chunk: b"XYZ" + chunk[3:],
    "an unknown chunk type": lambda _, chunk: chunk[:3] + b"Q" + chunk[4:],
    "another secure channel": lambda _, chunk: chunk[:8] + b"\xee" * 4 + chunk[12:],
    "another token": lambda _, chunk: chunk[:12] + b"\xee" * 4 + chunk[16:],
    "a sequence number out of order": lambda _, chunk: chunk[:16] + b"\xee" * 4 + chunk[20:],
    "an answer to no request": lambda _, chunk: chunk[:20] + b"\xee" * 4 + chunk[24:],
    "another service's answer": lambda _, chunk: chunk[:26] + b"\x01\x02" + chunk[28:],
    "noise in the place of a body": lambda _, chunk: chunk[:28] + b"\xa5" * (len(chunk) - 28),
    "an endless message": lambda _, chunk: chunk[:3] + b"C" + chunk[4:],
    "an aborted message": lambda _, chunk: chunk[:3] + b"A" + chunk[4:],
    "nothing": lambda _, chunk: b"",
}


@pytest.mark.usefixtures("codec")
@pytest.mark.parametrize("what", HOSTILE)
def test_opcua_hostile_answers_end_in_an_error_and_never_in_a_value(
    machine: Running, what: str
) -> None:
    async def case() -> None:
        async with proxy(machine.port) as between:
            device = plan(between.endpoint, counter(), timeout=0.5, mode="read")
            async with opened(device) as connection:
                between.alter = HOSTILE[what]
                with pytest.raises(DeviceError) as failed:
                    await connection.read(device.tables[0])  # type: ignore[attr-defined]
                assert failed.value.lost
            with pytest.raises(DeviceError) as at_connect:
                await read(device)
            assert at_connect.value.lost

    run(case())


@pytest.mark.usefixtures("codec")
@pytest.mark.parametrize(
    "what",
    ["a chunk cut short", "noise in the place of a body", "nothing", "another service's answer"],
)
def test_opcua_hostile_publish_responses_end_the_stream(machine: Running, what: str) -> None:
    async def case() -> None:
        async with (
            proxy(machine.port) as between,
            streaming(plan(between.endpoint, counter(), timeout=0.5)) as stream,
        ):
            await stream.has("Counter")
            before = len(stream.batches)
            between.alter = HOSTILE[what]
            assert (await stream.error()).lost
            assert len(stream.batches) == before

    run(case())


def test_opcua_a_port_that_speaks_another_protocol() -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 20)
        await writer.drain()
        await reader.read(1)
        writer.close()

    async def case() -> None:
        server = await asyncio.start_server(other, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DeviceError) as failed:
            await read(plan(endpoint(port), counter(), timeout=0.5, mode="read"))
        assert failed.value.lost
        server.close()
        await server.wait_closed()

    run(case())


def test_opcua_a_name_nobody_knows() -> None:
    with pytest.raises(DeviceError) as failed:
        run(read(plan("opc.tcp://no-such-host.invalid:4840", counter(), mode="read")))
    assert (failed.value.lost, failed.value.status) == (True, STATUS["BadNoCommunication"])
    assert "resolve" in failed.value.detail


def test_opcua_stopping_in_the_middle_of_connecting_leaves_nothing(machine: Running) -> None:
    async def case() -> None:
        async with proxy(machine.port) as between:
            between.delay = 0.05
            for steps in (1, 3, 6, 9):
                reached = asyncio.Event()
                between.alter = _until_chunk(steps, reached)
                task = asyncio.create_task(_stream_once(between.endpoint))
                await reached.wait()
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    run(case())


def _until_chunk(number: int, reached: asyncio.Event) -> Alter:
    def alter(seen: int, chunk: bytes) -> bytes:
        if seen >= number:
            reached.set()
        return chunk

    return alter


async def _stream_once(where: str) -> None:
    async with streaming(plan(where, counter())) as stream:
        assert stream.task is not None
        await stream.task
