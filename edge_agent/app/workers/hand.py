"""One worker as its supervisor sees it: started, followed by its beat, started again when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from edge_agent.app.agent.whole import Beat, Document, added, ended
from edge_agent.app.service import end
from edge_agent.app.workers.channel import Asker, GoneError, RefusedError, framed
from edge_agent.app.workers.worker import Part
from edge_agent.config.models import DeviceCommon, Site
from edge_agent.config.plugins import Plugins
from edge_agent.config.transfer import packed
from edge_agent.health.agent import Facts
from edge_agent.outbox.folders import in_use
from edge_agent.polling.backoff import Backoff
from edge_agent.polling.loop import STALL_S

log = logging.getLogger(__name__)

#: What a worker is, for the interpreter.
PROGRAM: tuple[str, ...] = ("-m", "edge_agent.app.workers.worker")
BEAT_S = 1.0
#: Who has not answered for so long is told as down, long before it is ended for it.
_SILENT_S = 10.0
#: A worker that worked for so long is started again at once when it ends.
_SETTLED_S = 10.0
_SLOWEST_S = 5.0
_FREE_S = 0.2
_STATUS_S = 5.0
_VALUES_S = 20.0

State = Literal["starting", "up", "down"]


class Hand:
    """A worker's process, whichever it is at the moment, and what was last known of it."""

    def __init__(self, number: int, site: Site, plugins: Plugins, level: str) -> None:
        """`site`: its part, with an outbox and a client id of its own."""
        self.number = number
        self.site = site
        self.restarts = 0
        self.pid: int | None = None
        self._state: State = "starting"
        self._plugins = plugins
        self._level = level
        self._asker: Asker | None = None
        self._stopping = False
        self._backoff = Backoff(limit=_SLOWEST_S)
        self._beat: Beat | None = None
        self._past: Document | None = None
        self._rows: dict[str, Document] = {}
        self._answered_at = time.monotonic()

    @property
    def state(self) -> State:
        """`starting` until its first beat, `down` when it has ended or does not answer."""
        silent = self._state == "up" and time.monotonic() - self._answered_at > _SILENT_S
        return "down" if silent else self._state

    @property
    def limit(self) -> int:
        """Bytes its outbox may hold."""
        return self.site.outbox.max_bytes

    @property
    def held(self) -> int | None:
        """Bytes its outbox holds; None when that is not known now."""
        return self._beat.figures["outbox"]["bytes"] if self._beat is not None and self.state == "up" else None

    @property
    def beat(self) -> Beat | None:
        """The last one, of this life or of the one before; None before the first."""
        return self._beat

    def figures(self) -> list[Document]:
        """The counters of all its lives; what its outbox holds as last known."""
        now = None if self._beat is None else self._beat.figures
        return [one for one in (self._past, now) if one is not None]

    def facts(self) -> Facts:
        """As last told; nobody reads the devices of a worker that is down."""
        known = self._beat.facts if self._beat is not None else Facts(devices=len(self.site.devices))
        if self.state == "up":
            return known
        offline = len(self.site.devices) if self.state == "down" else 0
        return replace(known, connected=True, broker=None, stalled=(), offline=offline)

    def silent(self) -> bool:
        """Whether it has not answered for far too long: it hangs, or cannot be started."""
        return time.monotonic() - self._answered_at > STALL_S

    def stalled(self) -> list[str]:
        """Connections that take no step, as it named them."""
        return list(self.facts().stalled)

    async def keep(self) -> None:
        """Start it, follow it, start it again, until `stop`."""
        while True:
            await self._outbox_free()
            began = time.monotonic()
            try:
                status: int | str | None = await self._live()
            except OSError as error:  # the machine has no process or no descriptor to give
                status = str(error)
            if self._stopping:
                return
            self._state = "down"
            self.restarts += 1
            lived = time.monotonic() - began
            if lived > _SETTLED_S:
                self._backoff.reset()
            pause = self._backoff.wait()
            log.error(
                "worker-ended worker=%d status=%s lived_s=%.1f restart_in_s=%.2f", self.number, status, lived, pause
            )
            await asyncio.sleep(pause)

    async def _outbox_free(self) -> None:
        """The workers of an agent that was just killed take some seconds to end."""
        path, told = self.site.outbox.path, False
        while in_use(path):
            if not told:
                told = True
                log.warning("worker-waits worker=%d reason=outbox-in-use path=%s", self.number, path)
            await asyncio.sleep(_FREE_S)

    async def status(self) -> Document | None:
        """Its status document; None when it does not answer."""
        try:
            async with asyncio.timeout(_STATUS_S):
                return self._told(await self._ask("status"))
        except (GoneError, RefusedError, TimeoutError):
            return None

    async def values(self, tags: Mapping[str, Sequence[str]], *, ask: bool) -> dict[str, Any] | None:
        """The newest values of these tags of its devices; None when it does not answer."""
        try:
            async with asyncio.timeout(_VALUES_S):
                found: dict[str, Any] = await self._ask("values", dict(tags), ask)
                return found
        except (GoneError, RefusedError, TimeoutError):
            return None

    def row(self, device: str) -> Document | None:
        """What its last status document said of a device."""
        return self._rows.get(device)

    async def apply(self, devices: tuple[DeviceCommon, ...], elsewhere: tuple[DeviceCommon, ...]) -> list[str]:
        """Read these devices from now on; `elsewhere`: those that others have begun to read.

        Returns the connections made anew. A worker that is down does it at its next start.
        """
        self.site = self.site.model_copy(update={"devices": devices})
        others = packed(self.site.model_copy(update={"devices": elsewhere}), self._plugins)
        reopened: list[str] = []
        try:
            reopened = await self._ask("apply", packed(self.site, self._plugins), others)
        except RefusedError as error:
            log.error("part-refused worker=%d reason=%s", self.number, error)
            self._hang_up()
        except GoneError:
            log.info("part-waits worker=%d", self.number)
        return reopened

    async def retry(self) -> list[str]:
        """Have it try again at once whatever is not well; the connections concerned."""
        keys: list[str] = []
        with contextlib.suppress(GoneError, RefusedError):
            keys = await self._ask("retry")
        return keys

    async def confirm(self) -> list[str]:
        """Accept its devices as they answer now; those that had been doubted. None of a worker that is down."""
        try:
            doubted: list[str] = await self._ask("confirm")
        except (GoneError, RefusedError):
            return []
        return doubted

    async def resize(self, max_bytes: int) -> None:
        """Give its outbox another bound."""
        self.site = self.site.model_copy(
            update={"outbox": self.site.outbox.model_copy(update={"max_bytes": max_bytes})}
        )
        with contextlib.suppress(GoneError, RefusedError):
            await self._ask("resize", max_bytes)

    async def stop(self) -> None:
        """Have it end in order; returns when it has said its last words, or is gone."""
        self._stopping = True
        with contextlib.suppress(GoneError, RefusedError):
            self._told(await self._ask("stop"))
        self._hang_up()

    def _hang_up(self) -> None:
        """Let go of its process, which then ends; unless we stop, a new one takes its part."""
        if self._asker is not None:
            self._asker.close()

    async def _ask(self, operation: str, *arguments: Any) -> Any:
        if self._asker is None:
            raise GoneError(f"worker {self.number} does not run")
        return await self._asker.ask(operation, *arguments)

    def _told(self, status: Document) -> Document:
        self._rows = {row["id"]: row for row in status["devices"]}
        if self._beat is not None and self._state == "up":  # else the beat is still that of the life before
            self._beat = replace(self._beat, figures={part: status[part] for part in ("counters", "entries", "outbox")})
        return status

    async def _live(self) -> int | None:
        """One life, from start to end; returns the exit status."""
        process, asker = await self._start()
        listening = asyncio.create_task(asker.listen(), name=f"worker {self.number} answers")
        following = asyncio.create_task(self._follow(asker), name=f"worker {self.number} beat")
        try:
            await asyncio.wait({listening, following}, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping:
                await process.wait()
        finally:
            self._asker = self.pid = None
            asker.close()
            await end((listening, following))
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await process.wait()
        return process.returncode

    async def _start(self) -> tuple[asyncio.subprocess.Process, Asker]:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *PROGRAM, str(theirs.fileno()), str(self.number), self._level,
                stdin=asyncio.subprocess.DEVNULL, pass_fds=(theirs.fileno(),), start_new_session=True,
                env=_environment(os.environ),
            )  # fmt: skip
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours)
        writer.write(framed(Part(self.number, packed(self.site, self._plugins))))
        self._asker, self.pid = Asker(reader, writer), process.pid
        log.info("worker-start worker=%d pid=%d devices=%d", self.number, process.pid, len(self.site.devices))
        return process, self._asker

    async def _follow(self, asker: Asker) -> None:
        """Take its beat; returns when it has none any more."""
        first = True
        while True:
            try:
                async with asyncio.timeout(STALL_S):
                    beat: Beat = await asker.ask("beat")
            except (GoneError, RefusedError):
                return
            except TimeoutError:
                log.error("worker-hangs worker=%d", self.number)
                return
            if first and self._beat is not None:
                over = ended(self._beat.figures)
                self._past = over if self._past is None else added([self._past, over])
            first = False
            self._beat, self._state, self._answered_at = beat, "up", time.monotonic()
            await asyncio.sleep(BEAT_S)


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """A worker has nothing to tell the service manager; its supervisor does."""
    return {key: value for key, value in ours.items() if key not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")}
