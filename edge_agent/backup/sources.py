"""Store and outboxes while they are copied: by leave of the processes that have them, or under
their locks where none runs."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_agent.config.models import Site
from edge_agent.control import client
from edge_agent.errors import FindingsError
from edge_agent.outbox import copying
from edge_agent.process import state_folder
from edge_agent.stores.duckdb.log import owned
from edge_agent.stores.duckdb.snapshot import StoreSnapshot, snapshot

_RENEW_S: Final = 5.0
_KEEP_S: Final = 60.0


@dataclass(slots=True)
class LeasedOutbox:
    """The outboxes of the agent; no file of them goes while this lasts."""

    path: Path
    state_folder: Path
    """That of the agent, or of this process where none runs."""
    renew: Callable[[], None]


@contextlib.contextmanager
def leased_outbox(site: Site) -> Iterator[LeasedOutbox]:
    """While the block runs. Raises FindingsError where the agent refuses, or is about to start."""
    path = site.outbox.path
    socket = client.socket_path(path / "agent")

    def keep(seconds: float) -> Any:
        return client.ask(socket, "keep_segments", seconds=seconds)

    try:
        answer = keep(_KEEP_S)
    except ConnectionError:
        with copying.unused(path) as free:
            if not free:
                raise FindingsError.one(
                    "outbox-in-use",
                    "发件箱正被另一个进程使用，而它不应答：请稍候重试，或先停止它。",
                    "Another process uses the outbox and does not answer: try again in a moment, "
                    "or stop it first.",
                    str(path),
                ) from None
            yield LeasedOutbox(path, state_folder(), lambda: None)
        return
    with contextlib.ExitStack() as stack:
        stack.callback(_quietly, lambda: keep(0))
        yield LeasedOutbox(
            path, Path(answer["state_folder"]), lambda: _quietly(lambda: keep(_KEEP_S))
        )


@dataclass(slots=True)
class LeasedStore:
    """The embedded store, which is not written over while this lasts."""

    path: Path
    descriptor: int
    """Of the file, open as long as this lasts: to close another one would end the lock."""
    taken: StoreSnapshot
    live: bool
    """Whether a service goes on writing."""
    renew: Callable[[], None]


@contextlib.contextmanager
def leased_store(path: Path) -> Iterator[LeasedStore]:
    """While the block runs; the file exists. Raises FindingsError where another process has it, or
    another backup is being made."""
    socket = client.socket_path(path)
    try:
        answer = client.ask(socket, "backup_begin")
    except ConnectionError:
        with owned(path) as descriptor:
            taken = snapshot(path, descriptor)
            yield LeasedStore(path, descriptor, taken, False, lambda: None)
        return
    lease = answer.pop("lease")
    with contextlib.ExitStack() as stack:
        stack.callback(_quietly, lambda: client.ask(socket, "backup_end", lease=lease))
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, descriptor)
        yield LeasedStore(
            path,
            descriptor,
            StoreSnapshot(**answer),
            True,
            lambda: _quietly(lambda: client.ask(socket, "backup_renew", lease=lease)),
        )


def copied_marks(path: Path, target: Path) -> bool:
    """The marks of a store behind HTTP, as of one moment, into a new file; False where there are
    none yet. Raises FindingsError."""
    if not path.exists():
        return False
    try:
        with (
            contextlib.closing(
                sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            ) as db,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            db.backup(copy)
    except sqlite3.Error as error:
        raise FindingsError.one(
            "backup-marks-unreadable",
            f"入库状态文件没有复制成功（{error}）：请检查该文件和备份所在磁盘的空间。",
            f"The file of the ingest's marks could not be copied ({error}): check that file, and "
            "the space on the backup's disk.",
            str(path),
        ) from error
    return True


class Renewal:
    """Says every few seconds that the copy goes on; called after each megabyte."""

    def __init__(self, *renew: Callable[[], None]) -> None:
        self._renew = renew
        self._at = time.monotonic() + _RENEW_S

    def __call__(self) -> None:
        if time.monotonic() >= self._at:
            for each in self._renew:
                each()
            self._at = time.monotonic() + _RENEW_S


def _quietly(ask: Callable[[], Any]) -> None:
    """A question whose answer does not matter, unless the copy must be broken off: what it was
    about is looked at in the end."""
    try:
        ask()
    except ConnectionError:
        return
    except FindingsError as error:
        if error.findings[0].code == "backup-too-slow":
            raise
