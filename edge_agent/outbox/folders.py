"""Where the outboxes of one agent are: its own in the folder of the configuration, those of worker
processes, which former versions had, in one below each."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from edge_agent.outbox.acks import FILE
from edge_agent.outbox.outbox import LOCK
from edge_agent.outbox.quarantine import FOLDER
from edge_agent.outbox.recovery import segment_files

_PREFIX = "worker-"
_LEARNED = "devices"


def folder_of(path: Path, worker: int) -> Path:
    """The outbox of a worker; 0 is the agent itself."""
    return path / f"{_PREFIX}{worker}" if worker else path


def learned_folder(path: Path) -> Path:
    """Where connectors keep what devices have taught them. `path`: the agent's outbox."""
    return path / _LEARNED


def workers_with_folder(path: Path) -> list[int]:
    """The former workers that have an outbox below `path`."""
    names = (
        folder.name.removeprefix(_PREFIX) for folder in path.glob(f"{_PREFIX}*") if folder.is_dir()
    )
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def outboxes(path: Path) -> list[Path]:
    """Every outbox of the agent, its own first."""
    return [path, *(folder_of(path, worker) for worker in workers_with_folder(path))]


def holds_segments(folder: Path) -> bool:
    """Whether anything is left in an outbox, seen from outside."""
    return bool(segment_files(folder))


def bytes_in(folder: Path) -> int:
    """What an outbox that nobody has opened takes of its bound, a rewrite of the acknowledgement
    log included."""
    counted = [
        *segment_files(folder),
        folder / FILE,
        folder / FILE,
        *(folder / FOLDER).glob("*.bin"),
    ]
    return sum(file.stat().st_size for file in counted if file.exists())


def in_use(folder: Path) -> bool:
    """Whether some process has this outbox open at the moment."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # nobody ever had; or nobody may, which whoever opens it will tell
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
