"""Whether the store's file is still the one that was opened: somebody may move, replace or remove
it under a service.

The engine goes on writing to what it opened, and says nothing. One `stat` a question; the header is
read only after the file's time has changed.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from edge_agent.reasons import Cause, cause

#: The first block names the file (format, and since version 1.4 a random id); the two after it, in
#: turn, each state of it by a number that only grows.
_BLOCK: Final = 4096
_NUMBER: Final = slice(8, 16)


class _Header(NamedTuple):
    names: bytes
    state: int


class OpenedFile:
    """The file at a path as it was opened by this process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # One descriptor for as long as the engine has the file: to close any other would end the
        # engine's lock, which belongs to the process (POSIX).
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.close = weakref.finalize(self, os.close, descriptor)
        """Call it after the engine has closed the file; again has no effect."""
        self._descriptor = descriptor
        found = os.fstat(descriptor)
        self._inode = found.st_dev, found.st_ino
        self._changed = found.st_mtime_ns
        self._header = _header(descriptor)
        self._overwritten = False

    @property
    def descriptor(self) -> int:
        """Of the file, to read from; nobody else may close it."""
        return self._descriptor

    @property
    def overwritten(self) -> bool:
        """Whether another file's content was copied into this one: closing must not write to it."""
        return self._overwritten

    def misplaced(self) -> Cause | None:
        """Why what is written now is not in the file at the path. What was moved away may come
        back; what was overwritten never does."""
        if not self.close.alive:
            return None
        try:
            found = os.stat(self._path)
        except OSError:
            return cause("store_file_removed", path=self._path)
        if (found.st_dev, found.st_ino) != self._inode:
            return cause("store_file_replaced", path=self._path)
        if found.st_mtime_ns != self._changed and not self._overwritten:
            self._changed = found.st_mtime_ns
            self._overwritten = self._is_another()
        return cause("store_file_replaced", path=self._path) if self._overwritten else None

    def leave(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Close a connection to a file that was overwritten: the blocks of its engine do not belong
        between those of another, and the log beside it would keep the other from being opened."""
        with contextlib.suppress(duckdb.Error):
            connection.execute("pragma disable_checkpoint_on_shutdown")
            connection.close()
        self.close()
        log_file = self._path.with_name(self._path.name + ".wal")
        with contextlib.suppress(OSError):
            log_file.replace(log_file.with_name(log_file.name + ".former"))

    def _is_another(self) -> bool:
        try:
            now = _header(self._descriptor)
        except OSError:  # looked at again with the next change
            return False
        if now.names != self._header.names or now.state < self._header.state:
            return True
        self._header = now
        return False


class OwnFile:
    """What the embedded store answers about being the store that it is: its file is open in this
    process."""

    _file: OpenedFile

    def identify(self) -> None:
        """Nothing: the file told its id when it was opened."""

    def recheck(self) -> bool:
        """Never: nobody else writes to the file that is open; whether it is still in its place says
        `misplaced`."""
        return False

    def misplaced(self) -> Cause | None:
        """Asked of the file system."""
        return self._file.misplaced()

    def ask_for_life(self) -> None:
        """Nothing: it answers as long as this process does."""


def _header(descriptor: int) -> _Header:
    return _Header(os.pread(descriptor, _BLOCK, 0), newest_state(descriptor))


def newest_state(descriptor: int) -> int:
    """The number of the file's newest state: each checkpoint makes one. Raises OSError."""
    return max(
        int.from_bytes(os.pread(descriptor, _BLOCK, place)[_NUMBER], "little")
        for place in (_BLOCK, 2 * _BLOCK)
    )
