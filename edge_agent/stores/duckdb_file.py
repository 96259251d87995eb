"""Whether the store's file is still the one that was opened: somebody may move, replace or remove it under a service.

The engine goes on writing to what it opened, and says nothing. One `stat` a question; the header is read only after
the file's time has changed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from edge_agent.reasons import Cause, cause

#: The first block names the file (format, and since version 1.4 a random id); the two after it, in turn, each state of
#: it by a number that only grows.
_BLOCK: Final = 4096
_NUMBER: Final = slice(8, 16)


class _Header(NamedTuple):
    names: bytes
    state: int


class OpenedFile:
    """The file at a path as it was opened by this process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        found = os.stat(path)
        self._inode = found.st_dev, found.st_ino
        self._changed = found.st_mtime_ns
        self._header = _header(path)
        self._overwritten = False

    @property
    def overwritten(self) -> bool:
        """Whether another file's content was copied into this one: closing must not write to it."""
        return self._overwritten

    def misplaced(self) -> Cause | None:
        """Why what is written now is not in the file at the path. What was moved away may come back; what was
        overwritten never does."""
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

    def _is_another(self) -> bool:
        try:
            now = _header(self._path)
        except OSError:  # looked at again with the next change
            return False
        if now.names != self._header.names or now.state < self._header.state:
            return True
        self._header = now
        return False


def _header(path: Path) -> _Header:
    with path.open("rb") as file:
        names = file.read(_BLOCK)
        states = [int.from_bytes(file.read(_BLOCK)[_NUMBER], "little") for _ in range(2)]
    return _Header(names, max(states))
