"""`scan` and `probe` at a port that is open and no Modbus: one plain sentence says what was seen.
And at a server of another implementation, modbus-serial of npm."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from connectors.modbus.strangers import stranger
from edge_agent.cli.main import main
from tests.support.aio import run
from tests.support.modbus_foreign import modbus_serial

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


@contextlib.asynccontextmanager
async def service(greeting: bytes, answer: bytes, ending: bool) -> AsyncIterator[int]:
    """A TCP service: what it says at once, what it says to the first bytes that come, and whether
    it hangs up then."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(greeting)
        with contextlib.suppress(ConnectionError):
            if answer and await reader.read(100):
                writer.write(answer)
            if not ending:
                await reader.read(-1)
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


def asked(port: int, *command: str, scheme: str = "tcp") -> tuple[int, str]:
    """The exit status and what was printed; `command` has `URL` where the address stands."""
    words = [word.replace("URL", f"{scheme}://127.0.0.1:{port}") for word in command]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = main([*words, "--timeout", "0.15"])
    return status, out.getvalue()


SCAN = ("scan", "modbus", "URL", "--units", "1", "--pause", "0")
PROBE = ("probe", "URL", "--from", "0", "--count", "2")
WEB = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
STRANGERS = {
    "http": (b"", WEB, True, "HTTP/1.1 400 Bad Request", "an HTTP server"),
    "http that stays": (b"", WEB, False, "HTTP/1.1 400 Bad Request", "HTTP 服务"),
    "ssh": (b"SSH-2.0-OpenSSH_9.6\r\n", b"", False, "SSH-2.0-OpenSSH_9.6", "an SSH server"),
    "tls": (b"", b"\x15\x03\x03\x00\x02\x02\x46", True, "15 03 03", "tls://"),
    "opc ua": (
        b"",
        b"ERRF\x10\x00\x00\x00\x00\x00\x7e\x80\x00\x00\x00\x00",
        True,
        "45 52 52 46",
        "opc.tcp://",
    ),
    "a short word": (b"", b"no\r\n", True, "“no”", "another service"),
    "a prompt": (b"login: ", b"", False, "“login:”", "另一种服务"),
    "telnet": (b"\xff\xfd\x18\xff\xfd\x20", b"", False, "ff fd 18", "a Telnet server"),
}


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("command", [SCAN, PROBE], ids=["scan", "probe"])
def test_another_service_is_said_to_be_one(name: str, command: tuple[str, ...]) -> None:
    greeting, answer, ending, shown, what = STRANGERS[name]

    async def scenario() -> tuple[int, str]:
        async with service(greeting, answer, ending) as port:
            return await asyncio.to_thread(asked, port, *command)

    status, out = run(scenario())
    assert status == 1
    assert "It answers, but not Modbus" in out
    assert shown in out
    assert what in out
    assert out.count("not Modbus") == 1, "once"


@pytest.mark.parametrize(
    ("ending", "says"),
    [(False, "accepts the connection and says nothing"), (True, "closes it without an answer")],
)
@pytest.mark.parametrize("command", [SCAN, PROBE], ids=["scan", "probe"])
def test_who_says_nothing_is_said_to_say_nothing(
    ending: bool, says: str, command: tuple[str, ...]
) -> None:
    async def scenario() -> tuple[int, str]:
        async with service(b"", b"", ending) as port:
            return await asyncio.to_thread(asked, port, *command)

    status, out = run(scenario())
    assert status == 1
    assert says in out
    assert "not Modbus" not in out


@contextlib.contextmanager
def web_server() -> Iterator[int]:
    """The server of Python's library, which answers when a line has come."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[attr-defined, method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_service_that_waits_for_the_end_of_a_line_is_known_as_well() -> None:
    with web_server() as port:
        for command in (SCAN, PROBE):
            status, out = asked(port, *command)
            assert status == 1
            assert "an HTTP server" in out


def test_another_service_is_known_by_its_first_bytes_behind_rtu_over_tcp_too() -> None:
    async def scenario() -> tuple[int, str]:
        async with service(b"", WEB, False) as port:
            return await asyncio.to_thread(asked, port, *PROBE, scheme="rtu-tcp")

    status, out = run(scenario())
    assert status == 1
    assert "an HTTP server" in out


@pytest.mark.parametrize(
    "data", [b"", b"\x00\x01\x00\x00\x00\x05\x01\x03\x02\x00\x07", b"\x01\x03\x02\x00\x07\x9a\x9b"]
)
def test_frames_are_no_other_service(data: bytes) -> None:
    assert stranger(data) is None


def test_a_server_of_another_implementation_is_scanned_and_probed(tmp_path: Path) -> None:
    with modbus_serial(tmp_path) as server:
        status, out = asked(server.port, *SCAN, "--no-profiles")
        assert status == 0
        assert f"tcp://127.0.0.1:{server.port} unit 1" in out
        status, out = asked(
            server.port,
            "probe",
            "URL",
            "--area",
            "input",
            "--from",
            "0",
            "--count",
            "2",
            "--expect",
            "1001",
        )
        assert status == 0
        assert "input/1" in out
        status, out = asked(
            server.port, "probe", "URL", "--unit", "7", "--from", "0", "--count", "2"
        )
        assert status == 1
