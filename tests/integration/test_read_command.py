"""`edge-agent read` over the wire: with an agent and without one, against devices that count who
connects."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edge_agent.app.serve import StoreService
from edge_agent.app.status.ask import serve_socket
from edge_agent.cli.main import main
from edge_agent.cli.read_view import show
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.control.client import running as listening
from edge_agent.stores import Rows, WriteBatch, open_store
from tests.support.agents import Plc, configuration, online, running
from tests.support.aio import run, until
from tests.support.modbus_foreign import running as child
from tests.support.modbus_wire import Device, honest, mbap, tcp_device
from tests.support.opcua_foreign import SERVERS
from tests.support.opcua_server import URI, endpoint
from tests.support.servers import free_port, wait_port

ESTABLISHED = 1

#: 8000.5 as float32 with its registers exchanged, an enumerated number, and a scaled one.
REGISTERS = {0: 0x0400, 1: 0x45FA, 2: 3, 3: 611, 4: 0b100}
TAGS = (
    "tags: {speed: {address: holding/0, type: float32, word_order: CDAB, unit: rpm},"
    " mode: {address: '40003', map: {3: Processing}}, load: {address: holding/3, scale: 0.1, "
    "unit: '%'},"
    " ready: {address: holding/4.2}}"
)
SPEED = {
    "agent": "ipc-01",
    "device": "plc-1",
    "tag": "speed",
    "value": 8000.5,
    "unit": "rpm",
    "quality": "Good",
    "raw": "0x0400 0x45FA",
    "address": "holding/0",
}


async def command(*arguments: object) -> tuple[int, str, str]:
    """Exit status, output and errors of `edge-agent ...`, beside the loop in which the devices of
    the test live."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        status = await asyncio.to_thread(main, [str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


def read_rows(document: str) -> dict[str, dict[str, Any]]:
    parsed = json.loads(document)
    assert list(parsed) == ["values"]
    return {f"{row['device']}/{row['tag']}": row for row in parsed["values"]}


def still_open(writer: asyncio.StreamWriter) -> bool:
    """Whether the peer has not closed: the kernel's word, whatever the test's server made of it."""
    sock = writer.get_extra_info("socket")
    return (
        sock.fileno() >= 0
        and sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED
    )


def is_speed(row: dict[str, Any]) -> bool:
    """All of the contract's keys, and no other."""
    assert set(row) == {*SPEED, "t", "age_s"}
    assert 0 <= row["age_s"] < 60
    assert "T" in row["t"]
    return {key: row[key] for key in SPEED} == SPEED


def test_without_an_agent_a_device_is_read_once_and_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Plc(**{f"r{at}": value for at, value in REGISTERS.items()}).on() as plc:
            path = configuration(
                tmp_path,
                free_port(),
                {"plc-1": f"url: '{plc.url}', every: 50ms, {TAGS}"},
                mqtt=", username: u, password: !env NO_SUCH_SECRET",
            )
            status, out, _ = await command("read", path, "--json", "--raw")
            assert status == 0
            rows = read_rows(out)
            assert list(rows) == ["plc-1/speed", "plc-1/mode", "plc-1/load", "plc-1/ready"]
            assert is_speed(rows["plc-1/speed"])
            assert (rows["plc-1/mode"]["value"], rows["plc-1/mode"]["address"]) == (3, "40003")
            assert (rows["plc-1/load"]["value"], rows["plc-1/load"]["raw"]) == (
                pytest.approx(61.1),
                "0x0263",
            )
            assert (rows["plc-1/ready"]["value"], rows["plc-1/ready"]["raw"]) == (True, "0x0004")
            assert len(plc.connections) == 1
            assert plc.polls == 1, "one poll of the only group"
            await until(lambda: not any(map(still_open, plc.connections)))
            status, out, _ = await command("read", path, "plc-*/mo*")
            assert status == 0
            assert "3 Processing" in out
            assert "speed" not in out

    run(scenario())


def test_a_device_is_read_without_the_secrets_of_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Plc(**{f"r{at}": value for at, value in REGISTERS.items()}).on() as plc:
            other = (
                "allow_insecure: true, user: {name: u, password: !env NO_SUCH_SECRET}, tags: {x: "
                "{node: i=2258}}"
            )
            path = configuration(tmp_path, free_port(), {"plc-1": f"url: '{plc.url}', {TAGS}"})
            with path.open("a") as file:
                file.write(
                    f"  - {{id: plc-2, connector: opcua, endpoint: 'opc.tcp://127.0.0.1:1', "
                    f"{other}}}\n"
                )
            assert (await command("read", path, "plc-1"))[0] == 0
            status, _, err = await command("read", path, "plc-2")
            assert status == 2
            assert "NO_SUCH_SECRET" in err

    run(scenario())


def test_a_running_agent_is_asked_and_the_device_sees_no_second_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Plc(**{f"r{at}": value for at, value in REGISTERS.items()}).on() as plc:
            path = configuration(
                tmp_path, free_port(), {"plc-1": f"url: '{plc.url}', every: 50ms, {TAGS}"}
            )
            async with running(path) as agent:
                await until(online(agent, "plc-1"))
                status, out, _ = await command(
                    "read", path, "ipc-01:plc-1/speed", "--json", "--raw"
                )
                assert status == 0
                assert is_speed(read_rows(out)["plc-1/speed"])
                plc.device.registers[1] = 0
                await until(lambda: _value(agent, "speed") != 8000.5)
                status, out, _ = await command("read", path, "plc-1/spede")
                assert status == 2
                plc.silent = True
                await until(lambda: agent.devices[0].health.state == "offline")
                status, out, err = await command("read", path, "--json")
                assert status == 1
                assert {row["value"] for row in json.loads(out)["values"]} == {None}
                assert {row["raw"] for row in json.loads(out)["values"]} == {None}
                assert "BadTimeout" in err
                assert "站号 1 在 0.5 秒内没有应答" in err
                status, out, err = await command("read", path)
                assert (status, err) == (1, "")
                assert "✗ BadTimeout" in out
                assert out.count("站号 1 在 0.5 秒内没有应答") == 1
                plc.silent = False
                await until(online(agent, "plc-1"))
            assert plc.connections
            assert sum(map(still_open, plc.connections)) <= 1

    run(scenario())


def _value(agent: Any, tag: str) -> Any:
    device = agent.devices[0]
    (table,) = [normaliser.table for normaliser in device.normalisers.values()]
    return list(device.current.of(table))[table.names.index(tag)].value


def test_units_of_one_gateway_share_its_only_connection_and_a_dead_one_hides_no_other(
    tmp_path: Path,
) -> None:
    """A gateway that takes one connection at a time; unit 2 never answers."""

    async def scenario() -> None:
        device, at_once, most = Device({0: 7}), set(), [0]

        async def script(writer: asyncio.StreamWriter, tid: int, unit: int, pdu: bytes) -> None:
            at_once.add(writer)
            most[0] = max(most[0], sum(map(still_open, at_once)))
            if unit == 2:
                writer.write(mbap(tid, unit, bytes([pdu[0] | 0x80, 0x0B])))
            elif unit != 3:
                await honest(writer, tid, unit, pdu, device)

        async with tcp_device(script) as url:
            devices = {
                f"meter-{unit}": f"url: '{url}', unit: {unit}, tags: {{volt: {{address: holding/0}}}}"
                for unit in (1, 2, 3, 4)
            }
            path = configuration(tmp_path, free_port(), devices)
            status, out, err = await command("read", path, "meter-*/volt*", "--json")
        rows = read_rows(out)
        assert status == 1
        assert [rows[f"meter-{unit}/volt"]["value"] for unit in (1, 2, 3, 4)] == [7, None, None, 7]
        assert rows["meter-2/volt"]["quality"] == "BadNoCommunication"
        assert rows["meter-3/volt"]["quality"] == "BadTimeout"
        assert "meter-2 [BadNoCommunication]" in err
        assert most[0] == 1

    run(scenario())


def test_a_device_that_is_not_there_says_so_in_both_languages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    path = configuration(tmp_path, free_port(), {"plc-1": f"url: '{url}', {TAGS}"})
    assert main(["read", str(path)]) == 1
    out = capsys.readouterr().out
    assert out.count("✗ BadNoCommunication") == 4
    assert out.count(f"{url} 拒绝连接") == 1
    assert out.count(f"{url} refuses the connection") == 1
    assert main(["read", str(path), "plc-2", "plc-1/sped"]) == 2
    err = capsys.readouterr().err
    assert "'plc-1'" in err
    assert "'speed'" in err


def test_a_command_in_a_reason_is_not_broken_over_lines() -> None:
    told = (
        "run: install -D -m 644 " + "/var/lib/edge-agent/ml1/pki/rejected/" + "c" * 64 + ".der " * 2
    )
    state = {
        "id": "plc-1",
        "state": "offline",
        "reason": "BadCertificateUntrusted",
        "zh": "",
        "en": told,
    }
    out = io.StringIO()
    terminal = Console(file=out, width=80, force_terminal=True)
    show(terminal, {"values": [], "devices": [state]}, raw=False)
    assert told in out.getvalue()


def test_text_of_a_device_cannot_steer_the_terminal(tmp_path: Path) -> None:
    async def scenario() -> None:
        device = Device({0: 0x1B5B, 1: 0x324A})  # ESC [ 2 J

        async def script(writer: asyncio.StreamWriter, tid: int, unit: int, pdu: bytes) -> None:
            await honest(writer, tid, unit, pdu, device)

        async with tcp_device(script) as url:
            tags = "tags: {name: {address: holding/0, type: string, length: 4}}"
            path = configuration(tmp_path, free_port(), {"plc-1": f"url: '{url}', {tags}"})
            status, out, _ = await command("read", path)
        assert status == 0
        assert "\x1b" not in out
        assert "\\x1b[2J" in out

    run(scenario())


def test_watch_appends_a_line_a_second_and_ends_without_a_trace(tmp_path: Path) -> None:
    """Without an agent, and through the one that is started meanwhile: then its own connection
    goes."""

    async def scenario() -> None:
        async with Plc(**{f"r{at}": value for at, value in REGISTERS.items()}).on() as plc:
            path = configuration(
                tmp_path, free_port(), {"plc-1": f"url: '{plc.url}', every: 50ms, {TAGS}"}
            )
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "edge_agent",
                "read",
                path,
                "--watch",
                "--json",
                stdout=subprocess.PIPE,
            )
            assert process.stdout is not None
            while (
                read_rows((await process.stdout.readline()).decode())["plc-1/speed"]["value"]
                != 8000.5
            ):
                pass
            (first_connection,) = plc.connections
            plc.device.registers[2] = 4
            while read_rows((await process.stdout.readline()).decode())["plc-1/mode"]["value"] != 4:
                pass
            assert len(plc.connections) == 1
            async with running(path) as agent:
                await until(online(agent, "plc-1"))
                plc.device.registers[2] = 5
                while (
                    read_rows((await process.stdout.readline()).decode())["plc-1/mode"]["value"]
                    != 5
                ):
                    pass
                await until(lambda: sum(map(still_open, plc.connections)) == 1)
                agents_own = [writer for writer in plc.connections if still_open(writer)]
                assert agents_own[0] is not first_connection
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
            await until(lambda: not any(map(still_open, plc.connections)))

    run(scenario())


def test_libmodbus_gives_the_registers_that_are_shown(
    libmodbus_server: Path, tmp_path: Path
) -> None:
    port = free_port()
    log = tmp_path / "log"
    log.touch()
    tags = (
        "tags: {wide: {address: holding/10, type: uint32}, c: {address: coil/3}, i: {address: "
        "input/1},"
        " list: {address: '40001', count: 3}}"
    )
    path = configuration(tmp_path, free_port(), {"plc-1": f"url: 'tcp://127.0.0.1:{port}', {tags}"})

    async def scenario() -> dict[str, dict[str, Any]]:
        status, out, _ = await command("read", path, "--json")
        assert status == 0
        return read_rows(out)

    with child([libmodbus_server, "tcp", str(port)], stdout=subprocess.PIPE) as process:
        wait_port(port, process, log)
        rows = run(scenario())
    raw = {name: row["raw"] for name, row in rows.items()}
    assert raw == {
        "plc-1/wide": "0x0047 0x004E",
        "plc-1/c": "1",
        "plc-1/i": "0xFFFE",
        "plc-1/list": "0x0001 0x0008 0x000F",
    }
    assert rows["plc-1/wide"]["value"] == 0x0047004E


@pytest.fixture(scope="module")
def node_opcua(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with SERVERS["node-opcua"](tmp_path_factory.mktemp("node")) as server:
        yield endpoint(server.port)


def opcua_site(folder: Path, url: str, mode: str, port: int) -> Path:
    path = folder / "site.yaml"
    path.write_text(
        f"agent: {{id: ipc-01, site: test}}\nmqtt: {{url: 'mqtt://127.0.0.1:{port}'}}\n"
        f"devices:\n  - {{id: cnc, connector: opcua, endpoint: '{url}', mode: {mode}, every: "
        f"200ms, tags: {{"
        f"f: {{node: 'nsu={URI};s=Float'}}, n: {{node: 'nsu={URI};s=Int16', type: int}},"
        f" s: {{path: '{{{URI}}}Machine/{{{URI}}}Float'}}, bad: {{node: "
        f"'nsu={URI};s=nowhere'}}}}}}\n",
        encoding="utf-8",
    )
    return path


def test_what_a_device_may_do_without_is_absent_and_a_wrong_path_says_where_it_ends(
    node_opcua: str, tmp_path: Path
) -> None:
    path = opcua_site(tmp_path, node_opcua, "subscribe", free_port())
    text = path.read_text(encoding="utf-8")
    extra = f"extra: {{node: 'nsu={URI};s=nowhere', optional: true}}"
    rules = "{tag: extra, equals: 1, gives: OutOfService}, {tag: f, above: 1, gives: Executing}"
    path.write_text(
        text.replace(f"bad: {{node: 'nsu={URI};s=nowhere'}}", extra).replace(
            "{id: cnc,", f"{{id: cnc, state: {{item: [{rules}]}},"
        ),
        encoding="utf-8",
    )
    ends = tmp_path / "ends.yaml"
    ends.write_text(
        text.replace(f"bad: {{node: 'nsu={URI};s=nowhere'}}", "far: {path: Objects/Servr}"), "utf-8"
    )

    async def scenario() -> None:
        status, out, err = await command("read", path, "--json")
        row = read_rows(out)["cnc/extra"]
        assert (status, err, row["absent"], row["value"], row["quality"]) == (
            0,
            "",
            True,
            None,
            "BadNodeIdUnknown",
        )
        state = read_rows(out)["cnc/machine_state"]
        assert (state["value"], state["quality"]) == (3, "Good"), (
            "a rule that asks of an absent tag does not fit"
        )
        assert all(
            "absent" not in other for name, other in read_rows(out).items() if name != "cnc/extra"
        )
        status, out, _ = await command("read", path)
        assert (status, "无 absent" in out, "BadNodeIdUnknown" in out) == (0, True, False)
        async with running(path) as agent:
            await until(
                lambda: agent.devices[0].health.tags.absent == 1 and _value(agent, "f") is not None
            )
            assert agent.devices[0].health.state == "online"
            assert _value(agent, "machine_state") == 3
            status, out, _ = await command("read", path)
            assert (status, "无 absent" in out) == (0, True)
            _, out, _ = await command("status", path)
            assert "设备没有的可选变量 1 个 / 1 optional tag absent" in out
            assert "optional tags absent: 1: cnc 1 (extra)" in out
        async with running(ends) as agent:
            await until(
                lambda: (
                    agent.devices[0].health.state == "degraded" and _value(agent, "f") is not None
                )
            )
            status, out, _ = await command("read", ends)
            assert status == 1
            assert (
                "cnc/far [BadNodeIdUnknown] path 走到 Objects 为止，下一段 Servr 不存在；那里有："
                "Server" in out
            )
            _, out, _ = await command("status", ends)
            assert "The path leads as far as Objects; the next segment, Servr, is not there." in out

    run(scenario())


@pytest.mark.parametrize(
    ("mode", "by"), [("read", "itself"), ("subscribe", "itself"), ("subscribe", "the agent")]
)
def test_node_opcua_gives_values_with_their_types(
    node_opcua: str, tmp_path: Path, mode: str, by: str
) -> None:
    path = opcua_site(tmp_path, node_opcua, mode, free_port())

    async def ask() -> tuple[int, dict[str, dict[str, Any]], str]:
        status, out, err = await command("read", path, "--json", "--raw")
        return status, read_rows(out), err

    async def scenario() -> tuple[int, dict[str, dict[str, Any]], str]:
        if by == "itself":
            return await ask()
        async with running(path) as agent:
            await until(
                lambda: (
                    agent.devices[0].health.state == "degraded" and _value(agent, "f") is not None
                )
            )
            return await ask()

    status, rows, err = run(scenario())
    assert status == 1
    assert "BadNodeIdUnknown" in err
    values = {
        name.partition("/")[2]: (row["value"], row["raw"], row["quality"])
        for name, row in rows.items()
    }
    assert values == {
        "f": (1.5, "Float 1.5", "Good"),
        "n": (-3000, "Int16 -3000", "Good"),
        "s": (1.5, "Float 1.5", "Good"),
        "bad": (None, values["bad"][1], "BadNodeIdUnknown"),
    }
    assert rows["cnc/f"]["address"] == f"nsu={URI};s=Float"


def test_redraws_in_place_on_a_terminal_and_gives_it_back(tmp_path: Path) -> None:
    """80x24: the alternate screen is entered, drawn at least twice, and left."""
    url = f"tcp://127.0.0.1:{free_port()}"
    tags = ", ".join(f"t{n}: {{address: holding/{n}}}" for n in range(60))
    path = configuration(tmp_path, free_port(), {"plc-1": f"url: '{url}', tags: {{{tags}}}"})
    leader, follower = os.openpty()
    os.set_blocking(leader, False)
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_agent", "read", str(path), "--watch"],
        stdin=follower, stdout=follower, stderr=follower, env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    seen = b""

    def more() -> bytes:
        nonlocal seen
        with contextlib.suppress(OSError):  # nothing there now, or the other end is gone
            seen += os.read(leader, 65536)
        return seen

    async def scenario() -> None:
        await until(lambda: more().count("Ctrl-C 结束".encode()) >= 2)
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.wait, 20) == 0

    try:
        run(scenario())
        more()
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    assert b"\x1b[?1049h" in seen
    assert seen.rstrip().endswith((b"\x1b[?25h", b"\x1b[?1049l"))
    assert "另有".encode() in seen


def test_a_device_with_a_twin_is_named_with_its_agent(tmp_path: Path) -> None:
    """The store service of this machine knows the site: another agent has a `plc-1` too."""

    async def scenario() -> None:
        async with Plc(**{f"r{at}": value for at, value in REGISTERS.items()}).on() as plc:
            devices = dict.fromkeys(("plc-1", "plc-2"), f"url: '{plc.url}', every: 50ms, {TAGS}")
            path = configuration(tmp_path, free_port(), devices)
            site = load(path)
            with contextlib.closing(open_store(site.store, "ipc-01")) as store:
                store.catalogue.born({"device": "plc-1", "agent": "ipc-02", "tags": {}})
                store.write(WriteBatch(Rows.empty(), 1))
            service, stop = StoreService(site, Clock()), asyncio.Event()
            task = asyncio.create_task(service.run(stop))
            try:
                await until(lambda: listening(serve_socket(site)))
                status, out, _ = await command(
                    "read", path, "ipc-01:plc-1/speed", "plc-2/speed", "--json"
                )
                assert status == 0
                rows = read_rows(out)
                assert list(rows) == ["ipc-01:plc-1/speed", "plc-2/speed"]
                assert {row["agent"] for row in rows.values()} == {"ipc-01"}
                _, out, _ = await command("read", path)
                assert "ipc-01:plc-1" in out.split()
                assert "plc-2" in out.split()
            finally:
                stop.set()
                await task
            _, out, _ = await command("read", path, "plc-1/speed", "--json")
            assert list(read_rows(out)) == ["plc-1/speed"], (
                "without the service nobody here knows of a twin"
            )

    run(scenario())
