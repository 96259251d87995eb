"""While somebody copies the store's file: no checkpoint, for as long as they go on saying that they
are there."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

from edge_agent.errors import FindingsError, StoreError
from edge_agent.stores.duckdb.snapshot import StoreSnapshot

log = logging.getLogger(__name__)

#: A longer log would make the checkpoint that follows hold up storing for more than a second.
MOST_LOG_BYTES: Final = 256_000_000
#: Without a sign of life for so long a backup is over, whatever became of it.
LEASE_S: Final = 30.0


class BackupLease:
    """One backup at a time. `pause` and `resume` are run in the thread that writes."""

    def __init__(
        self,
        pause: Callable[[], Awaitable[StoreSnapshot]],
        resume: Callable[[], Awaitable[None]],
        log_bytes: Callable[[], int],
        lease_s: float = LEASE_S,
    ) -> None:
        """`log_bytes`: how long the store's log is now."""
        self._log_bytes = log_bytes
        self._lease_s = lease_s
        self._pause = pause
        self._resume = resume
        self._lease = ""
        self._until = self._began = 0.0
        self._some = asyncio.Event()

    async def begin(self) -> dict[str, Any]:
        """`StoreSnapshot` as plain JSON, with the `lease`. Raises FindingsError while another
        backup is being made, StoreError."""
        if self._lease and time.monotonic() < self._until:
            raise FindingsError.one(
                "backup-under-way",
                "另一个备份正在进行：请等它结束（若它已中断，半分钟后自动解除）。",
                "Another backup is being made: wait until it ends (one that was broken off is "
                "forgotten after half a minute).",
            )
        lease = self._lease = secrets.token_hex(8)
        self._began = time.monotonic()
        self._until = self._began + self._lease_s
        taken = None
        try:
            taken = await self._pause()
        finally:
            if taken is None:
                self._until = 0.0  # `run` sees to it that nothing stays paused
            self._some.set()
        log.info("backup-begin bytes=%d log_bytes=%d", taken.bytes, taken.log_bytes)
        return {"lease": lease, **asdict(taken)}

    def renew(self, lease: str) -> bool:
        """Whether it still runs; for another `lease_s`. Raises FindingsError, and ends it, when the
        log has become too long meanwhile."""
        if not lease or lease != self._lease or time.monotonic() >= self._until:
            return False
        if self._log_bytes() > MOST_LOG_BYTES:
            self._until = 0.0
            self._some.set()
            raise _too_slow()
        self._until = time.monotonic() + self._lease_s
        return True

    async def end(self, lease: str) -> bool:
        """The file is copied, or nobody wants it any more; False when the lease was over before."""
        known = bool(lease) and lease == self._lease
        if known:
            await self._over("backup-end")
        return known

    async def run(self) -> None:
        """End a lease that nobody renews; until cancelled."""
        while True:
            await self._some.wait()
            left = self._until - time.monotonic()
            if not self._lease:
                self._some.clear()
            elif left > 0:
                await asyncio.sleep(left)
            else:
                await self._over("backup-lapsed")

    async def _over(self, event: str) -> None:
        self._lease = ""
        try:
            await self._resume()
        except StoreError as error:
            log.warning("checkpoints-not-resumed reason=%s", error)
        log.info("%s seconds=%.1f", event, time.monotonic() - self._began)


def _too_slow() -> FindingsError:
    return FindingsError.one(
        "backup-too-slow",
        "复制太慢：其间的新数据已达 256 MB，为不耽误入库已中止，没有写成备份。"
        "请把备份写到本机较快的磁盘，再复制到别处。",
        "Copying takes too long: 256 MB of new data came meanwhile, and so as not to hold up "
        "storing it was broken off; no backup was made. Write the backup to a faster disk of this "
        "machine, and copy it elsewhere from there.",
    )
