"""What a process says that it holds is what it holds."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_agent import process
from tests.support.aio import run

linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")


@linux
def test_one_more_of_each_is_counted_as_one_more() -> None:
    async def case() -> None:
        before = process.process_usage()
        ended = threading.Event()
        thread = threading.Thread(target=ended.wait)
        task = asyncio.create_task(asyncio.Event().wait())
        with socket.socket():
            thread.start()
            after = process.process_usage()
        ended.set()
        thread.join()
        task.cancel()
        grown = {name: after[name] - before[name] for name in ("descriptors", "threads", "tasks")}
        assert grown == {"descriptors": 1, "threads": 1, "tasks": 1}

    run(case())


@linux
def test_large_blocks_go_back_to_the_system() -> None:
    """In a process of its own: the settings are for the life of one."""
    code = """if True:
        from edge_agent import process
        process.configure_heap()
        async def held(): return process.process_usage()["resident_bytes"]
        import asyncio
        before = asyncio.run(held())
        blocks = [bytearray(256 * 1024) for _ in range(200)]
        keep = bytearray(256 * 1024)  # above them on the heap, if they were there
        for block in blocks: block[:] = b"x" * len(block)
        del block, blocks
        process.release_free_memory()
        assert asyncio.run(held()) - before < 10_000_000
        assert 0 < process._settled - before < 10_000_000
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare:
        """A C library of another make."""

        def __init__(self, _: None) -> None: ...

    monkeypatch.setattr(ctypes, "CDLL", Bare)
    process._glibc.cache_clear()
    try:
        process.configure_heap()
        process.release_free_memory()
        assert process._glibc() is None
    finally:
        process._glibc.cache_clear()
