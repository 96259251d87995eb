"""One of several processes of an agent: its part of the devices, with connections, outbox and publisher of its own.

Started by the supervisor alone (`python -m edge_agent.app.workers.worker FD N LEVEL`), which gives it its part over
the socket pair `FD`. When that ends, the supervisor is gone: the worker sends what it can within the limit of a stop,
and ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any

from edge_agent.app.agent.agent import STOP_LIMIT_S, EdgeAgent
from edge_agent.app.agent.whole import Beat
from edge_agent.app.service import end, run_service
from edge_agent.app.workers.channel import GoneError, answer, first
from edge_agent.clock import Clock
from edge_agent.config.transfer import unpacked
from edge_agent.errors import FindingsError

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
#: An orphan that does not come to its end by itself within so many seconds is ended by the kernel.
_ORPHAN_S = int(2 * STOP_LIMIT_S)
_REPLY_S = 1.0


@dataclass(frozen=True, slots=True)
class Part:
    """The first message: who this worker is and what it does."""

    worker: int
    site: bytes
    """A site with the worker's devices, outbox and client id, packed."""


class Worker:
    """Answers the supervisor's questions while its agent works."""

    def __init__(self, sock: socket.socket) -> None:
        """Waits for the part. Raises GoneError when the supervisor has ended before giving it."""
        part: Part = first(sock)
        sock.setblocking(False)
        self._sock = sock
        self._agent = EdgeAgent(unpacked(part.site), Clock.from_environment(), worker=part.worker)
        self._stop: asyncio.Event | None = None
        self._over = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, the supervisor says so, or it is gone."""
        self._stop = stop
        operations = {
            "beat": self._beat, "status": self._status, "apply": self._apply, "confirm": self._agent.fleet.confirm,
            "resize": self._resize, "retry": self._agent.fleet.retry, "stop": self._end, "values": self._values,
        }  # fmt: skip
        answering = asyncio.create_task(self._answer(operations, stop), name="answers")
        try:
            await self._agent.run(stop)
        finally:
            self._over.set()
            await asyncio.wait([answering], timeout=_REPLY_S)
            await end([answering])

    async def _answer(self, operations: dict[str, Any], stop: asyncio.Event) -> None:
        await answer(self._sock, operations)
        if not stop.is_set():
            log.warning("supervisor-gone")
            signal.alarm(_ORPHAN_S)
            stop.set()

    async def _beat(self) -> Beat:
        return self._agent.beat()

    async def _status(self) -> dict[str, Any]:
        return self._agent.status()

    async def _apply(self, site: bytes, elsewhere: bytes) -> list[str]:
        """Become this part; returns the connections that were made anew."""
        others = {device.id: device for device in unpacked(elsewhere).devices}
        change = await self._agent.fleet.apply(await asyncio.to_thread(unpacked, site), others)
        log.info("part-applied devices=%d reopened=%d", len(self._agent.devices), len(change.reopened))
        return change.reopened

    async def _values(self, tags: dict[str, list[str]], ask: bool) -> dict[str, Any]:
        return await self._agent.values_of(tags, ask=ask)

    async def _resize(self, max_bytes: int) -> None:
        self._agent.resize(max_bytes)

    async def _end(self) -> dict[str, Any]:
        """Stop in order; the answer is the last status, given when everything is closed."""
        if self._stop is not None:
            self._stop.set()
        await self._over.wait()
        return self._agent.status()


def main(fd: int, worker: str, level: str) -> int:
    """Until told to stop. 2: the part cannot be worked on now, for instance because its outbox is still in use."""
    if sys.platform == "linux":  # the pipe tells it too, but not to a process that is not listening yet
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # for the supervisor, which reads the configuration
    try:
        with socket.socket(fileno=fd) as sock:
            return run_service(lambda: Worker(sock), level, f"worker={worker}")
    except FindingsError as error:
        log.error("worker-cannot-start reason=%s", error.findings[0].en)
        return 2
    except GoneError:
        return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
