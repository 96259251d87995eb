"""The files of an outbox for a copy, in the order in which they must be read.

The log of acknowledgements comes first: what it says is released was stored by then, and what is
written after it only makes more of the copy pending, which is sent again and known to the store.
No segment may go until all are read: the agent keeps them for so long (`Outbox.keep_segments`), or
no agent has the outbox.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_agent.outbox.acks import FILE as ACKS
from edge_agent.outbox.folders import outboxes
from edge_agent.outbox.outbox import LOCK, RESERVE

_LAST_STATUS: Final = "last.json"
_LEFT_OUT: Final = (LOCK, RESERVE, ACKS, _LAST_STATUS)
_PASSING: Final = (".new", ".sock", ".part")


def acknowledgements(path: Path) -> dict[Path, bytes]:
    """The log of each outbox of an agent. Raises OSError."""
    found = {}
    for folder in outboxes(path):
        with contextlib.suppress(FileNotFoundError):
            found[folder / ACKS] = (folder / ACKS).read_bytes()
    return found


def other_files(path: Path) -> Iterator[Path]:
    """All else that an agent keeps in its outbox folder: segments, damaged parts, what devices have
    taught it. A file may be gone when it is read."""
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            if name not in _LEFT_OUT and not name.endswith(_PASSING):
                yield Path(folder, name)


@contextlib.contextmanager
def unused(path: Path) -> Iterator[bool]:
    """While no agent can open these outboxes; False when one has them. Raises OSError."""
    with contextlib.ExitStack() as stack:
        for folder in outboxes(path):
            if not (folder / LOCK).exists():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
        yield True
