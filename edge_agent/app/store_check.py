"""The embedded store's bytes checked once a day while the service runs, in a process of its own.

A process of its own, because to open and close the file once more in this one would give up the
engine's lock (POSIX), and because reading gigabytes should take nothing from storing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Any, Final

import orjson

from edge_agent.clock import Clock
from edge_agent.health.ne107 import Health, Notice
from edge_agent.stores.duckdb import check as duckdb_check
from edge_agent.words import command, number_of

log = logging.getLogger(__name__)

#: After the start, and from then on. The log is looked at with each start besides.
FIRST_S: Final = 600.0
EACH_S: Final = 86_400.0
_LONGEST_S: Final = 6 * 3_600.0


class DailyStoreCheck:
    """What the last check found; `run` makes one a day."""

    def __init__(
        self, path: Path, clock: Clock, *, first_s: float = FIRST_S, each_s: float = EACH_S
    ) -> None:
        self._path = path
        self._clock = clock
        self._first_s = first_s
        self._each_s = each_s
        self.found: dict[str, Any] | None = None
        """`StoreCheck` as plain JSON, with `t` (ns) and `sound`; None before the first."""

    async def run(self) -> None:
        """Until cancelled."""
        pause = self._first_s
        while True:
            await asyncio.sleep(pause)
            await self._check()
            pause = self._each_s

    async def _check(self) -> None:
        program = [sys.executable, "-P", "-m", duckdb_check.__name__, str(self._path)]
        output = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *program,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        except OSError as error:
            log.warning("store-check-postponed reason=%s", error)
            return
        try:
            answer, said = await asyncio.wait_for(process.communicate(), _LONGEST_S)
        except TimeoutError:
            log.warning("store-check-postponed reason=not over after %d s", _LONGEST_S)
            return
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        try:
            found = orjson.loads(answer)
        except orjson.JSONDecodeError:
            lines = said.decode(errors="replace").split("\n")
            why = next((line for line in reversed(lines) if line.strip()), "no answer")
            log.warning("store-check-postponed reason=%s", why)
            return
        self.found = found | {"t": self._clock.time_ns()}
        _log(found)

    def notice(self) -> Notice | None:
        """A damaged store as a finding, with the next step."""
        if self.found is None or self.found["sound"]:
            return None
        blocks = len(self.found["headers"]) + len(self.found["damaged"])
        log_bytes = self.found["log_damaged"]
        look = command("store", "check")
        salvage = command("store", "salvage")
        return Notice(
            Health.MAINTENANCE_REQUIRED,
            "store_damaged",
            f"数据库文件有损坏（{blocks} 块，日志 {log_bytes} 字节）：用 {look} 查看，"
            f"停止 serve 后运行 {salvage}；能读出的全部保留。",
            f"Bytes of the store's file are damaged ({number_of(blocks, 'block')}, "
            f"{number_of(log_bytes, 'byte')} of the log): see `{look}`, then stop serve and run "
            f"`{salvage}`, which keeps all that reads.",
        )


def _log(found: dict[str, Any]) -> None:
    if found["sound"]:
        log.info(
            "store-check-sound blocks=%d bytes=%d seconds=%.1f",
            found["blocks"],
            found["bytes"],
            found["seconds"],
            extra={"ends": "store-check-damaged"},
        )
        return
    log.error(
        "store-check-damaged blocks=%s headers=%s log_bytes=%d hint='%s'",
        ",".join(map(str, found["damaged"][:20])),
        ",".join(map(str, found["headers"])),
        found["log_damaged"],
        command("store", "salvage"),
    )
