"""`edge-agent forget`: through the running service, and without one."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app.serve import StoreService
from edge_agent.app.status.ask import serve_socket
from edge_agent.cli.main import main
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.control.client import ask, running
from edge_agent.stores import Rows, WriteBatch, open_store
from tests.support.agents import configuration
from tests.support.aio import run, until
from tests.support.servers import free_port


def plant(folder: Path) -> Path:
    """A file with one device, and a store that knows two more: one that was removed, and a guest's
    twin."""
    path = configuration(
        folder, free_port(), {"d": "url: 'tcp://127.0.0.1:1', tags: {a: {address: holding/0}}"}
    )
    site = load(path)
    with closing(open_store(site.store, "ipc-01")) as store:
        for agent, device in (("ipc-01", "d"), ("ipc-01", "gone"), ("ipc-02", "d")):
            store.catalogue.born({"device": device, "agent": agent, "tags": {"a": {}, "b": {}}})
        store.write(WriteBatch(Rows.empty(), time.time_ns()))
    return path


def listed(path: Path) -> list[str]:
    site = load(path)
    with closing(open_store(site.store, "ipc-01")) as store:
        return store.catalogue.listed()


def test_without_a_service_the_store_itself_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plant(tmp_path)
    assert main(["forget", str(path), "ipc-01:gone"]) == 0
    assert "ipc-01:gone is listed no more" in capsys.readouterr().out
    assert listed(path) == ["d", "ipc-02:d"]
    assert main(["forget", str(path), "ipc-02"]) == 0
    assert listed(path) == ["d"]


CONFIGURED, UNKNOWN = "still stands in the configuration", "There is no such agent, device or tag"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ipc-01:d", CONFIGURED), ("ipc-01", CONFIGURED), ("ipc-01:d/a", CONFIGURED),
        ("nobody", UNKNOWN), ("ipc-01:nothing", UNKNOWN), ("ipc-01:gone/c", UNKNOWN),
        ("", UNKNOWN), ("ipc-01:", UNKNOWN), ("ipc-01:gone/", UNKNOWN),
    ],
)  # fmt: skip
def test_what_stands_in_the_file_and_what_nobody_knows_is_refused(
    name: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plant(tmp_path)
    assert main(["forget", str(path), name]) == 2
    assert sentence in capsys.readouterr().err
    assert listed(path) == ["d", "gone", "ipc-02:d"]


def test_a_tag_that_left_the_file_can_be_forgotten(tmp_path: Path) -> None:
    path = plant(tmp_path)
    assert main(["forget", str(path), "ipc-01:d/b"]) == 0
    with closing(open_store(load(path).store, "ipc-01")) as store:
        assert not store.catalogue.forgotten.lists("ipc-01", "d", "b")
        assert store.catalogue.forgotten.lists("ipc-01", "d", "a")


def test_a_running_service_is_told_and_names_agents_and_guests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plant(tmp_path)
    door = serve_socket(load(path))

    def status() -> dict[str, Any]:
        found: dict[str, Any] = ask(door, "status")
        return found

    async def scenario() -> None:
        service, stop = StoreService(load(path), Clock()), asyncio.Event()
        task = asyncio.create_task(service.run(stop))
        try:
            await until(lambda: running(door))
            before = await asyncio.to_thread(status)
            assert [(row["id"], row["key"], row["guest"]) for row in before["devices"]] == [
                ("gone", "ipc-01:gone", False),
                ("ipc-01:d", "ipc-01:d", False),
                ("ipc-02:d", "ipc-02:d", True),
            ]
            assert [
                (row["agent"], row["own"], row["guest"], row["online"]) for row in before["agents"]
            ] == [
                ("ipc-01", True, False, None),
                ("ipc-02", False, True, None),
            ]
            assert await asyncio.to_thread(main, ["forget", str(path), "ipc-02:d"]) == 0
            after = await asyncio.to_thread(status)
            assert [row["id"] for row in after["devices"]] == ["d", "gone"], (
                "alone on the site, the id is enough"
            )
            assert json.dumps(after["agents"])
        finally:
            stop.set()
            await task

    run(scenario())
    assert "ipc-02:d is listed no more" in capsys.readouterr().out


def test_the_embedded_store_needs_no_token_to_forget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plant(tmp_path)
    path.write_text(path.read_text() + "store: {token: !env NOBODY_HAS_SET_THIS}\n")
    assert main(["forget", str(path), "ipc-01:gone"]) == 0
    assert "is listed no more" in capsys.readouterr().out


def test_a_was_that_is_not_followed_is_told_by_status_and_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also a guest's, which is no concern of this plant: in the details only."""
    path = plant(tmp_path)
    site, now = load(path), time.time_ns()
    with closing(open_store(site.store, "ipc-01")) as store:
        store.catalogue.born(
            {"device": "d", "agent": "ipc-01", "was": "gone", "t": now - 10**12, "tags": {"a": {}}}
        )
        store.catalogue.born(
            {"device": "e", "agent": "ipc-02", "was": "ipc-01:d", "t": now, "tags": {"a": {}}}
        )
        store.catalogue.former.note_message("gone", now)
        store.write(WriteBatch(Rows.empty(), now))

    async def scenario() -> None:
        service, stop = StoreService(load(path), Clock()), asyncio.Event()
        service._store.catalogue.former.note_message("gone", now)
        task = asyncio.create_task(service.run(stop))
        try:
            await until(lambda: running(serve_socket(site)))
            await asyncio.to_thread(main, ["status", str(path)])
            await asyncio.to_thread(main, ["check", str(path)])
        finally:
            stop.set()
            await task

    run(scenario())
    status, _, check = capsys.readouterr().out.partition("设备 DEVICE")
    first, _, details = status.partition("入库服务 store service: ")
    assert "rename not followed" in first
    assert "was: gone" in first
    assert "still reports" in first
    assert "ipc-02:e" not in first.partition("设备")[0]
    assert "e was: ipc-01:d" in details or "ipc-02:e was: " in details
    assert "was: gone" in check
    assert "still reports" in check
    assert "ipc-02" not in check
