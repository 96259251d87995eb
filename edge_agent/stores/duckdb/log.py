"""The log of the embedded store before the engine reads it: a damaged tail costs the tail, and no
more.

The engine refuses a log with a damaged entry, and takes one whose length was damaged for the end,
without a word. So the log is looked at first: what can be put right is, what cannot is cut after
the last commit that is whole, and the log as it was is kept beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_agent.stores.duckdb import refusals
from edge_agent.stores.duckdb.blocks import LogState, read_log
from edge_agent.stores.formats import sync_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogCut:
    """What was cut off a damaged log."""

    kept: Path
    """The log as it was."""
    bytes: int
    until: int
    """When it was last written to, ns."""


def log_path(path: Path) -> Path:
    """The log beside a store's file."""
    return path.with_name(path.name + ".wal")


def aside(path: Path, moment: float | None = None) -> Path:
    """A name beside a file for what was found damaged there; one that is not taken."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
    name = f"{path.name}.damaged-{stamp}"
    number = 1
    while path.with_name(name).exists():
        number += 1
        name = f"{path.name}.damaged-{stamp}-{number}"
    return path.with_name(name)


@contextlib.contextmanager
def owned(path: Path) -> Iterator[int]:
    """While nobody else has the store open: the lock is the engine's own. Gives the descriptor that
    has it, to read from. Raises FindingsError when somebody has the store open.

    Not where this process has the store open: closing any descriptor of a file gives up the locks a
    process has on it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise refusals.locked(path) from error
        yield descriptor
    finally:
        os.close(descriptor)


def mend_log(path: Path) -> LogCut | None:
    """Make the log of a store's file readable; returns what had to be cut off. The file is nobody's
    meanwhile.

    Raises OSError: the log is as it was.
    """
    beside = log_path(path)
    found = read_log(beside)
    if found is None or not (found.damaged or found.mended):
        return None
    kept = aside(beside)
    until = beside.stat().st_mtime_ns
    _write(kept, beside.read_bytes())
    if found.whole:
        part = beside.with_name(beside.name + ".part")
        _write(part, found.content)
        os.replace(part, beside)
    else:
        beside.unlink()
    sync_folder(path.parent)
    _report(found, kept)
    return LogCut(kept, found.size - found.whole, until) if found.damaged else None


def _report(found: LogState, kept: Path) -> None:
    if found.damaged:
        log.error(
            "store-log-cut bytes=%d of=%d kept=%s", found.size - found.whole, found.size, kept
        )
    else:
        log.warning("store-log-mended entries=%d kept=%s", found.mended, kept)


def _write(path: Path, content: bytes) -> None:
    with open(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb"
    ) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
