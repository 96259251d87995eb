"""The embedded store's file copied while its engine goes on writing: what such a copy rests on.

Between two checkpoints DuckDB writes to its log, and to blocks of the file that no former state
uses. So while there is no checkpoint, the file and the log up to the end of some commit are
together the store as it was after that commit, whatever is written meanwhile. The headers say
whether one came between: each checkpoint gives the newer of them a higher number.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol, runtime_checkable

from edge_agent.stores.duckdb.blocks import DATA, is_sound, layout
from edge_agent.stores.duckdb.file import newest_state
from edge_agent.stores.duckdb.log import log_path

#: A threshold that no log reaches: DuckDB makes no checkpoint of its own.
NEVER: Final = "1000TB"
_PART: Final = 1 << 20
#: A block that does not fit its checksum may be half written at this moment.
_AGAIN_S: Final = (0.01, 0.05, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class StoreSnapshot:
    """Which bytes of file and log are the store at one moment."""

    state: int
    """The number of the last checkpoint."""
    bytes: int
    """Of the file."""
    log_bytes: int
    """Of the log; each commit in it is complete."""


@runtime_checkable
class PausesCheckpoints(Protocol):
    """A store whose file can be copied while it is open. Both are for the thread that writes."""

    def pause_checkpoints(self) -> StoreSnapshot: ...

    def resume_checkpoints(self) -> None: ...


def snapshot(path: Path, descriptor: int) -> StoreSnapshot:
    """Between two commits. `descriptor`: the file, open already: where this process has the store
    open too, to open and close another one would give up the engine's lock. Raises OSError."""
    return StoreSnapshot(newest_state(descriptor), os.fstat(descriptor).st_size, log_bytes(path))


def log_bytes(path: Path) -> int:
    """How long the log of a store is; 0 where there is none. Raises OSError."""
    try:
        return log_path(path).stat().st_size
    except FileNotFoundError:
        return 0


class SnapshotCopy:
    """The bytes of a snapshot, read by another process than the engine's, or while no engine has
    the file. Not for the process that has the store open."""

    def __init__(
        self, path: Path, descriptor: int, taken: StoreSnapshot, each: Callable[[], None]
    ) -> None:
        """`descriptor`: of the file; it stays open, and so whoever locked the file by it keeps the
        lock. `each` is called after each megabyte."""
        self._path = path
        self._descriptor = descriptor
        self._taken = taken
        self._each = each
        self.blocks = 0
        self.damaged = 0
        """Blocks that do not fit their checksum, though they are not being written."""

    def log(self) -> Iterator[bytes]:
        """Of the log. It ends early when a checkpoint came between."""
        if self._taken.log_bytes:
            with log_path(self._path).open("rb") as file:
                yield from self._parts(file, self._taken.log_bytes)

    def file(self) -> Iterator[bytes]:
        """Of the file, block by block against the checksums."""
        with open(self._descriptor, "rb", buffering=0, closefd=False) as file:
            found = layout(file)
            file.seek(0)
            yield file.read(min(DATA, self._taken.bytes))
            number = 0
            for part in self._parts(file, self._taken.bytes - DATA):
                if found is None:
                    yield part
                    continue
                for start in range(0, len(part), found.size):
                    block = part[start : start + found.size]
                    if number < found.blocks and len(block) == found.size:
                        block = self._checked(file, number, block)
                    number += 1
                    yield block

    def is_consistent(self) -> bool:
        """Whether no checkpoint came between; asked at the end."""
        try:
            there = os.stat(self._path)
            mine = os.fstat(self._descriptor)
            same = (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
            return same and newest_state(self._descriptor) == self._taken.state
        except OSError:
            return False

    def _parts(self, file: BinaryIO, left: int) -> Iterator[bytes]:
        while left > 0:
            part = b""
            want = min(_PART, left)
            while len(part) < want and (more := file.read(want - len(part))):
                part += more
            if not part:
                return
            left -= len(part)
            yield part
            self._each()

    def _checked(self, file: BinaryIO, number: int, block: bytes) -> bytes:
        self.blocks += 1
        at = file.tell()
        for pause in _AGAIN_S:
            if is_sound(block):
                break
            time.sleep(pause)
            file.seek(DATA + number * len(block))
            block = file.read(len(block))
        else:
            self.damaged += not is_sound(block)
        file.seek(at)
        return block
