"""`python -m simulators`: its one line of readiness, faults from stdin, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

SPEC: dict[str, Any] = {
    "seed": 1,
    "devices": [
        {
            "id": "meter-1",
            "protocol": "modbus",
            "transport": "tcp",
            "unit": 5,
            "tags": {
                "power": {
                    "object": "input",
                    "address": 52,
                    "type": "float32",
                    "unit": "W",
                    "kind": "float",
                }
            },
        }
    ],
}
READ = bytes.fromhex("000700000006050400340002")


@contextmanager
def simulators(
    tmp_path: Path, spec: dict[str, Any], **more: Any
) -> Iterator[subprocess.Popen[str]]:
    """A running simulator process; killed at the end when it is still there."""
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    argv = [sys.executable, "-W", "error", "-m", "simulators", str(path)]
    process = subprocess.Popen(
        argv,
        stderr=subprocess.PIPE,
        text=True,
        **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **more},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ready(process: subprocess.Popen[str]) -> tuple[str, int]:
    """Wait for the line of readiness; where meter-1 listens."""
    assert process.stdout is not None
    document = json.loads(process.stdout.readline())
    assert document["ready"] is True
    parts = urlsplit(document["endpoints"]["meter-1"])
    return str(parts.hostname), int(parts.port or 0)


def ask(address: tuple[str, int]) -> bytes:
    """One request; the answer, or nothing after half a second of silence."""
    with socket.create_connection(address, 2) as connection:
        connection.settimeout(0.5)
        connection.sendall(READ)
        try:
            return connection.recv(64)
        except TimeoutError:
            return b""


def test_it_serves_takes_faults_from_stdin_and_ends_when_stdin_closes(tmp_path: Path) -> None:
    with simulators(tmp_path, SPEC) as process:
        address = ready(process)
        assert ask(address)[:9].hex() == "000700000007050404"
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write('{"device": "meter-1", "kind": "slave_timeout"}\n')
        process.stdin.flush()
        end = time.monotonic() + 10
        while ask(address)[7:].hex() != "840b":
            assert time.monotonic() < end
            time.sleep(0.02)  # poll interval of this waiter
        process.stdin.write('{"device": "nobody", "kind": "timeout"}\nnonsense\n')
        process.stdin.flush()
        assert "must be the id of a device" in process.stderr.readline()
        assert "not valid JSON" in process.stderr.readline()
        process.stdin.close()
        process.stdin = None
        assert process.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly_and_free_the_port(tmp_path: Path, number: signal.Signals) -> None:
    spec = {**SPEC, "truth": str(tmp_path / "truth.jsonl")}
    with simulators(tmp_path, spec, stdin=subprocess.DEVNULL) as process:
        address = ready(process)
        assert ask(address)
        process.send_signal(number)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 1)
    rows = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert rows[-1]["event"] == "energy"


def test_wrong_use_is_a_sentence_and_status_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "simulators"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert "SPEC.json" in done.stderr
    with simulators(tmp_path, {"devices": [{"id": "a", "protocol": "s7", "tags": {}}]}) as process:
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (2, "")
        assert "cannot simulate s7" in err
        assert "Traceback" not in err


def test_a_port_in_use_is_a_sentence_and_status_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        device = {**SPEC["devices"][0], "port": taken.getsockname()[1]}
        with simulators(tmp_path, {"devices": [device]}) as process:
            _, err = process.communicate(timeout=20)
            assert process.returncode == 2
            assert "cannot listen" in err
            assert "Traceback" not in err


def test_who_started_it_ends_before_it_is_ready(tmp_path: Path) -> None:
    """A killed parent: nobody reads the line of readiness, and that is an end and no fault."""
    reader, writer = os.pipe()
    os.close(reader)
    with simulators(tmp_path, SPEC, stdout=writer) as process:
        os.close(writer)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
