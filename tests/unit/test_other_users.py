"""Another user is told that he may not look, not that nothing runs or that nothing was set
aside."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.control import client, server
from edge_agent.errors import FindingsError
from edge_agent.ingest.quarantine import MessageQuarantine, RefusedMessage
from tests.support.aio import run

NOBODY = 65534


@contextmanager
def _as_another(folder: Path) -> Iterator[None]:
    """As a user who may not enter the folder."""
    folder.chmod(0)
    try:
        if os.getuid() == 0:
            os.seteuid(NOBODY)
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        folder.chmod(0o700)


def test_a_service_of_another_user_is_not_said_to_be_absent() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "store.sock"
            async with server.serve_socket(path, {"hello": lambda: 1}):
                assert await asyncio.to_thread(client.ask, path, "hello") == 1
                with _as_another(path.parent), pytest.raises(FindingsError) as caught:
                    client.ask(path, "hello")
                assert caught.value.findings[0].code == "service-not-ours"

    run(scenario())


def test_a_quarantine_of_another_user_is_not_said_to_be_empty(tmp_path: Path) -> None:
    quarantine = MessageQuarantine(tmp_path / "quarantine")
    assert not quarantine.filled
    quarantine.append([RefusedMessage.new(1, "edge/x", b"?", "not JSON", 0)])
    with _as_another(quarantine.folder):
        with pytest.raises(FindingsError) as caught:
            list(quarantine.entries())
        with pytest.raises(FindingsError):
            quarantine.drop(["x"])
    assert caught.value.findings[0].code == "quarantine-not-ours"
    assert quarantine.filled
    assert len(list(quarantine.entries())) == 1
