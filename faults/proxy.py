"""A TCP proxy in a thread of its own: it delays what passes, lets it through slowly, and can be
away for a while."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

from tests.support.servers import free_port


class Proxy:
    """Listens on `port`, forwards to `target`. Each byte waits `delay` seconds, plus up to
    `jitter`, each way."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.delay = self.jitter = 0.0
        self.bytes_per_s = 0.0
        """When set, no more than this passes each way, and who sends more has to wait."""
        self.connections = 0
        """Accepted so far."""
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.up()

    def up(self) -> None:
        """Listen (again, on the same port)."""
        self._do(self._listen())

    def down(self) -> None:
        """Close the listener and reset every connection."""
        self._do(self._shut())

    def close(self) -> None:
        """For good."""
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=16_384)

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        back: asyncio.StreamWriter | None = None
        try:
            back_reader, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers |= {writer, back}
            ways = [self._copy(reader, back), self._copy(back_reader, writer)]
            copies = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for copy in copies:
                    copy.cancel()
                await asyncio.gather(*copies, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the peer is away, or the proxy goes down
        finally:
            for one in (writer, back):
                if one is not None:
                    one.close()
                    self._writers.discard(one)
            self._tasks.discard(task)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Delayed, in order, without holding up what follows."""
        loop, due = asyncio.get_running_loop(), 0.0
        with contextlib.suppress(OSError):
            while data := await reader.read(4096 if self.bytes_per_s else 65536):
                if self.bytes_per_s:
                    writer.write(data)
                    await writer.drain()
                    await asyncio.sleep(len(data) / self.bytes_per_s)  # the rate under test
                    continue
                wait = self.delay + random.uniform(0, self.jitter)
                if not wait:
                    writer.write(data)
                    continue
                due = max(due, loop.time() + wait)
                loop.call_at(due, writer.write, data)


@contextlib.contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A proxy that is closed at the end."""
    made = Proxy(target)
    try:
        yield made
    finally:
        made.close()
