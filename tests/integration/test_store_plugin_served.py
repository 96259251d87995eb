"""A third party's store behind `serve`: what an agent reads is stored, confirmed and answered."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app.agent.agent import EdgeAgent
from edge_agent.app.serve import StoreService
from edge_agent.app.status.ask import serve_socket
from edge_agent.cli.main import main
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.control.client import ask
from edge_agent.control.client import running as answers
from tests.support.agents import Plc, configuration, running
from tests.support.aio import run, until
from tests.support.servers import mosquitto
from tests.support.store_packages import install


def stored(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("select count(*) from samples").fetchone()[0])


def confirmed(agent: EdgeAgent) -> int:
    """Values that left the outbox: `store:` stands in the file, so the store has them."""
    document = agent.status()
    assert document["counters"]["dropped"] == 0
    return int(document["counters"]["enqueued"] - document["outbox"]["pending_values"])


def test_what_an_agent_reads_is_stored_confirmed_and_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, monkeypatch, sqlite="docs.examples.sqlite_store:PLUGIN")
    file = tmp_path / "plant.sqlite"

    async def main_() -> None:
        async with Plc().on() as plc:
            with mosquitto(tmp_path / "broker") as broker:
                keys = f"url: '{plc.url}', every: 100ms, tags: {{a: {{address: holding/0}}}}"
                path = configuration(tmp_path, broker.port, {"d": keys})
                path.write_text(path.read_text() + f"store: {{kind: sqlite, path: {file}}}\n")
                await serve_and_ask(path)

    async def serve_and_ask(path: Path) -> None:
        service = StoreService(load(path), Clock())
        stop = asyncio.Event()
        task = asyncio.create_task(service.run(stop), name="serve")
        socket = serve_socket(load(path))
        try:
            await until(lambda: answers(socket), what="serve answers")
            async with running(path) as agent:
                await until(lambda: stored(file) > 3, what="samples in the store")
                await until(lambda: confirmed(agent) > 3, what="values that the store confirmed")
            found: dict[str, Any] = await asyncio.to_thread(ask, socket, "status")
            assert [row["id"] for row in found["devices"]] == ["d"]
            assert found["counters"]["stored"] > 3
            assert not found["problem"]
            assert await asyncio.to_thread(main, ["history", str(path), "d/a", "--json"]) == 0
        finally:
            stop.set()
            await task

    run(main_())
    served = history(capsys.readouterr().out)
    assert served["readings"] > 3
    assert {row["value"] for row in served["rows"]} == {7}
    # and without a service, from the file itself
    assert main(["history", str(tmp_path / "site.yaml"), "d/a", "--json"]) == 0
    assert history(capsys.readouterr().out)["readings"] >= served["readings"]


def history(printed: str) -> dict[str, Any]:
    (found,) = json.loads(printed)["history"]
    return dict(found)
