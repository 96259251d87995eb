"""The control socket: who may ask, where it is, and what is said when the place is taken."""

from __future__ import annotations

import asyncio
import grp
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_agent.cli.main import main
from edge_agent.control import client, server
from edge_agent.errors import FindingsError
from tests.support.aio import run
from tests.support.sites import refused, write

OTHER_GROUP = "daemon"


def listening(path: Path, part: str = "serve", group: str | None = None) -> tuple[int, int]:
    """Mode and group of the socket while somebody listens there."""
    found: list[os.stat_result] = []

    async def main() -> None:
        async with server.serve_socket(path, {}, part=part, group=group):
            found.append(path.stat())

    run(main())
    return stat.S_IMODE(found[0].st_mode), found[0].st_gid


def why_not(path: Path, part: str) -> str:
    async def main() -> None:
        async with server.serve_socket(path, {}, part=part):
            raise AssertionError("it listens all the same")

    with pytest.raises(FindingsError) as caught:
        run(main())
    (finding,) = caught.value.findings
    return f"{finding.code} {finding.zh} {finding.en}"


def test_the_socket_is_its_users_alone_unless_a_group_is_named(tmp_path: Path) -> None:
    assert listening(tmp_path / "a.sock")[0] == 0o600
    own = grp.getgrgid(os.getegid()).gr_name
    assert listening(tmp_path / "a.sock", group=own) == (0o660, os.getegid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to any group")
def test_a_named_group_may_ask(tmp_path: Path) -> None:
    assert listening(tmp_path / "a.sock", group=OTHER_GROUP) == (
        0o660,
        grp.getgrnam(OTHER_GROUP).gr_gid,
    )


def test_a_group_that_is_gone_by_now_does_not_stop_the_data(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert listening(tmp_path / "a.sock", group="no-such-group")[0] == 0o600
    assert "socket-group-refused group=no-such-group" in caplog.text


@pytest.mark.parametrize("name", ["no-such-group", "with space", "x" * 65, ""])
def test_a_wrong_group_is_a_sentence_of_check(tmp_path: Path, name: str) -> None:
    head = f"agent: {{id: ipc-01, group: '{name}'}}\nmqtt: {{url: mqtt://127.0.0.1}}\n"
    (finding,) = refused(write(tmp_path, "", head=head))
    assert "agent.group" in finding.zh
    assert "agent.group" in finding.en


def test_the_socket_is_in_the_runtime_directory_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = tmp_path / "outbox" / "agent.sock"
    assert client.socket_path(tmp_path / "outbox" / "agent") == beside
    unit = tmp_path / "run" / "edge-agent" / "ml1"
    unit.mkdir(parents=True)
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{unit}:/run/elsewhere")
    path = client.socket_path(tmp_path / "outbox" / "agent")
    assert path.parent == unit
    assert path != client.socket_path(tmp_path / "other" / "agent"), "two agents in one directory"
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    monkeypatch.setattr(client, "RUNTIME_ROOTS", (str(tmp_path / "run"), ""))
    assert client.socket_path(tmp_path / "outbox" / "agent") == beside, "no such unit runs"

    async def scenario() -> None:
        async with server.serve_socket(path, {"hello": lambda: "from the unit"}, part="run"):
            found = client.socket_path(tmp_path / "outbox" / "agent")
            assert found == path, "a command outside of the unit finds it"
            assert await asyncio.to_thread(client.ask, found, "hello") == "from the unit"
            monkeypatch.setenv(
                "RUNTIME_DIRECTORY", str(tmp_path / "run" / "edge-agent-serve" / "ml1")
            )
            assert client.socket_path(tmp_path / "outbox" / "agent") == path, (
                "and so does one of another unit"
            )
            monkeypatch.delenv("RUNTIME_DIRECTORY")
        assert client.socket_path(tmp_path / "outbox" / "agent") == beside

    run(scenario())


class Stranger:
    """Another program's socket, in a process of its own; it says whatever it is told to."""

    CODE = """
import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(8); print("ready", flush=True)
while True:
    c, _ = s.accept(); c.recv(1000); c.sendall(sys.argv[2].encode()); c.close()
"""

    def __init__(self, path: Path, says: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.CODE, path, says], stdout=subprocess.PIPE
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=20)


@pytest.mark.parametrize(("part", "key"), [("run", "outbox.path"), ("serve", "store.path")])
@pytest.mark.parametrize("says", ["", "hello\n", '{"ok": {"x": 1}}\n', "[1]\n"])
def test_somebodys_socket_is_said_to_be_somebodys(
    tmp_path: Path, part: str, key: str, says: str
) -> None:
    stranger = Stranger(tmp_path / "a.sock", says)
    try:
        text = why_not(tmp_path / "a.sock", part)
    finally:
        stranger.stop()
    assert text.startswith("socket-of-another ")
    assert f"process {stranger.pid}" in text
    assert f"edge-agent {part}" in text
    assert key in text
    assert "is using this" not in text
    assert (tmp_path / "a.sock").exists(), "it is not ours to take away"
    assert listening(tmp_path / "a.sock")[0] == 0o600, "now that nobody listens it is"


def test_a_stranger_whose_command_names_us_is_still_one(tmp_path: Path) -> None:
    """An editor or a script in a folder of that name; a busy agent says nothing, and no nonsense."""
    folder = tmp_path / "edge-agent"
    folder.mkdir()
    stranger = Stranger(folder / "a.sock", "hello\n")
    try:
        text = why_not(folder / "a.sock", "run")
    finally:
        stranger.stop()
    assert text.startswith("socket-of-another ")


@pytest.mark.parametrize(
    ("part", "document", "said"),
    [
        ("run", {"ne107": {}, "agent": "ipc-01"}, ("already-running", "edge-agent run", "outbox")),
        ("serve", {"ne107": {}, "devices": []}, ("already-serving", "edge-agent serve", "store")),
    ],
)
def test_another_part_of_ours_is_named(
    tmp_path: Path, part: str, document: dict[str, object], said: tuple[str, ...]
) -> None:
    path, ready, stop = tmp_path / "a.sock", threading.Event(), threading.Event()

    async def other() -> None:
        async with server.serve_socket(path, {"status": lambda: document}, part=part):
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(other()))
    thread.start()
    try:
        assert ready.wait(20)
        text = why_not(path, part)
    finally:
        stop.set()
        thread.join(20)
    assert all(word in text for word in said)


@pytest.mark.parametrize("make", ["file", "folder", "link"])
def test_what_is_no_socket_is_not_taken_away(tmp_path: Path, make: str) -> None:
    path = tmp_path / "a.sock"
    if make == "file":
        path.write_text("somebody's notes")
    elif make == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    assert why_not(path, "run").startswith("socket-place-taken ")
    assert path.is_symlink() or path.exists()


def test_asking_a_stranger_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "devices: []\n")
    (tmp_path / "data" / "outbox").mkdir(parents=True)
    stranger = Stranger(tmp_path / "data" / "outbox" / "agent.sock", "HTTP/1.1 400 Bad Request\n")
    try:
        assert main(["status", str(path)]) == 1
        assert "What answers at this socket is no edge-agent" in capsys.readouterr().out
    finally:
        stranger.stop()


def test_a_socket_left_by_a_killed_process_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "a.sock"))
    assert listening(tmp_path / "a.sock")[0] == 0o600


def test_a_name_with_the_signs_of_a_pattern_is_found_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = tmp_path / "run" / "edge-agent-serve" / "ml1"
    unit.mkdir(parents=True)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(unit))
    path = client.socket_path(tmp_path / "store[1].duckdb")
    path.touch()
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    monkeypatch.setattr(client, "RUNTIME_ROOTS", (str(tmp_path / "run"),))
    assert client.socket_path(tmp_path / "store[1].duckdb") == path
