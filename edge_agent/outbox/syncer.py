"""The one thread of an outbox: it waits for the disk, so that nobody else has to.

Group commit: the first record after a pause starts a timer of `delay` seconds; when it is over, one
fdatasync makes everything written so far durable. As long as more was written meanwhile the timer
goes on without being started, so that a busy outbox wakes its thread once for each sync and not
twice. The thread touches nothing but file descriptors; what it learned is read by the outbox
(`durable`, `failed`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from edge_agent.outbox.segment import Writer

log = logging.getLogger(__name__)


class Syncer:
    """Makes segments durable and removes finished ones, in its own thread."""

    def __init__(self, folder_fd: int, delay: float, sync_acks: Callable[[], None]) -> None:
        self._folder_fd = folder_fd
        self._delay = delay
        self._sync_acks = sync_acks
        self._writer: Writer | None = None
        self._closing: deque[Writer] = deque()
        self._retired: deque[Path] = deque()
        self._dirty = False
        """Something was written since the last sync began."""
        self._idle = True
        """The timer does not run: it must be started."""
        self._wake, self._stop = _signal(), _signal()
        self._failure: OSError | None = None
        self._busy = threading.Lock()
        self.durable = 0
        """Every entry of the current stream up to this one is on the medium."""
        self._thread = threading.Thread(target=self._run, name="outbox-sync", daemon=True)
        self._thread.start()

    def written(self) -> None:
        """Something was written to the current segment."""
        if not self._dirty:
            self._dirty = True
            if self._idle:
                _give(self._wake)

    def switch(self, writer: Writer | None) -> None:
        """Another segment is current now; the one before is synced and then closed."""
        if self._writer is not None:
            self._closing.append(self._writer)
        self._writer = writer
        self.written()

    def retire(self, path: Path) -> None:
        """Remove a segment, but not before the acknowledgements that allow it are on the medium."""
        self._retired.append(path)
        self.written()

    @property
    def failed(self) -> bool:
        """Whether the last sync failed. Until `reset`, nothing more is synced."""
        return self._failure is not None

    def reset(self) -> list[Writer]:
        """Hand back all segments that are not durable, and begin afresh without a current one."""
        with self._busy:
            writers = [*self._closing, *([self._writer] if self._writer else [])]
            self._closing.clear()
            self._writer = None
            self._failure = None
            return writers

    def sync(self) -> None:
        """Do now, in the calling thread, what the timer would do later."""
        with self._busy:
            self._round()

    def close(self, limit: float) -> bool:
        """Sync a last time and end the thread; False when the disk did not answer within `limit`
        seconds."""
        _give(self._stop)
        _give(self._wake)
        self._thread.join(limit)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._idle = (
                True  # before `_dirty` is looked at, as `written` sets that before it looks at this
            )
            if not self._dirty:
                self._wake.acquire()
            self._idle = False
            if self._stop.acquire(timeout=self._delay):
                break
            if self._dirty:
                self._dirty = False
                self.sync()
        self.sync()

    def _round(self) -> None:
        if self._failure is not None:
            return
        # taken first: `switch` may put it among the closing ones at any moment
        current = self._writer
        try:
            while self._closing:
                self._sync(self._closing[0])
                self._closing.popleft().close()
            if current is not None:
                self._sync(current)
            self._remove()
        except OSError as error:
            log.error("outbox-sync-failed reason=%s durable_seq=%d", error, self.durable)
            self._failure = error

    def _sync(self, writer: Writer) -> None:
        last = writer.last  # before the sync: what is written while it runs is not covered by it
        if writer.synced >= last:
            return
        os.fdatasync(writer.fd)
        if not writer.named:
            os.fsync(self._folder_fd)
            writer.named = True
        writer.synced = last
        self.durable = max(self.durable, last)

    def _remove(self) -> None:
        if not self._retired:
            return
        # then a power cut may bring back the question what became of them
        with contextlib.suppress(OSError):
            self._sync_acks()
        while self._retired:
            # a file that stays is found again, and freed, at the next opening
            with contextlib.suppress(OSError):
                self._retired.popleft().unlink(missing_ok=True)


def _signal() -> threading.Lock:
    """A lock given by one thread and taken by another: an event without the dozen calls of
    `threading.Event`."""
    lock = threading.Lock()
    lock.acquire()
    return lock


def _give(signal: threading.Lock) -> None:
    """Let the one who waits for the signal go on; only the thread of the event loop gives, so the
    look is safe."""
    if signal.locked():
        signal.release()
