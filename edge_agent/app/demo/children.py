"""Child processes of the demo: started in their own session, watched, ended in reverse order."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_agent.errors import FindingsError

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 10.0

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """Run in the child before it becomes the program: a demo killed with -9 must leave nothing
    behind either."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class ChildProcess:
    """One process; its output goes to a log file."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log_file: Path) -> None:
        self.name = name
        self.process = process
        self.log_file = log_file

    @classmethod
    async def start(
        cls, name: str, argv: Sequence[str], folder: Path, env: Mapping[str, str]
    ) -> ChildProcess:
        """Start `argv`; Ctrl-C in the terminal does not reach it, the demo ends it in order."""
        log_file = folder / f"{name}.log"
        with log_file.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **env},
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        return cls(name, process, log_file)

    def check(self) -> None:
        """Raises FindingsError with the end of its log when the process has ended by itself."""
        if self.process.returncode is None:
            return
        tail = "\n".join(self.log_file.read_text(errors="replace").splitlines()[-15:])
        raise FindingsError.one(
            "child-ended",
            f"{self.name} 意外退出（状态 {self.process.returncode}），日志：{self.log_file}",
            f"{self.name} ended unexpectedly (status {self.process.returncode}); its log ends:\n"
            f"{tail}",
        )

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if that is not enough."""
        if self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            log.warning("child-killed name=%s", self.name)
            self.process.kill()
            await self.process.wait()


def python(*words: str) -> list[str]:
    """The command line of one of our own commands."""
    return [sys.executable, "-m", *words]
