"""A backup that is dead, slow or refused never keeps the store from its checkpoints."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from edge_agent.app import backup_lease
from edge_agent.app.backup_lease import BackupLease
from edge_agent.errors import FindingsError, StoreError
from edge_agent.stores.duckdb.snapshot import StoreSnapshot
from tests.support.aio import run, until


class PausedStore:
    """Notes whether its checkpoints are paused."""

    def __init__(self) -> None:
        self.paused = False
        self.log = 0
        self.refuses = False

    async def pause(self) -> StoreSnapshot:
        self.paused = True
        if self.refuses:
            raise StoreError("gone")
        return StoreSnapshot(1, 2, 3)

    async def resume(self) -> None:
        self.paused = False


@contextlib.asynccontextmanager
async def leasing(store: PausedStore, lease_s: float) -> AsyncIterator[BackupLease]:
    lease = BackupLease(store.pause, store.resume, lambda: store.log, lease_s=lease_s)
    task = asyncio.create_task(lease.run())
    try:
        yield lease
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_lease_that_nobody_renews_ends(caplog: pytest.LogCaptureFixture) -> None:
    store = PausedStore()

    async def scenario() -> None:
        async with leasing(store, 0.1) as lease:
            first = await lease.begin()
            assert store.paused
            await until(lambda: not store.paused)
            assert not lease.renew(first["lease"])
            assert not await lease.end(first["lease"])
            second = await lease.begin()
            assert second["lease"] != first["lease"]
            assert not lease.renew(first["lease"]), "the dead one does not keep the other's"
            assert await lease.end(second["lease"])
            assert not store.paused

    run(scenario())


def test_one_backup_at_a_time() -> None:
    store = PausedStore()

    async def scenario() -> None:
        async with leasing(store, 60.0) as lease:
            first = await lease.begin()
            with pytest.raises(FindingsError) as caught:
                await lease.begin()
            assert caught.value.findings[0].code == "backup-under-way"
            assert lease.renew(first["lease"])
            assert store.paused

    run(scenario())


def test_a_log_that_grows_too_long_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_lease, "MOST_LOG_BYTES", 1000)
    store = PausedStore()

    async def scenario() -> None:
        async with leasing(store, 60.0) as lease:
            begun = await lease.begin()
            assert lease.renew(begun["lease"])
            store.log = 1001
            with pytest.raises(FindingsError) as caught:
                lease.renew(begun["lease"])
            assert caught.value.findings[0].code == "backup-too-slow"
            await until(lambda: not store.paused)

    run(scenario())


def test_a_store_that_cannot_be_paused_is_resumed() -> None:
    store = PausedStore()
    store.refuses = True

    async def scenario() -> None:
        async with leasing(store, 60.0) as lease:
            with pytest.raises(StoreError):
                await lease.begin()
            await until(lambda: not store.paused)
            store.refuses = False
            assert (await lease.begin())["lease"], "and the next one is not told of another"

    run(scenario())
