"""The store's bytes are checked while the service has it open, by a process of its own, and what is
found is told."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.app.store_check import DailyStoreCheck
from edge_agent.clock import Clock
from edge_agent.stores.duckdb.store import DuckDbStore
from tests.support import damage
from tests.support.aio import run, until

pytestmark = pytest.mark.slow

OPENS = (
    "import duckdb, sys\n"
    "try: duckdb.connect(sys.argv[1])\n"
    "except duckdb.IOException as error: print('lock' in str(error))\n"
)


def checked(path: Path) -> DailyStoreCheck:
    """After its first check, which comes at once."""

    async def scenario() -> DailyStoreCheck:
        daily = DailyStoreCheck(path, Clock(), first_s=0.0)
        task = asyncio.create_task(daily.run())
        await until(lambda: daily.found is not None or task.done())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return daily

    return run(scenario())


def test_a_sound_store_is_checked_and_stays_locked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "s.duckdb"
    damage.make_store(path, 200, logged=2)
    with closing(DuckDbStore(path, agent="ipc-01")):
        daily = checked(path)
        assert daily.found is not None
        assert daily.found["sound"]
        assert daily.found["blocks"] > 0
        assert daily.notice() is None
        other = subprocess.run(
            [sys.executable, "-c", OPENS, path], capture_output=True, text=True, check=True
        )
        assert other.stdout == "True\n", "the engine's lock is as it was"
    assert "store-check-sound" in caplog.text


def test_a_damaged_block_is_a_finding_with_the_next_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.duckdb"
    damage.make_store(path, 2_000)
    where = damage.DATA + damage.SIZE + 1000
    with closing(DuckDbStore(path, agent="ipc-01")):
        damage.write_at(path, damage.flipped(path, where, where + 500))
        daily = checked(path)
    notice = daily.notice()
    assert daily.found is not None
    assert daily.found["damaged"] == [1]
    assert notice is not None
    assert notice.reason == "store_damaged"
    assert "store salvage" in notice.zh
    assert "store salvage" in notice.en
    assert "(1 block, 0 bytes of the log)" in notice.en
    assert [r.levelname for r in caplog.records if "store-check-damaged" in r.message] == ["ERROR"]


def test_a_check_that_cannot_be_made_is_no_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        daily = DailyStoreCheck(tmp_path / "gone", Clock(), first_s=0.0)
        task = asyncio.create_task(daily.run())
        await until(lambda: "store-check-postponed" in caplog.text)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert daily.found is None
        assert daily.notice() is None

    run(scenario())
