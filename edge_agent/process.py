"""What this process holds of the machine, and how its heap gives back what it no longer uses."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import resource
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # loaded by who uses it: the agent only counts
    import ctypes

_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
#: A heap per thread would keep free memory for itself while another thread asks the system for
#: more.
_ARENAS: Final = 2
#: Blocks of this size or more (one of the database has 256 KiB) go back to the system when they are
#: freed. Unless it is set, glibc raises the limit with each large block that is freed, and keeps
#: such blocks from then on.
_OWN_PAGES: Final = 128 * 1024

#: Where the hard limit is none at all: more than the kernel grants a process by default is refused.
_MOST_DESCRIPTORS: Final = 1_048_576

_settled: int | None = None
"""Resident bytes after the last `release_free_memory`."""


def state_folder() -> Path:
    """Where this process keeps what it was given or made itself, as certificates: that of its unit
    (`StateDirectory=`; of several the first), else the user's."""
    if state := os.environ.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0])
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "edge-agent"


def process_usage() -> dict[str, Any]:
    """Resident bytes now and after the last `release_free_memory`, descriptors, threads, tasks of
    the running event loop.

    None where it cannot be told.
    """
    descriptors = _entries("fd")
    return {
        "resident_bytes": _resident(),
        "settled_bytes": _settled,
        "descriptors": None
        if descriptors is None
        else descriptors - 1,  # without the one that lists them
        "threads": _entries("task"),
        "tasks": len(asyncio.all_tasks()),
    }


@functools.cache
def own_version() -> str:
    """The installed version; read once, since a process without a free descriptor cannot read it
    again."""
    try:
        return version("shopfloor-edge-agent")
    except PackageNotFoundError:
        return "unknown"


def descriptor_limit() -> int:
    """The descriptors that this process may have once it has raised its soft limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open descriptors to the hard one; returns what holds from now on."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    hard = descriptor_limit()
    if soft != hard:
        # A hardened unit forbids the call, and sets both limits itself.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def descriptors_left(reserve: int) -> int:
    """Descriptors that device connections may take: what is free now less a reserve of at most a
    third of it."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    free = limit - (_entries("fd") or 0)
    return max(1, free - min(reserve, free // 3))


def _resident() -> int | None:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _entries(folder: str) -> int | None:
    try:
        return len(os.listdir(f"/proc/self/{folder}"))
    except OSError:
        return None


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    import ctypes

    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None


def configure_heap() -> None:
    """Set the heap up for years of work with a database; before any thread starts. Nothing without
    glibc."""
    if (libc := _glibc()) is not None:
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
        libc.mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES)


def release_free_memory() -> None:
    """Free cycles, return free pages to the system (not without glibc), and note what is left: if
    that grows, it leaks.

    Some milliseconds.
    """
    global _settled
    gc.collect()
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)
    _settled = _resident()
