"""The ingest at a broker that refuses it or sends too much; the quarantine from the command
line."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.publish as publish
import pytest

from edge_agent.cli import main
from edge_agent.clock import Clock
from edge_agent.config.models import Mqtt
from edge_agent.control import client, server, store_questions
from edge_agent.ingest import service as service_module
from edge_agent.ingest.quarantine import MessageQuarantine
from edge_agent.ingest.service import Ingest
from edge_agent.mqtt import backoff
from edge_agent.stores import Store
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.topics import Topics
from tests.support import servers
from tests.support.aio import run, until

TOPIC = "edge/enterprise/site/area/line/m1/data"


def data(seq: int, **values: Any) -> bytes:
    return orjson.dumps(
        {"v": 1, "device": "m1", "stream": "a/0/1", "seq": seq, "t": seq, "values": values}
    )


@contextlib.asynccontextmanager
async def ingesting(store: Store, folder: Path, **mqtt: Any) -> AsyncIterator[Ingest]:
    topics, quarantine = (
        Topics("edge", "enterprise", "site"),
        MessageQuarantine(folder / "quarantine"),
    )
    ingest = Ingest(
        Mqtt.model_validate(mqtt), store, topics, quarantine, client_id="i", clock=Clock()
    )
    task = asyncio.create_task(ingest.run())
    try:
        yield ingest
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_a_wrong_password_is_named_and_tried_again(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "LONGEST_S", 0.05)

    async def check() -> None:
        with servers.mosquitto(tmp_path / "b", extra="allow_anonymous false") as server:
            url = f"mqtt://127.0.0.1:{server.port}"
            with closing(DuckDbStore(tmp_path / "s.duckdb", agent="a")) as store:
                async with ingesting(
                    store, tmp_path, url=url, version=version, username="u", password="no"
                ) as ingest:
                    await until(lambda: "Not authorized" in ingest.problem, what=ingest.problem)
                    await until(lambda: ingest._connection > 2, what="tries again")
                    assert not ingest.connected

    run(check())


@pytest.mark.parametrize("keys", [{}, {"ca": "/nowhere/ca.pem"}])
def test_a_broker_without_tls_or_a_missing_certificate_does_not_end_the_ingest(
    keys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "LONGEST_S", 0.05)

    async def check() -> None:
        with (
            servers.mosquitto(tmp_path / "b") as server,
            closing(DuckDbStore(tmp_path / "s.duckdb", agent="a")) as store,
        ):
            async with ingesting(
                store, tmp_path, url=f"mqtts://127.0.0.1:{server.port}", **keys
            ) as ingest:
                await until(lambda: ingest._connection > 2)
                assert ingest.problem
                assert not ingest.connected

    run(check())


def test_tls_checks_the_broker_and_a_bug_of_ours_costs_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def certificate(name: str) -> tuple[Path, Path]:
        cert, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        argv = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            cert,
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ]
        subprocess.run(argv, check=True, capture_output=True)
        return cert, key

    def fail_once(*arguments: Any) -> Any:
        monkeypatch.undo()
        raise RuntimeError("a bug")

    async def check() -> None:
        (cert, key), (other, _) = certificate("broker"), certificate("other")
        tls = f"certfile {cert}\nkeyfile {key}"
        with (
            servers.mosquitto(tmp_path / "b", extra=tls) as server,
            closing(DuckDbStore(tmp_path / "s.duckdb", agent="a")) as store,
        ):
            url = f"mqtts://127.0.0.1:{server.port}"
            async with ingesting(store, tmp_path, url=url, ca=other) as ingest:
                await until(
                    lambda: "certificate is not trusted" in ingest.problem, what=ingest.problem
                )
            async with ingesting(store, tmp_path, url=url, ca=cert) as ingest:
                await until(lambda: ingest.connected, what=ingest.problem)
                monkeypatch.setattr("edge_agent.ingest.messages.read", fail_once)
                messages: list[Any] = [(TOPIC, data(seq, x=seq), 1, False) for seq in range(3)]
                send = functools.partial(
                    publish.multiple,
                    messages,
                    "127.0.0.1",
                    server.port,
                    tls={"ca_certs": str(cert)},
                )
                await asyncio.to_thread(send)
                await until(lambda: ingest.counters.stored == 2 and ingest.counters.malformed == 1)
            assert [e.reason for e in MessageQuarantine(tmp_path / "quarantine").entries()] == [
                "internal error: RuntimeError"
            ]

    run(check())


def test_reading_stops_while_too_much_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_HELD_MESSAGES", 30)

    class Slow(DuckDbStore):
        held = 0

        def write(self, batch: Any) -> None:
            self.held = max(self.held, len(batch.marks))
            super().write(batch)

    async def check() -> None:
        with (
            servers.mosquitto(tmp_path / "b") as server,
            closing(Slow(tmp_path / "s.duckdb", agent="a")) as store,
        ):
            async with ingesting(store, tmp_path, url=f"mqtt://127.0.0.1:{server.port}") as ingest:
                await until(lambda: ingest.connected)
                messages: list[Any] = [(TOPIC, data(seq, x=seq), 1, False) for seq in range(500)]
                await asyncio.to_thread(publish.multiple, messages, "127.0.0.1", server.port)
                await until(lambda: ingest.counters.stored == 500)
            assert store.marks()["a/0/1"].pairs() == [(0, 499)]

    run(check())


CONFIG = """
agent: {{id: ipc-01}}
mqtt: {{url: "mqtt://127.0.0.1:1"}}
store: {{path: {folder}/s.duckdb, quarantine: {folder}/quarantine}}
devices: []
"""


def test_quarantine_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "site.yaml"
    config.write_text(CONFIG.format(folder=tmp_path))
    command = lambda *words: (main.main(["quarantine", *map(str, words)]), capsys.readouterr().out)  # noqa: E731
    assert command("list", config)[0] == 0

    from edge_agent.ingest.quarantine import RefusedMessage

    good, bad = (
        RefusedMessage.new(5, TOPIC, data(1, x=2), "was refused", 1),
        RefusedMessage.new(6, TOPIC, b"\xff", "not JSON", 0),
    )
    MessageQuarantine(tmp_path / "quarantine").append([good, bad])
    status, out = command("list", config)
    assert status == 1
    assert "was refused" in out
    assert json.loads(command("list", config, "--json")[1].splitlines()[0])["id"] == good.id
    status, out = command("show", config, good.id)
    assert status == 0
    assert '"x":2' in out
    assert command("show", config, "unknown")[0] == 2
    status, out = command("replay", config)
    assert status == 1, "one is still refused"
    with closing(DuckDbStore(tmp_path / "s.duckdb", agent="a")) as store:
        assert store.samples("m1", "x", 0, 10).values() == [2]
    assert command("drop", config)[0] == 2
    assert command("drop", config, "--all")[0] == 0
    assert command("list", config)[0] == 0


def test_replay_asks_the_running_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge_agent.ingest.quarantine import RefusedMessage

    config = tmp_path / "site.yaml"
    config.write_text(CONFIG.format(folder=tmp_path))
    MessageQuarantine(tmp_path / "quarantine").append(
        [RefusedMessage.new(5, TOPIC, data(1, x=2), "was refused", 1)]
    )

    async def check() -> None:
        with closing(DuckDbStore(tmp_path / "s.duckdb", agent="a")) as store:
            async with ingesting(store, tmp_path, url="mqtt://127.0.0.1:1") as ingest:
                known = {**store_questions.operations(store), "replay": ingest.replay}
                async with server.serve_socket(client.socket_path(tmp_path / "s.duckdb"), known):
                    assert (
                        await asyncio.to_thread(main.main, ["quarantine", "replay", str(config)])
                        == 0
                    )
                assert ingest.counters.stored == 1
                assert store.samples("m1", "x", 0, 10).values() == [2]

    run(check())
    assert "1" in capsys.readouterr().out
